/* Elementwise entries of api.h: they check the operands, choose dtype and shape of the result, and
 * submit the launch that elementwise_run.c runs. */
#include "core.h"

/* ---- the table ---- */

#define UNARY(name, domain, result, cost, on_bool, expression)                                     \
    {#name, #name "_", MG_DOMAIN_##domain, MG_RESULT_##result, MG_COST_##cost, MG_UNARY_##on_bool},
#define BINARY(name, domain, result, cost, on_bool, expression)
#define LIBM_UNARY(name)                                                                           \
    {#name, #name "_", MG_DOMAIN_FLOAT, MG_RESULT_SAME, MG_COST_SCALAR, MG_UNARY_none},
#define LIBM_BINARY(name)
#define SCALAR_BINARY(name)
const mg_operation mg_unary_operations[MG_UNARY_COUNT] = {
#include "elementwise.def"
};
#undef UNARY
#undef BINARY
#undef LIBM_UNARY
#undef LIBM_BINARY
#undef SCALAR_BINARY

#define UNARY(name, domain, result, cost, on_bool, expression)
#define BINARY(name, domain, result, cost, on_bool, expression)                                    \
    {#name, #name "_", MG_DOMAIN_##domain, MG_RESULT_##result, MG_COST_##cost, MG_BINARY_##on_bool},
#define LIBM_UNARY(name)
#define LIBM_BINARY(name)                                                                          \
    {#name, #name "_", MG_DOMAIN_FLOAT, MG_RESULT_SAME, MG_COST_SCALAR, MG_BINARY_none},
#define SCALAR_BINARY(name)                                                                        \
    {#name, #name "_", MG_DOMAIN_NUMBER, MG_RESULT_SAME, MG_COST_SCALAR, MG_BINARY_none},
const mg_operation mg_binary_operations[MG_BINARY_COUNT] = {
#include "elementwise.def"
};

#define FUSED(name, operands, cost, expression) {#name, #name "_", operands, MG_COST_##cost},
const mg_fused_row mg_fused_rows[MG_FUSED_COUNT] = {
#include "fused.def"
};
#undef FUSED

int mg_find_unary(const char *name) {
    for (int op = 0; op < MG_UNARY_COUNT; op++)
        if (strcmp(name, mg_unary_operations[op].name) == 0) return op;
    return mg_fail(MG_VALUE_ERROR, "there is no unary operation '%s' in elementwise.def", name);
}

int mg_find_binary(const char *name) {
    for (int op = 0; op < MG_BINARY_COUNT; op++)
        if (strcmp(name, mg_binary_operations[op].name) == 0) return op;
    return mg_fail(MG_VALUE_ERROR, "there is no binary operation '%s' in elementwise.def", name);
}

int mg_find_fused(const char *name) {
    for (int op = 0; op < MG_FUSED_COUNT; op++)
        if (strcmp(name, mg_fused_rows[op].name) == 0) return op;
    return mg_fail(MG_VALUE_ERROR, "there is no expression '%s' in fused.def", name);
}

const char *mg_unary_name(int op) {
    return op >= 0 && op < MG_UNARY_COUNT ? mg_unary_operations[op].name : NULL;
}

const char *mg_binary_name(int op) {
    return op >= 0 && op < MG_BINARY_COUNT ? mg_binary_operations[op].name : NULL;
}

const char *mg_fused_name(int op) {
    return op >= 0 && op < MG_FUSED_COUNT ? mg_fused_rows[op].name : NULL;
}

/* ---- dtypes ---- */

/* As torch writes them in messages. */
static const char *type_name(int dtype) {
    static const char *const names[MG_DTYPE_COUNT] = {"Bool", "Byte",  "Int",
                                                      "Long", "Float", "Double"};
    return names[dtype];
}

/* Replaces *op and *dtype by what computes the operation for operands of *dtype. */
static int resolve(const mg_operation *table, int *op, int *dtype) {
    const mg_operation *operation = &table[*op];
    if (operation->domain == MG_DOMAIN_FLOAT) {
        if (!mg_is_float(*dtype)) *dtype = mg_default_float();
        return 0;
    }
    if (*dtype == MG_BOOL) {
        if (operation->on_bool >= 0) {
            *op = operation->on_bool;
            return 0;
        }
        if (strcmp(operation->name, "neg") == 0)
            return mg_fail(
                MG_RUNTIME_ERROR,
                "Negation, the `-` operator, on a bool tensor is not supported. If you are "
                "trying to invert a mask, use the `~` or `logical_not()` operator instead.");
        if (strcmp(operation->name, "sub") == 0)
            return mg_fail(
                MG_RUNTIME_ERROR,
                "Subtraction, the `-` operator, with two bool tensors is not supported. Use "
                "the `^` or `logical_xor()` operator instead.");
    }
    if (*dtype == MG_BOOL || (operation->domain == MG_DOMAIN_INTEGER && mg_is_float(*dtype)))
        return mg_fail(MG_NOT_IMPLEMENTED_ERROR,
                       "\"%s\" not implemented for '%s'; convert the tensor to another dtype first",
                       operation->name, type_name(*dtype));
    return 0;
}

/* bool < integers < floating point: a result may be written into its own kind or a higher one. */
static int kind_of(int dtype) { return dtype == MG_BOOL ? 0 : mg_is_float(dtype) ? 2 : 1; }

/* ---- memory that an operation writes in place ---- */

void mg_extent(const mg_array *array, const char **begin, const char **end) {
    int64_t low = 0, high = 0;
    for (int d = 0; d < array->ndim; d++) {
        const int64_t reach = (array->shape[d] - 1) * array->strides[d];
        if (reach < 0)
            low += reach;
        else
            high += reach;
    }
    const int64_t item = mg_item_size(array->dtype);
    *begin = array->data + low * item;
    *end = array->data + (array->size ? high + 1 : low) * item;
}

static int same_shape(const mg_array *array, int ndim, const int64_t *shape) {
    if (array->ndim != ndim) return 0;
    for (int d = 0; d < ndim; d++)
        if (array->shape[d] != shape[d]) return 0;
    return 1;
}

/* Whether both show the same elements at the same indices. */
static int same_view(const mg_array *a, const mg_array *b) {
    if (a->data != b->data || a->dtype != b->dtype) return 0;
    if (!same_shape(a, b->ndim, b->shape)) return 0;
    for (int d = 0; d < a->ndim; d++)
        if (a->shape[d] > 1 && a->strides[d] != b->strides[d]) return 0;
    return 1;
}

/* Whether writing `out` element by element would change what is still to be read of `input`. */
static int is_disturbed(const mg_array *input, const mg_array *out) {
    if (out->storage != input->storage || same_view(input, out)) return 0;
    const char *begin, *end, *out_begin, *out_end;
    mg_extent(input, &begin, &end);
    mg_extent(out, &out_begin, &out_end);
    return begin < out_end && out_begin < end;
}

static int check_writable(const char *name, const mg_array *out) {
    for (int d = 0; d < out->ndim; d++)
        if (out->strides[d] == 0 && out->shape[d] > 1)
            return mg_fail(
                MG_RUNTIME_ERROR,
                "%s: unsupported operation: more than one element of the written-to tensor "
                "refers to a single memory location. Please clone() the tensor before "
                "performing the operation.",
                name);
    return 0;
}

static int check_out(const char *name, const mg_array *out, int dtype, int ndim,
                     const int64_t *shape) {
    if (kind_of(dtype) > kind_of(out->dtype))
        return mg_fail(MG_RUNTIME_ERROR,
                       "%s: result type %s can't be cast to the desired output type %s", name,
                       type_name(dtype), type_name(out->dtype));
    if (!same_shape(out, ndim, shape)) {
        mg_array wanted = {.ndim = ndim};
        memcpy(wanted.shape, shape, (size_t)ndim * sizeof *shape);
        return mg_fail(MG_RUNTIME_ERROR,
                       "%s: output with shape %s doesn't match the broadcast shape %s", name,
                       mg_shape_text(out), mg_shape_text(&wanted));
    }
    return check_writable(name, out);
}

/* ---- operations ---- */

/* The fields that no elementwise kernel reads stay unset: clearing them costs time. */
static void prepare(mg_launch *launch, int kernel, mg_array **arrays, int count, int op,
                    int dtype) {
    launch->kernel = kernel;
    launch->outputs = 1;
    launch->count = count;
    launch->arrays = arrays;
    launch->integers[0] = op;
    launch->integers[1] = dtype;
}

/* Into a fresh array, arrays[0], which is the result; it is released on failure. */
static mg_array *submit_new(int kernel, mg_array **arrays, int count, int op, int dtype) {
    if (!arrays[0]) return NULL;
    mg_launch launch;
    prepare(&launch, kernel, arrays, count, op, dtype);
    if (!mg_submit(&launch, 0, NULL)) return arrays[0];
    mg_release(arrays[0]);
    return NULL;
}

/* Into memory that exists, arrays[0]: inputs that the writing would disturb are copied first. */
static int submit_in_place(mg_launch *launch, const char *writer) {
    mg_array *copies[MG_MAX_OPERANDS] = {NULL}, **arrays = launch->arrays;
    int status = 0;
    for (int i = 1; i < launch->count && !status; i++) {
        if (!is_disturbed(arrays[i], arrays[0])) continue;
        copies[i] = mg_cast(arrays[i], arrays[i]->dtype);
        arrays[i] = copies[i];
        if (!copies[i]) status = -1;
    }
    if (!status) status = mg_submit(launch, 1, writer);
    for (int i = 1; i < launch->count; i++)
        if (copies[i]) mg_release(copies[i]);
    return status;
}

static int submit_over(int kernel, mg_array **arrays, int count, int op, int dtype,
                       const char *writer) {
    mg_launch launch;
    prepare(&launch, kernel, arrays, count, op, dtype);
    return submit_in_place(&launch, writer);
}

static mg_array *retained(mg_array *array) {
    mg_retain(array);
    return array;
}

mg_array *mg_unary(int op, mg_array *a, mg_array *out) {
    if (op < 0 || op >= MG_UNARY_COUNT) {
        mg_fail(MG_VALUE_ERROR, "unary operation number %d does not exist", op);
        return NULL;
    }
    const char *writer = mg_unary_operations[op].in_place_name;
    int dtype = a->dtype;
    if (resolve(mg_unary_operations, &op, &dtype)) return NULL;
    const int result = mg_unary_operations[op].result == MG_RESULT_BOOL ? MG_BOOL : dtype;
    mg_array *arrays[2] = {out, a};
    if (!out) {
        arrays[0] = mg_empty(result, a->ndim, a->shape);
        return submit_new(MG_KERNEL_unary, arrays, 2, op, dtype);
    }
    if (check_out(writer, out, result, a->ndim, a->shape)) return NULL;
    if (submit_over(MG_KERNEL_unary, arrays, 2, op, dtype, writer)) return NULL;
    return retained(out);
}

static int broadcast_flags(const mg_array *a, const mg_array *b, int ndim, const int64_t *shape) {
    return (same_shape(a, ndim, shape) ? 0 : MG_BROADCAST_FIRST) |
           (same_shape(b, ndim, shape) ? 0 : MG_BROADCAST_SECOND);
}

mg_array *mg_binary(int op, mg_array *a, mg_array *b, mg_array *out) {
    if (op < 0 || op >= MG_BINARY_COUNT) {
        mg_fail(MG_VALUE_ERROR, "binary operation number %d does not exist", op);
        return NULL;
    }
    const mg_operation *asked = &mg_binary_operations[op];
    int ndim = a->ndim, dtype = a->dtype, flags = 0;
    int64_t broadcast[MG_MAX_DIMS];
    const int64_t *shape = a->shape;
    if (!same_shape(b, ndim, shape)) {
        if (mg_broadcast_shapes(asked->name, a, b, &ndim, broadcast)) return NULL;
        shape = broadcast;
        flags = broadcast_flags(a, b, ndim, shape);
    }
    if (dtype != b->dtype || (a->flags | b->flags) & MG_WEAK) dtype = mg_result_type(a, b);
    if ((a->dtype == MG_BOOL || b->dtype == MG_BOOL) && dtype != MG_BOOL &&
        strcmp(asked->name, "sub") == 0) {
        mg_fail(MG_RUNTIME_ERROR,
                "Subtraction, the `-` operator, with a bool tensor is not supported. If you are "
                "trying to "
                "invert a mask, use the `~` or `logical_not()` operator instead.");
        return NULL;
    }
    if (resolve(mg_binary_operations, &op, &dtype)) return NULL;
    if (a->dtype != dtype) flags |= MG_BROADCAST_FIRST;
    if (b->dtype != dtype) flags |= MG_BROADCAST_SECOND;
    const int result = mg_binary_operations[op].result == MG_RESULT_BOOL ? MG_BOOL : dtype;
    mg_array *arrays[3] = {out, a, b};
    if (!out) {
        arrays[0] = mg_empty(result, ndim, shape);
        if (arrays[0]) arrays[0]->flags |= flags;
        return submit_new(MG_KERNEL_binary, arrays, 3, op, dtype);
    }
    if (check_out(asked->in_place_name, out, result, ndim, shape)) return NULL;
    out->flags = (out->flags & ~(MG_BROADCAST_FIRST | MG_BROADCAST_SECOND)) | flags;
    if (submit_over(MG_KERNEL_binary, arrays, 3, op, dtype, asked->in_place_name)) return NULL;
    return retained(out);
}

/* Which dtype and shape an expression of fused.def has for its operands. */
static int fused_result(const mg_fused_row *row, mg_array *const *operands, mg_array *result) {
    const mg_array *a = operands[0];
    result->ndim = a->ndim;
    result->dtype = a->dtype;
    memcpy(result->shape, a->shape, (size_t)a->ndim * sizeof *a->shape);
    for (int k = 1; k < row->operands; k++) {
        mg_array *b = operands[k];
        if (b->dtype != a->dtype || (a->flags | b->flags) & MG_WEAK) {
            const int both = mg_result_type(operands[0], b);
            if (both > result->dtype) result->dtype = both;
        }
        if (same_shape(b, result->ndim, result->shape)) continue;
        mg_array so_far = *result;
        if (mg_broadcast_shapes(row->name, &so_far, b, &result->ndim, result->shape)) return -1;
    }
    if (mg_is_float(result->dtype)) return 0;
    return mg_fail(MG_NOT_IMPLEMENTED_ERROR,
                   "\"%s\" not implemented for '%s'; convert the tensor to a floating dtype first",
                   row->name, type_name(result->dtype));
}

static const mg_fused_row *fused_row(int op) {
    if (op >= 0 && op < MG_FUSED_COUNT) return &mg_fused_rows[op];
    mg_fail(MG_VALUE_ERROR, "fused expression number %d does not exist", op);
    return NULL;
}

mg_array *mg_fused(int op, mg_array *a, mg_array *b, mg_array *c, mg_array *out, double p, double q,
                   double r) {
    const mg_fused_row *row = fused_row(op);
    mg_array result = {0}, *arrays[MG_MAX_OPERANDS] = {out, a, b, c};
    if (!row || fused_result(row, arrays + 1, &result)) return NULL;
    mg_launch launch;
    launch.kernel = MG_KERNEL_fused;
    launch.outputs = 1;
    launch.count = row->operands + 1;
    launch.arrays = arrays;
    launch.integers[0] = op;
    launch.integers[1] = result.dtype;
    launch.scalars[0] = p;
    launch.scalars[1] = q;
    launch.scalars[2] = r;
    const int flags = row->operands > 1 ? broadcast_flags(a, b, result.ndim, result.shape) |
                                              (a->dtype != result.dtype ? MG_BROADCAST_FIRST : 0) |
                                              (b->dtype != result.dtype ? MG_BROADCAST_SECOND : 0)
                                        : 0;
    if (!out) {
        arrays[0] = mg_empty(result.dtype, result.ndim, result.shape);
        if (!arrays[0]) return NULL;
        arrays[0]->flags |= flags;
        if (!mg_submit(&launch, 0, NULL)) return arrays[0];
        mg_release(arrays[0]);
        return NULL;
    }
    if (check_out(row->in_place_name, out, result.dtype, result.ndim, result.shape)) return NULL;
    out->flags = (out->flags & ~(MG_BROADCAST_FIRST | MG_BROADCAST_SECOND)) | flags;
    return submit_in_place(&launch, row->in_place_name) ? NULL : retained(out);
}

mg_array *mg_fused_sum(int op, mg_array *a, mg_array *b, mg_array *c, double p, double q, double r,
                       double scale) {
    const mg_fused_row *row = fused_row(op);
    mg_array result = {0}, *arrays[MG_MAX_OPERANDS] = {NULL, a, b, c};
    if (!row || fused_result(row, arrays + 1, &result)) return NULL;
    mg_launch launch = {.kernel = MG_KERNEL_fused_sum,
                        .outputs = 1,
                        .count = row->operands + 1,
                        .arrays = arrays,
                        .integers = {op, result.dtype},
                        .scalars = {p, q, r, scale}};
    int failed = 0, held = 0; /* broadcast operands, strides and dtypes: whole copies */
    for (int k = 1; k <= row->operands && !failed; k++) {
        mg_array *whole = same_shape(arrays[k], result.ndim, result.shape)
                              ? retained(arrays[k])
                              : mg_expand(arrays[k], result.ndim, result.shape);
        arrays[k] = whole ? mg_as_contiguous(whole, result.dtype) : NULL;
        if (whole) mg_release(whole);
        failed = !arrays[k];
        held = k;
    }
    if (!failed) arrays[0] = mg_empty(result.dtype, 0, NULL);
    if (!failed && (!arrays[0] || mg_submit(&launch, 0, NULL))) failed = 1;
    for (int k = 1; k <= held; k++)
        if (arrays[k]) mg_release(arrays[k]);
    if (!failed) return arrays[0];
    if (arrays[0]) mg_release(arrays[0]);
    return NULL;
}

mg_array *mg_where(mg_array *condition, mg_array *a, mg_array *b) {
    if (condition->dtype != MG_BOOL) {
        mg_fail(MG_RUNTIME_ERROR,
                "where expected condition to be a boolean tensor, but got a tensor with dtype %s",
                type_name(condition->dtype));
        return NULL;
    }
    mg_array both; /* stands for the common shape of a and b */
    int ndim;
    int64_t shape[MG_MAX_DIMS];
    if (mg_broadcast_shapes("where", a, b, &both.ndim, both.shape)) return NULL;
    if (mg_broadcast_shapes("where", condition, &both, &ndim, shape)) return NULL;
    const int dtype = mg_result_type(a, b);
    mg_array *arrays[4] = {mg_empty(dtype, ndim, shape), condition, a, b};
    if (arrays[0]) arrays[0]->flags |= broadcast_flags(a, b, ndim, shape);
    return submit_new(MG_KERNEL_where, arrays, 4, 0, dtype);
}

/* ---- copies ---- */

int mg_copy(mg_array *destination, mg_array *source) {
    int ndim = destination->ndim;
    int64_t shape[MG_MAX_DIMS];
    if (check_writable("copy_", destination)) return -1;
    if (!same_shape(source, ndim, destination->shape)) {
        if (mg_broadcast_shapes("copy_", destination, source, &ndim, shape)) return -1;
        if (!same_shape(destination, ndim, shape))
            return mg_fail(MG_RUNTIME_ERROR,
                           "copy_: a source of shape %s does not broadcast to the shape %s of the "
                           "destination",
                           mg_shape_text(source), mg_shape_text(destination));
    }
    mg_array *arrays[2] = {destination, source};
    return submit_over(MG_KERNEL_copy, arrays, 2, 0, 0, "copy_");
}

mg_array *mg_cast(mg_array *a, int dtype) {
    mg_array *arrays[2] = {mg_empty(dtype, a->ndim, a->shape), a};
    return submit_new(MG_KERNEL_copy, arrays, 2, 0, 0);
}

mg_array *mg_full(int dtype, int ndim, const int64_t *shape, mg_array *value) {
    if (value->size != 1) {
        mg_fail(MG_RUNTIME_ERROR,
                "full: the fill value must be one number, got a tensor of shape %s",
                mg_shape_text(value));
        return NULL;
    }
    mg_array *arrays[2] = {mg_empty(dtype, ndim, shape), value};
    return submit_new(MG_KERNEL_copy, arrays, 2, 0, 0);
}

mg_array *mg_arange(int dtype, mg_array *start, mg_array *step, int64_t count) {
    if (dtype == MG_BOOL) {
        mg_fail(MG_NOT_IMPLEMENTED_ERROR, "\"arange\" not implemented for 'Bool'");
        return NULL;
    }
    if (start->size != 1 || step->size != 1) {
        mg_fail(MG_RUNTIME_ERROR,
                "arange: start and step must be one number each, got shapes %s and %s",
                mg_shape_text(start), mg_shape_text(step));
        return NULL;
    }
    mg_array *arrays[3] = {mg_empty(dtype, 1, &count), start, step};
    return submit_new(MG_KERNEL_arange, arrays, 3, 0, dtype);
}
