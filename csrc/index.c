/* Indexing by integer arrays (NumPy's "advanced indexing") and the positions of nonzero elements.
 *
 * The index arrays broadcast together to a shape B. The indexed dimensions of the array give way to
 * B: in their place where they are neighbours, otherwise in front. So the result always reads
 *     (outer dimensions, B, inner dimensions),
 * and element b of B stands for one memory offset, computed and checked before anything is written.
 */
#include "strided.h"

#define PLAIN_ADD(a, b) ((a) + (b))
#define OR(a, b) ((a) | (b)) /* what adding means to bool */

#define INDEX_T uint8_t
#define INDEX_NAME(base) base##_bool
#define INDEX_ADD OR
#include "index_loops.h"

#define INDEX_T uint8_t
#define INDEX_NAME(base) base##_uint8
#define INDEX_ADD PLAIN_ADD
#include "index_loops.h"

#define INDEX_T uint32_t /* unsigned: integers wrap around */
#define INDEX_NAME(base) base##_int32
#define INDEX_ADD PLAIN_ADD
#include "index_loops.h"

#define INDEX_T uint64_t
#define INDEX_NAME(base) base##_int64
#define INDEX_ADD PLAIN_ADD
#include "index_loops.h"

#define INDEX_T float
#define INDEX_NAME(base) base##_float32
#define INDEX_ADD PLAIN_ADD
#include "index_loops.h"

#define INDEX_T double
#define INDEX_NAME(base) base##_float64
#define INDEX_ADD PLAIN_ADD
#include "index_loops.h"

typedef struct index_loops {
    void (*gather)(void *, const void *, const int64_t *, int64_t);
    void (*put_run[2])(void *, int64_t, const void *, int64_t, int64_t); /* by accumulate */
    void (*put_elements[2])(void *, const int64_t *, const void *, int64_t, int64_t);
    int64_t (*find_nonzero)(const void *, int64_t, int64_t, int64_t *);
} index_loops;

static const index_loops loops[MG_DTYPE_COUNT] = {
    {gather_bool,
     {copy_run_bool, add_run_bool},
     {copy_elements_bool, add_elements_bool},
     find_nonzero_bool},
    {gather_uint8,
     {copy_run_uint8, add_run_uint8},
     {copy_elements_uint8, add_elements_uint8},
     find_nonzero_uint8},
    {gather_int32,
     {copy_run_int32, add_run_int32},
     {copy_elements_int32, add_elements_int32},
     find_nonzero_int32},
    {gather_int64,
     {copy_run_int64, add_run_int64},
     {copy_elements_int64, add_elements_int64},
     find_nonzero_int64},
    {gather_float32,
     {copy_run_float32, add_run_float32},
     {copy_elements_float32, add_elements_float32},
     find_nonzero_float32},
    {gather_float64,
     {copy_run_float64, add_run_float64},
     {copy_elements_float64, add_elements_float64},
     find_nonzero_float64},
};

enum { PIECE_ELEMENTS = 16384, COLUMNS = 256, WINDOW = 256 };

/* Some dimensions of the result, seen in two memories: of the indexed array, and of the other
 * operand (the result, or the values to be written). Dimensions that lie evenly in both are merged.
 * */
typedef struct block {
    int ndim;
    int64_t size;
    int64_t shape[MG_MAX_DIMS], strides[MG_MAX_DIMS], other_strides[MG_MAX_DIMS];
} block;

typedef struct selection {
    block outer, chosen, inner; /* chosen: B, without strides in the indexed array */
    int ndim;                   /* of the result */
    int64_t shape[MG_MAX_DIMS]; /* of the result */
    int first, chosen_ndim;     /* where in the result B stands */
} selection;

static void add_dimension(block *block, int64_t size, int64_t stride, int64_t other_stride) {
    int last = block->ndim - 1;
    block->size *= size;
    if (size == 1) return;
    if (last >= 0 && block->strides[last] == stride * size &&
        block->other_strides[last] == other_stride * size) {
        block->shape[last] *= size;
        block->strides[last] = stride;
        block->other_strides[last] = other_stride;
        return;
    }
    block->shape[block->ndim] = size;
    block->strides[block->ndim] = stride;
    block->other_strides[block->ndim++] = other_stride;
}

static int64_t block_offset(const block *block, const int64_t *strides, int64_t position) {
    int64_t offset = 0;
    for (int d = block->ndim - 1; d > 0; d--) {
        offset += position % block->shape[d] * strides[d];
        position /= block->shape[d];
    }
    return block->ndim ? offset + position * strides[0] : 0;
}

/* The place of B: after how many of the dimensions that are taken whole. */
static int outer_count(const mg_array *a, mg_array *const *indices) {
    int first = -1, last = -1, indexed = 0;
    for (int d = 0; d < a->ndim; d++) {
        if (!indices[d]) continue;
        if (first < 0) first = d;
        last = d;
        indexed++;
    }
    return indexed > 0 && last - first + 1 == indexed ? first : 0;
}

/* The common shape of the index arrays; -1 where there is none. */
static int broadcast_indices(const mg_array *a, mg_array *const *indices, int *ndim,
                             int64_t *shape) {
    int wide = 0;
    for (int d = 0; d < a->ndim; d++)
        if (indices[d] && indices[d]->ndim > wide) wide = indices[d]->ndim;
    for (int e = 0; e < wide; e++) shape[e] = 1;
    for (int d = 0; d < a->ndim; d++) {
        if (!indices[d]) continue;
        int64_t *aligned = shape + wide - indices[d]->ndim;
        for (int e = 0; e < indices[d]->ndim; e++) {
            if (aligned[e] != 1 && indices[d]->shape[e] != 1 && aligned[e] != indices[d]->shape[e])
                return -1;
            if (aligned[e] == 1) aligned[e] = indices[d]->shape[e];
        }
    }
    *ndim = wide;
    return 0;
}

/* The shape of the result, with an error where the indices do not fit the array. */
static int select_shape(const char *op, const mg_array *a, mg_array *const *indices, selection *s) {
    int64_t chosen[MG_MAX_DIMS];
    for (int d = 0; d < a->ndim; d++)
        if (indices[d] && indices[d]->dtype != MG_INT64)
            return mg_fail(MG_INDEX_ERROR,
                           "%s: tensors used as indices must be int64, got %s for dimension %d", op,
                           mg_dtype_name(indices[d]->dtype), d);
    if (broadcast_indices(a, indices, &s->chosen_ndim, chosen)) {
        char shapes[512] = "";
        for (int d = 0; d < a->ndim; d++) {
            if (!indices[d]) continue;
            if (*shapes) strcat(shapes, ", ");
            strncat(shapes, mg_shape_text(indices[d]), sizeof shapes - strlen(shapes) - 3);
        }
        return mg_fail(MG_INDEX_ERROR,
                       "%s: shape mismatch: indexing tensors could not be broadcast together with "
                       "shapes %s",
                       op, shapes);
    }
    int whole = 0, seen = 0;
    for (int d = 0; d < a->ndim; d++) whole += !indices[d];
    s->ndim = whole + s->chosen_ndim;
    s->first = outer_count(a, indices);
    if (s->ndim > MG_MAX_DIMS)
        return mg_fail(MG_INDEX_ERROR,
                       "%s: the result would have %d dimensions; tensors have at most %d", op,
                       s->ndim, MG_MAX_DIMS);
    memcpy(s->shape + s->first, chosen, (size_t)s->chosen_ndim * sizeof *chosen);
    for (int d = 0; d < a->ndim; d++) {
        if (indices[d]) continue;
        s->shape[seen < s->first ? seen : seen + s->chosen_ndim] = a->shape[d];
        seen++;
    }
    return 0;
}

/* Sorts the dimensions into blocks; other_strides: of the other operand, for the result's
 * dimensions. */
static void select_blocks(const mg_array *a, mg_array *const *indices, const int64_t *other_strides,
                          selection *s) {
    s->outer.size = s->chosen.size = s->inner.size = 1;
    int seen = 0;
    for (int d = 0; d < a->ndim; d++) {
        if (indices[d]) continue;
        int inside = seen >= s->first, at = inside ? seen + s->chosen_ndim : seen;
        add_dimension(inside ? &s->inner : &s->outer, a->shape[d], a->strides[d],
                      other_strides[at]);
        seen++;
    }
    for (int d = s->first; d < s->first + s->chosen_ndim; d++)
        add_dimension(&s->chosen, s->shape[d], other_strides[d], other_strides[d]);
}

/* The index array of one dimension, broadcast to B. */
static mg_array broadcast_index(const mg_array *index, const selection *s) {
    mg_array wide = *index;
    int missing = s->chosen_ndim - index->ndim;
    wide.ndim = s->chosen_ndim;
    for (int e = 0; e < s->chosen_ndim; e++) {
        int repeats = e < missing || index->shape[e - missing] == 1;
        wide.shape[e] = s->shape[s->first + e];
        wide.strides[e] = repeats ? 0 : index->strides[e - missing];
    }
    if (index->size != s->chosen.size) wide.flags &= ~MG_CONTIGUOUS;
    return wide;
}

/* The memory offsets of B's elements in `a`; NULL and IndexError where an index is out of range. */
static int64_t *index_offsets(const mg_array *a, mg_array *const *indices, const selection *s) {
    int64_t total = s->chosen.size;
    int64_t *offsets = mg_scratch(MG_SCRATCH_WORK, (total + 1) * (int64_t)sizeof *offsets);
    if (!offsets) return NULL;
    memset(offsets, 0, (size_t)total * sizeof *offsets);
    for (int d = 0; d < a->ndim; d++) {
        if (!indices[d]) continue;
        int64_t size = a->shape[d], stride = a->strides[d], window[WINDOW];
        mg_array wide = broadcast_index(indices[d], s);
        for (int64_t begin = 0; begin < total; begin += WINDOW) {
            int64_t count = total - begin < WINDOW ? total - begin : WINDOW;
            mg_gather_run(&wide, begin, count, window);
            for (int64_t i = 0; i < count; i++) {
                int64_t index = window[i];
                if (index < -size || index >= size) {
                    mg_fail(MG_INDEX_ERROR,
                            "index %lld is out of bounds for dimension %d with size %lld",
                            (long long)index, d, (long long)size);
                    return NULL;
                }
                offsets[begin + i] += (index < 0 ? index + size : index) * stride;
            }
        }
    }
    return offsets;
}

/* ---- reading ---- */

typedef struct gathering {
    const selection *selection;
    const int64_t *offsets;
    const mg_array *source;
    char *out;
} gathering;

/* The inner block at `from`, row-major, to contiguous memory. */
static void gather_block(const block *inner, char *to, const char *from, int64_t item) {
    int last = inner->ndim - 1;
    int64_t run = last < 0 ? 1 : inner->shape[last], stride = last < 0 ? 1 : inner->strides[last];
    for (int64_t i = 0; i < inner->size; i += run)
        mg_copy_strided(to + i * item, 1, from + block_offset(inner, inner->strides, i) * item,
                        stride, run, item);
}

/* Rows [begin, end) of the result seen as (outer x B, inner). */
static void gather_rows(void *context, int64_t begin, int64_t end) {
    const gathering *g = context;
    const block *inner = &g->selection->inner, *outer = &g->selection->outer;
    const int64_t chosen = g->selection->chosen.size, item = mg_item_size(g->source->dtype);
    const int64_t row = inner->size * item;
    const int whole = inner->ndim == 1 && inner->strides[0] == 1; /* a row lies in one piece */
    while (begin < end) {
        int64_t b = begin % chosen, count = chosen - b < end - begin ? chosen - b : end - begin;
        const char *source =
            g->source->data + block_offset(outer, outer->strides, begin / chosen) * item;
        char *out = g->out + begin * row;
        if (inner->size == 1)
            loops[g->source->dtype].gather(out, source, g->offsets + b, count);
        else if (whole)
            for (int64_t i = 0; i < count; i++)
                memcpy(out + i * row, source + g->offsets[b + i] * item, (size_t)row);
        else
            for (int64_t i = 0; i < count; i++)
                gather_block(inner, out + i * row, source + g->offsets[b + i] * item, item);
        begin += count;
    }
}

/* arrays: out; source, one index or NULL for each of its dimensions */
int mg_run_index(const mg_launch *launch) {
    mg_array *out = launch->arrays[0], *a = launch->arrays[1], **indices = launch->arrays + 2;
    selection s = {0};
    if (select_shape("index", a, indices, &s)) return -1;
    select_blocks(a, indices, out->strides, &s);
    int64_t *offsets = index_offsets(a, indices, &s);
    if (!offsets) return -1;
    gathering g = {&s, offsets, a, out->data};
    int64_t rows = s.outer.size * s.chosen.size, row = s.inner.size;
    if (out->size)
        mg_parallel_for(rows, row < PIECE_ELEMENTS ? PIECE_ELEMENTS / row : 1,
                        0.3 * (double)out->size + 3 * (double)rows, gather_rows, &g);
    return 0;
}

/* ---- writing ---- */

typedef struct putting {
    const selection *selection;
    const int64_t *offsets;
    mg_array *destination, *values;
    int accumulate;
    int64_t column_pieces;
} putting;

/* Columns [begin, end) of the inner block for one b; `to` and `from` are where the block starts. */
static void put_block(const putting *put, int64_t to, int64_t from, int64_t begin, int64_t end) {
    const block *inner = &put->selection->inner;
    int dtype = put->destination->dtype, last = inner->ndim - 1;
    int64_t item = mg_item_size(dtype);
    int64_t run = last < 1 ? end - begin : inner->shape[last];
    int64_t stride = last < 0 ? 1 : inner->strides[last];
    int64_t other_stride = last < 0 ? 1 : inner->other_strides[last];
    for (int64_t i = begin; i < end; i += run) {
        int64_t target = to + block_offset(inner, inner->strides, i);
        int64_t source = from + block_offset(inner, inner->other_strides, i);
        loops[dtype].put_run[put->accumulate](put->destination->data + target * item, stride,
                                              put->values->data + source * item, other_stride, run);
    }
}

/* Units [begin, end) of (outer, pieces of columns). Within a unit the b follow each other in order,
 * and no two units share memory: duplicate indices have the same result whatever the number of
 * threads. */
static void put_units(void *context, int64_t begin, int64_t end) {
    const putting *put = context;
    const block *outer = &put->selection->outer, *chosen = &put->selection->chosen;
    const block *inner = &put->selection->inner;
    int dtype = put->destination->dtype;
    int64_t item = mg_item_size(dtype);
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t p = unit / put->column_pieces, column = unit % put->column_pieces * COLUMNS;
        int64_t stop = put->column_pieces == 1 || column + COLUMNS > inner->size ? inner->size
                                                                                 : column + COLUMNS;
        int64_t to = block_offset(outer, outer->strides, p);
        int64_t from = block_offset(outer, outer->other_strides, p);
        if (inner->size == 1 && chosen->ndim <= 1) {
            loops[dtype].put_elements[put->accumulate](put->destination->data + to * item,
                                                       put->offsets,
                                                       put->values->data + from * item,
                                                       chosen->ndim ? chosen->other_strides[0] : 0,
                                                       chosen->size);
            continue;
        }
        for (int64_t b = 0; b < chosen->size; b++)
            put_block(put, to + put->offsets[b],
                      from + block_offset(chosen, chosen->other_strides, b), column, stop);
    }
}

/* Strides of `values` broadcast to the result's shape; -1 where they do not fit. Leading dimensions
 * of size 1 that the result does not have are left out. */
static int value_strides(const mg_array *values, const selection *s, int64_t *strides) {
    int extra = s->ndim - values->ndim;
    for (int d = 0; d < -extra; d++)
        if (values->shape[d] != 1) return -1;
    for (int d = 0; d < s->ndim; d++) {
        int64_t size = d >= extra ? values->shape[d - extra] : 1;
        if (size != 1 && size != s->shape[d]) return -1;
        strides[d] = size == 1 ? 0 : values->strides[d - extra];
    }
    return 0;
}

/* arrays: destination; values, one index or NULL for each dimension. integers: accumulate */
int mg_run_index_put(const mg_launch *launch) {
    mg_array *a = launch->arrays[0], *values = launch->arrays[1], **indices = launch->arrays + 2;
    selection s = {0};
    int64_t strides[MG_MAX_DIMS];
    if (select_shape("index_put", a, indices, &s) || value_strides(values, &s, strides)) return -1;
    select_blocks(a, indices, strides, &s);
    int64_t *offsets = index_offsets(a, indices, &s);
    if (!offsets) return -1;
    putting put = {&s, offsets, a, values, launch->integers[0] != 0, 1};
    if (s.inner.ndim <= 1) put.column_pieces = (s.inner.size + COLUMNS - 1) / COLUMNS;
    int64_t rows = s.outer.size * s.chosen.size;
    int64_t elements = rows * s.inner.size, units = s.outer.size * put.column_pieces;
    if (elements > 0)
        mg_parallel_for(units, (PIECE_ELEMENTS + elements / units) / (elements / units + 1),
                        0.5 * (double)elements + 4 * (double)rows, put_units, &put);
    return 0;
}

/* ---- entries ---- */

/* One entry for each dimension of `a`; -1 and an error where there are more indices than
 * dimensions. */
static int complete_indices(const char *op, const mg_array *a, int count, mg_array **indices,
                            mg_array **complete) {
    if (count > a->ndim)
        return mg_fail(MG_INDEX_ERROR, "%s: too many indices for tensor of dimension %d (got %d)",
                       op, a->ndim, count);
    for (int d = 0; d < a->ndim; d++) complete[d] = d < count ? indices[d] : NULL;
    return 0;
}

mg_array *mg_index(mg_array *a, int count, mg_array **indices) {
    mg_array *arrays[MG_MAX_DIMS + 2];
    selection s = {0};
    if (complete_indices("index", a, count, indices, arrays + 2) ||
        select_shape("index", a, arrays + 2, &s))
        return NULL;
    mg_array *out = mg_empty(a->dtype, s.ndim, s.shape);
    if (!out) return NULL;
    arrays[0] = out;
    arrays[1] = a;
    mg_launch launch = {.kernel = MG_KERNEL_index,
                        .outputs = 1,
                        .count = a->ndim + 2,
                        .arrays = arrays};
    if (mg_submit(&launch, 0, "index") == 0) return out;
    mg_release(out);
    return NULL;
}

int mg_index_put(mg_array *destination, int count, mg_array **indices, mg_array *values,
                 int accumulate) {
    static const char op[] = "index_put";
    mg_array *arrays[MG_MAX_DIMS + 2];
    selection s = {0};
    int64_t strides[MG_MAX_DIMS];
    if (complete_indices(op, destination, count, indices, arrays + 2) ||
        select_shape(op, destination, arrays + 2, &s) || mg_check_writable(op, destination))
        return -1;
    if (value_strides(values, &s, strides)) {
        mg_array result = {.ndim = s.ndim};
        memcpy(result.shape, s.shape, sizeof s.shape);
        return mg_fail(
            MG_RUNTIME_ERROR,
            "shape mismatch: value tensor of shape %s cannot be broadcast to indexing result "
            "of shape %s",
            mg_shape_text(values), mg_shape_text(&result));
    }
    /* Values of another dtype are converted; values in the same memory must not change while read.
     * */
    if (values->dtype != destination->dtype || mg_same_storage(values, destination))
        values = mg_cast(values, destination->dtype);
    else
        mg_retain(values);
    if (!values) return -1;
    arrays[0] = destination;
    arrays[1] = values;
    mg_launch launch = {.kernel = MG_KERNEL_index_put,
                        .outputs = 1,
                        .count = destination->ndim + 2,
                        .arrays = arrays,
                        .integers = {accumulate}};
    int failed = mg_submit(&launch, 1, "index_put_");
    mg_release(values);
    return failed;
}

/* ---- nonzero: not a launch, since the shape of its result depends on values ---- */

static int64_t find_nonzero(const mg_array *a, int64_t *found) {
    uint64_t window[WINDOW];
    int64_t matches = 0;
    for (int64_t begin = 0; begin < a->size; begin += WINDOW) {
        int64_t count = a->size - begin < WINDOW ? a->size - begin : WINDOW;
        const void *source = window;
        if (mg_is_contiguous(a))
            source = a->data + begin * mg_item_size(a->dtype);
        else
            mg_gather_run(a, begin, count, window);
        matches +=
            loops[a->dtype].find_nonzero(source, count, begin, found ? found + matches : NULL);
    }
    return matches;
}

mg_array *mg_nonzero(mg_array *a) {
    if (mg_is_recording()) {
        mg_fail(
            MG_RECORDING_ERROR,
            "nonzero: the number of matches depends on values, so it cannot be part of a recorded "
            "plan. Compute it outside of the recorded function, or use where() with a mask.");
        return NULL;
    }
    int64_t matches = find_nonzero(a, NULL), shape[2] = {matches, a->ndim};
    mg_array *out = mg_empty(MG_INT64, 2, shape);
    if (!out || out->size == 0) return out;
    /* The row-major positions fill the front; from the last match backwards they turn into rows,
     * which never reach a position that is still to be read. */
    int64_t *rows = (int64_t *)out->data;
    find_nonzero(a, rows);
    for (int64_t match = matches - 1; match >= 0; match--) {
        int64_t position = rows[match];
        for (int d = a->ndim - 1; d >= 0; d--) {
            rows[match * a->ndim + d] = position % a->shape[d];
            position /= a->shape[d];
        }
    }
    return out;
}
