/* Adafactor's passes over stretches of one row of a matrix; see ../adafactor.c. A variance is
 * factor * column, at least `floor`; a vector is a matrix of one row, with factor 1. */

/* Adds the squares of each column over the rows (64 of them at most) to sums. */
static void NAME(adafactor_columns)(int64_t rows, int64_t columns, const void *gradient,
                                    double *sums) {
    const T *g = gradient;
    for (int64_t j = 0; j < columns; j += LANES) {
        const int64_t rest = columns - j;
        V sum = {0};
        for (int64_t i = 0; i < rows; i++) {
            const T *at = g + i * columns + j;
            const V x = rest >= LANES ? NAME(load)(at) : NAME(load_part)(at, rest, 0);
            sum += x * x;
        }
        for (int64_t k = 0; k < LANES && k < rest; k++) sums[j + k] += (double)sum[k];
    }
}

/* values[i] <- the mix of values[i] and sums[i] / divisor */
static void NAME(adafactor_average)(int64_t count, void *values, const double *sums, double divisor,
                                    double weight) {
    T *x = values;
    for (int64_t i = 0; i < count; i++)
        x[i] = (T)((double)x[i] + weight * (sums[i] / divisor - (double)x[i]));
}

INLINE V NAME(adafactor_direction)(V g, V column, T factor, V floor) {
    V variance = factor * column;
    variance = NAME(select)(variance < floor, floor, variance);
    return g / NAME(sqrt)(variance);
}

/* The sum of the squares of the direction. */
static double NAME(adafactor_measure)(int64_t count, const void *gradient, const void *columns,
                                      double factor, double floor) {
    const T *g = gradient, *c = columns;
    const V least = NAME(splat)((T)floor);
    double total = 0;
    for (int64_t begin = 0; begin < count; begin += 64 * LANES) {
        const int64_t end = begin + 64 * LANES < count ? begin + 64 * LANES : count;
        V sum = {0};
        for (int64_t i = begin; i < end; i += LANES) {
            const int64_t rest = end - i;
            const int whole = rest >= LANES;
            const V x = whole ? NAME(load)(g + i) : NAME(load_part)(g + i, rest, 0);
            const V y = whole ? NAME(load)(c + i) : NAME(load_part)(c + i, rest, 1);
            const V u = NAME(adafactor_direction)(x, y, (T)factor, least);
            sum += u * u;
        }
        total += (double)NAME(lanes_sum)(sum);
    }
    return total;
}

/* p <- shrink p - rate direction */
static void NAME(adafactor_update)(int64_t count, void *parameter, const void *gradient,
                                   const void *columns, double factor, double floor, double shrink,
                                   double rate) {
    T *p = parameter;
    const T *g = gradient, *c = columns;
    const V least = NAME(splat)((T)floor);
    for (int64_t i = 0; i < count; i += LANES) {
        const int64_t rest = count - i;
        if (rest >= LANES) {
            const V u =
                NAME(adafactor_direction)(NAME(load)(g + i), NAME(load)(c + i), (T)factor, least);
            NAME(store)(p + i, NAME(load)(p + i) * (T)shrink - (T)rate * u);
        } else {
            const V u =
                NAME(adafactor_direction)(NAME(load_part)(g + i, rest, 0),
                                          NAME(load_part)(c + i, rest, 1), (T)factor, least);
            NAME(store_part)(p + i, NAME(load_part)(p + i, rest, 0) * (T)shrink - (T)rate * u,
                             rest);
        }
    }
}
