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

typedef struct mg_conv_loops {
    struct {
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
