/* Norms and clipping of many tensors at once: one launch each. */
#include "row.h"

/* A row of the arrays alone. */
static int begin_row(mg_row *row, mg_array **arrays, int64_t count, mg_row_body body) {
    if (mg_row_begin(row, count)) return -1;
    for (int64_t i = 0; i < count; i++) mg_row_add(row, arrays + i, 1);
    row->body = body;
    row->writes = 1;
    return 0;
}

static void add_squares(const mg_row *row, int64_t member, int64_t begin, int64_t count,
                        char *const *data, double *sums) {
    (void)begin;
    int dtype = row->member[member].roles[0]->dtype;
    sums[0] += mg_active_isa->optimizer.squares[dtype](count, data[0]);
}

static void find_largest(const mg_row *row, int64_t member, int64_t begin, int64_t count,
                         char *const *data, double *sums) {
    (void)begin;
    int dtype = row->member[member].roles[0]->dtype;
    double most = mg_active_isa->optimizer.largest[dtype](count, data[0]);
    if (most > sums[0] || most != most) sums[0] = most;
}

/* arrays: the norm (0-d), what it is of (n). integers: n, whether the largest is wanted. */
int mg_run_total_norm(const mg_launch *launch) {
    int64_t n = launch->integers[0];
    int largest = launch->integers[1] != 0;
    mg_row row;
    if (begin_row(&row, launch->arrays + 1, n, largest ? find_largest : add_squares)) return -1;
    row.writes = 0;
    if (mg_row_measure(&row, 0.06)) return -1;
    double total = 0;
    for (int64_t i = 0; i < n && total == total; i++) {
        if (largest) {
            double most = mg_row_largest(&row, i, 0);
            if (most > total || most != most) total = most;
        } else {
            total += mg_row_sum(&row, i, 0);
        }
    }
    mg_set_number(launch->arrays[0]->dtype, launch->arrays[0]->data, 0,
                  largest ? total : sqrt(total));
    return 0;
}

static void scale(const mg_row *row, int64_t member, int64_t begin, int64_t count,
                  char *const *data, double *sums) {
    (void)begin, (void)sums;
    int dtype = row->member[member].roles[0]->dtype;
    mg_active_isa->optimizer.scale[dtype](count, data[0], *(const double *)row->context);
}

static void clamp(const mg_row *row, int64_t member, int64_t begin, int64_t count,
                  char *const *data, double *sums) {
    (void)begin, (void)sums;
    int dtype = row->member[member].roles[0]->dtype;
    mg_active_isa->optimizer.clamp[dtype](count, data[0], *(const double *)row->context);
}

/* arrays: what is scaled (n), the total norm. integers: n. scalars: max_norm. */
int mg_run_clip_norm(const mg_launch *launch) {
    int64_t n = launch->integers[0];
    double factor = launch->scalars[0] /
                    (mg_number(launch->arrays[n]->dtype, launch->arrays[n]->data, 0) + 1e-6);
    if (factor >= 1) return 0;
    mg_row row;
    if (begin_row(&row, launch->arrays, n, scale)) return -1;
    row.context = &factor;
    mg_row_run(&row, 0.1);
    return 0;
}

/* arrays: what is clamped (n). integers: n. scalars: the limit. */
int mg_run_clip_value(const mg_launch *launch) {
    mg_row row;
    if (begin_row(&row, launch->arrays, launch->integers[0], clamp)) return -1;
    row.context = &launch->scalars[0];
    mg_row_run(&row, 0.1);
    return 0;
}

/* ---- entries ---- */

static int check_arrays(const char *op, int count, mg_array **arrays, int writes) {
    for (int i = 0; i < count; i++) {
        if (!mg_is_float(arrays[i]->dtype) || arrays[i]->dtype != arrays[0]->dtype)
            return mg_fail(MG_RUNTIME_ERROR,
                           "%s: all tensors must be float32, or all float64, but tensor %d of "
                           "shape %s is %s",
                           op, i, mg_shape_text(arrays[i]), mg_dtype_name(arrays[i]->dtype));
        if (writes && mg_check_writable(op, arrays[i])) return -1;
    }
    return 0;
}

/* Submits a launch over the arrays with one more operand before or after them (or none). */
static int submit(int kernel, const char *op, int count, mg_array **arrays, mg_array *before,
                  mg_array *after, int64_t integer, double scalar) {
    int all = count + (before != NULL) + (after != NULL);
    mg_array **list = malloc((size_t)(all + 1) * sizeof *list);
    if (!list) return mg_fail(MG_MEMORY_ERROR, "%s: out of memory", op);
    list[0] = before;
    memcpy(list + (before != NULL), arrays, (size_t)count * sizeof *arrays);
    if (after) list[all - 1] = after;
    mg_launch launch = {.kernel = kernel,
                        .outputs = before ? 1 : count,
                        .count = all,
                        .arrays = list};
    launch.integers[0] = count;
    launch.integers[1] = integer;
    launch.scalars[0] = scalar;
    int failed = mg_submit(&launch, before ? 0 : MG_ALL_OUTPUTS, op);
    free(list);
    return failed;
}

mg_array *mg_total_norm(int count, mg_array **arrays, int largest) {
    if (check_arrays("get_total_norm", count, arrays, 0)) return NULL;
    mg_array *norm = mg_empty(count ? arrays[0]->dtype : mg_default_float(), 0, NULL);
    if (norm && submit(MG_KERNEL_total_norm, "get_total_norm", count, arrays, norm, NULL,
                       largest != 0, 0)) {
        mg_release(norm);
        return NULL;
    }
    return norm;
}

int mg_clip_norm(int count, mg_array **arrays, mg_array *total_norm, double max_norm) {
    static const char op[] = "clip_grads_with_norm_";
    if (total_norm->size != 1 || !mg_is_float(total_norm->dtype))
        return mg_fail(MG_RUNTIME_ERROR, "%s: total_norm must be one float, got %s of shape %s", op,
                       mg_dtype_name(total_norm->dtype), mg_shape_text(total_norm));
    if (check_arrays(op, count, arrays, 1)) return -1;
    return submit(MG_KERNEL_clip_norm, op, count, arrays, NULL, total_norm, 0, max_norm);
}

int mg_clip_value(int count, mg_array **arrays, double limit) {
    static const char op[] = "clip_grad_value_";
    if (check_arrays(op, count, arrays, 1)) return -1;
    return submit(MG_KERNEL_clip_value, op, count, arrays, NULL, NULL, 0, limit);
}
