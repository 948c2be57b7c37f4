/* How a reduction over any dimensions of any view is laid out for the loops (reduce_form.c). */
#ifndef MG_REDUCE_FORM_H
#define MG_REDUCE_FORM_H

#include "core.h"

/* A reduction is brought to one of three forms, each a grid of outputs:
 *   rows      outputs reduce neighbouring elements: sum over the last dimensions
 *   columns   neighbouring outputs reduce neighbouring elements: sum over the first dimensions
 *   gathered  everything else: elements are collected in a buffer, then reduced as a row */
enum mg_reduce_form { ROWS, COLUMNS, GATHERED };

#define MG_REDUCE_WIDTH 256 /* most outputs of one cell of the grid */

typedef struct mg_axis {
    int64_t size, stride, out_stride;
} mg_axis;

typedef struct mg_reduction {
    int core, form, dtype, out_dtype, integer; /* integer: which field of the partials counts */
    mg_reduce_rows rows;
    mg_reduce_columns columns;
    const char *x;
    char *out;
    int64_t item_size, out_item_size;
    double divisor;
    /* Outputs: `outer` dimensions around one of `width`. */
    int outer_dims, repeat_dims;
    mg_axis outer[MG_MAX_DIMS], width;
    /* Reduced: `repeat` dimensions around one of n elements; all are in `repeat` if gathered. */
    mg_axis repeat[MG_MAX_DIMS];
    int64_t outer_count, repeats, n, n_stride;
    /* The grid: outer_count x chunks of the width x parts of the reduced elements. A part is either
     * a range of n in one repeat, or a few whole repeats. */
    int64_t chunk, chunks, part_n, part_repeats, parts_n, parts;
    mg_partial *partials; /* outer_count x parts x width where there is more than one part */
    int64_t *positions;
} mg_reduction;

/* Fills the axes, the form and the grid; everything above them is set. The input is not empty. */
void mg_reduce_layout(mg_reduction *r, const mg_array *a, int64_t dims);
/* The offsets, in elements, of the index-th position over some axes, the last axis fastest. */
void mg_axes_at(const mg_axis *axes, int dims, int64_t index, int64_t *offset, int64_t *out_offset);

#endif
