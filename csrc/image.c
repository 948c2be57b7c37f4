/* Images (N, C, H, W): windows with padding and flips, affine sampling, separable resampling, and
 * turning of the hue, for a whole batch in one launch.
 *
 * Each takes parameters for the batch or for each image: arrays whose first dimension is 1 or N.
 * They lie in memory, so that a replayed plan sees new draws. */
#include "strided.h"

enum { PIECE_ELEMENTS = 16384, COLUMNS = 256 };
enum padding_mode { CONSTANT, EDGE, REFLECT, SYMMETRIC, PADDING_MODES };

/* What lies around COLUMNS places of a row: the offset of the pixel above and left of each, and the
 * weights of four. `whole`: all four are pixels of the plane; else `corner` has their offsets, -1
 * for one outside. */
typedef struct corners {
    uint8_t whole[COLUMNS];
    int32_t offset[COLUMNS], corner[4][COLUMNS];
    union {
        float single[4][COLUMNS];
        double wide[4][COLUMNS];
    } weight;
} corners;

typedef struct axis { /* how the pixels of one direction come from those of the input */
    int64_t size, taps;
    const int64_t *spans; /* (size, 2): start, count */
    const void *weights;  /* (size, taps) */
} axis;

static inline double unit_clamp(double x) { return x < 0 ? 0 : x > 1 ? 1 : x; }

/* floor(x) for |x| < 2^62, without a call */
static inline int64_t floor_index(double x) {
    int64_t i = (int64_t)x;
    return i - (x < (double)i);
}

/* To the nearest level, ties to even; adding 1.5 * 2^23 leaves no bits behind the point. */
static inline uint8_t store_level(float x) {
    x = x > 0 ? (x < 255 ? x : 255) : 0;
    return (uint8_t)((x + 0x1.8p23f) - 0x1.8p23f);
}

/* A number from 0 to 1 as a level; the range of each level is equally wide. */
static inline uint8_t unit_to_level(float x) {
    x *= 255.999f;
    return (uint8_t)(x > 0 ? (x < 255 ? x : 255) : 0);
}

#define SAME(x) (x)
#define LEVEL_TO_UNIT(x) ((float)(x) / 255)

#define IMAGE_T uint8_t
#define IMAGE_SUM float
#define IMAGE_NAME(base) base##_uint8
#define IMAGE_WEIGHTS weight.single
#define IMAGE_STORE store_level
#define IMAGE_UNIT LEVEL_TO_UNIT
#define IMAGE_FROM_UNIT unit_to_level
#include "image_loops.h"

#define IMAGE_T float
#define IMAGE_SUM float
#define IMAGE_NAME(base) base##_float32
#define IMAGE_WEIGHTS weight.single
#define IMAGE_STORE SAME
#define IMAGE_UNIT SAME
#define IMAGE_FROM_UNIT SAME
#include "image_loops.h"

#define IMAGE_T double
#define IMAGE_SUM double
#define IMAGE_NAME(base) base##_float64
#define IMAGE_WEIGHTS weight.wide
#define IMAGE_STORE SAME
#define IMAGE_UNIT SAME
#define IMAGE_FROM_UNIT SAME
#include "image_loops.h"

typedef struct image_loops {
    void (*take_nearest)(void *, const void *, const int32_t *, int64_t, double);
    void (*find_corners)(const double *, const double *, int64_t, int64_t, int64_t, corners *);
    void (*take_bilinear)(void *, const void *, const corners *, int64_t, int64_t, const double *);
    void (*resample_rows)(void *, const void *, int64_t, int64_t, const axis *);
    void (*resample_columns)(void *, const void *, int64_t, int64_t, const axis *);
    void (*turn_hue)(void *, const void *, int64_t, double);
} image_loops;

static const image_loops loops[MG_DTYPE_COUNT] = {
    [MG_UINT8] = {take_nearest_uint8, find_corners_uint8, take_bilinear_uint8, resample_rows_uint8,
                  resample_columns_uint8, turn_hue_uint8},
    [MG_FLOAT32] = {take_nearest_float32, find_corners_float32, take_bilinear_float32,
                    resample_rows_float32, resample_columns_float32, turn_hue_float32},
    [MG_FLOAT64] = {take_nearest_float64, find_corners_float64, take_bilinear_float64,
                    resample_rows_float64, resample_columns_float64, turn_hue_float64},
};

/* What the pieces of any of the kernels see. */
typedef struct job {
    const mg_launch *launch;
    const mg_array *out, *images;
    const image_loops *loops;
    int64_t channels, height, width, out_height, out_width, item;
    int failed; /* atomic: a thread got no memory */
} job;

static job job_of(const mg_launch *launch) {
    const mg_array *out = launch->arrays[0], *images = launch->arrays[1];
    return (job){.launch = launch,
                 .out = out,
                 .images = images,
                 .loops = &loops[images->dtype],
                 .channels = images->shape[1],
                 .height = images->shape[2],
                 .width = images->shape[3],
                 .out_height = out->shape[2],
                 .out_width = out->shape[3],
                 .item = mg_item_size(images->dtype)};
}

/* Runs the body over `count` parts of the output, equally large; `cost` in nanoseconds a pixel. */
static void run_parts(job *job, int64_t count, double cost, mg_body body) {
    if (!job->out->size) return;
    int64_t elements = job->out->size / count;
    int64_t piece = elements < PIECE_ELEMENTS ? PIECE_ELEMENTS / (elements ? elements : 1) : 1;
    mg_parallel_for(count, piece, cost * (double)job->out->size, body, job);
}

/* The row of image n in an array of parameters, whose first dimension is 1 or N. */
static inline int64_t row_of(const mg_array *parameters, int64_t n) {
    return parameters->shape[0] == 1 ? 0 : n * (parameters->size / parameters->shape[0]);
}

static const char *plane_at(const job *job, int64_t plane) {
    return job->images->data + plane * job->height * job->width * job->item;
}

/* ---- windows: integers[0] is the padding mode; arrays: out, images, windows, fill or NULL ---- */

/* Where the pixel of an index beyond [0, size) comes from; -1: from the fill. */
static int64_t source_index(int64_t i, int64_t size, int64_t mode) {
    if (i >= 0 && i < size) return i;
    if (mode == CONSTANT) return -1;
    if (mode == EDGE) return i < 0 ? 0 : size - 1;
    int64_t turn = mode == REFLECT ? 1 : 0, period = 2 * (size - turn);
    if (period == 0) return 0;
    i %= period;
    if (i < 0) i += period;
    return i < size ? i : period - 1 + turn - i;
}

/* Pixels [begin, end) of a window's row that all lie left or right of the image; `flip`: the row is
 * written from its end. */
static void copy_border(const job *job, char *out, const char *row, int64_t left, int64_t begin,
                        int64_t end, int flip, const char *fill) {
    const int64_t item = job->item, mode = job->launch->integers[0], width = job->out_width;
    if (mode == CONSTANT) {
        mg_copy_strided(out + (flip ? width - end : begin) * item, 1, fill, 0, end - begin, item);
        return;
    }
    for (int64_t x = begin; x < end; x++)
        memcpy(out + (flip ? width - 1 - x : x) * item,
               row + source_index(left + x, job->width, mode) * item, (size_t)item);
}

/* `count` elements in reverse order. */
static void copy_reversed(char *to, const char *from, int64_t count, int64_t item) {
    if (item == 4) {
        uint32_t *target = (uint32_t *)to;
        const uint32_t *source = (const uint32_t *)from;
        for (int64_t i = 0; i < count; i++) target[i] = source[count - 1 - i];
    } else if (item == 8) {
        uint64_t *target = (uint64_t *)to;
        const uint64_t *source = (const uint64_t *)from;
        for (int64_t i = 0; i < count; i++) target[i] = source[count - 1 - i];
    } else {
        for (int64_t i = 0; i < count; i++) to[i] = from[count - 1 - i];
    }
}

static void window_planes(void *context, int64_t begin, int64_t end) {
    const job *job = context;
    const mg_array *windows = job->launch->arrays[2], *fills = job->launch->arrays[3];
    const int64_t item = job->item, mode = job->launch->integers[0], width = job->out_width;
    const char nothing[8] = {0};
    for (int64_t plane = begin; plane < end; plane++) {
        const int64_t *window =
            (const int64_t *)windows->data + row_of(windows, plane / job->channels);
        const int64_t top = window[0], left = window[1], flips = window[2];
        const char *fill = fills ? fills->data + plane % job->channels * item : nothing;
        const int64_t first = left >= 0 ? 0 : -left < width ? -left : width;
        const int64_t inside = job->width - left < width ? job->width - left : width;
        const int64_t last = inside > first ? inside : first; /* [first, last): in the image */
        char *out = job->out->data + plane * job->out_height * width * item;
        for (int64_t y = 0; y < job->out_height; y++, out += width * item) {
            const int64_t from = flips & 2 ? job->out_height - 1 - y : y;
            const int64_t source = source_index(top + from, job->height, mode);
            if (source < 0) {
                mg_copy_strided(out, 1, fill, 0, width, item);
                continue;
            }
            const char *row = plane_at(job, plane) + source * job->width * item;
            const int64_t inner = last - first;
            copy_border(job, out, row, left, 0, first, flips & 1, fill);
            copy_border(job, out, row, left, last, width, flips & 1, fill);
            if (flips & 1)
                copy_reversed(out + (width - last) * item, row + (left + first) * item, inner,
                              item);
            else if (inner)
                memcpy(out + first * item, row + (left + first) * item, (size_t)(inner * item));
        }
    }
}

int mg_run_image_window(const mg_launch *launch) {
    const mg_array *windows = launch->arrays[2];
    const int64_t *window = (const int64_t *)windows->data, far = INT64_C(1) << 40;
    for (int64_t i = 0; i < windows->size; i++)
        if (window[i] > far || window[i] < -far)
            return mg_fail(MG_INDEX_ERROR, "crop: a window at %lld is out of reach",
                           (long long)window[i]);
    job job = job_of(launch);
    run_parts(&job, job.images->shape[0] * job.channels, 0.4, window_planes);
    return 0;
}

/* ---- affine sampling: arrays: out, images, matrices (1 or N, 6), fill (C) or NULL;
 * integers[0]: bilinear ---- */

/* Offsets of the pixels nearest to a place, ties to even; -1 where that is outside. Adding
 * 1.5 * 2^52 leaves no bits behind the point. */
static void find_nearest(const job *job, const double *x, const double *y, int64_t count,
                         int32_t *offsets) {
    const double width = (double)job->width, height = (double)job->height;
    for (int64_t i = 0; i < count; i++) {
        const double column = (x[i] + 0x1.8p52) - 0x1.8p52, row = (y[i] + 0x1.8p52) - 0x1.8p52;
        const int inside = (column >= 0) & (column < width) & (row >= 0) & (row < height);
        const double offset = row * width + column;
        offsets[i] = (int32_t)(inside ? offset : -1.0);
    }
}

/* Rows [begin, end) of all images' rows: places are found once for all channels. */
static void affine_rows(void *context, int64_t begin, int64_t end) {
    const job *job = context;
    const mg_array *matrices = job->launch->arrays[2], *fills = job->launch->arrays[3];
    const double *fill = fills ? (const double *)fills->data : NULL;
    const int bilinear = job->launch->integers[0] != 0;
    double x[COLUMNS], y[COLUMNS];
    int32_t offsets[COLUMNS];
    corners at;
    for (int64_t row = begin; row < end; row++) {
        const int64_t n = row / job->out_height, line = row % job->out_height;
        const double *m = (const double *)matrices->data + row_of(matrices, n);
        const double down = (double)line + 0.5 - 0.5 * (double)job->out_height;
        const double start_x = m[1] * down + m[2] + 0.5 * (double)job->width - 0.5;
        const double start_y = m[4] * down + m[5] + 0.5 * (double)job->height - 0.5;
        for (int64_t first = 0; first < job->out_width; first += COLUMNS) {
            const int64_t rest = job->out_width - first, count = rest < COLUMNS ? rest : COLUMNS;
            for (int64_t i = 0; i < count; i++) {
                const double along = (double)(first + i) + 0.5 - 0.5 * (double)job->out_width;
                x[i] = m[0] * along + start_x;
                y[i] = m[3] * along + start_y;
            }
            if (bilinear)
                job->loops->find_corners(x, y, count, job->height, job->width, &at);
            else
                find_nearest(job, x, y, count, offsets);
            for (int64_t c = 0; c < job->channels; c++) {
                const int64_t plane = n * job->channels + c;
                char *out = job->out->data +
                            ((plane * job->out_height + line) * job->out_width + first) * job->item;
                if (bilinear)
                    job->loops->take_bilinear(out, plane_at(job, plane), &at, count, job->width,
                                              fill ? fill + c : NULL);
                else
                    job->loops->take_nearest(out, plane_at(job, plane), offsets, count,
                                             fill ? fill[c] : 0);
            }
        }
    }
}

int mg_run_image_affine(const mg_launch *launch) {
    job job = job_of(launch);
    run_parts(&job, job.images->shape[0] * job.out_height, launch->integers[0] ? 3 : 1.5,
              affine_rows);
    return 0;
}

/* ---- resampling: arrays: out, images, then spans and weights of the rows and of the columns ----
 */

static axis axis_of(const mg_launch *launch, int which, int64_t n) {
    const mg_array *spans = launch->arrays[2 + 2 * which];
    const mg_array *weights = launch->arrays[3 + 2 * which];
    return (axis){.size = spans->shape[1],
                  .taps = weights->shape[2],
                  .spans = (const int64_t *)spans->data + row_of(spans, n),
                  .weights = weights->data + row_of(weights, n) * mg_item_size(weights->dtype)};
}

static void resample_planes(void *context, int64_t begin, int64_t end) {
    job *job = context;
    const int64_t sum_item = job->images->dtype == MG_FLOAT64 ? 8 : 4;
    for (int64_t plane = begin; plane < end; plane++) {
        const axis rows = axis_of(job->launch, 0, plane / job->channels);
        const axis columns = axis_of(job->launch, 1, plane / job->channels);
        int64_t first = job->height, last = 0; /* the rows of the input that are needed */
        for (int64_t y = 0; y < rows.size; y++) {
            const int64_t start = rows.spans[2 * y], stop = start + rows.spans[2 * y + 1];
            first = start < first ? start : first;
            last = stop > last ? stop : last;
        }
        const int64_t count = last > first ? last - first : 0;
        void *work = mg_scratch(MG_SCRATCH_WORK, (count * columns.size + 1) * sum_item);
        if (!work) {
            __atomic_store_n(&job->failed, 1, __ATOMIC_RELAXED);
            return;
        }
        const char *source = plane_at(job, plane) + first * job->width * job->item;
        job->loops->resample_rows(work, source, count, job->width, &columns);
        char *out = job->out->data + plane * job->out_height * job->out_width * job->item;
        job->loops->resample_columns(out, work, job->out_width, first, &rows);
    }
}

/* That no span reaches out of the input. */
static int check_spans(const mg_array *spans, int64_t size, int64_t taps) {
    const int64_t *span = (const int64_t *)spans->data;
    for (int64_t i = 0; i < spans->size; i += 2)
        if (span[i] < 0 || span[i + 1] < 0 || span[i + 1] > taps || span[i] > size - span[i + 1])
            return mg_fail(MG_INDEX_ERROR,
                           "resample: %lld pixels from %lld on do not lie within %lld",
                           (long long)span[i + 1], (long long)span[i], (long long)size);
    return 0;
}

int mg_run_image_resample(const mg_launch *launch) {
    job job = job_of(launch);
    const int64_t down = launch->arrays[3]->shape[2], along = launch->arrays[5]->shape[2];
    if (check_spans(launch->arrays[2], job.height, down) ||
        check_spans(launch->arrays[4], job.width, along))
        return -1;
    run_parts(&job, job.images->shape[0] * job.channels, 0.5 + 0.8 * (double)(down + along),
              resample_planes);
    return job.failed ? mg_fail(MG_MEMORY_ERROR, "resample: out of memory") : 0;
}

/* ---- hue: arrays: out, images with 3 channels, shifts (1 or N) in turns ---- */

static void hue_images(void *context, int64_t begin, int64_t end) {
    const job *job = context;
    const mg_array *shifts = job->launch->arrays[2];
    const int64_t plane = job->height * job->width;
    for (int64_t n = begin; n < end; n++)
        job->loops->turn_hue(job->out->data + 3 * n * plane * job->item, plane_at(job, 3 * n),
                             plane, ((const double *)shifts->data)[row_of(shifts, n)]);
}

int mg_run_image_hue(const mg_launch *launch) {
    job job = job_of(launch);
    run_parts(&job, job.images->shape[0], 3, hue_images);
    return 0;
}

/* ---- entries ---- */

/* Images of four dimensions, of a type that can be computed with where `computes`. */
static int check_images(const char *op, const mg_array *images, int computes) {
    if (images->ndim != 4)
        return mg_fail(MG_RUNTIME_ERROR, "%s: expected images (N, C, H, W), got shape %s", op,
                       mg_shape_text(images));
    if (computes && images->size && images->shape[2] > INT32_MAX / images->shape[3])
        return mg_fail(MG_RUNTIME_ERROR, "%s: a plane has at most 2^31 - 1 pixels, got shape %s",
                       op, mg_shape_text(images));
    if (computes && !loops[images->dtype].turn_hue)
        return mg_fail(MG_NOT_IMPLEMENTED_ERROR,
                       "%s: not implemented for %s; convert to uint8 or float32 first", op,
                       mg_dtype_name(images->dtype));
    return 0;
}

/* Parameters (1 or N, ...) of a dtype, `size` numbers for each image (0: any number). */
static int check_parameters(const char *op, const char *name, const mg_array *parameters,
                            const mg_array *images, int dtype, int64_t size) {
    int64_t count = parameters->ndim ? parameters->shape[0] : 0;
    if (parameters->dtype == dtype && mg_is_contiguous(parameters) &&
        (count == 1 || count == images->shape[0]) && (!size || parameters->size == count * size))
        return 0;
    return mg_fail(MG_RUNTIME_ERROR,
                   "%s: %s must be a contiguous %s array for 1 or all of %lld images, got %s %s",
                   op, name, mg_dtype_name(dtype), (long long)images->shape[0],
                   mg_dtype_name(parameters->dtype), mg_shape_text(parameters));
}

static int check_fill(const char *op, const mg_array *fill, const mg_array *images, int dtype) {
    if (!fill || (fill->dtype == dtype && fill->ndim == 1 && mg_is_contiguous(fill) &&
                  fill->shape[0] == images->shape[1]))
        return 0;
    return mg_fail(MG_RUNTIME_ERROR, "%s: fill must be one %s a channel, got %s %s", op,
                   mg_dtype_name(dtype), mg_dtype_name(fill->dtype), mg_shape_text(fill));
}

/* Submits a launch whose arrays[1] is the images; allocates arrays[0], the result. */
static mg_array *submit(mg_launch *launch, int64_t height, int64_t width) {
    mg_array **arrays = launch->arrays;
    int64_t shape[4] = {arrays[1]->shape[0], arrays[1]->shape[1], height, width};
    mg_array *images = mg_as_contiguous(arrays[1], arrays[1]->dtype);
    mg_array *out = images ? mg_empty(images->dtype, 4, shape) : NULL;
    launch->outputs = 1;
    arrays[0] = out;
    arrays[1] = images;
    if (out && mg_submit(launch, 0, NULL)) {
        mg_release(out);
        out = NULL;
    }
    if (images) mg_release(images);
    return out;
}

mg_array *mg_image_window(mg_array *images, mg_array *windows, int64_t height, int64_t width,
                          int mode, mg_array *fill) {
    static const char op[] = "crop";
    if (check_images(op, images, 0) ||
        check_parameters(op, "windows", windows, images, MG_INT64, 3) ||
        check_fill(op, fill, images, images->dtype))
        return NULL;
    if (height < 0 || width < 0 || mode < 0 || mode >= PADDING_MODES) {
        mg_fail(MG_RUNTIME_ERROR, "%s: no window of size (%lld, %lld) with padding mode %d", op,
                (long long)height, (long long)width, mode);
        return NULL;
    }
    if (mode != CONSTANT && images->size == 0 && height && width) {
        mg_fail(MG_RUNTIME_ERROR, "%s: images of shape %s have no pixels to pad with", op,
                mg_shape_text(images));
        return NULL;
    }
    mg_array *arrays[] = {NULL, images, windows, fill};
    mg_launch launch = {.kernel = MG_KERNEL_image_window, .count = 4, .arrays = arrays};
    launch.integers[0] = mode;
    return submit(&launch, height, width);
}

mg_array *mg_image_affine(mg_array *images, mg_array *matrices, int64_t height, int64_t width,
                          int bilinear, mg_array *fill) {
    static const char op[] = "affine";
    if (check_images(op, images, 1) ||
        check_parameters(op, "matrices", matrices, images, MG_FLOAT64, 6) ||
        check_fill(op, fill, images, MG_FLOAT64))
        return NULL;
    mg_array *arrays[] = {NULL, images, matrices, fill};
    mg_launch launch = {.kernel = MG_KERNEL_image_affine, .count = 4, .arrays = arrays};
    launch.integers[0] = bilinear;
    return submit(&launch, height, width);
}

static int check_axis(const char *op, const mg_array *spans, const mg_array *weights,
                      const mg_array *images) {
    int dtype = images->dtype == MG_FLOAT64 ? MG_FLOAT64 : MG_FLOAT32;
    if (check_parameters(op, "spans", spans, images, MG_INT64, 0) ||
        check_parameters(op, "weights", weights, images, dtype, 0))
        return -1;
    if (spans->ndim == 3 && weights->ndim == 3 && spans->shape[2] == 2 &&
        spans->shape[0] == weights->shape[0] && spans->shape[1] == weights->shape[1])
        return 0;
    return mg_fail(MG_RUNTIME_ERROR,
                   "%s: expected spans (S, size, 2) and weights (S, size, taps), got %s and %s", op,
                   mg_shape_text(spans), mg_shape_text(weights));
}

mg_array *mg_image_resample(mg_array *images, mg_array *row_spans, mg_array *row_weights,
                            mg_array *column_spans, mg_array *column_weights) {
    static const char op[] = "resample";
    if (check_images(op, images, 1) || check_axis(op, row_spans, row_weights, images) ||
        check_axis(op, column_spans, column_weights, images))
        return NULL;
    mg_array *arrays[] = {NULL, images, row_spans, row_weights, column_spans, column_weights};
    mg_launch launch = {.kernel = MG_KERNEL_image_resample, .count = 6, .arrays = arrays};
    return submit(&launch, row_spans->shape[1], column_spans->shape[1]);
}

mg_array *mg_image_hue(mg_array *images, mg_array *shifts) {
    static const char op[] = "adjust_hue";
    if (check_images(op, images, 1) ||
        check_parameters(op, "shifts", shifts, images, MG_FLOAT64, 1))
        return NULL;
    if (images->shape[1] != 3) {
        mg_fail(MG_RUNTIME_ERROR, "%s: expected 3 channels, got shape %s", op,
                mg_shape_text(images));
        return NULL;
    }
    mg_array *arrays[] = {NULL, images, shifts};
    mg_launch launch = {.kernel = MG_KERNEL_image_hue, .count = 3, .arrays = arrays};
    return submit(&launch, images->shape[2], images->shape[3]);
}
