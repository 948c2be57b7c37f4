/* The loops of recurrent layers that an instruction set provides: what happens to the elements of
 * one step between two matrix products, float32 and float64. All operands are row-major without
 * gaps, one row for each sequence of the batch. */
#ifndef MG_RECURRENT_H
#define MG_RECURRENT_H

/* Of one row, blocks of `hidden` columns side by side, in `sums` (before the functions) and in
 * `gates` (after them):
 *   RNN_TANH, RNN_RELU  1: h
 *   LSTM                4: i, f, g, o
 *   GRU                 4: n, r, z, and last the recurrent product of n, W_hn h + b_hn, which stays
 *                       a sum
 * so that those with a recurrent product (all; of the GRU the last three) are neighbours, in the
 * order of weight_hh. */
enum mg_recurrent_mode { MG_RNN_TANH, MG_RNN_RELU, MG_LSTM, MG_GRU };

typedef struct mg_recurrent_step {
    int64_t rows, hidden;
    const void *sums;   /* may be the same memory as `gates` */
    void *gates;        /* NULL: not kept. RNN: unused */
    const void *before; /* LSTM: cells, GRU: h of the step before; NULL: zeros */
    void *cells;        /* LSTM; may be the same memory as `before` */
    void *h;
} mg_recurrent_step;

typedef struct mg_recurrent_grad {
    int64_t rows, hidden;
    const void *gates;  /* RNN: h */
    const void *before; /* as in the step */
    const void *cells;  /* LSTM */
    const void *grad_y; /* gradient of this step's h as a result; NULL: none */
    void *grad_h;       /* gradient of this step's h from the later step; GRU: becomes the part of
                         * the gradient of h before that bypasses the matrix product */
    void *grad_c;       /* LSTM: gradient of this step's cells, becomes that of the cells before */
    void *grad_sums;    /* blocks as in the step */
    void *bias_sums;    /* the sum of the rows of grad_sums is added here */
} mg_recurrent_grad;

typedef struct mg_recurrent_loops {
    void (*forward[MG_DTYPE_COUNT])(enum mg_recurrent_mode mode, const mg_recurrent_step *step);
    void (*backward[MG_DTYPE_COUNT])(enum mg_recurrent_mode mode, const mg_recurrent_grad *step);
} mg_recurrent_loops;

#endif
