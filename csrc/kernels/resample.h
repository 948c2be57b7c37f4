/* One pass of a resampling: a sparse matrix along one axis of (outer, size, inner). The terms of
 * each sum are added in the order of the matrix. */

/* out = sum of `taps` rows of `inner` elements, each times its weight. */
INLINE void NAME(resample_add_rows)(int64_t taps, const int64_t *columns, const T *weights,
                                    int64_t inner, const T *in, T *out) {
    for (int64_t x = 0; x < inner; x += LANES) {
        const int64_t count = inner - x < LANES ? inner - x : LANES;
        V sum = {0};
        for (int64_t k = 0; k < taps; k++) {
            const V row = NAME(load_some)(in + columns[k] * inner + x, count, 0);
            sum += weights ? row * weights[k] : row;
        }
        NAME(store_some)(out + x, sum, count);
    }
}

/* The same for an inner size of 1, with `taps` for every output: a literal. */
INLINE void NAME(resample_line)(const int taps, const mg_resample_axis *axis, const T *in, T *out) {
    const T *weights = axis->weights;
    for (int64_t i = 0; i < axis->out_size; i++) {
        T sum = 0;
        MG_UNROLL
        for (int k = 0; k < taps; k++)
            sum += in[axis->columns[i * taps + k]] * (weights ? weights[i * taps + k] : 1);
        out[i] = sum;
    }
}

static void NAME(resample_uneven_line)(const mg_resample_axis *axis, const T *in, T *out) {
    const T *weights = axis->weights;
    for (int64_t i = 0; i < axis->out_size; i++) {
        T sum = 0;
        for (int64_t k = axis->offsets[i]; k < axis->offsets[i + 1]; k++)
            sum += in[axis->columns[k]] * (weights ? weights[k] : 1);
        out[i] = sum;
    }
}

/* How many terms every sum has, 0 where they differ. */
static int64_t NAME(resample_taps)(const mg_resample_axis *axis) {
    const int64_t taps = axis->out_size ? axis->offsets[1] : 0;
    for (int64_t i = 0; i < axis->out_size; i++)
        if (axis->offsets[i + 1] - axis->offsets[i] != taps) return 0;
    return taps;
}

static void NAME(resample_pass)(const mg_resample_axis *axis, int64_t outer, int64_t inner,
                                const void *input, void *output) {
    const T *in = input;
    T *out = output;
    if (inner == 1) {
        const int64_t taps = NAME(resample_taps)(axis);
        for (int64_t o = 0; o < outer; o++, in += axis->size, out += axis->out_size) {
            if (taps == 2)
                NAME(resample_line)(2, axis, in, out);
            else if (taps == 4)
                NAME(resample_line)(4, axis, in, out);
            else
                NAME(resample_uneven_line)(axis, in, out);
        }
        return;
    }
    const T *weights = axis->weights;
    for (int64_t o = 0; o < outer; o++, in += axis->size * inner)
        for (int64_t i = 0; i < axis->out_size; i++, out += inner) {
            const int64_t first = axis->offsets[i], taps = axis->offsets[i + 1] - first;
            NAME(resample_add_rows)(taps, axis->columns + first, weights ? weights + first : NULL,
                                    inner, in, out);
        }
}
