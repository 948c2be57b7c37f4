/* What the expressions of fused.def are made of. */
#if MG_IS_FLOAT

/* NaN stays. */
INLINE V NAME(clip)(V x, T low, T high) { return NAME(at_most)(NAME(at_least)(x, low), high); }

/* e^x for x of at most 88 (708); results that would be subnormal are 0, which saves the second
 * factor of a power of two that may be subnormal. */
INLINE V NAME(exp_flushed)(V x) {
    M k;
    const M vanishes = x < REAL(-87., -708.);
    const V r = NAME(exp_remainder)(NAME(at_least)(x, REAL(-87., -708.)), &k);
    const V e = (NAME(expm1_of_remainder)(r) + 1) * NAME(power_of_two)(k);
    return (V)((M)e & ~vanishes);
}

/* sigmoid, but 0 instead of a subnormal number */
INLINE V NAME(logistic)(V x) {
    const V e = NAME(exp_flushed)(NAME(neg)(NAME(abs)(x)));
    return NAME(select)(x >= 0, NAME(splat)(1), e) / (e + 1);
}

/* log(1 + e^x) = max(x, 0) + log(1 + e), e = e^-|x|. float32: e times a minimax polynomial of
 * log(1 + e) / e on [0, 1]. */
INLINE V NAME(soft_plus)(V x) {
    const V e = NAME(exp_flushed)(NAME(neg)(NAME(abs)(x)));
#if MG_IS_FLOAT == 32
    static const T c[] = {0.99999997f,   -0.499994931f, 0.333190962f,   -0.248429775f, 0.191059885f,
                          -0.136632069f, 0.0782254932f, -0.0295049571f, 0.00523262398f};
    const V rest = e * NAME(polynomial)(e, c, sizeof c / sizeof c[0]);
#else
    const V rest = NAME(log1p)(e);
#endif
    return NAME(select)(x > ZERO, x, ZERO) + rest;
}

/* 0 up to -3, 1 from 3 on, x / 3 + 1 / 2 between */
INLINE V NAME(hardswish_slope)(V x) {
    const V one = NAME(splat)(1), between = x / 3 + (T)0.5;
    return NAME(select)(x >= 3, one, NAME(select)(x <= -3, ZERO, between));
}

/* d/dx x s(x) = s (1 + x (1 - s)), s the logistic function */
INLINE V NAME(silu_slope)(V x) {
    const V s = NAME(logistic)(x);
    return s * (1 + x * (1 - s));
}

/* The normal distribution function, and *bell = e^(-x^2 / 2). float32: below 0 it is the bell times
 * t P(t), t = 1 / (1 + 0.3 |x| / sqrt 2), a fit of erfcx(|x| / sqrt 2) / 2 for the relative
 * error. */
INLINE V NAME(normal_cdf)(V x, V *bell) {
    *bell = NAME(exp_flushed)(x * x * (T)-0.5);
#if MG_IS_FLOAT == 32
    static const T c[] = {0.0845948068f, 0.0853459786f,  0.0742411307f,
                          0.107218482f,  -0.0468164507f, 0.273198737f,
                          -0.255614294f, 0.242548747f,   -0.0647171477f};
    const V t = 1 / (1 + NAME(abs)(x) * 0.212132034f);
    const V tail = *bell * t * NAME(polynomial)(t, c, sizeof c / sizeof c[0]);
    return NAME(select)(x > ZERO, 1 - tail, tail);
#else
    return 0.5 * (1 + NAME(erf)(x * 0.7071067811865476));
#endif
}

INLINE V NAME(gelu)(V x) {
    V bell;
    return x * NAME(normal_cdf)(x, &bell);
}

/* Phi(x) + x phi(x) */
INLINE V NAME(gelu_slope)(V x) {
    V bell;
    const V cdf = NAME(normal_cdf)(x, &bell);
    return cdf + x * bell * REAL(0.39894228, 0.3989422804014327);
}

/* 2 sqrt(2 / pi) (x + 0.044715 x^3): (1 + tanh u) / 2 is the logistic function of 2 u */
INLINE V NAME(gelu_tanh_inner)(V x) {
    return x *
           (x * x * REAL(0.071354816, 0.0713548162726009) + REAL(1.5957691, 1.5957691216057308));
}

INLINE V NAME(gelu_tanh_slope)(V x) {
    const V s = NAME(logistic)(NAME(gelu_tanh_inner)(x));
    const V inner_slope =
        x * x * REAL(0.21406445, 0.2140644488178027) + REAL(1.5957691, 1.5957691216057308);
    return s * (1 + x * (1 - s) * inner_slope);
}

/* tanh(log(1 + e^x)) = n / (n + 2), n = e^x (e^x + 2). From 20 on it is 1 in both dtypes, and e^2x
 * must not overflow. */
INLINE V NAME(tanh_softplus)(V x) {
    const V e = NAME(exp_flushed)(NAME(at_most)(x, 20)), n = e * (e + 2);
    return n / (n + 2);
}

INLINE V NAME(mish_slope)(V x) {
    const V t = NAME(tanh_softplus)(x);
    return t + x * NAME(logistic)(x) * (1 - t * t);
}

/* ---- losses ---- */

/* size = |input - target|: size^2 / 2 beta below beta, size - beta / 2 from there on */
INLINE V NAME(smooth_l1)(V size, V beta) {
    return NAME(select)(size < beta, (T)0.5 * size * size / beta, size - (T)0.5 * beta);
}

INLINE V NAME(smooth_l1_slope)(V x, V beta) {
    return NAME(select)(NAME(abs)(x) < beta, x / beta, NAME(sign)(x));
}

/* size^2 / 2 up to delta, delta (size - delta / 2) beyond */
INLINE V NAME(huber)(V size, V delta) {
    return NAME(select)(size <= delta, (T)0.5 * size * size, delta * (size - (T)0.5 * delta));
}

/* Logarithms are at least -100, as in torch: 0 and 1 are finite. NaN stays. */
INLINE V NAME(binary_cross_entropy)(V x, V target) {
    const V of_one = NAME(at_least)(NAME(log)(x), -100);
    const V of_zero = NAME(at_least)(NAME(log1p)(-x), -100);
    return (target - 1) * of_zero - target * of_one;
}

#endif
