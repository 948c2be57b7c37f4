/* Pooling, float32 and float64. A vector holds neighbouring outputs of one row. The taps (positions of the
 * window) follow each other in row-major order, and each updates a whole stretch of outputs, so that no
 * output needs a branch; a tap that lies in the padding for some outputs leaves those lanes out.
 */

enum { NAME(STRETCH) = 512 }; /* outputs of one row that are worked on together */
#define STRETCH NAME(STRETCH)

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

/* source[0], source[stride], ...: `count` of them, at most LANES. Reads nothing beyond the last. */
INLINE V NAME(load_strided)(const T *source, int64_t stride, int64_t count) {
    if (stride == 1) return NAME(load_upto)(source, count);
    if (stride == 2) {
        int64_t span = 2 * count - 1;
        return NAME(evens)(NAME(load_upto)(source, span), NAME(load_upto)(source + LANES, span - LANES));
    }
    V value = {0};
    if (count > LANES) count = LANES;
    for (int64_t i = 0; i < count; i++) value[i] = source[i * stride];
    return value;
}

INLINE M NAME(lane_numbers)(void) {
    M lane = {0};
    for (int i = 0; i < LANES; i++) lane[i] = i;
    return lane;
}

/* The outputs x in [*begin, *end), within [first, last), whose column x * stride + offset exists. */
INLINE void NAME(valid_columns)(const mg_pool2d *pool, int64_t offset, int64_t first, int64_t last,
                                int64_t *begin, int64_t *end) {
    int64_t stride = pool->stride[1];
    int64_t low = offset < 0 ? (-offset + stride - 1) / stride : 0;
    int64_t high = offset < pool->width ? (pool->width - 1 - offset) / stride + 1 : 0;
    *begin = low > first ? low : first;
    *end = high < last ? high : last;
}

/* ---- maximum ---- */

/* A tap's value replaces the best so far if it is larger or NaN; so the first of equals stays. */
INLINE void NAME(take_larger)(V value, M index, M lanes, V *best, M *best_index) {
    M larger = ((value > *best) | (value != value)) & lanes;
    *best = NAME(select)(larger, value, *best);
    *best_index = (larger & index) | (~larger & *best_index);
}

/* Outputs [first, last) of row `out_row` of a plane, for any geometry. */
static void NAME(max_stretch)(const mg_pool2d *pool, const T *plane, int64_t out_row, int64_t first,
                              int64_t last, T *best, MG_MASK_T *index) {
    const int64_t width = pool->width, stride = pool->stride[1];
    const int64_t top = out_row * pool->stride[0] - pool->padding[0];
    const M lane = NAME(lane_numbers)();
    int64_t top_inside = top, last_position = pool->height * width - 1;
    while (top_inside < 0) top_inside += pool->dilation[0];
    for (int64_t x = first; x < last; x++) { /* where everything is -infinity: the first tap */
        int64_t column = x * stride - pool->padding[1];
        while (column < 0) column += pool->dilation[1];
        int64_t position = top_inside * width + column;
        best[x - first] = -(T)INFINITY;
        index[x - first] = (MG_MASK_T)(position < last_position ? position : last_position);
    }
    for (int64_t i = 0; i < pool->kernel[0]; i++) {
        int64_t row = top + i * pool->dilation[0];
        if (row < 0 || row >= pool->height) continue;
        for (int64_t j = 0; j < pool->kernel[1]; j++) {
            int64_t offset = j * pool->dilation[1] - pool->padding[1], begin, end;
            NAME(valid_columns)(pool, offset, first, last, &begin, &end);
            for (int64_t x = begin; x < end; x += LANES) {
                int64_t position = row * width + x * stride + offset;
                V value = NAME(load_strided)(plane + position, stride, end - x);
                V old = NAME(load)(best + x - first);
                M old_index;
                memcpy(&old_index, index + x - first, sizeof old_index);
                NAME(take_larger)(value, lane * (MG_MASK_T)stride + (MG_MASK_T)position,
                                  lane < (MG_MASK_T)(end - x), &old, &old_index);
                NAME(store)(best + x - first, old);
                memcpy(index + x - first, &old_index, sizeof old_index);
            }
        }
    }
}

/* The same for windows of 2 x 2 side by side without padding: each input is read once. */
static void NAME(max_stretch_2x2)(const mg_pool2d *pool, const T *plane, int64_t out_row,
                                  int64_t first, int64_t last, T *best, MG_MASK_T *index) {
    const int64_t width = pool->width;
    const M lane = NAME(lane_numbers)() * 2, everywhere = ~(M){0};
    for (int64_t x = first; x < last; x += LANES) {
        int64_t position = 2 * out_row * width + 2 * x, span = 2 * (last - x);
        const T *upper = plane + position, *lower = upper + width;
        V a = NAME(load_upto)(upper, span), b = NAME(load_upto)(upper + LANES, span - LANES);
        V c = NAME(load_upto)(lower, span), d = NAME(load_upto)(lower + LANES, span - LANES);
        M place = lane + (MG_MASK_T)position;
        V largest = NAME(evens)(a, b);
        M largest_index = place;
        NAME(take_larger)(NAME(odds)(a, b), place + 1, everywhere, &largest, &largest_index);
        place += (MG_MASK_T)width;
        NAME(take_larger)(NAME(evens)(c, d), place, everywhere, &largest, &largest_index);
        NAME(take_larger)(NAME(odds)(c, d), place + 1, everywhere, &largest, &largest_index);
        NAME(store)(best + x - first, largest);
        memcpy(index + x - first, &largest_index, sizeof largest_index);
    }
}

static void NAME(pool_max)(const mg_pool2d *pool, int64_t begin, int64_t end, const void *input,
                           void *values, int64_t *indices) {
    /* Results collect here, with room for the last vector to overrun, and go out many at a time. */
    T best[2 * STRETCH + LANES];
    MG_MASK_T index[2 * STRETCH + LANES];
    const int64_t out_width = pool->out_width, plane_size = pool->height * pool->width;
    const int64_t *k = pool->kernel, *s = pool->stride, *p = pool->padding, *d = pool->dilation;
    const int by_pairs = k[0] == 2 && k[1] == 2 && s[0] == 2 && s[1] == 2 && p[0] == 0 && p[1] == 0 &&
                         d[0] == 1 && d[1] == 1 && 2 * pool->out_height <= pool->height &&
                         2 * pool->out_width <= pool->width;
    int64_t held = 0, done = begin * out_width;
    for (int64_t row = begin; row < end; row++) {
        const T *plane = (const T *)input + row / pool->out_height * plane_size;
        int64_t out_row = row % pool->out_height;
        for (int64_t first = 0; first < out_width; first += STRETCH) {
            int64_t last = first + STRETCH < out_width ? first + STRETCH : out_width;
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

/* The divisors of outputs [first, last) of a row. */
INLINE void NAME(divisors)(const mg_pool2d *pool, int64_t out_row, int64_t first, int64_t last,
                           T *divisor) {
    int64_t rows = NAME(window_extent)(pool, 0, out_row);
    for (int64_t x = first; x < last; x++)
        divisor[x - first] = (T)(pool->divisor ? pool->divisor
                                               : rows * NAME(window_extent)(pool, 1, x));
}

static void NAME(pool_average)(const mg_pool2d *pool, int64_t begin, int64_t end, const void *input,
                               void *out) {
    T sum[STRETCH + LANES], divisor[STRETCH + LANES];
    const int64_t width = pool->width, stride = pool->stride[1];
    const M lane = NAME(lane_numbers)();
    for (int64_t out_index = begin; out_index < end; out_index++) {
        const T *plane = (const T *)input + out_index / pool->out_height * pool->height * width;
        int64_t out_row = out_index % pool->out_height;
        for (int64_t first = 0; first < pool->out_width; first += STRETCH) {
            int64_t last = first + STRETCH < pool->out_width ? first + STRETCH : pool->out_width;
            memset(sum, 0, sizeof sum);
            for (int64_t i = 0; i < pool->kernel[0]; i++) {
                int64_t row = out_row * pool->stride[0] - pool->padding[0] + i;
                if (row < 0 || row >= pool->height) continue;
                for (int64_t j = 0; j < pool->kernel[1]; j++) {
                    int64_t offset = j - pool->padding[1], from, to;
                    NAME(valid_columns)(pool, offset, first, last, &from, &to);
                    for (int64_t x = from; x < to; x += LANES) {
                        const T *source = plane + row * width + x * stride + offset;
                        V value = NAME(load_strided)(source, stride, to - x);
                        V kept = (V)((M)value & (lane < (MG_MASK_T)(to - x)));
                        T *at = sum + x - first;
                        NAME(store)(at, NAME(load)(at) + kept);
                    }
                }
            }
            T *target = (T *)out + out_index * pool->out_width + first;
            NAME(divisors)(pool, out_row, first, last, divisor);
            for (int64_t x = 0; x < last - first; x++) target[x] = sum[x] / divisor[x];
        }
    }
}

static void NAME(pool_average_backward)(const mg_pool2d *pool, const void *grad_output,
                                        void *grad_input) {
    T share[STRETCH], divisor[STRETCH];
    const int64_t width = pool->width, stride = pool->stride[1];
    for (int64_t out_row = 0; out_row < pool->out_height; out_row++) {
        const T *source = (const T *)grad_output + out_row * pool->out_width;
        for (int64_t first = 0; first < pool->out_width; first += STRETCH) {
            int64_t last = first + STRETCH < pool->out_width ? first + STRETCH : pool->out_width;
            NAME(divisors)(pool, out_row, first, last, divisor);
            for (int64_t x = first; x < last; x++) share[x - first] = source[x] / divisor[x - first];
            for (int64_t i = 0; i < pool->kernel[0]; i++) {
                int64_t row = out_row * pool->stride[0] - pool->padding[0] + i;
                if (row < 0 || row >= pool->height) continue;
                for (int64_t j = 0; j < pool->kernel[1]; j++) {
                    int64_t offset = j - pool->padding[1], from, to;
                    NAME(valid_columns)(pool, offset, first, last, &from, &to);
                    T *target = (T *)grad_input + row * width + offset;
                    for (int64_t x = from; x < to; x++) target[x * stride] += share[x - first];
                }
            }
        }
    }
}

/* ---- moving values by their index in the plane ---- */

static int NAME(plane_gather)(int64_t count, const int64_t *indices, int64_t size, const void *plane,
                              void *values, int64_t *wrong) {
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

static int NAME(plane_scatter)(int64_t count, const int64_t *indices, int64_t size, const void *values,
                               void *plane, int64_t *wrong) {
    memset(plane, 0, (size_t)size * sizeof(T));
    for (int64_t i = 0; i < count; i++) {
        int64_t index = indices[i];
        if ((uint64_t)index >= (uint64_t)size) {
            *wrong = index;
            return -1;
        }
        ((T *)plane)[index] += ((const T *)values)[i];
    }
    return 0;
}

#undef STRETCH
#undef EVENS
#undef ODDS
