/* Batch normalisation over (N, C, inner...): each channel is normalised over all but dimension 1.
 *
 *   forward    y = (x - mean) / sqrt(var + eps) * weight + bias
 *   backward   with u = 1 / sqrt(var + eps) and averages <.> over the channel, in training
 *              grad_input = weight u (grad - <grad> - (x - mean) u^2 <grad (x - mean)>)
 *              and without the averages in evaluation
 * Ioffe and Szegedy, "Batch Normalization", 2015. The variance takes a second pass over the data,
 * around the mean, so it is right where the mean is much larger than the deviation.
 *
 * Two forms: where inner > 1 a channel's data lie in N rows of neighbours, and the loop runs over
 * the channels. Where inner = 1 neighbours are of different channels: sums run over blocks of
 * columns, then rows are normalised with vectors of channels. */
#include "core.h"

#define COLUMNS 64  /* channels for one call of the loop where inner = 1 */
#define PIECE 16384 /* elements for one call of the loop's body */

typedef struct batch {
    const char *x, *grad; /* grad: NULL for the forward pass */
    char *out;
    int64_t count, channels, inner, item_size;
    int dtype, training;
    double momentum, eps;
    const mg_array *weight, *bias, *running_mean, *running_var; /* each may be NULL */
    mg_array *mean, *inverse_std;
    mg_array *grad_weight, *grad_bias;
    /* Of each channel, in the dtype: see mg_batch_rows. */
    char *scale, *shift, *slope;
} batch;

/* Sums over the data of channels [first, first + channels); one channel where inner > 1. */
static void sum_channels(const batch *b, int kind, int64_t first, int64_t channels, double *sums) {
    const mg_normalize_loops *loops = &mg_active_isa->normalize;
    int64_t offset = first * b->inner * b->item_size;
    const void *mean = b->mean->data + first * b->item_size;
    const char *x = b->x + offset, *grad = b->grad ? b->grad + offset : NULL;
    if (b->inner == 1)
        loops->batch_sum_columns[b->dtype](kind, x, grad, b->count, b->channels, channels, mean,
                                           sums);
    else
        loops->batch_sum_rows[b->dtype](kind, x, grad, b->count, b->channels * b->inner, b->inner,
                                        mean, sums);
}

/* running = (1 - momentum) running + momentum batch, with the unbiased variance */
static void track(const batch *b, int64_t channel, double mean, double variance, double samples) {
    if (!b->running_mean || samples < 1) return;
    int64_t at = channel * b->running_mean->strides[0];
    double kept = 1 - b->momentum, unbiased = samples > 1 ? samples / (samples - 1) : 1;
    mg_set_number(b->dtype, b->running_mean->data, at,
                  kept * mg_number(b->dtype, b->running_mean->data, at) + b->momentum * mean);
    at = channel * b->running_var->strides[0];
    mg_set_number(b->dtype, b->running_var->data, at,
                  kept * mg_number(b->dtype, b->running_var->data, at) +
                      b->momentum * variance * unbiased);
}

/* Statistics of the channels, and the numbers that the rows are normalised with. */
static void forward_statistics(const batch *b, int64_t first, int64_t channels) {
    double sums[COLUMNS], squares[COLUMNS], samples = (double)b->count * (double)b->inner;
    if (b->training) {
        sum_channels(b, MG_BATCH_SUM_X, first, channels, sums);
        for (int64_t k = 0; k < channels; k++)
            mg_set_number(b->dtype, b->mean->data, first + k, sums[k] / samples);
        sum_channels(b, MG_BATCH_SUM_SQUARES, first, channels, squares);
    }
    for (int64_t k = 0; k < channels; k++) {
        int64_t channel = first + k;
        double variance;
        if (b->training) {
            /* The squares are around the rounded mean a:
             * sum (x - a)^2 = sum (x - m)^2 + n (m - a)^2 */
            double mean = sums[k] / samples,
                   rounding = mean - mg_number(b->dtype, b->mean->data, channel);
            variance = squares[k] / samples - rounding * rounding;
            if (variance < 0) variance = 0;
            track(b, channel, mean, variance, samples);
        } else {
            int64_t at = channel * b->running_mean->strides[0];
            mg_set_number(b->dtype, b->mean->data, channel,
                          mg_number(b->dtype, b->running_mean->data, at));
            at = channel * b->running_var->strides[0];
            variance = mg_number(b->dtype, b->running_var->data, at);
        }
        double inverse_std = 1 / sqrt(variance + b->eps);
        mg_set_number(b->dtype, b->inverse_std->data, channel, inverse_std);
        mg_set_number(b->dtype, b->scale, channel,
                      (b->weight ? mg_number(b->dtype, b->weight->data, channel) : 1) *
                          inverse_std);
        mg_set_number(b->dtype, b->shift, channel,
                      b->bias ? mg_number(b->dtype, b->bias->data, channel) : 0);
    }
}

static void backward_statistics(const batch *b, int64_t first, int64_t channels) {
    double sums[COLUMNS], products[COLUMNS], samples = (double)b->count * (double)b->inner;
    sum_channels(b, MG_BATCH_SUM_GRAD, first, channels, sums);
    sum_channels(b, MG_BATCH_SUM_GRAD_TIMES, first, channels, products);
    for (int64_t k = 0; k < channels; k++) {
        int64_t channel = first + k;
        double inverse_std = mg_number(b->dtype, b->inverse_std->data, channel);
        mg_set_number(b->dtype, b->grad_bias->data, channel, sums[k]);
        mg_set_number(b->dtype, b->grad_weight->data, channel, products[k] * inverse_std);
        double scale =
            (b->weight ? mg_number(b->dtype, b->weight->data, channel) : 1) * inverse_std;
        mg_set_number(b->dtype, b->scale, channel, scale);
        mg_set_number(b->dtype, b->shift, channel, scale * sums[k] / samples);
        if (b->slope)
            mg_set_number(b->dtype, b->slope, channel,
                          scale * products[k] / samples * inverse_std * inverse_std);
    }
}

static void statistics(void *context, int64_t begin, int64_t end) {
    const batch *b = context;
    if (b->grad)
        backward_statistics(b, begin, end - begin);
    else
        forward_statistics(b, begin, end - begin);
}

static void apply(const batch *b, const mg_batch_rows *rows, int64_t offset) {
    const mg_normalize_loops *loops = &mg_active_isa->normalize;
    if (b->grad)
        loops->batch_backward[b->dtype](rows, b->x + offset, b->grad + offset, b->out + offset);
    else
        loops->batch_apply[b->dtype](rows, b->x + offset, b->out + offset);
}

/* inner > 1: everything of channels [begin, end), while their data are in the cache */
static void whole_channels(void *context, int64_t begin, int64_t end) {
    const batch *b = context;
    for (int64_t channel = begin; channel < end; channel++) {
        int64_t at = channel * b->item_size;
        statistics(context, channel, channel + 1);
        mg_batch_rows rows = {.rows = b->count,
                              .row_stride = b->channels * b->inner,
                              .n = b->inner,
                              .mean = b->mean->data + at,
                              .scale = b->scale + at,
                              .shift = b->shift + at,
                              .slope = b->slope ? b->slope + at : NULL};
        apply(b, &rows, channel * b->inner * b->item_size);
    }
}

/* inner = 1: rows [begin, end) of all channels */
static void whole_rows(void *context, int64_t begin, int64_t end) {
    const batch *b = context;
    mg_batch_rows rows = {.rows = end - begin,
                          .row_stride = b->channels,
                          .n = b->channels,
                          .each = 1,
                          .mean = b->mean->data,
                          .scale = b->scale,
                          .shift = b->shift,
                          .slope = b->slope};
    apply(b, &rows, begin * b->channels * b->item_size);
}

static int run_batch(batch *b, const mg_array *x) {
    b->x = x->data;
    b->dtype = x->dtype;
    b->item_size = mg_item_size(x->dtype);
    b->count = x->shape[0];
    b->channels = x->shape[1];
    b->inner = 1;
    for (int d = 2; d < x->ndim; d++) b->inner *= x->shape[d];
    int64_t bytes = (b->channels * b->item_size + MG_ALIGNMENT - 1) / MG_ALIGNMENT * MG_ALIGNMENT;
    b->scale = mg_scratch(MG_SCRATCH_WORK, 3 * bytes);
    if (!b->scale) return mg_fail(MG_MEMORY_ERROR, "out of memory in batch_norm");
    b->shift = b->scale + bytes;
    b->slope = b->grad && b->training ? b->shift + bytes : NULL;
    double nanoseconds = 0.05 * (double)(x->size * b->item_size); /* measured */
    if (b->inner != 1) {
        int64_t piece = PIECE / (b->count * b->inner + 1) + 1;
        mg_parallel_for(b->channels, piece, nanoseconds, whole_channels, b);
        return 0;
    }
    mg_parallel_for(b->channels, COLUMNS, nanoseconds / 2, statistics, b);
    int64_t piece = PIECE / (b->channels + 1) + 1;
    mg_parallel_for(b->count, piece, nanoseconds / 2, whole_rows, b);
    return 0;
}

/* arrays: y, mean, 1/std, running_mean, running_var, num_batches_tracked (outputs where they are
 * updated), input, weight, bias. integers: training. scalars: momentum (negative: cumulative), eps.
 */
int mg_run_batch_norm(const mg_launch *launch) {
    mg_array **arrays = launch->arrays;
    batch b = {.out = arrays[0]->data, .mean = arrays[1], .inverse_std = arrays[2]};
    b.running_mean = arrays[3];
    b.running_var = arrays[4];
    b.weight = arrays[7];
    b.bias = arrays[8];
    b.training = (int)launch->integers[0];
    b.momentum = launch->scalars[0];
    b.eps = launch->scalars[1];
    if (launch->outputs > 5 && arrays[5]) {
        int64_t batches = ++*(int64_t *)arrays[5]->data;
        if (b.momentum < 0) b.momentum = 1 / (double)batches;
    }
    return run_batch(&b, arrays[6]);
}

/* arrays: grad_input, grad_weight, grad_bias, grad_output, input, weight, mean, 1/std.
 * integers: training. */
int mg_run_batch_norm_backward(const mg_launch *launch) {
    mg_array **arrays = launch->arrays;
    batch b = {.out = arrays[0]->data, .grad_weight = arrays[1], .grad_bias = arrays[2]};
    b.grad = arrays[3]->data;
    b.weight = arrays[5];
    b.mean = arrays[6];
    b.inverse_std = arrays[7];
    b.training = (int)launch->integers[0];
    return run_batch(&b, arrays[4]);
}

/* ---- entries ---- */

/* One number a channel, of the input's dtype; NULL is fine. */
static int check_channels(const char *op, const char *name, const mg_array *numbers,
                          const mg_array *input) {
    if (!numbers) return 0;
    if (numbers->ndim != 1 || numbers->shape[0] != input->shape[1])
        return mg_fail(
            MG_RUNTIME_ERROR,
            "%s: %s should contain %lld elements not %lld (shape %s, for an input of shape "
            "%s)",
            op, name, (long long)input->shape[1], (long long)numbers->size, mg_shape_text(numbers),
            mg_shape_text(input));
    if (numbers->dtype != input->dtype)
        return mg_fail(MG_RUNTIME_ERROR,
                       "%s: all inputs must share the same dtype, but the input is %s and %s is %s",
                       op, mg_dtype_name(input->dtype), name, mg_dtype_name(numbers->dtype));
    return 0;
}

static int check_input(const char *op, const mg_array *input) {
    if (!mg_is_float(input->dtype))
        return mg_fail(
            MG_NOT_IMPLEMENTED_ERROR,
            "\"%s\" not implemented for '%s': convert the input to a floating point dtype", op,
            mg_dtype_name(input->dtype));
    if (input->ndim < 2)
        return mg_fail(MG_RUNTIME_ERROR,
                       "%s: expected an input of shape (N, C) or (N, C, ...), got shape %s", op,
                       mg_shape_text(input));
    return 0;
}

/* Submits a launch whose arrays from `inputs` on are released afterwards, and whose first three are
 * new results; a NULL among those, or `failed`, means that something failed before. */
static int submit(mg_launch *launch, int inputs, uint32_t in_place, const char *name, int failed,
                  mg_array **outputs) {
    mg_array **arrays = launch->arrays;
    for (int i = 0; i < 3; i++) failed |= !arrays[i];
    if (!failed) failed = mg_submit(launch, in_place, name);
    for (int i = inputs; i < launch->count; i++)
        if (arrays[i]) mg_release(arrays[i]);
    for (int i = 0; i < 3; i++) {
        if (failed && arrays[i]) mg_release(arrays[i]);
        outputs[i] = failed ? NULL : arrays[i];
    }
    return failed ? -1 : 0;
}

/* Contiguous versions of `count` operands, NULL where there is none. Returns whether one failed. */
static int make_contiguous(int count, mg_array **operands, mg_array **ready) {
    int failed = 0;
    for (int i = 0; i < count; i++) {
        ready[i] = operands[i] ? mg_as_contiguous(operands[i], operands[i]->dtype) : NULL;
        failed |= operands[i] && !ready[i];
    }
    return failed;
}

int mg_batch_norm(mg_array *input, mg_array *weight, mg_array *bias, mg_array *running_mean,
                  mg_array *running_var, mg_array *num_batches_tracked, int training,
                  double momentum, double eps, mg_array **outputs) {
    const char *op = "batch_norm";
    if (check_input(op, input) || check_channels(op, "weight", weight, input) ||
        check_channels(op, "bias", bias, input) ||
        check_channels(op, "running_mean", running_mean, input) ||
        check_channels(op, "running_var", running_var, input))
        return -1;
    if (!running_mean != !running_var || (!training && !running_mean))
        return mg_fail(MG_RUNTIME_ERROR, "%s: %s must be defined %s", op,
                       running_mean ? "running_var" : "running_mean",
                       training ? "too, or neither of the two" : "in evaluation mode");
    int tracked = training && running_mean;
    if (tracked && (num_batches_tracked
                        ? num_batches_tracked->dtype != MG_INT64 || num_batches_tracked->size != 1
                        : momentum < 0))
        return mg_fail(MG_VALUE_ERROR,
                       "%s: num_batches_tracked, which a cumulative average needs, is an int64 "
                       "tensor of one element",
                       op);
    mg_array *operands[] = {input, weight, bias}, *arrays[9];
    int failed = make_contiguous(3, operands, arrays + 6);
    arrays[0] = mg_empty_like(input, input->dtype);
    arrays[1] = mg_empty(input->dtype, 1, input->shape + 1);
    arrays[2] = mg_empty(input->dtype, 1, input->shape + 1);
    arrays[3] = running_mean;
    arrays[4] = running_var;
    arrays[5] = tracked ? num_batches_tracked : NULL;
    mg_launch launch = {.kernel = MG_KERNEL_batch_norm, .count = 9, .arrays = arrays};
    launch.outputs = tracked ? 6 : 3;
    launch.integers[0] = training != 0;
    launch.scalars[0] = momentum;
    launch.scalars[1] = eps;
    return submit(&launch, 6, tracked ? 1u << 3 | 1u << 4 | 1u << 5 : 0, op, failed, outputs);
}

int mg_batch_norm_backward(mg_array *grad_output, mg_array *input, mg_array *weight, mg_array *mean,
                           mg_array *inverse_std, int training, mg_array **outputs) {
    const char *op = "batch_norm_backward";
    if (check_input(op, input) || check_channels(op, "weight", weight, input) ||
        check_channels(op, "mean", mean, input) ||
        check_channels(op, "inverse_std", inverse_std, input))
        return -1;
    if (!mg_same_shape(grad_output, input) || grad_output->dtype != input->dtype)
        return mg_fail(
            MG_RUNTIME_ERROR,
            "%s: grad_output (%s, shape %s) must have the dtype and shape of the input (%s, "
            "shape %s)",
            op, mg_dtype_name(grad_output->dtype), mg_shape_text(grad_output),
            mg_dtype_name(input->dtype), mg_shape_text(input));
    mg_array *operands[] = {grad_output, input, weight, mean, inverse_std}, *arrays[8];
    int failed = make_contiguous(5, operands, arrays + 3);
    arrays[0] = mg_empty_like(input, input->dtype);
    arrays[1] = mg_empty(input->dtype, 1, input->shape + 1);
    arrays[2] = mg_empty(input->dtype, 1, input->shape + 1);
    mg_launch launch = {.kernel = MG_KERNEL_batch_norm_backward,
                        .outputs = 3,
                        .count = 8,
                        .arrays = arrays};
    launch.integers[0] = training != 0;
    return submit(&launch, 3, 0, op, failed, outputs);
}
