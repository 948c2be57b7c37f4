/* Cross-entropy of class indices: log-softmax and loss in one launch, and its derivative in
 * another. The formulas stand in kernels/normalize_loss.h. */
#include "core.h"

enum reduction { NONE, MEAN, SUM };

/* Columns for one call of a loop where the classes are not the last dimension. */
#define COLUMNS 64
/* Elements for one call of the parallel loop's body. */
#define PIECE 4096

typedef struct loss_context {
    mg_cross_entropy_task task;
    const char *input; /* of the backward pass: log-probabilities */
    char *output;      /* log-probabilities; of the backward pass: grad_input */
    char *loss;        /* NULL: wanted only in total */
    const char *grad;  /* NULL: `scale` alone */
    double scale;
    double *totals; /* of each piece: losses, weights */
    int64_t item_size, piece, outer, chunks;
    int dtype, bad_target;
} loss_context;

/* The geometry that forward and backward share: (outer, classes, inner). */
static loss_context describe(const mg_array *input, const mg_array *target, const mg_array *weight,
                             const mg_launch *launch) {
    loss_context c = {.input = input->data, .dtype = input->dtype};
    int class_dim = input->ndim > 1;
    c.item_size = mg_item_size(input->dtype);
    c.task.target = (const int64_t *)target->data;
    c.task.weight = weight ? weight->data : NULL;
    c.task.classes = input->shape[class_dim];
    c.task.inner = 1;
    for (int d = class_dim + 1; d < input->ndim; d++) c.task.inner *= input->shape[d];
    c.task.ignore_index = launch->integers[0];
    c.task.label_smoothing = launch->scalars[0];
    c.task.weight_sum = (double)c.task.classes;
    if (weight && c.task.label_smoothing != 0) {
        c.task.weight_sum = 0;
        for (int64_t k = 0; k < c.task.classes; k++)
            c.task.weight_sum += mg_number(c.dtype, weight->data, k);
    }
    /* The parallel loop runs over rows, or over (outer, chunks of COLUMNS samples). */
    c.outer = input->ndim > 1 ? input->shape[0] : 1;
    c.chunks = c.task.inner == 1 ? 1 : (c.task.inner + COLUMNS - 1) / COLUMNS;
    int64_t width = c.task.inner < COLUMNS ? c.task.inner : COLUMNS;
    c.piece = PIECE / (c.task.classes * width + 1) + 1;
    return c;
}

/* The first target that is no class, for the error. */
static int fail_target(const loss_context *c, int64_t samples) {
    for (int64_t sample = 0; sample < samples; sample++) {
        int64_t target = c->task.target[sample];
        if (target != c->task.ignore_index && (target < 0 || target >= c->task.classes))
            return mg_fail(MG_INDEX_ERROR, "Target %lld is out of bounds.", (long long)target);
    }
    return mg_fail(MG_INDEX_ERROR, "cross_entropy: a target is out of bounds.");
}

static void note_bad_target(loss_context *c) {
    __atomic_store_n(&c->bad_target, 1, __ATOMIC_RELAXED);
}

/* Samples [*first, *last) of a cell where inner > 1, and the offset of its first class in bytes. */
static int64_t cell_samples(const loss_context *c, int64_t cell, int64_t *first, int64_t *last) {
    int64_t outer = cell / c->chunks, column = cell % c->chunks * COLUMNS, inner = c->task.inner;
    *first = outer * inner + column;
    *last = outer * inner + (inner - column < COLUMNS ? inner : column + COLUMNS);
    return (outer * c->task.classes * inner + column) * c->item_size;
}

static void forward(void *context, int64_t begin, int64_t end) {
    loss_context *c = context;
    const mg_normalize_loops *loops = &mg_active_isa->normalize;
    double *totals = c->totals + 2 * (begin / c->piece);
    if (c->task.inner == 1) {
        int64_t offset = begin * c->task.classes * c->item_size;
        loops->softmax_rows[c->dtype](c->input + offset, end - begin, c->task.classes, 1,
                                      c->output + offset);
        if (!loops->cross_entropy[c->dtype](&c->task, c->output, begin, end, c->loss, totals))
            note_bad_target(c);
        return;
    }
    totals[0] = totals[1] = 0;
    for (int64_t cell = begin; cell < end; cell++) {
        double parts[2] = {0, 0};
        int64_t first, last, offset = cell_samples(c, cell, &first, &last);
        loops->softmax_columns[c->dtype](c->input + offset, c->task.classes, c->task.inner,
                                         last - first, 1, c->output + offset);
        if (!loops->cross_entropy[c->dtype](&c->task, c->output, first, last, c->loss, parts))
            note_bad_target(c);
        totals[0] += parts[0];
        totals[1] += parts[1];
    }
}

static void backward(void *context, int64_t begin, int64_t end) {
    loss_context *c = context;
    const mg_normalize_loops *loops = &mg_active_isa->normalize;
    int64_t first = begin, last = end;
    for (int64_t cell = begin; cell < end; cell++) {
        if (c->task.inner != 1) cell_samples(c, cell, &first, &last);
        if (!loops->cross_entropy_backward[c->dtype](&c->task, c->input, first, last, c->grad,
                                                     c->scale, c->output))
            note_bad_target(c);
        if (c->task.inner == 1) return;
    }
}

/* arrays: loss, log-probabilities, total weight, input, target, weight. integers: ignore_index,
 * reduction. scalars: label_smoothing. */
int mg_run_cross_entropy(const mg_launch *launch) {
    mg_array **arrays = launch->arrays;
    const mg_array *input = arrays[3], *target = arrays[4];
    int reduction = (int)launch->integers[1];
    loss_context c = describe(input, target, arrays[5], launch);
    c.output = arrays[1]->data;
    c.loss = reduction == NONE ? arrays[0]->data : NULL;
    double few[16] = {0};
    int64_t cells = c.outer * c.chunks, pieces = cells ? (cells - 1) / c.piece + 1 : 0;
    c.totals = few;
    if (pieces > 8) {
        c.totals = mg_scratch(MG_SCRATCH_WORK, 2 * pieces * (int64_t)sizeof(double));
        if (!c.totals) return mg_fail(MG_MEMORY_ERROR, "out of memory in cross_entropy");
    }
    if (input->size)
        mg_parallel_for(cells, c.piece, 0.1 * (double)(input->size * c.item_size), forward, &c);
    else if (target->size) /* samples without a class */
        c.bad_target =
            !mg_active_isa->normalize.cross_entropy[c.dtype](&c.task, c.output, 0, target->size,
                                                             c.loss, c.totals);
    if (c.bad_target) return fail_target(&c, target->size);
    double loss = 0, total_weight = 0;
    for (int64_t piece = 0; piece < pieces; piece++) {
        loss += c.totals[2 * piece];
        total_weight += c.totals[2 * piece + 1];
    }
    mg_set_number(arrays[2]->dtype, arrays[2]->data, 0, total_weight);
    if (reduction != NONE)
        mg_set_number(arrays[0]->dtype, arrays[0]->data, 0,
                      reduction == MEAN ? loss / total_weight : loss);
    return 0;
}

/* arrays: grad_input, grad_output, log-probabilities, target, weight, total weight; otherwise as
 * above */
int mg_run_cross_entropy_backward(const mg_launch *launch) {
    mg_array **arrays = launch->arrays;
    const mg_array *log_probabilities = arrays[2], *target = arrays[3];
    int reduction = (int)launch->integers[1];
    if (log_probabilities->size == 0) return 0;
    loss_context c = describe(log_probabilities, target, arrays[4], launch);
    c.output = arrays[0]->data;
    c.grad = reduction == NONE ? arrays[1]->data : NULL;
    c.scale = reduction == NONE ? 1 : mg_number(arrays[1]->dtype, arrays[1]->data, 0);
    if (reduction == MEAN) c.scale /= mg_number(arrays[5]->dtype, arrays[5]->data, 0);
    mg_parallel_for(c.outer * c.chunks, c.piece,
                    0.07 * (double)(log_probabilities->size * c.item_size), backward, &c);
    return c.bad_target ? fail_target(&c, target->size) : 0;
}

/* ---- entries ---- */

static int check_target(const mg_array *input, const mg_array *target) {
    if (target->dtype != MG_INT64 && target->dtype != MG_UINT8)
        return mg_fail(
            MG_RUNTIME_ERROR,
            "cross_entropy: expected target dtype to be int64 (class indices), but got %s",
            mg_dtype_name(target->dtype));
    mg_array expected = {.ndim = input->ndim - 1};
    for (int d = 0, from = 0; from < input->ndim; from++)
        if (from != (input->ndim > 1)) expected.shape[d++] = input->shape[from];
    if (mg_same_shape(&expected, (mg_array *)target)) return 0;
    if (expected.ndim > 0 && target->ndim > 0 && expected.shape[0] != target->shape[0])
        return mg_fail(MG_VALUE_ERROR,
                       "Expected input batch_size (%lld) to match target batch_size (%lld).",
                       (long long)expected.shape[0], (long long)target->shape[0]);
    return mg_fail(
        MG_RUNTIME_ERROR,
        "cross_entropy: Expected target size %s, got %s (input of shape %s: the target has "
        "its shape without the classes)",
        mg_shape_text(&expected), mg_shape_text(target), mg_shape_text(input));
}

static int check(const mg_array *input, const mg_array *target, const mg_array *weight,
                 double label_smoothing, int reduction) {
    if (!mg_is_float(input->dtype))
        return mg_fail(
            MG_NOT_IMPLEMENTED_ERROR,
            "\"cross_entropy\" not implemented for '%s': convert the input to a floating "
            "point dtype",
            mg_dtype_name(input->dtype));
    if (input->ndim == 0)
        return mg_fail(
            MG_RUNTIME_ERROR,
            "cross_entropy: the input must have a dimension of classes, got a 0-d tensor");
    if (reduction < NONE || reduction > SUM)
        return mg_fail(MG_VALUE_ERROR, "cross_entropy: %d is not a valid reduction", reduction);
    if (!(label_smoothing >= 0 && label_smoothing <= 1))
        return mg_fail(MG_RUNTIME_ERROR, "label_smoothing must be between 0.0 and 1.0. Got: %g",
                       label_smoothing);
    if (check_target(input, target)) return -1;
    if (!weight) return 0;
    int64_t classes = input->shape[input->ndim > 1];
    if (weight->ndim != 1 || weight->shape[0] != classes)
        return mg_fail(
            MG_RUNTIME_ERROR,
            "cross_entropy: weight tensor should be defined either for all %lld classes or "
            "no classes but got weight tensor of shape: %s",
            (long long)classes, mg_shape_text(weight));
    if (weight->dtype != input->dtype)
        return mg_fail(MG_RUNTIME_ERROR, "cross_entropy: expected weight of dtype %s but found %s",
                       mg_dtype_name(input->dtype), mg_dtype_name(weight->dtype));
    return 0;
}

/* Operands as the loops want them: contiguous, the target int64. NULL stays NULL. */
static int make_contiguous(int count, mg_array **operands, mg_array **ready) {
    for (int i = 0; i < count; i++) {
        ready[i] = NULL;
        if (!operands[i]) continue;
        int dtype = operands[i]->dtype == MG_UINT8 ? MG_INT64 : operands[i]->dtype;
        ready[i] = mg_as_contiguous(operands[i], dtype);
        if (ready[i]) continue;
        while (i-- > 0)
            if (ready[i]) mg_release(ready[i]);
        return -1;
    }
    return 0;
}

/* Submits, then releases the inputs and, after a failure, the outputs. */
static int submit(int kernel, int outputs, int count, mg_array **arrays, int64_t ignore_index,
                  int reduction, double label_smoothing, const char *name) {
    mg_launch launch = {.kernel = kernel, .outputs = outputs, .count = count, .arrays = arrays};
    launch.integers[0] = ignore_index;
    launch.integers[1] = reduction;
    launch.scalars[0] = label_smoothing;
    int failed = 0;
    for (int i = 0; i < outputs; i++) failed |= !arrays[i];
    if (!failed) failed = mg_submit(&launch, 0, name);
    for (int i = failed ? 0 : outputs; i < count; i++)
        if (arrays[i]) mg_release(arrays[i]);
    return failed ? -1 : 0;
}

int mg_cross_entropy(mg_array *input, mg_array *target, mg_array *weight, int64_t ignore_index,
                     double label_smoothing, int reduction, mg_array **outputs) {
    if (check(input, target, weight, label_smoothing, reduction)) return -1;
    mg_array *operands[] = {input, target, weight}, *arrays[6];
    if (make_contiguous(3, operands, arrays + 3)) return -1;
    arrays[0] = mg_empty(input->dtype, reduction == NONE ? target->ndim : 0, target->shape);
    arrays[1] = mg_empty_like(input, input->dtype);
    arrays[2] = mg_empty(input->dtype, 0, NULL);
    if (submit(MG_KERNEL_cross_entropy, 3, 6, arrays, ignore_index, reduction, label_smoothing,
               "cross_entropy"))
        return -1;
    memcpy(outputs, arrays, 3 * sizeof *outputs);
    return 0;
}

mg_array *mg_cross_entropy_backward(mg_array *grad_output, mg_array *log_probabilities,
                                    mg_array *target, mg_array *weight, mg_array *total_weight,
                                    int64_t ignore_index, double label_smoothing, int reduction) {
    if (check(log_probabilities, target, weight, label_smoothing, reduction)) return NULL;
    int dtype = log_probabilities->dtype;
    int fits = reduction == NONE ? mg_same_shape(grad_output, target) : grad_output->size == 1;
    if (!fits || grad_output->dtype != dtype || total_weight->dtype != dtype ||
        total_weight->size != 1) {
        mg_fail(
            MG_RUNTIME_ERROR,
            "cross_entropy_backward: grad_output (%s, shape %s) and total_weight (%s, shape %s) do "
            "not fit the loss of an input of %s",
            mg_dtype_name(grad_output->dtype), mg_shape_text(grad_output),
            mg_dtype_name(total_weight->dtype), mg_shape_text(total_weight), mg_dtype_name(dtype));
        return NULL;
    }
    mg_array *operands[] = {grad_output, log_probabilities, target, weight, total_weight},
             *arrays[6];
    if (make_contiguous(5, operands, arrays + 1)) return NULL;
    arrays[0] = mg_empty_like(log_probabilities, dtype);
    if (submit(MG_KERNEL_cross_entropy_backward, 1, 6, arrays, ignore_index, reduction,
               label_smoothing, "cross_entropy_backward"))
        return NULL;
    return arrays[0];
}
