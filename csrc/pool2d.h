/* The pooling loops that an instruction set provides, for float32 and float64. */
#ifndef MG_POOL2D_H
#define MG_POOL2D_H

/* A pool over planes of height x width; pairs count (vertical, horizontal). */
typedef struct mg_pool2d {
    int64_t planes, height, width, out_height, out_width;
    int64_t kernel[2], stride[2], padding[2], dilation[2];
    int count_include_pad;
    int64_t divisor; /* 0: the size of the window */
} mg_pool2d;

typedef struct mg_pool2d_loops {
    /* Output rows [begin, end), counted over all planes; the pointers are those of the whole
     * arrays. */
    void (*max[MG_DTYPE_COUNT])(const mg_pool2d *pool, int64_t begin, int64_t end,
                                const void *input, void *values, int64_t *indices);
    void (*average[MG_DTYPE_COUNT])(const mg_pool2d *pool, int64_t begin, int64_t end,
                                    const void *input, void *out);
    /* One plane; grad_input holds zeros. */
    void (*average_backward[MG_DTYPE_COUNT])(const mg_pool2d *pool, const void *grad_output,
                                             void *grad_input);
    /* One plane; 0, or -1 where an index (noted in *wrong) lies outside of the plane of `size`. */
    int (*gather[MG_DTYPE_COUNT])(int64_t count, const int64_t *indices, int64_t size,
                                  const void *plane, void *values, int64_t *wrong);
    int (*scatter[MG_DTYPE_COUNT])(int64_t count, const int64_t *indices, int64_t size,
                                   const void *values, void *plane, int64_t *wrong);
} mg_pool2d_loops;

#endif
