/* In-register transposition of a square block of LANES x LANES elements, and partial vectors.
 *
 * The butterfly: stage d = LANES/2 ... 1 exchanges, for each pair of rows (i, i + d), the lanes
 * with bit d set of the first against those without it of the second. After all stages rows are
 * columns. */

/* __builtin_shufflevector takes literal lane numbers: what either row of a pair becomes in stage
 * d. */
#define MG_LANES (MG_VECTOR_BYTES * 8 / MG_IS_FLOAT)

#if MG_LANES == 2
#define MG_LOW_1 0, 2
#define MG_HIGH_1 1, 3
#elif MG_LANES == 4
#define MG_LOW_1 0, 4, 2, 6
#define MG_HIGH_1 1, 5, 3, 7
#define MG_LOW_2 0, 1, 4, 5
#define MG_HIGH_2 2, 3, 6, 7
#elif MG_LANES == 8
#define MG_LOW_1 0, 8, 2, 10, 4, 12, 6, 14
#define MG_HIGH_1 1, 9, 3, 11, 5, 13, 7, 15
#define MG_LOW_2 0, 1, 8, 9, 4, 5, 12, 13
#define MG_HIGH_2 2, 3, 10, 11, 6, 7, 14, 15
#define MG_LOW_4 0, 1, 2, 3, 8, 9, 10, 11
#define MG_HIGH_4 4, 5, 6, 7, 12, 13, 14, 15
#elif MG_LANES == 16
#define MG_LOW_1 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30
#define MG_HIGH_1 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31
#define MG_LOW_2 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29
#define MG_HIGH_2 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31
#define MG_LOW_4 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27
#define MG_HIGH_4 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31
#define MG_LOW_8 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23
#define MG_HIGH_8 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31
#endif

#if MG_LANES >= 16
INLINE void NAME(exchange_8)(V *first, V *second) {
    const V low = __builtin_shufflevector(*first, *second, MG_LOW_8);
    *second = __builtin_shufflevector(*first, *second, MG_HIGH_8);
    *first = low;
}
#undef MG_LOW_8
#undef MG_HIGH_8
#endif

#if MG_LANES >= 8
INLINE void NAME(exchange_4)(V *first, V *second) {
    const V low = __builtin_shufflevector(*first, *second, MG_LOW_4);
    *second = __builtin_shufflevector(*first, *second, MG_HIGH_4);
    *first = low;
}
#undef MG_LOW_4
#undef MG_HIGH_4
#endif

#if MG_LANES >= 4
INLINE void NAME(exchange_2)(V *first, V *second) {
    const V low = __builtin_shufflevector(*first, *second, MG_LOW_2);
    *second = __builtin_shufflevector(*first, *second, MG_HIGH_2);
    *first = low;
}
#undef MG_LOW_2
#undef MG_HIGH_2
#endif

INLINE void NAME(exchange_1)(V *first, V *second) {
    const V low = __builtin_shufflevector(*first, *second, MG_LOW_1);
    *second = __builtin_shufflevector(*first, *second, MG_HIGH_1);
    *first = low;
}
#undef MG_LOW_1
#undef MG_HIGH_1

INLINE void NAME(transpose)(V rows[MG_LANES]) {
#if MG_LANES >= 16
    MG_UNROLL
    for (int i = 0; i < 8; i++) NAME(exchange_8)(rows + i, rows + i + 8);
#endif
#if MG_LANES >= 8
    MG_UNROLL
    for (int i = 0; i < MG_LANES; i++)
        if (!(i & 4)) NAME(exchange_4)(rows + i, rows + i + 4);
#endif
#if MG_LANES >= 4
    MG_UNROLL
    for (int i = 0; i < MG_LANES; i++)
        if (!(i & 2)) NAME(exchange_2)(rows + i, rows + i + 2);
#endif
    MG_UNROLL
    for (int i = 0; i < MG_LANES; i += 2) NAME(exchange_1)(rows + i, rows + i + 1);
}

/* Lane i of the value is the sum of all lanes of rows[i]. */
INLINE V NAME(sum_lanes)(V rows[MG_LANES]) {
    NAME(transpose)(rows);
    MG_UNROLL
    for (int d = MG_LANES / 2; d > 0; d /= 2) {
        MG_UNROLL
        for (int i = 0; i < d; i++) rows[i] += rows[i + d];
    }
    return rows[0];
}

/* Copies `count` < 2 * LANES elements. */
INLINE void NAME(copy_narrow)(T *destination, const T *source, int64_t count) {
    if (count >= LANES) {
        NAME(store)(destination, NAME(load)(source));
        destination += LANES, source += LANES, count -= LANES;
    }
    if (count > 0) NAME(store_part)(destination, NAME(load_part)(source, count, 0), count);
}
