/* Cross-entropy from log-probabilities p of one floating-point dtype; see ../normalize.h. For a
 * sample of class t, with label smoothing e over C classes (torch.nn.functional.cross_entropy):
 *
 *   loss         = sum_c -q[c] p[c]        q[c] = (1 - e) w[t] [c == t] + e / C w[c]
 *   d loss / d x = exp(p) sum(q) - q       as p = log_softmax(x)
 * Samples of the ignored class have no loss, no derivative and no weight. */

/* sum w p over one sample's classes */
INLINE double NAME(weighted_sum)(const T *weight, const T *p, int64_t classes, int64_t inner) {
    double total = 0;
    if (inner != 1) {
        for (int64_t c = 0; c < classes; c++)
            total += (weight ? (double)weight[c] : 1) * (double)p[c * inner];
        return total;
    }
    for (int64_t first = 0; first < classes; first += BLOCK) {
        int64_t end = classes - first < BLOCK ? classes : first + BLOCK;
        V sum = {0};
        for (int64_t c = first, count; c < end; c += count) {
            count = end - c < LANES ? end - c : LANES;
            V value = NAME(load_some)(p + c, count, 0);
            sum += weight ? value * NAME(load_some)(weight + c, count, 0) : value;
        }
        total += (double)NAME(lanes_sum)(sum);
    }
    return total;
}

static int NAME(cross_entropy)(const mg_cross_entropy_task *task, const void *log_probabilities,
                               int64_t begin, int64_t end, void *loss, double *totals) {
    const int64_t classes = task->classes, inner = task->inner;
    const double kept = 1 - task->label_smoothing, spread = task->label_smoothing / (double)classes;
    const T *weight = task->weight;
    double loss_sum = 0, weight_sum = 0;
    for (int64_t sample = begin; sample < end; sample++) {
        int64_t target = task->target[sample];
        double own = 0;
        if (target != task->ignore_index) {
            if (target < 0 || target >= classes) return 0;
            const T *p = (const T *)log_probabilities + sample * classes;
            if (inner != 1) /* sample = n inner + i, and its first class is at n C inner + i */
                p = (const T *)log_probabilities + sample / inner * classes * inner +
                    sample % inner;
            double factor = weight ? (double)weight[target] : 1;
            own = -kept * factor * (double)p[target * inner];
            if (spread != 0) own -= spread * NAME(weighted_sum)(weight, p, classes, inner);
            weight_sum += factor;
            loss_sum += own;
        }
        if (loss) ((T *)loss)[sample] = (T)own;
    }
    totals[0] = loss_sum;
    totals[1] = weight_sum;
    return 1;
}

/* Of a sample with a target of that weight. */
INLINE void NAME(loss_factors)(const mg_cross_entropy_task *task, double weight, double scale,
                               T *power, T *level, T *spike) {
    double own = (1 - task->label_smoothing) * weight;
    double spread = task->label_smoothing / (double)task->classes;
    *power = (T)(scale * (own + spread * task->weight_sum));
    *level = (T)(scale * spread);
    *spike = (T)(scale * own);
}

/* What one sample's derivative is made of: a[c] = power * exp(p[c]) - level * w[c], less `spike` at
 * the target. Returns 0 where the target is no class. */
INLINE int NAME(loss_slope)(const mg_cross_entropy_task *task, int64_t target, double scale,
                            T *power, T *level, T *spike) {
    *power = *level = *spike = 0;
    if (target == task->ignore_index) return 1;
    if (target < 0 || target >= task->classes) return 0;
    NAME(loss_factors)(task, task->weight ? (double)((const T *)task->weight)[target] : 1, scale,
                       power, level, spike);
    return 1;
}

INLINE V NAME(loss_slope_at)(V p, V power, V level, V weight) {
    return power * NAME(exp)(p) - level * weight;
}

/* Rows without weights and with one gradient for all: every sample but the ignored ones has the
 * same factors, so that the exponentials are one long row however few the classes are. */
INLINE int NAME(loss_backward_plain_rows)(const mg_cross_entropy_task *task, const T *p,
                                          int64_t begin, int64_t end, double scale, T *out) {
    const int64_t classes = task->classes, last = end * classes;
    T power, level, spike;
    NAME(loss_factors)(task, 1, scale, &power, &level, &spike);
    const V powers = NAME(splat)(power), levels = NAME(splat)(level), one = NAME(splat)(1);
    for (int64_t i = begin * classes, count; i < last; i += count) {
        count = last - i < LANES ? last - i : LANES;
        V value = NAME(load_some)(p + i, count, 0);
        NAME(store_some)(out + i, NAME(loss_slope_at)(value, powers, levels, one), count);
    }
    for (int64_t sample = begin; sample < end; sample++) {
        const int64_t target = task->target[sample];
        T *to = out + sample * classes;
        if (target == task->ignore_index)
            memset(to, 0, (size_t)classes * sizeof(T));
        else if (target < 0 || target >= classes)
            return 0;
        else
            to[target] -= spike;
    }
    return 1;
}

/* inner == 1: a sample is a row */
INLINE int NAME(loss_backward_rows)(const mg_cross_entropy_task *task, const T *p, int64_t begin,
                                    int64_t end, const T *grad, double scale, T *out) {
    const int64_t classes = task->classes;
    const T *weight = task->weight;
    if (!weight && !grad) return NAME(loss_backward_plain_rows)(task, p, begin, end, scale, out);
    for (int64_t sample = begin; sample < end; sample++) {
        T power, level, spike;
        int64_t target = task->target[sample];
        double own = grad ? (double)grad[sample] * scale : scale;
        if (!NAME(loss_slope)(task, target, own, &power, &level, &spike)) return 0;
        const T *from = p + sample * classes;
        T *to = out + sample * classes;
        if (target == task->ignore_index) {
            memset(to, 0, (size_t)classes * sizeof(T));
            continue;
        }
        const V powers = NAME(splat)(power), levels = NAME(splat)(level), one = NAME(splat)(1);
        for (int64_t c = 0, count; c < classes; c += count) {
            count = classes - c < LANES ? classes - c : LANES;
            V w = weight ? NAME(load_some)(weight + c, count, 0) : one;
            V value = NAME(load_some)(from + c, count, 0);
            NAME(store_some)(to + c, NAME(loss_slope_at)(value, powers, levels, w), count);
        }
        to[target] -= spike;
    }
    return 1;
}

/* inner > 1: samples [begin, end) are neighbouring columns of one n */
INLINE int NAME(loss_backward_columns)(const mg_cross_entropy_task *task, const T *p, int64_t begin,
                                       int64_t end, const T *grad, double scale, T *out) {
    const int64_t classes = task->classes, inner = task->inner;
    const T *weight = task->weight;
    T power[LANES], level[LANES], spike[LANES];
    for (int64_t first = begin, count; first < end; first += count) {
        count = end - first < LANES ? end - first : LANES;
        const int64_t at = first / inner * classes * inner + first % inner;
        for (int64_t k = 0; k < count; k++) {
            double own = grad ? (double)grad[first + k] * scale : scale;
            if (!NAME(loss_slope)(task, task->target[first + k], own, power + k, level + k,
                                  spike + k))
                return 0;
        }
        const V powers = NAME(load_some)(power, count, 0),
                levels = NAME(load_some)(level, count, 0);
        for (int64_t c = 0; c < classes; c++) {
            V w = NAME(splat)(weight ? weight[c] : 1);
            V value = NAME(load_some)(p + at + c * inner, count, 0);
            NAME(store_some)(out + at + c * inner, NAME(loss_slope_at)(value, powers, levels, w),
                             count);
        }
        for (int64_t k = 0; k < count; k++) {
            int64_t target = task->target[first + k];
            if (target != task->ignore_index) {
                out[at + target * inner + k] -= spike[k];
                continue;
            }
            for (int64_t c = 0; c < classes; c++)
                out[at + c * inner + k] = 0; /* even where p is NaN */
        }
    }
    return 1;
}

static int NAME(cross_entropy_backward)(const mg_cross_entropy_task *task,
                                        const void *log_probabilities, int64_t begin, int64_t end,
                                        const void *grad, double scale, void *grad_input) {
    if (task->inner == 1)
        return NAME(loss_backward_rows)(task, log_probabilities, begin, end, grad, scale,
                                        grad_input);
    return NAME(loss_backward_columns)(task, log_probabilities, begin, end, grad, scale,
                                       grad_input);
}
