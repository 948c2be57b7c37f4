/* Division and powers of integers. T is the dtype's element, IS_SIGNED whether it is signed,
 * WIDE an unsigned type in which arithmetic wraps around. Division by zero is reported after the
 * loop; the smallest integer divided by -1 wraps around instead of trapping. */
#include "scalar_loop.h"

#if IS_SIGNED
#define IS_NEGATIVE(x) ((x) < 0)
#define IS_MINUS_ONE(x) ((x) == -1)
#else
#define IS_NEGATIVE(x) 0
#define IS_MINUS_ONE(x) 0
#endif

static inline T NAME(floor_divide)(T a, T b, int *status) {
    if (b == 0) return *status = MG_LOOP_DIVISION_BY_ZERO, (T)0;
    if (IS_MINUS_ONE(b)) return (T)(0 - (WIDE)a);
    const T quotient = (T)(a / b), rest = (T)(a % b);
    return (T)(quotient - (rest != 0 && IS_NEGATIVE(rest) != IS_NEGATIVE(b)));
}

/* The sign of the divisor */
static inline T NAME(remainder)(T a, T b, int *status) {
    if (b == 0) return *status = MG_LOOP_DIVISION_BY_ZERO, (T)0;
    if (IS_MINUS_ONE(b)) return 0;
    const T rest = (T)(a % b);
    return (T)(rest != 0 && IS_NEGATIVE(rest) != IS_NEGATIVE(b) ? rest + b : rest);
}

/* The sign of the dividend */
static inline T NAME(fmod)(T a, T b, int *status) {
    if (b == 0) return *status = MG_LOOP_DIVISION_BY_ZERO, (T)0;
    return IS_MINUS_ONE(b) ? (T)0 : (T)(a % b);
}

/* Wraps around; a negative exponent rounds towards zero, with 1 / 0 as 0. */
static inline T NAME(pow)(T a, T b, int *status) {
    (void)status;
    if (IS_NEGATIVE(b)) {
        if (a == 1) return 1;
        return IS_MINUS_ONE(a) ? (T)(b % 2 ? -1 : 1) : (T)0;
    }
    WIDE power = (WIDE)a, result = 1;
    for (uint64_t exponent = (uint64_t)b; exponent; exponent >>= 1) {
        if (exponent & 1) result *= power;
        power *= power;
    }
    return (T)result;
}

#define UNARY(name, domain, result, cost, on_bool, expression)
#define BINARY(name, domain, result, cost, on_bool, expression)
#define LIBM_UNARY(name)
#define LIBM_BINARY(name)
#define SCALAR_BINARY BINARY_LOOP
#include "../elementwise.def"
#undef SCALAR_BINARY
#define SCALAR_BINARY(name) [MG_BINARY_##name] = NAME(binary_##name),
static const mg_loop_function NAME(binary_loops)[MG_BINARY_COUNT] = {
#include "../elementwise.def"
};
#undef UNARY
#undef BINARY
#undef LIBM_UNARY
#undef LIBM_BINARY
#undef SCALAR_BINARY
#undef BINARY_LOOP
#undef IS_MINUS_ONE
#undef IS_NEGATIVE
#undef IS_SIGNED
#undef DTYPE
#undef T
#undef WIDE
