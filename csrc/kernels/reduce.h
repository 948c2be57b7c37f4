/* Reductions of one dtype: over rows of neighbouring elements, and over columns; see ../reduce.h.
 *
 * Sums of float32 run in float32 lanes for SUM_ADDITIONS additions at most. Then the lanes are
 * added up and their total goes into a double: a lane adds few numbers, and the rounding error
 * does not grow with the length. The driver (reduce.c) joins the parts of a long row in pairs. */

#if MG_IS_FLOAT
#include "lanes.h"
#endif

/* Additions to one lane of an accumulator before the lanes are emptied into a double. */
#define SUM_ADDITIONS 64
#define COLUMN_TILE 64

#if MG_IS_FLOAT
#define REDUCE_T double
#define REDUCE_FIELD real
#else
#define REDUCE_T uint64_t /* wraps around as two's complement does */
#define REDUCE_FIELD integer
#endif

#if MG_IS_FLOAT
#define IS_NAN(x) ((x) != (x))
#else
#define IS_NAN(x) 0
#endif

/* Whether `candidate` takes the place of `best` as the largest (or smallest) so far. NaN takes it
 * from every number and keeps it against them; a caller that wants the first of several NaN asks
 * itself whether best is one. */
INLINE int NAME(beats)(T candidate, T best, int minimum) {
    return (minimum ? candidate < best : candidate > best) | IS_NAN(candidate);
}

/* Sums or products of columns in 64 bits. */
INLINE void NAME(total_columns)(const T *input, int64_t n, int64_t row_stride, int64_t columns,
                                mg_partial *values, int product) {
    REDUCE_T total[COLUMN_TILE];
    for (int64_t column = 0; column < columns; column += COLUMN_TILE) {
        const T *x = input + column;
        int64_t width = columns - column < COLUMN_TILE ? columns - column : COLUMN_TILE;
        for (int64_t k = 0; k < width; k++) total[k] = (REDUCE_T)x[k];
        for (int64_t row = 1; row < n; row++) {
            x += row_stride;
            for (int64_t k = 0; k < width; k++)
                total[k] = product ? total[k] * (REDUCE_T)x[k] : total[k] + (REDUCE_T)x[k];
        }
        for (int64_t k = 0; k < width; k++) values[column + k].REDUCE_FIELD = total[k];
    }
}

#if MG_IS_FLOAT

/* ---- sums ---- */

/* At most SUM_ADDITIONS * 8 vectors. */
INLINE T NAME(sum_block)(const T *x, int64_t n) {
    const V zero = {0};
    V sum[8] = {zero, zero, zero, zero, zero, zero, zero, zero};
    int64_t i = 0;
    for (; i + 8 * LANES <= n; i += 8 * LANES) {
#pragma GCC unroll 8
        for (int k = 0; k < 8; k++) sum[k] += NAME(load)(x + i + k * LANES);
    }
    if (i + 4 * LANES <= n) {
#pragma GCC unroll 4
        for (int k = 0; k < 4; k++) sum[k] += NAME(load)(x + i + k * LANES);
        i += 4 * LANES;
    }
    for (; i + LANES <= n; i += LANES) sum[7] += NAME(load)(x + i);
    if (i < n) sum[6] += NAME(load_part)(x + i, n - i, 0);
    return NAME(lanes_sum)(((sum[0] + sum[1]) + (sum[2] + sum[3])) +
                           ((sum[4] + sum[5]) + (sum[6] + sum[7])));
}

static void NAME(sum_rows)(const void *input, int64_t rows, int64_t row_stride, int64_t n,
                           mg_partial *values, int64_t *positions) {
    (void)positions;
    const int64_t block = SUM_ADDITIONS * 8 * LANES;
    for (int64_t row = 0; row < rows; row++) {
        const T *x = (const T *)input + row * row_stride;
        double total = 0;
        for (int64_t i = 0; i < n; i += block)
            total += (double)NAME(sum_block)(x + i, n - i < block ? n - i : block);
        values[row].real = total;
    }
}

/* Adds up `rows` <= SUM_ADDITIONS * unroll rows of `vectors` vectors each; `unroll` rows at a time
 * in sums of their own, since a chain of additions waits for each. The counts are constants. */
INLINE void NAME(sum_tile)(const T *x, int64_t rows, int64_t row_stride, int vectors, int unroll,
                           T *tile) {
    V sum[8];
#pragma GCC unroll 8
    for (int k = 0; k < vectors * unroll; k++) sum[k] = (V){0};
    int64_t row = 0;
    for (; row + unroll <= rows; row += unroll) {
#pragma GCC unroll 8
        for (int k = 0; k < vectors * unroll; k++)
            sum[k] += NAME(load)(x + (row + k / vectors) * row_stride + k % vectors * LANES);
    }
    for (; row < rows; row++) {
#pragma GCC unroll 8
        for (int k = 0; k < vectors; k++) sum[k] += NAME(load)(x + row * row_stride + k * LANES);
    }
    for (int step = 1; step < unroll; step *= 2) {
#pragma GCC unroll 8
        for (int k = 0; k < vectors * unroll; k++)
            if (k / vectors % (2 * step) == 0) sum[k] += sum[k + step * vectors];
    }
#pragma GCC unroll 8
    for (int k = 0; k < vectors; k++) NAME(store)(tile + k * LANES, sum[k]);
}

/* The last, narrow tile: `width` < LANES columns. */
INLINE void NAME(sum_edge)(const T *x, int64_t rows, int64_t row_stride, int64_t width, T *tile) {
    const V zero = {0};
    V sum[4] = {zero, zero, zero, zero};
    int64_t row = 0;
    for (; row + 4 <= rows; row += 4) {
#pragma GCC unroll 4
        for (int k = 0; k < 4; k++) sum[k] += NAME(load_part)(x + (row + k) * row_stride, width, 0);
    }
    for (; row < rows; row++) sum[0] += NAME(load_part)(x + row * row_stride, width, 0);
    NAME(store)(tile, (sum[0] + sum[1]) + (sum[2] + sum[3]));
}

static void NAME(sum_columns)(const void *input, int64_t n, int64_t row_stride, int64_t columns,
                              mg_partial *values, int64_t *positions) {
    (void)positions;
    T tile[4 * LANES];
    for (int64_t first = 0; first < n; first += SUM_ADDITIONS) {
        int64_t rows = n - first < SUM_ADDITIONS ? n - first : SUM_ADDITIONS;
        const T *x = (const T *)input + first * row_stride;
        int64_t column = 0, width;
        for (; column < columns; column += width) {
            if (column + 4 * LANES <= columns) {
                width = 4 * LANES;
                NAME(sum_tile)(x + column, rows, row_stride, 4, 2, tile);
            } else if (column + LANES <= columns) {
                width = LANES;
                NAME(sum_tile)(x + column, rows, row_stride, 1, 4, tile);
            } else {
                width = columns - column;
                NAME(sum_edge)(x + column, rows, row_stride, width, tile);
            }
            mg_partial *total = values + column;
            if (first == 0)
                for (int64_t k = 0; k < width; k++) total[k].real = (double)tile[k];
            else
                for (int64_t k = 0; k < width; k++) total[k].real += (double)tile[k];
        }
    }
}

/* ---- extremes ---- */

INLINE V NAME(extreme)(V candidate, V best, int minimum) {
    M better = minimum ? candidate < best : candidate > best;
    return NAME(select)(better | (candidate != candidate), candidate, best);
}

/* NaN where there is one. A NaN in `best` stays, as no comparison with it holds. */
INLINE T NAME(extreme_run)(const T *x, int64_t n, int minimum) {
    T best = x[0];
    int64_t i = 0;
    if (n >= LANES) {
        V first = NAME(load)(x), second = first, third = first, fourth = first;
        for (i = LANES; i + 4 * LANES <= n; i += 4 * LANES) {
            first = NAME(extreme)(NAME(load)(x + i), first, minimum);
            second = NAME(extreme)(NAME(load)(x + i + LANES), second, minimum);
            third = NAME(extreme)(NAME(load)(x + i + 2 * LANES), third, minimum);
            fourth = NAME(extreme)(NAME(load)(x + i + 3 * LANES), fourth, minimum);
        }
        for (; i + LANES <= n; i += LANES) first = NAME(extreme)(NAME(load)(x + i), first, minimum);
        first = NAME(extreme)(second, first, minimum);
        third = NAME(extreme)(fourth, third, minimum);
        first = NAME(extreme)(third, first, minimum);
        best = first[0];
        for (int lane = 1; lane < LANES; lane++)
            if (NAME(beats)(first[lane], best, minimum)) best = first[lane];
    }
    for (; i < n; i++)
        if (NAME(beats)(x[i], best, minimum)) best = x[i];
    return best;
}

#else

static void NAME(sum_rows)(const void *input, int64_t rows, int64_t row_stride, int64_t n,
                           mg_partial *values, int64_t *positions) {
    (void)positions;
    for (int64_t row = 0; row < rows; row++) {
        const T *x = (const T *)input + row * row_stride;
        uint64_t total = 0;
        for (int64_t i = 0; i < n; i++) total += (uint64_t)x[i];
        values[row].integer = (int64_t)total;
    }
}

static void NAME(sum_columns)(const void *x, int64_t n, int64_t row_stride, int64_t columns,
                              mg_partial *values, int64_t *positions) {
    (void)positions;
    NAME(total_columns)(x, n, row_stride, columns, values, 0);
}

INLINE T NAME(extreme_run)(const T *x, int64_t n, int minimum) {
    T best = x[0];
    for (int64_t i = 1; i < n; i++) best = (minimum ? x[i] < best : x[i] > best) ? x[i] : best;
    return best;
}

#endif

INLINE void NAME(extreme_rows)(const T *x, int64_t rows, int64_t row_stride, int64_t n,
                               mg_partial *values, int minimum) {
    for (int64_t row = 0; row < rows; row++, x += row_stride)
        values[row].REDUCE_FIELD = NAME(extreme_run)(x, n, minimum);
}

static void NAME(max_rows)(const void *x, int64_t rows, int64_t row_stride, int64_t n,
                           mg_partial *values, int64_t *positions) {
    (void)positions;
    NAME(extreme_rows)(x, rows, row_stride, n, values, 0);
}

static void NAME(min_rows)(const void *x, int64_t rows, int64_t row_stride, int64_t n,
                           mg_partial *values, int64_t *positions) {
    (void)positions;
    NAME(extreme_rows)(x, rows, row_stride, n, values, 1);
}

INLINE void NAME(extreme_columns)(const T *input, int64_t n, int64_t row_stride, int64_t columns,
                                  mg_partial *values, int minimum) {
    T best[COLUMN_TILE];
    for (int64_t column = 0; column < columns; column += COLUMN_TILE) {
        const T *x = input + column;
        int64_t width = columns - column < COLUMN_TILE ? columns - column : COLUMN_TILE;
        memcpy(best, x, (size_t)width * sizeof(T));
        for (int64_t row = 1; row < n; row++) {
            x += row_stride;
            for (int64_t k = 0; k < width; k++)
                best[k] = NAME(beats)(x[k], best[k], minimum) ? x[k] : best[k];
        }
        for (int64_t k = 0; k < width; k++) values[column + k].REDUCE_FIELD = best[k];
    }
}

static void NAME(max_columns)(const void *x, int64_t n, int64_t row_stride, int64_t columns,
                              mg_partial *values, int64_t *positions) {
    (void)positions;
    NAME(extreme_columns)(x, n, row_stride, columns, values, 0);
}

static void NAME(min_columns)(const void *x, int64_t n, int64_t row_stride, int64_t columns,
                              mg_partial *values, int64_t *positions) {
    (void)positions;
    NAME(extreme_columns)(x, n, row_stride, columns, values, 1);
}

/* ---- positions of extremes: the first of equal ones, the first NaN if there is one ---- */

/* The extreme of a block is found at full speed; only a block that improves on the best so far is
 * searched for the place. */
INLINE void NAME(arg_rows)(const T *x, int64_t rows, int64_t row_stride, int64_t n,
                           mg_partial *values, int64_t *positions, int minimum) {
    const int64_t block = 1024;
    for (int64_t row = 0; row < rows; row++, x += row_stride) {
        T best = x[0];
        int64_t position = 0;
        for (int64_t i = 0; i < n && !IS_NAN(best); i += block) {
            T found = NAME(extreme_run)(x + i, n - i < block ? n - i : block, minimum);
            if (!NAME(beats)(found, best, minimum)) continue;
            position = i;
            while (!(x[position] == found || (IS_NAN(found) && IS_NAN(x[position])))) position++;
            best = found;
        }
        values[row].REDUCE_FIELD = best;
        positions[row] = position;
    }
}

static void NAME(argmax_rows)(const void *x, int64_t rows, int64_t row_stride, int64_t n,
                              mg_partial *values, int64_t *positions) {
    NAME(arg_rows)(x, rows, row_stride, n, values, positions, 0);
}

static void NAME(argmin_rows)(const void *x, int64_t rows, int64_t row_stride, int64_t n,
                              mg_partial *values, int64_t *positions) {
    NAME(arg_rows)(x, rows, row_stride, n, values, positions, 1);
}

INLINE void NAME(arg_columns)(const T *input, int64_t n, int64_t row_stride, int64_t columns,
                              mg_partial *values, int64_t *positions, int minimum) {
    T best[COLUMN_TILE];
    int64_t place[COLUMN_TILE];
    for (int64_t column = 0; column < columns; column += COLUMN_TILE) {
        const T *x = input + column;
        int64_t width = columns - column < COLUMN_TILE ? columns - column : COLUMN_TILE;
        memcpy(best, x, (size_t)width * sizeof(T));
        memset(place, 0, sizeof place);
        for (int64_t row = 1; row < n; row++) {
            x += row_stride;
            for (int64_t k = 0; k < width; k++) {
                int better = NAME(beats)(x[k], best[k], minimum) & !IS_NAN(best[k]);
                place[k] = better ? row : place[k];
                best[k] = better ? x[k] : best[k];
            }
        }
        for (int64_t k = 0; k < width; k++) {
            values[column + k].REDUCE_FIELD = best[k];
            positions[column + k] = place[k];
        }
    }
}

static void NAME(argmax_columns)(const void *x, int64_t n, int64_t row_stride, int64_t columns,
                                 mg_partial *values, int64_t *positions) {
    NAME(arg_columns)(x, n, row_stride, columns, values, positions, 0);
}

static void NAME(argmin_columns)(const void *x, int64_t n, int64_t row_stride, int64_t columns,
                                 mg_partial *values, int64_t *positions) {
    NAME(arg_columns)(x, n, row_stride, columns, values, positions, 1);
}

/* ---- products: in double (so that float32 partial products neither overflow nor lose bits) or in
 * 64-bit integers ---- */

static void NAME(prod_rows)(const void *input, int64_t rows, int64_t row_stride, int64_t n,
                            mg_partial *values, int64_t *positions) {
    (void)positions;
    const T *x = input;
    for (int64_t row = 0; row < rows; row++, x += row_stride) {
        REDUCE_T product[8] = {1, 1, 1, 1, 1, 1, 1, 1};
        int64_t i = 0;
        for (; i + 8 <= n; i += 8)
            for (int k = 0; k < 8; k++) product[k] *= (REDUCE_T)x[i + k];
        for (; i < n; i++) product[0] *= (REDUCE_T)x[i];
        for (int step = 4; step > 0; step /= 2)
            for (int k = 0; k < step; k++) product[k] *= product[k + step];
        values[row].REDUCE_FIELD = product[0];
    }
}

static void NAME(prod_columns)(const void *x, int64_t n, int64_t row_stride, int64_t columns,
                               mg_partial *values, int64_t *positions) {
    (void)positions;
    NAME(total_columns)(x, n, row_stride, columns, values, 1);
}

/* ---- any, all: NaN counts as true ---- */

INLINE void NAME(truth_rows)(const T *x, int64_t rows, int64_t row_stride, int64_t n,
                             mg_partial *values, int wanted) {
    const int64_t block = 1024;
    for (int64_t row = 0; row < rows; row++, x += row_stride) {
        T seen = 0; /* of the element's width, so that whole vectors are compared at once */
        for (int64_t i = 0; i < n && !seen; i += block) {
            int64_t end = n - i < block ? n : i + block;
            MG_MASK_T found = 0;
            for (int64_t k = i; k < end; k++) found |= (MG_MASK_T)((x[k] != 0) == wanted);
            seen = (T)found;
        }
        values[row].integer = wanted ? seen != 0 : seen == 0;
    }
}

static void NAME(any_rows)(const void *x, int64_t rows, int64_t row_stride, int64_t n,
                           mg_partial *values, int64_t *positions) {
    (void)positions;
    NAME(truth_rows)(x, rows, row_stride, n, values, 1);
}

static void NAME(all_rows)(const void *x, int64_t rows, int64_t row_stride, int64_t n,
                           mg_partial *values, int64_t *positions) {
    (void)positions;
    NAME(truth_rows)(x, rows, row_stride, n, values, 0);
}

INLINE void NAME(truth_columns)(const T *input, int64_t n, int64_t row_stride, int64_t columns,
                                mg_partial *values, int wanted) {
    MG_MASK_T found[COLUMN_TILE]; /* as wide as the elements, so that whole vectors are compared */
    for (int64_t column = 0; column < columns; column += COLUMN_TILE) {
        const T *x = input + column;
        int64_t width = columns - column < COLUMN_TILE ? columns - column : COLUMN_TILE;
        memset(found, 0, sizeof found);
        for (int64_t row = 0; row < n; row++, x += row_stride)
            for (int64_t k = 0; k < width; k++) found[k] |= (x[k] != 0) == wanted ? 1 : 0;
        for (int64_t k = 0; k < width; k++) values[column + k].integer = found[k] == wanted;
    }
}

static void NAME(any_columns)(const void *x, int64_t n, int64_t row_stride, int64_t columns,
                              mg_partial *values, int64_t *positions) {
    (void)positions;
    NAME(truth_columns)(x, n, row_stride, columns, values, 1);
}

static void NAME(all_columns)(const void *x, int64_t n, int64_t row_stride, int64_t columns,
                              mg_partial *values, int64_t *positions) {
    (void)positions;
    NAME(truth_columns)(x, n, row_stride, columns, values, 0);
}

#undef SUM_ADDITIONS
#undef COLUMN_TILE
#undef REDUCE_T
#undef REDUCE_FIELD
#undef IS_NAN
