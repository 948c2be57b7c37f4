/* Two-dimensional convolution: checks and shapes, and the passes with the batch in the lanes of
 * vectors (kernels/conv.h). Small batches and huge images go to conv_columns.c. */
#include "core.h"

#define INDEX(dtype) ((dtype) == MG_FLOAT64)
/* Work memory that a thread may use for the lanes of one vector's images. */
#define LANES_BYTES (64 << 20)
/* Work memory for the partial sums of grad_weight. */
#define SUMS_BYTES (64 << 20)
#define SUMS_PIECES 16

/* ---- checks ---- */

static int check_geometry(const char *op, const int64_t *geometry, mg_conv *conv) {
    for (int d = 0; d < 2; d++) {
        conv->stride[d] = geometry[d];
        conv->padding[d] = geometry[2 + d];
        conv->dilation[d] = geometry[4 + d];
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
    conv->groups = geometry[6];
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

/* Kernel and groups against out_channels and channels; fills in the size of the output. */
static int check_sizes(const char *op, mg_conv *conv) {
    const int64_t kernel[2] = {conv->kernel_height, conv->kernel_width};
    const int64_t size[2] = {conv->height, conv->width};
    int64_t out[2], padded[2], span[2];
    if (kernel[0] < 1 || kernel[1] < 1)
        return mg_fail(MG_RUNTIME_ERROR,
                       "%s: kernel size should be greater than zero, but got kernel_height: %lld "
                       "kernel_width: %lld",
                       op, (long long)kernel[0], (long long)kernel[1]);
    if (conv->out_channels % conv->groups || conv->out_channels < conv->groups)
        return mg_fail(
            MG_RUNTIME_ERROR,
            "%s: Given groups=%lld, expected weight to be divisible by %lld at dimension "
            "0, but got %lld output channels",
            op, (long long)conv->groups, (long long)conv->groups, (long long)conv->out_channels);
    for (int d = 0; d < 2; d++) {
        padded[d] = size[d] + 2 * conv->padding[d];
        if (kernel[d] > 1 << 24 || size[d] < 0)
            return mg_fail(MG_RUNTIME_ERROR, "%s: a kernel of %lld on an input of %lld", op,
                           (long long)kernel[d], (long long)size[d]);
        span[d] = conv->dilation[d] * (kernel[d] - 1) + 1;
        out[d] = (padded[d] - span[d]) / conv->stride[d] + 1;
    }
    if (span[0] > padded[0] || span[1] > padded[1])
        return mg_fail(MG_RUNTIME_ERROR,
                       "%s: Calculated padded input size per channel: (%lld x %lld). Kernel size: "
                       "(%lld x %lld). Kernel size can't be greater than actual input size",
                       op, (long long)padded[0], (long long)padded[1], (long long)span[0],
                       (long long)span[1]);
    conv->out_height = out[0];
    conv->out_width = out[1];
    return 0;
}

static int check_4d(const char *op, const char *name, const mg_array *array) {
    if (array->ndim == 4) return 0;
    return mg_fail(MG_RUNTIME_ERROR, "%s: expected 4-dimensional %s, but got shape %s", op, name,
                   mg_shape_text(array));
}

static int check_output(const char *op, const mg_conv *conv, const mg_array *grad_output) {
    const int64_t expected[4] = {conv->batch, conv->out_channels, conv->out_height,
                                 conv->out_width};
    if (memcmp(grad_output->shape, expected, sizeof expected) == 0) return 0;
    return mg_fail(MG_RUNTIME_ERROR,
                   "%s: expected grad_output of shape [%lld, %lld, %lld, %lld] but got %s", op,
                   (long long)expected[0], (long long)expected[1], (long long)expected[2],
                   (long long)expected[3], mg_shape_text(grad_output));
}

/* ---- entries ---- */

/* Submits kernel(out; first, second, third) on contiguous operands; `third` may be NULL. */
static mg_array *submit(int kernel, const mg_conv *conv, const int64_t shape[4], mg_array *first,
                        mg_array *second, mg_array *third) {
    mg_array *arrays[] = {
        mg_empty(first->dtype, 4, shape),
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

mg_array *mg_conv2d(mg_array *input, mg_array *weight, mg_array *bias, const int64_t *geometry) {
    mg_conv conv;
    if (check_4d("conv2d", "input (batch, channels, height, width)", input) ||
        check_4d("conv2d", "weight (out_channels, channels / groups, height, width)", weight) ||
        check_floats("conv2d", input, weight) || check_geometry("conv2d", geometry, &conv))
        return NULL;
    conv.batch = input->shape[0];
    conv.channels = input->shape[1];
    conv.height = input->shape[2];
    conv.width = input->shape[3];
    conv.out_channels = weight->shape[0];
    conv.kernel_height = weight->shape[2];
    conv.kernel_width = weight->shape[3];
    if (conv.channels != weight->shape[1] * conv.groups) {
        mg_fail(MG_RUNTIME_ERROR,
                "conv2d: Given groups=%lld, weight of size %s, expected input %s to have %lld "
                "channels, but got %lld channels instead",
                (long long)conv.groups, mg_shape_text(weight), mg_shape_text(input),
                (long long)(weight->shape[1] * conv.groups), (long long)conv.channels);
        return NULL;
    }
    if (check_sizes("conv2d", &conv)) return NULL;
    if (bias && (bias->ndim != 1 || bias->shape[0] != conv.out_channels)) {
        mg_fail(MG_RUNTIME_ERROR,
                "conv2d: Given weight of size %s, expected bias to be 1-dimensional with %lld "
                "elements, but got bias of size %s instead",
                mg_shape_text(weight), (long long)conv.out_channels, mg_shape_text(bias));
        return NULL;
    }
    if (bias && check_floats("conv2d", bias, weight)) return NULL;
    const int64_t shape[4] = {conv.batch, conv.out_channels, conv.out_height, conv.out_width};
    return submit(MG_KERNEL_conv2d, &conv, shape, input, weight, bias);
}

mg_array *mg_conv2d_input(mg_array *grad_output, mg_array *weight, int64_t height, int64_t width,
                          const int64_t *geometry) {
    mg_conv conv;
    if (check_4d("conv2d_input", "grad_output", grad_output) ||
        check_4d("conv2d_input", "weight", weight) ||
        check_floats("conv2d_input", grad_output, weight) ||
        check_geometry("conv2d_input", geometry, &conv))
        return NULL;
    conv.batch = grad_output->shape[0];
    conv.channels = weight->shape[1] * conv.groups;
    conv.height = height;
    conv.width = width;
    conv.out_channels = weight->shape[0];
    conv.kernel_height = weight->shape[2];
    conv.kernel_width = weight->shape[3];
    if (check_sizes("conv2d_input", &conv) || check_output("conv2d_input", &conv, grad_output))
        return NULL;
    const int64_t shape[4] = {conv.batch, conv.channels, height, width};
    return submit(MG_KERNEL_conv2d_input, &conv, shape, grad_output, weight, NULL);
}

mg_array *mg_conv2d_weight(mg_array *input, mg_array *grad_output, int64_t kernel_height,
                           int64_t kernel_width, const int64_t *geometry) {
    mg_conv conv;
    if (check_4d("conv2d_weight", "input", input) ||
        check_4d("conv2d_weight", "grad_output", grad_output) ||
        check_floats("conv2d_weight", input, grad_output) ||
        check_geometry("conv2d_weight", geometry, &conv))
        return NULL;
    conv.batch = input->shape[0];
    conv.channels = input->shape[1];
    conv.height = input->shape[2];
    conv.width = input->shape[3];
    conv.out_channels = grad_output->shape[1];
    conv.kernel_height = kernel_height;
    conv.kernel_width = kernel_width;
    if (conv.channels % conv.groups) {
        mg_fail(MG_RUNTIME_ERROR,
                "conv2d_weight: groups=%lld does not divide the %lld channels of the input",
                (long long)conv.groups, (long long)conv.channels);
        return NULL;
    }
    if (check_sizes("conv2d_weight", &conv) || check_output("conv2d_weight", &conv, grad_output))
        return NULL;
    const int64_t shape[4] = {conv.out_channels, conv.channels / conv.groups, kernel_height,
                              kernel_width};
    return submit(MG_KERNEL_conv2d_weight, &conv, shape, input, grad_output, NULL);
}

/* ---- the passes with the batch in lanes ---- */

static int lanes_of(int dtype) { return mg_active_isa->gemm.of[INDEX(dtype)].lanes; }

static int64_t taps_of(const mg_conv *conv) {
    return conv->channels / conv->groups * conv->kernel_height * conv->kernel_width;
}

double mg_conv_nanoseconds(int dtype, const mg_conv *conv) {
    const double positions = (double)conv->batch * (double)(conv->out_height * conv->out_width);
    return positions * (double)(conv->out_channels * taps_of(conv)) / (lanes_of(dtype) * 5.0);
}

static int64_t padded_bytes(const mg_conv *conv) {
    return conv->channels * (conv->height + 2 * conv->padding[0]) *
           (conv->width + 2 * conv->padding[1]) * mg_active_isa->vector_bytes;
}

static int64_t plain_bytes(const mg_conv *conv) {
    return conv->out_channels * conv->out_height * conv->out_width * mg_active_isa->vector_bytes;
}

/* At least half of the lanes in use, copies of the images that deserve the name of a cache, and
 * enough of them for two threads where the pass takes long. */
static int fills_lanes(int dtype, const mg_conv *conv) {
    const double padded = (double)(conv->height + 2 * conv->padding[0]) *
                          (double)(conv->width + 2 * conv->padding[1]) * (double)conv->channels;
    const double plain =
        (double)conv->out_height * (double)conv->out_width * (double)conv->out_channels;
    const double most = (double)LANES_BYTES / mg_active_isa->vector_bytes;
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
    return mg_fail(MG_MEMORY_ERROR, "conv2d: out of memory for work buffers");
}

/* Where each weight of an output channel meets the padded images, in elements from the corner. */
static const int64_t *tap_offsets(int dtype, const mg_conv *conv) {
    const int64_t width = conv->width + 2 * conv->padding[1];
    const int64_t height = conv->height + 2 * conv->padding[0];
    int64_t *offsets = mg_scratch(MG_SCRATCH_WORK, (taps_of(conv) + 1) * (int64_t)sizeof *offsets);
    if (!offsets) return NULL;
    int64_t p = 0;
    for (int64_t c = 0; c < conv->channels / conv->groups; c++)
        for (int64_t i = 0; i < conv->kernel_height; i++)
            for (int64_t j = 0; j < conv->kernel_width; j++)
                offsets[p++] =
                    ((c * height + i * conv->dilation[0]) * width + j * conv->dilation[1]) *
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

int mg_run_conv2d(const mg_launch *launch) {
    const mg_array *out = launch->arrays[0], *input = launch->arrays[1];
    const mg_array *weight = launch->arrays[2], *bias = launch->arrays[3];
    const void *bias_data = bias ? bias->data : NULL;
    const int dtype = out->dtype;
    const int64_t size = mg_item_size(dtype);
    mg_conv conv;
    memcpy(&conv, launch->integers, sizeof conv);
    if (out->size == 0) return 0;
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

int mg_run_conv2d_input(const mg_launch *launch) {
    const mg_array *out = launch->arrays[0], *grad_output = launch->arrays[1];
    const mg_array *weight = launch->arrays[2];
    const int dtype = out->dtype;
    const int64_t size = mg_item_size(dtype);
    mg_conv conv;
    memcpy(&conv, launch->integers, sizeof conv);
    if (out->size == 0) return 0;
    if (!fills_lanes(dtype, &conv))
        return mg_conv_columns_input(dtype, &conv, grad_output->data, weight->data, out->data);
    pass work = {
        .images = {.conv = &conv,
                   .grad_output = grad_output->data,
                   .weight = weight->data,
                   .result = out->data},
        .dtype = dtype,
        .run = mg_active_isa->conv.of[INDEX(dtype)].input,
        .grad_output_image = conv.out_channels * conv.out_height * conv.out_width * size,
        .result_image = conv.channels * conv.height * conv.width * size,
    };
    return run_pass(&work);
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

int mg_run_conv2d_weight(const mg_launch *launch) {
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
