/* Convolution of small batches, one group of one image at a time and directly: strides of 1 in the
 * planes leave neighbouring outputs neighbours in the input, so that a vector of them needs no copy
 * of the patches (kernels/conv.h). The images are copied once, with their padding. */
#include "core.h"

#define INDEX(dtype) ((dtype) == MG_FLOAT64)
/* The copy of one group, and the outputs of a band, should stay in the second and the first level
 * of cache. */
#define GROUP_BYTES (1 << 20)
#define BAND_BYTES (1 << 15)

typedef struct direct_pass {
    const mg_conv *conv;
    int dtype;
    int64_t size, band;
    int64_t channels, outputs, taps; /* of one group */
    const int64_t *offsets;
    const char *input, *weight, *bias;
    char *output;
    int failed;
} direct_pass;

static int lanes_of(int dtype) { return mg_active_isa->gemm.of[INDEX(dtype)].lanes; }

static int64_t padded_size(const mg_conv *conv, int d) {
    const int64_t size[3] = {conv->depth, conv->height, conv->width};
    return size[d] + 2 * conv->padding[d];
}

static int64_t padded_volume(const mg_conv *conv) {
    return padded_size(conv, 0) * padded_size(conv, 1) * padded_size(conv, 2);
}

int64_t mg_conv_band_positions(const mg_conv *conv, int64_t band, int64_t lanes) {
    const int64_t positions = (band - 1) * padded_size(conv, 2) + conv->out_width;
    return (positions + 2 * lanes - 1) / (2 * lanes) * 2 * lanes;
}

static int64_t band_of(int dtype, const mg_conv *conv) {
    const int64_t row = conv->out_channels / conv->groups * padded_size(conv, 2);
    const int64_t band = BAND_BYTES / (row * mg_item_size(dtype) + 1);
    return band < 1 ? 1 : band < conv->out_height ? band : conv->out_height;
}

int mg_conv_is_direct(int dtype, const mg_conv *conv) {
    if (conv->stride[1] != 1 || conv->stride[2] != 1) return 0;
    if (conv->batch * conv->groups < 2) return 0; /* bands of columns give threads more to do */
    const int64_t kernel = conv->kernel_depth * conv->kernel_height * conv->kernel_width;
    const int64_t channels = conv->channels / conv->groups;
    if (kernel == 1 && conv->groups == 1) return 0; /* a matrix product as it is */
    const double bytes = (double)channels * (double)padded_volume(conv) * mg_item_size(dtype);
    const int64_t band = band_of(dtype, conv);
    const double useful = (double)(band * conv->out_width) /
                          (double)mg_conv_band_positions(conv, band, lanes_of(dtype));
    return bytes <= GROUP_BYTES && useful > 0.5;
}

/* The planes of one group with their padding. */
static void copy_padded(const direct_pass *pass, const char *input, char *padded) {
    const mg_conv *conv = pass->conv;
    const int64_t row = conv->width * pass->size, pitch = padded_size(conv, 2) * pass->size;
    const int64_t plane = padded_size(conv, 1) * pitch;
    const int plain = !conv->padding[0] && !conv->padding[1] && !conv->padding[2];
    const int64_t bytes = pass->channels * padded_volume(conv) * pass->size;
    if (plain) {
        memcpy(padded, input, (size_t)bytes);
        return;
    }
    memset(padded, 0, (size_t)bytes);
    padded += conv->padding[0] * plane + conv->padding[1] * pitch + conv->padding[2] * pass->size;
    for (int64_t c = 0; c < pass->channels; c++, padded += 2 * conv->padding[0] * plane)
        for (int64_t z = 0; z < conv->depth; z++, padded += plane)
            for (int64_t y = 0; y < conv->height; y++, input += row)
                memcpy(padded + y * pitch, input, (size_t)row);
}

static void run_groups(void *context, int64_t begin, int64_t end) {
    direct_pass *pass = context;
    const mg_conv *conv = pass->conv;
    const int64_t volume = conv->depth * conv->height * conv->width;
    const int64_t out_volume = conv->out_depth * conv->out_height * conv->out_width;
    /* The last vectors of the last band read on behind the last row. */
    const int64_t slack = 4 * lanes_of(pass->dtype) + padded_size(conv, 2);
    const int64_t bytes = (pass->channels * padded_volume(conv) + slack) * pass->size;
    const int64_t band = mg_conv_band_positions(conv, pass->band, lanes_of(pass->dtype));
    char *padded = mg_scratch(MG_SCRATCH_PACK_A, bytes);
    char *work = mg_scratch(MG_SCRATCH_PACK_B, pass->outputs * band * pass->size);
    if (!padded || !work) {
        __atomic_store_n(&pass->failed, 1, __ATOMIC_RELAXED);
        return;
    }
    memset(padded + bytes - slack * pass->size, 0, (size_t)(slack * pass->size));
    for (int64_t index = begin; index < end; index++) {
        const int64_t image = index / conv->groups, group = index % conv->groups;
        const int64_t first = group * pass->outputs;
        copy_padded(pass,
                    pass->input +
                        (image * conv->channels + group * pass->channels) * volume * pass->size,
                    padded);
        const mg_conv_group job = {
            .conv = conv,
            .offsets = pass->offsets,
            .padded = padded,
            .weight = pass->weight + first * pass->taps * pass->size,
            .bias = pass->bias ? pass->bias + first * pass->size : NULL,
            .output = pass->output + (image * conv->out_channels + first) * out_volume * pass->size,
            .work = work,
            .band = pass->band,
        };
        mg_active_isa->conv.of[INDEX(pass->dtype)].direct(&job);
    }
}

/* Where each weight of an output channel meets the padded planes. */
static void fill_offsets(const mg_conv *conv, int64_t channels, int64_t *offsets) {
    const int64_t width = padded_size(conv, 2), plane = padded_size(conv, 1) * width;
    for (int64_t c = 0; c < channels; c++)
        for (int64_t h = 0; h < conv->kernel_depth; h++)
            for (int64_t i = 0; i < conv->kernel_height; i++)
                for (int64_t j = 0; j < conv->kernel_width; j++)
                    *offsets++ = c * padded_volume(conv) + h * conv->dilation[0] * plane +
                                 i * conv->dilation[1] * width + j * conv->dilation[2];
}

int mg_conv_direct_forward(int dtype, const mg_conv *conv, const void *input, const void *weight,
                           const void *bias, void *output) {
    direct_pass pass = {.conv = conv,
                        .dtype = dtype,
                        .size = mg_item_size(dtype),
                        .band = band_of(dtype, conv),
                        .channels = conv->channels / conv->groups,
                        .outputs = conv->out_channels / conv->groups,
                        .input = input,
                        .weight = weight,
                        .bias = bias,
                        .output = output};
    pass.taps = pass.channels * conv->kernel_depth * conv->kernel_height * conv->kernel_width;
    mg_storage *storage = mg_storage_new((pass.taps + 1) * (int64_t)sizeof(int64_t));
    if (!storage) return -1;
    fill_offsets(conv, pass.channels, (int64_t *)storage->data);
    pass.offsets = (const int64_t *)storage->data;
    mg_parallel_for(conv->batch * conv->groups, 1, mg_conv_nanoseconds(dtype, conv), run_groups,
                    &pass);
    mg_storage_release(storage);
    return pass.failed ? mg_fail(MG_MEMORY_ERROR, "convolution: out of memory for work buffers")
                       : 0;
}

/* ---- gradient of the input: the convolution of grad_output with the kernel turned around ---- */

static mg_conv turned(const mg_conv *conv) {
    const int64_t kernel[3] = {conv->kernel_depth, conv->kernel_height, conv->kernel_width};
    mg_conv back = *conv;
    back.channels = conv->out_channels;
    back.out_channels = conv->channels;
    back.depth = conv->out_depth;
    back.height = conv->out_height;
    back.width = conv->out_width;
    back.out_depth = conv->depth;
    back.out_height = conv->height;
    back.out_width = conv->width;
    for (int d = 0; d < 3; d++)
        back.padding[d] = conv->dilation[d] * (kernel[d] - 1) - conv->padding[d];
    return back;
}

int mg_conv_is_direct_input(int dtype, const mg_conv *conv) {
    const mg_conv back = turned(conv);
    for (int d = 0; d < 3; d++)
        if (conv->stride[d] != 1 || back.padding[d] < 0) return 0;
    return mg_conv_is_direct(dtype, &back);
}

/* weight (groups, outputs, channels, kernel) -> (groups, channels, outputs, kernel reversed) */
static void turn_weights(const mg_conv *conv, int64_t size, const char *weight, char *out) {
    const int64_t outputs = conv->out_channels / conv->groups;
    const int64_t channels = conv->channels / conv->groups;
    const int64_t kernel = conv->kernel_depth * conv->kernel_height * conv->kernel_width;
    for (int64_t g = 0; g < conv->groups; g++)
        for (int64_t o = 0; o < outputs; o++)
            for (int64_t c = 0; c < channels; c++, weight += kernel * size) {
                char *to = out + ((g * channels + c) * outputs + o) * kernel * size;
                for (int64_t k = 0; k < kernel; k++)
                    memcpy(to + k * size, weight + (kernel - 1 - k) * size, (size_t)size);
            }
}

int mg_conv_direct_input(int dtype, const mg_conv *conv, const void *grad_output,
                         const void *weight, void *grad_input) {
    const mg_conv back = turned(conv);
    const int64_t kernel = conv->kernel_depth * conv->kernel_height * conv->kernel_width;
    const int64_t count = conv->out_channels * (conv->channels / conv->groups) * kernel;
    mg_storage *storage = mg_storage_new(count * mg_item_size(dtype));
    if (!storage) return -1;
    turn_weights(conv, mg_item_size(dtype), weight, storage->data);
    const int failed =
        mg_conv_direct_forward(dtype, &back, grad_output, storage->data, NULL, grad_input);
    mg_storage_release(storage);
    return failed;
}
