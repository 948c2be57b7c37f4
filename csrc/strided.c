/* Runs of elements of a strided array, see strided.h. */
#include "strided.h"

/* Visits the memory of elements [begin, begin + count) in row-major order, as runs along the last
 * dimension, and copies each run from or to the buffer. */
static void copy_run(const mg_array *array, int64_t begin, int64_t count, char *buffer,
                     int scatter) {
    int64_t item = mg_item_size(array->dtype);
    if (mg_is_contiguous(array) || array->ndim == 0) {
        char *data = array->data + begin * item;
        if (count > 0)
            memcpy(scatter ? data : buffer, scatter ? buffer : data, (size_t)(count * item));
        return;
    }
    int last = array->ndim - 1;
    int64_t position[MG_MAX_DIMS], offset = 0, rest = begin;
    for (int d = last; d >= 0; d--) {
        position[d] = rest % array->shape[d];
        rest /= array->shape[d];
        offset += position[d] * array->strides[d];
    }
    int64_t width = array->shape[last], stride = array->strides[last];
    while (count > 0) {
        int64_t run = width - position[last] < count ? width - position[last] : count;
        char *data = array->data + offset * item;
        if (scatter)
            mg_copy_strided(data, stride, buffer, 1, run, item);
        else
            mg_copy_strided(buffer, 1, data, stride, run, item);
        buffer += run * item;
        count -= run;
        if (count == 0) break; /* what remains would step beyond the array's end */
        offset -= position[last] * stride;
        position[last] = 0;
        for (int d = last - 1; d >= 0; d--) {
            offset += array->strides[d];
            if (++position[d] < array->shape[d]) break;
            offset -= array->shape[d] * array->strides[d];
            position[d] = 0;
        }
    }
}

void mg_gather_run(const mg_array *array, int64_t begin, int64_t count, void *buffer) {
    copy_run(array, begin, count, buffer, 0);
}

void mg_scatter_run(const mg_array *array, int64_t begin, int64_t count, const void *buffer) {
    copy_run(array, begin, count, (char *)(uintptr_t)buffer, 1);
}

int mg_check_writable(const char *op, const mg_array *array) {
    for (int d = 0; d < array->ndim; d++)
        if (array->shape[d] > 1 && array->strides[d] == 0 && array->size > 0)
            return mg_fail(
                MG_RUNTIME_ERROR,
                "%s: more than one element of the written-to tensor of shape %s refers to a "
                "single memory location. Please clone() the tensor before performing the "
                "operation.",
                op, mg_shape_text(array));
    return 0;
}
