/* The batched matrix product over strided arrays: checks, shapes, how a batch is cut in
 * products. */
#include "core.h"

/* One operand after the optional exchange of its last two dimensions. */
typedef struct matrices {
    int64_t rows, columns;
    int64_t row_stride, column_stride;
    int batch_dims;
    const int64_t *batch_shape, *batch_strides;
} matrices;

static matrices describe(const mg_array *array, int transposed) {
    const int row = array->ndim - (transposed ? 1 : 2), column = array->ndim - (transposed ? 2 : 1);
    return (matrices){
        .rows = array->shape[row],
        .columns = array->shape[column],
        .row_stride = array->strides[row],
        .column_stride = array->strides[column],
        .batch_dims = array->ndim - 2,
        .batch_shape = array->shape,
        .batch_strides = array->strides,
    };
}

/* C's names, as torch prints them here. */
static const char *element_name(int dtype) {
    static const char *const names[MG_DTYPE_COUNT] = {"bool",     "unsigned char", "int",
                                                      "long int", "float",         "double"};
    return names[dtype];
}

static int64_t product(int count, const int64_t *shape) {
    int64_t size = 1;
    for (int d = 0; d < count; d++) size *= shape[d];
    return size;
}

static int check_operands(mg_array *a, mg_array *b, mg_array *bias) {
    if (a->ndim < 2 || b->ndim < 2)
        return mg_fail(MG_RUNTIME_ERROR,
                       "matmul: both operands need at least 2 dimensions, got shapes %s and %s; "
                       "add a dimension of size 1 to a vector",
                       mg_shape_text(a), mg_shape_text(b));
    if (a->dtype != b->dtype)
        return mg_fail(MG_RUNTIME_ERROR,
                       "expected m1 and m2 to have the same dtype, but got: %s != %s",
                       element_name(a->dtype), element_name(b->dtype));
    if (a->dtype == MG_BOOL)
        return mg_fail(MG_NOT_IMPLEMENTED_ERROR,
                       "matmul is not implemented for bool; convert the operands to an integer or "
                       "floating-point dtype first");
    if (bias && bias->dtype != a->dtype)
        return mg_fail(MG_RUNTIME_ERROR, "matmul: expected a bias of dtype %s but got %s",
                       mg_dtype_name(a->dtype), mg_dtype_name(bias->dtype));
    return 0;
}

/* Writes the shape of the result and returns its number of dimensions, or -1 with the error set. */
static int result_shape(const mg_array *a, const mg_array *b, const mg_array *bias, matrices left,
                        matrices right, int64_t *shape) {
    const int batch_dims = left.batch_dims > right.batch_dims ? left.batch_dims : right.batch_dims;
    for (int d = 0; d < batch_dims; d++) {
        const int da = d - (batch_dims - left.batch_dims), db = d - (batch_dims - right.batch_dims);
        const int64_t in_a = da < 0 ? 1 : left.batch_shape[da];
        const int64_t in_b = db < 0 ? 1 : right.batch_shape[db];
        if (in_a != in_b && in_a != 1 && in_b != 1)
            return mg_fail(MG_RUNTIME_ERROR,
                           "matmul: The size of tensor a (%lld) must match the size of tensor b "
                           "(%lld) at non-singleton dimension %d; shapes %s and %s",
                           (long long)in_a, (long long)in_b, d, mg_shape_text(a), mg_shape_text(b));
        shape[d] = in_a == 1 ? in_b : in_a;
    }
    if (left.columns != right.rows) {
        const int64_t folded =
            right.batch_dims ? left.rows : product(left.batch_dims, left.batch_shape) * left.rows;
        return mg_fail(MG_RUNTIME_ERROR,
                       "mat1 and mat2 shapes cannot be multiplied (%lldx%lld and %lldx%lld)",
                       (long long)folded, (long long)left.columns, (long long)right.rows,
                       (long long)right.columns);
    }
    if (bias && (bias->ndim != 1 || bias->shape[0] != right.columns))
        return mg_fail(MG_RUNTIME_ERROR, "matmul: expected a bias of shape [%lld] but got %s",
                       (long long)right.columns, mg_shape_text(bias));
    shape[batch_dims] = left.rows;
    shape[batch_dims + 1] = right.columns;
    return batch_dims + 2;
}

/* Whether the operand's batch dimensions were broadcast to those of the result. */
static int batch_was_broadcast(const mg_array *operand, int ndim, const int64_t *shape) {
    if (operand->ndim != ndim) return 1;
    for (int d = 0; d < ndim - 2; d++)
        if (operand->shape[d] != shape[d]) return 1;
    return 0;
}

mg_array *mg_matmul(mg_array *a, mg_array *b, mg_array *bias, int transpose_a, int transpose_b) {
    int64_t shape[MG_MAX_DIMS];
    if (check_operands(a, b, bias)) return NULL;
    const int ndim =
        result_shape(a, b, bias, describe(a, transpose_a), describe(b, transpose_b), shape);
    if (ndim < 0) return NULL;
    mg_array *out = mg_empty(a->dtype, ndim, shape);
    mg_array *dense_bias = bias ? mg_as_contiguous(bias, bias->dtype) : NULL;
    mg_array *arrays[] = {out, a, b, dense_bias};
    const mg_launch launch = {
        .kernel = MG_KERNEL_matmul,
        .outputs = 1,
        .count = 4,
        .arrays = arrays,
        .integers = {transpose_a, transpose_b},
    };
    const int failed = !out || (bias && !dense_bias) || mg_submit(&launch, 0, NULL);
    if (dense_bias) mg_release(dense_bias);
    if (!failed) {
        if (batch_was_broadcast(a, ndim, shape)) out->flags |= MG_BROADCAST_FIRST;
        if (batch_was_broadcast(b, ndim, shape)) out->flags |= MG_BROADCAST_SECOND;
        return out;
    }
    if (out) mg_release(out);
    return NULL;
}

/* ---- integers: no speed is asked of them; sums wrap around ---- */

static uint64_t load_integer(int dtype, const char *data, int64_t index) {
    switch (dtype) {
    case MG_UINT8: return ((const uint8_t *)data)[index];
    case MG_INT32: return (uint64_t)((const int32_t *)data)[index];
    default: return (uint64_t)((const int64_t *)data)[index];
    }
}

static void store_integer(int dtype, char *data, int64_t index, uint64_t value) {
    switch (dtype) {
    case MG_UINT8: ((uint8_t *)data)[index] = (uint8_t)value; break;
    case MG_INT32: ((int32_t *)data)[index] = (int32_t)(uint32_t)value; break;
    default: ((int64_t *)data)[index] = (int64_t)value; break;
    }
}

static void integer_product(int dtype, const mg_gemm_problem *problem) {
    for (int64_t i = 0; i < problem->m; i++) {
        for (int64_t j = 0; j < problem->n; j++) {
            uint64_t sum = problem->bias ? load_integer(dtype, problem->bias, j) : 0;
            for (int64_t p = 0; p < problem->k; p++)
                sum += load_integer(dtype, problem->a, i * problem->a_row + p * problem->a_k) *
                       load_integer(dtype, problem->b, p * problem->b_k + j * problem->b_column);
            store_integer(dtype, problem->c, i * problem->c_row + j, sum);
        }
    }
}

static int integer_batch(int dtype, const mg_gemm_problem *problem, int64_t count,
                         const int64_t (*offsets)[3]) {
    const int64_t size = mg_item_size(dtype);
    for (int64_t index = 0; index < count; index++) {
        mg_gemm_problem one = *problem;
        one.a = (const char *)problem->a + offsets[index][0] * size;
        one.b = (const char *)problem->b + offsets[index][1] * size;
        one.c = (char *)problem->c + offsets[index][2] * size;
        integer_product(dtype, &one);
    }
    return 0;
}

/* ---- the batch ---- */

/* Whether the rows of all matrices of a batch follow each other at one stride, so that a product
 * with one matrix on the right is a single product of all rows. */
static int rows_fold(const matrices *left) {
    int64_t rows = left->rows, stride = left->row_stride;
    for (int d = left->batch_dims - 1; d >= 0; d--) {
        if (left->batch_shape[d] == 1) continue;
        if (rows == 1)
            stride = left->batch_strides[d];
        else if (left->batch_strides[d] != rows * stride)
            return 0;
        rows *= left->batch_shape[d];
    }
    return 1;
}

/* The stride of the rows of the folded product. */
static int64_t folded_stride(const matrices *left) {
    if (left->rows > 1) return left->row_stride;
    for (int d = left->batch_dims - 1; d >= 0; d--)
        if (left->batch_shape[d] != 1) return left->batch_strides[d];
    return left->row_stride;
}

/* offsets[i]: where the matrices of product i begin in A, B and C. */
static void batch_offsets(const mg_array *out, const matrices *left, const matrices *right,
                          int64_t count, int64_t (*offsets)[3]) {
    const int dims = out->ndim - 2;
    const int64_t matrix = out->shape[dims] * out->shape[dims + 1];
    for (int64_t index = 0; index < count; index++) {
        int64_t rest = index, offset_a = 0, offset_b = 0;
        for (int d = dims - 1; d >= 0; d--) {
            const int64_t at = rest % out->shape[d];
            const int da = d - (dims - left->batch_dims), db = d - (dims - right->batch_dims);
            rest /= out->shape[d];
            if (da >= 0 && left->batch_shape[da] != 1) offset_a += at * left->batch_strides[da];
            if (db >= 0 && right->batch_shape[db] != 1) offset_b += at * right->batch_strides[db];
        }
        offsets[index][0] = offset_a;
        offsets[index][1] = offset_b;
        offsets[index][2] = index * matrix;
    }
}

/* arrays: out, a, b, bias or NULL, mask of the finish where it has one. integers: which of a and b
 * are transposed, enum mg_gemm_finish (plan_fold.c; of floating dtypes, out contiguous). */
int mg_run_matmul(const mg_launch *launch) {
    const mg_array *out = launch->arrays[0], *a = launch->arrays[1], *b = launch->arrays[2];
    const mg_array *bias = launch->arrays[3];
    const matrices left = describe(a, (int)launch->integers[0]);
    const matrices right = describe(b, (int)launch->integers[1]);
    int64_t count = product(out->ndim - 2, out->shape);
    if (out->size == 0) return 0;
    mg_gemm_problem problem = {
        .m = left.rows,
        .n = right.columns,
        .k = left.columns,
        .a = a->data,
        .a_row = left.row_stride,
        .a_k = left.column_stride,
        .b = b->data,
        .b_k = right.row_stride,
        .b_column = right.column_stride,
        .bias = bias ? bias->data : NULL,
        .c = out->data,
        .c_row = right.columns,
        .finish = (enum mg_gemm_finish)launch->integers[2],
        .mask = launch->count > 4 ? launch->arrays[4]->data : NULL,
    };
    if (count > 1 && right.batch_dims == 0 && rows_fold(&left)) {
        problem.m = count * left.rows;
        problem.a_row = folded_stride(&left);
        count = 1;
    }
    if (count == 1) {
        if (mg_is_float(out->dtype)) return mg_gemm(out->dtype, &problem);
        integer_product(out->dtype, &problem);
        return 0;
    }
    int64_t (*offsets)[3] = mg_scratch(MG_SCRATCH_WORK, count * (int64_t)sizeof *offsets);
    if (!offsets) return -1;
    batch_offsets(out, &left, &right, count, offsets);
    return mg_is_float(out->dtype) ? mg_gemm_batch(out->dtype, &problem, count, offsets)
                                   : integer_batch(out->dtype, &problem, count, offsets);
}
