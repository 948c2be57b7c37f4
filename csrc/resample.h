/* Resampling along the axes of planes: padding, interpolation, averages over windows, and the
 * transposes of all these. What an instruction set provides for it. */
#ifndef MG_RESAMPLE_H
#define MG_RESAMPLE_H

/* A sparse matrix for one axis: element i of the result is the sum over k in [offsets[i], offsets[i
 * + 1]) of weights[k] times element columns[k]. */
typedef struct mg_resample_axis {
    int64_t size, out_size;
    const int64_t *offsets, *columns;
    const void *weights; /* NULL: ones */
} mg_resample_axis;

typedef struct mg_resample_loops {
    /* (outer, size, inner) -> (outer, out_size, inner) */
    void (*pass[MG_DTYPE_COUNT])(const mg_resample_axis *axis, int64_t outer, int64_t inner,
                                 const void *in, void *out);
} mg_resample_loops;

#endif
