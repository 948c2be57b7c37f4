/* The matrix product on one thread, after BLIS (Van Zee & van de Geijn 2015): a micro-kernel
 * keeps a tile of C in registers; the loops around it hold a panel of B in the first cache level
 * while tiles of A pass by. Different from BLIS, A is read in place with any strides: the kernel
 * broadcasts single elements of A, so no layout of it is better for loads, and without a packed
 * copy large products run at about nine tenths of the processor's multiply-add rate. */

/* All tile loops must vanish, or the accumulators live in memory instead of registers. */
#ifndef MG_UNROLL
#if defined(__clang__)
#define MG_UNROLL _Pragma("clang loop unroll(full)")
#else
#define MG_UNROLL _Pragma("GCC unroll 16")
#endif
#endif

#include "gemm_transpose.h"

/* Rows of the register tile; it is two vectors wide. 12 x 2 of 32 vector registers, 6 x 2 of 16. */
#if MG_VECTOR_BYTES == 64 || defined(__aarch64__)
#define MG_ROWS 12
#else
#define MG_ROWS 6
#endif
#define MG_COLUMNS (2 * MG_LANES)

#include "gemm_dots.h"

#ifndef MG_GEMM_TILE
#define MG_GEMM_TILE
/* What is the same for all dtypes and instruction sets of this translation unit. */
enum gemm_start { START_ZERO, START_BIAS, START_ROW_BIAS, START_C };
/* Where the rows of B and C stand: at one stride, or (convolution) at a table of offsets. SCATTER
 * adds to C one row after the other, so rows may overlap. */
enum gemm_rows { ROWS_STRIDED, ROWS_GATHER_B, ROWS_SCATTER_C };
typedef struct gemm_tile {
    int64_t k;
    const void *a;
    int64_t a_row, a_k;
    const void *b;
    int64_t b_k;
    int64_t b_second; /* from the first vector of a row to the second: fewer than LANES overlap */
    const void *bias;
    void *c;
    int64_t c_row, c_second;
    const int64_t *offsets; /* of the k rows of B or the rows of C */
    enum gemm_start start;
    enum mg_gemm_finish finish;
    const void *mask; /* laid out like C */
} gemm_tile;
#endif

/* The first value of each sum. */
INLINE void NAME(gemm_start)(const int rows, const int vectors, const gemm_tile *tile,
                             V sum[MG_ROWS][2]) {
    const T *bias = tile->bias, *c = tile->c;
    MG_UNROLL
    for (int i = 0; i < rows; i++) {
        MG_UNROLL
        for (int j = 0; j < vectors; j++) sum[i][j] = (V){0};
    }
    if (tile->start == START_ZERO) return;
    MG_UNROLL
    for (int i = 0; i < rows; i++) {
        MG_UNROLL
        for (int j = 0; j < vectors; j++)
            sum[i][j] = tile->start == START_ROW_BIAS ? NAME(splat)(bias[i])
                        : tile->start == START_BIAS
                            ? NAME(load)(bias + j * tile->c_second)
                            : NAME(load)(c + i * tile->c_row + j * tile->c_second);
    }
}

/* What becomes of complete sums before they are stored. */
INLINE void NAME(gemm_finish)(const int rows, const int vectors, const gemm_tile *tile,
                              V sum[MG_ROWS][2]) {
    const V zero = {0};
    const T *mask = tile->mask;
    MG_UNROLL
    for (int i = 0; i < rows; i++) {
        MG_UNROLL
        for (int j = 0; j < vectors; j++) {
            if (tile->finish == MG_FINISH_RELU)
                sum[i][j] = NAME(select)(sum[i][j] < zero, zero, sum[i][j]);
            else
                sum[i][j] =
                    NAME(select)(NAME(load)(mask + i * tile->c_row + j * tile->c_second) <= zero,
                                 zero, sum[i][j]);
        }
    }
}

/* C tile (rows, vectors) = start + A (rows, k) B (k, vectors); the first three are literals. */
INLINE void NAME(gemm_tile)(const enum gemm_rows kind, const int rows, const int vectors,
                            const gemm_tile *tile) {
    V sum[MG_ROWS][2];
    NAME(gemm_start)(rows, vectors, tile, sum);
    /* One pointer for four rows of A: 0 to 2 rows on is an addressing mode, three rows a
     * register. */
    const int64_t a_row = tile->a_row, three_rows = 3 * a_row, a_k = tile->a_k;
    const T *a[MG_ROWS / 4 + 1];
    MG_UNROLL
    for (int g = 0; g < MG_ROWS / 4 + 1; g++) a[g] = (const T *)tile->a + 4 * g * a_row;
    const T *b = tile->b;
    const int64_t b_k = tile->b_k, b_second = tile->b_second, k = tile->k;
    const int64_t *offsets = tile->offsets;
    for (int64_t p = 0; p < k; p++) {
        const T *source = kind == ROWS_GATHER_B ? b + offsets[p] : b;
        V row[2];
        MG_UNROLL
        for (int j = 0; j < vectors; j++) row[j] = NAME(load)(source + j * b_second);
        MG_UNROLL
        for (int i = 0; i < rows; i++) {
            const V scale = NAME(splat)(a[i / 4][(i & 3) == 3 ? three_rows : (i & 3) * a_row]);
            MG_UNROLL
            for (int j = 0; j < vectors; j++) sum[i][j] += scale * row[j];
        }
        b += kind == ROWS_GATHER_B ? 0 : b_k;
        MG_UNROLL
        for (int g = 0; g < (rows + 3) / 4; g++) a[g] += a_k;
    }
    if (kind == ROWS_STRIDED && tile->finish) NAME(gemm_finish)(rows, vectors, tile, sum);
    T *c = tile->c;
    const int64_t c_row = tile->c_row, c_second = tile->c_second;
    MG_UNROLL
    for (int i = 0; i < rows; i++) {
        T *row = c + (kind == ROWS_SCATTER_C ? offsets[i] : i * c_row);
        MG_UNROLL
        for (int j = 0; j < vectors; j++) {
            T *at = row + j * c_second;
            NAME(store)(at, kind == ROWS_SCATTER_C ? NAME(load)(at) + sum[i][j] : sum[i][j]);
        }
    }
}

#define MG_CASE(rows)                                                                              \
    case rows: NAME(gemm_tile)(kind, rows, vectors, tile); break;

INLINE void NAME(gemm_rows)(const enum gemm_rows kind, int rows, const int vectors,
                            const gemm_tile *tile) {
    switch (rows) {
        MG_CASE(1)
        MG_CASE(2)
        MG_CASE(3)
        MG_CASE(4)
        MG_CASE(5)
        MG_CASE(6)
#if MG_ROWS > 6
        MG_CASE(7)
        MG_CASE(8)
        MG_CASE(9)
        MG_CASE(10)
        MG_CASE(11)
        MG_CASE(12)
#endif
    }
}
#undef MG_CASE

static void NAME(gemm_run_tile)(int rows, int vectors, const gemm_tile *tile) {
    if (vectors == 2)
        NAME(gemm_rows)(ROWS_STRIDED, rows, 2, tile);
    else
        NAME(gemm_rows)(ROWS_STRIDED, rows, 1, tile);
}

/* A tile that ends `width` columns after its start, less than its vectors hold: computed aside. */
static void NAME(gemm_partial_tile)(int rows, int64_t width, const gemm_tile *tile) {
    T aside[MG_ROWS * MG_COLUMNS] __attribute__((aligned(64)));
    T bias[MG_COLUMNS] __attribute__((aligned(64))) = {0};
    gemm_tile inner = *tile;
    inner.c = aside;
    inner.c_row = MG_COLUMNS;
    T *c = tile->c;
    if (rows > MG_ROWS) __builtin_unreachable(); /* gcc's bounds check cannot know */
    T mask[MG_ROWS * MG_COLUMNS] __attribute__((aligned(64)));
    if (tile->mask) {
        memset(mask, 0, sizeof mask);
        for (int i = 0; i < rows; i++)
            NAME(copy_narrow)(mask + i * MG_COLUMNS, (const T *)tile->mask + i * tile->c_row,
                              width);
        inner.mask = mask;
    }
    if (tile->start == START_BIAS) {
        NAME(copy_narrow)(bias, tile->bias, width);
        inner.bias = bias;
    } else if (tile->start == START_C) {
        memset(aside, 0, sizeof aside);
        for (int i = 0; i < rows; i++)
            NAME(copy_narrow)(aside + i * MG_COLUMNS, c + i * tile->c_row, width);
    }
    NAME(gemm_run_tile)(rows, width > MG_LANES ? 2 : 1, &inner);
    for (int i = 0; i < rows; i++)
        NAME(copy_narrow)(c + i * tile->c_row, aside + i * MG_COLUMNS, width);
}

/* All rows of one panel. Tiles are of equal height but for one row: 32 rows are 11 + 11 + 10 rather
 * than 12 + 12 + 8, so that none is too low to hide the latency of its additions. */
static void NAME(gemm_panel)(const mg_gemm_block *block, gemm_tile *tile, int64_t width) {
    const int partial = block->packed && width != MG_LANES && width != MG_COLUMNS;
    const int vectors = width > MG_LANES ? 2 : 1;
    const int64_t tiles = (block->m + MG_ROWS - 1) / MG_ROWS;
    const int64_t height = block->m / tiles, taller = block->m % tiles;
    for (int64_t i = 0; i < tiles; i++) {
        const int rows = (int)(height + (i < taller));
        if (partial)
            NAME(gemm_partial_tile)(rows, width, tile);
        else
            NAME(gemm_run_tile)(rows, vectors, tile);
        tile->a = (const T *)tile->a + rows * block->a_row;
        tile->c = (T *)tile->c + rows * block->c_row;
        if (tile->mask) tile->mask = (const T *)tile->mask + rows * block->c_row;
    }
}

static void NAME(gemm_block)(const mg_gemm_block *block) {
    const int64_t n = block->n;
    if (block->m == 0) return;
    for (int64_t j = 0, q = 0; j < n; j += MG_COLUMNS, q++) {
        const int64_t width = n - j < MG_COLUMNS ? n - j : MG_COLUMNS;
        int64_t column = j, second = MG_LANES;
        if (!block->packed) { /* the last vector ends with the row; it repeats columns before it */
            if (width < MG_LANES)
                column = n - MG_LANES;
            else if (width > MG_LANES)
                second = width - MG_LANES;
        }
        gemm_tile tile = {
            .k = block->k,
            .a = block->a,
            .a_row = block->a_row,
            .a_k = block->a_k,
            .b = (const T *)block->b + q * block->b_panel + (column - j),
            .b_k = block->b_k,
            .b_second = second,
            .bias = block->bias ? (const T *)block->bias + column : NULL,
            .c = (T *)block->c + column,
            .c_row = block->c_row,
            .c_second = second,
            .start = block->accumulate ? START_C
                     : block->bias     ? START_BIAS
                                       : START_ZERO,
            .finish = block->finish,
            .mask = block->mask ? (const T *)block->mask + column : NULL,
        };
        NAME(gemm_panel)(block, &tile, width);
    }
}

/* Columns [0, width) of a panel from rows that are columns of B: k has unit stride. */
INLINE void NAME(gemm_pack_transposed)(int64_t k, int64_t width, const T *b, int64_t b_column,
                                       T *packed) {
    for (int64_t first = 0; first < width; first += MG_LANES, packed += MG_LANES) {
        const T *source = b + first * b_column;
        const int64_t columns = width - first < MG_LANES ? width - first : MG_LANES;
        int64_t p = 0;
        for (; p + MG_LANES <= k; p += MG_LANES) {
            V rows[MG_LANES];
            MG_UNROLL
            for (int i = 0; i < MG_LANES; i++)
                rows[i] = i < columns ? NAME(load)(source + i * b_column + p) : (V){0};
            NAME(transpose)(rows);
            MG_UNROLL
            for (int i = 0; i < MG_LANES; i++) NAME(store)(packed + (p + i) * MG_COLUMNS, rows[i]);
        }
        for (; p < k; p++)
            for (int64_t i = 0; i < MG_LANES; i++)
                packed[p * MG_COLUMNS + i] = i < columns ? source[i * b_column + p] : 0;
    }
}

static void NAME(gemm_pack_b)(int64_t k, int64_t n, const void *source, int64_t b_k,
                              int64_t b_column, void *destination, int64_t panel) {
    const T *b = source;
    T *packed = destination;
    for (int64_t j = 0; j < n; j += MG_COLUMNS, b += MG_COLUMNS * b_column, packed += panel) {
        const int64_t width = n - j < MG_COLUMNS ? n - j : MG_COLUMNS;
        if (b_k == 1 && b_column != 1) {
            NAME(gemm_pack_transposed)(k, width, b, b_column, packed);
        } else if (b_column == 1 && width == MG_COLUMNS) {
            for (int64_t p = 0; p < k; p++) {
                NAME(store)(packed + p * MG_COLUMNS, NAME(load)(b + p * b_k));
                NAME(store)(packed + p * MG_COLUMNS + MG_LANES, NAME(load)(b + p * b_k + MG_LANES));
            }
        } else if (b_column == 1) {
            for (int64_t p = 0; p < k; p++) {
                T *row = packed + p * MG_COLUMNS;
                NAME(store)(row, (V){0});
                NAME(store)(row + MG_LANES, (V){0});
                NAME(copy_narrow)(row, b + p * b_k, width);
            }
        } else {
            for (int64_t p = 0; p < k; p++)
                for (int64_t i = 0; i < MG_COLUMNS; i++)
                    packed[p * MG_COLUMNS + i] = i < width ? b[p * b_k + i * b_column] : 0;
        }
    }
}
