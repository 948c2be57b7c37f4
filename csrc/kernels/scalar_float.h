/* Calls of libm and what is made of them. LIBM(f) is the function of this dtype: fmodf or fmod. */
#include "scalar_loop.h"

/* a - b floor(a / b), exact; the sign of the divisor */
static inline T NAME(remainder)(T a, T b, int *status) {
    (void)status;
    const T rest = LIBM(fmod)(a, b);
    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

/* floor(a / b) from the exact remainder: rounding of a / b must not carry it to the next integer */
static inline T NAME(floor_divide)(T a, T b, int *status) {
    (void)status;
    if (b == 0) return a / b;
    const T rest = LIBM(fmod)(a, b);
    T quotient = (a - rest) / b;
    if (rest != 0 && (rest < 0) != (b < 0)) quotient -= 1;
    if (quotient == 0) return LIBM(copysign)(0, a / b);
    const T whole = LIBM(floor)(quotient);
    return quotient - whole > (T)0.5 ? whole + 1 : whole;
}

static inline T NAME(fmod)(T a, T b, int *status) { return (void)status, LIBM(fmod)(a, b); }

/* The exponents that programs use most often need no logarithm. */
static inline T NAME(pow)(T a, T b, int *status) {
    (void)status;
    if (b == 2) return a * a;
    if (b == 1) return a;
    if (b == (T)0.5 && a >= 0) return LIBM(sqrt)(a) + 0; /* +0 for -0 */
    if (b == -1) return 1 / a;
    return LIBM(pow)(a, b);
}

#define UNARY(name, domain, result, cost, on_bool, expression)
#define BINARY(name, domain, result, cost, on_bool, expression)
#define LIBM_UNARY(name)                                                                           \
    static inline T NAME(libm_##name)(T a, T b, int *status) {                                     \
        return (void)b, (void)status, LIBM(name)(a);                                               \
    }                                                                                              \
    static int NAME(unary_##name)(const mg_loop *loop) {                                           \
        return NAME(map)(loop, NAME(libm_##name), 1);                                              \
    }
#define LIBM_BINARY(name)                                                                          \
    static inline T NAME(name)(T a, T b, int *status) { return (void)status, LIBM(name)(a, b); }   \
    BINARY_LOOP(name)
#define SCALAR_BINARY BINARY_LOOP
#include "../elementwise.def"
#undef LIBM_UNARY
#undef LIBM_BINARY
#undef SCALAR_BINARY

#define LIBM_UNARY(name) [MG_UNARY_##name] = NAME(unary_##name),
#define LIBM_BINARY(name)
#define SCALAR_BINARY(name)
static const mg_loop_function NAME(unary_loops)[MG_UNARY_COUNT] = {
#include "../elementwise.def"
};
#undef LIBM_UNARY
#undef LIBM_BINARY
#undef SCALAR_BINARY

#define LIBM_UNARY(name)
#define LIBM_BINARY(name) [MG_BINARY_##name] = NAME(binary_##name),
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
#undef DTYPE
#undef T
#undef LIBM
