/* AVX-512 F, BW, DQ and VL: Skylake-X (2017) and Zen 4 (2022) on. */
#include "../core.h"

#if defined(__x86_64__)
#include <immintrin.h> /* for the masked loads and stores of kernels/vector.h */

#define MG_ISA avx512
#define MG_VECTOR_BYTES 64

static int supported_avx512(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

#if defined(__clang__)
#pragma clang attribute push(__attribute__((                                                       \
                                 target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))),          \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#endif

#include "template.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#else
typedef int mg_isa_avx512_is_for_x86_only; /* a translation unit must declare something */
#endif
