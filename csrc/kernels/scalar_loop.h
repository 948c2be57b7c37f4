/* The loop of the operations that take one element at a time. The including file has defined T and
 * NAME; `op` returns its result, and may set the status (enum mg_loop_status). */
static inline __attribute__((always_inline)) int
NAME(map)(const mg_loop *loop, T (*op)(T a, T b, int *status), int arity) {
    int status = MG_LOOP_DONE;
    for (int64_t r = 0; r < loop->rows; r++) {
        T *out = (T *)(loop->out + r * loop->out_row);
        const T *a = (const T *)(loop->in[0] + r * loop->in_row[0]);
        const T *b = arity == 2 ? (const T *)(loop->in[1] + r * loop->in_row[1]) : a;
        const int64_t step_a = loop->step[0], step_b = arity == 2 ? loop->step[1] : step_a;
        for (int64_t i = 0; i < loop->count; i++)
            out[i] = op(a[i * step_a], b[i * step_b], &status);
    }
    return status;
}

/* NAME(binary_f) from the operation NAME(f) */
#define BINARY_LOOP(function)                                                                      \
    static int NAME(binary_##function)(const mg_loop *loop) {                                      \
        return NAME(map)(loop, NAME(function), 2);                                                 \
    }
