/* Elementary functions on vectors, float32 and float64 from one source.
 *
 * Largest errors found over the whole range, subnormal results included, in ulp:
 *              exp  exp2  expm1  log  log1p  log2  log10  tanh  sigmoid  erf
 *   float32    1.0  1.0   1.5    0.9  0.9    1.7   2.0    1.5   2.3      1.2
 *   float64    1.1  1.1   2.2    0.9  0.9    1.7   1.9    2.6   2.4      1.9
 * NaN, infinities and signed zeros are as C99 has them. The polynomials are minimax fits (Remez) of
 * what is named beside them. Methods: Muller, "Elementary Functions: Algorithms and
 * Implementation".
 */
#if MG_IS_FLOAT == 32
#define REAL(in_float32, in_float64) in_float32##f
#define MANTISSA_BITS 23
#define EXPONENT_BIAS 127
#define SQRT_HALF_BITS 0x3f3504f3
#else
#define REAL(in_float32, in_float64) in_float64
#define MANTISSA_BITS 52
#define EXPONENT_BIAS 1023
#define SQRT_HALF_BITS 0x3fe6a09e667f3bcd
#endif
#define SIGN_BIT ((MG_UNSIGNED_T)1 << (8 * sizeof(T) - 1))
/* 1.5 * 2^mantissa_bits: adding it rounds to an integer, which then stands in the low bits. */
#define ROUNDER REAL(0x1.8p23, 0x1.8p52)
/* ln 2 in two parts; the first has so few bits that its product with any exponent is exact. */
#define LN2_HIGH REAL(0.693359375, 0.6931471803691238)
#define LN2_LOW REAL(-2.12194440e-4, 1.9082149292705877e-10)

/* sum of c[k] x^k, by Horner's rule */
INLINE V NAME(polynomial)(V x, const T *c, int count) {
    V sum = NAME(splat)(c[count - 1]);
#pragma GCC unroll 16
    for (int k = count - 2; k >= 0; k--) sum = sum * x + c[k];
    return sum;
}

/* ---- bits ---- */

INLINE V NAME(abs)(V x) { return (V)((U)x & ~SIGN_BIT); }

INLINE V NAME(neg)(V x) { return (V)((U)x ^ SIGN_BIT); }

INLINE V NAME(copysign)(V magnitude, V sign) {
    return (V)(((U)magnitude & ~SIGN_BIT) | ((U)sign & SIGN_BIT));
}

/* To the nearest integer, ties to even; the sign of zero stays. */
INLINE V NAME(round)(V x) {
    const V limit = NAME(splat)(REAL(0x1p23, 0x1p52)), size = NAME(abs)(x);
    /* From the limit on every number is an integer; NaN fails the comparison and stays, too. */
    return NAME(select)(size < limit, NAME(copysign)(size + limit - limit, x), x);
}

INLINE V NAME(floor)(V x) {
    const V near = NAME(round)(x), one = NAME(splat)(1);
    return NAME(copysign)(near - (V)((M)one & (near > x)), x);
}

INLINE V NAME(ceil)(V x) {
    const V near = NAME(round)(x), one = NAME(splat)(1);
    return NAME(copysign)(near + (V)((M)one & (near < x)), x);
}

INLINE V NAME(trunc)(V x) { return NAME(copysign)(NAME(floor)(NAME(abs)(x)), x); }

INLINE V NAME(sqrt)(V x) {
#if MG_VECTOR_BYTES == 64
    return sizeof(T) == 4 ? (V)_mm512_sqrt_ps((__m512)x) : (V)_mm512_sqrt_pd((__m512d)x);
#elif MG_VECTOR_BYTES == 32
    return sizeof(T) == 4 ? (V)_mm256_sqrt_ps((__m256)x) : (V)_mm256_sqrt_pd((__m256d)x);
#elif defined(__SSE2__)
    return sizeof(T) == 4 ? (V)_mm_sqrt_ps((__m128)x) : (V)_mm_sqrt_pd((__m128d)x);
#else
    for (int64_t i = 0; i < LANES; i++) x[i] = (T)sqrt(x[i]); /* exact in float32, too */
    return x;
#endif
}

INLINE M NAME(isnan)(V x) { return x != x; }

/* The clamps keep a NaN, which fails every comparison. */
INLINE V NAME(at_most)(V x, T limit) { return NAME(select)(x > limit, NAME(splat)(limit), x); }

INLINE V NAME(at_least)(V x, T limit) { return NAME(select)(x < limit, NAME(splat)(limit), x); }

/* A small integer to floating point: conversion of 64-bit integers is not in every instruction
 * set. */
INLINE V NAME(from_small)(M k) { return (V)((U)k + (U)NAME(splat)(ROUNDER)) - ROUNDER; }

/* ---- exponentials: x = k ln 2 + r, |r| <= ln 2 / 2, e^x = 2^k e^r ---- */

/* 2^k for k in the range of normal numbers */
INLINE V NAME(power_of_two)(M k) { return (V)(((U)k + EXPONENT_BIAS) << MANTISSA_BITS); }

/* value * 2^k in two exact steps, since 2^k itself may overflow or be subnormal; 0 where `vanishes`
 * (to multiply down to 0 gives that, too, but an underflow costs a hundred cycles). */
INLINE V NAME(scale)(V value, M k, M vanishes) {
    /* k >> 1; a logical shift, for want of an arithmetic one of 64 bits before AVX-512 */
    const M half = (M)((((U)k + 4096) >> 1) - 2048);
    const M other = (M)((U)k - (U)half); /* wraps around for the k of a NaN */
    const V rest = (V)((M)NAME(power_of_two)(other) & ~vanishes);
    return value * NAME(power_of_two)(half) * rest;
}

/* e^r - 1 for |r| <= ln 2 / 2, from (e^r - 1 - r) / r^2 */
INLINE V NAME(expm1_of_remainder)(V r) {
#if MG_IS_FLOAT == 32
    static const T c[] = {0.5f,          1.6666667e-01f, 4.1666355e-02f,
                          8.333273e-03f, 1.3941103e-03f, 1.9914303e-04f};
#else
    static const T c[] = {0.5000000000000006,     0.16666666666666685,   0.04166666666657294,
                          0.008333333333314472,   0.0013888888932616545, 0.0001984126990332892,
                          2.4801504144831616e-05, 2.755722765790482e-06, 2.7626451703251726e-07,
                          2.5114574618784058e-08};
#endif
    return r + r * r * NAME(polynomial)(r, c, sizeof c / sizeof c[0]);
}

/* r and k of x, for |x| of at most about 1100 (NaN gives a NaN and any k) */
INLINE V NAME(exp_remainder)(V x, M *k) {
    const V shifted = x * REAL(1.44269504, 1.4426950408889634) + ROUNDER;
    const V multiple = shifted - ROUNDER;
    *k = (M)((U)shifted - (U)NAME(splat)(ROUNDER));
    return x - multiple * LN2_HIGH - multiple * LN2_LOW;
}

INLINE V NAME(exp)(V x) {
    M k;
    const M vanishes = x < REAL(-104., -746.);
    x = NAME(at_least)(NAME(at_most)(x, REAL(89., 710.)), REAL(-104., -746.));
    const V r = NAME(exp_remainder)(x, &k);
    return NAME(scale)(NAME(expm1_of_remainder)(r) + 1, k, vanishes);
}

INLINE V NAME(exp2)(V x) {
    const M vanishes = x < REAL(-150., -1075.);
    x = NAME(at_least)(NAME(at_most)(x, REAL(129., 1025.)), REAL(-150., -1075.));
    const V shifted = x + ROUNDER;
    const M k = (M)((U)shifted - (U)NAME(splat)(ROUNDER));
    const V r = (x - (shifted - ROUNDER)) * REAL(0.693147181, 0.6931471805599453);
    return NAME(scale)(NAME(expm1_of_remainder)(r) + 1, k, vanishes);
}

/* e^x - 1 = 2^k ((e^r - 1) + (1 - 2^-k)), where the last bracket is exact or next to 1 */
INLINE V NAME(expm1)(V x) {
    M k;
    const V clamped =
        NAME(at_least)(NAME(at_most)(x, REAL(89., 710.)), REAL(-20., -45.)); /* -1 below */
    const V r = NAME(exp_remainder)(clamped, &k);
    const M large = (M)NAME(splat)(0) + 100;
    const M inverse = (k & (k < large)) | (large & (k >= large));
    const V rest = 1 - NAME(power_of_two)((M) - (U)inverse);
    const V result = NAME(scale)(NAME(expm1_of_remainder)(r) + rest, k, (M){0});
    return NAME(select)(x == 0, x, result); /* -0 */
}

/* 1 / (1 + e^-x), written so that small results keep their digits: e^x / (1 + e^x) for x < 0 */
INLINE V NAME(sigmoid)(V x) {
    const V e = NAME(exp)(NAME(neg)(NAME(abs)(x)));
    return NAME(select)(x >= 0, NAME(splat)(1), e) / (e + 1);
}

/* float32: x + x^3 P(x^2) for |x| < 0.625, beyond it 1 - 2 e / (1 + e) with e = e^(-2 |x|).
 * float64: -t / (t + 2) with t = e^(-2 |x|) - 1, 2.5 ulp. */
INLINE V NAME(tanh)(V x) {
    const V size = NAME(abs)(x);
#if MG_IS_FLOAT == 32
    static const T c[] = {-3.3333275e-01f, 1.3331275e-01f, -5.3725127e-02f, 2.0589825e-02f,
                          -5.648314e-03f};
    const V square = x * x, e = NAME(exp)(NAME(at_most)(size, 20) * -2);
    const V inner = size + size * square * NAME(polynomial)(square, c, sizeof c / sizeof c[0]);
    return NAME(copysign)(NAME(select)(size < 0.625f, inner, 1 - 2 * e / (e + 1)), x);
#else
    const V t = NAME(expm1)(size * -2);
    return NAME(copysign)(t / (t + 2), x);
#endif
}

/* ---- logarithms: x = 2^k (1 + f), sqrt(1/2) <= 1 + f < sqrt(2) ---- */

/* f and k of a normal x > 0 */
INLINE V NAME(log_split)(V x, M *k) {
    const U bits = (U)x - (MG_UNSIGNED_T)SQRT_HALF_BITS;
    const U mantissa = bits & (((MG_UNSIGNED_T)1 << MANTISSA_BITS) - 1);
    /* bits >> MANTISSA_BITS, arithmetic */
    *k = (M)(((bits + SIGN_BIT) >> MANTISSA_BITS) - (SIGN_BIT >> MANTISSA_BITS));
    return (V)(mantissa + (MG_UNSIGNED_T)SQRT_HALF_BITS) - 1;
}

/* k ln 2 + log(1 + f) + correction. With s = f / (2 + f): log(1 + f) = 2 atanh(s) = 2 s + s
 * R(s^2), and 2 s = f - s f = f - f^2 / 2 + s f^2 / 2, so that f, the large part, comes in
 * exactly. */
INLINE V NAME(log_sum)(V k, V f, V correction) {
#if MG_IS_FLOAT == 32
    static const T c[] = {6.6666776e-01f, 3.997745e-01f, 2.9874417e-01f};
#else
    static const T c[] = {0.6666666666666735,  0.39999999999407504, 0.2857142874413936,
                          0.22222198378607508, 0.18183575161602067, 0.1531375580583641,
                          0.1479906603950414};
#endif
    const V s = f / (f + 2), z = s * s, half_square = f * f * REAL(0.5, 0.5);
    const V series = z * NAME(polynomial)(z, c, sizeof c / sizeof c[0]);
    const V low = s * (half_square + series) + (k * LN2_LOW + correction);
    return k * LN2_HIGH - (half_square - low - f);
}

/* What any logarithm gives outside of the positive finite numbers. */
INLINE V NAME(log_edges)(V x, V result) {
    const T infinity = (T)INFINITY;
    result = NAME(select)(x < infinity, result, x); /* +inf, NaN */
    result = NAME(select)(x == 0, NAME(splat)(-infinity), result);
    return NAME(select)(x < 0, NAME(splat)((T)NAN), result);
}

/* f and k of any x > 0: subnormal numbers are brought up first */
INLINE V NAME(log_remainder)(V x, V *k) {
    const M tiny = x < REAL(0x1p-126, 0x1p-1022);
    M exponent;
    const V f = NAME(log_split)(NAME(select)(tiny, x * REAL(0x1p24, 0x1p53), x), &exponent);
    *k = NAME(from_small)(exponent - (tiny & (MANTISSA_BITS + 1)));
    return f;
}

INLINE V NAME(log)(V x) {
    V k;
    const V f = NAME(log_remainder)(x, &k);
    return NAME(log_edges)(x, NAME(log_sum)(k, f, NAME(splat)(0)));
}

INLINE V NAME(log2)(V x) {
    V k;
    const V f = NAME(log_remainder)(x, &k), zero = NAME(splat)(0);
    const V rest = NAME(log_sum)(zero, f, zero) * REAL(1.44269504, 1.4426950408889634);
    return NAME(log_edges)(x, k + rest);
}

INLINE V NAME(log10)(V x) {
    V k;
    const V f = NAME(log_remainder)(x, &k), zero = NAME(splat)(0);
    const V rest = NAME(log_sum)(zero, f, zero) * REAL(0.434294482, 0.4342944819032518);
    /* log10(2), with few bits in the first part */
    const V low = k * REAL(4.605039e-06, 5.630334806675098e-11) + rest;
    return NAME(log_edges)(x, k * REAL(0.301025390625, 0.30102999560767785) + low);
}

/* log(1 + x) = log(u) + (x - (u - 1)) / u, u = 1 + x rounded */
INLINE V NAME(log1p)(V x) {
    const V u = x + 1;
    M exponent;
    V f = NAME(log_split)(u, &exponent);
    const V lost = NAME(select)(x < 1, x - (u - 1), 1 - (u - x)) / u;
    const M small = exponent == 0; /* then f = x without loss */
    f = NAME(select)(small, x, f);
    const V correction = (V)((M)lost & ~small);
    const V result = NAME(log_sum)(NAME(from_small)(exponent), f, correction);
    return NAME(select)(x == 0, x, NAME(log_edges)(u, result)); /* -0 */
}

/* ---- error function ---- */

/* |x| < 1: x + x P(x^2). Beyond: 1 - erfc(|x|), erfc as the exponential of a polynomial in |x| -
 * 1 that is a fit of log(erfc) weighted with erfc, up to where erf rounds to 1. */
INLINE V NAME(erf)(V x) {
#if MG_IS_FLOAT == 32
    static const T near[] = {1.2837917e-01f, -3.7612626e-01f, 1.12835854e-01f, -2.6853813e-02f,
                             5.1883277e-03f, -8.0101937e-04f, 7.853861e-05f};
    static const T far[] = {-1.8496056e+00f, -2.6389668e+00f, -8.431176e-01f, -4.1503496e-02f,
                            9.895454e-03f,   -1.8293775e-03f, 1.8637753e-04f};
#else
    static const T near[] = {0.12837916709551256,    -0.3761263890318352,
                             0.11283791670944185,    -0.02686617064311144,
                             0.005223977606118296,   -0.0008548325929306829,
                             0.00012055293576686918, -1.4924712298094114e-05,
                             1.6447131524503547e-06, -1.6206313408057644e-07,
                             1.37109789045861e-08,   -7.779465729549996e-10};
    static const T far[] = {-1.849605509933249,      -2.638967514234591,
                            -0.843107256369181,      -0.04156109782776123,
                            0.010033823150664898,    -0.0019778889633772696,
                            0.00023726911267846735,  2.641965277034211e-05,
                            -2.7423606968462878e-05, 9.963855778383656e-06,
                            -2.4076301800334754e-06, 3.937090573186853e-07,
                            -3.562293253906157e-08,  -3.2759654056927653e-10,
                            4.529701964946165e-10,   -3.4720244655438404e-11};
#endif
    const V size = NAME(abs)(x);
    const V inner = x + x * NAME(polynomial)(x * x, near, sizeof near / sizeof near[0]);
    const V beyond = NAME(at_most)(size, REAL(3.95, 5.95)) - 1;
    const V tail = NAME(exp)(NAME(polynomial)(beyond, far, sizeof far / sizeof far[0]));
    return NAME(select)(size < 1, inner, NAME(copysign)(1 - tail, x));
}
