/* Conversions between dtypes, for blocks of any strides. One row loop for each pair of dtypes. */
#include "core.h"

typedef void (*row_function)(char *destination, int64_t destination_stride, const char *source,
                             int64_t source_stride, int64_t count);

/* Out of range and NaN: the smallest integer, as the conversion instructions of x86 give it, and as
 * torch does there. C leaves it undefined. */
static inline int32_t int32_from_real(double x) {
    return x > -2147483649.0 && x < 2147483648.0 ? (int32_t)x : INT32_MIN;
}

static inline int64_t int64_from_real(double x) {
    return x >= -0x1p63 && x < 0x1p63 ? (int64_t)x : INT64_MIN;
}

static inline uint8_t uint8_from_real(double x) { return (uint8_t)int64_from_real(x); }

#define PASTE_(a, b, c) a##_##b##_##c
#define PASTE(a, b, c) PASTE_(a, b, c)

#define TO bool
#define TO_T uint8_t
#define FROM_INTEGER(x) ((x) != 0)
#define FROM_REAL(x) ((x) != 0)
#include "kernels/convert_to.h"

#define TO uint8
#define TO_T uint8_t
#define FROM_INTEGER(x) (uint8_t)(x)
#define FROM_REAL(x) uint8_from_real(x)
#include "kernels/convert_to.h"

#define TO int32
#define TO_T int32_t
#define FROM_INTEGER(x) (int32_t)(x)
#define FROM_REAL(x) int32_from_real(x)
#include "kernels/convert_to.h"

#define TO int64
#define TO_T int64_t
#define FROM_INTEGER(x) (int64_t)(x)
#define FROM_REAL(x) int64_from_real(x)
#include "kernels/convert_to.h"

#define TO float32
#define TO_T float
#define FROM_INTEGER(x) (float)(x)
#define FROM_REAL(x) (float)(x)
#include "kernels/convert_to.h"

#define TO float64
#define TO_T double
#define FROM_INTEGER(x) (double)(x)
#define FROM_REAL(x) (double)(x)
#include "kernels/convert_to.h"

/* [to][from], in the order of enum mg_dtype */
#define ROW(to)                                                                                    \
    {convert_##to##_bool,  convert_##to##_uint8,   convert_##to##_int32,                           \
     convert_##to##_int64, convert_##to##_float32, convert_##to##_float64}
static const row_function row_functions[MG_DTYPE_COUNT][MG_DTYPE_COUNT] =
    {ROW(bool), ROW(uint8), ROW(int32), ROW(int64), ROW(float32), ROW(float64)};

static void convert_rows(const mg_block *to, const mg_block *from, int64_t rows, int64_t columns) {
    const row_function convert = row_functions[to->dtype][from->dtype];
    const int64_t to_row = to->row_stride * mg_item_size(to->dtype);
    const int64_t from_row = from->row_stride * mg_item_size(from->dtype);
    for (int64_t r = 0; r < rows; r++)
        convert(to->data + r * to_row, to->column_stride, from->data + r * from_row,
                from->column_stride, columns);
}

/* Whether walking along the columns jumps through memory while the rows lie close together. */
static int jumps(const mg_block *block) {
    return llabs(block->column_stride) > 8 &&
           llabs(block->row_stride) < llabs(block->column_stride);
}

static mg_block turned(const mg_block *block) {
    return (mg_block){block->data, block->column_stride, block->row_stride, block->dtype};
}

/* From a source whose columns lie close together, by way of square tiles in a buffer: both sides
 * then touch whole cache lines one after the other. Without the buffer a tile's lines would lie
 * a power of two apart in matrices of such sizes, where they push each other out of the cache. */
static void transpose(const mg_block *to, const mg_block *from, int64_t rows, int64_t columns) {
    enum { SIDE = 32 };
    _Alignas(64) char buffer[SIDE * SIDE * sizeof(double)];
    const int64_t to_item = mg_item_size(to->dtype), from_item = mg_item_size(from->dtype);
    for (int64_t row = 0; row < rows; row += SIDE) {
        const int64_t height = rows - row < SIDE ? rows - row : SIDE;
        for (int64_t column = 0; column < columns; column += SIDE) {
            const int64_t width = columns - column < SIDE ? columns - column : SIDE;
            mg_block target = *to, source = turned(from);
            target.data += (row * to->row_stride + column * to->column_stride) * to_item;
            source.data += (row * from->row_stride + column * from->column_stride) * from_item;
            const mg_block tile = {buffer, SIDE, 1, from->dtype}, tile_turned = turned(&tile);
            convert_rows(&tile_turned, &source, width, height);
            convert_rows(&target, &tile, height, width);
        }
    }
}

void mg_convert_block(const mg_block *destination, const mg_block *source, int64_t rows,
                      int64_t columns) {
    const int from_afar = jumps(source), to_afar = jumps(destination);
    if (rows < 4 || from_afar == to_afar) {
        convert_rows(destination, source, rows, columns);
    } else if (from_afar) {
        transpose(destination, source, rows, columns);
    } else {
        const mg_block to = turned(destination), from = turned(source);
        transpose(&to, &from, columns, rows);
    }
}
