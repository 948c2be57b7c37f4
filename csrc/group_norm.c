/* Layer, RMS, group and instance normalisation. The input is seen as (N, groups, channels, inner);
 * each group of a sample, n = channels * inner neighbouring elements, is normalised by itself, and
 * each channel of a group has a weight w and a bias b. Layer normalisation has one group and
 * inner = 1; instance normalisation has groups of one channel.
 *
 *   forward    y = (x - m) s w + b,  m = mean x,  s = 1 / sqrt(mean (x - m)^2 + eps)
 *   backward   with g = grad w and averages <.> over the group
 *              grad_input = s (g - <g> - (x - m) s^2 <g (x - m)>)
 *              grad_weight = sum grad (x - m) s over the samples,  grad_bias = sum grad
 * Root mean square normalisation has m = 0 and no <g>.
 * Ba et al., "Layer Normalization", 2016; Zhang and Sennrich, "Root Mean Square Layer
 * Normalization", 2019; Wu and He, "Group Normalization", 2018. */
#include "core.h"

#define PIECE 16384 /* elements for one call of the loop's body */
#define COLUMNS 128 /* weights whose gradients are added up at a time */

typedef struct norm {
    mg_rows_task task;
    int64_t samples, channels, inner, item_size;
    int dtype;
    const char *x, *grad;
    char *out; /* NULL: not wanted */
    int wants_weight, wants_bias;
    char *sums;            /* of grad_weight and grad_bias, one after the other, by pieces */
    int64_t piece, pieces; /* samples in a piece of `sums`, and their number */
} norm;

static const char *advance(const norm *m, const char *base, int64_t elements) {
    return base ? base + elements * m->item_size : NULL;
}

/* ---- inner = 1: rows with a weight for each element ---- */

static void forward_rows(void *context, int64_t begin, int64_t end) {
    const norm *m = context;
    mg_active_isa->normalize.rows_normalize[m->dtype](&m->task, m->x, begin, end, m->out);
}

/* Of pieces [begin, end), each with sums of its own. */
static void backward_rows(void *context, int64_t begin, int64_t end) {
    const norm *m = context;
    const int64_t weights = m->task.groups * m->task.n, bytes = weights * m->item_size;
    for (int64_t piece = begin; piece < end; piece++) {
        int64_t first = piece * m->piece, last = first + m->piece;
        char *to_weight = m->sums + piece * 2 * bytes;
        if (last > m->samples) last = m->samples;
        memset(to_weight, 0, (size_t)(2 * bytes));
        mg_active_isa->normalize.rows_backward[m->dtype](&m->task, m->x, m->grad, first, last,
                                                         m->out, m->wants_weight ? to_weight : NULL,
                                                         m->wants_bias ? to_weight + bytes : NULL);
    }
}

/* ---- inner > 1: groups of channels ---- */

static void group_statistics(const norm *m, int64_t group) {
    const mg_normalize_loops *loops = &mg_active_isa->normalize;
    const int64_t n = m->task.n;
    const char *x = advance(m, m->x, group * n), *mean = advance(m, m->task.mean, group);
    double sum, squares;
    loops->batch_sum_rows[m->dtype](MG_BATCH_SUM_X, x, NULL, 1, 0, n, NULL, &sum);
    mg_set_number(m->dtype, m->task.mean, group, sum / (double)n);
    loops->batch_sum_rows[m->dtype](MG_BATCH_SUM_SQUARES, x, NULL, 1, 0, n, mean, &squares);
    double rounding =
        sum / (double)n - mg_number(m->dtype, mean, 0); /* see kernels/normalize_rows.h */
    double variance = squares / (double)n - rounding * rounding;
    if (variance < 0) variance = 0;
    mg_set_number(m->dtype, m->task.inverse_std, group, 1 / sqrt(variance + m->task.eps));
}

static void forward_groups(void *context, int64_t begin, int64_t end) {
    const norm *m = context;
    for (int64_t group = begin; group < end; group++) {
        group_statistics(m, group);
        double inverse_std = mg_number(m->dtype, m->task.inverse_std, group);
        for (int64_t c = 0; c < m->channels; c++) {
            int64_t channel = group % m->task.groups * m->channels + c;
            int64_t offset = (group * m->channels + c) * m->inner * m->item_size;
            double scale, shift; /* one number of the dtype in each */
            mg_set_number(m->dtype, &scale, 0,
                          inverse_std *
                              (m->task.weight ? mg_number(m->dtype, m->task.weight, channel) : 1));
            mg_set_number(m->dtype, &shift, 0,
                          m->task.bias ? mg_number(m->dtype, m->task.bias, channel) : 0);
            mg_batch_rows rows = {.rows = 1,
                                  .n = m->inner,
                                  .mean = advance(m, m->task.mean, group),
                                  .scale = &scale,
                                  .shift = &shift};
            mg_active_isa->normalize.batch_apply[m->dtype](&rows, m->x + offset, m->out + offset);
        }
    }
}

/* The channels' sums of grad_weight and grad_bias go to `sums`, as double, sample by sample. */
static void backward_groups(void *context, int64_t begin, int64_t end) {
    const norm *m = context;
    const mg_normalize_loops *loops = &mg_active_isa->normalize;
    const int64_t weights = m->task.groups * m->channels;
    for (int64_t group = begin; group < end; group++) {
        const int64_t first = group % m->task.groups * m->channels;
        const char *mean = advance(m, m->task.mean, group);
        const double inverse_std = mg_number(m->dtype, m->task.inverse_std, group);
        double *to_weight = (double *)m->sums + group / m->task.groups * 2 * weights + first;
        double *to_bias = to_weight + weights, sum = 0, product = 0;
        for (int64_t c = 0; c < m->channels; c++) {
            double weight = m->task.weight ? mg_number(m->dtype, m->task.weight, first + c) : 1;
            int64_t offset = (group * m->channels + c) * m->inner * m->item_size;
            loops->batch_sum_rows[m->dtype](MG_BATCH_SUM_GRAD, m->x + offset, m->grad + offset, 1,
                                            0, m->inner, mean, to_bias + c);
            loops->batch_sum_rows[m->dtype](MG_BATCH_SUM_GRAD_TIMES, m->x + offset,
                                            m->grad + offset, 1, 0, m->inner, mean, to_weight + c);
            sum += weight * to_bias[c];
            product += weight * to_weight[c];
            to_weight[c] *= inverse_std;
        }
        if (!m->out) continue;
        double scale, shift, slope;
        mg_set_number(m->dtype, &shift, 0, inverse_std * sum / (double)m->task.n);
        mg_set_number(m->dtype, &slope, 0,
                      inverse_std * inverse_std * inverse_std * product / (double)m->task.n);
        mg_batch_rows rows = {.rows = 1,
                              .n = m->inner,
                              .mean = mean,
                              .scale = &scale,
                              .shift = &shift,
                              .slope = &slope};
        for (int64_t c = 0; c < m->channels; c++) {
            int64_t offset = (group * m->channels + c) * m->inner * m->item_size;
            double weight = m->task.weight ? mg_number(m->dtype, m->task.weight, first + c) : 1;
            mg_set_number(m->dtype, &scale, 0, inverse_std * weight);
            loops->batch_backward[m->dtype](&rows, m->x + offset, m->grad + offset,
                                            m->out + offset);
        }
    }
}

/* ---- both ---- */

/* integers: groups, channels, inner, whether centred; scalars: eps. */
static norm describe(const mg_launch *launch, const mg_array *x) {
    norm m = {.x = x->data, .dtype = x->dtype, .item_size = mg_item_size(x->dtype)};
    m.channels = launch->integers[1];
    m.inner = launch->integers[2];
    m.task.groups = launch->integers[0];
    m.task.n = m.channels * m.inner;
    m.task.centred = (int)launch->integers[3];
    m.task.eps = launch->scalars[0];
    m.samples = x->size ? x->size / (m.task.groups * m.task.n) : 0;
    return m;
}

/* arrays: output, mean (NULL if not centred), 1/std, input, weight, bias (NULL where there is
 * none). */
int mg_run_group_norm(const mg_launch *launch) {
    mg_array **arrays = launch->arrays;
    norm m = describe(launch, arrays[3]);
    m.out = arrays[0]->data;
    m.task.mean = arrays[1] ? arrays[1]->data : NULL;
    m.task.inverse_std = arrays[2]->data;
    m.task.weight = arrays[4] ? arrays[4]->data : NULL;
    m.task.bias = arrays[5] ? arrays[5]->data : NULL;
    if (m.samples == 0) return 0;
    double nanoseconds = 0.05 * (double)(arrays[3]->size * m.item_size); /* measured */
    mg_parallel_for(m.samples * m.task.groups, PIECE / (m.task.n + 1) + 1, nanoseconds,
                    m.inner == 1 ? forward_rows : forward_groups, &m);
    return 0;
}

/* Adds up what the pieces have left in `sums`; `which` is 0 for grad_weight and 1 for grad_bias. */
static void collect(const norm *m, int which, mg_array *gradient) {
    const int dtype = m->inner == 1 ? m->dtype : MG_FLOAT64;
    const int64_t weights = gradient->size, size = mg_item_size(dtype);
    mg_partial totals[COLUMNS];
    for (int64_t first = 0; first < weights; first += COLUMNS) {
        int64_t count = weights - first < COLUMNS ? weights - first : COLUMNS;
        const char *sums = m->sums + (which * weights + first) * size;
        mg_active_isa->reduce.columns[MG_REDUCE_SUM][dtype](sums, m->pieces, 2 * weights, count,
                                                            totals, NULL);
        for (int64_t k = 0; k < count; k++)
            mg_set_number(m->dtype, gradient->data, first + k, totals[k].real);
    }
}

/* arrays: grad_input, grad_weight, grad_bias (each NULL where it is not wanted), grad_output,
 * input, weight, mean, 1/std. */
int mg_run_group_norm_backward(const mg_launch *launch) {
    mg_array **arrays = launch->arrays;
    norm m = describe(launch, arrays[4]);
    m.out = arrays[0] ? arrays[0]->data : NULL;
    m.wants_weight = arrays[1] != NULL;
    m.wants_bias = arrays[2] != NULL;
    m.grad = arrays[3]->data;
    m.task.weight = arrays[5] ? arrays[5]->data : NULL;
    m.task.mean = arrays[6] ? arrays[6]->data : NULL;
    m.task.inverse_std = arrays[7]->data;
    if (m.samples == 0) {
        for (int i = 1; i < 3; i++)
            if (arrays[i]) memset(arrays[i]->data, 0, (size_t)(arrays[i]->size * m.item_size));
        return 0;
    }
    int64_t weights = m.task.groups * m.channels, rows = m.samples * m.task.groups;
    double nanoseconds = 0.1 * (double)(arrays[4]->size * m.item_size); /* measured */
    m.piece = 1;
    if (m.inner == 1) { /* so that the sums take less memory than the input */
        m.piece = PIECE / (weights + 1) + 4;
        if (m.piece * 64 < m.samples) m.piece = (m.samples + 63) / 64;
    }
    m.pieces = (m.samples + m.piece - 1) / m.piece;
    m.sums = mg_scratch(MG_SCRATCH_WORK, m.pieces * 2 * weights * (m.inner == 1 ? m.item_size : 8));
    if (!m.sums) return mg_fail(MG_MEMORY_ERROR, "out of memory in the gradient of group_norm");
    if (m.inner == 1)
        mg_parallel_for(m.pieces, 1, nanoseconds, backward_rows, &m);
    else
        mg_parallel_for(rows, PIECE / (m.task.n + 1) + 1, nanoseconds, backward_groups, &m);
    if (m.wants_weight) collect(&m, 0, arrays[1]);
    if (m.wants_bias) collect(&m, 1, arrays[2]);
    return 0;
}

/* ---- entries ---- */

/* `count` operands, NULL where there is none, contiguous. Returns whether one failed. */
static int make_contiguous(int count, mg_array **operands, mg_array **ready) {
    int failed = 0;
    for (int i = 0; i < count; i++) {
        ready[i] = operands[i] ? mg_as_contiguous(operands[i], operands[i]->dtype) : NULL;
        failed |= operands[i] && !ready[i];
    }
    return failed;
}

/* Sizes that fit each other; Python has checked what a user can get wrong. */
static int check(const char *op, const mg_array *input, int count, mg_array **weights,
                 const int64_t *geometry) {
    const int64_t of_weights = geometry[0] * geometry[1], of_sample = of_weights * geometry[2];
    if (!mg_is_float(input->dtype))
        return mg_fail(
            MG_NOT_IMPLEMENTED_ERROR,
            "\"%s\" not implemented for '%s': convert the input to a floating point dtype", op,
            mg_dtype_name(input->dtype));
    if (input->size && (of_sample <= 0 || input->size % of_sample))
        return mg_fail(MG_RUNTIME_ERROR, "%s: an input of shape %s does not divide into groups", op,
                       mg_shape_text(input));
    if (!geometry[3] && geometry[2] != 1)
        return mg_fail(MG_NOT_IMPLEMENTED_ERROR, "%s: channels of one element only without a mean",
                       op);
    for (int i = 0; i < count; i++) {
        if (!weights[i]) continue;
        if (weights[i]->size != of_weights)
            return mg_fail(MG_RUNTIME_ERROR,
                           "%s: expected a weight or bias of %lld elements, got shape %s", op,
                           (long long)of_weights, mg_shape_text(weights[i]));
        if (weights[i]->dtype != input->dtype)
            return mg_fail(MG_RUNTIME_ERROR,
                           "%s: mixed dtype: the input is %s, but a weight or bias is %s", op,
                           mg_dtype_name(input->dtype), mg_dtype_name(weights[i]->dtype));
    }
    return 0;
}

/* Submits a launch of `count` arrays, of which the first three, `wanted` by bits, are new. */
static int submit(int kernel, int wanted, int count, mg_array **arrays, const int64_t *geometry,
                  double eps, int failed, mg_array **outputs) {
    mg_launch launch = {.kernel = kernel, .outputs = 3, .count = count, .arrays = arrays};
    for (int i = 0; i < 3; i++) failed |= (wanted >> i & 1) && !arrays[i];
    memcpy(launch.integers, geometry, 4 * sizeof *geometry);
    launch.scalars[0] = eps;
    if (!failed) failed = mg_submit(&launch, 0, NULL);
    for (int i = 0; i < count; i++)
        if (arrays[i] && (i >= 3 || failed)) mg_release(arrays[i]);
    for (int i = 0; i < 3; i++) outputs[i] = failed ? NULL : arrays[i];
    return failed ? -1 : 0;
}

int mg_group_norm(mg_array *input, mg_array *weight, mg_array *bias, const int64_t *geometry,
                  double eps, mg_array **outputs) {
    mg_array *operands[] = {input, weight, bias}, *arrays[6] = {NULL};
    if (check("group_norm", input, 2, operands + 1, geometry)) return -1;
    const int64_t n = geometry[1] * geometry[2], rows = input->size ? input->size / n : 0;
    const int centred = geometry[3] != 0;
    int failed = make_contiguous(3, operands, arrays + 3);
    arrays[0] = mg_empty_like(input, input->dtype);
    if (centred) arrays[1] = mg_empty(input->dtype, 1, &rows);
    arrays[2] = mg_empty(input->dtype, 1, &rows);
    return submit(MG_KERNEL_group_norm, centred ? 7 : 5, 6, arrays, geometry, eps, failed, outputs);
}

int mg_group_norm_backward(mg_array *grad_output, mg_array *input, mg_array *weight, mg_array *mean,
                           mg_array *inverse_std, const int64_t *geometry, int wanted,
                           mg_array **outputs) {
    const char *op = "group_norm_backward";
    mg_array *operands[] = {grad_output, input, weight, mean, inverse_std}, *arrays[8] = {NULL};
    if (check(op, input, 1, &weight, geometry)) return -1;
    const int64_t weights = geometry[0] * geometry[1], n = geometry[1] * geometry[2];
    const int64_t rows = input->size ? input->size / n : 0;
    if (!mg_same_shape(grad_output, input) || grad_output->dtype != input->dtype)
        return mg_fail(
            MG_RUNTIME_ERROR,
            "%s: grad_output (%s, shape %s) must have the dtype and shape of the input (%s, "
            "shape %s)",
            op, mg_dtype_name(grad_output->dtype), mg_shape_text(grad_output),
            mg_dtype_name(input->dtype), mg_shape_text(input));
    if (!mean != !geometry[3] || (mean && mean->size != rows) || inverse_std->size != rows)
        return mg_fail(MG_RUNTIME_ERROR, "%s: statistics of another input", op);
    int failed = make_contiguous(5, operands, arrays + 3);
    if (wanted & 1) arrays[0] = mg_empty_like(input, input->dtype);
    for (int i = 1; i < 3; i++)
        if (wanted >> i & 1)
            arrays[i] =
                weight ? mg_empty_like(weight, input->dtype) : mg_empty(input->dtype, 1, &weights);
    return submit(MG_KERNEL_group_norm_backward, wanted, 8, arrays, geometry, 0, failed, outputs);
}
