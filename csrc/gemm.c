/* The matrix product's drivers: which part of C a piece computes, and whether B is packed for it.
 *
 * A piece is a block of C with the whole sum over k, so pieces are independent, and all choices
 * depend on shapes and strides alone: the result has the same bits for any number of threads. Each
 * piece packs the columns of B that it needs; it has so many rows that packing is a small part. */
#include "core.h"

/* Rows of B in cache at a time: a panel of 256 x 32 float32 (or 256 x 16 float64) takes 32 KiB. */
#define K_BLOCK 256
/* Columns packed at a time: with K_BLOCK rows half of a second-level cache. */
#define COLUMN_BLOCK_BYTES (512 * sizeof(float))
/* B stays where it is for so few rows of A that reading it in place costs less than packing ... */
#define IN_PLACE_ROWS 48
/* ... or where it fits the first-level cache as it is. */
#define IN_PLACE_BYTES 32768
#define IN_PLACE_K 1024
/* The least rows of a piece, so that packing B for each of them does not show. */
#define PIECE_ROWS 240

#define INDEX(dtype) ((dtype) == MG_FLOAT64)

/* A 512-bit kernel does 32 float32 multiply-adds a cycle, at best; 4 cycles a nanosecond. */
double mg_gemm_nanoseconds(int dtype, int64_t m, int64_t n, int64_t k) {
    int lanes = mg_active_isa->gemm.of[INDEX(dtype)].lanes;
    double columns = (double)((n + lanes - 1) / lanes * lanes);
    return (double)m * columns * (double)k / (lanes * 7.0) + 50.0;
}

static int64_t ceiling(int64_t a, int64_t b) { return (a + b - 1) / b; }

static const char *advance(const void *base, int64_t elements, int64_t size) {
    return base ? (const char *)base + elements * size : NULL;
}

static int stays_in_place(const mg_gemm_problem *problem, int64_t lanes, int64_t size) {
    return problem->b_column == 1 && problem->n >= lanes && problem->k <= IN_PLACE_K &&
           !problem->accumulate &&
           (problem->m <= IN_PLACE_ROWS || problem->k * problem->n * size <= IN_PLACE_BYTES);
}

/* Rows of B are packed in so many blocks, the first ones a row larger where they do not divide. */
static int64_t blocks_of(int64_t k) { return k > K_BLOCK + K_BLOCK / 4 ? ceiling(k, K_BLOCK) : 1; }

/* Columns [first, first + n) of C, B packed block by block into `packed`. */
static void packed_columns(int dtype, const mg_gemm_problem *problem, int64_t first, int64_t n,
                           void *packed) {
    const int64_t size = mg_item_size(dtype);
    const int columns = mg_active_isa->gemm.of[INDEX(dtype)].columns;
    const int64_t blocks = blocks_of(problem->k);
    int64_t p = 0;
    for (int64_t b = 0; b < blocks; b++) {
        const int64_t k = problem->k / blocks + (b < problem->k % blocks);
        const int64_t panel = k * columns;
        mg_active_isa->gemm.of[INDEX(dtype)]
            .pack_b(k, n, advance(problem->b, p * problem->b_k + first * problem->b_column, size),
                    problem->b_k, problem->b_column, packed, panel);
        const mg_gemm_block block = {
            .m = problem->m,
            .n = n,
            .k = k,
            .a = advance(problem->a, p * problem->a_k, size),
            .a_row = problem->a_row,
            .a_k = problem->a_k,
            .b = packed,
            .b_k = columns,
            .b_panel = panel,
            .bias = advance(problem->bias, first, size),
            .c = (char *)problem->c + first * size,
            .c_row = problem->c_row,
            .packed = 1,
            .accumulate = problem->accumulate || b > 0,
            .finish = b + 1 < blocks ? MG_FINISH_NONE : problem->finish,
            .mask = advance(problem->mask, first, size),
        };
        mg_active_isa->gemm.of[INDEX(dtype)].block(&block);
        p += k;
    }
}

int mg_gemm_serial(int dtype, const mg_gemm_problem *problem) {
    const int64_t size = mg_item_size(dtype);
    const int columns = mg_active_isa->gemm.of[INDEX(dtype)].columns;
    const int lanes = mg_active_isa->gemm.of[INDEX(dtype)].lanes;
    if (problem->m == 0 || problem->n == 0) return 0;
    if (problem->a_k == 1 && problem->b_k == 1 && (problem->m <= 2 || problem->n <= 2) &&
        !problem->accumulate) {
        mg_active_isa->gemm.of[INDEX(dtype)].dots(problem);
        return 0;
    }
    if (stays_in_place(problem, lanes, size)) {
        const mg_gemm_block block = {
            .m = problem->m,
            .n = problem->n,
            .k = problem->k,
            .a = problem->a,
            .a_row = problem->a_row,
            .a_k = problem->a_k,
            .b = problem->b,
            .b_k = problem->b_k,
            .b_panel = columns,
            .bias = problem->bias,
            .c = problem->c,
            .c_row = problem->c_row,
            .finish = problem->finish,
            .mask = problem->mask,
        };
        mg_active_isa->gemm.of[INDEX(dtype)].block(&block);
        return 0;
    }
    const int64_t k = problem->k < 2 * K_BLOCK ? problem->k : 2 * K_BLOCK;
    const int64_t step = (int64_t)COLUMN_BLOCK_BYTES / size;
    const int64_t widest = problem->n < step ? ceiling(problem->n, columns) * columns : step;
    void *packed = mg_scratch(MG_SCRATCH_PACK_B, (k + 1) * widest * size);
    if (!packed) return -1;
    for (int64_t j = 0; j < problem->n; j += step)
        packed_columns(dtype, problem, j, problem->n - j < step ? problem->n - j : step, packed);
    return 0;
}

/* ---- B packed beforehand: block after block of rows, each in panels ---- */

int64_t mg_gemm_packed_bytes(int dtype, int64_t k, int64_t n) {
    const int columns = mg_active_isa->gemm.of[INDEX(dtype)].columns;
    return k * ceiling(n, columns) * columns * mg_item_size(dtype);
}

void mg_gemm_pack(int dtype, int64_t k, int64_t n, const void *b, int64_t b_k, int64_t b_column,
                  void *packed) {
    const int64_t size = mg_item_size(dtype), blocks = blocks_of(k);
    const int columns = mg_active_isa->gemm.of[INDEX(dtype)].columns;
    for (int64_t block = 0, p = 0; block < blocks; block++) {
        const int64_t rows = k / blocks + (block < k % blocks);
        mg_active_isa->gemm.of[INDEX(dtype)].pack_b(rows, n, advance(b, p * b_k, size), b_k,
                                                    b_column, packed, rows * columns);
        packed = (char *)packed + mg_gemm_packed_bytes(dtype, rows, n);
        p += rows;
    }
}

void mg_gemm_packed(int dtype, const mg_gemm_problem *problem) {
    const int64_t size = mg_item_size(dtype), blocks = blocks_of(problem->k);
    const int columns = mg_active_isa->gemm.of[INDEX(dtype)].columns;
    const char *packed = problem->b;
    for (int64_t block = 0, p = 0; block < blocks; block++) {
        const int64_t k = problem->k / blocks + (block < problem->k % blocks);
        const mg_gemm_block part = {
            .m = problem->m,
            .n = problem->n,
            .k = k,
            .a = advance(problem->a, p * problem->a_k, size),
            .a_row = problem->a_row,
            .a_k = problem->a_k,
            .b = packed,
            .b_k = columns,
            .b_panel = k * columns,
            .bias = problem->bias,
            .c = problem->c,
            .c_row = problem->c_row,
            .packed = 1,
            .accumulate = problem->accumulate || block > 0,
            .finish = block + 1 < blocks ? MG_FINISH_NONE : problem->finish,
            .mask = problem->mask,
        };
        mg_active_isa->gemm.of[INDEX(dtype)].block(&part);
        packed += mg_gemm_packed_bytes(dtype, k, problem->n);
        p += k;
    }
}

/* ---- on several threads ---- */

/* The grid of pieces over C. */
typedef struct grid {
    int dtype;
    const mg_gemm_problem *problem;
    int64_t rows, columns; /* of a piece */
    int64_t across;        /* pieces side by side */
    int failed;
} grid;

static void run_pieces(void *context, int64_t begin, int64_t end) {
    grid *cut = context;
    const mg_gemm_problem *whole = cut->problem;
    const int64_t size = mg_item_size(cut->dtype);
    for (int64_t piece = begin; piece < end; piece++) {
        const int64_t i = piece / cut->across * cut->rows, j = piece % cut->across * cut->columns;
        mg_gemm_problem part = *whole;
        part.m = whole->m - i < cut->rows ? whole->m - i : cut->rows;
        part.n = whole->n - j < cut->columns ? whole->n - j : cut->columns;
        part.a = advance(whole->a, i * whole->a_row, size);
        part.b = advance(whole->b, j * whole->b_column, size);
        part.bias = advance(whole->bias, j, size);
        part.c = (char *)whole->c + (i * whole->c_row + j) * size;
        part.mask = advance(whole->mask, i * whole->c_row + j, size);
        if (mg_gemm_serial(cut->dtype, &part)) __atomic_store_n(&cut->failed, 1, __ATOMIC_RELAXED);
    }
}

static int out_of_memory(void) {
    return mg_fail(MG_MEMORY_ERROR, "matmul: out of memory for work buffers");
}

/* A small product, for threads that stand by: two blocks side by side, or one above the other. The
 * bits are those of the whole product, since an element of C is the same sum wherever its block
 * begins; except with one or two rows or columns, for which there is another kernel. */
static int gemm_in_two(int dtype, const mg_gemm_problem *problem, double nanoseconds) {
    const int64_t unit = mg_active_isa->gemm.of[INDEX(dtype)].columns;
    const int64_t panels = ceiling(problem->n, unit);
    grid cut = {.dtype = dtype, .problem = problem, .rows = problem->m, .columns = problem->n};
    if (panels > 1)
        cut.columns = ceiling(panels, 2) * unit;
    else
        cut.rows = ceiling(problem->m, 2);
    cut.across = ceiling(problem->n, cut.columns);
    const int64_t pieces = ceiling(problem->m, cut.rows) * cut.across;
    if (pieces < 2 || problem->m - cut.rows * (pieces - 1) <= 2 ||
        problem->n - cut.columns * (cut.across - 1) <= 2)
        return mg_gemm_serial(dtype, problem);
    mg_parallel_for(pieces, 1, nanoseconds, run_pieces, &cut);
    return cut.failed ? out_of_memory() : 0;
}

int mg_gemm(int dtype, const mg_gemm_problem *problem) {
    const double work = (double)problem->m * (double)problem->n * (double)problem->k;
    if (work < 500e3) {
        const double nanoseconds = mg_gemm_nanoseconds(dtype, problem->m, problem->n, problem->k);
        if (nanoseconds > mg_parallel_overhead()) return gemm_in_two(dtype, problem, nanoseconds);
        return mg_gemm_serial(dtype, problem);
    }
    const int64_t unit = mg_active_isa->gemm.of[INDEX(dtype)].columns;
    const int64_t panels = ceiling(problem->n, unit);
    grid cut = {.dtype = dtype, .problem = problem};
    cut.columns = ceiling(panels, 16) * unit; /* at most 16 pieces side by side ... */
    cut.across = ceiling(problem->n, cut.columns);
    int64_t down = ceiling(16, cut.across); /* ... and as many in all, if rows suffice */
    cut.rows = ceiling(problem->m, down);
    if (cut.rows < PIECE_ROWS) cut.rows = problem->m < PIECE_ROWS ? problem->m : PIECE_ROWS;
    mg_parallel_for(ceiling(problem->m, cut.rows) * cut.across, 1,
                    mg_gemm_nanoseconds(dtype, problem->m, problem->n, problem->k), run_pieces,
                    &cut);
    return cut.failed ? out_of_memory() : 0;
}

typedef struct batch {
    int dtype;
    const mg_gemm_problem *problem;
    const int64_t (*offsets)[3];
    int failed;
} batch;

static mg_gemm_problem product_of(const batch *many, int64_t index) {
    const int64_t size = mg_item_size(many->dtype);
    mg_gemm_problem one = *many->problem;
    one.a = advance(one.a, many->offsets[index][0], size);
    one.b = advance(one.b, many->offsets[index][1], size);
    one.c = (char *)one.c + many->offsets[index][2] * size;
    one.mask = advance(one.mask, many->offsets[index][2], size);
    return one;
}

static void run_products(void *context, int64_t begin, int64_t end) {
    batch *many = context;
    for (int64_t index = begin; index < end; index++) {
        const mg_gemm_problem one = product_of(many, index);
        if (mg_gemm_serial(many->dtype, &one)) __atomic_store_n(&many->failed, 1, __ATOMIC_RELAXED);
    }
}

int mg_gemm_batch(int dtype, const mg_gemm_problem *problem, int64_t count,
                  const int64_t (*offsets)[3]) {
    batch many = {.dtype = dtype, .problem = problem, .offsets = offsets};
    const double nanoseconds = mg_gemm_nanoseconds(dtype, problem->m, problem->n, problem->k);
    const double work = (double)problem->m * (double)problem->n * (double)problem->k;
    if (work > 16e6 || count < 4) { /* each product is worth its own pieces */
        for (int64_t index = 0; index < count; index++) {
            const mg_gemm_problem one = product_of(&many, index);
            if (mg_gemm(dtype, &one)) return -1;
        }
        return 0;
    }
    int64_t piece = (int64_t)(1000.0 / nanoseconds) + 1; /* products of a microsecond */
    mg_parallel_for(count, piece, nanoseconds * (double)count, run_products, &many);
    return many.failed ? out_of_memory() : 0;
}
