/* Layer normalisation and its relatives over rows of one floating-point dtype; see ../normalize.h
 * for the task and ../group_norm.c for the formulas. */

#define ROWS_TOGETHER 4

/* Mean (0 where rows are not centred) and 1/std of one row. The squares are around the rounded mean
 * a: sum (x - a)^2 = sum (x - m)^2 + n (m - a)^2 */
INLINE void NAME(row_statistics)(const mg_rows_task *task, const T *x, int64_t row) {
    const double n = (double)task->n;
    double mean = 0, rounding = 0;
    if (task->centred) {
        mean = NAME(batch_total)(MG_BATCH_SUM_X, x, x, 1, 0, task->n, 0) / n;
        ((T *)task->mean)[row] = (T)mean;
        rounding = mean - (double)(T)mean;
    }
    double squares = NAME(batch_total)(MG_BATCH_SUM_SQUARES, x, x, 1, 0, task->n, (T)mean);
    double variance = squares / n - rounding * rounding;
    if (variance < 0) variance = 0; /* and a NaN stays one */
    ((T *)task->inverse_std)[row] = (T)(1 / sqrt(variance + task->eps));
}

static void NAME(rows_normalize)(const mg_rows_task *task, const void *input, int64_t begin,
                                 int64_t end, void *output) {
    const int64_t n = task->n;
    const T *x = (const T *)input + begin * n;
    T *out = (T *)output + begin * n;
    for (int64_t row = begin; row < end; row++, x += n, out += n) {
        NAME(row_statistics)(task, x, row);
        const V mean = NAME(splat)(task->centred ? ((const T *)task->mean)[row] : 0);
        const V inverse_std = NAME(splat)(((const T *)task->inverse_std)[row]);
        const int64_t offset = row % task->groups * n;
        const T *weight = task->weight ? (const T *)task->weight + offset : NULL;
        const T *bias = task->bias ? (const T *)task->bias + offset : NULL;
        for (int64_t k = 0, count; k < n; k += count) {
            count = n - k < LANES ? n - k : LANES;
            V value = (NAME(load_some)(x + k, count, 0) - mean) * inverse_std;
            if (weight) value *= NAME(load_some)(weight + k, count, 0);
            if (bias) value += NAME(load_some)(bias + k, count, 0);
            NAME(store_some)(out + k, value, count);
        }
    }
}

/* sum g and sum g (x - mean) with g = grad * weight */
INLINE void NAME(row_slopes)(const T *x, const T *grad, const T *weight, int64_t n, T mean,
                             double *sums) {
    const V means = NAME(splat)(mean), zero = {0}, one = NAME(splat)(1);
    sums[0] = sums[1] = 0;
    for (int64_t first = 0; first < n; first += BLOCK) {
        int64_t k = first, end = n - first < BLOCK ? n : first + BLOCK;
        V sum[2] = {zero, zero}, product[2] = {zero, zero};
        for (; k + 2 * LANES <= end; k += 2 * LANES) {
#pragma GCC unroll 2
            for (int i = 0; i < 2; i++) {
                int64_t at = k + i * LANES;
                V slope = NAME(load)(grad + at) * (weight ? NAME(load)(weight + at) : one);
                sum[i] += slope;
                product[i] += slope * (NAME(load)(x + at) - means);
            }
        }
        for (int64_t count; k < end; k += count) {
            count = end - k < LANES ? end - k : LANES;
            V slope = NAME(load_some)(grad + k, count, 0);
            if (weight) slope *= NAME(load_some)(weight + k, count, 0);
            sum[0] += slope;
            product[0] += slope * (NAME(load_some)(x + k, count, mean) - means);
        }
        sums[0] += (double)NAME(lanes_sum)(sum[0] + sum[1]);
        sums[1] += (double)NAME(lanes_sum)(product[0] + product[1]);
    }
}

/* `rows` rows with the same weights, a sample apart, whose first is `row`. grad_weight and
 * grad_bias are added to. */
INLINE void NAME(rows_backward_some)(const mg_rows_task *task, const T *x, const T *grad,
                                     int64_t row, const int rows, T *out, T *grad_weight,
                                     T *grad_bias) {
    const int64_t n = task->n, apart = n * task->groups;
    const T *weight = task->weight ? (const T *)task->weight + row % task->groups * n : NULL;
    V mean[ROWS_TOGETHER], inverse_std[ROWS_TOGETHER], shift[ROWS_TOGETHER], slope[ROWS_TOGETHER];
    x += row * n;
    grad += row * n;
    if (out) out += row * n;
    for (int i = 0; i < rows; i++) {
        double sums[2] = {0, 0};
        int64_t at = row + i * task->groups;
        T center = task->centred ? ((const T *)task->mean)[at] : 0;
        double scale = (double)((const T *)task->inverse_std)[at];
        if (out) NAME(row_slopes)(x + i * apart, grad + i * apart, weight, n, center, sums);
        mean[i] = NAME(splat)(center);
        inverse_std[i] = NAME(splat)((T)scale);
        shift[i] = NAME(splat)((T)(task->centred ? scale * sums[0] / (double)n : 0));
        slope[i] = NAME(splat)((T)(scale * scale * scale * sums[1] / (double)n));
    }
    for (int64_t k = 0, count; k < n; k += count) {
        count = n - k < LANES ? n - k : LANES;
        V sum = {0}, product = {0};
        const V factor = weight ? NAME(load_some)(weight + k, count, 0) : NAME(splat)(1);
#pragma GCC unroll 4
        for (int i = 0; i < rows; i++) {
            int64_t at = i * apart + k;
            V g = NAME(load_some)(grad + at, count, 0);
            V around = NAME(load_some)(x + at, count, 0) - mean[i];
            sum += g;
            product += g * (around * inverse_std[i]);
            if (out)
                NAME(store_some)(out + at,
                                 g * factor * inverse_std[i] - shift[i] - around * slope[i], count);
        }
        if (grad_weight)
            NAME(store_some)(grad_weight + k, NAME(load_some)(grad_weight + k, count, 0) + product,
                             count);
        if (grad_bias)
            NAME(store_some)(grad_bias + k, NAME(load_some)(grad_bias + k, count, 0) + sum, count);
    }
}

static void NAME(rows_backward)(const mg_rows_task *task, const void *input,
                                const void *grad_output, int64_t begin, int64_t end,
                                void *grad_input, void *grad_weight, void *grad_bias) {
    const T *x = input, *grad = grad_output;
    T *out = grad_input, *to_weight = grad_weight, *to_bias = grad_bias;
    for (int64_t group = 0; group < task->groups; group++) {
        T *of_weight = to_weight ? to_weight + group * task->n : NULL;
        T *of_bias = to_bias ? to_bias + group * task->n : NULL;
        int64_t sample = begin;
        for (; sample + ROWS_TOGETHER <= end; sample += ROWS_TOGETHER)
            NAME(rows_backward_some)(task, x, grad, sample * task->groups + group, ROWS_TOGETHER,
                                     out, of_weight, of_bias);
        for (; sample < end; sample++)
            NAME(rows_backward_some)(task, x, grad, sample * task->groups + group, 1, out,
                                     of_weight, of_bias);
    }
}

#undef ROWS_TOGETHER
