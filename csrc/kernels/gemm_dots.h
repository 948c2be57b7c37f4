/* Products with one or two rows (or columns) whose sums run along both operands' memory: an
 * element of B is used so rarely that packing it would cost more than the product. Vectors hold
 * consecutive k. */

/* Columns of a tile: with two rows 16 sums of 32 vector registers, 8 of 16. */
#if MG_ROWS > 6
#define MG_DOT_COLUMNS 8
#else
#define MG_DOT_COLUMNS 4
#endif

/* sums[i * MG_DOT_COLUMNS + j] = row i of `a` times row j of `b`; `rows` is a literal. */
INLINE void NAME(dots_tile)(const int rows, int64_t k, const T *a, int64_t a_row, const T *b,
                            int64_t b_row, int64_t columns, T *sums) {
    V sum[2 * MG_DOT_COLUMNS];
    const T *column[MG_DOT_COLUMNS];
    MG_UNROLL
    for (int j = 0; j < MG_DOT_COLUMNS; j++) { /* the last one stands in for those beyond it */
        column[j] = b + (j < columns ? j : columns - 1) * b_row;
    }
    MG_UNROLL
    for (int i = 0; i < rows * MG_DOT_COLUMNS; i++) sum[i] = (V){0};
    int64_t p = 0;
    for (; p + MG_LANES <= k; p += MG_LANES) {
        V scale[2];
        MG_UNROLL
        for (int i = 0; i < rows; i++) scale[i] = NAME(load)(a + i * a_row + p);
        MG_UNROLL
        for (int j = 0; j < MG_DOT_COLUMNS; j++) {
            const V value = NAME(load)(column[j] + p);
            MG_UNROLL
            for (int i = 0; i < rows; i++) sum[i * MG_DOT_COLUMNS + j] += scale[i] * value;
        }
    }
    if (p < k) {
        MG_UNROLL
        for (int i = 0; i < rows; i++) {
            const V scale = NAME(load_part)(a + i * a_row + p, k - p, 0);
            MG_UNROLL
            for (int j = 0; j < MG_DOT_COLUMNS; j++)
                sum[i * MG_DOT_COLUMNS + j] += scale * NAME(load_part)(column[j] + p, k - p, 0);
        }
    }
    MG_UNROLL
    for (int first = 0; first < rows * MG_DOT_COLUMNS; first += MG_LANES) {
        V part[MG_LANES];
        MG_UNROLL
        for (int i = 0; i < MG_LANES; i++)
            part[i] = first + i < rows * MG_DOT_COLUMNS ? sum[first + i] : (V){0};
        NAME(store)(sums + first, NAME(sum_lanes)(part));
    }
}

/* m <= 2 or n <= 2, and k of unit stride in both operands. */
static void NAME(gemm_dots)(const mg_gemm_problem *problem) {
    const int swap = problem->m > 2; /* then C^T = B^T A^T */
    const int64_t rows = swap ? problem->n : problem->m, columns = swap ? problem->m : problem->n;
    const T *a = swap ? problem->b : problem->a, *b = swap ? problem->a : problem->b;
    const T *bias = problem->bias;
    const int64_t a_row = swap ? problem->b_column : problem->a_row;
    const int64_t b_row = swap ? problem->a_row : problem->b_column;
    const int64_t c_row = swap ? 1 : problem->c_row, c_column = swap ? problem->c_row : 1;
    for (int64_t first = 0; first < columns; first += MG_DOT_COLUMNS) {
        T sums[2 * MG_DOT_COLUMNS + MG_LANES];
        const int64_t width = columns - first < MG_DOT_COLUMNS ? columns - first : MG_DOT_COLUMNS;
        if (rows == 2)
            NAME(dots_tile)(2, problem->k, a, a_row, b + first * b_row, b_row, width, sums);
        else
            NAME(dots_tile)(1, problem->k, a, a_row, b + first * b_row, b_row, width, sums);
        for (int64_t i = 0; i < rows; i++) {
            for (int64_t j = 0; j < width; j++) {
                const T added = bias ? bias[swap ? i : first + j] : 0;
                const int64_t at = i * c_row + (first + j) * c_column;
                T value = sums[i * MG_DOT_COLUMNS + j] + added;
                if (problem->finish == MG_FINISH_RELU)
                    value = value < 0 ? 0 : value;
                else if (problem->finish)
                    value = ((const T *)problem->mask)[at] <= 0 ? 0 : value;
                ((T *)problem->c)[at] = value;
            }
        }
    }
}
