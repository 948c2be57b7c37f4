/* What reads alike in elementwise.def for every dtype but is written differently: arithmetic on
 * integers wraps around (in the unsigned type, where C defines it), and integers are never NaN. */
#define ZERO ((V){0})

#if MG_IS_FLOAT

INLINE V NAME(add)(V a, V b) { return a + b; }
INLINE V NAME(sub)(V a, V b) { return a - b; }
INLINE V NAME(mul)(V a, V b) { return a * b; }
INLINE V NAME(sign)(V a) {
    const V one = NAME(splat)(1);
    return (V)((M)one & (a > ZERO)) - (V)((M)one & (a < ZERO));
}
INLINE M NAME(isinf)(V a) { return NAME(abs)(a) == (T)INFINITY; }
INLINE M NAME(isfinite)(V a) { return NAME(abs)(a) < (T)INFINITY; }

#else

INLINE V NAME(add)(V a, V b) { return (V)((U)a + (U)b); }
INLINE V NAME(sub)(V a, V b) { return (V)((U)a - (U)b); }
INLINE V NAME(mul)(V a, V b) { return (V)((U)a * (U)b); }
INLINE V NAME(neg)(V a) { return (V) - (U)a; }
INLINE V NAME(abs)(V a) { return NAME(select)(a < ZERO, NAME(neg)(a), a); }
INLINE V NAME(sign)(V a) { return (V)((a < ZERO) - (a > ZERO)); }
INLINE V NAME(floor)(V a) { return a; }
INLINE V NAME(ceil)(V a) { return a; }
INLINE V NAME(round)(V a) { return a; }
INLINE V NAME(trunc)(V a) { return a; }
INLINE M NAME(isnan)(V a) { return (M)(a ^ a); }
INLINE M NAME(isinf)(V a) { return (M)(a ^ a); }
INLINE M NAME(isfinite)(V a) { return ~(M)(a ^ a); }

#endif
