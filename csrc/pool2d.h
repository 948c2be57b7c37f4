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

/* Windows of any size and place over volumes of three dimensions; see window_max.c. Of each axis
 * `windows` holds (first element, elements, step) for each output, at `windows + plane * pitch`. */
typedef struct mg_windows {
    int64_t size[3], out_size[3];
    const int64_t *windows[3];
    int64_t pitch[3]; /* from plane to plane; 0: all have the same */
} mg_windows;

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
    /* Output rows [begin, end), counted over all planes and their depths. `columns` is room for the
     * largest element of each column and its index: `size[2]` elements and as many integers of the
     * same width, each part 64 bytes more. */
    void (*window_max[MG_DTYPE_COUNT])(const mg_windows *windows, int64_t begin, int64_t end,
                                       const void *input, void *values, int64_t *indices,
                                       void *columns);
    /* One plane; 0, or -1 where an index (noted in *wrong) lies outside of the plane of `size`. */
    int (*gather[MG_DTYPE_COUNT])(int64_t count, const int64_t *indices, int64_t size,
                                  const void *plane, void *values, int64_t *wrong);
    /* Of values with one index they are added, or with `replace` the last stays. */
    int (*scatter[MG_DTYPE_COUNT])(int64_t count, const int64_t *indices, int64_t size,
                                   const void *values, void *plane, int replace, int64_t *wrong);
} mg_pool2d_loops;

#endif
