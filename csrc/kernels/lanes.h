/* Across the lanes of a floating-point vector: halves are joined until one number is left. By
 * unions, as they compile to extractions where a copy through memory costs a store and a load. */

typedef T NAME(quarter) __attribute__((vector_size(16)));
#if MG_VECTOR_BYTES >= 32
typedef T NAME(half) __attribute__((vector_size(32)));
typedef union {
    NAME(half) whole;
    NAME(quarter) parts[2];
} NAME(half_parts);
#endif
#if MG_VECTOR_BYTES >= 64
typedef union {
    V whole;
    NAME(half) parts[2];
} NAME(vector_parts);
#endif

/* Larger lane by lane; which one where an operand is NaN is left open. */
INLINE V NAME(larger)(V a, V b) {
#if MG_VECTOR_BYTES == 64 && MG_IS_FLOAT == 32
    return (V)_mm512_max_ps((__m512)a, (__m512)b);
#elif MG_VECTOR_BYTES == 64
    return (V)_mm512_max_pd((__m512d)a, (__m512d)b);
#elif MG_VECTOR_BYTES == 32 && MG_IS_FLOAT == 32
    return (V)_mm256_max_ps((__m256)a, (__m256)b);
#elif MG_VECTOR_BYTES == 32
    return (V)_mm256_max_pd((__m256d)a, (__m256d)b);
#elif defined(__SSE2__) && MG_IS_FLOAT == 32
    return (V)_mm_max_ps((__m128)a, (__m128)b);
#elif defined(__SSE2__)
    return (V)_mm_max_pd((__m128d)a, (__m128d)b);
#else
    return NAME(select)(a > b, a, b);
#endif
}

INLINE T NAME(lanes_sum)(V value) {
#if MG_VECTOR_BYTES == 64
    NAME(vector_parts) vector = {value};
    NAME(half_parts) half = {vector.parts[0] + vector.parts[1]};
    NAME(quarter) quarter = half.parts[0] + half.parts[1];
#elif MG_VECTOR_BYTES == 32
    NAME(half_parts) half = {value};
    NAME(quarter) quarter = half.parts[0] + half.parts[1];
#else
    NAME(quarter) quarter = value;
#endif
#if MG_IS_FLOAT == 32
    return (quarter[0] + quarter[2]) + (quarter[1] + quarter[3]);
#else
    return quarter[0] + quarter[1];
#endif
}

INLINE T NAME(lanes_largest)(V value) {
#if MG_VECTOR_BYTES == 64
    NAME(vector_parts) vector = {value};
    NAME(half_parts) half = {vector.parts[0]}, other = {vector.parts[1]};
#if MG_IS_FLOAT == 32
    half.whole = (NAME(half))_mm256_max_ps((__m256)half.whole, (__m256)other.whole);
#else
    half.whole = (NAME(half))_mm256_max_pd((__m256d)half.whole, (__m256d)other.whole);
#endif
#elif MG_VECTOR_BYTES == 32
    NAME(half_parts) half = {value};
#endif
#if MG_VECTOR_BYTES >= 32 && MG_IS_FLOAT == 32
    NAME(quarter)
    quarter = (NAME(quarter))_mm_max_ps((__m128)half.parts[0], (__m128)half.parts[1]);
#elif MG_VECTOR_BYTES >= 32
    NAME(quarter)
    quarter = (NAME(quarter))_mm_max_pd((__m128d)half.parts[0], (__m128d)half.parts[1]);
#else
    NAME(quarter) quarter = value;
#endif
    T largest = quarter[0] > quarter[1] ? quarter[0] : quarter[1];
#if MG_IS_FLOAT == 32
    T other_two = quarter[2] > quarter[3] ? quarter[2] : quarter[3];
    largest = other_two > largest ? other_two : largest;
#endif
    return largest;
}

/* `count` <= LANES elements; the other lanes are `fill`. */
INLINE V NAME(load_some)(const T *source, int64_t count, T fill) {
    return count == LANES ? NAME(load)(source) : NAME(load_part)(source, count, fill);
}

INLINE void NAME(store_some)(T *destination, V value, int64_t count) {
    if (count == LANES)
        NAME(store)(destination, value);
    else
        NAME(store_part)(destination, value, count);
}
