/* Runs of elements of a strided array, by logical (row-major) position: the slow path of kernels
 * whose loops work on contiguous memory. */
#ifndef MG_STRIDED_H
#define MG_STRIDED_H

#include "core.h"

/* Elements [begin, begin + count) of the array to or from a contiguous buffer. */
void mg_gather_run(const mg_array *array, int64_t begin, int64_t count, void *buffer);
void mg_scatter_run(const mg_array *array, int64_t begin, int64_t count, const void *buffer);
/* -1 and an error that names `op` where several elements of a destination share their memory. */
int mg_check_writable(const char *op, const mg_array *array);

/* Elements, `item` bytes each (1, 4 or 8), between two evenly spaced runs; strides count elements.
 * */
static inline void mg_copy_strided(void *to, int64_t to_stride, const void *from,
                                   int64_t from_stride, int64_t count, int64_t item) {
    if (to_stride == 1 && from_stride == 1) {
        memcpy(to, from, (size_t)(count * item));
    } else if (item == 4) {
        uint32_t *target = to;
        const uint32_t *source = from;
        for (int64_t i = 0; i < count; i++) target[i * to_stride] = source[i * from_stride];
    } else if (item == 8) {
        uint64_t *target = to;
        const uint64_t *source = from;
        for (int64_t i = 0; i < count; i++) target[i * to_stride] = source[i * from_stride];
    } else {
        uint8_t *target = to;
        const uint8_t *source = from;
        for (int64_t i = 0; i < count; i++) target[i * to_stride] = source[i * from_stride];
    }
}

#endif
