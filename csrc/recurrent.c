/* Recurrent layers forward: all steps of one layer and direction in one launch.
 *
 * A piece of the batch goes through all its steps on its own, so that its sums (a few rows) stay in
 * the first cache levels between the products x W_ih^T and h W_hh^T, whose weights are packed once,
 * and the functions of the gates. For a few sequences only, products of so few rows are slow: then
 * x W_ih^T of all steps is one product beforehand. */
#include "recurrent_steps.h"

/* With fewer sequences than this the products with x are made for all steps at once. */
#define FEW_SEQUENCES 8

typedef struct forward {
    mg_recurrent_layer layer;
    mg_array *y, *h_n, *c_n;
    mg_array *gates, *cells, *hidden; /* kept for the backward pass, else NULL */
    mg_array *sums;                   /* products with x made beforehand; NULL: not */
    mg_recurrent_part parts[2];
    int part_count;
    char *bias;         /* (width), what every row of the sums begins with */
    char *packed_ih[2]; /* for each part */
    char *packed_hh, *packed_hr;
    int failed;
} forward;

/* bias_ih + bias_hh, but for the GRU's n, whose recurrent product is apart. */
static void make_bias(const forward *f) {
    const mg_recurrent_layer *layer = &f->layer;
    const mg_array *first = layer->in[MG_IN_B_IH], *second = layer->in[MG_IN_B_HH];
    const int64_t shared = layer->mode == MG_GRU ? 2 * layer->hidden : layer->units;
    memset(f->bias, 0, (size_t)(layer->width * layer->size));
    if (!first) return;
    char *target = f->bias + layer->recurrent * layer->size;
    for (int64_t i = 0; i < shared; i++) {
        if (layer->dtype == MG_FLOAT32)
            ((float *)target)[i] =
                ((const float *)first->data)[i] + ((const float *)second->data)[i];
        else
            ((double *)target)[i] =
                ((const double *)first->data)[i] + ((const double *)second->data)[i];
    }
    if (layer->mode != MG_GRU) return;
    const size_t bytes = (size_t)(layer->hidden * layer->size);
    memcpy(f->bias, first->data + 2 * bytes, bytes);
    memcpy(f->bias + 3 * bytes, second->data + 2 * bytes, bytes);
}

/* The transposed weights, packed, and the bias, in work memory of this thread. */
static int pack_weights(forward *f) {
    const mg_recurrent_layer *layer = &f->layer;
    const int dtype = layer->dtype;
    const mg_array *w_ih = layer->in[MG_IN_W_IH], *w_hh = layer->in[MG_IN_W_HH];
    const mg_array *w_hr = layer->in[MG_IN_W_HR];
    int64_t bytes[5] = {mg_recurrent_aligned(layer->width * layer->size)}, total = 0;
    for (int i = 0; i < f->part_count && !f->sums; i++)
        bytes[1 + i] =
            mg_recurrent_aligned(mg_gemm_packed_bytes(dtype, layer->input, f->parts[i].rows));
    bytes[3] = mg_recurrent_aligned(mg_gemm_packed_bytes(dtype, layer->state, layer->units));
    if (w_hr)
        bytes[4] = mg_recurrent_aligned(mg_gemm_packed_bytes(dtype, layer->hidden, layer->state));
    for (int i = 0; i < 5; i++) total += bytes[i];
    f->bias = mg_scratch(MG_SCRATCH_PACK_A, total);
    if (!f->bias) return -1;
    f->packed_ih[0] = f->bias + bytes[0];
    f->packed_ih[1] = f->packed_ih[0] + bytes[1];
    f->packed_hh = f->packed_ih[1] + bytes[2];
    f->packed_hr = f->packed_hh + bytes[3];
    make_bias(f);
    for (int i = 0; i < f->part_count && !f->sums; i++)
        mg_gemm_pack(dtype, layer->input, f->parts[i].rows,
                     mg_recurrent_at(layer, w_ih, f->parts[i].row, layer->input), 1, layer->input,
                     f->packed_ih[i]);
    mg_gemm_pack(dtype, layer->state, layer->units, w_hh->data, 1, layer->state, f->packed_hh);
    if (w_hr)
        mg_gemm_pack(dtype, layer->hidden, layer->state, w_hr->data, 1, layer->hidden,
                     f->packed_hr);
    return 0;
}

/* sums (count, width) = x W_ih^T + bias for the rows from `row` on, by the packed weights or, for
 * all rows at once, by a product of its own. */
static int multiply_input(const forward *f, int64_t row, int64_t count, char *sums, int packed) {
    const mg_recurrent_layer *layer = &f->layer;
    for (int i = 0; i < f->part_count; i++) {
        const mg_recurrent_part *part = &f->parts[i];
        const mg_gemm_problem problem = {
            .m = count,
            .n = part->rows,
            .k = layer->input,
            .a = mg_recurrent_at(layer, layer->in[MG_IN_X], row, layer->input),
            .a_row = layer->input,
            .a_k = 1,
            .b = packed ? f->packed_ih[i]
                        : mg_recurrent_at(layer, layer->in[MG_IN_W_IH], part->row, layer->input),
            .b_k = 1,
            .b_column = layer->input,
            .bias = f->bias + part->column * layer->size,
            .c = sums + part->column * layer->size,
            .c_row = layer->width,
        };
        if (packed)
            mg_gemm_packed(layer->dtype, &problem);
        else if (mg_gemm(layer->dtype, &problem))
            return -1;
    }
    if (layer->mode != MG_GRU) return 0;
    const size_t bytes = (size_t)(layer->hidden * layer->size);
    for (int64_t i = 0; i < count; i++)
        memcpy(sums + ((size_t)i * 4 + 3) * bytes, f->bias + 3 * bytes, bytes);
    return 0;
}

/* One step of some sequences. `work`: room for their sums, then for their h before a projection. */
static void run_rows(const forward *f, const mg_recurrent_rows *at, char *work) {
    const mg_recurrent_layer *layer = &f->layer;
    const int64_t hidden = layer->hidden, state = layer->state, width = layer->width;
    const mg_array *h0 = layer->in[MG_IN_H0], *c0 = layer->in[MG_IN_C0];
    const int begins = at->before < 0;
    const char *h = begins ? mg_recurrent_at(layer, h0, at->first, state)
                           : mg_recurrent_at(layer, f->y, at->before, state);
    const char *c = begins     ? mg_recurrent_at(layer, c0, at->first, hidden)
                    : f->cells ? mg_recurrent_at(layer, f->cells, at->before, hidden)
                               : mg_recurrent_at(layer, f->c_n, at->first, hidden);
    char *sums = f->sums ? mg_recurrent_at(layer, f->sums, at->row, width) : work;
    if (!f->sums) multiply_input(f, at->row, at->count, sums, 1);
    mg_gemm_problem product = {
        .m = at->count,
        .n = layer->units,
        .k = state,
        .a = h,
        .a_row = state,
        .a_k = 1,
        .b = f->packed_hh,
        .c = sums + layer->recurrent * layer->size,
        .c_row = width,
        .accumulate = 1,
    };
    if (h) mg_gemm_packed(layer->dtype, &product);
    const int projects = layer->in[MG_IN_W_HR] != NULL;
    char *y = mg_recurrent_at(layer, f->y, at->row, state);
    char *made = !projects   ? y
                 : f->hidden ? mg_recurrent_at(layer, f->hidden, at->row, hidden)
                             : work + at->count * width * layer->size;
    const mg_recurrent_step step = {
        .rows = at->count,
        .hidden = hidden,
        .sums = sums,
        .gates = mg_recurrent_at(layer, f->gates, at->row, width),
        .before = layer->mode == MG_LSTM ? c : h,
        .cells = f->cells ? mg_recurrent_at(layer, f->cells, at->row, hidden)
                          : mg_recurrent_at(layer, f->c_n, at->first, hidden),
        .h = made,
    };
    mg_active_isa->recurrent.forward[layer->dtype](layer->mode, &step);
    if (!projects) return;
    product = (mg_gemm_problem){.m = at->count,
                                .n = state,
                                .k = hidden,
                                .a = made,
                                .a_row = hidden,
                                .a_k = 1,
                                .b = f->packed_hr,
                                .c = y,
                                .c_row = state};
    mg_gemm_packed(layer->dtype, &product);
}

/* The last h and c of those of the sequences [first, last) that end with this step. */
static void store_last(const forward *f, int64_t step, int64_t row, int64_t first, int64_t last) {
    const mg_recurrent_layer *layer = &f->layer;
    const int64_t count = mg_recurrent_count(layer, step);
    const int64_t going_on =
        layer->reverse ? (step ? count : 0) : mg_recurrent_count(layer, step + 1);
    if (first < going_on) first = going_on;
    if (last > count) last = count;
    if (first >= last) return;
    memcpy(mg_recurrent_at(layer, f->h_n, first, layer->state),
           mg_recurrent_at(layer, f->y, row + first, layer->state),
           (size_t)((last - first) * layer->state * layer->size));
    if (f->cells)
        memcpy(mg_recurrent_at(layer, f->c_n, first, layer->hidden),
               mg_recurrent_at(layer, f->cells, row + first, layer->hidden),
               (size_t)((last - first) * layer->hidden * layer->size));
}

/* All steps of the sequences [first, last). */
static void run_sequences(void *context, int64_t first, int64_t last) {
    forward *f = context;
    const mg_recurrent_layer *layer = &f->layer;
    char *work =
        mg_scratch(MG_SCRATCH_WORK, (last - first) * (layer->width + layer->hidden) * layer->size);
    if (!work) {
        __atomic_store_n(&f->failed, 1, __ATOMIC_RELAXED);
        return;
    }
    int64_t row = layer->reverse ? layer->rows : 0;
    for (int64_t i = 0; i < layer->steps; i++) {
        const int64_t step = layer->reverse ? layer->steps - 1 - i : i;
        const int64_t count = mg_recurrent_count(layer, step);
        if (layer->reverse) row -= count;
        mg_recurrent_rows groups[2];
        const int found = mg_recurrent_groups(layer, step, row, first, last, groups);
        for (int group = 0; group < found; group++) run_rows(f, &groups[group], work);
        store_last(f, step, row, first, last);
        if (!layer->reverse) row += count;
    }
}

enum { OUT_Y, OUT_H, OUT_C, OUT_GATES, OUT_CELLS, OUT_HIDDEN, OUT_SUMS, OUT_COUNT };

/* arrays: y, h_n, c_n, gates, cells, hidden, sums; the inputs of the layer. integers: mode,
 * reverse. */
int mg_run_recurrent(const mg_launch *launch) {
    mg_array **out = launch->arrays;
    forward f = {.y = out[OUT_Y],
                 .h_n = out[OUT_H],
                 .c_n = out[OUT_C],
                 .gates = out[OUT_GATES],
                 .cells = out[OUT_CELLS],
                 .hidden = out[OUT_HIDDEN],
                 .sums = out[OUT_SUMS]};
    mg_recurrent_layer *layer = &f.layer;
    if (mg_recurrent_describe(layer, (int)launch->integers[0], (int)launch->integers[1],
                              out + OUT_COUNT))
        return -1;
    if (layer->batch != f.h_n->shape[0])
        return mg_fail(MG_RUNTIME_ERROR, "%s: the batch was %lld when this was recorded, now %lld",
                       mg_recurrent_name(layer->mode), (long long)f.h_n->shape[0],
                       (long long)layer->batch);
    if (layer->batch == 0) return 0;
    f.part_count = mg_recurrent_parts(layer, f.parts);
    if (pack_weights(&f)) return -1;
    if (f.sums && multiply_input(&f, 0, layer->rows, f.sums->data, 0)) return -1;
    const double nanoseconds =
        mg_gemm_nanoseconds(layer->dtype, layer->rows, layer->units, layer->input + layer->state) +
        0.3 * (double)(layer->rows * layer->width);
    mg_parallel_for(layer->batch, mg_recurrent_piece(layer), nanoseconds, run_sequences, &f);
    return f.failed ? mg_fail(MG_MEMORY_ERROR, "%s: out of memory for work buffers",
                              mg_recurrent_name(layer->mode))
                    : 0;
}

/* The results; those that are not asked for stay NULL. Returns whether one failed. */
static int allocate(const mg_recurrent_layer *layer, int keep, mg_array **out) {
    const mg_array *x = layer->in[MG_IN_X];
    int64_t y_shape[3], h_shape[] = {layer->batch, layer->state};
    const int64_t c_shape[] = {layer->batch, layer->hidden};
    const int64_t sums_shape[] = {layer->rows, layer->width};
    const int64_t cells_shape[] = {layer->rows, layer->hidden};
    const int lstm = layer->mode == MG_LSTM, gated = lstm || layer->mode == MG_GRU;
    const int projects = layer->in[MG_IN_W_HR] != NULL, dtype = layer->dtype;
    for (int d = 0; d < x->ndim; d++) y_shape[d] = x->shape[d];
    y_shape[x->ndim - 1] = layer->state;
    out[OUT_Y] = mg_empty(dtype, x->ndim, y_shape);
    out[OUT_H] = mg_empty(dtype, 2, h_shape);
    if (lstm) out[OUT_C] = mg_empty(dtype, 2, c_shape);
    if (keep && gated) out[OUT_GATES] = mg_empty(dtype, 2, sums_shape);
    if (keep && lstm) out[OUT_CELLS] = mg_empty(dtype, 2, cells_shape);
    if (keep && projects) out[OUT_HIDDEN] = mg_empty(dtype, 2, cells_shape);
    if (layer->batch < FEW_SEQUENCES) { /* the gates, or the RNN's h, replace the sums in place */
        out[OUT_SUMS] = !gated ? out[OUT_Y]
                        : keep ? out[OUT_GATES]
                               : mg_empty(dtype, 2, sums_shape);
        if (out[OUT_SUMS] && (!gated || keep)) mg_retain(out[OUT_SUMS]);
    }
    return !out[OUT_Y] || !out[OUT_H] || (lstm && !out[OUT_C]) ||
           (keep && gated && !out[OUT_GATES]) || (keep && lstm && !out[OUT_CELLS]) ||
           (keep && projects && !out[OUT_HIDDEN]) ||
           (layer->batch < FEW_SEQUENCES && !out[OUT_SUMS]);
}

static int submit(int mode, int reverse, mg_array **arrays) {
    const mg_launch launch = {
        .kernel = MG_KERNEL_recurrent,
        .outputs = OUT_COUNT,
        .count = OUT_COUNT + MG_IN_COUNT,
        .arrays = arrays,
        .integers = {mode, reverse},
    };
    return mg_submit(&launch, 0, NULL);
}

int mg_recurrent(int mode, int reverse, int keep, mg_array **inputs, mg_array **outputs) {
    mg_recurrent_layer layer;
    mg_array *arrays[OUT_COUNT + MG_IN_COUNT] = {0};
    const int failed = mg_recurrent_contiguous(MG_IN_COUNT, inputs, arrays + OUT_COUNT) ||
                       mg_recurrent_describe(&layer, mode, reverse, arrays + OUT_COUNT) ||
                       allocate(&layer, keep, arrays) || submit(mode, reverse, arrays);
    for (int i = 0; i < OUT_COUNT + MG_IN_COUNT; i++) {
        if (i < OUT_SUMS && !failed)
            outputs[i] = arrays[i];
        else if (arrays[i])
            mg_release(arrays[i]);
    }
    return failed ? -1 : 0;
}
