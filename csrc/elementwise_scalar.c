/* Elementwise operations without a vector version, one element at a time: calls of libm, and
 * division and powers of integers. The same for every instruction set. */
#include "core.h"

#define PASTE_(a, b) a##_##b
#define PASTE(a, b) PASTE_(a, b)
#define NAME(base) PASTE(base, DTYPE)

#define DTYPE uint8
#define T uint8_t
#define IS_SIGNED 0
#define WIDE uint32_t
#include "kernels/scalar_integer.h"

#define DTYPE int32
#define T int32_t
#define IS_SIGNED 1
#define WIDE uint32_t
#include "kernels/scalar_integer.h"

#define DTYPE int64
#define T int64_t
#define IS_SIGNED 1
#define WIDE uint64_t
#include "kernels/scalar_integer.h"

#define DTYPE float32
#define T float
#define LIBM(function) function##f
#include "kernels/scalar_float.h"

#define DTYPE float64
#define T double
#define LIBM(function) function
#include "kernels/scalar_float.h"

mg_loop_function mg_scalar_unary(int op, int dtype) {
    if (dtype == MG_FLOAT32) return unary_loops_float32[op];
    return dtype == MG_FLOAT64 ? unary_loops_float64[op] : NULL;
}

mg_loop_function mg_scalar_binary(int op, int dtype) {
    static const mg_loop_function *const loops[MG_DTYPE_COUNT] = {
        [MG_UINT8] = binary_loops_uint8,     [MG_INT32] = binary_loops_int32,
        [MG_INT64] = binary_loops_int64,     [MG_FLOAT32] = binary_loops_float32,
        [MG_FLOAT64] = binary_loops_float64,
    };
    return loops[dtype] ? loops[dtype][op] : NULL;
}
