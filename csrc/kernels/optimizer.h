/* Optimizer steps over contiguous memory, one vector at a time; float32 and float64.
 *
 * A formula is a function NAME(x): it is given the numbers, the parameter p, the gradient g and the
 * states s, which it replaces, and returns the new parameter. What all optimizers share comes first
 * (advance, below): g <- -g with maximize; g <- g + decay p; p <- shrink p.
 */

/* mg_optimizer_numbers in this dtype, member by member. */
typedef struct NAME(numbers) {
    T decay, shrink;
    T rate, next_rate, eps, momentum;
    T beta1, weight1, beta2, weight2;
    T scale, low, high;
    int decays, shrinks, maximize, flag;
} NAME(numbers);

typedef V (*NAME(formula))(const NAME(numbers) * n, V p, V g, V *s);

/* The two forms of a + weight (b - a), each exact at its end, as in torch.lerp. */
INLINE V NAME(mix)(V a, V b, T kept, T weight) {
    const V difference = b - a;
    return weight < (T)0.5 ? a + weight * difference : b - kept * difference;
}

/* The larger of two, or the NaN of either. */
INLINE V NAME(larger_or_nan)(V a, V b) { return NAME(select)((a > b) | (a != a), a, b); }

/* p <- p - rate g */
INLINE V NAME(sgd)(const NAME(numbers) * n, V p, V g, V *s) {
    (void)s;
    return p - n->rate * g;
}

/* s0 <- beta1 s0 + weight1 g;  p <- p - rate (flag, Nesterov's form: g + momentum s0, else s0) */
INLINE V NAME(sgd_momentum)(const NAME(numbers) * n, V p, V g, V *s) {
    s[0] = n->beta1 * s[0] + n->weight1 * g;
    return p - n->rate * (n->flag ? g + n->momentum * s[0] : s[0]);
}

/* p <- p - rate g;  the average s0 <- s0 + weight1 (p - s0), flag: s0 <- p */
INLINE V NAME(asgd)(const NAME(numbers) * n, V p, V g, V *s) {
    p -= n->rate * g;
    s[0] = n->flag ? p : s[0] + (p - s[0]) * n->weight1;
    return p;
}

/* s0 <- s0 + g^2;  p <- p - rate g / (sqrt(s0) + eps) */
INLINE V NAME(adagrad)(const NAME(numbers) * n, V p, V g, V *s) {
    s[0] += g * g;
    return p - n->rate * g / (NAME(sqrt)(s[0]) + n->eps);
}

/* s0 <- beta2 s0 + weight2 g^2;  d = sqrt(s1 + eps) / sqrt(s0 + eps) g;
 * s1 <- beta2 s1 + weight2 d^2;  p <- p - rate d */
INLINE V NAME(adadelta)(const NAME(numbers) * n, V p, V g, V *s) {
    s[0] = n->beta2 * s[0] + n->weight2 * g * g;
    const V step = NAME(sqrt)(s[1] + n->eps) / NAME(sqrt)(s[0] + n->eps) * g;
    s[1] = n->beta2 * s[1] + n->weight2 * step * step;
    return p - n->rate * step;
}

/* s0 <- beta2 s0 + weight2 g^2;  centered: a <- mix of a and g, v = s0 - a^2, else v = s0;
 * d = g / (sqrt(v) + eps);  with momentum: b <- momentum b + d, d = b;  p <- p - rate d */
INLINE V NAME(rmsprop_form)(const NAME(numbers) * n, V p, V g, V *square, V *buffer, V *average) {
    *square = n->beta2 * *square + n->weight2 * g * g;
    V variance = *square;
    if (average) {
        *average = NAME(mix)(*average, g, n->beta2, n->weight2);
        variance -= *average * *average;
    }
    V step = g / (NAME(sqrt)(variance) + n->eps);
    if (buffer) step = *buffer = n->momentum * *buffer + step;
    return p - n->rate * step;
}

INLINE V NAME(rmsprop)(const NAME(numbers) * n, V p, V g, V *s) {
    return NAME(rmsprop_form)(n, p, g, s, NULL, NULL);
}

INLINE V NAME(rmsprop_momentum)(const NAME(numbers) * n, V p, V g, V *s) {
    return NAME(rmsprop_form)(n, p, g, s, s + 1, NULL);
}

INLINE V NAME(rmsprop_centered)(const NAME(numbers) * n, V p, V g, V *s) {
    return NAME(rmsprop_form)(n, p, g, s, NULL, s + 1);
}

INLINE V NAME(rmsprop_centered_momentum)(const NAME(numbers) * n, V p, V g, V *s) {
    return NAME(rmsprop_form)(n, p, g, s, s + 1, s + 2);
}

/* s0: the gradient before, s1: the step size of each element.
 * s1 <- s1 high where g s0 > 0, s1 low where g s0 < 0, within [beta1, beta2];
 * g <- 0 where g s0 < 0;  p <- p - sign(g) s1;  s0 <- g */
INLINE V NAME(rprop)(const NAME(numbers) * n, V p, V g, V *s) {
    const V same = g * s[0], least = NAME(splat)(n->beta1), most = NAME(splat)(n->beta2);
    const M turned = same < (V){0};
    V size = NAME(select)(same > (V){0}, s[1] * n->high, NAME(select)(turned, s[1] * n->low, s[1]));
    size = NAME(select)(size < least, least, size);
    s[1] = NAME(select)(size > most, most, size);
    s[0] = (V)((M)g & ~turned);
    return p - NAME(sign)(s[0]) * s[1];
}

/* m = s0 <- mix of s0 and g;  v = s1 <- beta2 s1 + weight2 g^2;  largest: v = s2 <- max(s2, v);
 * p <- p - rate m / (sqrt(v) scale + eps) */
INLINE V NAME(adam_form)(const NAME(numbers) * n, V p, V g, V *s, V *largest) {
    s[0] = NAME(mix)(s[0], g, n->beta1, n->weight1);
    s[1] = n->beta2 * s[1] + n->weight2 * g * g;
    const V square = largest ? *largest = NAME(larger_or_nan)(*largest, s[1]) : s[1];
    return p - n->rate * s[0] / (NAME(sqrt)(square) * n->scale + n->eps);
}

INLINE V NAME(adam)(const NAME(numbers) * n, V p, V g, V *s) {
    return NAME(adam_form)(n, p, g, s, NULL);
}

INLINE V NAME(adam_amsgrad)(const NAME(numbers) * n, V p, V g, V *s) {
    return NAME(adam_form)(n, p, g, s, s + 2);
}

INLINE V NAME(sparse_adam)(const NAME(numbers) * n, V p, V g, V *s) {
    return NAME(adam_form)(n, p, g, s, NULL);
}

/* s0 <- mix of s0 and g;  s1 <- max(beta2 s1, |g| + eps);  p <- p - rate s0 / s1 */
INLINE V NAME(adamax)(const NAME(numbers) * n, V p, V g, V *s) {
    s[0] = NAME(mix)(s[0], g, n->beta1, n->weight1);
    s[1] = NAME(larger_or_nan)(n->beta2 * s[1], NAME(abs)(g) + n->eps);
    return p - n->rate * s[0] / s[1];
}

/* m and v as in Adam;  d = sqrt(v scale) + eps;  p <- p - rate g / d - next_rate m / d */
INLINE V NAME(nadam)(const NAME(numbers) * n, V p, V g, V *s) {
    s[0] = NAME(mix)(s[0], g, n->beta1, n->weight1);
    s[1] = n->beta2 * s[1] + n->weight2 * g * g;
    const V root = NAME(sqrt)(s[1] * n->scale) + n->eps;
    return p - (n->rate * g + n->next_rate * s[0]) / root;
}

/* m and v as in Adam;  p <- p - rate m / (flag, rectified: sqrt(v) + eps, else 1) */
INLINE V NAME(radam)(const NAME(numbers) * n, V p, V g, V *s) {
    s[0] = NAME(mix)(s[0], g, n->beta1, n->weight1);
    s[1] = n->beta2 * s[1] + n->weight2 * g * g;
    const V step = n->rate * s[0];
    return p - (n->flag ? step / (NAME(sqrt)(s[1]) + n->eps) : step);
}

/* p <- p - rate sign(mix of s0 and g by beta1);  s0 <- mix of s0 and g by beta2 */
INLINE V NAME(lion)(const NAME(numbers) * n, V p, V g, V *s) {
    const V direction = n->beta1 * s[0] + n->weight1 * g;
    s[0] = n->beta2 * s[0] + n->weight2 * g;
    return p - n->rate * NAME(sign)(direction);
}

/* The direction of LAMB: next_rate m / (sqrt(v) scale + eps) + low p, of the present states. */
INLINE V NAME(lamb_direction)(const NAME(numbers) * n, V p, const V *s) {
    return n->next_rate * s[0] / (NAME(sqrt)(s[1]) * n->scale + n->eps) + n->low * p;
}

/* p <- p - rate direction; the states have been brought up to date by the measuring pass. */
INLINE V NAME(lamb)(const NAME(numbers) * n, V p, V g, V *s) {
    (void)g;
    return p - n->rate * NAME(lamb_direction)(n, p, s);
}

/* ---- the loops, instantiated once for each formula by inlining ---- */

INLINE NAME(numbers) NAME(numbers_of)(const mg_optimizer_step *step) {
    const mg_optimizer_numbers *from = &step->number;
    return (NAME(numbers)){.decay = (T)from->decay,
                           .shrink = (T)from->shrink,
                           .rate = (T)from->rate,
                           .next_rate = (T)from->next_rate,
                           .eps = (T)from->eps,
                           .momentum = (T)from->momentum,
                           .beta1 = (T)from->beta1,
                           .weight1 = (T)from->weight1,
                           .beta2 = (T)from->beta2,
                           .weight2 = (T)from->weight2,
                           .scale = (T)from->scale,
                           .low = (T)from->low,
                           .high = (T)from->high,
                           .decays = from->decay != 0,
                           .shrinks = from->shrink != 1,
                           .maximize = step->maximize,
                           .flag = step->flag};
}

INLINE V NAME(advance)(NAME(formula) formula, const NAME(numbers) * n, V p, V g, V *s) {
    if (n->maximize) g = -g;
    if (n->decays) g += n->decay * p;
    if (n->shrinks) p *= n->shrink;
    return formula(n, p, g, s);
}

INLINE void NAME(run)(NAME(formula) formula, int states, const mg_optimizer_step *step,
                      int64_t count, char *const *data) {
    const NAME(numbers) n = NAME(numbers_of)(step);
    T *p = (T *)data[0], *state[3];
    const T *g = (const T *)data[1];
    V s[3];
    for (int k = 0; k < states; k++) state[k] = (T *)data[2 + k];
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
#pragma GCC unroll 3
        for (int k = 0; k < states; k++) s[k] = NAME(load)(state[k] + i);
        NAME(store)(p + i, NAME(advance)(formula, &n, NAME(load)(p + i), NAME(load)(g + i), s));
#pragma GCC unroll 3
        for (int k = 0; k < states; k++) NAME(store)(state[k] + i, s[k]);
    }
    if (i == count) return;
    const int64_t rest = count - i;
#pragma GCC unroll 3
    for (int k = 0; k < states; k++) s[k] = NAME(load_part)(state[k] + i, rest, 0);
    NAME(store_part)(p + i,
                     NAME(advance)(formula, &n, NAME(load_part)(p + i, rest, 0),
                                   NAME(load_part)(g + i, rest, 0), s),
                     rest);
#pragma GCC unroll 3
    for (int k = 0; k < states; k++) NAME(store_part)(state[k] + i, s[k], rest);
}

#define OPTIMIZER(name, numbers, states, counters, writer)                                         \
    static void NAME(name##_update)(const mg_optimizer_step *step, int64_t count,                  \
                                    char *const *data) {                                           \
        NAME(run)(NAME(name), states, step, count, data);                                          \
    }
#include "../optimizer.def"
#undef OPTIMIZER

/* ---- norms; lanes add up at most 64 numbers each before they go into a double ---- */

#define NORM_BLOCK (64 * LANES)

static void NAME(lamb_measure)(const mg_optimizer_step *step, int64_t count, char *const *data,
                               double *sums) {
    const NAME(numbers) n = NAME(numbers_of)(step);
    const T *p = (const T *)data[0], *g = (const T *)data[1];
    T *m = (T *)data[2], *v = (T *)data[3];
    for (int64_t begin = 0; begin < count; begin += NORM_BLOCK) {
        int64_t end = begin + NORM_BLOCK < count ? begin + NORM_BLOCK : count;
        V parameters = {0}, directions = {0};
        for (int64_t i = begin; i < end; i += LANES) {
            const int64_t rest = end - i;
            const int whole = rest >= LANES;
            const V x = whole ? NAME(load)(p + i) : NAME(load_part)(p + i, rest, 0);
            V grad = whole ? NAME(load)(g + i) : NAME(load_part)(g + i, rest, 0);
            V s[2] = {whole ? NAME(load)(m + i) : NAME(load_part)(m + i, rest, 0),
                      whole ? NAME(load)(v + i) : NAME(load_part)(v + i, rest, 0)};
            if (n.maximize) grad = -grad;
            s[0] = NAME(mix)(s[0], grad, n.beta1, n.weight1);
            s[1] = n.beta2 * s[1] + n.weight2 * grad * grad;
            if (whole) {
                NAME(store)(m + i, s[0]);
                NAME(store)(v + i, s[1]);
            } else {
                NAME(store_part)(m + i, s[0], rest);
                NAME(store_part)(v + i, s[1], rest);
            }
            V direction = NAME(lamb_direction)(&n, x, s);
            /* With eps 0, what is beyond the end is 0 / 0. */
            if (!whole) {
                T part[LANES] = {0};
                NAME(store_part)(part, direction, rest);
                direction = NAME(load)(part);
            }
            parameters += x * x;
            directions += direction * direction;
        }
        sums[0] += (double)NAME(lanes_sum)(parameters);
        sums[1] += (double)NAME(lanes_sum)(directions);
    }
}

static double NAME(clip_squares)(int64_t count, const void *data) {
    const T *x = data;
    double total = 0;
    int64_t i = 0;
    while (i < count) {
        int64_t end = i + 4 * NORM_BLOCK < count ? i + 4 * NORM_BLOCK : count;
        V sum[4] = {{0}, {0}, {0}, {0}};
        for (; i + 4 * LANES <= end; i += 4 * LANES) {
#pragma GCC unroll 4
            for (int k = 0; k < 4; k++) {
                const V each = NAME(load)(x + i + k * LANES);
                sum[k] += each * each;
            }
        }
        for (; i < end; i += LANES) {
            const V each =
                i + LANES <= end ? NAME(load)(x + i) : NAME(load_part)(x + i, end - i, 0);
            sum[0] += each * each;
        }
        i = end;
        total += (double)NAME(lanes_sum)((sum[0] + sum[1]) + (sum[2] + sum[3]));
    }
    return total;
}

static double NAME(clip_largest)(int64_t count, const void *data) {
    const T *x = data;
    V most = {0};
    for (int64_t i = 0; i < count; i += LANES) {
        const V each =
            i + LANES <= count ? NAME(load)(x + i) : NAME(load_part)(x + i, count - i, 0);
        most = NAME(larger_or_nan)(most, NAME(abs)(each));
        most = NAME(select)(each != each, each, most);
    }
    T found = 0;
    for (int64_t k = 0; k < LANES; k++)
        if (most[k] > found || most[k] != most[k]) {
            found = most[k];
            if (found != found) break;
        }
    return (double)found;
}

static void NAME(clip_scale)(int64_t count, void *data, double factor) {
    T *x = data;
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) NAME(store)(x + i, NAME(load)(x + i) * (T)factor);
    if (i < count)
        NAME(store_part)(x + i, NAME(load_part)(x + i, count - i, 0) * (T)factor, count - i);
}

/* Into [-limit, limit]; NaN stays. */
INLINE V NAME(clamped)(V x, T limit) {
    const V high = NAME(splat)(limit), low = -high;
    x = NAME(select)(x < low, low, x);
    return NAME(select)(x > high, high, x);
}

static void NAME(clip_clamp)(int64_t count, void *data, double limit) {
    T *x = data;
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES)
        NAME(store)(x + i, NAME(clamped)(NAME(load)(x + i), (T)limit));
    if (i < count)
        NAME(store_part)(x + i, NAME(clamped)(NAME(load_part)(x + i, count - i, 0), (T)limit),
                         count - i);
}

#undef NORM_BLOCK
