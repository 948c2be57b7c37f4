/* What the C files share. Python sees api.h only. */
#ifndef MG_CORE_H
#define MG_CORE_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"

#define MG_ALIGNMENT 64

/* ---- errors (error.c) ---- */

/* Sets this thread's error, printf-style, and returns -1. */
int mg_fail(int kind, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A shape as "[2, 3]" in one of a few rotating buffers of this thread, for messages. */
const char *mg_shape_text(const mg_array *array);
const char *mg_dtype_name(int dtype); /* "float32" */

/* ---- memory (memory.c): reference-counted, 64-byte-aligned, pooled ---- */
struct mg_storage {
    int32_t references;
    int32_t size_class; /* of the pool; -1: not the pool's memory */
    int64_t bytes;
    char *data;
    int64_t version; /* in-place writes so far */
    int64_t stamp;   /* mg_clock at the last of them */
    const char *last_writer;
    int64_t owner; /* of wrapped memory */
    int64_t plan;  /* the plan during whose recording it was made, 0: none */
    int known;     /* to that plan, see plan.h: first written by a launch, or by the host, ... */
};

mg_storage *mg_storage_new(int64_t bytes);
void mg_storage_retain(mg_storage *storage);
void mg_storage_release(mg_storage *storage);
/* Work memory of the calling thread, kept between calls; contents undefined, 64-byte-aligned. Each
 * `slot` is a buffer of its own that stays valid until the same slot is asked for again. */
enum mg_scratch_slot { MG_SCRATCH_PACK_A, MG_SCRATCH_PACK_B, MG_SCRATCH_WORK, MG_SCRATCH_SLOTS };
void *mg_scratch(int slot, int64_t bytes);

/* ---- arrays (array.c) ---- */
static inline int mg_is_float(int dtype) { return dtype >= MG_FLOAT32; }

/* Number k of contiguous ones of a floating dtype. */
static inline double mg_number(int dtype, const void *numbers, int64_t k) {
    return dtype == MG_FLOAT32 ? (double)((const float *)numbers)[k] : ((const double *)numbers)[k];
}

static inline void mg_set_number(int dtype, void *numbers, int64_t k, double value) {
    if (dtype == MG_FLOAT32)
        ((float *)numbers)[k] = (float)value;
    else
        ((double *)numbers)[k] = value;
}
static inline int mg_is_contiguous(const mg_array *a) { return a->flags & MG_CONTIGUOUS; }

/* A fresh contiguous array with the shape of another. */
mg_array *mg_empty_like(const mg_array *like, int dtype);
/* `array` itself (retained) where it is contiguous and of that dtype, else a converted copy. */
mg_array *mg_as_contiguous(mg_array *array, int dtype);
/* The common shape of two operands; -1 and an error that names `op` where there is none. */
int mg_broadcast_shapes(const char *op, const mg_array *a, const mg_array *b, int *ndim,
                        int64_t *shape);

/* ---- launches (launch.c): the one door through which everything computes ---- */
#define MG_MAX_INTEGERS 24
#define MG_MAX_SCALARS 8

struct mg_launch;
typedef struct mg_kernel {
    const char *name;
    int (*run)(const struct mg_launch *launch); /* 0, or -1 with the error set */
} mg_kernel;

/* One index for each row of kernels.def: MG_KERNEL_unary, MG_KERNEL_binary, ... */
enum mg_kernel_index {
#define KERNEL(name, source, dtypes) MG_KERNEL_##name,
#include "kernels.def"
#undef KERNEL
    MG_KERNEL_COUNT
};

/* What a kernel needs, complete: replaying a plan is running its records again. Arrays may be NULL
 * where an operand is optional. What changes from step to step lives in the memory of an array. */
typedef struct mg_launch {
    int32_t kernel;
    int32_t outputs; /* arrays[0 .. outputs) are written, the others only read */
    int32_t count;
    mg_array **arrays;
    int64_t integers[MG_MAX_INTEGERS];
    double scalars[MG_MAX_SCALARS];
} mg_launch;

#define MG_ALL_OUTPUTS UINT32_MAX

/* Runs the launch, and appends it to the plan where one is being recorded. `in_place` is a bit mask
 * of the outputs that existed before (MG_ALL_OUTPUTS: every one): their version advances, with
 * `writer`, a string that lives for ever, as the name in errors. */
int mg_submit(const mg_launch *launch, uint32_t in_place, const char *writer);

/* ---- threads (threads.c): the only place with OpenMP ---- */
typedef void (*mg_body)(void *context, int64_t begin, int64_t end);
/* Calls body(context, begin, end) for [0, piece), [piece, 2 piece), ... up to count. The pieces do
 * not depend on the number of threads, so neither does the result. `nanoseconds` is the estimated
 * cost of the whole loop on one thread; a loop too cheap to pay for a fork-join runs on the calling
 * thread. */
void mg_parallel_for(int64_t count, int64_t piece, double nanoseconds, mg_body body, void *context);
/* Calls run(context) on this thread while the others stand by: a loop within it starts on them in a
 * fraction of a microsecond. Returns what it returns. */
int mg_parallel_region(int (*run)(void *context), void *context);
/* The same, with every loop on this thread. */
int mg_parallel_alone(int (*run)(void *context), void *context);
/* What a loop has to take on one thread to be worth sharing, in nanoseconds; infinite where there
 * is nobody to share it with. */
double mg_parallel_overhead(void);

/* ---- instruction sets (dispatch.c, isa/) ---- */
#include "conv.h"
#include "elementwise.h"
#include "gemm.h"
#include "normalize.h"
#include "optimizer.h"
#include "peak.h"
#include "pool2d.h"
#include "random.h"
#include "recurrent.h"
#include "reduce.h"
#include "resample.h"

/* The kernels of one instruction set, all made from the same sources in kernels/. */
typedef struct mg_isa {
    const char *name;
    int vector_bytes;
    int (*supported)(void);
    mg_elementwise_loops elementwise;
    mg_reduce_loops reduce;
    mg_normalize_loops normalize;
    mg_gemm_loops gemm;
    mg_peak_loops peak;
    mg_conv_loops conv;
    mg_optimizer_loops optimizer;
    mg_pool2d_loops pool2d;
    mg_random_loops random;
    mg_recurrent_loops recurrent;
    mg_resample_loops resample;
} mg_isa;

extern const mg_isa *mg_active_isa; /* chosen at load, see dispatch.c */

#endif
