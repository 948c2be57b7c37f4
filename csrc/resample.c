/* Resampling of the last one to three dimensions, each by a sparse matrix of its own (resample.h).
 *
 * Where every element of the result is an element of the input or the fill (padding, nearest
 * neighbours), one pass moves elements of any dtype. Otherwise one axis follows the other, those
 * that shrink first, plane by plane so that what lies between stays in cache. */
#include "core.h"

enum { AXES = 3, PIECE_ELEMENTS = 16384 };

/* The last axes of the array, as three: missing ones in front have size 1 and `offsets` NULL. */
typedef struct resampling {
    mg_resample_axis axes[AXES];
    int64_t planes;
    int dtype;
    const char *in;
    char *out;
    double fill;
    int failed;
} resampling;

/* A matrix's memory: offsets (out_size + 1) and columns in one int64 array, weights in another. */
static mg_resample_axis axis_of(const mg_array *index, const mg_array *weights, int64_t size,
                                int64_t out_size) {
    const int64_t *offsets = (const int64_t *)index->data;
    return (mg_resample_axis){.size = size,
                              .out_size = out_size,
                              .offsets = offsets,
                              .columns = offsets + out_size + 1,
                              .weights = weights ? weights->data : NULL};
}

/* Whether an axis has at most one element for each of the result, with weight 1. */
static int is_map(const mg_resample_axis *axis) {
    if (!axis->offsets) return 1;
    if (axis->weights) return 0;
    for (int64_t i = 0; i < axis->out_size; i++)
        if (axis->offsets[i + 1] - axis->offsets[i] > 1) return 0;
    return 1;
}

/* The column of element i of the result, -1 for the fill. */
static int64_t source_of(const mg_resample_axis *axis, int64_t i) {
    if (!axis->offsets) return i;
    const int64_t first = axis->offsets[i];
    return first < axis->offsets[i + 1] ? axis->columns[first] : -1;
}

/* ---- moving elements ---- */

/* Elements [0, length) of a row of the result from `start` on in the input's; start -1: fill. */
typedef struct run {
    int64_t start, length;
} run;

typedef struct moving {
    const resampling *work;
    const run *runs;
    int64_t count;
    const int32_t *map; /* by element, where runs are short; then without fills */
    const char *filled; /* a row of the fill */
} moving;

static void move_row(const moving *move, const char *in, char *out, int64_t item) {
    const int64_t width = move->work->axes[AXES - 1].out_size;
    if (move->map && item == 4) {
        for (int64_t i = 0; i < width; i++)
            ((uint32_t *)out)[i] = ((const uint32_t *)in)[move->map[i]];
    } else if (move->map && item == 8) {
        for (int64_t i = 0; i < width; i++)
            ((uint64_t *)out)[i] = ((const uint64_t *)in)[move->map[i]];
    } else if (move->map) {
        for (int64_t i = 0; i < width; i++) out[i] = in[move->map[i]];
    } else {
        for (int64_t r = 0; r < move->count; r++) {
            const int64_t start = move->runs[r].start, bytes = move->runs[r].length * item;
            const char *from = start < 0 ? move->filled : in + start * item;
            if (bytes <= 16 && item == 4) /* margins are short: a call of memcpy would cost more */
                for (int64_t i = 0; i < bytes; i += 4) memcpy(out + i, from + i, 4);
            else
                memcpy(out, from, (size_t)bytes);
            out += bytes;
        }
    }
}

/* Rows [begin, end) of the result, counted through all planes. */
static void move_rows(void *context, int64_t begin, int64_t end) {
    const moving *move = context;
    const resampling *work = move->work;
    const mg_resample_axis *depth = work->axes, *height = depth + 1, *width = depth + 2;
    const int64_t item = mg_item_size(work->dtype), row = width->out_size * item;
    const int64_t plane = depth->size * height->size * width->size * item;
    int64_t y = begin % height->out_size, z = begin / height->out_size % depth->out_size;
    const char *in = work->in + begin / height->out_size / depth->out_size * plane;
    for (int64_t r = begin; r < end; r++) {
        char *out = work->out + r * row;
        const int64_t from_z = source_of(depth, z), from_y = source_of(height, y);
        if (from_z < 0 || from_y < 0)
            memcpy(out, move->filled, (size_t)row);
        else
            move_row(move, in + (from_z * height->size + from_y) * width->size * item, out, item);
        if (++y < height->out_size) continue;
        y = 0;
        if (++z < depth->out_size) continue;
        z = 0;
        in += plane;
    }
}

static void fill_row(int dtype, double fill, char *row, int64_t count) {
    for (int64_t i = 0; i < count; i++) switch (dtype) {
        case MG_FLOAT64: ((double *)row)[i] = fill; break;
        case MG_FLOAT32: ((float *)row)[i] = (float)fill; break;
        case MG_INT64: ((int64_t *)row)[i] = (int64_t)fill; break;
        case MG_INT32: ((int32_t *)row)[i] = (int32_t)(int64_t)fill; break;
        case MG_UINT8: ((uint8_t *)row)[i] = (uint8_t)(int64_t)fill; break;
        default: row[i] = fill != 0; break;
        }
}

/* The runs of the last axis; how many. */
static int64_t find_runs(const mg_resample_axis *axis, run *runs) {
    int64_t count = 0;
    for (int64_t i = 0; i < axis->out_size; i++) {
        const int64_t from = source_of(axis, i);
        run *last = count ? runs + count - 1 : NULL;
        if (last &&
            (from < 0 ? last->start < 0 : last->start >= 0 && last->start + last->length == from))
            last->length++;
        else
            runs[count++] = (run){from, 1};
    }
    return count;
}

static int move_all(resampling *work) {
    const mg_resample_axis *last = work->axes + AXES - 1;
    const int64_t width = last->out_size, item = mg_item_size(work->dtype);
    const int64_t filled = (width * item + MG_ALIGNMENT - 1) / MG_ALIGNMENT * MG_ALIGNMENT;
    mg_storage *storage = mg_storage_new(filled + width * (int64_t)sizeof(run) + width * 4);
    if (!storage) return -1;
    run *runs = (run *)(storage->data + filled);
    int32_t *map = (int32_t *)(runs + width);
    fill_row(work->dtype, work->fill, storage->data, width);
    moving move = {.work = work,
                   .runs = runs,
                   .count = find_runs(last, runs),
                   .filled = storage->data};
    int complete = last->size <= INT32_MAX;
    for (int64_t i = 0; i < width && complete; i++) {
        map[i] = (int32_t)source_of(last, i);
        complete = map[i] >= 0;
    }
    if (complete && move.count * 4 > width) move.map = map;
    const int64_t rows = work->planes * work->axes[0].out_size * work->axes[1].out_size;
    mg_parallel_for(rows, 1 + PIECE_ELEMENTS / (width + 1),
                    (double)rows * (10.0 + 0.2 * (double)width), move_rows, &move);
    mg_storage_release(storage);
    return 0;
}

/* ---- sums ---- */

/* The axes in the order in which they are done: those that shrink most first. */
static int order_axes(const resampling *work, int order[AXES]) {
    int count = 0;
    for (int d = AXES - 1; d >= 0; d--) {
        if (!work->axes[d].offsets) continue;
        int at = count++;
        for (; at > 0; at--) {
            const mg_resample_axis *before = work->axes + order[at - 1], *axis = work->axes + d;
            if (before->out_size * axis->size <= axis->out_size * before->size) break;
            order[at] = order[at - 1];
        }
        order[at] = d;
    }
    return count;
}

/* The largest plane between two passes. */
static int64_t largest_between(const resampling *work, const int *order, int count) {
    int64_t sizes[AXES], largest = 0;
    for (int d = 0; d < AXES; d++) sizes[d] = work->axes[d].size;
    for (int i = 0; i + 1 < count; i++) {
        sizes[order[i]] = work->axes[order[i]].out_size;
        const int64_t plane = sizes[0] * sizes[1] * sizes[2];
        if (plane > largest) largest = plane;
    }
    return largest;
}

static void sum_planes(void *context, int64_t begin, int64_t end) {
    resampling *work = context;
    int order[AXES];
    const int count = order_axes(work, order);
    const int64_t item = mg_item_size(work->dtype);
    const int64_t room = largest_between(work, order, count) * item + MG_ALIGNMENT;
    char *between[2] = {mg_scratch(MG_SCRATCH_PACK_A, room), mg_scratch(MG_SCRATCH_PACK_B, room)};
    if (!between[0] || !between[1]) {
        __atomic_store_n(&work->failed, 1, __ATOMIC_RELAXED);
        return;
    }
    int64_t in_plane = item, out_plane = item;
    for (int d = 0; d < AXES; d++) {
        in_plane *= work->axes[d].size;
        out_plane *= work->axes[d].out_size;
    }
    for (int64_t p = begin; p < end; p++) {
        int64_t sizes[AXES];
        const char *in = work->in + p * in_plane;
        for (int d = 0; d < AXES; d++) sizes[d] = work->axes[d].size;
        for (int i = 0; i < count; i++) {
            const int d = order[i];
            char *out = i + 1 < count ? between[i % 2] : work->out + p * out_plane;
            int64_t outer = 1, inner = 1;
            for (int e = 0; e < d; e++) outer *= sizes[e];
            for (int e = d + 1; e < AXES; e++) inner *= sizes[e];
            mg_active_isa->resample.pass[work->dtype](work->axes + d, outer, inner, in, out);
            sizes[d] = work->axes[d].out_size;
            in = out;
        }
    }
}

static int sum_all(resampling *work) {
    double terms = 0, plane = 1;
    for (int d = 0; d < AXES; d++) {
        const mg_resample_axis *axis = work->axes + d;
        if (!axis->offsets) continue;
        terms += (double)axis->offsets[axis->out_size] / (double)axis->out_size;
    }
    for (int d = 0; d < AXES; d++)
        plane *= (double)(work->axes[d].size > work->axes[d].out_size ? work->axes[d].size
                                                                      : work->axes[d].out_size);
    mg_parallel_for(work->planes, 1 + (int64_t)(PIECE_ELEMENTS / (plane + 1)),
                    (double)work->planes * plane * terms * 0.3, sum_planes, work);
    return work->failed ? mg_fail(MG_MEMORY_ERROR, "resample: out of memory for work buffers") : 0;
}

/* ---- entry ---- */

/* arrays: out; input, then index and weights of each axis. scalars: fill */
int mg_run_resample(const mg_launch *launch) {
    const mg_array *out = launch->arrays[0], *input = launch->arrays[1];
    const int count = (launch->count - 2) / 2;
    resampling work = {.planes = 1,
                       .dtype = out->dtype,
                       .in = input->data,
                       .out = out->data,
                       .fill = launch->scalars[0]};
    int maps = 1;
    if (out->size == 0) return 0;
    for (int d = 0; d < AXES; d++) work.axes[d] = (mg_resample_axis){.size = 1, .out_size = 1};
    for (int d = 0; d < input->ndim - count; d++) work.planes *= input->shape[d];
    for (int i = 0; i < count; i++) {
        const int d = input->ndim - count + i;
        mg_resample_axis *axis = work.axes + AXES - count + i;
        *axis = axis_of(launch->arrays[2 + 2 * i], launch->arrays[3 + 2 * i], input->shape[d],
                        out->shape[d]);
        maps = maps && is_map(axis);
    }
    return maps ? move_all(&work) : sum_all(&work);
}

static int check_axis(const mg_array *input, const mg_array *index, const mg_array *weights,
                      int64_t out_size, int64_t size) {
    const int64_t *offsets = (const int64_t *)index->data;
    if (index->dtype != MG_INT64 || !mg_is_contiguous(index) || out_size < 0 ||
        index->size < out_size + 1 || index->size != out_size + 1 + offsets[out_size])
        return mg_fail(MG_RUNTIME_ERROR, "resample: a malformed index of shape %s for size %lld",
                       mg_shape_text(index), (long long)out_size);
    for (int64_t k = out_size + 1; k < index->size; k++)
        if (offsets[k] < 0 || offsets[k] >= size)
            return mg_fail(MG_INDEX_ERROR, "resample: index %lld is out of bounds for size %lld",
                           (long long)offsets[k], (long long)size);
    if (weights && (weights->dtype != input->dtype || !mg_is_contiguous(weights) ||
                    weights->size != offsets[out_size]))
        return mg_fail(MG_RUNTIME_ERROR, "resample: malformed weights of shape %s",
                       mg_shape_text(weights));
    const mg_resample_axis axis = axis_of(index, weights, size, out_size);
    if (!mg_is_float(input->dtype) && !is_map(&axis))
        return mg_fail(MG_NOT_IMPLEMENTED_ERROR,
                       "resample: sums are not implemented for %s; convert to float32 or float64",
                       mg_dtype_name(input->dtype));
    return 0;
}

mg_array *mg_resample(mg_array *input, int count, const int64_t *sizes, mg_array **axes,
                      double fill) {
    mg_array *arrays[2 + 2 * AXES] = {0};
    int64_t shape[MG_MAX_DIMS];
    if (count < 1 || count > AXES || count > input->ndim) {
        mg_fail(MG_RUNTIME_ERROR, "resample: %d axes of a tensor of shape %s", count,
                mg_shape_text(input));
        return NULL;
    }
    memcpy(shape, input->shape, sizeof shape);
    for (int i = 0; i < count; i++) {
        const int d = input->ndim - count + i;
        if (check_axis(input, axes[2 * i], axes[2 * i + 1], sizes[i], input->shape[d])) return NULL;
        shape[d] = sizes[i];
        arrays[2 + 2 * i] = axes[2 * i];
        arrays[3 + 2 * i] = axes[2 * i + 1];
    }
    arrays[0] = mg_empty(input->dtype, input->ndim, shape);
    arrays[1] = mg_as_contiguous(input, input->dtype);
    mg_launch launch = {.kernel = MG_KERNEL_resample,
                        .outputs = 1,
                        .count = 2 + 2 * count,
                        .arrays = arrays,
                        .scalars = {fill}};
    const int failed = !arrays[0] || !arrays[1] || mg_submit(&launch, 0, NULL);
    if (arrays[1]) mg_release(arrays[1]);
    if (!failed) return arrays[0];
    if (arrays[0]) mg_release(arrays[0]);
    return NULL;
}
