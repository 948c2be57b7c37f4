/* Convolution over one to three dimensions: its geometry, and what an instruction set provides. */
#ifndef MG_CONV_H
#define MG_CONV_H

/* input (batch, channels, depth, height, width), weight (out_channels, channels / groups,
 * kernel_depth, kernel_height, kernel_width), output (batch, out_channels, out_depth, out_height,
 * out_width); triples are (depth, height, width). With fewer dimensions the first ones are 1. */
typedef struct mg_conv {
    int64_t batch, channels, depth, height, width;
    int64_t out_channels, kernel_depth, kernel_height, kernel_width;
    int64_t out_depth, out_height, out_width;
    int64_t stride[3], padding[3], dilation[3];
    int64_t groups;
} mg_conv;

/* A few flat images (at most one vector's lanes) side by side: kernels/conv.h works on copies in
 * which a vector holds the same element of each image. Contiguous memory; `padded` has room for
 * channels * (height + 2 padding) * (width + 2 padding) vectors, `plain` for
 * out_channels * out_height * out_width of them. */
typedef struct mg_conv_images {
    const mg_conv *conv;
    int64_t count;
    const int64_t *offsets; /* of each weight of one output channel's group, in `padded` */
    const void *input;      /* the first image; of forward and weight */
    const void *weight, *bias;
    const void *grad_output; /* the first image; of input and weight */
    void *result;            /* the first image's output or grad_input, or grad_weight (added to) */
    void *padded, *plain;
} mg_conv_images;

/* One group of one image, with strides of 1 in its planes, directly: a vector holds neighbouring
 * outputs of a row. `padded` is a copy of the input with its padding and `slack` elements behind;
 * what stands in these does not matter. `work` has room for a band of the output. */
typedef struct mg_conv_group {
    const mg_conv *conv;
    const int64_t *offsets; /* of each weight of an output channel, in `padded` */
    const void *padded, *weight, *bias;
    void *output, *work;
    int64_t band; /* output rows that are worked on together */
} mg_conv_group;

/* Positions of a band of the output among those of the padded input, whole vectors. */
int64_t mg_conv_band_positions(const mg_conv *conv, int64_t band, int64_t lanes);

typedef struct mg_conv_loops {
    struct {
        void (*direct)(const mg_conv_group *group);
        void (*forward)(const mg_conv_images *images);
        void (*input)(const mg_conv_images *images);
        void (*weight)(const mg_conv_images *images);
    } of[2]; /* float32, float64 */
} mg_conv_loops;

/* Batches too small to fill vectors, and images with depth: conv_columns.c, by matrix products with
 * copies of the patches. The results are written in full. 0, or -1 with the error set. */
int mg_conv_columns_forward(int dtype, const mg_conv *conv, const void *input, const void *weight,
                            const void *bias, void *output);
int mg_conv_columns_input(int dtype, const mg_conv *conv, const void *grad_output,
                          const void *weight, void *grad_input);
int mg_conv_columns_weight(int dtype, const mg_conv *conv, const void *input,
                           const void *grad_output, void *grad_weight);

/* The columns themselves: (batch * channels, kernel, positions) and the planes they come from. */
void mg_conv_unfold(int dtype, const mg_conv *conv, const void *input, void *columns);
void mg_conv_fold(int dtype, const mg_conv *conv, const void *columns, void *output);

/* Small batches with strides of 1 in the planes, without copies of the patches. */
int mg_conv_is_direct(int dtype, const mg_conv *conv);
int mg_conv_direct_forward(int dtype, const mg_conv *conv, const void *input, const void *weight,
                           const void *bias, void *output);

/* The gradient of the input where it is such a convolution itself: strides of 1 throughout. */
int mg_conv_is_direct_input(int dtype, const mg_conv *conv);
int mg_conv_direct_input(int dtype, const mg_conv *conv, const void *grad_output,
                         const void *weight, void *grad_input);

/* An estimate of the time of one pass on one thread. */
double mg_conv_nanoseconds(int dtype, const mg_conv *conv);
/* Runs `body` over [0, count) in at most 16 fixed pieces, each adding to a grad_weight of its
 * own (zeros at first), and adds those up in order: the sum does not depend on the number of
 * threads. */
typedef struct mg_conv_sum {
    const void *context;
    int64_t piece;
    char *sums;
    int64_t bytes; /* of grad_weight */
    int failed;
} mg_conv_sum;
int mg_conv_sum_pieces(int dtype, int64_t elements, int64_t count, double nanoseconds, mg_body body,
                       const void *context, void *grad_weight);

#endif
