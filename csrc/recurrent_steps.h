/* What the forward and the backward pass of a recurrent layer share: the operands, how packed
 * sequences lie in memory, and how a batch is cut in pieces. */
#ifndef MG_RECURRENT_STEPS_H
#define MG_RECURRENT_STEPS_H

#include "core.h"

/* The operands of a layer and direction, in the order of api.h; all but x and the first two weights
 * may be NULL. */
enum mg_recurrent_input {
    MG_IN_X,
    MG_IN_SIZES,
    MG_IN_H0,
    MG_IN_C0,
    MG_IN_W_IH,
    MG_IN_W_HH,
    MG_IN_B_IH,
    MG_IN_B_HH,
    MG_IN_W_HR,
    MG_IN_COUNT
};

/* The rows of the sequences, step after step: row r + b of step t is element t of sequence b, r
 * being the sum of the batch sizes before t. Sequences are sorted, the longest first. */
typedef struct mg_recurrent_layer {
    enum mg_recurrent_mode mode;
    int reverse; /* from the last step to the first */
    int dtype;
    int64_t size; /* bytes of an element */
    int64_t steps, batch, rows;
    int64_t input, hidden;
    int64_t state;         /* size of h: hidden, or that of the projection */
    int64_t units;         /* rows of weight_ih and weight_hh */
    int64_t width;         /* columns of the sums, see recurrent.h */
    int64_t recurrent;     /* first column of those with a recurrent product */
    const int64_t *counts; /* sequences of each step; NULL: all */
    const mg_array *in[MG_IN_COUNT];
} mg_recurrent_layer;

/* Operands without gaps, as new references; NULL stays NULL. Returns whether one failed. */
int mg_recurrent_contiguous(int count, mg_array *const *operands, mg_array **ready);
/* Fills in the shapes and checks them; -1 with the error set. */
int mg_recurrent_describe(mg_recurrent_layer *layer, int mode, int reverse,
                          mg_array *const *inputs);
/* Whether the batch sizes, which are memory, still fit the shapes: -1 with the error set. */
int mg_recurrent_check_counts(const mg_recurrent_layer *layer);
const char *mg_recurrent_name(int mode);

/* Rows of a part of weight_ih, and the first of the columns of the sums that they make: all of it
 * but for the GRU, whose n comes first in the sums and last in the weights. Returns how many. */
typedef struct mg_recurrent_part {
    int64_t row, rows, column;
} mg_recurrent_part;
int mg_recurrent_parts(const mg_recurrent_layer *layer, mg_recurrent_part parts[2]);

/* A step of some sequences: those of the batch in [first, last). */
typedef struct mg_recurrent_rows {
    int64_t first, count; /* in the batch */
    int64_t row;          /* their first row of this step */
    int64_t before;       /* and of the step before; -1: they begin here */
} mg_recurrent_rows;

static inline int64_t mg_recurrent_count(const mg_recurrent_layer *layer, int64_t step) {
    if (step < 0 || step >= layer->steps) return 0;
    return layer->counts ? layer->counts[step] : layer->batch;
}

/* Step `step`, whose first row is `row`, of the sequences [first, last): at most two groups, the
 * second of sequences that begin here. Returns how many. */
int mg_recurrent_groups(const mg_recurrent_layer *layer, int64_t step, int64_t row, int64_t first,
                        int64_t last, mg_recurrent_rows groups[2]);

/* The sequences are independent until the gradients of the weights, so a piece is some of them with
 * all their steps: one fork-join for the whole layer. */
int64_t mg_recurrent_piece(const mg_recurrent_layer *layer);

static inline int64_t mg_recurrent_aligned(int64_t bytes) {
    return (bytes + MG_ALIGNMENT - 1) / MG_ALIGNMENT * MG_ALIGNMENT;
}

/* A row of an array; NULL of NULL. */
static inline char *mg_recurrent_at(const mg_recurrent_layer *layer, const mg_array *array,
                                    int64_t row, int64_t columns) {
    return array ? array->data + row * columns * layer->size : NULL;
}

#endif
