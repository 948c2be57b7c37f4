/* The largest element of windows of any place and size over the last one to three dimensions: the
 * pools that pool2d.c has not, over volumes, to a given size, and with windows drawn at random. */
#include "core.h"

enum { AXES = 3, PIECE_ELEMENTS = 8192 };

typedef struct job {
    mg_windows windows;
    const mg_array *input;
    mg_array *values, *indices;
    int failed;
} job;

/* The windows are values in memory: their first element lies in the input, and so do the others.
 * One without elements has the value -infinity and some index. */
static int check_windows(const mg_array *windows, int64_t size) {
    const int64_t *each = (const int64_t *)windows->data;
    for (int64_t i = 0; i < windows->size; i += 3) {
        const int64_t first = each[i], count = each[i + 1], step = each[i + 2];
        if (first < 0 || first >= size || count < 0 || step < 1 ||
            count - 1 > (size - 1 - first) / step)
            return mg_fail(MG_INDEX_ERROR,
                           "window_max: a window of %lld elements from %lld on, %lld apart, does "
                           "not lie in a dimension of %lld",
                           (long long)count, (long long)first, (long long)step, (long long)size);
    }
    return 0;
}

static void run_rows(void *context, int64_t begin, int64_t end) {
    job *job = context;
    const int64_t width = job->windows.size[2], item = mg_item_size(job->input->dtype);
    void *columns = mg_scratch(MG_SCRATCH_WORK, 2 * (width * item + 64));
    if (!columns) {
        __atomic_store_n(&job->failed, 1, __ATOMIC_RELAXED);
        return;
    }
    mg_active_isa->pool2d.window_max[job->input->dtype](&job->windows, begin, end, job->input->data,
                                                        job->values->data,
                                                        (int64_t *)job->indices->data, columns);
}

/* arrays: values, indices; input, windows of each dimension */
int mg_run_window_max(const mg_launch *launch) {
    static const int64_t whole[3] = {0, 1, 1};
    job job = {.input = launch->arrays[2],
               .values = launch->arrays[0],
               .indices = launch->arrays[1]};
    const int count = launch->count - 3, ndim = job.input->ndim;
    int64_t planes = 1, taps = 1;
    if (job.values->size == 0) return 0;
    for (int d = 0; d < ndim - count; d++) planes *= job.input->shape[d];
    for (int d = 0; d < AXES; d++) {
        const int given = d - (AXES - count);
        job.windows.size[d] = job.windows.out_size[d] = 1;
        job.windows.windows[d] = whole;
        if (given < 0) continue;
        const mg_array *windows = launch->arrays[3 + given];
        job.windows.size[d] = job.input->shape[ndim - count + given];
        job.windows.out_size[d] = windows->shape[1];
        job.windows.windows[d] = (const int64_t *)windows->data;
        job.windows.pitch[d] = windows->shape[0] > 1 ? 3 * windows->shape[1] : 0;
        if (check_windows(windows, job.windows.size[d])) return -1;
        if (d < AXES - 1) taps *= job.windows.windows[d][1];
    }
    const int64_t rows = planes * job.windows.out_size[0] * job.windows.out_size[1];
    const int64_t row = job.windows.size[2] * taps;
    mg_parallel_for(rows, 1 + PIECE_ELEMENTS / (row + 1), 0.5 * (double)(rows * row), run_rows,
                    &job);
    return job.failed ? mg_fail(MG_MEMORY_ERROR, "window_max: out of memory for work buffers") : 0;
}

int mg_window_max(mg_array *input, int count, mg_array **windows, mg_array **outputs) {
    mg_array *arrays[3 + AXES] = {0};
    int64_t shape[MG_MAX_DIMS], planes = 1, volume = 1;
    if (!mg_is_float(input->dtype))
        return mg_fail(MG_NOT_IMPLEMENTED_ERROR,
                       "window_max: not implemented for %s; convert to float32 or float64 first",
                       mg_dtype_name(input->dtype));
    if (count < 1 || count > AXES || count > input->ndim)
        return mg_fail(MG_RUNTIME_ERROR, "window_max: %d dimensions of an input of shape %s", count,
                       mg_shape_text(input));
    memcpy(shape, input->shape, sizeof shape);
    for (int d = 0; d < input->ndim - count; d++) planes *= input->shape[d];
    for (int i = 0; i < count; i++) {
        const int d = input->ndim - count + i;
        const mg_array *each = windows[i];
        if (each->dtype != MG_INT64 || each->ndim != 3 || each->shape[2] != 3 ||
            (each->shape[0] != 1 && each->shape[0] != planes))
            return mg_fail(MG_RUNTIME_ERROR,
                           "window_max: expected windows of shape (1 or %lld, size, 3), got %s",
                           (long long)planes, mg_shape_text(each));
        if (input->shape[d] > INT32_MAX || volume > INT32_MAX / (input->shape[d] + 1))
            return mg_fail(MG_RUNTIME_ERROR,
                           "window_max: a volume has at most 2^31 - 1 elements, got %s; pool it in "
                           "parts",
                           mg_shape_text(input));
        volume *= input->shape[d];
        shape[d] = each->shape[1];
    }
    arrays[0] = mg_empty(input->dtype, input->ndim, shape);
    arrays[1] = mg_empty(MG_INT64, input->ndim, shape);
    arrays[2] = mg_as_contiguous(input, input->dtype);
    int failed = !arrays[0] || !arrays[1] || !arrays[2];
    for (int i = 0; i < count && !failed; i++) {
        arrays[3 + i] = mg_as_contiguous(windows[i], MG_INT64);
        failed = !arrays[3 + i];
    }
    mg_launch launch = {.kernel = MG_KERNEL_window_max,
                        .outputs = 2,
                        .count = 3 + count,
                        .arrays = arrays};
    failed = failed || mg_submit(&launch, 0, NULL);
    for (int i = failed ? 0 : 2; i < 3 + count; i++)
        if (arrays[i]) mg_release(arrays[i]);
    if (failed) return -1;
    outputs[0] = arrays[0];
    outputs[1] = arrays[1];
    return 0;
}
