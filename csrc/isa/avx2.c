/* AVX2 with FMA: x86-64-v3 processors, from Haswell (2013) and Zen (2017) on. */
#include "../core.h"

#if defined(__x86_64__)
#include <immintrin.h> /* for the masked loads and stores of kernels/vector.h */

#define MG_ISA avx2
#define MG_VECTOR_BYTES 32

static int supported_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif

#include "template.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#else
typedef int mg_isa_avx2_is_for_x86_only; /* a translation unit must declare something */
#endif
