/* Convolution by matrix products, for batches too small to fill vectors (kernels/conv.h): patches
 * under the kernel become columns, (taps, positions), in bands of output rows that stay in cache.
 * The rows of an output with depth are counted through, from the first of its planes to the last.
 *   forward  output = weight (outputs, taps) columns
 *   input    columns = weight^T grad_output, added back to the image
 *   weight   grad_weight = grad_output columns^T
 * for each image and group. */
#include "core.h"

#define COLUMNS_BYTES (1 << 20)
#define PIECES 16
#define LEAST_POSITIONS 256

typedef struct columns_pass {
    int dtype;
    int64_t size; /* of an element */
    const mg_conv *conv;
    int64_t channels, outputs, taps, positions; /* of one group, of one image */
    int64_t rows, band, bands; /* output rows of an image, of a band; bands of an image */
    const char *input, *weight, *bias, *grad_output;
    char *result;
    int parallel; /* 0: products run on the calling thread */
    int failed;
} columns_pass;

static columns_pass describe(int dtype, const mg_conv *conv, int64_t pieces) {
    columns_pass pass = {.dtype = dtype, .size = mg_item_size(dtype), .conv = conv};
    pass.channels = conv->channels / conv->groups;
    pass.outputs = conv->out_channels / conv->groups;
    pass.taps = pass.channels * conv->kernel_depth * conv->kernel_height * conv->kernel_width;
    pass.rows = conv->out_depth * conv->out_height;
    pass.positions = pass.rows * conv->out_width;
    const int64_t row_bytes = (pass.taps > 0 ? pass.taps : 1) * conv->out_width * pass.size;
    int64_t band = pass.rows / ((PIECES + pieces - 1) / pieces);
    if (band * conv->out_width < LEAST_POSITIONS) band = LEAST_POSITIONS / conv->out_width + 1;
    if (band * row_bytes > COLUMNS_BYTES) band = COLUMNS_BYTES / row_bytes;
    if (band > pass.rows) band = pass.rows;
    pass.band = band < 1 ? 1 : band;
    pass.bands = (pass.rows + pass.band - 1) / pass.band;
    return pass;
}

/* Whether columns are the image itself. */
static int is_pointwise(const mg_conv *conv) {
    int plain = conv->kernel_depth == 1 && conv->kernel_height == 1 && conv->kernel_width == 1;
    for (int d = 0; d < 3; d++) plain = plain && conv->stride[d] == 1 && conv->padding[d] == 0;
    return plain;
}

static void *work_columns(const columns_pass *pass) {
    const int64_t row_bytes = pass->taps * pass->conv->out_width * pass->size;
    return mg_scratch(MG_SCRATCH_WORK, pass->band * row_bytes + MG_ALIGNMENT);
}

/* The x with 0 <= x * stride + start < width, as [first, last). */
static void valid_range(int64_t start, int64_t stride, int64_t width, int64_t out_width,
                        int64_t *first, int64_t *last) {
    *first = start >= 0 ? 0 : (-start + stride - 1) / stride;
    *last = start >= width ? 0 : (width - start - 1) / stride + 1;
    if (*last > out_width) *last = out_width;
    if (*first > *last) *first = *last;
}

static void take_row(int64_t size, char *row, const char *image, int64_t stride, int64_t count) {
    if (stride == 1)
        memcpy(row, image, (size_t)(count * size));
    else if (size == 4)
        for (int64_t x = 0; x < count; x++) ((float *)row)[x] = ((const float *)image)[x * stride];
    else
        for (int64_t x = 0; x < count; x++)
            ((double *)row)[x] = ((const double *)image)[x * stride];
}

static void add_row(int64_t size, const char *row, char *image, int64_t stride, int64_t count) {
    if (size == 4)
        for (int64_t x = 0; x < count; x++) ((float *)image)[x * stride] += ((const float *)row)[x];
    else
        for (int64_t x = 0; x < count; x++)
            ((double *)image)[x * stride] += ((const double *)row)[x];
}

/* The row of the group's planes of one channel that output row `y` of plane `z` meets with a tap;
 * NULL in the padding. */
static const char *input_row(const columns_pass *pass, const char *planes, int64_t z, int64_t y,
                             const int64_t tap[3]) {
    const mg_conv *conv = pass->conv;
    const int64_t depth = z * conv->stride[0] + tap[0] * conv->dilation[0] - conv->padding[0];
    const int64_t row = y * conv->stride[1] + tap[1] * conv->dilation[1] - conv->padding[1];
    if (depth < 0 || depth >= conv->depth || row < 0 || row >= conv->height) return NULL;
    return planes + (depth * conv->height + row) * conv->width * pass->size;
}

/* Output rows [top, top + rows) of one group of one image: image -> columns (taps, rows *
 * out_width), or with `back` the columns are added to the image. */
static void move_columns(const columns_pass *pass, char *image, int64_t top, int64_t rows,
                         char *columns, int back) {
    const mg_conv *conv = pass->conv;
    const int64_t size = pass->size, row_bytes = conv->out_width * size;
    const int64_t plane = conv->kernel_height * conv->kernel_width;
    const int64_t kernel = conv->kernel_depth * plane;
    for (int64_t p = 0; p < pass->taps; p++) {
        const int64_t tap[3] = {p % kernel / plane, p % plane / conv->kernel_width,
                                p % conv->kernel_width};
        const int64_t start = tap[2] * conv->dilation[2] - conv->padding[2];
        const char *planes = image + p / kernel * conv->depth * conv->height * conv->width * size;
        int64_t first, last, z = top / conv->out_height, y = top % conv->out_height;
        valid_range(start, conv->stride[2], conv->width, conv->out_width, &first, &last);
        for (int64_t r = 0; r < rows; r++, columns += row_bytes) {
            const char *row = last > first ? input_row(pass, planes, z, y, tap) : NULL;
            if (++y == conv->out_height) {
                y = 0;
                z++;
            }
            const int64_t used = row ? last - first : 0;
            if (row) row += (first * conv->stride[2] + start) * size;
            if (back) {
                if (used) add_row(size, columns + first * size, (char *)row, conv->stride[2], used);
                continue;
            }
            if (used < conv->out_width) memset(columns, 0, (size_t)row_bytes);
            if (used) take_row(size, columns + first * size, row, conv->stride[2], used);
        }
    }
}

static int multiply(const columns_pass *pass, const mg_gemm_problem *problem) {
    return pass->parallel ? mg_gemm(pass->dtype, problem) : mg_gemm_serial(pass->dtype, problem);
}

/* Index of a piece -> image, group and output rows [top, top + rows). */
typedef struct part {
    int64_t image, group, top, rows;
    int64_t in_offset, out_offset; /* bytes to the group in the input and in the output */
} part;

static part find_part(const columns_pass *pass, int64_t index) {
    const mg_conv *conv = pass->conv;
    part found = {.top = index % pass->bands * pass->band};
    const int64_t volume = conv->depth * conv->height * conv->width * pass->size;
    found.group = index / pass->bands % conv->groups;
    found.image = index / pass->bands / conv->groups;
    found.rows = pass->rows - found.top < pass->band ? pass->rows - found.top : pass->band;
    found.in_offset = (found.image * conv->channels + found.group * pass->channels) * volume;
    found.out_offset = (found.image * conv->out_channels + found.group * pass->outputs) *
                       pass->positions * pass->size;
    return found;
}

/* The matrix of columns of a part, and the stride of its rows; NULL where memory ran out. */
static const char *get_columns(const columns_pass *pass, const part *at, int64_t *row) {
    const mg_conv *conv = pass->conv;
    char *image = (char *)pass->input + at->in_offset;
    if (is_pointwise(conv)) {
        *row = pass->positions;
        return image + at->top * conv->width * pass->size;
    }
    char *columns = work_columns(pass);
    *row = at->rows * conv->out_width;
    if (columns) move_columns(pass, image, at->top, at->rows, columns, 0);
    return columns;
}

static void add_bias(const columns_pass *pass, const part *at, char *output) {
    const int64_t count = at->rows * pass->conv->out_width;
    for (int64_t o = 0; o < pass->outputs; o++, output += pass->positions * pass->size) {
        const int64_t channel = at->group * pass->outputs + o;
        if (pass->dtype == MG_FLOAT32)
            for (int64_t x = 0; x < count; x++)
                ((float *)output)[x] += ((const float *)pass->bias)[channel];
        else
            for (int64_t x = 0; x < count; x++)
                ((double *)output)[x] += ((const double *)pass->bias)[channel];
    }
}

static void run_forward(void *context, int64_t begin, int64_t end) {
    columns_pass *pass = context;
    for (int64_t index = begin; index < end; index++) {
        const part at = find_part(pass, index);
        int64_t row;
        const char *columns = get_columns(pass, &at, &row);
        char *output = pass->result + at.out_offset + at.top * pass->conv->out_width * pass->size;
        const mg_gemm_problem problem = {
            .m = pass->outputs,
            .n = at.rows * pass->conv->out_width,
            .k = pass->taps,
            .a = pass->weight + at.group * pass->outputs * pass->taps * pass->size,
            .a_row = pass->taps,
            .a_k = 1,
            .b = columns,
            .b_k = row,
            .b_column = 1,
            .c = output,
            .c_row = pass->positions,
        };
        if (!columns || multiply(pass, &problem)) {
            __atomic_store_n(&pass->failed, 1, __ATOMIC_RELAXED);
            return;
        }
        if (pass->bias) add_bias(pass, &at, output);
    }
}

static void run_input(void *context, int64_t begin, int64_t end) {
    columns_pass *pass = context;
    const mg_conv *conv = pass->conv;
    const int64_t volume = conv->depth * conv->height * conv->width;
    const int64_t bytes = pass->channels * volume * pass->size;
    for (int64_t index = begin * pass->bands; index < end * pass->bands; index++) {
        const part at = find_part(pass, index);
        char *image = pass->result + at.in_offset;
        const int64_t offset = at.top * conv->out_width * pass->size;
        char *columns = is_pointwise(conv) ? image + offset : work_columns(pass);
        if (at.top == 0) memset(image, 0, (size_t)bytes);
        const mg_gemm_problem problem = {
            .m = pass->taps,
            .n = at.rows * conv->out_width,
            .k = pass->outputs,
            .a = pass->weight + at.group * pass->outputs * pass->taps * pass->size,
            .a_row = 1,
            .a_k = pass->taps,
            .b = pass->grad_output + at.out_offset + offset,
            .b_k = pass->positions,
            .b_column = 1,
            .c = columns,
            .c_row = is_pointwise(conv) ? pass->positions : at.rows * conv->out_width,
        };
        if (!columns || multiply(pass, &problem)) {
            __atomic_store_n(&pass->failed, 1, __ATOMIC_RELAXED);
            return;
        }
        if (!is_pointwise(conv)) move_columns(pass, image, at.top, at.rows, columns, 1);
    }
}

static void run_weight(void *context, int64_t begin, int64_t end) {
    mg_conv_sum *sum = context;
    const columns_pass *pass = sum->context;
    for (int64_t index = begin; index < end; index++) {
        const part at = find_part(pass, index);
        int64_t row;
        const char *columns = get_columns(pass, &at, &row);
        const int64_t weights = pass->outputs * pass->taps * pass->size;
        const mg_gemm_problem problem = {
            .m = pass->outputs,
            .n = pass->taps,
            .k = at.rows * pass->conv->out_width,
            .a = pass->grad_output + at.out_offset + at.top * pass->conv->out_width * pass->size,
            .a_row = pass->positions,
            .a_k = 1,
            .b = columns,
            .b_k = 1,
            .b_column = row,
            .c = sum->sums + begin / sum->piece * sum->bytes + at.group * weights,
            .c_row = pass->taps,
            .accumulate = 1,
        };
        if (!columns || multiply(pass, &problem)) {
            __atomic_store_n(&sum->failed, 1, __ATOMIC_RELAXED);
            return;
        }
    }
}

static int out_of_memory(void) {
    return mg_fail(MG_MEMORY_ERROR, "convolution: out of memory for work buffers");
}

int mg_conv_columns_forward(int dtype, const mg_conv *conv, const void *input, const void *weight,
                            const void *bias, void *output) {
    const int64_t matrices = conv->batch * conv->groups;
    columns_pass pass = describe(dtype, conv, matrices);
    pass.input = input;
    pass.weight = weight;
    pass.bias = bias;
    pass.result = output;
    mg_parallel_for(matrices * pass.bands, 1, mg_conv_nanoseconds(dtype, conv), run_forward, &pass);
    return pass.failed ? out_of_memory() : 0;
}

int mg_conv_columns_input(int dtype, const mg_conv *conv, const void *grad_output,
                          const void *weight, void *grad_input) {
    const int64_t matrices = conv->batch * conv->groups;
    columns_pass pass = describe(dtype, conv, PIECES);
    pass.grad_output = grad_output;
    pass.weight = weight;
    pass.result = grad_input;
    if (matrices < 4) { /* bands overlap in the image, so the products themselves are cut */
        pass.parallel = 1;
        run_input(&pass, 0, matrices);
    } else {
        mg_parallel_for(matrices, 1, mg_conv_nanoseconds(dtype, conv), run_input, &pass);
    }
    return pass.failed ? out_of_memory() : 0;
}

int mg_conv_columns_weight(int dtype, const mg_conv *conv, const void *input,
                           const void *grad_output, void *grad_weight) {
    const int64_t matrices = conv->batch * conv->groups;
    columns_pass pass = describe(dtype, conv, matrices > 0 ? matrices : 1);
    pass.input = input;
    pass.grad_output = grad_output;
    return mg_conv_sum_pieces(dtype, conv->out_channels * pass.taps, matrices * pass.bands,
                              mg_conv_nanoseconds(dtype, conv), run_weight, &pass, grad_weight);
}

/* ---- the columns themselves: every channel is an image of one channel ---- */

static columns_pass describe_moving(int dtype, const mg_conv *conv, mg_conv *planes) {
    *planes = *conv;
    planes->batch = conv->batch * conv->channels;
    planes->channels = planes->groups = planes->out_channels = 1;
    columns_pass pass = describe(dtype, planes, planes->batch);
    pass.band = pass.rows;
    pass.bands = 1;
    return pass;
}

static void unfold_planes(void *context, int64_t begin, int64_t end) {
    const columns_pass *pass = context;
    const mg_conv *conv = pass->conv;
    const int64_t plane = conv->depth * conv->height * conv->width * pass->size;
    for (int64_t p = begin; p < end; p++)
        move_columns(pass, (char *)pass->input + p * plane, 0, pass->rows,
                     pass->result + p * pass->taps * pass->positions * pass->size, 0);
}

static void fold_planes(void *context, int64_t begin, int64_t end) {
    const columns_pass *pass = context;
    const mg_conv *conv = pass->conv;
    const int64_t plane = conv->depth * conv->height * conv->width * pass->size;
    memset(pass->result + begin * plane, 0, (size_t)((end - begin) * plane));
    for (int64_t p = begin; p < end; p++)
        move_columns(pass, pass->result + p * plane, 0, pass->rows,
                     (char *)pass->input + p * pass->taps * pass->positions * pass->size, 1);
}

static void move_planes(columns_pass *pass, mg_body body) {
    const double elements = (double)(pass->taps * pass->positions);
    mg_parallel_for(pass->conv->batch, 1 + (int64_t)(16384 / (elements + 1)),
                    0.3 * (double)pass->conv->batch * elements, body, pass);
}

void mg_conv_unfold(int dtype, const mg_conv *conv, const void *input, void *columns) {
    mg_conv planes;
    columns_pass pass = describe_moving(dtype, conv, &planes);
    pass.input = input;
    pass.result = columns;
    move_planes(&pass, unfold_planes);
}

void mg_conv_fold(int dtype, const mg_conv *conv, const void *columns, void *output) {
    mg_conv planes;
    columns_pass pass = describe_moving(dtype, conv, &planes);
    pass.input = columns;
    pass.result = output;
    move_planes(&pass, fold_planes);
}
