/* Max and average pooling over the last two dimensions of (C, H, W) or (N, C, H, W).
 *
 * Max pooling notes where in its plane each value came from; its backward is then a scatter, and
 * the backward of that a gather, whatever the geometry was. */
#include "core.h"

enum {
    KERNEL,
    STRIDE = 2,
    PADDING = 4,
    DILATION = 6,
    CEIL_MODE = 8,
    INCLUDE_PAD,
    DIVISOR,
    GEOMETRY
};
enum { PIECE_ELEMENTS = 16384 };

/* ---- geometry ---- */

static int check_input(const char *op, const mg_array *input) {
    if (!mg_is_float(input->dtype))
        return mg_fail(MG_NOT_IMPLEMENTED_ERROR,
                       "%s: not implemented for %s; convert to float32 or float64 first", op,
                       mg_dtype_name(input->dtype));
    int valid = input->ndim == 3 || input->ndim == 4;
    for (int d = input->ndim == 4; valid && d < input->ndim; d++) valid = input->shape[d] > 0;
    if (valid) return 0;
    return mg_fail(
        MG_RUNTIME_ERROR,
        "%s: Expected 3D or 4D (batch mode) tensor with optional 0 dim batch size for input, "
        "but got: %s",
        op, mg_shape_text(input));
}

static int check_pair(const char *op, const char *name, const int64_t *pair) {
    if (pair[0] > 0 && pair[1] > 0) return 0;
    return mg_fail(MG_RUNTIME_ERROR, "%s: %s should be greater than zero, but got (%lld, %lld)", op,
                   name, (long long)pair[0], (long long)pair[1]);
}

static mg_pool2d pool_of(const int64_t *geometry, int64_t height, int64_t width) {
    mg_pool2d pool = {.height = height,
                      .width = width,
                      .count_include_pad = geometry[INCLUDE_PAD] != 0,
                      .divisor = geometry[DIVISOR]};
    memcpy(pool.kernel, geometry + KERNEL, sizeof pool.kernel);
    memcpy(pool.stride, geometry + STRIDE, sizeof pool.stride);
    memcpy(pool.padding, geometry + PADDING, sizeof pool.padding);
    memcpy(pool.dilation, geometry + DILATION, sizeof pool.dilation);
    return pool;
}

/* Fills the pool from the input's last two dimensions; the output's size by torch's rule: with
 * ceil_mode the last window must still start inside of the input or its left padding. */
static int describe_pool(const char *op, int64_t height, int64_t width, const int64_t *geometry,
                         mg_pool2d *pool) {
    *pool = pool_of(geometry, height, width);
    if (check_pair(op, "kernel size", pool->kernel) || check_pair(op, "stride", pool->stride) ||
        check_pair(op, "dilation", pool->dilation))
        return -1;
    int64_t out[2];
    for (int d = 0; d < 2; d++) {
        int64_t size = d ? width : height, padding = pool->padding[d];
        int64_t stride = pool->stride[d], reach = pool->dilation[d] * (pool->kernel[d] - 1) + 1;
        if (padding < 0)
            return mg_fail(MG_RUNTIME_ERROR, "%s: pad must be non-negative, but got pad: %lld", op,
                           (long long)padding);
        if (padding > reach / 2)
            return mg_fail(
                MG_RUNTIME_ERROR,
                "%s: pad should be at most half of effective kernel size, but got pad=%lld, "
                "kernel_size=%lld and dilation=%lld",
                op, (long long)padding, (long long)pool->kernel[d], (long long)pool->dilation[d]);
        int64_t room = size + 2 * padding - reach + (geometry[CEIL_MODE] ? stride - 1 : 0);
        out[d] = room < 0 ? 0 : room / stride + 1;
        if (geometry[CEIL_MODE] && (out[d] - 1) * stride >= size + padding) out[d]--;
    }
    if (out[0] < 1 || out[1] < 1)
        return mg_fail(
            MG_RUNTIME_ERROR,
            "%s: Given input size: (%lldx%lld). Calculated output size: (%lldx%lld). Output "
            "size is too small",
            op, (long long)height, (long long)width, (long long)out[0], (long long)out[1]);
    if (height > INT32_MAX / width)
        return mg_fail(
            MG_RUNTIME_ERROR,
            "%s: a plane has at most 2^31 - 1 elements, got %lld x %lld; pool it in parts", op,
            (long long)height, (long long)width);
    pool->out_height = out[0];
    pool->out_width = out[1];
    return 0;
}

/* An array like `like` but for the size of its planes. */
static mg_array *new_planes(const mg_array *like, int dtype, int64_t height, int64_t width) {
    int64_t shape[4];
    memcpy(shape, like->shape, (size_t)like->ndim * sizeof *shape);
    shape[like->ndim - 2] = height;
    shape[like->ndim - 1] = width;
    return mg_empty(dtype, like->ndim, shape);
}

static int64_t plane_size(const mg_array *array) {
    return array->shape[array->ndim - 2] * array->shape[array->ndim - 1];
}

static int64_t plane_count(const mg_array *array) {
    return array->ndim == 4 ? array->shape[0] * array->shape[1] : array->shape[0];
}

/* ---- running ---- */

typedef struct job {
    mg_pool2d pool;
    int dtype;
    mg_array *arrays[3];
    int64_t count, size; /* of gather and scatter: indices and elements of a plane */
    int replace;
    int failed;    /* atomic: some index lay outside of its plane ... */
    int64_t wrong; /* ... this one */
} job;

/* The job of a launch; `image` is the array whose planes have the input's size. */
static job job_of(const mg_launch *launch, const mg_array *image, const mg_array *pooled) {
    job job = {.dtype = image->dtype};
    memcpy(job.arrays, launch->arrays, (size_t)launch->count * sizeof *job.arrays);
    job.pool =
        pool_of(launch->integers, image->shape[image->ndim - 2], image->shape[image->ndim - 1]);
    job.pool.planes = plane_count(image);
    job.pool.out_height = pooled->shape[pooled->ndim - 2];
    job.pool.out_width = pooled->shape[pooled->ndim - 1];
    return job;
}

/* Runs the body over pieces of `count` rows or planes, each of about `elements` elements. */
static void run_pieces(job *job, int64_t count, int64_t elements, double nanoseconds,
                       mg_body body) {
    int64_t piece = elements < PIECE_ELEMENTS ? PIECE_ELEMENTS / (elements ? elements : 1) : 1;
    if (count) mg_parallel_for(count, piece, nanoseconds * (double)(count * elements), body, job);
}

static void max_piece(void *context, int64_t begin, int64_t end) {
    job *job = context;
    mg_active_isa->pool2d.max[job->dtype](&job->pool, begin, end, job->arrays[2]->data,
                                          job->arrays[0]->data, (int64_t *)job->arrays[1]->data);
}

/* arrays: values, indices; input. integers: geometry */
int mg_run_max_pool2d(const mg_launch *launch) {
    job job = job_of(launch, launch->arrays[2], launch->arrays[0]);
    double taps = (double)(job.pool.kernel[0] * job.pool.kernel[1]);
    run_pieces(&job, job.pool.planes * job.pool.out_height, job.pool.out_width, 0.3 * taps,
               max_piece);
    return 0;
}

static void average_piece(void *context, int64_t begin, int64_t end) {
    job *job = context;
    mg_active_isa->pool2d.average[job->dtype](&job->pool, begin, end, job->arrays[1]->data,
                                              job->arrays[0]->data);
}

/* arrays: out; input. integers: geometry */
int mg_run_avg_pool2d(const mg_launch *launch) {
    job job = job_of(launch, launch->arrays[1], launch->arrays[0]);
    double taps = (double)(job.pool.kernel[0] * job.pool.kernel[1]);
    run_pieces(&job, job.pool.planes * job.pool.out_height, job.pool.out_width, 1 + 0.2 * taps,
               average_piece);
    return 0;
}

static void average_backward_piece(void *context, int64_t begin, int64_t end) {
    job *job = context;
    mg_array *grad_input = job->arrays[0], *grad_output = job->arrays[1];
    int64_t item = mg_item_size(job->dtype), size = plane_size(grad_input);
    memset(grad_input->data + begin * size * item, 0, (size_t)((end - begin) * size * item));
    for (int64_t plane = begin; plane < end; plane++)
        mg_active_isa->pool2d.average_backward[job->dtype](&job->pool,
                                                           grad_output->data +
                                                               plane * plane_size(grad_output) *
                                                                   item,
                                                           grad_input->data + plane * size * item);
}

/* arrays: grad_input; grad_output. integers: geometry */
int mg_run_avg_pool2d_backward(const mg_launch *launch) {
    job job = job_of(launch, launch->arrays[0], launch->arrays[1]);
    run_pieces(&job, job.pool.planes, plane_size(launch->arrays[0]), 1, average_backward_piece);
    return 0;
}

static void note_failure(job *job, int64_t wrong) {
    if (!__atomic_exchange_n(&job->failed, 1, __ATOMIC_RELAXED)) job->wrong = wrong;
}

static int report_failure(const char *op, const job *job, int64_t size) {
    if (!job->failed) return 0;
    return mg_fail(MG_RUNTIME_ERROR, "%s: index %lld is out of bounds for a plane of %lld elements",
                   op, (long long)job->wrong, (long long)size);
}

/* The elements of one plane, whose dimensions are the last `count`, and how many planes. */
static int64_t volume_of(const mg_array *array, int64_t count) {
    int64_t volume = 1;
    for (int64_t d = array->ndim - count; d < array->ndim; d++) volume *= array->shape[d];
    return volume;
}

static int64_t volumes_of(const mg_array *array, int64_t count) {
    int64_t volumes = 1;
    for (int64_t d = 0; d < array->ndim - count; d++) volumes *= array->shape[d];
    return volumes;
}

/* A gather or scatter: arrays[0] out, arrays[1] in. */
static job moving_job(const mg_launch *launch) {
    job job = {.dtype = launch->arrays[0]->dtype, .replace = launch->integers[1] != 0};
    memcpy(job.arrays, launch->arrays, sizeof job.arrays);
    job.count = volume_of(launch->arrays[2], launch->integers[0]);
    return job;
}

static void gather_piece(void *context, int64_t begin, int64_t end) {
    job *job = context;
    mg_array *values = job->arrays[0], *input = job->arrays[1], *indices = job->arrays[2];
    int64_t item = mg_item_size(job->dtype), count = job->count, size = job->size, wrong;
    for (int64_t plane = begin; plane < end; plane++)
        if (mg_active_isa->pool2d.gather[job->dtype](count,
                                                     (int64_t *)indices->data + plane * count, size,
                                                     input->data + plane * size * item,
                                                     values->data + plane * count * item, &wrong))
            note_failure(job, wrong);
}

/* arrays: values; input, indices. integers: dimensions of a plane */
int mg_run_plane_gather(const mg_launch *launch) {
    job job = moving_job(launch);
    job.size = volume_of(launch->arrays[1], launch->integers[0]);
    run_pieces(&job, volumes_of(launch->arrays[1], launch->integers[0]), job.count, 1,
               gather_piece);
    return report_failure("plane_gather", &job, job.size);
}

static void scatter_piece(void *context, int64_t begin, int64_t end) {
    job *job = context;
    mg_array *out = job->arrays[0], *values = job->arrays[1], *indices = job->arrays[2];
    int64_t item = mg_item_size(job->dtype), count = job->count, size = job->size, wrong;
    for (int64_t plane = begin; plane < end; plane++)
        if (mg_active_isa->pool2d.scatter[job->dtype](count,
                                                      (int64_t *)indices->data + plane * count,
                                                      size, values->data + plane * count * item,
                                                      out->data + plane * size * item, job->replace,
                                                      &wrong))
            note_failure(job, wrong);
}

/* arrays: out; values, indices. integers: dimensions of a plane, replace */
int mg_run_plane_scatter(const mg_launch *launch) {
    job job = moving_job(launch);
    job.size = volume_of(launch->arrays[0], launch->integers[0]);
    run_pieces(&job, volumes_of(launch->arrays[0], launch->integers[0]), job.size, 0.5,
               scatter_piece);
    return report_failure("plane_scatter", &job, job.size);
}

/* ---- entries ---- */

/* Submits a launch whose arrays are already contiguous; the outputs come first. */
static int submit(int kernel, int outputs, int count, mg_array **arrays, const int64_t *geometry) {
    mg_launch launch = {.kernel = kernel, .outputs = outputs, .count = count, .arrays = arrays};
    memcpy(launch.integers, geometry, GEOMETRY * sizeof *geometry);
    return mg_submit(&launch, 0, mg_kernel_name(kernel));
}

static mg_array *release_all(int count, mg_array **arrays) {
    for (int i = 0; i < count; i++)
        if (arrays[i]) mg_release(arrays[i]);
    return NULL;
}

int mg_max_pool2d(mg_array *input, const int64_t *geometry, mg_array **outputs) {
    static const char op[] = "max_pool2d";
    mg_pool2d pool;
    if (check_input(op, input) || describe_pool(op, input->shape[input->ndim - 2],
                                                input->shape[input->ndim - 1], geometry, &pool))
        return -1;
    mg_array *arrays[3] = {new_planes(input, input->dtype, pool.out_height, pool.out_width),
                           new_planes(input, MG_INT64, pool.out_height, pool.out_width),
                           mg_as_contiguous(input, input->dtype)};
    if (!arrays[0] || !arrays[1] || !arrays[2] ||
        submit(MG_KERNEL_max_pool2d, 2, 3, arrays, geometry)) {
        release_all(3, arrays);
        return -1;
    }
    mg_release(arrays[2]);
    outputs[0] = arrays[0];
    outputs[1] = arrays[1];
    return 0;
}

/* Pooling does not know dilation where it averages. */
static void without_dilation(const int64_t *geometry, int64_t *plain) {
    memcpy(plain, geometry, GEOMETRY * sizeof *plain);
    plain[DILATION] = plain[DILATION + 1] = 1;
}

mg_array *mg_avg_pool2d(mg_array *input, const int64_t *geometry) {
    static const char op[] = "avg_pool2d";
    mg_pool2d pool;
    int64_t plain[GEOMETRY];
    without_dilation(geometry, plain);
    if (check_input(op, input) || describe_pool(op, input->shape[input->ndim - 2],
                                                input->shape[input->ndim - 1], plain, &pool))
        return NULL;
    mg_array *arrays[2] = {new_planes(input, input->dtype, pool.out_height, pool.out_width),
                           mg_as_contiguous(input, input->dtype)};
    if (!arrays[0] || !arrays[1] || submit(MG_KERNEL_avg_pool2d, 1, 2, arrays, plain))
        return release_all(2, arrays);
    mg_release(arrays[1]);
    return arrays[0];
}

mg_array *mg_avg_pool2d_backward(mg_array *grad_output, int64_t height, int64_t width,
                                 const int64_t *geometry) {
    static const char op[] = "avg_pool2d_backward";
    mg_pool2d pool;
    int64_t plain[GEOMETRY];
    without_dilation(geometry, plain);
    if (check_input(op, grad_output) || describe_pool(op, height, width, plain, &pool)) return NULL;
    int last = grad_output->ndim - 1;
    if (grad_output->shape[last - 1] != pool.out_height ||
        grad_output->shape[last] != pool.out_width) {
        mg_fail(
            MG_RUNTIME_ERROR,
            "%s: grad_output of shape %s does not fit an input of %lld x %lld; expected planes of "
            "%lld x %lld",
            op, mg_shape_text(grad_output), (long long)height, (long long)width,
            (long long)pool.out_height, (long long)pool.out_width);
        return NULL;
    }
    mg_array *arrays[2] = {new_planes(grad_output, grad_output->dtype, height, width),
                           mg_as_contiguous(grad_output, grad_output->dtype)};
    if (!arrays[0] || !arrays[1] || submit(MG_KERNEL_avg_pool2d_backward, 1, 2, arrays, plain))
        return release_all(2, arrays);
    mg_release(arrays[1]);
    return arrays[0];
}

/* The indices belong to planes of `array`, the last `count` dimensions. */
static int check_planes(const char *op, const mg_array *array, const mg_array *indices, int count) {
    int valid = indices->dtype == MG_INT64 && indices->ndim == array->ndim && count >= 1 &&
                count <= array->ndim && mg_is_float(array->dtype);
    for (int d = 0; valid && d < array->ndim - count; d++)
        valid = indices->shape[d] == array->shape[d];
    if (valid) return 0;
    return mg_fail(MG_RUNTIME_ERROR,
                   "%s: expected floating point planes of %d dimensions and int64 indices with as "
                   "many planes, "
                   "got %s %s and %s %s",
                   op, count, mg_dtype_name(array->dtype), mg_shape_text(array),
                   mg_dtype_name(indices->dtype), mg_shape_text(indices));
}

/* kernel(out; first, indices), which takes the reference to `out`. */
static mg_array *submit_moving(int kernel, mg_array *out, mg_array *first, mg_array *indices,
                               int count, int replace) {
    mg_array *arrays[3] = {out, mg_as_contiguous(first, first->dtype),
                           mg_as_contiguous(indices, MG_INT64)};
    mg_launch launch = {.kernel = kernel,
                        .outputs = 1,
                        .count = 3,
                        .arrays = arrays,
                        .integers = {count, replace}};
    if (!arrays[0] || !arrays[1] || !arrays[2] || mg_submit(&launch, 0, NULL))
        return release_all(3, arrays);
    release_all(2, arrays + 1);
    return arrays[0];
}

mg_array *mg_plane_gather(mg_array *input, mg_array *indices, int count) {
    if (check_planes("plane_gather", input, indices, count)) return NULL;
    return submit_moving(MG_KERNEL_plane_gather, mg_empty_like(indices, input->dtype), input,
                         indices, count, 0);
}

mg_array *mg_plane_scatter(mg_array *values, mg_array *indices, int count, const int64_t *sizes,
                           int replace) {
    static const char op[] = "plane_scatter";
    int64_t shape[MG_MAX_DIMS];
    if (check_planes(op, values, indices, count)) return NULL;
    if (!mg_same_shape(values, indices)) {
        mg_fail(MG_RUNTIME_ERROR, "%s: values %s and indices %s must have the same shape", op,
                mg_shape_text(values), mg_shape_text(indices));
        return NULL;
    }
    memcpy(shape, values->shape, sizeof shape);
    for (int d = 0; d < count; d++) shape[values->ndim - count + d] = sizes[d];
    return submit_moving(MG_KERNEL_plane_scatter, mg_empty(values->dtype, values->ndim, shape),
                         values, indices, count, replace);
}
