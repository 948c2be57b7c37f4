/* Shapes of recurrent layers and of packed sequences; see recurrent_steps.h. */
#include "recurrent_steps.h"

#include <stdio.h>

/* Sequences of a piece: enough rows for the matrix product to be at full speed. */
#define PIECE_SEQUENCES 16

const char *mg_recurrent_name(int mode) {
    static const char *const names[] = {"rnn_tanh", "rnn_relu", "lstm", "gru"};
    return names[mode];
}

/* columns: -1 of a vector. NULL is fine where the operand is optional. */
static int check_shape(const mg_recurrent_layer *layer, int index, int64_t rows, int64_t columns) {
    static const char *const names[MG_IN_COUNT] = {"input",   "batch_sizes", "hx",
                                                   "cx",      "weight_ih",   "weight_hh",
                                                   "bias_ih", "bias_hh",     "weight_hr"};
    const mg_array *array = layer->in[index];
    const char *op = mg_recurrent_name(layer->mode);
    if (!array) return 0;
    if (array->dtype != layer->dtype)
        return mg_fail(MG_RUNTIME_ERROR, "%s: the input is %s, but %s is %s: convert one of them",
                       op, mg_dtype_name(layer->dtype), names[index], mg_dtype_name(array->dtype));
    const int matrix = columns >= 0;
    if (array->ndim != 1 + matrix || array->shape[0] != rows ||
        (matrix && array->shape[1] != columns)) {
        char wanted[64];
        if (matrix)
            snprintf(wanted, sizeof wanted, "[%lld, %lld]", (long long)rows, (long long)columns);
        else
            snprintf(wanted, sizeof wanted, "[%lld]", (long long)rows);
        return mg_fail(MG_RUNTIME_ERROR, "%s: %s should have shape %s, got %s (input of shape %s)",
                       op, names[index], wanted, mg_shape_text(array),
                       mg_shape_text(layer->in[MG_IN_X]));
    }
    return 0;
}

static int describe_input(mg_recurrent_layer *layer) {
    const mg_array *x = layer->in[MG_IN_X], *counts = layer->in[MG_IN_SIZES];
    const char *op = mg_recurrent_name(layer->mode);
    if (!mg_is_float(x->dtype))
        return mg_fail(MG_RUNTIME_ERROR,
                       "%s: the input is %s; convert it to a floating point dtype", op,
                       mg_dtype_name(x->dtype));
    if (x->ndim != 2 && (counts || x->ndim != 3))
        return mg_fail(MG_RUNTIME_ERROR, "%s: expected an input of shape %s, got shape %s", op,
                       counts ? "(rows, features) with batch_sizes" : "(steps, batch, features)",
                       mg_shape_text(x));
    if (counts && (counts->ndim != 1 || counts->dtype != MG_INT64 || counts->size == 0))
        return mg_fail(MG_RUNTIME_ERROR,
                       "%s: batch_sizes should be an int64 vector of at least one element, got %s "
                       "of shape %s",
                       op, mg_dtype_name(counts->dtype), mg_shape_text(counts));
    layer->dtype = x->dtype;
    layer->size = mg_item_size(x->dtype);
    layer->input = x->shape[x->ndim - 1];
    if (counts) {
        layer->counts = (const int64_t *)counts->data;
        layer->steps = counts->size;
        layer->batch = layer->counts[0];
        layer->rows = x->shape[0];
        return mg_recurrent_check_counts(layer);
    }
    layer->steps = x->ndim == 3 ? x->shape[0] : 1;
    layer->batch = x->shape[x->ndim - 2];
    layer->rows = layer->steps * layer->batch;
    if (layer->steps == 0)
        return mg_fail(MG_RUNTIME_ERROR, "%s: Expected sequence length to be larger than 0", op);
    return 0;
}

int mg_recurrent_describe(mg_recurrent_layer *layer, int mode, int reverse,
                          mg_array *const *inputs) {
    static const int gates[] = {1, 1, 4, 3};
    *layer = (mg_recurrent_layer){.mode = (enum mg_recurrent_mode)mode, .reverse = reverse != 0};
    for (int i = 0; i < MG_IN_COUNT; i++) layer->in[i] = inputs[i];
    if (describe_input(layer)) return -1;
    const mg_array *weight = layer->in[MG_IN_W_HH], *projection = layer->in[MG_IN_W_HR];
    if (weight->ndim != 2 || weight->shape[0] % gates[mode] || weight->shape[0] == 0)
        return mg_fail(MG_RUNTIME_ERROR,
                       "%s: weight_hh should have shape (%d * hidden_size, hidden_size), got %s",
                       mg_recurrent_name(mode), gates[mode], mg_shape_text(weight));
    layer->units = weight->shape[0];
    layer->hidden = layer->units / gates[mode];
    layer->state = projection && projection->ndim ? projection->shape[0] : layer->hidden;
    layer->width = mode == MG_GRU ? 4 * layer->hidden : layer->units;
    layer->recurrent = mode == MG_GRU ? layer->hidden : 0;
    if (check_shape(layer, MG_IN_W_IH, layer->units, layer->input) ||
        check_shape(layer, MG_IN_W_HH, layer->units, layer->state) ||
        check_shape(layer, MG_IN_B_IH, layer->units, -1) ||
        check_shape(layer, MG_IN_B_HH, layer->units, -1) ||
        check_shape(layer, MG_IN_W_HR, layer->state, layer->hidden) ||
        check_shape(layer, MG_IN_H0, layer->batch, layer->state) ||
        check_shape(layer, MG_IN_C0, layer->batch, layer->hidden))
        return -1;
    return 0;
}

int mg_recurrent_contiguous(int count, mg_array *const *operands, mg_array **ready) {
    int failed = 0;
    for (int i = 0; i < count; i++) {
        ready[i] = operands[i] ? mg_as_contiguous(operands[i], operands[i]->dtype) : NULL;
        failed |= operands[i] && !ready[i];
    }
    return failed;
}

int mg_recurrent_check_counts(const mg_recurrent_layer *layer) {
    if (!layer->counts) return 0;
    int64_t rows = 0, last = layer->batch;
    for (int64_t step = 0; step < layer->steps; step++) {
        const int64_t count = layer->counts[step];
        if (count < 0 || count > last || (step == 0 && count != layer->batch))
            return mg_fail(MG_RUNTIME_ERROR,
                           "%s: batch_sizes must not increase, but step %lld has %lld sequences "
                           "after %lld",
                           mg_recurrent_name(layer->mode), (long long)step, (long long)count,
                           (long long)last);
        rows += last = count;
    }
    if (rows != layer->rows)
        return mg_fail(MG_RUNTIME_ERROR,
                       "%s: batch_sizes add up to %lld, but the packed input has %lld rows",
                       mg_recurrent_name(layer->mode), (long long)rows, (long long)layer->rows);
    return 0;
}

int mg_recurrent_parts(const mg_recurrent_layer *layer, mg_recurrent_part parts[2]) {
    const int64_t hidden = layer->hidden;
    if (layer->mode != MG_GRU) {
        parts[0] = (mg_recurrent_part){.rows = layer->units};
        return 1;
    }
    parts[0] = (mg_recurrent_part){.rows = 2 * hidden, .column = hidden};
    parts[1] = (mg_recurrent_part){.row = 2 * hidden, .rows = hidden, .column = 0};
    return 2;
}

int mg_recurrent_groups(const mg_recurrent_layer *layer, int64_t step, int64_t row, int64_t first,
                        int64_t last, mg_recurrent_rows groups[2]) {
    const int64_t count = mg_recurrent_count(layer, step);
    const int64_t earlier = mg_recurrent_count(layer, layer->reverse ? step + 1 : step - 1);
    const int64_t earlier_row = layer->reverse ? row + count : row - earlier;
    const int64_t stop = last < count ? last : count;
    const int64_t middle = stop < earlier ? stop : earlier; /* from here on they begin */
    int found = 0;
    if (first < middle)
        groups[found++] =
            (mg_recurrent_rows){first, middle - first, row + first, earlier_row + first};
    const int64_t begin = first > middle ? first : middle;
    if (begin < stop) groups[found++] = (mg_recurrent_rows){begin, stop - begin, row + begin, -1};
    return found;
}

int64_t mg_recurrent_piece(const mg_recurrent_layer *layer) {
    const int64_t pieces = layer->batch / PIECE_SEQUENCES;
    return pieces > 1 ? (layer->batch + pieces - 1) / pieces : layer->batch;
}
