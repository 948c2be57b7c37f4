/* Recurrent layers: the elements of one step, forward and backward; see ../recurrent.h for the
 * operands. With s(x) = 1 / (1 + e^-x), and d for the gradient of what follows it:
 *   RNN   h = tanh(a) or max(a, 0)
 *         da = dh (1 - h^2) or 0 where h <= 0, else dh
 *   LSTM  (Hochreiter and Schmidhuber, 1997; forget gate: Gers et al., 2000)
 *         c = s(f) c_before + s(i) tanh(g),  h = s(o) tanh(c)
 *         dc += dh o (1 - tanh(c)^2),  do = dh tanh(c),  di = dc g,  dg = dc i,  df = dc c_before,
 *         dc_before = dc f
 *   GRU   (Cho et al., 2014) h = (1 - z) n + z h_before,  n = tanh(n_x + r n_h)
 *         dn = dh (1 - z),  dz = dh (h_before - n),  dr = dn_x n_h,  dn_h = dn_x r
 */

/* `count` elements: LANES in the loops over whole vectors, where it is a literal, else fewer. */
INLINE V NAME(take)(const T *source, int64_t count) {
    return count == LANES ? NAME(load)(source) : NAME(load_part)(source, count, 0);
}

INLINE void NAME(give)(T *destination, V value, int64_t count) {
    if (count == LANES)
        NAME(store)(destination, value);
    else
        NAME(store_part)(destination, value, count);
}

/* destination += value */
INLINE void NAME(add_to)(T *destination, V value, int64_t count) {
    NAME(give)(destination, NAME(take)(destination, count) + value, count);
}

/* The functions of the gates, as exact as those of math.h (3 ulp) in half the time: a sigmoid that
 * math.h would give as less than 1e-38 (float64: 1e-307) may be that large, so 2^k needs one
 * step. */
INLINE V NAME(gate_sigmoid)(V x) {
    M k;
    const V bounded = NAME(at_least)(NAME(at_most)(x, REAL(87., 708.)), REAL(-87., -708.));
    const V r = NAME(exp_remainder)(NAME(neg)(bounded), &k);
    const V e = (NAME(expm1_of_remainder)(r) + 1) * NAME(power_of_two)(k);
    return 1 / (1 + e);
}

/* -t / (t + 2) with t = e^(-2 |x|) - 1 = 2^k (e^r - 1) + (2^k - 1) */
INLINE V NAME(gate_tanh)(V x) {
    M k;
    const V r = NAME(exp_remainder)(NAME(at_least)(NAME(abs)(x) * -2, REAL(-40., -80.)), &k);
    const V power = NAME(power_of_two)(k);
    const V t = power * NAME(expm1_of_remainder)(r) + (power - 1);
    return NAME(copysign)(t / (t + 2), x);
}

/* ---- forward: elements [j, j + count) of a row ---- */

typedef struct NAME(recurrent_row) {
    int64_t hidden;
    const T *sums, *before;
    T *gates, *cells, *h;
} NAME(recurrent_row);

INLINE void NAME(rnn_elements)(const enum mg_recurrent_mode mode, const NAME(recurrent_row) * row,
                               int64_t j, const int64_t count) {
    const V sum = NAME(take)(row->sums + j, count);
    NAME(give)(row->h + j,
               mode == MG_RNN_TANH ? NAME(gate_tanh)(sum) : NAME(select)(sum < 0, (V){0}, sum),
               count);
}

INLINE void NAME(lstm_elements)(const NAME(recurrent_row) * row, int64_t j, const int64_t count) {
    const int64_t hidden = row->hidden;
    const T *sums = row->sums + j;
    const V i = NAME(gate_sigmoid)(NAME(take)(sums, count));
    const V f = NAME(gate_sigmoid)(NAME(take)(sums + hidden, count));
    const V g = NAME(gate_tanh)(NAME(take)(sums + 2 * hidden, count));
    const V o = NAME(gate_sigmoid)(NAME(take)(sums + 3 * hidden, count));
    V c = i * g;
    if (row->before) c += f * NAME(take)(row->before + j, count);
    NAME(give)(row->cells + j, c, count);
    NAME(give)(row->h + j, o * NAME(gate_tanh)(c), count);
    if (row->gates) {
        T *gates = row->gates + j;
        NAME(give)(gates, i, count);
        NAME(give)(gates + hidden, f, count);
        NAME(give)(gates + 2 * hidden, g, count);
        NAME(give)(gates + 3 * hidden, o, count);
    }
}

INLINE void NAME(gru_elements)(const NAME(recurrent_row) * row, int64_t j, const int64_t count) {
    const int64_t hidden = row->hidden;
    const T *sums = row->sums + j;
    const V product = NAME(take)(sums + 3 * hidden, count);
    const V r = NAME(gate_sigmoid)(NAME(take)(sums + hidden, count));
    const V z = NAME(gate_sigmoid)(NAME(take)(sums + 2 * hidden, count));
    const V n = NAME(gate_tanh)(NAME(take)(sums, count) + r * product);
    const V before = row->before ? NAME(take)(row->before + j, count) : (V){0};
    NAME(give)(row->h + j, n + z * (before - n), count);
    if (row->gates) {
        T *gates = row->gates + j;
        NAME(give)(gates, n, count);
        NAME(give)(gates + hidden, r, count);
        NAME(give)(gates + 2 * hidden, z, count);
        NAME(give)(gates + 3 * hidden, product, count);
    }
}

INLINE void NAME(recurrent_elements)(const enum mg_recurrent_mode mode,
                                     const NAME(recurrent_row) * row, int64_t j,
                                     const int64_t count) {
    if (mode == MG_LSTM)
        NAME(lstm_elements)(row, j, count);
    else if (mode == MG_GRU)
        NAME(gru_elements)(row, j, count);
    else
        NAME(rnn_elements)(mode, row, j, count);
}

INLINE void NAME(recurrent_rows)(const enum mg_recurrent_mode mode, const mg_recurrent_step *step) {
    const int64_t hidden = step->hidden;
    const int64_t width = mode == MG_LSTM || mode == MG_GRU ? 4 * hidden : hidden;
    for (int64_t i = 0; i < step->rows; i++) {
        const NAME(recurrent_row) row = {
            .hidden = hidden,
            .sums = (const T *)step->sums + i * width,
            .before = step->before ? (const T *)step->before + i * hidden : NULL,
            .gates = step->gates ? (T *)step->gates + i * width : NULL,
            .cells = step->cells ? (T *)step->cells + i * hidden : NULL,
            .h = (T *)step->h + i * hidden,
        };
        int64_t j = 0;
        for (; j + LANES <= hidden; j += LANES) NAME(recurrent_elements)(mode, &row, j, LANES);
        if (j < hidden) NAME(recurrent_elements)(mode, &row, j, hidden - j);
    }
}

static void NAME(recurrent_forward)(enum mg_recurrent_mode mode, const mg_recurrent_step *step) {
    switch (mode) {
    case MG_RNN_TANH: NAME(recurrent_rows)(MG_RNN_TANH, step); break;
    case MG_RNN_RELU: NAME(recurrent_rows)(MG_RNN_RELU, step); break;
    case MG_LSTM: NAME(recurrent_rows)(MG_LSTM, step); break;
    case MG_GRU: NAME(recurrent_rows)(MG_GRU, step); break;
    }
}

/* ---- backward ---- */

typedef struct NAME(recurrent_grad_row) {
    int64_t hidden;
    const T *gates, *before, *cells, *grad_y;
    T *grad_h, *grad_c, *grad_sums, *bias_sums;
} NAME(recurrent_grad_row);

/* Whether y has a gradient is a literal: gcc 12 fails to compile what it makes of a test inside. */
INLINE V NAME(whole_grad_h)(const int of_y, const NAME(recurrent_grad_row) * row, int64_t j,
                            const int64_t count) {
    const V grad_h = NAME(take)(row->grad_h + j, count);
    return of_y ? grad_h + NAME(take)(row->grad_y + j, count) : grad_h;
}

/* The gradient of a sum, in block `block`. */
INLINE void NAME(give_grad_sum)(const NAME(recurrent_grad_row) * row, int block, int64_t j,
                                V gradient, const int64_t count) {
    const int64_t at = block * row->hidden + j;
    NAME(give)(row->grad_sums + at, gradient, count);
    NAME(add_to)(row->bias_sums + at, gradient, count);
}

INLINE void NAME(rnn_gradients)(const enum mg_recurrent_mode mode, const int of_y,
                                const NAME(recurrent_grad_row) * row, int64_t j,
                                const int64_t count) {
    const V h = NAME(take)(row->gates + j, count), grad_h = NAME(whole_grad_h)(of_y, row, j, count);
    NAME(give_grad_sum)(row, 0, j,
                        mode == MG_RNN_TANH ? grad_h * (1 - h * h)
                                            : NAME(select)(h <= 0, (V){0}, grad_h),
                        count);
}

INLINE void NAME(lstm_gradients)(const int of_y, const NAME(recurrent_grad_row) * row, int64_t j,
                                 const int64_t count) {
    const int64_t hidden = row->hidden;
    const V i = NAME(take)(row->gates + j, count);
    const V f = NAME(take)(row->gates + hidden + j, count);
    const V g = NAME(take)(row->gates + 2 * hidden + j, count);
    const V o = NAME(take)(row->gates + 3 * hidden + j, count);
    const V before = row->before ? NAME(take)(row->before + j, count) : (V){0};
    const V t = NAME(gate_tanh)(NAME(take)(row->cells + j, count));
    const V grad_h = NAME(whole_grad_h)(of_y, row, j, count);
    const V grad_c = NAME(take)(row->grad_c + j, count) + grad_h * o * (1 - t * t);
    NAME(give)(row->grad_c + j, grad_c * f, count);
    NAME(give_grad_sum)(row, 0, j, grad_c * g * (i * (1 - i)), count);
    NAME(give_grad_sum)(row, 1, j, grad_c * before * (f * (1 - f)), count);
    NAME(give_grad_sum)(row, 2, j, grad_c * i * (1 - g * g), count);
    NAME(give_grad_sum)(row, 3, j, grad_h * t * (o * (1 - o)), count);
}

INLINE void NAME(gru_gradients)(const int of_y, const NAME(recurrent_grad_row) * row, int64_t j,
                                const int64_t count) {
    const int64_t hidden = row->hidden;
    const V n = NAME(take)(row->gates + j, count);
    const V r = NAME(take)(row->gates + hidden + j, count);
    const V z = NAME(take)(row->gates + 2 * hidden + j, count);
    const V product = NAME(take)(row->gates + 3 * hidden + j, count);
    const V before = row->before ? NAME(take)(row->before + j, count) : (V){0};
    const V grad_h = NAME(whole_grad_h)(of_y, row, j, count);
    const V grad_n = grad_h * (1 - z) * (1 - n * n);
    NAME(give)(row->grad_h + j, grad_h * z, count);
    NAME(give_grad_sum)(row, 0, j, grad_n, count);
    NAME(give_grad_sum)(row, 1, j, grad_n * product * (r * (1 - r)), count);
    NAME(give_grad_sum)(row, 2, j, grad_h * (before - n) * (z * (1 - z)), count);
    NAME(give_grad_sum)(row, 3, j, grad_n * r, count);
}

INLINE void NAME(recurrent_gradients)(const enum mg_recurrent_mode mode, const int of_y,
                                      const NAME(recurrent_grad_row) * row, int64_t j,
                                      const int64_t count) {
    if (mode == MG_LSTM)
        NAME(lstm_gradients)(of_y, row, j, count);
    else if (mode == MG_GRU)
        NAME(gru_gradients)(of_y, row, j, count);
    else
        NAME(rnn_gradients)(mode, of_y, row, j, count);
}

INLINE void NAME(recurrent_grad_rows)(const enum mg_recurrent_mode mode, const int of_y,
                                      const mg_recurrent_grad *step) {
    const int64_t hidden = step->hidden;
    const int64_t width = mode == MG_LSTM || mode == MG_GRU ? 4 * hidden : hidden;
    for (int64_t i = 0; i < step->rows; i++) {
        const NAME(recurrent_grad_row) row = {
            .hidden = hidden,
            .gates = (const T *)step->gates + i * width,
            .before = step->before ? (const T *)step->before + i * hidden : NULL,
            .cells = step->cells ? (const T *)step->cells + i * hidden : NULL,
            .grad_y = step->grad_y ? (const T *)step->grad_y + i * hidden : NULL,
            .grad_h = (T *)step->grad_h + i * hidden,
            .grad_c = step->grad_c ? (T *)step->grad_c + i * hidden : NULL,
            .grad_sums = (T *)step->grad_sums + i * width,
            .bias_sums = step->bias_sums,
        };
        int64_t j = 0;
        for (; j + LANES <= hidden; j += LANES)
            NAME(recurrent_gradients)(mode, of_y, &row, j, LANES);
        if (j < hidden) NAME(recurrent_gradients)(mode, of_y, &row, j, hidden - j);
    }
}

INLINE void NAME(recurrent_of_mode)(const enum mg_recurrent_mode mode,
                                    const mg_recurrent_grad *step) {
    if (step->grad_y)
        NAME(recurrent_grad_rows)(mode, 1, step);
    else
        NAME(recurrent_grad_rows)(mode, 0, step);
}

static void NAME(recurrent_backward)(enum mg_recurrent_mode mode, const mg_recurrent_grad *step) {
    switch (mode) {
    case MG_RNN_TANH: NAME(recurrent_of_mode)(MG_RNN_TANH, step); break;
    case MG_RNN_RELU: NAME(recurrent_of_mode)(MG_RNN_RELU, step); break;
    case MG_LSTM: NAME(recurrent_of_mode)(MG_LSTM, step); break;
    case MG_GRU: NAME(recurrent_of_mode)(MG_GRU, step); break;
    }
}
