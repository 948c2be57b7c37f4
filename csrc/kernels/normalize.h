/* Softmax and log-softmax of one floating-point dtype with their derivatives; see ../normalize.h.
 *
 *   softmax      y[i] = exp(x[i] - m) / s           m = max x,  s = sum exp(x - m)
 *   log-softmax  y[i] = x[i] - m - log s
 * A NaN or +inf anywhere, or -inf everywhere, makes m or s NaN and thereby the whole row. */

/* Vectors that are summed up in lanes of T before they go into a double; see reduce.h. */
#define BLOCK (256 * LANES)
#define ROWS_AT_ONCE 64
#define WIDE 4

INLINE T NAME(largest_of)(const T *x, int64_t n) {
    V largest[4];
    int64_t i = 0;
    for (int k = 0; k < 4; k++) largest[k] = NAME(splat)(-(T)INFINITY);
    for (; i + 4 * LANES <= n; i += 4 * LANES) {
#pragma GCC unroll 4
        for (int k = 0; k < 4; k++)
            largest[k] = NAME(larger)(NAME(load)(x + i + k * LANES), largest[k]);
    }
    for (; i + LANES <= n; i += LANES) largest[0] = NAME(larger)(NAME(load)(x + i), largest[0]);
    if (i < n) largest[1] = NAME(larger)(NAME(load_part)(x + i, n - i, -(T)INFINITY), largest[1]);
    return NAME(lanes_largest)(
        NAME(larger)(NAME(larger)(largest[0], largest[1]), NAME(larger)(largest[2], largest[3])));
}

/* sum exp(x - shift); the exponentials are kept in `out` unless it is NULL. */
INLINE double NAME(exp_sum)(const T *x, int64_t n, T shift, T *out) {
    const V shifts = NAME(splat)(shift), zero = {0};
    double total = 0;
    for (int64_t first = 0; first < n; first += BLOCK) {
        int64_t i = first, end = n - first < BLOCK ? n : first + BLOCK;
        V sum[2] = {zero, zero};
        for (; i + 2 * LANES <= end; i += 2 * LANES) {
            V a = NAME(exp)(NAME(load)(x + i) - shifts);
            V b = NAME(exp)(NAME(load)(x + i + LANES) - shifts);
            sum[0] += a;
            sum[1] += b;
            if (out) {
                NAME(store)(out + i, a);
                NAME(store)(out + i + LANES, b);
            }
        }
        for (int64_t count; i < end; i += count) {
            count = end - i < LANES ? end - i : LANES;
            V a = NAME(exp)(NAME(load_some)(x + i, count, -(T)INFINITY) - shifts);
            sum[0] += a;
            if (out) NAME(store_some)(out + i, a, count);
        }
        total += (double)NAME(lanes_sum)(sum[0] + sum[1]);
    }
    return total;
}

/* A row that fits in one vector. */
INLINE void NAME(softmax_narrow)(const T *x, int64_t rows, int64_t n, T *out) {
    for (int64_t row = 0; row < rows; row++, x += n, out += n) {
        V value = NAME(load_some)(x, n, -(T)INFINITY);
        value = NAME(exp)(value - NAME(lanes_largest)(value));
        NAME(store_some)(out, value / NAME(lanes_sum)(value), n);
    }
}

INLINE void NAME(softmax_wide)(const T *x, int64_t rows, int64_t n, T *out) {
    for (int64_t row = 0; row < rows; row++, x += n, out += n) {
        T factor = (T)(1 / NAME(exp_sum)(x, n, NAME(largest_of)(x, n), out));
        int64_t i = 0;
        for (; i + LANES <= n; i += LANES) NAME(store)(out + i, NAME(load)(out + i) * factor);
        if (i < n) NAME(store_part)(out + i, NAME(load_part)(out + i, n - i, 0) * factor, n - i);
    }
}

/* Rows [row, row + LANES) that fit in one vector each, side by side in the lanes: their largest
 * elements and sums. Where there are fewer rows the last one stands in. */
INLINE void NAME(log_softmax_narrow)(const T *x, int64_t row, int64_t rows, int64_t n, T *shift,
                                     T *sum) {
    V column[LANES], largest = NAME(splat)(-(T)INFINITY), total = {0};
    for (int i = 0; i < LANES; i++) {
        const int64_t at = row + i < rows ? row + i : rows - 1;
        column[i] = NAME(load_some)(x + at * n, n, 0);
    }
    NAME(transpose)(column);
    for (int64_t i = 0; i < n; i++) largest = NAME(larger)(column[i], largest);
    for (int64_t i = 0; i < n; i++) total += NAME(exp)(column[i] - largest);
    NAME(store)(shift + row, largest);
    NAME(store)(sum + row, total);
}

/* The logarithms of several rows are taken at once, so `rows` <= ROWS_AT_ONCE. */
INLINE void NAME(log_softmax_some)(const T *input, int64_t rows, int64_t n, T *out) {
    T shift[ROWS_AT_ONCE], sum[ROWS_AT_ONCE] = {0};
    const T *x = input;
    if (n <= LANES) {
        for (int64_t row = 0; row < rows; row += LANES)
            NAME(log_softmax_narrow)(x, row, rows, n, shift, sum);
    } else {
        for (int64_t row = 0; row < rows; row++, x += n) {
            shift[row] = NAME(largest_of)(x, n);
            sum[row] = (T)NAME(exp_sum)(x, n, shift[row], NULL);
        }
    }
    for (int64_t row = 0; row < rows; row += LANES)
        NAME(store)(sum + row, NAME(log)(NAME(load)(sum + row)));
    x = input;
    for (int64_t row = 0; row < rows; row++, x += n, out += n) {
        const V shifts = NAME(splat)(shift[row]), logarithm = NAME(splat)(sum[row]);
        int64_t i = 0;
        for (; i + LANES <= n; i += LANES)
            NAME(store)(out + i, NAME(load)(x + i) - shifts - logarithm);
        if (i < n) {
            V last = NAME(load_part)(x + i, n - i, 0) - shifts - logarithm;
            NAME(store_part)(out + i, last, n - i);
        }
    }
}

static void NAME(softmax_rows)(const void *input, int64_t rows, int64_t n, int logarithm,
                               void *output) {
    const T *x = input;
    T *out = output;
    if (logarithm) {
        int64_t most = 8192 / n < 1 ? 1 : 8192 / n; /* rows that stay in the cache */
        if (most > ROWS_AT_ONCE) most = ROWS_AT_ONCE;
        for (int64_t row = 0; row < rows; row += most)
            NAME(log_softmax_some)(x + row * n, rows - row < most ? rows - row : most, n,
                                   out + row * n);
    } else if (n <= LANES) {
        NAME(softmax_narrow)(x, rows, n, out);
    } else {
        NAME(softmax_wide)(x, rows, n, out);
    }
}

/* `vectors` vectors side by side, or one with `width` <= LANES columns. Columns are short as a rule
 * (classes, channels), so one sum in a lane is accurate enough. */
INLINE void NAME(softmax_tile)(const T *x, int64_t n, int64_t stride, const int vectors,
                               int64_t width, int logarithm, T *out) {
    V largest[WIDE], sum[WIDE];
    for (int k = 0; k < vectors; k++) {
        largest[k] = NAME(splat)(-(T)INFINITY);
        sum[k] = (V){0};
    }
    for (int64_t i = 0; i < n; i++) {
#pragma GCC unroll 4
        for (int k = 0; k < vectors; k++)
            largest[k] =
                NAME(larger)(NAME(load_some)(x + i * stride + k * LANES, width, 0), largest[k]);
    }
    for (int64_t i = 0; i < n; i++) {
#pragma GCC unroll 4
        for (int k = 0; k < vectors; k++) {
            int64_t at = i * stride + k * LANES;
            V power = NAME(exp)(NAME(load_some)(x + at, width, 0) - largest[k]);
            sum[k] += power;
            if (!logarithm) NAME(store_some)(out + at, power, width);
        }
    }
    for (int k = 0; k < vectors; k++) sum[k] = logarithm ? NAME(log)(sum[k]) : 1 / sum[k];
    for (int64_t i = 0; i < n; i++) {
#pragma GCC unroll 4
        for (int k = 0; k < vectors; k++) {
            int64_t at = i * stride + k * LANES;
            V result = logarithm ? NAME(load_some)(x + at, width, 0) - largest[k] - sum[k]
                                 : NAME(load_some)(out + at, width, 0) * sum[k];
            NAME(store_some)(out + at, result, width);
        }
    }
}

static void NAME(softmax_columns)(const void *input, int64_t n, int64_t stride, int64_t columns,
                                  int logarithm, void *output) {
    const T *x = input;
    T *out = output;
    int64_t column = 0;
    for (; column + WIDE * LANES <= columns; column += WIDE * LANES)
        NAME(softmax_tile)(x + column, n, stride, WIDE, LANES, logarithm, out + column);
    for (; column < columns; column += LANES) {
        int64_t width = columns - column < LANES ? columns - column : LANES;
        NAME(softmax_tile)(x + column, n, stride, 1, width, logarithm, out + column);
    }
}

/* ---- backward ----
 *   softmax      grad_input = y (g - sum g y)
 *   log-softmax  grad_input = g - exp(y) sum g */

INLINE V NAME(softmax_slope)(V grad, V y, V sum, int logarithm) {
    return logarithm ? grad - NAME(exp)(y) * sum : y * (grad - sum);
}

/* sum g y, or sum g */
INLINE double NAME(softmax_slope_sum)(const T *grad, const T *y, int64_t n, int logarithm) {
    const V zero = {0};
    double total = 0;
    for (int64_t first = 0; first < n; first += BLOCK) {
        int64_t i = first, end = n - first < BLOCK ? n : first + BLOCK;
        V sum[4] = {zero, zero, zero, zero};
        for (; i + 4 * LANES <= end; i += 4 * LANES) {
#pragma GCC unroll 4
            for (int k = 0; k < 4; k++) {
                V g = NAME(load)(grad + i + k * LANES);
                sum[k] += logarithm ? g : g * NAME(load)(y + i + k * LANES);
            }
        }
        for (int64_t count; i < end; i += count) {
            count = end - i < LANES ? end - i : LANES;
            V g = NAME(load_some)(grad + i, count, 0);
            sum[0] += logarithm ? g : g * NAME(load_some)(y + i, count, 0);
        }
        total += (double)NAME(lanes_sum)((sum[0] + sum[1]) + (sum[2] + sum[3]));
    }
    return total;
}

INLINE void NAME(softmax_backward_some)(const T *grad, const T *y, int64_t rows, int64_t n,
                                        int logarithm, T *out) {
    for (int64_t row = 0; row < rows; row++, grad += n, y += n, out += n) {
        const V sum = NAME(splat)((T)NAME(softmax_slope_sum)(grad, y, n, logarithm));
        int64_t i = 0;
        for (; i + LANES <= n; i += LANES)
            NAME(store)(out + i, NAME(softmax_slope)(NAME(load)(grad + i), NAME(load)(y + i), sum,
                                                     logarithm));
        if (i < n) {
            V g = NAME(load_part)(grad + i, n - i, 0), last = NAME(load_part)(y + i, n - i, 0);
            NAME(store_part)(out + i, NAME(softmax_slope)(g, last, sum, logarithm), n - i);
        }
    }
}

static void NAME(softmax_backward_rows)(const void *grad, const void *y, int64_t rows, int64_t n,
                                        int logarithm, void *out) {
    if (logarithm)
        NAME(softmax_backward_some)(grad, y, rows, n, 1, out);
    else
        NAME(softmax_backward_some)(grad, y, rows, n, 0, out);
}

INLINE void NAME(softmax_backward_tile)(const T *grad, const T *y, int64_t n, int64_t stride,
                                        const int vectors, int64_t width, int logarithm, T *out) {
    V sum[WIDE];
    for (int k = 0; k < vectors; k++) sum[k] = (V){0};
    for (int64_t i = 0; i < n; i++) {
#pragma GCC unroll 4
        for (int k = 0; k < vectors; k++) {
            int64_t at = i * stride + k * LANES;
            V g = NAME(load_some)(grad + at, width, 0);
            sum[k] += logarithm ? g : g * NAME(load_some)(y + at, width, 0);
        }
    }
    for (int64_t i = 0; i < n; i++) {
#pragma GCC unroll 4
        for (int k = 0; k < vectors; k++) {
            int64_t at = i * stride + k * LANES;
            V g = NAME(load_some)(grad + at, width, 0), value = NAME(load_some)(y + at, width, 0);
            NAME(store_some)(out + at, NAME(softmax_slope)(g, value, sum[k], logarithm), width);
        }
    }
}

static void NAME(softmax_backward_columns)(const void *grad_output, const void *output, int64_t n,
                                           int64_t stride, int64_t columns, int logarithm,
                                           void *grad_input) {
    const T *grad = grad_output, *y = output;
    T *out = grad_input;
    int64_t column = 0;
    for (; column + WIDE * LANES <= columns; column += WIDE * LANES)
        NAME(softmax_backward_tile)(grad + column, y + column, n, stride, WIDE, LANES, logarithm,
                                    out + column);
    for (; column < columns; column += LANES) {
        int64_t width = columns - column < LANES ? columns - column : LANES;
        NAME(softmax_backward_tile)(grad + column, y + column, n, stride, 1, width, logarithm,
                                    out + column);
    }
}

#include "normalize_attention.h"
#include "normalize_batch.h"
#include "normalize_loss.h"
#include "normalize_rows.h"

#undef ROWS_AT_ONCE
#undef WIDE
#undef BLOCK
