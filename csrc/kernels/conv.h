/* Convolution of a few images at a time, with the batch in the lanes: images are copied so that
 * a vector holds the same element of each image (CHWN order, as in cuda-convnet). Every access
 * is then a whole aligned vector whatever the width, stride or dilation, nothing is gathered (no
 * im2col), and the loops are those of the matrix product with rows found through a table of
 * offsets:
 *   forward  out[o][y, x] = sum_p weight[o][p] padded[offset[p] + (y, x)]           (B gathered)
 *   input    padded[offset[p] + (y, x)] += sum_o weight[o][p] grad_output[o][y, x]  (C scattered)
 *   weight   grad[o][p] = sum over images, y, x of grad_output[o][y, x] padded[offset[p] + (y, x)]
 * where p runs over (channel of the group, kernel row, kernel column). */

/* Where the positions of one plane (one channel) stand among lanes. */
#ifndef MG_CONV_PLANE
#define MG_CONV_PLANE
typedef struct conv_plane {
    int64_t width; /* positions of a row */
    int64_t pitch; /* positions from a row to the next */
} conv_plane;
#endif

/* Rows of `rows` become positions from `column` on, over the ends of rows of the plane; returns the
 * column after the last one and moves `lanes` to its row. Apart from the plain case below, since an
 * array with a variable index cannot live in registers. */
static int64_t NAME(conv_put_positions)(const V *rows, int64_t width, conv_plane plane,
                                        int64_t column, T **lanes) {
    for (int64_t i = 0; i < width; i++, column++) {
        if (column == plane.width) {
            column = 0;
            *lanes += plane.pitch * MG_LANES;
        }
        NAME(store)(*lanes + column * MG_LANES, rows[i]);
    }
    return column;
}

static int64_t NAME(conv_get_positions)(V *rows, int64_t width, conv_plane plane, int64_t column,
                                        const T **lanes) {
    for (int64_t i = 0; i < MG_LANES; i++) {
        rows[i] = (V){0};
        if (i >= width) continue;
        if (column == plane.width) {
            column = 0;
            *lanes += plane.pitch * MG_LANES;
        }
        rows[i] = NAME(load)(*lanes + column++ * MG_LANES);
    }
    return column;
}

/* Positions [0, size) of the same plane of `count` images -> lanes. */
static void NAME(conv_spread_plane)(const T *images, int64_t image, int64_t count, int64_t size,
                                    conv_plane plane, T *lanes) {
    int64_t column = 0;
    for (int64_t at = 0; at < size; at += MG_LANES) {
        const int64_t width = size - at < MG_LANES ? size - at : MG_LANES;
        V rows[MG_LANES];
        MG_UNROLL
        for (int i = 0; i < MG_LANES; i++) {
            const T *source = images + i * image + at;
            rows[i] = i >= count          ? (V){0}
                      : width == MG_LANES ? NAME(load)(source)
                                          : NAME(load_part)(source, width, 0);
        }
        NAME(transpose)(rows);
        if (width == MG_LANES && column + MG_LANES <= plane.width) {
            MG_UNROLL
            for (int i = 0; i < MG_LANES; i++)
                NAME(store)(lanes + (column + i) * MG_LANES, rows[i]);
            column += MG_LANES;
        } else {
            V aside[MG_LANES];
            memcpy(aside, rows, sizeof aside);
            column = NAME(conv_put_positions)(aside, width, plane, column, &lanes);
        }
    }
}

/* Lanes -> positions [0, size) of the same plane of `count` images. */
static void NAME(conv_collect_plane)(const T *lanes, conv_plane plane, int64_t size, T *images,
                                     int64_t image, int64_t count) {
    int64_t column = 0;
    for (int64_t at = 0; at < size; at += MG_LANES) {
        const int64_t width = size - at < MG_LANES ? size - at : MG_LANES;
        V rows[MG_LANES];
        if (width == MG_LANES && column + MG_LANES <= plane.width) {
            MG_UNROLL
            for (int i = 0; i < MG_LANES; i++)
                rows[i] = NAME(load)(lanes + (column + i) * MG_LANES);
            column += MG_LANES;
        } else {
            V aside[MG_LANES];
            column = NAME(conv_get_positions)(aside, width, plane, column, &lanes);
            memcpy(rows, aside, sizeof rows);
        }
        NAME(transpose)(rows);
        MG_UNROLL
        for (int i = 0; i < MG_LANES; i++) {
            T *destination = images + i * image + at;
            if (i >= count) break;
            if (width == MG_LANES)
                NAME(store)(destination, rows[i]);
            else
                NAME(store_part)(destination, rows[i], width);
        }
    }
}

/* Sizes in elements of lanes (MG_LANES times positions). */
#define PADDED_WIDTH(conv) ((conv)->width + 2 * (conv)->padding[2])
#define PADDED_PLANE(conv)                                                                         \
    (((conv)->height + 2 * (conv)->padding[1]) * PADDED_WIDTH(conv) * MG_LANES)
#define PLAIN_PLANE(conv) ((conv)->out_height * (conv)->out_width * MG_LANES)

static void NAME(conv_spread_input)(const mg_conv_images *images) {
    const mg_conv *conv = images->conv;
    const int64_t size = conv->height * conv->width, plane = PADDED_PLANE(conv);
    const conv_plane inner = {conv->width, PADDED_WIDTH(conv)};
    T *lanes = images->padded;
    if (conv->padding[1] || conv->padding[2])
        memset(lanes, 0, (size_t)(conv->channels * plane) * sizeof(T));
    lanes += (conv->padding[1] * inner.pitch + conv->padding[2]) * MG_LANES;
    for (int64_t c = 0; c < conv->channels; c++)
        NAME(conv_spread_plane)((const T *)images->input + c * size, conv->channels * size,
                                images->count, size, inner, lanes + c * plane);
}

static void NAME(conv_spread_output)(const mg_conv_images *images) {
    const mg_conv *conv = images->conv;
    const int64_t size = conv->out_height * conv->out_width;
    const conv_plane whole = {size, size};
    for (int64_t c = 0; c < conv->out_channels; c++)
        NAME(conv_spread_plane)((const T *)images->grad_output + c * size,
                                conv->out_channels * size, images->count, size, whole,
                                (T *)images->plain + c * size * MG_LANES);
}

static void NAME(conv_run_tile)(const enum gemm_rows kind, int rows, int vectors,
                                const gemm_tile *tile) {
    if (kind == ROWS_GATHER_B) {
        if (vectors == 2)
            NAME(gemm_rows)(ROWS_GATHER_B, rows, 2, tile);
        else
            NAME(gemm_rows)(ROWS_GATHER_B, rows, 1, tile);
    } else {
        if (vectors == 2)
            NAME(gemm_rows)(ROWS_SCATTER_C, rows, 2, tile);
        else
            NAME(gemm_rows)(ROWS_SCATTER_C, rows, 1, tile);
    }
}

/* Weights of one output channel. */
static int64_t NAME(conv_taps)(const mg_conv *conv) {
    return conv->channels / conv->groups * conv->kernel_height * conv->kernel_width;
}

/* Row y of the output, all channels of one group, written `row` lanes into each channel's part of
 * `lanes` (parts are `part` apart). */
static void NAME(conv_forward_row)(const mg_conv_images *images, int64_t group, int64_t y, T *lanes,
                                   int64_t part) {
    const mg_conv *conv = images->conv;
    const int64_t taps = NAME(conv_taps)(conv), outputs = conv->out_channels / conv->groups;
    const int64_t tiles = (outputs + MG_ROWS - 1) / MG_ROWS;
    const T *source = (const T *)images->padded +
                      group * (conv->channels / conv->groups) * PADDED_PLANE(conv) +
                      y * conv->stride[1] * PADDED_WIDTH(conv) * MG_LANES;
    for (int64_t x = 0; x < conv->out_width; x += 2) {
        int64_t o = group * outputs;
        for (int64_t t = 0; t < tiles; t++) {
            const int rows = (int)(outputs / tiles + (t < outputs % tiles));
            const gemm_tile tile = {
                .k = taps,
                .a = (const T *)images->weight + o * taps,
                .a_row = taps,
                .a_k = 1,
                .b = source + x * conv->stride[2] * MG_LANES,
                .b_second = conv->stride[2] * MG_LANES,
                .bias = images->bias ? (const T *)images->bias + o : NULL,
                .c = lanes + o * part + x * MG_LANES,
                .c_row = part,
                .c_second = MG_LANES,
                .offsets = images->offsets,
                .start = images->bias ? START_ROW_BIAS : START_ZERO,
            };
            NAME(conv_run_tile)(ROWS_GATHER_B, rows, x + 1 < conv->out_width ? 2 : 1, &tile);
            o += rows;
        }
    }
}

static void NAME(conv_forward)(const mg_conv_images *images) {
    const mg_conv *conv = images->conv;
    const int64_t size = conv->out_height * conv->out_width;
    NAME(conv_spread_input)(images);
    /* Bands of output rows, so that lanes go back to images while they are in cache. */
    const int64_t row_bytes = conv->out_channels * conv->out_width * MG_VECTOR_BYTES;
    int64_t band = 1 + 65536 / row_bytes;
    if (band > conv->out_height) band = conv->out_height;
    for (int64_t y = 0; y < conv->out_height; y += band) {
        const int64_t rows = conv->out_height - y < band ? conv->out_height - y : band;
        const int64_t positions = rows * conv->out_width;
        T *lanes = images->plain;
        for (int64_t r = 0; r < rows; r++)
            for (int64_t group = 0; group < conv->groups; group++)
                NAME(conv_forward_row)(images, group, y + r, lanes + r * conv->out_width * MG_LANES,
                                       positions * MG_LANES);
        const conv_plane whole = {positions, positions};
        for (int64_t o = 0; o < conv->out_channels; o++)
            NAME(conv_collect_plane)(lanes + o * positions * MG_LANES, whole, positions,
                                     (T *)images->result + o * size + y * conv->out_width,
                                     conv->out_channels * size, images->count);
    }
}

/* Adds what row y of grad_output gives to the padded gradient of the input, for one group. */
static void NAME(conv_input_row)(const mg_conv_images *images, int64_t group, int64_t y) {
    const mg_conv *conv = images->conv;
    const int64_t taps = NAME(conv_taps)(conv), outputs = conv->out_channels / conv->groups;
    const int64_t tiles = (taps + MG_ROWS - 1) / MG_ROWS, plane = PLAIN_PLANE(conv);
    const T *source =
        (const T *)images->plain + group * outputs * plane + y * conv->out_width * MG_LANES;
    T *padded = (T *)images->padded + group * (conv->channels / conv->groups) * PADDED_PLANE(conv) +
                y * conv->stride[1] * PADDED_WIDTH(conv) * MG_LANES;
    for (int64_t x = 0; x < conv->out_width; x += 2) {
        int64_t p = 0;
        for (int64_t t = 0; t < tiles; t++) {
            const int rows = (int)(taps / tiles + (t < taps % tiles));
            const gemm_tile tile = {
                .k = outputs,
                .a = (const T *)images->weight + group * outputs * taps + p,
                .a_row = 1,
                .a_k = taps,
                .b = source + x * MG_LANES,
                .b_k = plane,
                .b_second = MG_LANES,
                .c = padded + x * conv->stride[2] * MG_LANES,
                .c_second = conv->stride[2] * MG_LANES,
                .offsets = images->offsets + p,
                .start = START_ZERO,
            };
            NAME(conv_run_tile)(ROWS_SCATTER_C, rows, x + 1 < conv->out_width ? 2 : 1, &tile);
            p += rows;
        }
    }
}

static void NAME(conv_input)(const mg_conv_images *images) {
    const mg_conv *conv = images->conv;
    const int64_t size = conv->height * conv->width, plane = PADDED_PLANE(conv);
    NAME(conv_spread_output)(images);
    memset(images->padded, 0, (size_t)(conv->channels * plane) * sizeof(T));
    for (int64_t y = 0; y < conv->out_height; y++)
        for (int64_t group = 0; group < conv->groups; group++)
            NAME(conv_input_row)(images, group, y);
    const conv_plane inner = {conv->width, PADDED_WIDTH(conv)};
    const T *lanes =
        (const T *)images->padded + (conv->padding[1] * inner.pitch + conv->padding[2]) * MG_LANES;
    for (int64_t c = 0; c < conv->channels; c++)
        NAME(conv_collect_plane)(lanes + c * plane, inner, size, (T *)images->result + c * size,
                                 conv->channels * size, images->count);
}

/* ---- gradient of the weight: sums over positions and images, apart by lane to the end ---- */

/* Keeps a vector in its register: gcc would rather load it again at each use, and the two loads
 * that a processor does in a cycle are what this loop waits for. */
#ifndef MG_IN_REGISTER
#if defined(__x86_64__)
#define MG_IN_REGISTER(vector) __asm__("" : "+v"(vector))
#else
#define MG_IN_REGISTER(vector) (void)(vector)
#endif
#endif

/* Output channels and taps of a register tile: 4 x 6 sums of 32 vector registers, 3 x 3 of 16. */
#if MG_ROWS > 6
#define MG_WEIGHT_ROWS 4
#define MG_WEIGHT_TAPS 6
#else
#define MG_WEIGHT_ROWS 3
#define MG_WEIGHT_TAPS 3
#endif

/* The sums of all lanes of `count` <= MG_LANES vectors are added to destination[0 .. count). */
INLINE void NAME(conv_add_sums)(const V *sums, int count, T *destination) {
    V rows[MG_LANES];
    MG_UNROLL
    for (int i = 0; i < MG_LANES; i++) rows[i] = i < count ? sums[i] : (V){0};
    const V total = NAME(sum_lanes)(rows);
    for (int i = 0; i < count; i++) destination[i] += total[i];
}

/* rows and taps are literals. */
INLINE void NAME(conv_weight_tile)(const int rows, const int taps, const mg_conv *conv,
                                   const T *grad_output, const T *padded, const int64_t *offsets,
                                   T *grad_weight, int64_t grad_weight_row) {
    V sum[MG_WEIGHT_ROWS][MG_WEIGHT_TAPS];
    const T *tap[MG_WEIGHT_TAPS];
    MG_UNROLL
    for (int i = 0; i < rows; i++) {
        MG_UNROLL
        for (int j = 0; j < taps; j++) sum[i][j] = (V){0};
    }
    const int64_t plane = PLAIN_PLANE(conv), step = conv->stride[2] * MG_LANES;
    const int64_t next_row =
        conv->stride[1] * PADDED_WIDTH(conv) * MG_LANES - conv->out_width * step;
    MG_UNROLL
    for (int j = 0; j < taps; j++) tap[j] = padded + offsets[j];
    for (int64_t y = 0; y < conv->out_height; y++) {
        for (int64_t x = 0; x < conv->out_width; x++) {
            V value[MG_WEIGHT_TAPS];
            MG_UNROLL
            for (int j = 0; j < taps; j++) {
                value[j] = NAME(load)(tap[j]);
                MG_IN_REGISTER(value[j]);
                tap[j] += step;
            }
            MG_UNROLL
            for (int i = 0; i < rows; i++) {
                const V grad = NAME(load)(grad_output + i * plane);
                MG_UNROLL
                for (int j = 0; j < taps; j++) sum[i][j] += grad * value[j];
            }
            grad_output += MG_LANES;
        }
        MG_UNROLL
        for (int j = 0; j < taps; j++) tap[j] += next_row;
    }
    MG_UNROLL
    for (int i = 0; i < rows; i++) {
        T *row = grad_weight + i * grad_weight_row;
        MG_UNROLL
        for (int j = 0; j < taps; j += MG_LANES)
            NAME(conv_add_sums)(sum[i] + j, taps - j < MG_LANES ? taps - j : MG_LANES, row + j);
    }
}

#define MG_CASE(taps)                                                                              \
    case taps:                                                                                     \
        NAME(conv_weight_tile)(rows, taps, conv, grad_output, padded, offsets, grad_weight, row);  \
        break;

INLINE void NAME(conv_weight_taps)(const int rows, int taps, const mg_conv *conv,
                                   const T *grad_output, const T *padded, const int64_t *offsets,
                                   T *grad_weight, int64_t row) {
    switch (taps) {
        MG_CASE(1)
        MG_CASE(2)
        MG_CASE(3)
#if MG_WEIGHT_TAPS > 3
        MG_CASE(4)
        MG_CASE(5)
        MG_CASE(6)
#endif
    }
}
#undef MG_CASE

static void NAME(conv_weight_run_tile)(int rows, int taps, const mg_conv *conv,
                                       const T *grad_output, const T *padded,
                                       const int64_t *offsets, T *grad_weight, int64_t row) {
    switch (rows) {
    case 1:
        NAME(conv_weight_taps)(1, taps, conv, grad_output, padded, offsets, grad_weight, row);
        break;
    case 2:
        NAME(conv_weight_taps)(2, taps, conv, grad_output, padded, offsets, grad_weight, row);
        break;
    case 3:
        NAME(conv_weight_taps)(3, taps, conv, grad_output, padded, offsets, grad_weight, row);
        break;
#if MG_WEIGHT_ROWS > 3
    case 4:
        NAME(conv_weight_taps)(4, taps, conv, grad_output, padded, offsets, grad_weight, row);
        break;
#endif
    }
}

static void NAME(conv_weight)(const mg_conv_images *images) {
    const mg_conv *conv = images->conv;
    const int64_t taps = NAME(conv_taps)(conv), outputs = conv->out_channels / conv->groups;
    const int64_t row_tiles = (outputs + MG_WEIGHT_ROWS - 1) / MG_WEIGHT_ROWS;
    const int64_t tap_tiles = (taps + MG_WEIGHT_TAPS - 1) / MG_WEIGHT_TAPS;
    NAME(conv_spread_input)(images);
    NAME(conv_spread_output)(images);
    for (int64_t group = 0; group < conv->groups; group++) {
        const T *padded = (const T *)images->padded +
                          group * (conv->channels / conv->groups) * PADDED_PLANE(conv);
        int64_t o = group * outputs;
        for (int64_t t = 0; t < row_tiles; t++) {
            const int rows = (int)(outputs / row_tiles + (t < outputs % row_tiles));
            int64_t p = 0;
            for (int64_t u = 0; u < tap_tiles; u++) {
                const int columns = (int)(taps / tap_tiles + (u < taps % tap_tiles));
                NAME(conv_weight_run_tile)(rows, columns, conv,
                                           (const T *)images->plain + o * PLAIN_PLANE(conv), padded,
                                           images->offsets + p, (T *)images->result + o * taps + p,
                                           taps);
                p += columns;
            }
            o += rows;
        }
    }
}

/* ---- directly: vectors along the rows of one image ---- */

/* Positions [0, count), a multiple of two vectors, of all outputs of the group: the sums run on
 * over the ends of rows, where they give nothing that is used. */
static void NAME(conv_direct_band)(const mg_conv_group *group, const T *padded, int64_t count) {
    const mg_conv *conv = group->conv;
    const int64_t outputs = conv->out_channels / conv->groups;
    const int64_t taps = NAME(conv_taps)(conv) * conv->kernel_depth;
    const int64_t tiles = (outputs + MG_ROWS - 1) / MG_ROWS;
    for (int64_t x = 0; x < count; x += 2 * MG_LANES) {
        int64_t o = 0;
        for (int64_t t = 0; t < tiles; t++) {
            const int rows = (int)(outputs / tiles + (t < outputs % tiles));
            const gemm_tile tile = {
                .k = taps,
                .a = (const T *)group->weight + o * taps,
                .a_row = taps,
                .a_k = 1,
                .b = padded + x,
                .b_second = MG_LANES,
                .bias = group->bias ? (const T *)group->bias + o : NULL,
                .c = (T *)group->work + o * count + x,
                .c_row = count,
                .c_second = MG_LANES,
                .offsets = group->offsets,
                .start = group->bias ? START_ROW_BIAS : START_ZERO,
            };
            NAME(conv_run_tile)(ROWS_GATHER_B, rows, 2, &tile);
            o += rows;
        }
    }
}

static void NAME(conv_direct)(const mg_conv_group *group) {
    const mg_conv *conv = group->conv;
    const int64_t width = PADDED_WIDTH(conv), out_width = conv->out_width;
    const int64_t plane = (conv->height + 2 * conv->padding[1]) * width;
    const int64_t volume = conv->out_depth * conv->out_height * out_width;
    for (int64_t z = 0; z < conv->out_depth; z++)
        for (int64_t y = 0; y < conv->out_height; y += group->band) {
            const int64_t left = conv->out_height - y;
            const int64_t rows = left < group->band ? left : group->band;
            const int64_t count = mg_conv_band_positions(conv, rows, MG_LANES);
            NAME(conv_direct_band)(group,
                                   (const T *)group->padded + z * conv->stride[0] * plane +
                                       y * width,
                                   count);
            T *out = (T *)group->output + (z * conv->out_height + y) * out_width;
            for (int64_t o = 0; o < conv->out_channels / conv->groups; o++)
                for (int64_t r = 0; r < rows; r++)
                    memcpy(out + o * volume + r * out_width,
                           (T *)group->work + o * count + r * width, (size_t)out_width * sizeof(T));
        }
}
