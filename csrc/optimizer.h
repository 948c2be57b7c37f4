/* The optimizer loops that an instruction set provides, one each for float32 and float64. */
#ifndef MG_OPTIMIZER_H
#define MG_OPTIMIZER_H

/* One index for each row of optimizer.def: MG_OPTIMIZER_sgd, ... */
enum mg_optimizer_index {
#define OPTIMIZER(name, numbers, states, counters, writer) MG_OPTIMIZER_##name,
#include "optimizer.def"
#undef OPTIMIZER
    MG_OPTIMIZER_COUNT
};

/* Numbers of one step, the same for every element of a parameter. What they mean stands beside the
 * formulas in kernels/optimizer.h; what a formula does not name is not read. */
typedef struct mg_optimizer_numbers {
    double decay;  /* of every step: added to the gradient, times the parameter */
    double shrink; /* of every step: the parameter is multiplied by it; 1: left alone */
    double rate, next_rate, eps, momentum;
    double beta1, weight1, beta2, weight2; /* the old value's weight, the new value's */
    double scale, low, high;
} mg_optimizer_numbers;

typedef struct mg_optimizer_step {
    mg_optimizer_numbers number;
    int form;           /* which row of optimizer.def */
    int maximize, flag; /* the flag is the formula's own */
    int lazy;           /* rows whose gradient is all zero stay as they are */
} mg_optimizer_step;

/* data: parameter, gradient, states. */
typedef void (*mg_optimizer_update)(const mg_optimizer_step *step, int64_t count,
                                    char *const *data);
/* Adds to sums[0] the squares of the parameter, to sums[1] those of the step's direction. */
typedef void (*mg_optimizer_measure)(const mg_optimizer_step *step, int64_t count,
                                     char *const *data, double *sums);

typedef struct mg_optimizer_loops {
    mg_optimizer_update update[MG_OPTIMIZER_COUNT][MG_DTYPE_COUNT];
    mg_optimizer_measure measure[MG_OPTIMIZER_COUNT][MG_DTYPE_COUNT]; /* of MEASURED rows */
    /* for clipping: the sum of the squares; the largest magnitude, NaN where there is one */
    double (*squares[MG_DTYPE_COUNT])(int64_t count, const void *data);
    double (*largest[MG_DTYPE_COUNT])(int64_t count, const void *data);
    void (*scale[MG_DTYPE_COUNT])(int64_t count, void *data, double factor);
    void (*clamp[MG_DTYPE_COUNT])(int64_t count, void *data, double limit);
    /* Adafactor's passes, see kernels/adafactor.h */
    void (*adafactor_columns[MG_DTYPE_COUNT])(int64_t rows, int64_t columns, const void *gradient,
                                              double *sums);
    void (*adafactor_average[MG_DTYPE_COUNT])(int64_t count, void *values, const double *sums,
                                              double divisor, double weight);
    double (*adafactor_measure[MG_DTYPE_COUNT])(int64_t count, const void *gradient,
                                                const void *columns, double factor, double floor);
    void (*adafactor_update[MG_DTYPE_COUNT])(int64_t count, void *parameter, const void *gradient,
                                             const void *columns, double factor, double floor,
                                             double shrink, double rate);
} mg_optimizer_loops;

#endif
