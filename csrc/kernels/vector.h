/* Vectors of one dtype by GNU vector extensions: +, -, *, <, [] work lane by lane and compile to
 * whatever the target has.
 *   T      the element            V      a vector of LANES elements
 *   M      what a comparison of two V gives: 0 or -1 in each lane (signed integers of T's width)
 *   U      unsigned integers of T's width: bit patterns, and arithmetic that wraps
 * Casts between V, M and U keep the bits; __builtin_convertvector converts the values.
 */
#define T MG_T
#define V NAME(vector)
#define M NAME(mask)
#define U NAME(unsigned)
#define LANES ((int64_t)(MG_VECTOR_BYTES / sizeof(T)))

typedef T V __attribute__((vector_size(MG_VECTOR_BYTES)));
typedef MG_MASK_T M __attribute__((vector_size(MG_VECTOR_BYTES)));
typedef MG_UNSIGNED_T U __attribute__((vector_size(MG_VECTOR_BYTES)));
/* The same at any address: an access through this type compiles to an unaligned load or store. */
typedef T NAME(vector_at)
    __attribute__((vector_size(MG_VECTOR_BYTES), aligned(sizeof(T)), may_alias));
/* One byte a lane: what a vector of bool looks like in memory. */
typedef uint8_t NAME(bytes) __attribute__((vector_size(MG_VECTOR_BYTES / sizeof(T))));
typedef int8_t NAME(signed_bytes) __attribute__((vector_size(MG_VECTOR_BYTES / sizeof(T))));

INLINE V NAME(load)(const T *source) { return *(const NAME(vector_at) *)source; }

INLINE void NAME(store)(T *destination, V value) { *(NAME(vector_at) *)destination = value; }

INLINE V NAME(splat)(T value) { return value - (V){0}; }

/* Lanes of `yes` where the mask is -1, of `no` where it is 0. (?: on vectors exists in C++ only.)
 * */
INLINE V NAME(select)(M mask, V yes, V no) { return (V)((mask & (M)yes) | (~mask & (M)no)); }

/* Copies `count` < 64 / sizeof(T) elements. A call of memcpy would cost more than the work. */
INLINE void NAME(copy_few)(T *destination, const T *source, int64_t count) {
    for (int64_t width = LANES / 2; width > 0; width /= 2) {
        if (count & width) {
            memcpy(destination, source, (size_t)width * sizeof(T));
            destination += width;
            source += width;
        }
    }
}

#if MG_VECTOR_BYTES == 64
#define MG_FIRST_LANES(count) ((UINT64_C(1) << (count)) - 1)
#elif MG_VECTOR_BYTES == 32
INLINE __m256i NAME(first_lanes)(int64_t count) {
    static const MG_MASK_T edge[2 * MG_VECTOR_BYTES / sizeof(T)] = {
        [0 ... MG_VECTOR_BYTES / sizeof(T) - 1] = -1,
    };
    return _mm256_loadu_si256((const __m256i *)(edge + LANES - count));
}
#endif

/* The first `count` < LANES elements; the other lanes are `fill`. Reads nothing beyond them. */
INLINE V NAME(load_part)(const T *source, int64_t count, T fill) {
    V value = NAME(splat)(fill);
#if MG_VECTOR_BYTES == 64
    const uint64_t mask = MG_FIRST_LANES(count);
    if (sizeof(T) == 8) return (V)_mm512_mask_loadu_epi64((__m512i)value, (__mmask8)mask, source);
    if (sizeof(T) == 4) return (V)_mm512_mask_loadu_epi32((__m512i)value, (__mmask16)mask, source);
    return (V)_mm512_mask_loadu_epi8((__m512i)value, mask, source);
#elif MG_VECTOR_BYTES == 32
    if (sizeof(T) >= 4) {
        const __m256i mask = NAME(first_lanes)(count);
        const void *at = source;
        const __m256i part =
            sizeof(T) == 8 ? _mm256_maskload_epi64(at, mask) : _mm256_maskload_epi32(at, mask);
        return NAME(select)((M)mask, (V)part, value);
    }
#endif
    NAME(copy_few)((T *)&value, source, count);
    return value;
}

/* Writes the first `count` < LANES lanes and nothing beyond them. */
INLINE void NAME(store_part)(T *destination, V value, int64_t count) {
#if MG_VECTOR_BYTES == 64
    const uint64_t mask = MG_FIRST_LANES(count);
    if (sizeof(T) == 8)
        _mm512_mask_storeu_epi64(destination, (__mmask8)mask, (__m512i)value);
    else if (sizeof(T) == 4)
        _mm512_mask_storeu_epi32(destination, (__mmask16)mask, (__m512i)value);
    else
        _mm512_mask_storeu_epi8(destination, mask, (__m512i)value);
#else
#if MG_VECTOR_BYTES == 32
    if (sizeof(T) >= 4) {
        void *at = destination;
        if (sizeof(T) == 8)
            _mm256_maskstore_epi64(at, NAME(first_lanes)(count), (__m256i)value);
        else
            _mm256_maskstore_epi32(at, NAME(first_lanes)(count), (__m256i)value);
        return;
    }
#endif
    NAME(copy_few)(destination, (const T *)&value, count);
#endif
}

/* Writes a mask as bool: one byte a lane, 0 or 1. */
INLINE void NAME(store_mask)(uint8_t *destination, M mask) {
    const NAME(bytes) bytes = (NAME(bytes)) - __builtin_convertvector(mask, NAME(signed_bytes));
    memcpy(destination, &bytes, sizeof bytes);
}

INLINE void NAME(store_mask_part)(uint8_t *destination, M mask, int64_t count) {
    for (int64_t i = 0; i < count; i++) destination[i] = (uint8_t)-mask[i];
}

/* Reads `count` <= LANES bools as a mask. */
INLINE M NAME(load_mask)(const uint8_t *source, int64_t count) {
    NAME(bytes) bytes = {0};
    if (count == LANES)
        memcpy(&bytes, source, sizeof bytes);
    else
        for (int64_t i = 0; i < count; i++) bytes[i] = source[i];
    return __builtin_convertvector(bytes != 0, M);
}
