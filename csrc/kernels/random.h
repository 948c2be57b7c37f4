/* Random bits and their conversion to float32 and float64.
 *
 * Philox 4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3",
 * 2011): ten rounds of multiply and exchange turn a counter of 4 words and a key of 2 into 4 random
 * words. Every block is a function of its counter alone, so the order of work does not matter.
 */

#if MG_IS_FLOAT == 32 /* once per instruction set: the words have no dtype */

#if defined(__x86_64__)
#include <immintrin.h>
#endif

typedef uint64_t ISA_NAME(words) __attribute__((vector_size(MG_VECTOR_BYTES)));
typedef uint64_t ISA_NAME(words_at)
    __attribute__((vector_size(MG_VECTOR_BYTES), aligned(8), may_alias));
enum { ISA_NAME(word_lanes) = MG_VECTOR_BYTES / 8 };

/* Products of the low halves. As plain C a full 64-bit product, which x86 has no fast instruction
 * for. */
INLINE ISA_NAME(words) ISA_NAME(multiply_low)(ISA_NAME(words) a, ISA_NAME(words) b) {
#if defined(__x86_64__) && MG_VECTOR_BYTES == 64
    return (ISA_NAME(words))_mm512_mul_epu32((__m512i)a, (__m512i)b);
#elif defined(__x86_64__) && MG_VECTOR_BYTES == 32
    return (ISA_NAME(words))_mm256_mul_epu32((__m256i)a, (__m256i)b);
#elif defined(__x86_64__)
    return (ISA_NAME(words))_mm_mul_epu32((__m128i)a, (__m128i)b);
#else
    return (a & UINT32_MAX) * (b & UINT32_MAX);
#endif
}

/* Each lane carries one block: word i of the counter in the low half of x[i]. The high halves
 * collect rubbish that no round looks at. A few vectors at a time hide the latency of the
 * multiplications. */
static void ISA_NAME(philox)(uint64_t key, uint64_t block, uint64_t stream, int64_t groups,
                             uint64_t *words) {
    enum { LANE_COUNT = ISA_NAME(word_lanes), TOGETHER = MG_VECTOR_BYTES == 64 ? 4 : 2 };
    const ISA_NAME(words) zero = {0}, multiplier0 = zero + 0xD2511F53,
                          multiplier1 = zero + 0xCD9E8D57;
    ISA_NAME(words) lane = zero;
    for (int i = 0; i < LANE_COUNT; i++) lane[i] = (uint64_t)i;
    for (int64_t done = 0; done < groups * MG_GROUP_BLOCKS; done += TOGETHER * LANE_COUNT) {
        ISA_NAME(words) x0[TOGETHER], x1[TOGETHER], x2[TOGETHER], x3[TOGETHER];
#pragma GCC unroll 4
        for (int i = 0; i < TOGETHER; i++) {
            x0[i] = lane + (block + (uint64_t)(done + i * LANE_COUNT));
            x1[i] = x0[i] >> 32;
            x2[i] = zero + stream;
            x3[i] = x2[i] >> 32;
        }
        uint32_t key0 = (uint32_t)key, key1 = (uint32_t)(key >> 32);
        for (int round = 0; round < 10; round++) {
#pragma GCC unroll 4
            for (int i = 0; i < TOGETHER; i++) {
                ISA_NAME(words) product0 = ISA_NAME(multiply_low)(x0[i], multiplier0);
                ISA_NAME(words) product1 = ISA_NAME(multiply_low)(x2[i], multiplier1);
                x0[i] = (product1 >> 32) ^ x1[i] ^ (zero + key0);
                x1[i] = product1;
                x2[i] = (product0 >> 32) ^ x3[i] ^ (zero + key1);
                x3[i] = product0;
            }
            key0 += 0x9E3779B9; /* golden ratio */
            key1 += 0xBB67AE85; /* sqrt(3) - 1 */
        }
#pragma GCC unroll 4
        for (int i = 0; i < TOGETHER; i++) {
            int64_t at = done + i * LANE_COUNT;
            uint64_t *target =
                words + at / MG_GROUP_BLOCKS * MG_GROUP_WORDS64 + at % MG_GROUP_BLOCKS;
            *(ISA_NAME(words_at) *)target = (x0[i] & UINT32_MAX) | x1[i] << 32;
            *(ISA_NAME(words_at) *)(target + MG_GROUP_BLOCKS) = (x2[i] & UINT32_MAX) | x3[i] << 32;
        }
    }
}

#endif

/* The vector's worth of random bits that belongs to value `i`. */
INLINE U NAME(load_bits)(const uint64_t *words, int64_t i) {
    U bits;
    memcpy(&bits, (const char *)words + i * (int64_t)sizeof(T), sizeof bits);
    return bits;
}

/* Numbers below 2^31 (float32) or 2^53 (float64) as floats. For 64 bits, where most sets lack a
 * conversion: both halves enter as the low bits of 2^52 and 2^84, whose spacings are 1 and 2^32. */
INLINE V NAME(from_bits)(U bits) {
#if MG_IS_FLOAT == 32
    return __builtin_convertvector((M)bits, V);
#else
    V low = (V)((bits & 0xFFFFFFFF) | 0x4330000000000000);
    V high = (V)((bits >> 32) | 0x4530000000000000);
    return (high - (0x1p84 + 0x1p52)) + low;
#endif
}

static void NAME(uniform)(const uint64_t *words, int64_t count, double low, double width,
                          double limit, void *out) {
    const int unused = sizeof(T) == 4 ? 8 : 11; /* leaves a full mantissa: 24 or 53 bits */
    const T scale = (T)(sizeof(T) == 4 ? 0x1p-24 : 0x1p-53);
    const V start = NAME(splat)((T)low), largest = NAME(splat)((T)limit);
    for (int64_t i = 0; i < count; i += LANES) {
        V u = NAME(from_bits)(NAME(load_bits)(words, i) >> unused) * scale;
        V value = start + u * (T)width; /* may round up to the end of the range */
        NAME(store)((T *)out + i, NAME(select)(value < largest, value, largest));
    }
}

/* sine and cosine of a turn's fraction bits / 2^32 (2^64): the nearest quarter turn, and Taylor's
 * polynomials for the rest, at most pi/4. */
INLINE void NAME(sine_cosine)(U bits, V *sine, V *cosine) {
#if MG_IS_FLOAT == 32
    U shifted = bits + (1u << 29);
    V x = __builtin_convertvector((M)((shifted & ((1u << 30) - 1)) - (1u << 29)), V);
    x *= (T)(3.14159265358979323846 * 0x1p-31);
    M quarter = (M)(shifted >> 30);
    enum { SINE_TERMS = 5, COSINE_TERMS = 6 };
#else
    U shifted = bits + (UINT64_C(1) << 61);
    V x = NAME(from_bits)((shifted & ((UINT64_C(1) << 62) - 1)) >> 11) - 0x1p50;
    x *= 3.14159265358979323846 * 0x1p-52;
    M quarter = (M)(shifted >> 62);
    enum { SINE_TERMS = 8, COSINE_TERMS = 9 };
#endif
    /* The terms of exp(i x): 1 / k! with the signs of the real and imaginary parts. */
    static const T sine_term[] = {(T)1,
                                  (T)(-1.0 / 6),
                                  (T)(1.0 / 120),
                                  (T)(-1.0 / 5040),
                                  (T)(1.0 / 362880),
                                  (T)(-1.0 / 39916800),
                                  (T)(1.0 / 6227020800),
                                  (T)(-1.0 / 1307674368000)};
    static const T cosine_term[] = {(T)1,
                                    (T)(-1.0 / 2),
                                    (T)(1.0 / 24),
                                    (T)(-1.0 / 720),
                                    (T)(1.0 / 40320),
                                    (T)(-1.0 / 3628800),
                                    (T)(1.0 / 479001600),
                                    (T)(-1.0 / 87178291200),
                                    (T)(1.0 / 20922789888000)};
    V square = x * x;
    V s = NAME(polynomial)(square, sine_term, SINE_TERMS);
    V c = NAME(polynomial)(square, cosine_term, COSINE_TERMS);
    s *= x;
    /* Quarter turns 0..3 take (s, c) to (s, c), (c, -s), (-s, -c), (-c, s). */
    M odd = -(quarter & 1);
    V sine_part = NAME(select)(odd, c, s), cosine_part = NAME(select)(odd, s, c);
    *sine = NAME(select)(-(quarter >> 1 & 1), -sine_part, sine_part);
    *cosine = NAME(select)(-((quarter >> 1 ^ quarter) & 1), -cosine_part, cosine_part);
}

/* Box and Muller (1958): for u in (0, 1] and an angle, both uniform, sqrt(-2 log u) (cos, sin) is a
 * pair of independent normal numbers. All bits go into u, so that the tails reach 6.6 and 8.6
 * deviations. */
static void NAME(normal)(const uint64_t *words, int64_t count, double mean, double std, void *out) {
    enum { HALF = MG_GROUP_WORDS64 * 8 / (2 * sizeof(T)) }; /* values in half a group */
    const int unused = sizeof(T) == 4 ? 1 : 11;
    const T scale = (T)(sizeof(T) == 4 ? 0x1p-31 : 0x1p-53);
    const V centre = NAME(splat)((T)mean);
    for (int64_t group = 0; group < count; group += 2 * HALF) {
        for (int64_t i = group; i < group + HALF; i += LANES) {
            V u = (NAME(from_bits)(NAME(load_bits)(words, i) >> unused) + (T)0.5) * scale;
            V radius = NAME(sqrt)((T)-2 * NAME(log)(u)) * (T)std;
            V sine, cosine;
            NAME(sine_cosine)(NAME(load_bits)(words, i + HALF), &sine, &cosine);
            NAME(store)((T *)out + i, centre + radius * cosine);
            NAME(store)((T *)out + i + HALF, centre + radius * sine);
        }
    }
}

static void NAME(dropout)(const uint64_t *words, int64_t count, uint32_t last, double scale,
                          const void *x, void *y, void *mask) {
    const uint32_t *word = (const uint32_t *)words;
    const T *input = x, kept = (T)scale;
    T *restrict output = y, *restrict factor = mask;
    for (int64_t i = 0; i < count; i++) {
        const T f = word[i] <= last ? kept : 0;
        factor[i] = f;
        output[i] = input[i] * f;
    }
}
