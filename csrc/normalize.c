/* Softmax and log-softmax over any dimension, and their derivatives. The array is seen as
 * (outer, n, inner), where n is the normalised dimension. */
#include "core.h"

/* Neighbouring columns for one call of a loop where inner > 1. */
#define COLUMNS 64
/* Elements for one call of the parallel loop's body. */
#define PIECE 4096

typedef struct softmax {
    const char *grad, *x; /* grad: NULL for the forward pass */
    char *out;
    int64_t item_size, n, inner, chunks;
    int dtype, logarithm;
} softmax;

static void softmax_rows(void *context, int64_t begin, int64_t end) {
    const softmax *s = context;
    const mg_normalize_loops *loops = &mg_active_isa->normalize;
    int64_t offset = begin * s->n * s->item_size, rows = end - begin;
    if (s->grad)
        loops->softmax_backward_rows[s->dtype](s->grad + offset, s->x + offset, rows, s->n,
                                               s->logarithm, s->out + offset);
    else
        loops->softmax_rows[s->dtype](s->x + offset, rows, s->n, s->logarithm, s->out + offset);
}

static void softmax_columns(void *context, int64_t begin, int64_t end) {
    const softmax *s = context;
    const mg_normalize_loops *loops = &mg_active_isa->normalize;
    for (int64_t cell = begin; cell < end; cell++) {
        int64_t column = cell % s->chunks * COLUMNS;
        int64_t width = s->inner - column < COLUMNS ? s->inner - column : COLUMNS;
        int64_t offset = (cell / s->chunks * s->n * s->inner + column) * s->item_size;
        if (s->grad)
            loops->softmax_backward_columns[s->dtype](s->grad + offset, s->x + offset, s->n,
                                                      s->inner, width, s->logarithm,
                                                      s->out + offset);
        else
            loops->softmax_columns[s->dtype](s->x + offset, s->n, s->inner, width, s->logarithm,
                                             s->out + offset);
    }
}

/* out, grad_output or NULL, x: contiguous arrays of one shape */
static void run_softmax(const mg_array *out, const mg_array *grad, const mg_array *x, int dim,
                        int logarithm) {
    if (x->size == 0) return;
    softmax s = {.grad = grad ? grad->data : NULL, .x = x->data, .out = out->data};
    s.item_size = mg_item_size(x->dtype);
    s.dtype = x->dtype;
    s.logarithm = logarithm;
    s.n = x->ndim ? x->shape[dim] : 1;
    s.inner = 1;
    for (int d = dim + 1; d < x->ndim; d++) s.inner *= x->shape[d];
    s.chunks = (s.inner + COLUMNS - 1) / COLUMNS;
    int64_t outer = x->size / s.n / s.inner, columns = s.inner < COLUMNS ? s.inner : COLUMNS;
    int64_t piece = PIECE / (s.n * columns) + 1;
    double nanoseconds = (grad ? 0.05 : 0.1) * (double)(x->size * s.item_size); /* measured */
    if (s.inner == 1)
        mg_parallel_for(outer, piece, nanoseconds, softmax_rows, &s);
    else
        mg_parallel_for(outer * s.chunks, piece, nanoseconds, softmax_columns, &s);
}

/* arrays: output, input. integers: the dimension, whether the logarithm is wanted. */
int mg_run_softmax(const mg_launch *launch) {
    run_softmax(launch->arrays[0], NULL, launch->arrays[1], (int)launch->integers[0],
                (int)launch->integers[1]);
    return 0;
}

/* arrays: grad_input, grad_output, output of the forward pass. integers as above. */
int mg_run_softmax_backward(const mg_launch *launch) {
    run_softmax(launch->arrays[0], launch->arrays[1], launch->arrays[2], (int)launch->integers[0],
                (int)launch->integers[1]);
    return 0;
}

static int check_dim(const char *name, const mg_array *a, int dim) {
    int dims = a->ndim ? a->ndim : 1;
    if (dim < 0 || dim >= dims)
        return mg_fail(
            MG_INDEX_ERROR,
            "%s: Dimension out of range (expected to be in range of [%d, %d], but got %d)", name,
            -dims, dims - 1, dim);
    if (!mg_is_float(a->dtype))
        return mg_fail(
            MG_NOT_IMPLEMENTED_ERROR,
            "\"%s\" not implemented for '%s': convert the tensor to a floating point dtype", name,
            mg_dtype_name(a->dtype));
    return 0;
}

/* Submits a launch over `count` operands, which are made contiguous. */
static mg_array *submit(int kernel, const char *name, int count, mg_array **operands, int dim,
                        int logarithm) {
    mg_array *arrays[3] = {NULL, NULL, NULL}, *out = NULL;
    int ready = 1;
    for (int i = 0; i < count && ready; i++) {
        arrays[i + 1] = mg_as_contiguous(operands[i], operands[i]->dtype);
        ready = arrays[i + 1] != NULL;
    }
    if (ready) out = arrays[0] = mg_empty_like(operands[0], operands[0]->dtype);
    if (out) {
        mg_launch launch = {.kernel = kernel, .outputs = 1, .count = count + 1, .arrays = arrays};
        launch.integers[0] = dim;
        launch.integers[1] = logarithm != 0;
        if (mg_submit(&launch, 0, name)) {
            mg_release(out);
            out = NULL;
        }
    }
    for (int i = 1; i <= count; i++)
        if (arrays[i]) mg_release(arrays[i]);
    return out;
}

mg_array *mg_softmax(mg_array *a, int dim, int logarithm) {
    const char *name = logarithm ? "log_softmax" : "softmax";
    if (check_dim(name, a, dim)) return NULL;
    return submit(MG_KERNEL_softmax, name, 1, &a, dim, logarithm);
}

mg_array *mg_softmax_backward(mg_array *grad_output, mg_array *output, int dim, int logarithm) {
    const char *name = logarithm ? "log_softmax_backward" : "softmax_backward";
    if (check_dim(name, output, dim)) return NULL;
    if (!mg_same_shape(grad_output, output) || grad_output->dtype != output->dtype) {
        mg_fail(
            MG_RUNTIME_ERROR,
            "%s: grad_output (%s, shape %s) must have the dtype and shape of output (%s, shape %s)",
            name, mg_dtype_name(grad_output->dtype), mg_shape_text(grad_output),
            mg_dtype_name(output->dtype), mg_shape_text(output));
        return NULL;
    }
    mg_array *operands[] = {grad_output, output};
    return submit(MG_KERNEL_softmax_backward, name, 2, operands, dim, logarithm);
}
