/* What the threads in use reach at most: multiply-adds in registers, and copies. */
#include "core.h"

#include <time.h>

enum { MOST_THREADS = 256, BATCH = 500 };
#define WINDOW 5e-5 /* seconds */

typedef struct measurement {
    int dtype;
    int64_t bytes; /* that a copy reads and writes; 0: measure multiply-adds */
    double seconds;
    double rates[MOST_THREADS]; /* of each thread */
    int failed;
} measurement;

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* The best rate of a window of time counts: what else runs on the machine does not. */
static int advance(double *begin, double *done, double *best) {
    double passed = seconds_now() - *begin;
    if (passed < WINDOW) return 0;
    if (*done / passed > *best) *best = *done / passed;
    *begin += passed;
    *done = 0;
    return 1;
}

static double flops_of_one(const measurement *m) {
    double sum = 0, done = 0, best = 0, begin = seconds_now(), end = begin + m->seconds;
    while (!advance(&begin, &done, &best) || begin < end)
        done += mg_active_isa->peak.of[m->dtype == MG_FLOAT64].multiply_adds(BATCH, 0.5, 1, &sum);
    return sum == 0 ? 0 : best; /* the sum is never 0: it keeps the loop alive */
}

static double bytes_of_one(measurement *m) {
    const size_t half = (size_t)(m->bytes / 2);
    char *from = malloc(half), *to = malloc(half);
    double done = 0, best = 0;
    if (!from || !to) {
        m->failed = 1;
    } else {
        memset(from, 1, half);
        memset(to, 1, half);
        const int64_t batch = 1 + 65536 / m->bytes; /* the clock is slow beside a small copy */
        double begin = seconds_now(), end = begin + m->seconds;
        while (!advance(&begin, &done, &best) || begin < end) {
            for (int64_t i = 0; i < batch; i++) {
                memcpy(to, from, half);
                __asm__ volatile("" : : "r"(to) : "memory"); /* every copy counts */
            }
            done += 2.0 * (double)half * (double)batch;
        }
    }
    free(from);
    free(to);
    return best;
}

static void measure(void *context, int64_t begin, int64_t end) {
    measurement *m = context;
    for (int64_t i = begin; i < end; i++)
        m->rates[i] = m->bytes ? bytes_of_one(m) : flops_of_one(m);
}

static double run(measurement *m) {
    int64_t threads = mg_get_num_threads();
    if (threads > MOST_THREADS) threads = MOST_THREADS;
    mg_parallel_for(threads, 1, 1e9 * m->seconds * (double)threads, measure, m);
    double all = 0;
    for (int64_t i = 0; i < threads; i++) all += m->rates[i];
    return m->failed ? mg_fail(MG_MEMORY_ERROR, "out of memory for a copy of %lld bytes",
                               (long long)m->bytes)
                     : all;
}

double mg_peak_flops(int dtype, double seconds) {
    if (!mg_is_float(dtype))
        return mg_fail(MG_TYPE_ERROR, "peak_flops: expected float32 or float64, got %s",
                       mg_dtype_name(dtype));
    measurement m = {.dtype = dtype, .seconds = seconds};
    return run(&m);
}

double mg_peak_bytes(int64_t bytes, double seconds) {
    if (bytes < 2) return mg_fail(MG_VALUE_ERROR, "peak_bytes: expected at least 2 bytes");
    measurement m = {.bytes = bytes, .seconds = seconds};
    return run(&m);
}
