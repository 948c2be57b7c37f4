/* Arrays: strided views of reference-counted storage. Nothing here computes but the copy that a
 * reshape may need. */
#include "core.h"
#include "memory.h"

#include <stdio.h>

int64_t mg_item_size(int dtype) {
    static const int8_t sizes[MG_DTYPE_COUNT] = {1, 1, 4, 8, 4, 8};
    return sizes[dtype];
}

/* ---- making and freeing ---- */

/* Fills size and the contiguous flag from shape and strides. */
static void describe(mg_array *array) {
    int64_t size = 1, expected = 1;
    int contiguous = 1;
    for (int d = array->ndim - 1; d >= 0; d--) {
        if (array->shape[d] != 1 && array->strides[d] != expected) contiguous = 0;
        expected *= array->shape[d];
        size *= array->shape[d];
    }
    array->size = size;
    array->flags = contiguous || size == 0 ? MG_CONTIGUOUS : 0;
}

/* The number of elements, or -1 and an error for shapes that cannot be. */
static int64_t checked_size(int ndim, const int64_t *shape) {
    if (ndim < 0 || ndim > MG_MAX_DIMS)
        return mg_fail(MG_RUNTIME_ERROR, "tensors have at most %d dimensions, got %d", MG_MAX_DIMS,
                       ndim);
    int64_t size = 1;
    for (int d = 0; d < ndim; d++) {
        if (shape[d] < 0)
            return mg_fail(MG_RUNTIME_ERROR,
                           "Trying to create tensor with negative dimension %lld at position %d",
                           (long long)shape[d], d);
        if (__builtin_mul_overflow(size, shape[d], &size) || size > INT64_MAX / 16)
            return mg_fail(MG_RUNTIME_ERROR, "the tensor would have too many elements");
    }
    return size;
}

mg_array *mg_empty(int dtype, int ndim, const int64_t *shape) {
    int64_t size = checked_size(ndim, shape);
    if (size < 0) return NULL;
    mg_storage *storage = mg_storage_new(size * mg_item_size(dtype));
    if (!storage) return NULL;
    mg_array *array = mg_header_new();
    if (!array) {
        mg_storage_release(storage);
        return NULL;
    }
    array->dtype = dtype;
    array->ndim = ndim;
    array->flags = MG_CONTIGUOUS;
    array->size = size;
    array->offset = 0;
    array->data = storage->data;
    array->storage = storage;
    int64_t stride = 1;
    for (int d = ndim - 1; d >= 0; d--) {
        array->shape[d] = shape[d];
        array->strides[d] = stride;
        stride *= shape[d] > 1 ? shape[d] : 1;
    }
    return array;
}

mg_array *mg_filled(int dtype, int ndim, const int64_t *shape, double value) {
    if (!mg_is_float(dtype)) {
        mg_fail(MG_TYPE_ERROR, "only floating point memory can be filled, not %s",
                mg_dtype_name(dtype));
        return NULL;
    }
    mg_array *array = mg_empty(dtype, ndim, shape);
    for (int64_t i = 0; array && i < array->size; i++) mg_set_number(dtype, array->data, i, value);
    return array;
}

mg_array *mg_empty_like(const mg_array *like, int dtype) {
    return mg_empty(dtype, like->ndim, like->shape);
}

static mg_array *scalar(int dtype) {
    mg_array *array = mg_empty(dtype, 0, NULL);
    if (array) array->flags |= MG_WEAK;
    return array;
}

mg_array *mg_scalar_float(double value) {
    mg_array *array = scalar(MG_FLOAT64);
    if (array) *(double *)array->data = value;
    return array;
}

mg_array *mg_scalar_int(int64_t value) {
    mg_array *array = scalar(MG_INT64);
    if (array) *(int64_t *)array->data = value;
    return array;
}

mg_array *mg_scalar_bool(int value) {
    mg_array *array = scalar(MG_BOOL);
    if (array) *array->data = value != 0;
    return array;
}

mg_array *mg_wrap(int dtype, int ndim, const int64_t *shape, const int64_t *strides, void *data,
                  int64_t owner) {
    if (checked_size(ndim, shape) < 0) return NULL;
    int64_t last = 0, size = 1;
    for (int d = 0; d < ndim; d++) {
        last += (shape[d] - 1) * strides[d];
        size *= shape[d];
    }
    mg_storage *storage = mg_storage_wrap(data, size ? (last + 1) * mg_item_size(dtype) : 0, owner);
    if (!storage) return NULL;
    mg_array *array = mg_header_new();
    if (!array) { /* the caller keeps what it owns */
        storage->size_class = -1;
        free(storage);
        return NULL;
    }
    array->dtype = dtype;
    array->ndim = ndim;
    array->offset = 0;
    array->data = data;
    array->storage = storage;
    memcpy(array->shape, shape, (size_t)ndim * sizeof *shape);
    memcpy(array->strides, strides, (size_t)ndim * sizeof *strides);
    describe(array);
    return array;
}

void mg_retain(mg_array *array) { __atomic_fetch_add(&array->references, 1, __ATOMIC_RELAXED); }

void mg_release(mg_array *array) {
    if (__atomic_sub_fetch(&array->references, 1, __ATOMIC_ACQ_REL) > 0) return;
    mg_storage_release(array->storage);
    mg_header_free(array);
}

/* ---- views ---- */

/* A view of the same storage with its own shape, strides and offset, all already checked. */
static mg_array *view_of(mg_array *base, int ndim, const int64_t *shape, const int64_t *strides,
                         int64_t offset) {
    mg_array *view = mg_header_new();
    if (!view) return NULL;
    view->dtype = base->dtype;
    view->ndim = ndim;
    view->offset = offset;
    view->storage = base->storage;
    view->data = base->storage->data + offset * mg_item_size(base->dtype);
    memcpy(view->shape, shape, (size_t)ndim * sizeof *shape);
    memcpy(view->strides, strides, (size_t)ndim * sizeof *strides);
    describe(view);
    view->flags |= base->flags & MG_WEAK;
    mg_storage_retain(base->storage);
    return view;
}

mg_array *mg_alias(mg_array *array) {
    return view_of(array, array->ndim, array->shape, array->strides, array->offset);
}

mg_array *mg_as_strided(mg_array *array, int ndim, const int64_t *shape, const int64_t *strides,
                        int64_t offset) {
    int64_t size = checked_size(ndim, shape);
    if (size < 0) return NULL;
    int64_t last = offset;
    for (int d = 0; d < ndim; d++) {
        if (strides[d] < 0) {
            mg_fail(MG_RUNTIME_ERROR, "as_strided: negative strides are not supported, got %lld",
                    (long long)strides[d]);
            return NULL;
        }
        int64_t reach;
        if (shape[d] > 0 && (__builtin_mul_overflow(shape[d] - 1, strides[d], &reach) ||
                             __builtin_add_overflow(last, reach, &last)))
            last = INT64_MAX;
    }
    int64_t available = array->storage->bytes / mg_item_size(array->dtype);
    if (offset < 0 || (size > 0 && last >= available)) {
        mg_fail(
            MG_RUNTIME_ERROR,
            "as_strided: sizes, strides and storage offset %lld reach outside the storage of %lld "
            "elements",
            (long long)offset, (long long)available);
        return NULL;
    }
    return view_of(array, ndim, shape, strides, offset);
}

mg_array *mg_transpose(mg_array *array, int dim0, int dim1) {
    int64_t shape[MG_MAX_DIMS], strides[MG_MAX_DIMS];
    memcpy(shape, array->shape, sizeof shape);
    memcpy(strides, array->strides, sizeof strides);
    shape[dim0] = array->shape[dim1];
    shape[dim1] = array->shape[dim0];
    strides[dim0] = array->strides[dim1];
    strides[dim1] = array->strides[dim0];
    return view_of(array, array->ndim, shape, strides, array->offset);
}

static const char *sizes_text(int ndim, const int64_t *shape) {
    mg_array text = {.ndim = ndim < MG_MAX_DIMS ? ndim : MG_MAX_DIMS};
    memcpy(text.shape, shape, (size_t)text.ndim * sizeof *shape);
    return mg_shape_text(&text);
}

mg_array *mg_expand(mg_array *array, int ndim, const int64_t *wanted) {
    int64_t shape[MG_MAX_DIMS], strides[MG_MAX_DIMS];
    int extra = ndim - array->ndim;
    if (ndim > MG_MAX_DIMS) return checked_size(ndim, wanted), NULL;
    if (extra < 0) {
        mg_fail(
            MG_RUNTIME_ERROR,
            "expand: the number of sizes provided (%d) must be greater or equal to the number of "
            "dimensions in the tensor (%d)",
            ndim, array->ndim);
        return NULL;
    }
    for (int d = 0; d < ndim; d++) {
        int64_t own = d >= extra ? array->shape[d - extra] : 1;
        int64_t size = wanted[d] == -1 && d >= extra ? own : wanted[d];
        if (size < 0 || (own != 1 && size != own)) {
            mg_fail(MG_RUNTIME_ERROR,
                    "expand: size %lld at dimension %d does not fit a tensor of shape %s (target "
                    "sizes: "
                    "%s); only dimensions of size 1 expand",
                    (long long)wanted[d], d, mg_shape_text(array), sizes_text(ndim, wanted));
            return NULL;
        }
        shape[d] = size;
        strides[d] = d >= extra && own == size ? array->strides[d - extra] : 0;
    }
    return view_of(array, ndim, shape, strides, array->offset);
}

/* Replaces the one -1 in a wanted shape; -1 and an error where the sizes do not fit. */
static int infer_shape(const mg_array *array, int ndim, const int64_t *wanted, int64_t *shape) {
    if (ndim > MG_MAX_DIMS) return (int)checked_size(ndim, wanted);
    int64_t known = 1;
    int unknown = -1;
    for (int d = 0; d < ndim; d++) {
        shape[d] = wanted[d];
        if (wanted[d] == -1) {
            if (unknown >= 0)
                return mg_fail(MG_RUNTIME_ERROR, "only one dimension can be inferred");
            unknown = d;
        } else if (wanted[d] < 0) {
            return mg_fail(MG_RUNTIME_ERROR, "invalid shape dimension %lld", (long long)wanted[d]);
        } else if (__builtin_mul_overflow(known, wanted[d], &known)) {
            known = -1;
            break;
        }
    }
    if (unknown >= 0) {
        if (known == 0)
            return mg_fail(MG_RUNTIME_ERROR,
                           "cannot reshape tensor of %lld elements into shape %s because the "
                           "unspecified dimension size -1 can be any value and is ambiguous",
                           (long long)array->size, sizes_text(ndim, wanted));
        if (known > 0 && array->size % known == 0) {
            shape[unknown] = array->size / known;
            return 0;
        }
    } else if (known == array->size) {
        return 0;
    }
    return mg_fail(MG_RUNTIME_ERROR, "shape '%s' is invalid for input of size %lld",
                   sizes_text(ndim, wanted), (long long)array->size);
}

/* Strides that show the array's elements in the same order under a new shape; 0 where none exist.
 * The old dimensions fall into runs that lie evenly in memory; each new dimension must divide one
 * run. */
static int view_strides(const mg_array *array, int ndim, const int64_t *shape, int64_t *strides) {
    if (array->size == 0 || mg_is_contiguous(array)) {
        int64_t stride = 1;
        for (int d = ndim - 1; d >= 0; d--) {
            strides[d] = stride;
            stride *= shape[d] > 1 ? shape[d] : 1;
        }
        return 1;
    }
    int d = ndim - 1, from = array->ndim - 1;
    while (from >= 0) {
        int64_t run = array->shape[from], stride = array->strides[from];
        while (from > 0 &&
               (array->shape[from - 1] == 1 || array->strides[from - 1] == stride * run)) {
            run *= array->shape[from - 1];
            from--;
        }
        from--;
        int64_t covered = 1;
        while (d >= 0 && (covered < run || shape[d] == 1)) {
            strides[d] = covered * stride;
            covered *= shape[d];
            d--;
        }
        if (covered != run) return 0;
    }
    for (; d >= 0; d--) strides[d] = 1;
    return 1;
}

mg_array *mg_view(mg_array *array, int ndim, const int64_t *wanted) {
    int64_t shape[MG_MAX_DIMS], strides[MG_MAX_DIMS];
    if (infer_shape(array, ndim, wanted, shape)) return NULL;
    if (!view_strides(array, ndim, shape, strides)) {
        mg_fail(MG_RUNTIME_ERROR,
                "view size is not compatible with input tensor's size and stride (at least one "
                "dimension "
                "spans across two contiguous subspaces). Use .reshape(...) instead.");
        return NULL;
    }
    return view_of(array, ndim, shape, strides, array->offset);
}

mg_array *mg_reshape(mg_array *array, int ndim, const int64_t *wanted) {
    int64_t shape[MG_MAX_DIMS], strides[MG_MAX_DIMS];
    if (infer_shape(array, ndim, wanted, shape)) return NULL;
    if (view_strides(array, ndim, shape, strides))
        return view_of(array, ndim, shape, strides, array->offset);
    mg_array *copy = mg_cast(array, array->dtype);
    if (!copy) return NULL;
    mg_array *view = mg_view(copy, ndim, shape);
    mg_release(copy);
    return view;
}

mg_array *mg_as_contiguous(mg_array *array, int dtype) {
    if (array->dtype == dtype && mg_is_contiguous(array)) {
        mg_retain(array);
        return array;
    }
    return mg_cast(array, dtype);
}

/* ---- questions ---- */

int mg_same_shape(mg_array *a, mg_array *b) {
    if (a->ndim != b->ndim) return 0;
    for (int d = 0; d < a->ndim; d++)
        if (a->shape[d] != b->shape[d]) return 0;
    return 1;
}

int mg_same_storage(mg_array *a, mg_array *b) { return a->storage == b->storage; }

int mg_is_unique(mg_array *array) {
    return mg_is_contiguous(array) &&
           __atomic_load_n(&array->storage->references, __ATOMIC_RELAXED) == 1;
}

int mg_broadcast_shapes(const char *op, const mg_array *a, const mg_array *b, int *ndim,
                        int64_t *shape) {
    int wide = a->ndim > b->ndim ? a->ndim : b->ndim;
    for (int d = wide - 1; d >= 0; d--) {
        int from_a = d - (wide - a->ndim), from_b = d - (wide - b->ndim);
        int64_t size_a = from_a >= 0 ? a->shape[from_a] : 1;
        int64_t size_b = from_b >= 0 ? b->shape[from_b] : 1;
        if (size_a != size_b && size_a != 1 && size_b != 1)
            return mg_fail(
                MG_RUNTIME_ERROR,
                "%s: the size of tensor a (%lld) must match the size of tensor b (%lld) at "
                "non-singleton dimension %d (shapes %s and %s)",
                op, (long long)size_a, (long long)size_b, d, mg_shape_text(a), mg_shape_text(b));
        shape[d] = size_a == 1 ? size_b : size_a;
    }
    *ndim = wide;
    return 0;
}

void *mg_host_data(mg_array *array) {
    if (mg_is_recording() && !(array->flags & MG_WEAK)) {
        mg_fail(
            MG_RECORDING_ERROR,
            "the value of a tensor was read while a plan is being recorded: a replay would not see "
            "it change. Read it outside of the recorded function (return the tensor instead).");
        return NULL;
    }
    return array->data;
}

/* ---- dtypes ---- */

static int default_float = MG_FLOAT32;

int mg_default_float(void) { return default_float; }

void mg_set_default_float(int dtype) { default_float = dtype; }

/* 0 for bool, 1 for integers, 2 for floating point. */
static int kind_of(int dtype) { return dtype == MG_BOOL ? 0 : dtype < MG_FLOAT32 ? 1 : 2; }

int mg_result_type(mg_array *a, mg_array *b) {
    /* Tensors with dimensions outrank 0-d ones, and those outrank Python scalars: the lower rank
     * matters only where it is of a higher kind. Within a rank the wider dtype wins. */
    int by_rank[3] = {-1, -1, -1};
    mg_array *operands[2] = {a, b};
    for (int i = 0; i < 2; i++) {
        mg_array *x = operands[i];
        int rank = x->flags & MG_WEAK ? 2 : x->ndim == 0 ? 1 : 0;
        int dtype = rank == 2 && mg_is_float(x->dtype) ? default_float : x->dtype;
        if (dtype > by_rank[rank]) by_rank[rank] = dtype;
    }
    int result = -1;
    for (int rank = 0; rank < 3; rank++) {
        if (by_rank[rank] < 0) continue;
        if (result < 0)
            result = by_rank[rank];
        else if (kind_of(by_rank[rank]) > kind_of(result))
            result = by_rank[rank];
    }
    return result;
}
