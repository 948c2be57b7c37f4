/* The softmax inside attention and its derivative, on a block of scores of one floating-point
 * dtype; see ../normalize.h for the task and ../attention.c for the formulas.
 *
 * A row is worked on up to `width`, the whole vectors that hold the n columns that it sees (or all
 * columns, where they end before). Scores behind n count as -inf, so their weights are 0. */

/* One row: what it sees and where its operands begin. */
typedef struct NAME(attention_row) {
    int64_t n, width;
    const T *mask, *keep; /* NULL where there is none */
} NAME(attention_row);

INLINE NAME(attention_row) NAME(attention_row_at)(const mg_attention_task *task, int64_t row) {
    NAME(attention_row) of = {.n = task->columns};
    if (task->causal && task->visible + row < task->columns) of.n = task->visible + row;
    of.width = (of.n + LANES - 1) / LANES * LANES;
    if (of.width > task->columns) of.width = task->columns;
    if (task->mask) of.mask = (const T *)task->mask + row * task->mask_stride;
    if (task->keep) of.keep = (const T *)task->keep + row * task->keep_stride;
    return of;
}

/* `value` in the first `count` lanes, `other` behind them. */
INLINE V NAME(first_of)(int64_t count, V value, V other) {
    M lane;
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++) lane[i] = i;
    return count >= LANES ? value : NAME(select)(lane < (MG_MASK_T)count, value, other);
}

/* score * scale + mask at column k, in lanes of which `count` exist; -inf where nothing is seen */
INLINE V NAME(attention_score)(const NAME(attention_row) * row, const T *scores, int64_t k,
                               int64_t count, T scale) {
    V value = NAME(load_some)(scores + k, count, 0) * scale;
    if (row->mask) value += NAME(load_some)(row->mask + k, count, 0);
    return NAME(first_of)(row->n - k, value, NAME(splat)(-(T)INFINITY));
}

INLINE void NAME(clear_from)(T *row, int64_t k, int64_t end) {
    for (; k + LANES <= end; k += LANES) NAME(store)(row + k, (V){0});
    if (k < end) NAME(store_part)(row + k, (V){0}, end - k);
}

/* `task->rows` <= MG_ATTENTION_ROWS */
static void NAME(attention_weights)(const mg_attention_task *task, void *block, void *log_sums) {
    T *scores = block, *result = log_sums, largest[MG_ATTENTION_ROWS], sums[MG_ATTENTION_ROWS];
    for (int64_t row = 0; row < task->rows; row++, scores += task->stride) {
        const NAME(attention_row) of = NAME(attention_row_at)(task, row);
        V most = NAME(splat)(-(T)INFINITY);
        for (int64_t k = 0, count; k < of.width; k += count) {
            count = of.width - k < LANES ? of.width - k : LANES;
            V value = NAME(attention_score)(&of, scores, k, count, (T)task->scale);
            NAME(store_some)(scores + k, value, count);
            most = NAME(larger)(value, most);
        }
        largest[row] = NAME(lanes_largest)(most);
        if (largest[row] == -(T)INFINITY) largest[row] = 0; /* nothing is seen, or NaN alone */
        sums[row] = (T)NAME(exp_sum)(scores, of.width, largest[row], scores);
        const V factor = NAME(splat)(sums[row] == 0 ? 0 : 1 / sums[row]);
        for (int64_t k = 0, count; k < of.width; k += count) {
            count = of.width - k < LANES ? of.width - k : LANES;
            V value = NAME(load_some)(scores + k, count, 0) * factor;
            if (of.keep) value *= NAME(load_some)(of.keep + k, count, 0);
            NAME(store_some)(scores + k, value, count);
        }
        NAME(clear_from)(scores, of.width, task->columns);
    }
    for (int64_t row = 0, count; row < task->rows; row += count) {
        count = task->rows - row < LANES ? task->rows - row : LANES;
        V sum = NAME(load_some)(sums + row, count, 1);
        V value = NAME(load_some)(largest + row, count, 0) + NAME(log)(sum);
        /* Infinite where nothing is seen, so that exp(score - log sum) is 0 again. */
        value = NAME(select)(sum == 0, NAME(splat)((T)INFINITY), value);
        NAME(store_some)(result + row, value, count);
    }
}

static void NAME(attention_slopes)(const mg_attention_task *task, void *block, void *slopes,
                                   const void *log_sums) {
    T *scores = block, *slope = slopes;
    const T scale = (T)task->scale;
    const V zero = {0};
    for (int64_t row = 0; row < task->rows; row++, scores += task->stride, slope += task->stride) {
        const NAME(attention_row) of = NAME(attention_row_at)(task, row);
        const V log_sum = NAME(splat)(((const T *)log_sums)[row]);
        V sum = zero;
        double total = 0;
        for (int64_t k = 0, count, added = 0; k < of.width; k += count) {
            count = of.width - k < LANES ? of.width - k : LANES;
            V weight = NAME(exp)(NAME(attention_score)(&of, scores, k, count, scale) - log_sum);
            V each = NAME(first_of)(of.n - k, NAME(load_some)(slope + k, count, 0), zero);
            NAME(store_some)(scores + k, weight, count);
            if (of.keep) {
                each *= NAME(load_some)(of.keep + k, count, 0);
                NAME(store_some)(slope + k, each, count);
            }
            sum += weight * each;
            if (++added % 256 == 0) { /* few additions to one lane */
                total += (double)NAME(lanes_sum)(sum);
                sum = zero;
            }
        }
        const V mean = NAME(splat)((T)(total + (double)NAME(lanes_sum)(sum)));
        for (int64_t k = 0, count; k < of.width; k += count) {
            count = of.width - k < LANES ? of.width - k : LANES;
            V weight = NAME(load_some)(scores + k, count, 0);
            V each = NAME(first_of)(of.n - k, NAME(load_some)(slope + k, count, 0), zero);
            NAME(store_some)(slope + k, weight * (each - mean) * scale, count);
            if (of.keep)
                NAME(store_some)(scores + k, weight * NAME(load_some)(of.keep + k, count, 0),
                                 count);
        }
        NAME(clear_from)(scores, of.width, task->columns);
        NAME(clear_from)(slope, of.width, task->columns);
    }
}
