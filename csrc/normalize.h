/* The loops of softmax, attention, cross-entropy and the normalisations that an instruction set
 * provides.
 * Here n >= 1 elements are normalised together: neighbours (rows) or `stride` elements apart, side
 * by side with other such columns. Arrays are of the loop's dtype unless said otherwise. */
#ifndef MG_NORMALIZE_H
#define MG_NORMALIZE_H

/* One cross-entropy over samples of `classes` numbers each. A sample's classes lie `inner` elements
 * apart, its neighbour is the next element, as in (N, C, inner). */
typedef struct mg_cross_entropy_task {
    const int64_t *target;
    const void *weight; /* (classes), or NULL for all 1 */
    double weight_sum;  /* over the classes */
    int64_t classes, inner, ignore_index;
    double label_smoothing;
} mg_cross_entropy_task;

enum mg_batch_sum {
    MG_BATCH_SUM_X,          /* sum x */
    MG_BATCH_SUM_SQUARES,    /* sum (x - mean)^2 */
    MG_BATCH_SUM_GRAD,       /* sum grad */
    MG_BATCH_SUM_GRAD_TIMES, /* sum grad (x - mean) */
};

/* Where a batch normalisation is applied: rows of n neighbouring elements, row_stride apart. They
 * are of one channel or, where `each`, element k of a row is of channel k. With its numbers,
 *   forward:  y = (x - mean) scale + shift
 *   backward: grad_input = scale grad - shift - (x - mean) slope; slope NULL: scale grad */
typedef struct mg_batch_rows {
    int64_t rows, row_stride, n;
    int each;
    const void *mean, *scale, *shift, *slope;
} mg_batch_rows;

/* Rows of n neighbouring elements, each normalised by itself: layer normalisation. Row r has the
 * weights of group r % groups. */
typedef struct mg_rows_task {
    int64_t n, groups;
    int centred; /* 0: root mean square, which takes the mean for 0 */
    double eps;
    const void *weight, *bias; /* (groups, n) or NULL */
    void *mean, *inverse_std;  /* (rows), written by the forward pass; mean NULL if not centred */
} mg_rows_task;

/* A block of attention's scores: rows of `columns` numbers, `stride` apart, which belong to
 * neighbouring queries. Where causal, row r sees the first visible + r columns. mask is added to
 * the scaled scores and keep multiplies the weights; each may be NULL. */
#define MG_ATTENTION_ROWS 64
typedef struct mg_attention_task {
    int64_t rows, columns, stride, visible;
    int causal;
    double scale;
    const void *mask, *keep;
    int64_t mask_stride, keep_stride;
} mg_attention_task;

typedef struct mg_normalize_loops {
    /* softmax, or log-softmax */
    void (*softmax_rows[MG_DTYPE_COUNT])(const void *x, int64_t rows, int64_t n, int logarithm,
                                         void *out);
    void (*softmax_columns[MG_DTYPE_COUNT])(const void *x, int64_t n, int64_t stride,
                                            int64_t columns, int logarithm, void *out);
    /* grad_input from grad_output and the forward pass's output */
    void (*softmax_backward_rows[MG_DTYPE_COUNT])(const void *grad, const void *y, int64_t rows,
                                                  int64_t n, int logarithm, void *out);
    void (*softmax_backward_columns[MG_DTYPE_COUNT])(const void *grad, const void *y, int64_t n,
                                                     int64_t stride, int64_t columns, int logarithm,
                                                     void *out);
    /* Losses of samples [begin, end) from all samples' log-probabilities. loss NULL: not wanted one
     * by one. totals: sums of the losses and the weights. Returns 0 where a target is no class. */
    int (*cross_entropy[MG_DTYPE_COUNT])(const mg_cross_entropy_task *task,
                                         const void *log_probabilities, int64_t begin, int64_t end,
                                         void *loss, double *totals);
    /* The derivative with respect to the input, times grad[sample] * scale or, where grad is NULL,
     * times scale. For inner > 1, samples [begin, end) are of one n. */
    int (*cross_entropy_backward[MG_DTYPE_COUNT])(const mg_cross_entropy_task *task,
                                                  const void *log_probabilities, int64_t begin,
                                                  int64_t end, const void *grad, double scale,
                                                  void *grad_input);
    /* Sums (enum mg_batch_sum) over rows of n neighbouring elements: of all (rows), or of each of
     * the n columns, whose means are mean[k] (columns). */
    void (*batch_sum_rows[MG_DTYPE_COUNT])(int kind, const void *x, const void *grad, int64_t rows,
                                           int64_t row_stride, int64_t n, const void *mean,
                                           double *sum);
    void (*batch_sum_columns[MG_DTYPE_COUNT])(int kind, const void *x, const void *grad,
                                              int64_t rows, int64_t row_stride, int64_t n,
                                              const void *mean, double *sums);
    void (*batch_apply[MG_DTYPE_COUNT])(const mg_batch_rows *rows, const void *x, void *out);
    void (*batch_backward[MG_DTYPE_COUNT])(const mg_batch_rows *rows, const void *x,
                                           const void *grad, void *out);
    /* Rows [begin, end): statistics and result. */
    void (*rows_normalize[MG_DTYPE_COUNT])(const mg_rows_task *task, const void *x, int64_t begin,
                                           int64_t end, void *out);
    /* Samples [begin, end) of `groups` rows each. NULL: not wanted; grad_weight and grad_bias are
     * added to. */
    void (*rows_backward[MG_DTYPE_COUNT])(const mg_rows_task *task, const void *x, const void *grad,
                                          int64_t begin, int64_t end, void *grad_input,
                                          void *grad_weight, void *grad_bias);
    /* Scores become weights; log_sums: the logarithm of each row's sum of exponentials. */
    void (*attention_weights[MG_DTYPE_COUNT])(const mg_attention_task *task, void *scores,
                                              void *log_sums);
    /* Scores become weights, and the gradient of weights becomes that of the unscaled scores. */
    void (*attention_slopes[MG_DTYPE_COUNT])(const mg_attention_task *task, void *scores,
                                             void *slopes, const void *log_sums);
} mg_normalize_loops;

#endif
