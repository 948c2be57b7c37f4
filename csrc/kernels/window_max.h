/* The largest element of each window of volumes, and its index: first of each column over the
 * window's rows and depths, by vectors, then of the window's columns. The first of equals in
 * row-major order stays, and of NaNs the last, as if the window had been read in that order. */

/* Of each column in [0, width): the largest over one window's depths and rows. */
static void NAME(window_columns)(const mg_windows *w, const T *volume, const int64_t *depths,
                                 const int64_t *rows, T *largest, MG_MASK_T *place) {
    const int64_t width = w->size[2];
    for (int64_t x = 0; x < width; x += LANES) {
        const int64_t count = width - x < LANES ? width - x : LANES;
        const M column = NAME(lane_numbers)() + (MG_MASK_T)x;
        const int64_t first = (depths[0] * w->size[1] + rows[0]) * width;
        V best = NAME(splat)(-(T)INFINITY);
        M best_index = column + (MG_MASK_T)first;
        for (int64_t i = 0; i < depths[1]; i++)
            for (int64_t j = 0; j < rows[1]; j++) {
                const int64_t at =
                    ((depths[0] + i * depths[2]) * w->size[1] + rows[0] + j * rows[2]) * width;
                NAME(take_larger)(NAME(load_some)(volume + at + x, count, 0),
                                  column + (MG_MASK_T)at, &best, &best_index);
            }
        NAME(store)(largest + x, best);
        memcpy(place + x, &best_index, sizeof best_index);
    }
}

static void NAME(window_max)(const mg_windows *w, int64_t begin, int64_t end, const void *input,
                             void *values, int64_t *indices, void *columns) {
    const int64_t *out_size = w->out_size;
    T *largest = columns;
    MG_MASK_T *place = (MG_MASK_T *)((char *)columns + w->size[2] * (int64_t)sizeof(T) + 64);
    for (int64_t row = begin; row < end; row++) {
        const int64_t plane = row / out_size[1] / out_size[0];
        const int64_t z = row / out_size[1] % out_size[0], y = row % out_size[1];
        const int64_t *window = w->windows[2] + plane * w->pitch[2];
        NAME(window_columns)(w, (const T *)input + plane * w->size[0] * w->size[1] * w->size[2],
                             w->windows[0] + plane * w->pitch[0] + 3 * z,
                             w->windows[1] + plane * w->pitch[1] + 3 * y, largest, place);
        T *out = (T *)values + row * out_size[2];
        int64_t *index = indices + row * out_size[2];
        for (int64_t x = 0; x < out_size[2]; x++, window += 3) {
            int64_t column = window[0];
            T best = window[1] > 0 ? largest[column] : -(T)INFINITY;
            MG_MASK_T at = place[column];
            for (int64_t k = 1; k < window[1]; k++) {
                column += window[2];
                const T value = largest[column];
                const int both = value != value && best != best;
                if (both
                        ? place[column] > at
                        : value > best || value != value || (value == best && place[column] < at)) {
                    best = value;
                    at = place[column];
                }
            }
            out[x] = best;
            index[x] = at;
        }
    }
}
