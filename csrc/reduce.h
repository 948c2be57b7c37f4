/* The reduce loops that an instruction set provides. */
#ifndef MG_REDUCE_H
#define MG_REDUCE_H

/* What a kernel leaves for one output: the sum, product, largest element ... of the part that it
 * saw. Floating-point input uses `real`, whatever its width; bool and integers, and any and all of
 * every dtype, use `integer`. */
typedef union mg_partial {
    double real;
    int64_t integer;
} mg_partial;

enum mg_reduce_core {
    MG_REDUCE_SUM,
    MG_REDUCE_PROD,
    MG_REDUCE_MAX,
    MG_REDUCE_MIN,
    MG_REDUCE_ANY,
    MG_REDUCE_ALL,
    MG_REDUCE_ARGMAX, /* argmax and argmin leave the extreme value and its position */
    MG_REDUCE_ARGMIN,
    MG_REDUCE_CORES
};

/* values[r] = the reduction of the n >= 1 neighbouring elements x[r * row_stride ...], for each row
 * r. positions (argmax and argmin alone, otherwise NULL) count from the beginning of the row. */
typedef void (*mg_reduce_rows)(const void *x, int64_t rows, int64_t row_stride, int64_t n,
                               mg_partial *values, int64_t *positions);

/* values[c] = the reduction of x[i * row_stride + c] over the rows i < n, for each column c. */
typedef void (*mg_reduce_columns)(const void *x, int64_t n, int64_t row_stride, int64_t columns,
                                  mg_partial *values, int64_t *positions);

typedef struct mg_reduce_loops {
    mg_reduce_rows rows[MG_REDUCE_CORES][MG_DTYPE_COUNT];
    mg_reduce_columns columns[MG_REDUCE_CORES][MG_DTYPE_COUNT];
} mg_reduce_loops;

/* Of a reduction, by its number (reduce.c): enum mg_reduce_core; whether it divides by how many. */
int mg_reduction_core(int op);
int mg_reduction_is_mean(int op);

#endif
