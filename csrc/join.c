/* Arrays of one dtype laid one behind the other, or side by side: one launch for any number. */
#include "core.h"

#include <stdlib.h>
#include <string.h>

typedef struct task {
    char *out;
    mg_array *const *parts;
    int64_t count, outer, item, row_bytes; /* of one row of the result */
} task;

/* Piece index outer * count + part is one memcpy. */
static void join_pieces(void *context, int64_t begin, int64_t end) {
    const task *t = context;
    int64_t part = begin % t->count, row = begin / t->count, place = 0;
    for (int64_t i = 0; i < part; i++) place += t->parts[i]->size / t->outer;
    char *out = t->out + row * t->row_bytes + place * t->item;
    for (int64_t index = begin; index < end; index++) {
        const mg_array *from = t->parts[part];
        int64_t bytes = from->size / t->outer * t->item;
        if (bytes) memcpy(out, (const char *)from->data + row * bytes, (size_t)bytes);
        out += bytes;
        if (++part == t->count) part = 0, row++;
    }
}

/* arrays: out, the parts. integers: outer. */
int mg_run_join(const mg_launch *launch) {
    const mg_array *out = launch->arrays[0];
    if (!out->size) return 0;
    int64_t count = launch->count - 1, outer = launch->integers[0];
    int64_t item = mg_item_size(out->dtype);
    task t = {out->data, launch->arrays + 1, count, outer, item, out->size / outer * item};
    int64_t pieces = count * outer, bytes = out->size * item;
    /* 32 KB to a piece, so that what is found out at its begin costs nothing beside it. */
    int64_t piece = 1 + 32768 * pieces / (bytes + 1);
    mg_parallel_for(pieces, piece, 0.05 * (double)bytes + 4.0 * (double)pieces, join_pieces, &t);
    return 0;
}

/* ---- the entry ---- */

int mg_can_join(int count, mg_array **parts, int dim) {
    for (int i = 0; i < count; i++) {
        const mg_array *part = parts[i], *first = parts[0];
        if (part->dtype != first->dtype || part->ndim != first->ndim || !mg_is_contiguous(part))
            return 0;
        for (int d = 0; d < part->ndim; d++)
            if (d != dim && part->shape[d] != first->shape[d]) return 0;
    }
    return count > 0;
}

static int submit(mg_array *out, int count, mg_array **parts, int64_t outer) {
    int64_t total = 0;
    for (int i = 0; i < count; i++) {
        if (parts[i]->dtype != out->dtype || !mg_is_contiguous(parts[i]))
            return mg_fail(MG_RUNTIME_ERROR, "cat: part %d is not contiguous or of dtype %s", i,
                           mg_dtype_name(out->dtype));
        if (outer > 0 && parts[i]->size % outer)
            return mg_fail(MG_RUNTIME_ERROR, "cat: part %d has no %lld rows", i, (long long)outer);
        total += parts[i]->size;
    }
    if (total != out->size)
        return mg_fail(MG_RUNTIME_ERROR, "cat: the parts do not fill shape %s", mg_shape_text(out));
    mg_array **arrays = malloc(((size_t)count + 1) * sizeof *arrays);
    if (!arrays) return mg_fail(MG_MEMORY_ERROR, "cat: out of memory");
    arrays[0] = out;
    memcpy(arrays + 1, parts, (size_t)count * sizeof *arrays);
    mg_launch launch = {.kernel = MG_KERNEL_join,
                        .outputs = 1,
                        .count = count + 1,
                        .arrays = arrays};
    launch.integers[0] = outer;
    int failed = mg_submit(&launch, 0, NULL);
    free(arrays);
    return failed;
}

mg_array *mg_join(int count, mg_array **parts, int ndim, const int64_t *shape, int64_t outer) {
    if (count < 1) {
        mg_fail(MG_VALUE_ERROR, "cat: expected a non-empty list of Tensors");
        return NULL;
    }
    mg_array *out = mg_empty(parts[0]->dtype, ndim, shape);
    if (out && submit(out, count, parts, outer)) {
        mg_release(out);
        return NULL;
    }
    return out;
}
