/* Recurrent layers backward: all steps of one layer and direction in one launch.
 *
 * A piece of the batch goes through its steps, in the opposite order to the forward pass, and
 * leaves the gradients of all sums. Then the gradients of x and of the weights are one product each
 * over all steps. */
#include "recurrent_steps.h"

/* `grad_h0` and `grad_c0` carry the gradients of h and c from step to step, and hold the result at
 * the end. */
enum {
    OUT_X,
    OUT_H0,
    OUT_C0,
    OUT_W_IH,
    OUT_W_HH,
    OUT_B_IH,
    OUT_B_HH,
    OUT_W_HR,
    OUT_RESULTS,
    WORK_SUMS = OUT_RESULTS, /* (rows, width): gradients of the sums */
    WORK_STATE,              /* (rows, state): with a projection, gradients of h */
    WORK_BEFORE,             /* (rows, state): for packed sequences, h of the steps before */
    OUT_COUNT
};
enum { SAVED_Y, SAVED_GATES, SAVED_CELLS, SAVED_HIDDEN, SAVED_COUNT };
enum { GRAD_Y, GRAD_H, GRAD_C, GRAD_COUNT };
#define FIRST_SAVED (OUT_COUNT + MG_IN_COUNT)
#define FIRST_GRAD (FIRST_SAVED + SAVED_COUNT)
#define ARRAYS (FIRST_GRAD + GRAD_COUNT)

enum { NEEDS_X = 1, NEEDS_WEIGHTS = 2 };

typedef struct backward {
    mg_recurrent_layer layer;
    mg_array **out, **saved, **grads;
    int64_t piece;
    char *packed_hh, *packed_hr;
    char *bias_sums; /* (pieces, width) */
    int failed;
} backward;

static int pack_weights(backward *b) {
    const mg_recurrent_layer *layer = &b->layer;
    const mg_array *w_hh = layer->in[MG_IN_W_HH], *w_hr = layer->in[MG_IN_W_HR];
    const int64_t pieces = (layer->batch + b->piece - 1) / b->piece;
    const int64_t hh =
        mg_recurrent_aligned(mg_gemm_packed_bytes(layer->dtype, layer->units, layer->state));
    const int64_t hr =
        w_hr ? mg_recurrent_aligned(mg_gemm_packed_bytes(layer->dtype, layer->state, layer->hidden))
             : 0;
    const int64_t sums = pieces * layer->width * layer->size;
    b->packed_hh = mg_scratch(MG_SCRATCH_PACK_A, hh + hr + sums);
    if (!b->packed_hh) return -1;
    b->packed_hr = b->packed_hh + hh;
    b->bias_sums = b->packed_hr + hr;
    memset(b->bias_sums, 0, (size_t)sums);
    mg_gemm_pack(layer->dtype, layer->units, layer->state, w_hh->data, layer->state, 1,
                 b->packed_hh);
    if (w_hr)
        mg_gemm_pack(layer->dtype, layer->state, layer->hidden, w_hr->data, layer->hidden, 1,
                     b->packed_hr);
    return 0;
}

/* destination += source */
static void add_numbers(int dtype, int64_t count, void *destination, const void *source) {
    for (int64_t i = 0; i < count; i++) {
        if (dtype == MG_FLOAT32)
            ((float *)destination)[i] += ((const float *)source)[i];
        else
            ((double *)destination)[i] += ((const double *)source)[i];
    }
}

/* With a projection: the whole gradient of y is kept for weight_hr's, and work (count, hidden)
 * becomes the gradient of h before the projection. */
static void undo_projection(const backward *b, const mg_recurrent_rows *at, const char *grad_h,
                            char *work) {
    const mg_recurrent_layer *layer = &b->layer;
    const int64_t state = layer->state, numbers = at->count * state;
    char *whole = mg_recurrent_at(layer, b->out[WORK_STATE], at->row, state);
    memcpy(whole, grad_h, (size_t)(numbers * layer->size));
    if (b->grads[GRAD_Y])
        add_numbers(layer->dtype, numbers, whole,
                    mg_recurrent_at(layer, b->grads[GRAD_Y], at->row, state));
    const mg_gemm_problem product = {.m = at->count,
                                     .n = layer->hidden,
                                     .k = state,
                                     .a = whole,
                                     .a_row = state,
                                     .a_k = 1,
                                     .b = b->packed_hr,
                                     .c = work,
                                     .c_row = layer->hidden};
    mg_gemm_packed(layer->dtype, &product);
}

/* One step of some sequences. */
static void run_rows(const backward *b, const mg_recurrent_rows *at, char *bias_sums, char *work) {
    const mg_recurrent_layer *layer = &b->layer;
    const int64_t hidden = layer->hidden, state = layer->state, width = layer->width;
    const int lstm = layer->mode == MG_LSTM, projects = layer->in[MG_IN_W_HR] != NULL;
    const mg_array *earlier = lstm ? b->saved[SAVED_CELLS] : b->saved[SAVED_Y];
    const mg_array *start = layer->in[lstm ? MG_IN_C0 : MG_IN_H0];
    char *grad_h = mg_recurrent_at(layer, b->out[OUT_H0], at->first, state);
    char *grad_sums = mg_recurrent_at(layer, b->out[WORK_SUMS], at->row, width);
    if (projects) undo_projection(b, at, grad_h, work);
    const mg_recurrent_grad step = {
        .rows = at->count,
        .hidden = hidden,
        .gates = mg_recurrent_at(layer, b->saved[layer->mode < MG_LSTM ? SAVED_Y : SAVED_GATES],
                                 at->row, width),
        .before = at->before < 0 ? mg_recurrent_at(layer, start, at->first, hidden)
                                 : mg_recurrent_at(layer, earlier, at->before, hidden),
        .cells = mg_recurrent_at(layer, b->saved[SAVED_CELLS], at->row, hidden),
        .grad_y = projects ? NULL : mg_recurrent_at(layer, b->grads[GRAD_Y], at->row, hidden),
        .grad_h = projects ? work : grad_h,
        .grad_c = mg_recurrent_at(layer, b->out[OUT_C0], at->first, hidden),
        .grad_sums = grad_sums,
        .bias_sums = bias_sums,
    };
    mg_active_isa->recurrent.backward[layer->dtype](layer->mode, &step);
    const mg_gemm_problem product = {
        .m = at->count,
        .n = state,
        .k = layer->units,
        .a = grad_sums + layer->recurrent * layer->size,
        .a_row = width,
        .a_k = 1,
        .b = b->packed_hh,
        .c = grad_h,
        .c_row = state,
        .accumulate = layer->mode == MG_GRU,
    };
    mg_gemm_packed(layer->dtype, &product);
}

/* All steps of the sequences [first, last), which are one piece. */
static void run_sequences(void *context, int64_t first, int64_t last) {
    backward *b = context;
    const mg_recurrent_layer *layer = &b->layer;
    char *bias_sums = b->bias_sums + first / b->piece * layer->width * layer->size;
    char *work = mg_scratch(MG_SCRATCH_WORK, (last - first) * layer->hidden * layer->size);
    if (!work) {
        __atomic_store_n(&b->failed, 1, __ATOMIC_RELAXED);
        return;
    }
    int64_t row = layer->reverse ? 0 : layer->rows;
    for (int64_t i = 0; i < layer->steps; i++) {
        const int64_t step = layer->reverse ? i : layer->steps - 1 - i;
        const int64_t count = mg_recurrent_count(layer, step);
        if (!layer->reverse) row -= count;
        mg_recurrent_rows groups[2];
        const int found = mg_recurrent_groups(layer, step, row, first, last, groups);
        for (int group = 0; group < found; group++) run_rows(b, &groups[group], bias_sums, work);
        if (layer->reverse) row += count;
    }
}

/* ---- the products over all steps ---- */

static int grad_of_input(const backward *b) {
    const mg_recurrent_layer *layer = &b->layer;
    mg_recurrent_part parts[2];
    const int count = mg_recurrent_parts(layer, parts);
    for (int i = 0; i < count; i++) {
        const mg_gemm_problem product = {
            .m = layer->rows,
            .n = layer->input,
            .k = parts[i].rows,
            .a = b->out[WORK_SUMS]->data + parts[i].column * layer->size,
            .a_row = layer->width,
            .a_k = 1,
            .b = mg_recurrent_at(layer, layer->in[MG_IN_W_IH], parts[i].row, layer->input),
            .b_k = layer->input,
            .b_column = 1,
            .c = b->out[OUT_X]->data,
            .c_row = layer->input,
            .accumulate = i > 0,
        };
        if (mg_gemm(layer->dtype, &product)) return -1;
    }
    return 0;
}

/* target (units, columns) = or += the transpose of `units` columns of grad_sums from `column` on,
 * of the rows [row, row + rows), times (rows, columns). */
static int transposed_product(const backward *b, int64_t column, int64_t units, int64_t row,
                              int64_t rows, const char *right, int64_t columns, char *target,
                              int accumulate) {
    const mg_recurrent_layer *layer = &b->layer;
    const mg_gemm_problem product = {
        .m = units,
        .n = columns,
        .k = rows,
        .a = b->out[WORK_SUMS]->data + (row * layer->width + column) * layer->size,
        .a_row = 1,
        .a_k = layer->width,
        .b = right,
        .b_k = columns,
        .b_column = 1,
        .c = target,
        .c_row = columns,
        .accumulate = accumulate,
    };
    return mg_gemm(layer->dtype, &product);
}

static int grad_of_weight_ih(const backward *b) {
    const mg_recurrent_layer *layer = &b->layer;
    mg_recurrent_part parts[2];
    const int count = mg_recurrent_parts(layer, parts);
    for (int i = 0; i < count; i++)
        if (transposed_product(b, parts[i].column, parts[i].rows, 0, layer->rows,
                               layer->in[MG_IN_X]->data, layer->input,
                               mg_recurrent_at(layer, b->out[OUT_W_IH], parts[i].row, layer->input),
                               0))
            return -1;
    return 0;
}

/* Packed sequences: row by row the h that the step began with. */
static void gather_before(const backward *b) {
    const mg_recurrent_layer *layer = &b->layer;
    const size_t bytes = (size_t)(layer->state * layer->size);
    for (int64_t step = 0, row = 0; step < layer->steps; step++) {
        mg_recurrent_rows groups[2];
        const int found = mg_recurrent_groups(layer, step, row, 0, layer->batch, groups);
        for (int i = 0; i < found; i++) {
            const mg_recurrent_rows *at = &groups[i];
            const char *h =
                at->before < 0
                    ? mg_recurrent_at(layer, layer->in[MG_IN_H0], at->first, layer->state)
                    : mg_recurrent_at(layer, b->saved[SAVED_Y], at->before, layer->state);
            char *target = mg_recurrent_at(layer, b->out[WORK_BEFORE], at->row, layer->state);
            if (h)
                memcpy(target, h, (size_t)at->count * bytes);
            else
                memset(target, 0, (size_t)at->count * bytes);
        }
        row += mg_recurrent_count(layer, step);
    }
}

/* Where all steps have the whole batch, h of the steps before are y but for its last (reverse: its
 * first) step. */
static int grad_of_weight_hh(const backward *b) {
    const mg_recurrent_layer *layer = &b->layer;
    const mg_array *h0 = layer->in[MG_IN_H0], *y = b->saved[SAVED_Y];
    char *target = b->out[OUT_W_HH]->data;
    if (layer->counts) {
        gather_before(b);
        return transposed_product(b, layer->recurrent, layer->units, 0, layer->rows,
                                  b->out[WORK_BEFORE]->data, layer->state, target, 0);
    }
    const int64_t rows = layer->rows - layer->batch, batch = layer->batch;
    const int64_t begins = layer->reverse ? rows : 0; /* the rows of the step that is first */
    if (rows == 0 && !h0) memset(target, 0, (size_t)(layer->units * layer->state * layer->size));
    if (rows &&
        transposed_product(b, layer->recurrent, layer->units, layer->reverse ? 0 : batch, rows,
                           mg_recurrent_at(layer, y, layer->reverse ? batch : 0, layer->state),
                           layer->state, target, 0))
        return -1;
    return h0 && transposed_product(b, layer->recurrent, layer->units, begins, batch, h0->data,
                                    layer->state, target, rows > 0)
               ? -1
               : 0;
}

static int grad_of_weight_hr(const backward *b) {
    const mg_recurrent_layer *layer = &b->layer;
    const mg_gemm_problem product = {
        .m = layer->state,
        .n = layer->hidden,
        .k = layer->rows,
        .a = b->out[WORK_STATE]->data,
        .a_row = 1,
        .a_k = layer->state,
        .b = b->saved[SAVED_HIDDEN]->data,
        .b_k = layer->hidden,
        .b_column = 1,
        .c = b->out[OUT_W_HR]->data,
        .c_row = layer->hidden,
    };
    return mg_gemm(layer->dtype, &product);
}

/* The sums of the pieces, in their order, in the order of the weights' rows. */
static void grad_of_bias(const backward *b) {
    const mg_recurrent_layer *layer = &b->layer;
    const int64_t row = layer->width * layer->size;
    const size_t block = (size_t)(layer->hidden * layer->size);
    const size_t units = (size_t)(layer->units * layer->size);
    char *sums = b->bias_sums, *target = b->out[OUT_B_IH]->data;
    for (int64_t first = b->piece, i = 1; first < layer->batch; first += b->piece, i++)
        add_numbers(layer->dtype, layer->width, sums, sums + i * row);
    memcpy(b->out[OUT_B_HH]->data, sums + layer->recurrent * layer->size, units);
    if (layer->mode == MG_GRU) {
        memcpy(target, sums + block, 2 * block);
        memcpy(target + 2 * block, sums, block);
    } else {
        memcpy(target, sums, units);
    }
}

static int finish(const backward *b) {
    if (b->out[OUT_X] && grad_of_input(b)) return -1;
    if (!b->out[OUT_W_IH]) return 0;
    if (grad_of_weight_ih(b) || grad_of_weight_hh(b)) return -1;
    if (b->out[OUT_B_IH]) grad_of_bias(b);
    return b->out[OUT_W_HR] ? grad_of_weight_hr(b) : 0;
}

/* ---- the launch ---- */

static void start_from(mg_array *running, const mg_array *gradient) {
    if (!running) return;
    const size_t bytes = (size_t)(running->size * mg_item_size(running->dtype));
    if (gradient)
        memcpy(running->data, gradient->data, bytes);
    else
        memset(running->data, 0, bytes);
}

static void clear(mg_array *const *arrays, int count) {
    for (int i = 0; i < count; i++) start_from(arrays[i], NULL);
}

/* arrays: the results and work memory (see above), the inputs of the layer, y, gates, cells and
 * hidden as the forward pass made them, gradients of y, h_n, c_n. integers: mode, reverse. */
int mg_run_recurrent_backward(const mg_launch *launch) {
    mg_array **arrays = launch->arrays;
    backward b = {.out = arrays, .saved = arrays + FIRST_SAVED, .grads = arrays + FIRST_GRAD};
    mg_recurrent_layer *layer = &b.layer;
    if (mg_recurrent_describe(layer, (int)launch->integers[0], (int)launch->integers[1],
                              arrays + OUT_COUNT))
        return -1;
    if (layer->batch != b.out[OUT_H0]->shape[0])
        return mg_fail(MG_RUNTIME_ERROR, "%s: the batch was %lld when this was recorded, now %lld",
                       mg_recurrent_name(layer->mode), (long long)b.out[OUT_H0]->shape[0],
                       (long long)layer->batch);
    if (layer->batch == 0) {
        clear(arrays, OUT_RESULTS);
        return 0;
    }
    b.piece = mg_recurrent_piece(layer);
    if (pack_weights(&b)) return -1;
    start_from(b.out[OUT_H0], b.grads[GRAD_H]);
    start_from(b.out[OUT_C0], b.grads[GRAD_C]);
    const double nanoseconds =
        mg_gemm_nanoseconds(layer->dtype, layer->rows, layer->units, layer->state) +
        0.3 * (double)(layer->rows * layer->width);
    mg_parallel_for(layer->batch, b.piece, nanoseconds, run_sequences, &b);
    if (b.failed)
        return mg_fail(MG_MEMORY_ERROR, "%s: out of memory for work buffers",
                       mg_recurrent_name(layer->mode));
    return finish(&b);
}

/* Results and work memory; returns whether one failed. */
static int allocate(const mg_recurrent_layer *layer, int needs, mg_array **out) {
    const int64_t sums_shape[] = {layer->rows, layer->width};
    const int64_t state_shape[] = {layer->rows, layer->state};
    const int weights = needs & NEEDS_WEIGHTS, projects = layer->in[MG_IN_W_HR] != NULL;
    const mg_array *x = layer->in[MG_IN_X];
    /* the input that a result is the gradient of, -1: shapes of its own */
    const int like[OUT_RESULTS] = {MG_IN_X,    -1,         -1,         MG_IN_W_IH,
                                   MG_IN_W_HH, MG_IN_B_IH, MG_IN_B_HH, MG_IN_W_HR};
    int failed = 0;
    for (int i = 0; i < OUT_RESULTS; i++) {
        const mg_array *model = like[i] < 0 ? NULL : layer->in[like[i]];
        if (!model || !(i == OUT_X ? needs & NEEDS_X : weights)) continue;
        out[i] = mg_empty_like(model, layer->dtype);
        failed |= !out[i];
    }
    out[OUT_H0] = mg_empty(layer->dtype, 2, (int64_t[]){layer->batch, layer->state});
    if (layer->mode == MG_LSTM)
        out[OUT_C0] = mg_empty(layer->dtype, 2, (int64_t[]){layer->batch, layer->hidden});
    out[WORK_SUMS] = mg_empty(x->dtype, 2, sums_shape);
    if (projects) out[WORK_STATE] = mg_empty(x->dtype, 2, state_shape);
    if (layer->counts && weights) out[WORK_BEFORE] = mg_empty(x->dtype, 2, state_shape);
    return failed || !out[OUT_H0] || !out[WORK_SUMS] || (layer->mode == MG_LSTM && !out[OUT_C0]) ||
           (projects && !out[WORK_STATE]) || (layer->counts && weights && !out[WORK_BEFORE]);
}

static int submit(int mode, int reverse, mg_array **arrays) {
    const mg_launch launch = {
        .kernel = MG_KERNEL_recurrent_backward,
        .outputs = OUT_COUNT,
        .count = ARRAYS,
        .arrays = arrays,
        .integers = {mode, reverse},
    };
    return mg_submit(&launch, 0, NULL);
}

int mg_recurrent_backward(int mode, int reverse, int needs, mg_array **inputs, mg_array **saved,
                          mg_array **grads, mg_array **outputs) {
    mg_recurrent_layer layer;
    mg_array *arrays[ARRAYS] = {0};
    const int failed = mg_recurrent_contiguous(MG_IN_COUNT, inputs, arrays + OUT_COUNT) ||
                       mg_recurrent_contiguous(SAVED_COUNT, saved, arrays + FIRST_SAVED) ||
                       mg_recurrent_contiguous(GRAD_COUNT, grads, arrays + FIRST_GRAD) ||
                       mg_recurrent_describe(&layer, mode, reverse, arrays + OUT_COUNT) ||
                       allocate(&layer, needs, arrays) || submit(mode, reverse, arrays);
    for (int i = 0; i < ARRAYS; i++) {
        if (i < OUT_RESULTS && !failed)
            outputs[i] = arrays[i];
        else if (arrays[i])
            mg_release(arrays[i]);
    }
    return failed ? -1 : 0;
}
