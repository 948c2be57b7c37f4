/* Optimizer steps over contiguous memory, one vector at a time; float32 and float64.
 *
 * SGD (torch.optim.SGD): g <- +-g + weight_decay p;  b <- momentum b + (1 - dampening) g, at first
 * b <- g;
 *     p <- p - lr (nesterov: g + momentum b, momentum: b, else g).
 * Adam (Kingma and Ba, 2015), AdamW (Loshchilov and Hutter, 2019), AMSGrad (Reddi et al., 2018):
 *     m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2;
 *     p <- p - lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps).
 */

typedef struct NAME(sgd_constants) {
    T negative_lr, momentum, undampened, weight_decay;
    int decays, nesterov, maximize, first;
} NAME(sgd_constants);

/* Returns the new parameter; `buffer` NULL without momentum. */
INLINE V NAME(sgd_vector)(const NAME(sgd_constants) * c, V parameter, V gradient, V *buffer) {
    if (c->maximize) gradient = -gradient;
    if (c->decays) gradient += c->weight_decay * parameter;
    V direction = gradient;
    if (buffer) {
        *buffer = c->first ? gradient : c->momentum * *buffer + c->undampened * gradient;
        direction = c->nesterov ? gradient + c->momentum * *buffer : *buffer;
    }
    return parameter + c->negative_lr * direction;
}

static void NAME(sgd)(const mg_sgd_step *step, int64_t count, void *parameter, const void *gradient,
                      void *buffer) {
    NAME(sgd_constants)
    c = {(T)-step->lr,
         (T)step->momentum,
         (T)(1 - step->dampening),
         (T)step->weight_decay,
         step->weight_decay != 0,
         step->nesterov,
         step->maximize,
         step->first};
    T *p = parameter, *b = buffer;
    const T *g = gradient;
    int64_t i = 0;
    if (b) {
        for (; i + LANES <= count; i += LANES) {
            V velocity = NAME(load)(b + i);
            NAME(store)(p + i,
                        NAME(sgd_vector)(&c, NAME(load)(p + i), NAME(load)(g + i), &velocity));
            NAME(store)(b + i, velocity);
        }
    } else {
        for (; i + LANES <= count; i += LANES)
            NAME(store)(p + i, NAME(sgd_vector)(&c, NAME(load)(p + i), NAME(load)(g + i), NULL));
    }
    if (i == count) return;
    int64_t rest = count - i;
    V velocity = b ? NAME(load_part)(b + i, rest, 0) : (V){0};
    V updated = NAME(sgd_vector)(&c, NAME(load_part)(p + i, rest, 0),
                                 NAME(load_part)(g + i, rest, 0), b ? &velocity : NULL);
    NAME(store_part)(p + i, updated, rest);
    if (b) NAME(store_part)(b + i, velocity, rest);
}

typedef struct NAME(adam_constants) {
    T beta1, weight1, beta2, weight2, eps, decay, negative_step, root_scale;
    int decays, decoupled, maximize;
} NAME(adam_constants);

/* Returns the new parameter; `max_square` NULL without amsgrad. */
INLINE V NAME(adam_vector)(const NAME(adam_constants) * c, V parameter, V gradient, V *average,
                           V *square, V *max_square) {
    if (c->maximize) gradient = -gradient;
    if (c->decoupled)
        parameter *= c->decay;
    else if (c->decays)
        gradient += c->decay * parameter;
    /* The two forms of m + weight1 (g - m), each exact at its end, as in torch.lerp. */
    V difference = gradient - *average;
    *average =
        c->weight1 < (T)0.5 ? *average + c->weight1 * difference : gradient - c->beta1 * difference;
    *square = c->beta2 * *square + c->weight2 * gradient * gradient;
    V under_root = *square;
    if (max_square) {
        V old = *max_square;
        under_root =
            NAME(select)((old >= *square) | (old != old), old, *square); /* keeps a NaN of either */
        *max_square = under_root;
    }
    V denominator = NAME(sqrt)(under_root) * c->root_scale + c->eps;
    return parameter + c->negative_step * *average / denominator;
}

static void NAME(adam)(const mg_adam_step *step, int64_t count, void *parameter,
                       const void *gradient, void *average, void *square, void *max_square) {
    NAME(adam_constants)
    c = {(T)step->beta1,   (T)(1 - step->beta1), (T)step->beta2,      (T)(1 - step->beta2),
         (T)step->eps,     (T)step->decay,       (T)-step->step_size, (T)step->root_scale,
         step->decay != 0, step->decoupled,      step->maximize};
    T *p = parameter, *m = average, *v = square, *x = max_square;
    const T *g = gradient;
    int64_t i = 0;
    if (x) {
        for (; i + LANES <= count; i += LANES) {
            V mean = NAME(load)(m + i), power = NAME(load)(v + i), largest = NAME(load)(x + i);
            NAME(store)(p + i, NAME(adam_vector)(&c, NAME(load)(p + i), NAME(load)(g + i), &mean,
                                                 &power, &largest));
            NAME(store)(m + i, mean);
            NAME(store)(v + i, power);
            NAME(store)(x + i, largest);
        }
    } else {
        for (; i + LANES <= count; i += LANES) {
            V mean = NAME(load)(m + i), power = NAME(load)(v + i);
            NAME(store)(p + i, NAME(adam_vector)(&c, NAME(load)(p + i), NAME(load)(g + i), &mean,
                                                 &power, NULL));
            NAME(store)(m + i, mean);
            NAME(store)(v + i, power);
        }
    }
    if (i == count) return;
    int64_t rest = count - i;
    V mean = NAME(load_part)(m + i, rest, 0), power = NAME(load_part)(v + i, rest, 0);
    V largest = x ? NAME(load_part)(x + i, rest, 0) : (V){0};
    V updated =
        NAME(adam_vector)(&c, NAME(load_part)(p + i, rest, 0), NAME(load_part)(g + i, rest, 0),
                          &mean, &power, x ? &largest : NULL);
    NAME(store_part)(p + i, updated, rest);
    NAME(store_part)(m + i, mean, rest);
    NAME(store_part)(v + i, power, rest);
    if (x) NAME(store_part)(x + i, largest, rest);
}
