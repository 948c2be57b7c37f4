/* Batch normalisation of one floating-point dtype; see ../normalize.h for the formulas. */

INLINE V NAME(batch_term)(int kind, V x, V grad, V mean) {
    if (kind == MG_BATCH_SUM_X) return x;
    if (kind == MG_BATCH_SUM_GRAD) return grad;
    return (kind == MG_BATCH_SUM_SQUARES ? x - mean : grad) * (x - mean);
}

/* The term of `count` <= LANES elements. Missing lanes read as the mean and no gradient, so that
 * they add 0. Only what the kind needs is read. */
INLINE V NAME(batch_term_at)(int kind, const T *x, const T *grad, int64_t count, V mean, T fill) {
    V element = mean, slope = {0};
    if (kind != MG_BATCH_SUM_GRAD) element = NAME(load_some)(x, count, fill);
    if (kind >= MG_BATCH_SUM_GRAD) slope = NAME(load_some)(grad, count, 0);
    return NAME(batch_term)(kind, element, slope, mean);
}

INLINE double NAME(batch_total)(int kind, const T *x, const T *grad, int64_t rows,
                                int64_t row_stride, int64_t n, T mean) {
    const V means = NAME(splat)(mean), zero = {0};
    const T fill = kind == MG_BATCH_SUM_X ? 0 : mean;
    V sum[4] = {zero, zero, zero, zero};
    double total = 0;
    int64_t added = 0; /* by the lanes since they were emptied */
    for (int64_t row = 0; row < rows; row++, x += row_stride, grad += row_stride) {
        for (int64_t first = 0; first < n; first += BLOCK) {
            int64_t i = first, end = n - first < BLOCK ? n : first + BLOCK;
            for (; i + 4 * LANES <= end; i += 4 * LANES) {
#pragma GCC unroll 4
                for (int k = 0; k < 4; k++) {
                    int64_t at = i + k * LANES;
                    sum[k] += NAME(batch_term_at)(kind, x + at, grad + at, LANES, means, fill);
                }
            }
            for (int64_t count; i < end; i += count) {
                count = end - i < LANES ? end - i : LANES;
                sum[0] += NAME(batch_term_at)(kind, x + i, grad + i, count, means, fill);
            }
            added += (end - first) / (4 * LANES) + 4;
            if (added < 64) continue;
            total += (double)NAME(lanes_sum)((sum[0] + sum[1]) + (sum[2] + sum[3]));
            sum[0] = sum[1] = sum[2] = sum[3] = zero;
            added = 0;
        }
    }
    return total + (double)NAME(lanes_sum)((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

static void NAME(batch_sum_rows)(int kind, const void *x, const void *grad, int64_t rows,
                                 int64_t row_stride, int64_t n, const void *mean, double *sum) {
    const T center = mean ? *(const T *)mean : 0;
    if (!grad) grad = x; /* not read, but pointers move along */
    if (kind == MG_BATCH_SUM_X)
        *sum = NAME(batch_total)(MG_BATCH_SUM_X, x, grad, rows, row_stride, n, center);
    else if (kind == MG_BATCH_SUM_SQUARES)
        *sum = NAME(batch_total)(MG_BATCH_SUM_SQUARES, x, grad, rows, row_stride, n, center);
    else if (kind == MG_BATCH_SUM_GRAD)
        *sum = NAME(batch_total)(MG_BATCH_SUM_GRAD, x, grad, rows, row_stride, n, center);
    else
        *sum = NAME(batch_total)(MG_BATCH_SUM_GRAD_TIMES, x, grad, rows, row_stride, n, center);
}

/* `width` <= LANES columns, or two whole vectors of them. */
INLINE void NAME(batch_tile)(int kind, const T *x, const T *grad, int64_t rows, int64_t row_stride,
                             const int vectors, int64_t width, const T *mean, double *sums) {
    const V zero = {0};
    V means[2], sum[4];
    T tile[2 * LANES];
    const int64_t columns = vectors == 1 ? width : vectors * LANES;
    for (int64_t k = 0; k < columns; k++) sums[k] = 0;
    for (int k = 0; k < vectors; k++)
        means[k] = mean ? NAME(load_some)(mean + k * LANES, width, 0) : zero;
    for (int64_t first = 0; first < rows; first += 128) {
        int64_t row = first, end = rows - first < 128 ? rows : first + 128;
        for (int k = 0; k < 4; k++) sum[k] = zero;
        for (; row + 2 <= end; row += 2) {
#pragma GCC unroll 4
            for (int k = 0; k < 2 * vectors; k++) {
                int64_t at = (row + k / vectors) * row_stride + k % vectors * LANES;
                sum[k] +=
                    NAME(batch_term_at)(kind, x + at, grad + at, width, means[k % vectors], 0);
            }
        }
        for (; row < end; row++) {
#pragma GCC unroll 2
            for (int k = 0; k < vectors; k++) {
                int64_t at = row * row_stride + k * LANES;
                sum[k] += NAME(batch_term_at)(kind, x + at, grad + at, width, means[k], 0);
            }
        }
        for (int k = 0; k < vectors; k++) NAME(store)(tile + k * LANES, sum[k] + sum[k + vectors]);
        for (int64_t k = 0; k < columns; k++) sums[k] += (double)tile[k];
    }
}

INLINE void NAME(batch_columns)(int kind, const T *x, const T *grad, int64_t rows,
                                int64_t row_stride, int64_t n, const T *mean, double *sums) {
    int64_t k = 0;
    for (; k + 2 * LANES <= n; k += 2 * LANES)
        NAME(batch_tile)(kind, x + k, grad + k, rows, row_stride, 2, LANES, mean ? mean + k : NULL,
                         sums + k);
    for (; k < n; k += LANES)
        NAME(batch_tile)(kind, x + k, grad + k, rows, row_stride, 1, n - k < LANES ? n - k : LANES,
                         mean ? mean + k : NULL, sums + k);
}

static void NAME(batch_sum_columns)(int kind, const void *x, const void *grad, int64_t rows,
                                    int64_t row_stride, int64_t n, const void *mean, double *sums) {
    if (!grad) grad = x;
    if (kind == MG_BATCH_SUM_X)
        NAME(batch_columns)(MG_BATCH_SUM_X, x, grad, rows, row_stride, n, NULL, sums);
    else if (kind == MG_BATCH_SUM_SQUARES)
        NAME(batch_columns)(MG_BATCH_SUM_SQUARES, x, grad, rows, row_stride, n, mean, sums);
    else if (kind == MG_BATCH_SUM_GRAD)
        NAME(batch_columns)(MG_BATCH_SUM_GRAD, x, grad, rows, row_stride, n, NULL, sums);
    else
        NAME(batch_columns)(MG_BATCH_SUM_GRAD_TIMES, x, grad, rows, row_stride, n, mean, sums);
}

/* A channel's number for each lane: one channel's own, or those of `count` channels. */
INLINE V NAME(batch_number)(const void *numbers, int64_t k, int64_t count, const int each) {
    return each ? NAME(load_some)((const T *)numbers + k, count, 0)
                : NAME(splat)(*(const T *)numbers);
}

INLINE void NAME(batch_apply_rows)(const mg_batch_rows *task, const T *x, const int each, T *out) {
    for (int64_t row = 0; row < task->rows; row++) {
        for (int64_t k = 0, count; k < task->n; k += count) {
            count = task->n - k < LANES ? task->n - k : LANES;
            V mean = NAME(batch_number)(task->mean, k, count, each);
            V scale = NAME(batch_number)(task->scale, k, count, each);
            V shift = NAME(batch_number)(task->shift, k, count, each);
            V element = NAME(load_some)(x + k, count, 0);
            NAME(store_some)(out + k, (element - mean) * scale + shift, count);
        }
        x += task->row_stride;
        out += task->row_stride;
    }
}

static void NAME(batch_apply)(const mg_batch_rows *task, const void *x, void *out) {
    if (task->each)
        NAME(batch_apply_rows)(task, x, 1, out);
    else
        NAME(batch_apply_rows)(task, x, 0, out);
}

INLINE void NAME(batch_backward_rows)(const mg_batch_rows *task, const T *x, const T *grad,
                                      const int each, T *out) {
    for (int64_t row = 0; row < task->rows; row++) {
        for (int64_t k = 0, count; k < task->n; k += count) {
            count = task->n - k < LANES ? task->n - k : LANES;
            V scale = NAME(batch_number)(task->scale, k, count, each);
            V result = NAME(load_some)(grad + k, count, 0) * scale;
            if (task->slope) {
                V mean = NAME(batch_number)(task->mean, k, count, each);
                V shift = NAME(batch_number)(task->shift, k, count, each);
                V slope = NAME(batch_number)(task->slope, k, count, each);
                result = result - shift - (NAME(load_some)(x + k, count, 0) - mean) * slope;
            }
            NAME(store_some)(out + k, result, count);
        }
        x += task->row_stride;
        grad += task->row_stride;
        out += task->row_stride;
    }
}

static void NAME(batch_backward)(const mg_batch_rows *task, const void *x, const void *grad,
                                 void *out) {
    if (task->each)
        NAME(batch_backward_rows)(task, x, grad, 1, out);
    else
        NAME(batch_backward_rows)(task, x, grad, 0, out);
}
