/* The most that the processor can do, to compare kernels with. */
#ifndef MG_PEAK_H
#define MG_PEAK_H

typedef struct mg_peak_loops {
    /* Runs `rounds` rounds of independent multiply-adds x = x * factor + term in registers, and
     * says how many floating point operations that were; `sum` takes a value that needs them. */
    struct {
        double (*multiply_adds)(int64_t rounds, double factor, double term, double *sum);
    } of[2]; /* float32, float64 */
} mg_peak_loops;

#endif
