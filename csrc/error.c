/* The last error of each thread, and the texts that errors are made of. */
#include "core.h"

#include <stdarg.h>
#include <stdio.h>

static __thread int error_kind;
static __thread char error_message[1024];

int mg_fail(int kind, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error_message, sizeof error_message, format, arguments);
    va_end(arguments);
    error_kind = kind;
    return -1;
}

int mg_last_error_kind(void) { return error_kind; }

const char *mg_last_error_message(void) { return error_message; }

const char *mg_dtype_name(int dtype) {
    static const char *const names[MG_DTYPE_COUNT] = {"bool",  "uint8",   "int32",
                                                      "int64", "float32", "float64"};
    return dtype >= 0 && dtype < MG_DTYPE_COUNT ? names[dtype] : "unknown";
}

const char *mg_shape_text(const mg_array *array) {
    enum { BUFFERS = 4, LENGTH = 24 * MG_MAX_DIMS };
    static __thread char buffers[BUFFERS][LENGTH];
    static __thread int next;
    char *text = buffers[next++ % BUFFERS];
    int length = snprintf(text, LENGTH, "[");
    for (int d = 0; d < array->ndim; d++)
        length += snprintf(text + length, (size_t)(LENGTH - length), d ? ", %lld" : "%lld",
                           (long long)array->shape[d]);
    snprintf(text + length, (size_t)(LENGTH - length), "]");
    return text;
}
