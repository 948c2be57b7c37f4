/* Pooling, float32 and float64. A vector holds neighbouring outputs of one row. An input row is
 * first copied with its padding, so that every tap (position of the window) exists for every output
 * and no output needs a branch. Taps follow each other in row-major order.
 */

enum {
    NAME(STRETCH) = 512, /* outputs of one row that are worked on together */
    NAME(REACH) = 1024   /* columns between the first and the last of them, and between taps */
};
#define STRETCH NAME(STRETCH)
#define REACH NAME(REACH)

/* Elements 0, 2, 4, ... and 1, 3, 5, ... of a followed by b. */
#if MG_VECTOR_BYTES * 8 / MG_IS_FLOAT == 16
#define EVENS 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define ODDS 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#elif MG_VECTOR_BYTES * 8 / MG_IS_FLOAT == 8
#define EVENS 0, 2, 4, 6, 8, 10, 12, 14
#define ODDS 1, 3, 5, 7, 9, 11, 13, 15
#elif MG_VECTOR_BYTES * 8 / MG_IS_FLOAT == 4
#define EVENS 0, 2, 4, 6
#define ODDS 1, 3, 5, 7
#else
#define EVENS 0, 2
#define ODDS 1, 3
#endif

INLINE V NAME(evens)(V a, V b) {
#if defined(__clang__)
    return __builtin_shufflevector(a, b, EVENS);
#else
    return __builtin_shuffle(a, b, (M){EVENS});
#endif
}

INLINE V NAME(odds)(V a, V b) {
#if defined(__clang__)
    return __builtin_shufflevector(a, b, ODDS);
#else
    return __builtin_shuffle(a, b, (M){ODDS});
#endif
}

INLINE V NAME(load_upto)(const T *source, int64_t count) {
    if (count >= LANES) return NAME(load)(source);
    return count > 0 ? NAME(load_part)(source, count, 0) : (V){0};
}

/* source[0], source[stride], ... for `count` lanes or more. May read 2 LANES elements where the
 * stride is 1 or 2; what stands in the other lanes does not matter. */
INLINE V NAME(load_strided)(const T *source, int64_t stride, int64_t count) {
    if (stride == 1) return NAME(load)(source);
    if (stride == 2) return NAME(evens)(NAME(load)(source), NAME(load)(source + LANES));
    V value = {0};
    for (int64_t i = 0; i < LANES && i < count; i++) value[i] = source[i * stride];
    return value;
}

INLINE M NAME(lane_numbers)(void) {
    M lane = {0};
    for (int i = 0; i < LANES; i++) lane[i] = i;
    return lane;
}

/* How many outputs of a row, at most STRETCH, are less than REACH columns apart. */
INLINE int64_t NAME(stretch_of)(const mg_pool2d *pool) {
    int64_t count = (REACH - 1) / pool->stride[1] + 1;
    return count < STRETCH ? count : STRETCH;
}

/* How many taps of one row are less than REACH columns apart. */
INLINE int64_t NAME(taps_of)(const mg_pool2d *pool) {
    int64_t count = (REACH - 1) / pool->dilation[1] + 1;
    return count < pool->kernel[1] ? count : pool->kernel[1];
}

/* Columns start, ..., start + span - 1 of an input row; `fill` where the row has none. */
static void NAME(pad_row)(const T *row, int64_t width, int64_t start, int64_t span, T fill,
                          T *padded) {
    int64_t from = start < 0 ? -start : 0, to = width - start < span ? width - start : span;
    if (from > span) from = span;
    if (to < from) to = from;
    for (int64_t i = 0; i < from; i++) padded[i] = fill;
    for (int64_t i = from; i < to; i += LANES)
        NAME(store)(padded + i, NAME(load_upto)(row + start + i, to - i));
    for (int64_t i = to; i < span; i++) padded[i] = fill;
}

/* ---- maximum ---- */

/* A tap's value replaces the best so far if it is larger or NaN; so the first of equals stays. */
INLINE void NAME(take_larger)(V value, M index, V *best, M *best_index) {
    M larger = (value > *best) | (value != value);
    *best = NAME(select)(larger, value, *best);
    *best_index = (larger & index) | (~larger & *best_index);
}

/* Brings `taps` taps of one padded row into the best of `count` outputs. position: of the first
 * output's first tap in the plane. */
INLINE void NAME(max_taps)(const T *padded, int64_t stride, int64_t dilation, int64_t taps,
                           int64_t position, int64_t count, T *best, MG_MASK_T *index) {
    const M lane = NAME(lane_numbers)() * (MG_MASK_T)stride;
    for (int64_t x = 0; x < count; x += LANES) {
        V largest = NAME(load)(best + x);
        M largest_index;
        memcpy(&largest_index, index + x, sizeof largest_index);
        for (int64_t j = 0; j < taps; j++) {
            int64_t column = x * stride + j * dilation;
            V value = NAME(load_strided)(padded + column, stride, count - x);
            NAME(take_larger)(value, lane + (MG_MASK_T)(position + column), &largest,
                              &largest_index);
        }
        NAME(store)(best + x, largest);
        memcpy(index + x, &largest_index, sizeof largest_index);
    }
}

/* Outputs [first, last) of row `out_row` of a plane, for any geometry. */
static void NAME(max_stretch)(const mg_pool2d *pool, const T *plane, int64_t out_row, int64_t first,
                              int64_t last, T *best, MG_MASK_T *index) {
    T padded[2 * REACH + 3 * LANES];
    const int64_t width = pool->width, stride = pool->stride[1], dilation = pool->dilation[1];
    const int64_t top = out_row * pool->stride[0] - pool->padding[0], count = last - first;
    const int64_t together = NAME(taps_of)(pool), last_position = pool->height * width - 1;
    int64_t top_inside = top;
    while (top_inside < 0) top_inside += pool->dilation[0];
    for (int64_t x = 0; x < count; x++) { /* where everything is -infinity: the first tap */
        int64_t column = (first + x) * stride - pool->padding[1];
        while (column < 0) column += dilation;
        int64_t position = top_inside * width + column;
        best[x] = -(T)INFINITY;
        index[x] = (MG_MASK_T)(position < last_position ? position : last_position);
    }
    for (int64_t i = 0; i < pool->kernel[0]; i++) {
        int64_t row = top + i * pool->dilation[0];
        if (row < 0 || row >= pool->height) continue;
        for (int64_t tap = 0; tap < pool->kernel[1]; tap += together) {
            int64_t taps = pool->kernel[1] - tap < together ? pool->kernel[1] - tap : together;
            int64_t start = first * stride - pool->padding[1] + tap * dilation;
            int64_t span = (count - 1) * stride + (taps - 1) * dilation + 1;
            int64_t position = row * width + start;
            NAME(pad_row)(plane + row * width, width, start, span, -(T)INFINITY, padded);
            if (stride == 1)
                NAME(max_taps)(padded, 1, dilation, taps, position, count, best, index);
            else if (stride == 2)
                NAME(max_taps)(padded, 2, dilation, taps, position, count, best, index);
            else
                NAME(max_taps)(padded, stride, dilation, taps, position, count, best, index);
        }
    }
}

/* The same for windows of 2 x 2 side by side without padding: each input is read once. */
static void NAME(max_stretch_2x2)(const mg_pool2d *pool, const T *plane, int64_t out_row,
                                  int64_t first, int64_t last, T *best, MG_MASK_T *index) {
    const int64_t width = pool->width;
    const M lane = NAME(lane_numbers)() * 2;
    for (int64_t x = first; x < last; x += LANES) {
        int64_t position = 2 * out_row * width + 2 * x, span = 2 * (last - x);
        const T *upper = plane + position, *lower = upper + width;
        V a = NAME(load_upto)(upper, span), b = NAME(load_upto)(upper + LANES, span - LANES);
        V c = NAME(load_upto)(lower, span), d = NAME(load_upto)(lower + LANES, span - LANES);
        M place = lane + (MG_MASK_T)position;
        V largest = NAME(evens)(a, b);
        M largest_index = place;
        NAME(take_larger)(NAME(odds)(a, b), place + 1, &largest, &largest_index);
        place += (MG_MASK_T)width;
        NAME(take_larger)(NAME(evens)(c, d), place, &largest, &largest_index);
        NAME(take_larger)(NAME(odds)(c, d), place + 1, &largest, &largest_index);
        NAME(store)(best + x - first, largest);
        memcpy(index + x - first, &largest_index, sizeof largest_index);
    }
}

/* Windows of 2 x 2 side by side without padding. */
INLINE int NAME(by_pairs)(const mg_pool2d *pool) {
    const int64_t *k = pool->kernel, *s = pool->stride, *p = pool->padding, *d = pool->dilation;
    return k[0] == 2 && k[1] == 2 && s[0] == 2 && s[1] == 2 && p[0] == 0 && p[1] == 0 &&
           d[0] == 1 && d[1] == 1 && 2 * pool->out_height <= pool->height &&
           2 * pool->out_width <= pool->width;
}

static void NAME(pool_max)(const mg_pool2d *pool, int64_t begin, int64_t end, const void *input,
                           void *values, int64_t *indices) {
    /* Results collect here, with room for the last vector to overrun, and go out many at a time. */
    T best[2 * STRETCH + LANES];
    MG_MASK_T index[2 * STRETCH + LANES];
    const int64_t out_width = pool->out_width, plane_size = pool->height * pool->width;
    const int by_pairs = NAME(by_pairs)(pool);
    const int64_t stretch = NAME(stretch_of)(pool);
    int64_t held = 0, done = begin * out_width;
    for (int64_t row = begin; row < end; row++) {
        const T *plane = (const T *)input + row / pool->out_height * plane_size;
        int64_t out_row = row % pool->out_height;
        for (int64_t first = 0; first < out_width; first += stretch) {
            int64_t last = first + stretch < out_width ? first + stretch : out_width;
            if (by_pairs)
                NAME(max_stretch_2x2)(pool, plane, out_row, first, last, best + held, index + held);
            else
                NAME(max_stretch)(pool, plane, out_row, first, last, best + held, index + held);
            held += last - first;
            if (held < STRETCH && (row + 1 < end || last < out_width)) continue;
            memcpy((T *)values + done, best, (size_t)held * sizeof(T));
            for (int64_t i = 0; i < held; i++) indices[done + i] = index[i];
            done += held;
            held = 0;
        }
    }
}

/* ---- average ---- */

/* Positions of one window along a dimension: those that count for the divisor. */
INLINE int64_t NAME(window_extent)(const mg_pool2d *pool, int dimension, int64_t out) {
    int64_t size = dimension ? pool->width : pool->height, padding = pool->padding[dimension];
    int64_t start = out * pool->stride[dimension] - padding, stop = start + pool->kernel[dimension];
    if (stop > size + padding) stop = size + padding;
    if (!pool->count_include_pad) {
        if (start < 0) start = 0;
        if (stop > size) stop = size;
    }
    return stop > start ? stop - start : 1;
}

/* The divisors of outputs [first, last) of a row, but for the factor of the window's rows. */
INLINE void NAME(column_extents)(const mg_pool2d *pool, int64_t first, int64_t last, T *extent) {
    for (int64_t x = first; x < last; x++)
        extent[x - first] = (T)(pool->divisor ? pool->divisor : NAME(window_extent)(pool, 1, x));
}

INLINE T NAME(row_extent)(const mg_pool2d *pool, int64_t out_row) {
    return pool->divisor ? 1 : (T)NAME(window_extent)(pool, 0, out_row);
}

/* Adds `taps` neighbouring taps of one padded row to the sums of `count` outputs. */
INLINE void NAME(sum_taps)(const T *padded, int64_t stride, int64_t taps, int64_t count, T *sum) {
    for (int64_t x = 0; x < count; x += LANES) {
        V total = NAME(load)(sum + x);
        for (int64_t j = 0; j < taps; j++)
            total += NAME(load_strided)(padded + x * stride + j, stride, count - x);
        NAME(store)(sum + x, total);
    }
}

/* Sums of the windows of outputs [first, last) of a row of a plane. */
static void NAME(sum_stretch)(const mg_pool2d *pool, const T *plane, int64_t out_row, int64_t first,
                              int64_t last, T *sum) {
    T padded[2 * REACH + 3 * LANES];
    const int64_t width = pool->width, stride = pool->stride[1], count = last - first;
    const int64_t together = NAME(taps_of)(pool);
    memset(sum, 0, (size_t)count * sizeof *sum);
    for (int64_t i = 0; i < pool->kernel[0]; i++) {
        int64_t row = out_row * pool->stride[0] - pool->padding[0] + i;
        if (row < 0 || row >= pool->height) continue;
        for (int64_t tap = 0; tap < pool->kernel[1]; tap += together) {
            int64_t taps = pool->kernel[1] - tap < together ? pool->kernel[1] - tap : together;
            int64_t start = first * stride - pool->padding[1] + tap;
            int64_t span = (count - 1) * stride + taps;
            NAME(pad_row)(plane + row * width, width, start, span, 0, padded);
            if (stride == 1)
                NAME(sum_taps)(padded, 1, taps, count, sum);
            else if (stride == 2)
                NAME(sum_taps)(padded, 2, taps, count, sum);
            else
                NAME(sum_taps)(padded, stride, taps, count, sum);
        }
    }
}

/* One row of them: each input is read once. */
static void NAME(average_row_2x2)(const T *upper, const T *lower, int64_t count, T divisor,
                                  T *out) {
    for (int64_t x = 0; x < count; x += LANES) {
        const int64_t at = 2 * x, span = 2 * (count - x);
        const V a = NAME(load_upto)(upper + at, span);
        const V b = NAME(load_upto)(upper + at + LANES, span - LANES);
        const V c = NAME(load_upto)(lower + at, span);
        const V d = NAME(load_upto)(lower + at + LANES, span - LANES);
        V sum = NAME(evens)(a, b) + NAME(odds)(a, b);
        sum += NAME(evens)(c, d);
        sum += NAME(odds)(c, d);
        NAME(store_some)(out + x, sum / divisor, count - x < LANES ? count - x : LANES);
    }
}

static void NAME(average_2x2)(const mg_pool2d *pool, int64_t begin, int64_t end, const T *input,
                              T *out) {
    const T divisor = (T)(pool->divisor ? pool->divisor : 4);
    for (int64_t row = begin; row < end; row++) {
        const T *upper =
            input +
            (row / pool->out_height * pool->height + 2 * (row % pool->out_height)) * pool->width;
        NAME(average_row_2x2)(upper, upper + pool->width, pool->out_width, divisor,
                              out + row * pool->out_width);
    }
}

static void NAME(pool_average)(const mg_pool2d *pool, int64_t begin, int64_t end, const void *input,
                               void *out) {
    if (NAME(by_pairs)(pool)) {
        NAME(average_2x2)(pool, begin, end, input, out);
        return;
    }
    T sum[STRETCH + LANES], extent[STRETCH];
    const int64_t out_width = pool->out_width, plane_size = pool->height * pool->width;
    const int64_t stretch = NAME(stretch_of)(pool);
    for (int64_t first = 0; first < out_width; first += stretch) {
        int64_t last = first + stretch < out_width ? first + stretch : out_width;
        NAME(column_extents)(pool, first, last, extent);
        for (int64_t row = begin; row < end; row++) {
            const T *plane = (const T *)input + row / pool->out_height * plane_size;
            NAME(sum_stretch)(pool, plane, row % pool->out_height, first, last, sum);
            const T rows = NAME(row_extent)(pool, row % pool->out_height);
            T *target = (T *)out + row * out_width + first;
            for (int64_t x = 0; x < last - first; x++) target[x] = sum[x] / (rows * extent[x]);
        }
    }
}

/* The outputs x in [*begin, *end), within [first, last), whose column x * stride + offset exists.
 * */
INLINE void NAME(valid_columns)(const mg_pool2d *pool, int64_t offset, int64_t first, int64_t last,
                                int64_t *begin, int64_t *end) {
    int64_t stride = pool->stride[1];
    int64_t low = offset < 0 ? (-offset + stride - 1) / stride : 0;
    int64_t high = offset < pool->width ? (pool->width - 1 - offset) / stride + 1 : 0;
    *begin = low > first ? low : first;
    *end = high < last ? high : last;
}

static void NAME(average_backward_2x2)(const mg_pool2d *pool, const T *grad_output, T *grad_input) {
    const T divisor = (T)(pool->divisor ? pool->divisor : 4);
    for (int64_t y = 0; y < pool->out_height; y++) {
        const T *source = grad_output + y * pool->out_width;
        T *upper = grad_input + 2 * y * pool->width, *lower = upper + pool->width;
        for (int64_t x = 0; x < pool->out_width; x++) {
            const T share = source[x] / divisor;
            upper[2 * x] = share;
            upper[2 * x + 1] = share;
            lower[2 * x] = share;
            lower[2 * x + 1] = share;
        }
    }
}

static void NAME(pool_average_backward)(const mg_pool2d *pool, const void *grad_output,
                                        void *grad_input) {
    if (NAME(by_pairs)(pool)) {
        NAME(average_backward_2x2)(pool, grad_output, grad_input);
        return;
    }
    T share[STRETCH], extent[STRETCH];
    const int64_t stride = pool->stride[1], out_width = pool->out_width;
    for (int64_t first = 0; first < out_width; first += STRETCH) {
        int64_t last = first + STRETCH < out_width ? first + STRETCH : out_width;
        NAME(column_extents)(pool, first, last, extent);
        for (int64_t out_row = 0; out_row < pool->out_height; out_row++) {
            const T *source = (const T *)grad_output + out_row * out_width + first;
            const T rows = NAME(row_extent)(pool, out_row);
            for (int64_t x = 0; x < last - first; x++) share[x] = source[x] / (rows * extent[x]);
            for (int64_t i = 0; i < pool->kernel[0]; i++) {
                int64_t row = out_row * pool->stride[0] - pool->padding[0] + i;
                if (row < 0 || row >= pool->height) continue;
                for (int64_t j = 0; j < pool->kernel[1]; j++) {
                    int64_t offset = j - pool->padding[1], from, to;
                    NAME(valid_columns)(pool, offset, first, last, &from, &to);
                    T *target = (T *)grad_input + row * pool->width + offset;
                    for (int64_t x = from; x < to; x++) target[x * stride] += share[x - first];
                }
            }
        }
    }
}

/* ---- moving values by their index in the plane ---- */

static int NAME(plane_gather)(int64_t count, const int64_t *indices, int64_t size,
                              const void *plane, void *values, int64_t *wrong) {
    for (int64_t i = 0; i < count; i++) {
        int64_t index = indices[i];
        if ((uint64_t)index >= (uint64_t)size) {
            *wrong = index;
            return -1;
        }
        ((T *)values)[i] = ((const T *)plane)[index];
    }
    return 0;
}

static int NAME(plane_scatter)(int64_t count, const int64_t *indices, int64_t size,
                               const void *values, void *plane, int replace, int64_t *wrong) {
    memset(plane, 0, (size_t)size * sizeof(T));
    for (int64_t i = 0; i < count; i++) {
        int64_t index = indices[i];
        if ((uint64_t)index >= (uint64_t)size) {
            *wrong = index;
            return -1;
        }
        const T value = ((const T *)values)[i];
        ((T *)plane)[index] = replace ? value : ((T *)plane)[index] + value;
    }
    return 0;
}

#undef STRETCH
#undef REACH
#undef EVENS
#undef ODDS
