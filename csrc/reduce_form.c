/* Finding the form of a reduction: dimensions are sorted and joined until few are left. */
#include "reduce_form.h"

#define PART 32768     /* elements of one output that are reduced in one go */
#define PART_ROWS 1024 /* the same for columns */

static int64_t count_of(const mg_axis *axes, int dims) {
    int64_t count = 1;
    for (int d = 0; d < dims; d++) count *= axes[d].size;
    return count;
}

void mg_axes_at(const mg_axis *axes, int dims, int64_t index, int64_t *offset,
                int64_t *out_offset) {
    for (int d = dims - 1; d >= 0; d--) {
        int64_t rest = index / axes[d].size, at = index - rest * axes[d].size;
        *offset += at * axes[d].stride;
        *out_offset += at * axes[d].out_stride;
        index = rest;
    }
}

/* Joins axes that lie evenly in memory, without changing their order. */
static int merge_axes(mg_axis *axes, int dims) {
    int merged = 0;
    for (int d = 0; d < dims; d++) {
        mg_axis *last = merged ? axes + merged - 1 : NULL;
        if (last && last->stride == axes[d].size * axes[d].stride) {
            last->size *= axes[d].size;
            last->stride = axes[d].stride;
            last->out_stride = axes[d].out_stride;
        } else {
            axes[merged++] = axes[d];
        }
    }
    return merged;
}

/* From the largest step in memory to the smallest: for reductions that ignore the order. */
static void sort_axes(mg_reduction *r) {
    for (int d = 0; d < r->repeat_dims; d++) {
        mg_axis moved = r->repeat[d];
        if (moved.stride < 0) {
            r->x += (moved.size - 1) * moved.stride * r->item_size;
            moved.stride = -moved.stride;
        }
        int to = d;
        for (; to > 0 && r->repeat[to - 1].stride < moved.stride; to--)
            r->repeat[to] = r->repeat[to - 1];
        r->repeat[to] = moved;
    }
}

/* Takes axis `index` out of the outer ones and makes it the width. */
static void take_width(mg_reduction *r, int index) {
    r->width = r->outer[index];
    r->outer_dims--;
    for (int d = index; d < r->outer_dims; d++) r->outer[d] = r->outer[d + 1];
}

/* Any strides. Sets the axes and the form. */
static void choose_form(mg_reduction *r, const mg_array *a, int64_t dims) {
    int64_t out_stride = 1;
    mg_axis kept[MG_MAX_DIMS];
    int kept_dims = 0;
    r->repeat_dims = 0;
    for (int d = a->ndim - 1; d >= 0; d--) {
        if (dims >> d & 1 || a->shape[d] == 1) continue;
        kept[kept_dims++] = (mg_axis){a->shape[d], a->strides[d], out_stride};
        out_stride *= a->shape[d];
    }
    for (int d = 0; d < kept_dims; d++) r->outer[d] = kept[kept_dims - 1 - d];
    for (int d = 0; d < a->ndim; d++)
        if (dims >> d & 1 && a->shape[d] != 1)
            r->repeat[r->repeat_dims++] = (mg_axis){a->shape[d], a->strides[d], 0};
    if (r->core < MG_REDUCE_ARGMAX) sort_axes(r);
    r->outer_dims = merge_axes(r->outer, kept_dims);
    r->repeat_dims = merge_axes(r->repeat, r->repeat_dims);
    if (!r->repeat_dims) r->repeat[r->repeat_dims++] = (mg_axis){1, 1, 0};
    mg_axis *inner = r->repeat + r->repeat_dims - 1;
    int lane = -1; /* the kept axis of neighbouring elements */
    for (int d = 0; d < r->outer_dims; d++)
        if (r->outer[d].stride == 1) lane = d;
    if (inner->stride == 1 && (inner->size >= 16 || r->repeat_dims == 1))
        r->form = ROWS;
    else if (lane >= 0 && r->outer[lane].size >= 4)
        r->form = COLUMNS;
    else
        r->form = GATHERED;
    r->width = (mg_axis){1, 0, 0};
    if (r->form == COLUMNS)
        take_width(r, lane);
    else if (r->outer_dims)
        take_width(r, r->outer_dims - 1);
    if (r->form == GATHERED) {
        r->n = count_of(r->repeat, r->repeat_dims);
        r->n_stride = 0;
        r->repeats = 1;
    } else {
        r->n = inner->size;
        r->n_stride = inner->stride;
        r->repeat_dims--;
        r->repeats = count_of(r->repeat, r->repeat_dims);
    }
    r->outer_count = count_of(r->outer, r->outer_dims);
}

/* Contiguous memory and neighbouring dimensions, the common case: (outer, n, inner). Returns 0
 * where it is another one. */
static int choose_plain_form(mg_reduction *r, const mg_array *a, int64_t dims) {
    if (!mg_is_contiguous(a)) return 0;
    int64_t outer = 1, n = 1, inner = 1;
    int d = 0;
    for (; d < a->ndim && !(dims >> d & 1); d++) outer *= a->shape[d];
    for (; d < a->ndim && dims >> d & 1; d++) n *= a->shape[d];
    for (; d < a->ndim; d++) {
        if (dims >> d & 1) return 0;
        inner *= a->shape[d];
    }
    r->n = n;
    r->n_stride = inner;
    r->repeats = 1;
    r->repeat_dims = 0;
    r->outer_dims = 0;
    if (inner == 1) {
        r->form = ROWS;
        r->width = (mg_axis){outer, n, 1};
        r->outer_count = 1;
    } else {
        r->form = COLUMNS;
        r->width = (mg_axis){inner, 1, 1};
        r->outer_count = outer;
        r->outer[r->outer_dims++] = (mg_axis){outer, n * inner, inner};
    }
    return 1;
}

static int64_t at_least_one(int64_t value) { return value < 1 ? 1 : value; }

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/* The grid. */
static void cut(mg_reduction *r) {
    int64_t most = r->form == COLUMNS ? PART_ROWS : PART;
    r->part_n = smaller(r->n, most);
    r->part_repeats = r->n > most ? 1 : smaller(r->repeats, smaller(64, at_least_one(most / r->n)));
    r->parts_n = (r->n + r->part_n - 1) / r->part_n;
    r->parts = r->parts_n * ((r->repeats + r->part_repeats - 1) / r->part_repeats);
    r->chunk = smaller(r->width.size, MG_REDUCE_WIDTH);
    if (r->form != COLUMNS)
        r->chunk = smaller(r->chunk, at_least_one(PART / (r->part_n * r->part_repeats)));
    r->chunks = (r->width.size + r->chunk - 1) / r->chunk;
}

void mg_reduce_layout(mg_reduction *r, const mg_array *a, int64_t dims) {
    if (!choose_plain_form(r, a, dims)) choose_form(r, a, dims);
    cut(r);
}
