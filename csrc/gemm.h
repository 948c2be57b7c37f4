/* The matrix product: what an instruction set provides, and the serial and parallel drivers that
 * matmul and convolution share. Strides count elements; those of A and B may be anything, C has
 * unit column stride. `dtype` is MG_FLOAT32 or MG_FLOAT64 throughout. */
#ifndef MG_GEMM_H
#define MG_GEMM_H

/* What happens to an element of C, x, when its sum is complete; y is the element of `mask` at its
 * place. The same expressions as those of relu and relu_backward in elementwise.def. */
enum mg_gemm_finish {
    MG_FINISH_NONE,
    MG_FINISH_RELU,         /* x < 0 ? 0 : x */
    MG_FINISH_RELU_BACKWARD /* y <= 0 ? 0 : x */
};

/* C (m, n) = A (m, k) B (k, n) + bias (n), bias may be NULL. */
typedef struct mg_gemm_problem {
    int64_t m, n, k;
    const void *a;
    int64_t a_row, a_k;
    const void *b;
    int64_t b_k, b_column;
    const void *bias;
    void *c;
    int64_t c_row;
    int accumulate; /* C += A B; without bias */
    enum mg_gemm_finish finish;
    const void *mask; /* laid out like C */
} mg_gemm_problem;

/* The same with B cut in panels of `columns` columns, ready for the micro-kernel: element (p, j) of
 * panel q stands at b[q * b_panel + p * b_k + j]. A packed panel is padded with zeros to full
 * width; otherwise B stays where it is (b_panel = columns) and n is at least one vector. */
typedef struct mg_gemm_block {
    int64_t m, n, k;
    const void *a;
    int64_t a_row, a_k;
    const void *b;
    int64_t b_k, b_panel;
    const void *bias;
    void *c;
    int64_t c_row;
    int packed;
    int accumulate;
    enum mg_gemm_finish finish;
    const void *mask;
} mg_gemm_block;

typedef struct mg_gemm_loops {
    struct {
        int rows, columns, lanes; /* register block of the micro-kernel, elements of a vector */
        void (*block)(const mg_gemm_block *block);
        /* Packs columns [0, n) of B, all k rows, in panels `panel` elements apart. */
        void (*pack_b)(int64_t k, int64_t n, const void *b, int64_t b_k, int64_t b_column,
                       void *packed, int64_t panel);
        /* The whole product where m or n is 1 or 2 and k has unit stride in A and B. */
        void (*dots)(const mg_gemm_problem *problem);
    } of[2]; /* float32, float64 */
} mg_gemm_loops;

/* On the calling thread alone; 0, or -1 with the error set (out of memory). */
int mg_gemm_serial(int dtype, const mg_gemm_problem *problem);
/* On all threads; the result has the same bits for any number of them. */
int mg_gemm(int dtype, const mg_gemm_problem *problem);
/* `count` products of one shape; the operands of product i start at offsets[i][0..2] elements from
 * those in `problem` (A, B, C). */
int mg_gemm_batch(int dtype, const mg_gemm_problem *problem, int64_t count,
                  const int64_t (*offsets)[3]);
/* B packed once for several products on the calling thread: `packed` has room for
 * mg_gemm_packed_bytes; in the problem b points to it, and b_k and b_column do not count. */
int64_t mg_gemm_packed_bytes(int dtype, int64_t k, int64_t n);
void mg_gemm_pack(int dtype, int64_t k, int64_t n, const void *b, int64_t b_k, int64_t b_column,
                  void *packed);
void mg_gemm_packed(int dtype, const mg_gemm_problem *problem);
/* An estimate of the time of one product on one thread, for mg_parallel_for. */
double mg_gemm_nanoseconds(int dtype, int64_t m, int64_t n, int64_t k);

#endif
