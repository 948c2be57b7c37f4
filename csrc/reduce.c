/* Reductions: sum, product, extremes, their positions, any and all over any dimensions of any view.
 *
 * The outputs form a grid (reduce_form.h) that is cut in fixed pieces, and a long reduction in
 * parts whose results are joined in pairs. So the result does not depend on the number of threads,
 * and the rounding error of a sum grows with the logarithm of its length. */
#include "reduce_form.h"

/* ---- partial results ---- */

/* into[k] = the reduction of into[k] and next[k], where `next` comes later. */
static void join(const mg_reduction *r, int64_t count, mg_partial *into, int64_t *position,
                 const mg_partial *next, const int64_t *next_position) {
    for (int64_t k = 0; k < count; k++) {
        mg_partial *a = into + k;
        const mg_partial *b = next + k;
        switch (r->core) {
        case MG_REDUCE_SUM:
            if (r->integer)
                a->integer = (int64_t)((uint64_t)a->integer + (uint64_t)b->integer);
            else
                a->real += b->real;
            continue;
        case MG_REDUCE_PROD:
            if (r->integer)
                a->integer = (int64_t)((uint64_t)a->integer * (uint64_t)b->integer);
            else
                a->real *= b->real;
            continue;
        case MG_REDUCE_ANY: a->integer |= b->integer; continue;
        case MG_REDUCE_ALL: a->integer &= b->integer; continue;
        }
        int minimum = r->core == MG_REDUCE_MIN || r->core == MG_REDUCE_ARGMIN;
        int better; /* NaN beats every number, the first of several wins */
        if (r->integer)
            better = minimum ? b->integer < a->integer : b->integer > a->integer;
        else
            better = !isnan(a->real) &&
                     (isnan(b->real) || (minimum ? b->real < a->real : b->real > a->real));
        if (!better) continue;
        *a = *b;
        if (r->core >= MG_REDUCE_ARGMAX) position[k] = next_position[k];
    }
}

/* Writes finished outputs, `stride` elements apart. */
static void finish(const mg_reduction *r, int64_t count, const mg_partial *values,
                   const int64_t *positions, char *out, int64_t stride) {
    if (r->core >= MG_REDUCE_ARGMAX) {
        for (int64_t k = 0; k < count; k++) ((int64_t *)out)[k * stride] = positions[k];
        return;
    }
    switch (r->out_dtype) {
    case MG_FLOAT32:
        for (int64_t k = 0; k < count; k++)
            ((float *)out)[k * stride] = (float)(values[k].real / r->divisor);
        return;
    case MG_FLOAT64:
        for (int64_t k = 0; k < count; k++)
            ((double *)out)[k * stride] = values[k].real / r->divisor;
        return;
    case MG_INT64:
        for (int64_t k = 0; k < count; k++) ((int64_t *)out)[k * stride] = values[k].integer;
        return;
    case MG_INT32:
        for (int64_t k = 0; k < count; k++)
            ((int32_t *)out)[k * stride] = (int32_t)values[k].integer;
        return;
    default:
        for (int64_t k = 0; k < count; k++)
            ((uint8_t *)out)[k * stride] = (uint8_t)values[k].integer;
    }
}

/* ---- running ---- */

#define GATHER 1024         /* elements collected at a time */
#define WORTH_A_PIECE 16384 /* elements for one call of the loop's body */

static int64_t at_least_one(int64_t value) { return value < 1 ? 1 : value; }

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/* `size` is a constant where this is inlined. */
static inline __attribute__((always_inline)) void collect(char *to, const char *from, int64_t run,
                                                          int64_t step, size_t size) {
    for (int64_t k = 0; k < run; k++) memcpy(to + k * (int64_t)size, from + k * step, size);
}

/* Elements [begin, end) of one output, collected into neighbours. */
static void reduce_gathered(const mg_reduction *r, const char *x, int64_t begin, int64_t end,
                            mg_partial *value, int64_t *position) {
    double buffer[GATHER]; /* large enough for GATHER elements of any dtype */
    const mg_axis *inner = r->repeat + r->repeat_dims - 1;
    const int64_t size = r->item_size;
    for (int64_t first = begin; first < end; first += GATHER) {
        int64_t count = smaller(GATHER, end - first), filled = 0;
        while (filled < count) {
            int64_t offset = 0, unused = 0, at = first + filled;
            mg_axes_at(r->repeat, r->repeat_dims, at, &offset, &unused);
            int64_t run = smaller(count - filled, inner->size - at % inner->size);
            char *to = (char *)buffer + filled * size;
            const char *from = x + offset * size;
            if (size == 8)
                collect(to, from, run, inner->stride * 8, 8);
            else if (size == 4)
                collect(to, from, run, inner->stride * 4, 4);
            else
                collect(to, from, run, inner->stride, 1);
            filled += run;
        }
        mg_partial part;
        int64_t place = 0;
        r->rows(buffer, 1, count, count, &part, &place);
        place += first;
        if (first == begin) {
            *value = part;
            *position = place;
        } else {
            join(r, 1, value, position, &part, &place);
        }
    }
}

/* One cell of the grid: `width` outputs from x on, of which part `part`. */
static void reduce_cell(const mg_reduction *r, const char *x, int64_t width, int64_t part,
                        mg_partial *values, int64_t *positions) {
    int64_t n_begin = part % r->parts_n * r->part_n;
    int64_t n = smaller(r->part_n, r->n - n_begin);
    if (r->form == GATHERED) {
        for (int64_t k = 0; k < width; k++)
            reduce_gathered(r, x + k * r->width.stride * r->item_size, n_begin, n_begin + n,
                            values + k, positions + k);
        return;
    }
    mg_partial next[MG_REDUCE_WIDTH];
    int64_t next_positions[MG_REDUCE_WIDTH];
    int64_t first = part / r->parts_n * r->part_repeats;
    int64_t last = smaller(first + r->part_repeats, r->repeats);
    for (int64_t repeat = first; repeat < last; repeat++) {
        int64_t offset = n_begin * r->n_stride, unused = 0;
        mg_axes_at(r->repeat, r->repeat_dims, repeat, &offset, &unused);
        const char *from = x + offset * r->item_size;
        mg_partial *to = repeat == first ? values : next;
        int64_t *to_position = repeat == first ? positions : next_positions;
        if (r->form == ROWS)
            r->rows(from, width, r->width.stride, n, to, to_position);
        else
            r->columns(from, n, r->n_stride, width, to, to_position);
        if (r->core >= MG_REDUCE_ARGMAX)
            for (int64_t k = 0; k < width; k++) to_position[k] += repeat * r->n + n_begin;
        if (repeat > first) join(r, width, values, positions, next, next_positions);
    }
}

/* Cells [begin, end) of the grid, in the order outer, part, chunk. */
static void reduce_cells(void *context, int64_t begin, int64_t end) {
    const mg_reduction *r = context;
    mg_partial values[MG_REDUCE_WIDTH];
    int64_t positions[MG_REDUCE_WIDTH];
    for (int64_t cell = begin; cell < end; cell++) {
        int64_t row = cell / r->chunks, column = cell % r->chunks * r->chunk;
        int64_t outer = row / r->parts, part = row % r->parts;
        int64_t width = smaller(r->chunk, r->width.size - column);
        int64_t offset = column * r->width.stride, out_offset = column * r->width.out_stride;
        mg_axes_at(r->outer, r->outer_dims, outer, &offset, &out_offset);
        const char *x = r->x + offset * r->item_size;
        reduce_cell(r, x, width, part, values, positions);
        if (r->parts == 1) {
            finish(r, width, values, positions, r->out + out_offset * r->out_item_size,
                   r->width.out_stride);
            continue;
        }
        int64_t to = row * r->width.size + column;
        memcpy(r->partials + to, values, (size_t)width * sizeof *values);
        if (r->positions) memcpy(r->positions + to, positions, (size_t)width * sizeof *positions);
    }
}

/* Joins the parts of each output in pairs: neighbours first, then pairs of pairs, ... */
static void join_parts(const mg_reduction *r) {
    int64_t width = r->width.size;
    for (int64_t outer = 0; outer < r->outer_count; outer++) {
        mg_partial *values = r->partials + outer * r->parts * width;
        int64_t *positions = r->positions ? r->positions + outer * r->parts * width : NULL;
        for (int64_t step = 1; step < r->parts; step *= 2)
            for (int64_t part = 0; part + step < r->parts; part += 2 * step) {
                int64_t into = part * width, from = (part + step) * width;
                join(r, width, values + into, positions ? positions + into : NULL, values + from,
                     positions ? positions + from : NULL);
            }
        int64_t offset = 0, out_offset = 0;
        mg_axes_at(r->outer, r->outer_dims, outer, &offset, &out_offset);
        finish(r, width, values, positions, r->out + out_offset * r->out_item_size,
               r->width.out_stride);
    }
}

static const struct {
    const char *name;
    int core, mean;
} reductions[] = {
    {"sum", MG_REDUCE_SUM, 0}, {"prod", MG_REDUCE_PROD, 0},     {"mean", MG_REDUCE_SUM, 1},
    {"max", MG_REDUCE_MAX, 0}, {"min", MG_REDUCE_MIN, 0},       {"any", MG_REDUCE_ANY, 0},
    {"all", MG_REDUCE_ALL, 0}, {"argmax", MG_REDUCE_ARGMAX, 0}, {"argmin", MG_REDUCE_ARGMIN, 0},
};
enum { REDUCTIONS = sizeof reductions / sizeof *reductions };

/* Outputs that reduce no element at all. */
static void fill_empty(mg_reduction *r, int64_t count) {
    mg_partial nothing = {.integer = r->core == MG_REDUCE_PROD || r->core == MG_REDUCE_ALL};
    if (!r->integer) nothing.real = (double)nothing.integer;
    int64_t position = 0;
    for (int64_t k = 0; k < count; k++)
        finish(r, 1, &nothing, &position, r->out + k * r->out_item_size, 1);
}

static int run_cells(mg_reduction *r) {
    int64_t cells = r->outer_count * r->parts * r->chunks;
    double elements =
        (double)r->outer_count * (double)r->width.size * (double)r->n * (double)r->repeats;
    if (r->parts > 1) {
        int64_t count = r->outer_count * r->parts * r->width.size;
        int64_t place = r->core >= MG_REDUCE_ARGMAX ? sizeof(int64_t) : 0;
        r->partials = mg_scratch(MG_SCRATCH_WORK, count * ((int64_t)sizeof *r->partials + place));
        if (!r->partials) return mg_fail(MG_MEMORY_ERROR, "out of memory in a reduction");
        r->positions = place ? (int64_t *)(r->partials + count) : NULL;
    }
    /* Measured with AVX-512: 0.01 to 0.02 ns a byte, other reductions than sums up to twice that,
     * 0.3 to 2 ns a gathered element, 20 ns a cell. */
    double cost = r->form == GATHERED ? 0.5 : 0.015 * (double)r->item_size;
    if (r->core != MG_REDUCE_SUM) cost *= 2;
    int64_t piece = at_least_one((int64_t)(WORTH_A_PIECE * (double)cells / (elements + 1)));
    mg_parallel_for(cells, piece, elements * cost + 20.0 * (double)cells, reduce_cells, r);
    if (r->parts > 1) join_parts(r);
    return 0;
}

/* arrays: output, input. integers: the reduction, the mask of dimensions. */
int mg_run_reduce(const mg_launch *launch) {
    const mg_array *out = launch->arrays[0], *a = launch->arrays[1];
    int64_t dims = launch->integers[1];
    mg_reduction r;
    r.core = reductions[launch->integers[0]].core;
    r.dtype = a->dtype;
    r.out_dtype = out->dtype;
    r.integer = !mg_is_float(a->dtype) || r.core == MG_REDUCE_ANY || r.core == MG_REDUCE_ALL;
    r.rows = mg_active_isa->reduce.rows[r.core][a->dtype];
    r.columns = mg_active_isa->reduce.columns[r.core][a->dtype];
    r.x = a->data;
    r.out = out->data;
    r.item_size = mg_item_size(a->dtype);
    r.out_item_size = mg_item_size(out->dtype);
    r.divisor = 1;
    if (out->size == 0) return 0;
    if (reductions[launch->integers[0]].mean) r.divisor = (double)a->size / (double)out->size;
    if (a->size == 0) {
        fill_empty(&r, out->size);
        return 0;
    }
    mg_reduce_layout(&r, a, dims);
    if (r.parts > 1 || r.outer_count * r.chunks > 1) return run_cells(&r);
    reduce_cells(&r, 0, 1);
    return 0;
}

/* ---- entries ---- */

int mg_find_reduction(const char *name) {
    for (int op = 0; op < REDUCTIONS; op++)
        if (!strcmp(name, reductions[op].name)) return op;
    return mg_fail(MG_VALUE_ERROR, "there is no reduction named '%s'", name);
}

int mg_reduction_core(int op) { return reductions[op].core; }

int mg_reduction_is_mean(int op) { return reductions[op].mean; }

const char *mg_reduction_name(int op) {
    return op >= 0 && op < REDUCTIONS ? reductions[op].name : NULL;
}

/* torch's dtype of the result, or -1 and an error. */
static int result_dtype(int op, const mg_array *a) {
    int dtype = a->dtype;
    switch (reductions[op].core) {
    case MG_REDUCE_SUM:
        if (reductions[op].mean && !mg_is_float(dtype))
            return mg_fail(MG_RUNTIME_ERROR,
                           "mean(): could not infer output dtype. Input dtype must be either a "
                           "floating point or complex dtype. Got: %s",
                           mg_dtype_name(dtype));
        return mg_is_float(dtype) ? dtype : MG_INT64;
    case MG_REDUCE_PROD: return mg_is_float(dtype) ? dtype : MG_INT64;
    case MG_REDUCE_MAX:
    case MG_REDUCE_MIN: return dtype;
    case MG_REDUCE_ANY:
    case MG_REDUCE_ALL: return dtype == MG_UINT8 ? MG_UINT8 : MG_BOOL;
    default:
        if (dtype == MG_BOOL)
            return mg_fail(MG_RUNTIME_ERROR, "%s(): does not support bool input; convert it first",
                           reductions[op].name);
        return MG_INT64;
    }
}

/* Extremes need an element, and a position needs one dimension, or all of them, to count in. */
static int check_dims(int op, const mg_array *a, int dims) {
    const char *name = reductions[op].name;
    int core = reductions[op].core, count = __builtin_popcount((unsigned)dims);
    if (core >= MG_REDUCE_ARGMAX && count != a->ndim && count != 1)
        return mg_fail(
            MG_RUNTIME_ERROR,
            "%s(): reduces one dimension or all of them, got %d of the %d dimensions of a "
            "tensor of shape %s",
            name, count, a->ndim, mg_shape_text(a));
    if (core < MG_REDUCE_MAX || core == MG_REDUCE_ANY || core == MG_REDUCE_ALL || a->size) return 0;
    if (count == a->ndim && count != 1)
        return mg_fail(core >= MG_REDUCE_ARGMAX ? MG_INDEX_ERROR : MG_RUNTIME_ERROR,
                       "%s(): Expected reduction dim to be specified for input.numel() == 0. "
                       "Specify the reduction dim with the 'dim' argument.",
                       name);
    for (int d = 0; d < a->ndim; d++)
        if (dims >> d & 1 && a->shape[d] == 0)
            return mg_fail(MG_INDEX_ERROR, "%s(): Expected reduction dim %d to have non-zero size.",
                           name, d);
    return 0;
}

static mg_array *submit(int op, mg_array *a, int dims, int dtype, int ndim, const int64_t *shape) {
    mg_array *out = mg_empty(dtype, ndim, shape);
    if (!out) return NULL;
    mg_array *arrays[] = {out, a};
    mg_launch launch = {.kernel = MG_KERNEL_reduce, .outputs = 1, .count = 2, .arrays = arrays};
    launch.integers[0] = op;
    launch.integers[1] = dims;
    if (!mg_submit(&launch, 0, reductions[op].name)) return out;
    mg_release(out);
    return NULL;
}

mg_array *mg_reduce(int op, mg_array *a, int dims, int keepdim) {
    if (op < 0 || op >= REDUCTIONS) {
        mg_fail(MG_VALUE_ERROR, "there is no reduction number %d", op);
        return NULL;
    }
    dims &= (1 << a->ndim) - 1;
    int dtype = result_dtype(op, a);
    if (dtype < 0 || check_dims(op, a, dims)) return NULL;
    int64_t shape[MG_MAX_DIMS];
    int ndim = 0;
    for (int d = 0; d < a->ndim; d++) {
        int reduced = dims >> d & 1;
        if (!reduced || keepdim) shape[ndim++] = reduced ? 1 : a->shape[d];
    }
    return submit(op, a, dims, dtype, ndim, shape);
}

mg_array *mg_sum_to(mg_array *a, int ndim, const int64_t *shape) {
    int extra = a->ndim - ndim, dims = extra > 0 ? (1 << extra) - 1 : 0;
    int fits = extra >= 0;
    for (int d = 0; fits && d < ndim; d++) {
        if (shape[d] == a->shape[d + extra]) continue;
        fits = shape[d] == 1;
        dims |= 1 << (d + extra);
    }
    if (!fits) {
        mg_array wanted = {.ndim = ndim < 0 ? 0 : ndim > MG_MAX_DIMS ? MG_MAX_DIMS : ndim};
        memcpy(wanted.shape, shape, (size_t)wanted.ndim * sizeof *shape);
        mg_fail(
            MG_RUNTIME_ERROR,
            "sum_to: a tensor of shape %s cannot be summed to shape %s: the shapes must be equal "
            "from the last dimension on, or 1 in the smaller one",
            mg_shape_text(a), mg_shape_text(&wanted));
        return NULL;
    }
    if (!dims) {
        mg_retain(a);
        return a;
    }
    int dtype = mg_is_float(a->dtype) ? a->dtype : MG_INT64;
    return submit(0, a, dims, dtype, ndim, shape);
}
