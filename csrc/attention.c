/* Attention: for each matrix of a batch, queries Q (L, E), keys K (S, E), values V (S, F),
 *
 *   forward    P = softmax(scale Q K' + mask),  Y = (P . keep) V
 *   backward   D = (dY V') . keep,  dV = (P . keep)' dY,  dS = P . (D - rowsum P . D)
 *              dQ = scale dS K,  dK = scale dS' Q
 * Vaswani et al., "Attention Is All You Need", 2017. P is made in blocks of rows and never kept:
 * the logarithms of the softmax's denominators stay, from which the backward pass makes P again, as
 * in Dao et al., "FlashAttention", 2022. A causal block ends with the last key that it may see.
 *
 * `keep`, 0 or 1 / (1 - p), is dropout. A query that sees no key gives 0. */
#include "core.h"

enum { QUERY, KEY, VALUE, MASK, KEEP, OPERANDS };

typedef struct attention {
    const mg_array *operands[OPERANDS]; /* mask and keep may be NULL */
    mg_array *out;                      /* forward */
    mg_array *log_sums;
    const mg_array *grad; /* backward */
    mg_array *grads[3];
    int dtype, causal, failed;
    int64_t item_size, length, keys;
    int64_t rows, stride; /* of a block of scores */
    double scale;
} attention;

/* A matrix of a batch: where it begins, and its strides. */
typedef struct matrix {
    char *data;
    int64_t row, column;
} matrix;

static matrix at(const attention *a, const mg_array *array, int64_t index) {
    const int dims = array->ndim - 2;
    int64_t offset = 0;
    for (int d = dims - 1; d >= 0; d--) {
        offset += index % array->shape[d] * array->strides[d];
        index /= array->shape[d];
    }
    return (matrix){array->data + offset * a->item_size, array->strides[dims],
                    array->strides[dims + 1]};
}

static matrix rows_from(const attention *a, matrix of, int64_t row) {
    of.data += row * of.row * a->item_size;
    return of;
}

static matrix transposed(matrix of) { return (matrix){of.data, of.column, of.row}; }

/* c (m, n) = a (m, k) b (k, n), or added to it */
static void multiply(attention *task, int64_t m, int64_t n, int64_t k, matrix a, matrix b, matrix c,
                     int accumulate) {
    const mg_gemm_problem problem = {.m = m,
                                     .n = n,
                                     .k = k,
                                     .a = a.data,
                                     .a_row = a.row,
                                     .a_k = a.column,
                                     .b = b.data,
                                     .b_k = b.row,
                                     .b_column = b.column,
                                     .c = c.data,
                                     .c_row = c.row,
                                     .accumulate = accumulate};
    if (mg_gemm_serial(task->dtype, &problem)) __atomic_store_n(&task->failed, 1, __ATOMIC_RELAXED);
}

/* Rows from `first` on of matrix `index`, and the keys that the last of them sees. */
static mg_attention_task block_at(const attention *a, int64_t index, int64_t first) {
    mg_attention_task block = {.columns = a->keys, .stride = a->stride, .causal = a->causal};
    const mg_array *mask = a->operands[MASK], *keep = a->operands[KEEP];
    block.rows = a->length - first < a->rows ? a->length - first : a->rows;
    block.visible = first + 1;
    if (a->causal && first + block.rows < a->keys) block.columns = first + block.rows;
    block.scale = a->scale;
    if (mask) {
        matrix of = rows_from(a, at(a, mask, index), first);
        block.mask = of.data;
        block.mask_stride = of.row;
    }
    if (keep) {
        matrix of = rows_from(a, at(a, keep, index), first);
        block.keep = of.data;
        block.keep_stride = of.row;
    }
    return block;
}

static char *log_sums_at(const attention *a, int64_t index, int64_t row) {
    return a->log_sums->data + (index * a->length + row) * a->item_size;
}

static void *work(attention *a, int64_t blocks) {
    void *memory = mg_scratch(MG_SCRATCH_WORK, blocks * a->rows * a->stride * a->item_size);
    if (!memory) __atomic_store_n(&a->failed, 1, __ATOMIC_RELAXED);
    return memory;
}

/* ---- forward ---- */

static void forward(void *context, int64_t begin, int64_t end) {
    attention *a = context;
    const int64_t width = a->operands[QUERY]->shape[a->operands[QUERY]->ndim - 1];
    const int64_t out_width = a->out->shape[a->out->ndim - 1];
    matrix scores = {work(a, 1), a->stride, 1};
    if (!scores.data) return;
    for (int64_t index = begin; index < end; index++) {
        const matrix query = at(a, a->operands[QUERY], index), key = at(a, a->operands[KEY], index);
        const matrix value = at(a, a->operands[VALUE], index), out = at(a, a->out, index);
        for (int64_t first = 0; first < a->length; first += a->rows) {
            const mg_attention_task block = block_at(a, index, first);
            multiply(a, block.rows, block.columns, width, rows_from(a, query, first),
                     transposed(key), scores, 0);
            mg_active_isa->normalize.attention_weights[a->dtype](&block, scores.data,
                                                                 log_sums_at(a, index, first));
            multiply(a, block.rows, out_width, block.columns, scores, value,
                     rows_from(a, out, first), 0);
        }
    }
}

/* ---- backward ---- */

static void clear(const attention *a, matrix of, int64_t begin, int64_t end, int64_t width) {
    for (int64_t row = begin; row < end; row++)
        memset(of.data + row * of.row * a->item_size, 0, (size_t)(width * a->item_size));
}

/* The last block comes first, as it sees all keys that any sees: the others are added to it. */
static void backward_of(attention *a, int64_t index, matrix scores, matrix slopes) {
    const matrix query = at(a, a->operands[QUERY], index), key = at(a, a->operands[KEY], index);
    const matrix value = at(a, a->operands[VALUE], index), grad = at(a, a->grad, index);
    const matrix to_query = at(a, a->grads[0], index), to_key = at(a, a->grads[1], index);
    const matrix to_value = at(a, a->grads[2], index);
    const int64_t width = a->grads[0]->shape[a->grads[0]->ndim - 1];
    const int64_t out_width = a->grads[2]->shape[a->grads[2]->ndim - 1];
    const int64_t last = (a->length - 1) / a->rows * a->rows;
    for (int64_t first = last; first >= 0; first -= a->rows) {
        const mg_attention_task block = block_at(a, index, first);
        const matrix queries = rows_from(a, query, first), slope = rows_from(a, grad, first);
        const int64_t n = block.columns, rows = block.rows;
        const int more = first != last;
        multiply(a, rows, n, width, queries, transposed(key), scores, 0);
        multiply(a, rows, n, out_width, slope, transposed(value), slopes, 0);
        mg_active_isa->normalize.attention_slopes[a->dtype](&block, scores.data, slopes.data,
                                                            log_sums_at(a, index, first));
        multiply(a, n, out_width, rows, transposed(scores), slope, to_value, more);
        multiply(a, rows, width, n, slopes, key, rows_from(a, to_query, first), 0);
        multiply(a, n, width, rows, transposed(slopes), queries, to_key, more);
        if (!more) {
            clear(a, to_key, n, a->keys, width);
            clear(a, to_value, n, a->keys, out_width);
        }
    }
}

static void backward(void *context, int64_t begin, int64_t end) {
    attention *a = context;
    char *memory = work(a, 2);
    matrix scores = {memory, a->stride, 1};
    matrix slopes = {memory + a->rows * a->stride * a->item_size, a->stride, 1};
    if (!memory) return;
    for (int64_t index = begin; index < end; index++) backward_of(a, index, scores, slopes);
}

/* ---- both ---- */

/* integers: whether causal. scalars: the scale. */
static attention describe(const mg_launch *launch, mg_array **operands) {
    attention a = {.causal = (int)launch->integers[0], .scale = launch->scalars[0]};
    memcpy(a.operands, operands, sizeof a.operands);
    const mg_array *query = operands[QUERY], *key = operands[KEY];
    a.dtype = query->dtype;
    a.item_size = mg_item_size(a.dtype);
    a.length = query->shape[query->ndim - 2];
    a.keys = key->shape[key->ndim - 2];
    a.rows = MG_ATTENTION_ROWS;
    if (a.length < a.rows) a.rows = a.length;
    a.stride = (a.keys + 15) / 16 * 16 + 16; /* no power of 2: rows do not share a cache set */
    return a;
}

static int64_t batch_of(const mg_array *array) {
    int64_t count = 1;
    for (int d = 0; d < array->ndim - 2; d++) count *= array->shape[d];
    return count;
}

/* `products` of (L, E) by (E, S) */
static int run(attention *a, int products, mg_body body) {
    const mg_array *query = a->operands[QUERY];
    const int64_t count = batch_of(query), width = query->shape[query->ndim - 1];
    double each = mg_gemm_nanoseconds(a->dtype, a->length, a->keys, width) * products +
                  0.2 * (double)(a->length * a->keys * a->item_size); /* measured */
    mg_parallel_for(count, 1, each * (double)count, body, a);
    return a->failed ? mg_fail(MG_MEMORY_ERROR, "out of memory in attention") : 0;
}

static void zero(mg_array *array) {
    memset(array->data, 0, (size_t)(array->size * mg_item_size(array->dtype)));
}

/* arrays: output, log sums, query, key, value, mask, keep (NULL where there is none). */
int mg_run_attention(const mg_launch *launch) {
    mg_array **arrays = launch->arrays;
    attention a = describe(launch, arrays + 2);
    a.out = arrays[0];
    a.log_sums = arrays[1];
    if (a.keys == 0) {
        zero(a.out); /* dense, though its dimensions may be exchanged */
        return 0;
    }
    return a.length == 0 ? 0 : run(&a, 2, forward);
}

/* arrays: grad_query, grad_key, grad_value, grad_output, log sums, then as above. */
int mg_run_attention_backward(const mg_launch *launch) {
    mg_array **arrays = launch->arrays;
    attention a = describe(launch, arrays + 5);
    memcpy(a.grads, arrays, sizeof a.grads);
    a.grad = arrays[3];
    a.log_sums = arrays[4];
    if (a.keys == 0 || a.length == 0) {
        for (int i = 0; i < 3; i++) zero(arrays[i]);
        return 0;
    }
    return run(&a, 5, backward);
}

/* ---- entries ---- */

static int is(const mg_array *array, const mg_array *like, int64_t rows, int64_t columns) {
    if (array->ndim != like->ndim || array->dtype != like->dtype) return 0;
    for (int d = 0; d < like->ndim - 2; d++)
        if (array->shape[d] != like->shape[d]) return 0;
    return (rows < 0 || array->shape[like->ndim - 2] == rows) &&
           (columns < 0 || array->shape[like->ndim - 1] == columns);
}

/* Python has broadcast the batch dimensions and checked what a user can get wrong. */
static int check(const char *op, mg_array **operands, const mg_array *grad) {
    const mg_array *query = operands[QUERY], *key = operands[KEY], *value = operands[VALUE];
    const int last = query->ndim - 1;
    if (!mg_is_float(query->dtype))
        return mg_fail(MG_RUNTIME_ERROR, "%s: expected floating-point operands, got %s", op,
                       mg_dtype_name(query->dtype));
    if (query->ndim >= 2 && key->ndim == query->ndim && value->ndim == query->ndim) {
        const int64_t rows = query->shape[last - 1], keys = key->shape[last - 1];
        int fits = is(key, query, -1, query->shape[last]) && is(value, query, keys, -1);
        for (int i = MASK; i <= KEEP; i++) /* their rows are read as neighbours */
            if (operands[i])
                fits &= is(operands[i], query, rows, keys) &&
                        (operands[i]->strides[last] == 1 || keys < 2);
        if (fits && (!grad || is(grad, query, rows, value->shape[last]))) return 0;
    }
    return mg_fail(MG_RUNTIME_ERROR,
                   "%s: sizes that do not fit: query %s, key %s, value %s (each (..., length, "
                   "width), of one dtype)",
                   op, mg_shape_text(query), mg_shape_text(key), mg_shape_text(value));
}

/* (batch..., rows, columns). Where the batch is (N, heads), memory is (N, rows, heads, columns), so
 * that joining the heads of a row again copies nothing. */
static mg_array *new_result(const mg_array *like, int64_t rows, int64_t columns) {
    int64_t shape[MG_MAX_DIMS];
    memcpy(shape, like->shape, sizeof shape);
    shape[like->ndim - 1] = columns;
    shape[like->ndim - 2] = rows;
    if (like->ndim != 4) return mg_empty(like->dtype, like->ndim, shape);
    shape[2] = shape[1];
    shape[1] = rows;
    mg_array *dense = mg_empty(like->dtype, 4, shape);
    mg_array *result = dense ? mg_transpose(dense, 1, 2) : NULL;
    if (dense) mg_release(dense);
    return result;
}

static int submit(int kernel, const char *op, int results, int count, mg_array **arrays,
                  double scale, int causal, mg_array **outputs) {
    mg_launch launch = {.kernel = kernel, .outputs = results, .count = count, .arrays = arrays};
    launch.integers[0] = causal != 0;
    launch.scalars[0] = scale;
    int failed = 0;
    for (int i = 0; i < results; i++) failed |= !arrays[i];
    if (!failed) failed = mg_submit(&launch, 0, op);
    for (int i = 0; i < results; i++) {
        if (failed && arrays[i]) mg_release(arrays[i]);
        outputs[i] = failed ? NULL : arrays[i];
    }
    return failed ? -1 : 0;
}

int mg_attention(mg_array **operands, double scale, int causal, mg_array **outputs) {
    const char *op = "scaled_dot_product_attention";
    if (check(op, operands, NULL)) return -1;
    mg_array *query = operands[QUERY], *value = operands[VALUE], *arrays[2 + OPERANDS];
    const int64_t rows = query->shape[query->ndim - 2];
    arrays[0] = new_result(query, rows, value->shape[value->ndim - 1]);
    arrays[1] = mg_empty(query->dtype, query->ndim - 1, query->shape);
    memcpy(arrays + 2, operands, OPERANDS * sizeof *operands);
    return submit(MG_KERNEL_attention, op, 2, 2 + OPERANDS, arrays, scale, causal, outputs);
}

int mg_attention_backward(mg_array *grad_output, mg_array *log_sums, mg_array **operands,
                          double scale, int causal, mg_array **outputs) {
    const char *op = "scaled_dot_product_attention_backward";
    if (check(op, operands, grad_output)) return -1;
    mg_array *query = operands[QUERY], *arrays[5 + OPERANDS];
    for (int i = 0; i < 3; i++) {
        const mg_array *of = operands[i];
        arrays[i] = new_result(query, of->shape[of->ndim - 2], of->shape[of->ndim - 1]);
    }
    arrays[3] = grad_output;
    arrays[4] = log_sums;
    memcpy(arrays + 5, operands, OPERANDS * sizeof *operands);
    return submit(MG_KERNEL_attention_backward, op, 3, 5 + OPERANDS, arrays, scale, causal,
                  outputs);
}
