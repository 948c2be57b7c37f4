/* Convolution over one to three dimensions: checks and shapes, and the passes with the batch in the
 * lanes of vectors (kernels/conv.h). Small batches, huge images and those with depth go to
 * conv_columns.c. */
#include "core.h"

#define INDEX(dtype) ((dtype) == MG_FLOAT64)
/* Work memory that a thread may use for the lanes of one vector's images. */
#define LANES_BYTES (64 << 20)
/* Work memory for the partial sums of grad_weight. */
#define SUMS_BYTES (64 << 20)
#define SUMS_PIECES 16

/* ---- checks ---- */

/* Names by the number of dimensions. */
static const char *const forward_names[] = {"conv", "conv1d", "conv2d", "conv3d"};
static const char *const input_names[] = {"conv_transpose", "conv_transpose1d", "conv_transpose2d",
                                          "conv_transpose3d"};
static const char *const weight_names[] = {"conv_weight", "conv1d_weight", "conv2d_weight",
                                           "conv3d_weight"};

/* geometry: stride, padding and dilation for each of `ndim` dimensions, groups. */
static int check_geometry(const char *op, int ndim, const int64_t *geometry, mg_conv *conv) {
    for (int d = 0; d < 3; d++) {
        const int given = d - (3 - ndim);
        conv->stride[d] = given < 0 ? 1 : geometry[given];
        conv->padding[d] = given < 0 ? 0 : geometry[ndim + given];
        conv->dilation[d] = given < 0 ? 1 : geometry[2 * ndim + given];
        if (conv->stride[d] < 1)
            return mg_fail(MG_RUNTIME_ERROR, "%s: non-positive stride is not supported, got %lld",
                           op, (long long)conv->stride[d]);
        if (conv->padding[d] < 0)
            return mg_fail(MG_RUNTIME_ERROR, "%s: negative padding is not supported, got %lld", op,
                           (long long)conv->padding[d]);
        if (conv->dilation[d] < 1)
            return mg_fail(MG_RUNTIME_ERROR,
                           "%s: dilation should be greater than zero, but got %lld", op,
                           (long long)conv->dilation[d]);
        /* Far beyond any image; keeps the arithmetic on shapes from overflowing. */
        if (conv->stride[d] > 1 << 24 || conv->padding[d] > 1 << 24 || conv->dilation[d] > 1 << 24)
            return mg_fail(MG_RUNTIME_ERROR, "%s: stride, padding and dilation must be below 2^24",
                           op);
    }
    conv->groups = geometry[3 * ndim];
    if (conv->groups < 1)
        return mg_fail(MG_RUNTIME_ERROR, "%s: non-positive groups is not supported, got %lld", op,
                       (long long)conv->groups);
    return 0;
}

static int check_floats(const char *op, const mg_array *a, const mg_array *b) {
    if (!mg_is_float(a->dtype))
        return mg_fail(MG_NOT_IMPLEMENTED_ERROR,
                       "%s is not implemented for %s; convert the operands to float32 or float64",
                       op, mg_dtype_name(a->dtype));
    if (a->dtype != b->dtype)
        return mg_fail(MG_RUNTIME_ERROR, "%s: expected operands of one dtype but got %s and %s", op,
                       mg_dtype_name(a->dtype), mg_dtype_name(b->dtype));
    return 0;
}

/* The last `ndim` of three sizes; the others are 1. */
static void fill_sizes(int ndim, const int64_t *given, int64_t *depth, int64_t *height,
                       int64_t *width) {
    *depth = ndim > 2 ? given[ndim - 3] : 1;
    *height = ndim > 1 ? given[ndim - 2] : 1;
    *width = given[ndim - 1];
}

/* Kernel and groups against out_channels and channels; fills in the size of the output. */
static int check_sizes(const char *op, mg_conv *conv) {
    const int64_t kernel[3] = {conv->kernel_depth, conv->kernel_height, conv->kernel_width};
    const int64_t size[3] = {conv->depth, conv->height, conv->width};
    int64_t out[3];
    if (conv->out_channels % conv->groups || conv->out_channels < conv->groups)
        return mg_fail(
            MG_RUNTIME_ERROR,
            "%s: Given groups=%lld, expected weight to be divisible by %lld at dimension "
            "0, but got %lld output channels",
            op, (long long)conv->groups, (long long)conv->groups, (long long)conv->out_channels);
    for (int d = 0; d < 3; d++) {
        if (kernel[d] < 1)
            return mg_fail(MG_RUNTIME_ERROR,
                           "%s: kernel size should be greater than zero, but got %lld", op,
                           (long long)kernel[d]);
        const int64_t padded = size[d] + 2 * conv->padding[d];
        if (kernel[d] > 1 << 24 || size[d] < 0)
            return mg_fail(MG_RUNTIME_ERROR, "%s: a kernel of %lld on an input of %lld", op,
                           (long long)kernel[d], (long long)size[d]);
        const int64_t span = conv->dilation[d] * (kernel[d] - 1) + 1;
        if (span > padded)
            return mg_fail(MG_RUNTIME_ERROR,
                           "%s: Calculated padded input size per channel: %lld along one "
                           "dimension. Kernel size: %lld. Kernel size can't be greater than actual "
                           "input size",
                           op, (long long)padded, (long long)span);
        out[d] = (padded - span) / conv->stride[d] + 1;
    }
    fill_sizes(3, out, &conv->out_depth, &conv->out_height, &conv->out_width);
    return 0;
}

/* (batch, channels, sizes...) of one to three dimensions; returns how many, or -1. */
static int spatial_dims(const char *const *names, const char *what, const mg_array *array) {
    if (array->ndim >= 3 && array->ndim <= 5) return array->ndim - 2;
    return mg_fail(MG_RUNTIME_ERROR,
                   "%s: expected %s of shape (batch, channels, sizes of 1 to 3 dimensions), but "
                   "got shape %s",
                   names[0], what, mg_shape_text(array));
}

static int check_ndim(const char *op, const char *what, const mg_array *array, int ndim) {
    if (array->ndim == ndim + 2) return 0;
    return mg_fail(MG_RUNTIME_ERROR, "%s: expected %d-dimensional %s, but got shape %s", op,
                   ndim + 2, what, mg_shape_text(array));
}

static int check_bias(const char *op, const mg_array *bias, const mg_array *weight,
                      int64_t channels) {
    if (!bias) return 0;
    if (bias->ndim != 1 || bias->shape[0] != channels)
        return mg_fail(MG_RUNTIME_ERROR,
                       "%s: Given weight of size %s, expected bias to be 1-dimensional with %lld "
                       "elements, but got bias of size %s instead",
                       op, mg_shape_text(weight), (long long)channels, mg_shape_text(bias));
    return check_floats(op, bias, weight);
}

/* The shape (batch, channels, sizes...) or (channels, channels / groups, kernel...). */
static void set_shape(int64_t *shape, int ndim, int64_t first, int64_t second, int64_t depth,
                      int64_t height, int64_t width) {
    const int64_t sizes[3] = {depth, height, width};
    shape[0] = first;
    shape[1] = second;
    for (int d = 0; d < ndim; d++) shape[2 + d] = sizes[3 - ndim + d];
}

static int check_output(const char *op, int ndim, const mg_conv *conv,
                        const mg_array *grad_output) {
    mg_array expected = {.ndim = ndim + 2};
    set_shape(expected.shape, ndim, conv->batch, conv->out_channels, conv->out_depth,
              conv->out_height, conv->out_width);
    if (mg_same_shape(&expected, (mg_array *)grad_output)) return 0;
    return mg_fail(MG_RUNTIME_ERROR, "%s: expected grad_output of shape %s but got %s", op,
                   mg_shape_text(&expected), mg_shape_text(grad_output));
}

/* ---- entries ---- */

/* Submits kernel(out; first, second, third) on contiguous operands; `third` may be NULL. */
static mg_array *submit(int kernel, const mg_conv *conv, int ndim, const int64_t *shape,
                        mg_array *first, mg_array *second, mg_array *third) {
    mg_array *arrays[] = {
        mg_empty(first->dtype, ndim + 2, shape),
        mg_as_contiguous(first, first->dtype),
        mg_as_contiguous(second, second->dtype),
        third ? mg_as_contiguous(third, third->dtype) : NULL,
    };
    mg_launch launch = {.kernel = kernel, .outputs = 1, .count = 4, .arrays = arrays};
    _Static_assert(sizeof *conv <= sizeof launch.integers, "the geometry must fit the record");
    memcpy(launch.integers, conv, sizeof *conv);
    const int failed = !arrays[0] || !arrays[1] || !arrays[2] || (third && !arrays[3]) ||
                       mg_submit(&launch, 0, NULL);
    for (int i = failed ? 0 : 1; i < 4; i++)
        if (arrays[i]) mg_release(arrays[i]);
    return failed ? NULL : arrays[0];
}

mg_array *mg_convolution(mg_array *input, mg_array *weight, mg_array *bias,
                         const int64_t *geometry) {
    mg_conv conv;
    int64_t shape[5];
    const int ndim = spatial_dims(forward_names, "input", input);
    if (ndim < 0) return NULL;
    const char *op = forward_names[ndim];
    if (check_ndim(op, "weight (out_channels, channels / groups, kernel size)", weight, ndim) ||
        check_floats(op, input, weight) || check_geometry(op, ndim, geometry, &conv))
        return NULL;
    conv.batch = input->shape[0];
    conv.channels = input->shape[1];
    conv.out_channels = weight->shape[0];
    fill_sizes(ndim, input->shape + 2, &conv.depth, &conv.height, &conv.width);
    fill_sizes(ndim, weight->shape + 2, &conv.kernel_depth, &conv.kernel_height,
               &conv.kernel_width);
    if (conv.channels != weight->shape[1] * conv.groups) {
        mg_fail(MG_RUNTIME_ERROR,
                "%s: Given groups=%lld, weight of size %s, expected input %s to have %lld "
                "channels, but got %lld channels instead",
                op, (long long)conv.groups, mg_shape_text(weight), mg_shape_text(input),
                (long long)(weight->shape[1] * conv.groups), (long long)conv.channels);
        return NULL;
    }
    if (check_sizes(op, &conv) || check_bias(op, bias, weight, conv.out_channels)) return NULL;
    set_shape(shape, ndim, conv.batch, conv.out_channels, conv.out_depth, conv.out_height,
              conv.out_width);
    return submit(MG_KERNEL_convolution, &conv, ndim, shape, input, weight, bias);
}

mg_array *mg_convolution_input(mg_array *grad_output, mg_array *weight, mg_array *bias,
                               const int64_t *size, const int64_t *geometry) {
    mg_conv conv;
    int64_t shape[5];
    const int ndim = spatial_dims(input_names, "input", grad_output);
    if (ndim < 0) return NULL;
    const char *op = input_names[ndim];
    if (check_ndim(op, "weight", weight, ndim) || check_floats(op, grad_output, weight) ||
        check_geometry(op, ndim, geometry, &conv))
        return NULL;
    conv.batch = grad_output->shape[0];
    conv.channels = weight->shape[1] * conv.groups;
    conv.out_channels = weight->shape[0];
    fill_sizes(ndim, size, &conv.depth, &conv.height, &conv.width);
    fill_sizes(ndim, weight->shape + 2, &conv.kernel_depth, &conv.kernel_height,
               &conv.kernel_width);
    if (check_sizes(op, &conv) || check_output(op, ndim, &conv, grad_output) ||
        check_bias(op, bias, weight, conv.channels))
        return NULL;
    set_shape(shape, ndim, conv.batch, conv.channels, conv.depth, conv.height, conv.width);
    return submit(MG_KERNEL_convolution_input, &conv, ndim, shape, grad_output, weight, bias);
}

mg_array *mg_convolution_weight(mg_array *input, mg_array *grad_output, const int64_t *kernel,
                                const int64_t *geometry) {
    mg_conv conv;
    int64_t shape[5];
    const int ndim = spatial_dims(weight_names, "input", input);
    if (ndim < 0) return NULL;
    const char *op = weight_names[ndim];
    if (check_ndim(op, "grad_output", grad_output, ndim) || check_floats(op, input, grad_output) ||
        check_geometry(op, ndim, geometry, &conv))
        return NULL;
    conv.batch = input->shape[0];
    conv.channels = input->shape[1];
    conv.out_channels = grad_output->shape[1];
    fill_sizes(ndim, input->shape + 2, &conv.depth, &conv.height, &conv.width);
    fill_sizes(ndim, kernel, &conv.kernel_depth, &conv.kernel_height, &conv.kernel_width);
    if (conv.channels % conv.groups) {
        mg_fail(MG_RUNTIME_ERROR, "%s: groups=%lld does not divide the %lld channels of the input",
                op, (long long)conv.groups, (long long)conv.channels);
        return NULL;
    }
    if (check_sizes(op, &conv) || check_output(op, ndim, &conv, grad_output)) return NULL;
    set_shape(shape, ndim, conv.out_channels, conv.channels / conv.groups, conv.kernel_depth,
              conv.kernel_height, conv.kernel_width);
    return submit(MG_KERNEL_convolution_weight, &conv, ndim, shape, input, grad_output, NULL);
}

/* geometry: stride (2), padding (2), dilation (2), groups, which is 1; `image` is the shape of the
 * planes. */
static int describe_fold(const char *op, const int64_t *image, const int64_t *kernel,
                         const int64_t *geometry, mg_conv *conv) {
    if (check_geometry(op, 2, geometry, conv)) return -1;
    conv->batch = image[0];
    conv->channels = image[1];
    conv->out_channels = 1;
    fill_sizes(2, image + 2, &conv->depth, &conv->height, &conv->width);
    fill_sizes(2, kernel, &conv->kernel_depth, &conv->kernel_height, &conv->kernel_width);
    return check_sizes(op, conv);
}

mg_array *mg_unfold(mg_array *input, const int64_t *kernel, const int64_t *geometry) {
    mg_conv conv;
    if (check_ndim("unfold", "input (batch, channels, height, width)", input, 2) ||
        check_floats("unfold", input, input) ||
        describe_fold("unfold", input->shape, kernel, geometry, &conv))
        return NULL;
    const int64_t shape[3] = {conv.batch, conv.channels * kernel[0] * kernel[1],
                              conv.out_height * conv.out_width};
    return submit(MG_KERNEL_unfold, &conv, 1, shape, input, input, NULL);
}

mg_array *mg_fold(mg_array *columns, const int64_t *size, const int64_t *kernel,
                  const int64_t *geometry) {
    mg_conv conv;
    if (check_ndim("fold", "input (batch, channels * kernel, positions)", columns, 1) ||
        check_floats("fold", columns, columns))
        return NULL;
    const int64_t taps = kernel[0] * kernel[1];
    const int64_t shape[4] = {columns->shape[0], taps > 0 ? columns->shape[1] / taps : 0, size[0],
                              size[1]};
    if (describe_fold("fold", shape, kernel, geometry, &conv)) return NULL;
    if (columns->shape[1] % taps || columns->shape[2] != conv.out_height * conv.out_width) {
        mg_fail(
            MG_RUNTIME_ERROR,
            "fold: expected input of shape (batch, channels * %lld, %lld) for an output of %lld "
            "x %lld, but got %s",
            (long long)taps, (long long)(conv.out_height * conv.out_width), (long long)size[0],
            (long long)size[1], mg_shape_text(columns));
        return NULL;
    }
    return submit(MG_KERNEL_fold, &conv, 2, shape, columns, columns, NULL);
}

int mg_run_unfold(const mg_launch *launch) {
    mg_conv conv;
    memcpy(&conv, launch->integers, sizeof conv);
    if (launch->arrays[0]->size)
        mg_conv_unfold(launch->arrays[0]->dtype, &conv, launch->arrays[1]->data,
                       launch->arrays[0]->data);
    return 0;
}

int mg_run_fold(const mg_launch *launch) {
    mg_conv conv;
    memcpy(&conv, launch->integers, sizeof conv);
    if (launch->arrays[0]->size)
        mg_conv_fold(launch->arrays[0]->dtype, &conv, launch->arrays[1]->data,
                     launch->arrays[0]->data);
    return 0;
}

/* ---- the passes with the batch in lanes ---- */

static int lanes_of(int dtype) { return mg_active_isa->gemm.of[INDEX(dtype)].lanes; }

static int64_t taps_of(const mg_conv *conv) {
    return conv->channels / conv->groups * conv->kernel_depth * conv->kernel_height *
           conv->kernel_width;
}

double mg_conv_nanoseconds(int dtype, const mg_conv *conv) {
    const double positions =
        (double)conv->batch * (double)(conv->out_depth * conv->out_height * conv->out_width);
    return positions * (double)(conv->out_channels * taps_of(conv)) / (lanes_of(dtype) * 5.0);
}

static int64_t padded_bytes(const mg_conv *conv) {
    return conv->channels * (conv->height + 2 * conv->padding[1]) *
           (conv->width + 2 * conv->padding[2]) * mg_active_isa->vector_bytes;
}

static int64_t plain_bytes(const mg_conv *conv) {
    return conv->out_channels * conv->out_height * conv->out_width * mg_active_isa->vector_bytes;
}

/* Flat images, at least half of the lanes in use, copies of the images that deserve the name of a
 * cache, and enough of them for two threads where the pass takes long. */
static int fills_lanes(int dtype, const mg_conv *conv) {
    const double padded = (double)(conv->height + 2 * conv->padding[1]) *
                          (double)(conv->width + 2 * conv->padding[2]) * (double)conv->channels;
    const double plain =
        (double)conv->out_height * (double)conv->out_width * (double)conv->out_channels;
    const double most = (double)LANES_BYTES / mg_active_isa->vector_bytes;
    if (conv->depth > 1 || conv->kernel_depth > 1 || conv->out_depth > 1) return 0;
    if (conv->batch <= lanes_of(dtype) && mg_conv_nanoseconds(dtype, conv) > 200e3) return 0;
    return conv->batch * 2 > lanes_of(dtype) && padded <= most && plain <= most;
}

/* One pass over a batch: what changes from piece to piece is the first image. */
typedef struct pass {
    mg_conv_images images;
    int dtype;
    void (*run)(const mg_conv_images *images);
    int64_t input_image, grad_output_image, result_image; /* bytes of one image; 0: not by image */
    int failed;
} pass;

/* Blocks [begin, end) of one vector's images each; `result` is that of image 0. */
static int run_images(const pass *work, int64_t begin, int64_t end, void *result) {
    const int64_t lanes = lanes_of(work->dtype), batch = work->images.conv->batch;
    mg_conv_images images = work->images;
    images.padded = mg_scratch(MG_SCRATCH_PACK_A, padded_bytes(images.conv) + MG_ALIGNMENT);
    images.plain = mg_scratch(MG_SCRATCH_PACK_B, plain_bytes(images.conv) + MG_ALIGNMENT);
    if (!images.padded || !images.plain) return -1;
    for (int64_t block = begin; block < end; block++) {
        const int64_t first = block * lanes;
        images.count = batch - first < lanes ? batch - first : lanes;
        images.input = (const char *)work->images.input + first * work->input_image;
        images.grad_output =
            (const char *)work->images.grad_output + first * work->grad_output_image;
        images.result = (char *)result + first * work->result_image;
        work->run(&images);
    }
    return 0;
}

static void run_blocks(void *context, int64_t begin, int64_t end) {
    pass *work = context;
    if (run_images(work, begin, end, work->images.result))
        __atomic_store_n(&work->failed, 1, __ATOMIC_RELAXED);
}

static int out_of_memory(void) {
    return mg_fail(MG_MEMORY_ERROR, "convolution: out of memory for work buffers");
}

/* Where each weight of an output channel meets the padded images, in elements from the corner. */
static const int64_t *tap_offsets(int dtype, const mg_conv *conv) {
    const int64_t width = conv->width + 2 * conv->padding[2];
    const int64_t height = conv->height + 2 * conv->padding[1];
    int64_t *offsets = mg_scratch(MG_SCRATCH_WORK, (taps_of(conv) + 1) * (int64_t)sizeof *offsets);
    if (!offsets) return NULL;
    int64_t p = 0;
    for (int64_t c = 0; c < conv->channels / conv->groups; c++)
        for (int64_t i = 0; i < conv->kernel_height; i++)
            for (int64_t j = 0; j < conv->kernel_width; j++)
                offsets[p++] =
                    ((c * height + i * conv->dilation[1]) * width + j * conv->dilation[2]) *
                    lanes_of(dtype);
    return offsets;
}

static int64_t blocks_of(int dtype, const mg_conv *conv) {
    return (conv->batch + lanes_of(dtype) - 1) / lanes_of(dtype);
}

static int run_pass(pass *work) {
    const mg_conv *conv = work->images.conv;
    work->images.offsets = tap_offsets(work->dtype, conv);
    if (!work->images.offsets) return -1;
    mg_parallel_for(blocks_of(work->dtype, conv), 1, mg_conv_nanoseconds(work->dtype, conv),
                    run_blocks, work);
    return work->failed ? out_of_memory() : 0;
}

int mg_run_convolution(const mg_launch *launch) {
    const mg_array *out = launch->arrays[0], *input = launch->arrays[1];
    const mg_array *weight = launch->arrays[2], *bias = launch->arrays[3];
    const void *bias_data = bias ? bias->data : NULL;
    const int dtype = out->dtype;
    const int64_t size = mg_item_size(dtype);
    mg_conv conv;
    memcpy(&conv, launch->integers, sizeof conv);
    if (out->size == 0) return 0;
    if (!fills_lanes(dtype, &conv) && mg_conv_is_direct(dtype, &conv))
        return mg_conv_direct_forward(dtype, &conv, input->data, weight->data, bias_data,
                                      out->data);
    if (!fills_lanes(dtype, &conv))
        return mg_conv_columns_forward(dtype, &conv, input->data, weight->data, bias_data,
                                       out->data);
    pass work = {
        .images = {.conv = &conv,
                   .input = input->data,
                   .weight = weight->data,
                   .bias = bias_data,
                   .result = out->data},
        .dtype = dtype,
        .run = mg_active_isa->conv.of[INDEX(dtype)].forward,
        .input_image = conv.channels * conv.height * conv.width * size,
        .result_image = conv.out_channels * conv.out_height * conv.out_width * size,
    };
    return run_pass(&work);
}

/* The bias of a transposed convolution, which stands behind the sums over the kernel. */
typedef struct bias_pass {
    int dtype;
    int64_t channels, plane;
    const void *bias;
    char *out;
} bias_pass;

static void add_bias(void *context, int64_t begin, int64_t end) {
    const bias_pass *pass = context;
    for (int64_t i = begin; i < end; i++) {
        char *plane = pass->out + i * pass->plane * mg_item_size(pass->dtype);
        if (pass->dtype == MG_FLOAT32) {
            const float bias = ((const float *)pass->bias)[i % pass->channels];
            for (int64_t x = 0; x < pass->plane; x++) ((float *)plane)[x] += bias;
        } else {
            const double bias = ((const double *)pass->bias)[i % pass->channels];
            for (int64_t x = 0; x < pass->plane; x++) ((double *)plane)[x] += bias;
        }
    }
}

static int run_input(int dtype, const mg_conv *conv, const mg_array *grad_output,
                     const mg_array *weight, mg_array *out) {
    const int64_t size = mg_item_size(dtype);
    if (!fills_lanes(dtype, conv) && mg_conv_is_direct_input(dtype, conv))
        return mg_conv_direct_input(dtype, conv, grad_output->data, weight->data, out->data);
    if (!fills_lanes(dtype, conv))
        return mg_conv_columns_input(dtype, conv, grad_output->data, weight->data, out->data);
    pass work = {
        .images = {.conv = conv,
                   .grad_output = grad_output->data,
                   .weight = weight->data,
                   .result = out->data},
        .dtype = dtype,
        .run = mg_active_isa->conv.of[INDEX(dtype)].input,
        .grad_output_image = conv->out_channels * conv->out_height * conv->out_width * size,
        .result_image = conv->channels * conv->height * conv->width * size,
    };
    return run_pass(&work);
}

int mg_run_convolution_input(const mg_launch *launch) {
    mg_array *out = launch->arrays[0], *bias = launch->arrays[3];
    mg_conv conv;
    memcpy(&conv, launch->integers, sizeof conv);
    if (out->size == 0) return 0;
    if (run_input(out->dtype, &conv, launch->arrays[1], launch->arrays[2], out)) return -1;
    if (!bias) return 0;
    bias_pass pass = {out->dtype, conv.channels, conv.depth * conv.height * conv.width, bias->data,
                      out->data};
    const int64_t piece = 1 + 16384 / (pass.plane + 1);
    mg_parallel_for(conv.batch * conv.channels, piece, 0.1 * (double)out->size, add_bias, &pass);
    return 0;
}

/* ---- sums over the batch ---- */

static void add_to(int dtype, void *sum, const void *part, int64_t count) {
    if (dtype == MG_FLOAT32)
        for (int64_t i = 0; i < count; i++) ((float *)sum)[i] += ((const float *)part)[i];
    else
        for (int64_t i = 0; i < count; i++) ((double *)sum)[i] += ((const double *)part)[i];
}

int mg_conv_sum_pieces(int dtype, int64_t elements, int64_t count, double nanoseconds, mg_body body,
                       const void *context, void *grad_weight) {
    const int64_t bytes = elements * mg_item_size(dtype);
    int64_t most = SUMS_BYTES / (bytes + 1) < SUMS_PIECES ? SUMS_BYTES / (bytes + 1) : SUMS_PIECES;
    if (most < 1) most = 1;
    memset(grad_weight, 0, (size_t)bytes);
    if (count == 0 || bytes == 0) return 0;
    mg_conv_sum sum = {.context = context, .piece = (count - 1) / most + 1, .bytes = bytes};
    const int64_t pieces = (count - 1) / sum.piece + 1;
    mg_storage *storage = pieces > 1 ? mg_storage_new(pieces * bytes) : NULL;
    if (pieces > 1 && !storage) return -1;
    if (storage) memset(storage->data, 0, (size_t)(pieces * bytes));
    sum.sums = storage ? storage->data : grad_weight;
    mg_parallel_for(count, sum.piece, nanoseconds, body, &sum);
    for (int64_t piece = 0; storage && piece < pieces; piece++)
        add_to(dtype, grad_weight, sum.sums + piece * bytes, elements);
    if (storage) mg_storage_release(storage);
    return sum.failed ? out_of_memory() : 0;
}

static void run_weight_blocks(void *context, int64_t begin, int64_t end) {
    mg_conv_sum *sum = context;
    if (run_images(sum->context, begin, end, sum->sums + begin / sum->piece * sum->bytes))
        __atomic_store_n(&sum->failed, 1, __ATOMIC_RELAXED);
}

int mg_run_convolution_weight(const mg_launch *launch) {
    const mg_array *out = launch->arrays[0], *input = launch->arrays[1];
    const mg_array *grad_output = launch->arrays[2];
    const int dtype = out->dtype;
    const int64_t size = mg_item_size(dtype);
    mg_conv conv;
    memcpy(&conv, launch->integers, sizeof conv);
    if (out->size == 0) return 0;
    if (!fills_lanes(dtype, &conv))
        return mg_conv_columns_weight(dtype, &conv, input->data, grad_output->data, out->data);
    pass work = {
        .images = {.conv = &conv,
                   .input = input->data,
                   .grad_output = grad_output->data,
                   .offsets = tap_offsets(dtype, &conv)},
        .dtype = dtype,
        .run = mg_active_isa->conv.of[INDEX(dtype)].weight,
        .input_image = conv.channels * conv.height * conv.width * size,
        .grad_output_image = conv.out_channels * conv.out_height * conv.out_width * size,
    };
    if (!work.images.offsets) return -1;
    return mg_conv_sum_pieces(dtype, out->size, blocks_of(dtype, &conv),
                              mg_conv_nanoseconds(dtype, &conv), run_weight_blocks, &work,
                              out->data);
}
