/* What is computed once for each parameter and step, in double precision: learning rates, decays,
 * bias corrections. counter[0] is the number of steps taken, where there are counters.
 *
 * A function per optimizer, by the name in the second column of optimizer.def. Its enum names the
 * hyperparameters in the order in which minigrad/optim writes them after the common ones. */
#include "optimizer_numbers.h"

#define OWN(name) hyper[MG_HYPER_OWN + (name)]

/* The decay that all have: of the gradient, or decoupled from it. */
static void decays(const double *hyper, mg_optimizer_step *step) {
    int decoupled = hyper[MG_HYPER_DECOUPLED] != 0;
    step->number.decay = decoupled ? 0 : hyper[MG_HYPER_DECAY];
    step->number.shrink = decoupled ? 1 - hyper[MG_HYPER_LR] * hyper[MG_HYPER_DECAY] : 1;
    step->maximize = hyper[MG_HYPER_MAXIMIZE] != 0;
}

static void averages(double beta1, double beta2, mg_optimizer_numbers *n) {
    n->beta1 = beta1;
    n->weight1 = 1 - beta1;
    n->beta2 = beta2;
    n->weight2 = 1 - beta2;
}

enum { MOMENTUM, DAMPENING, NESTEROV };

static void prepare_sgd(const double *hyper, float *counter, mg_optimizer_step *step) {
    (void)counter;
    decays(hyper, step);
    step->number.rate = hyper[MG_HYPER_LR];
}

/* counter[0]: 0 before the buffer's first step, in which it takes the gradient as it is. */
static void prepare_sgd_momentum(const double *hyper, float *counter, mg_optimizer_step *step) {
    prepare_sgd(hyper, counter, step);
    int first = counter[0] == 0;
    step->number.momentum = OWN(MOMENTUM);
    step->number.beta1 = first ? 0 : OWN(MOMENTUM);
    step->number.weight1 = first ? 1 : 1 - OWN(DAMPENING);
    step->flag = OWN(NESTEROV) != 0;
    counter[0] = 1;
}

enum { LAMBD, ASGD_ALPHA, T0 };

/* counter[1]: eta, counter[2]: mu, both of the step to come. */
static void prepare_asgd(const double *hyper, float *counter, mg_optimizer_step *step) {
    double lr = hyper[MG_HYPER_LR], eta = counter[1], mu = counter[2], t = ++counter[0];
    decays(hyper, step);
    step->number.shrink = 1 - OWN(LAMBD) * eta;
    step->number.rate = eta;
    step->number.weight1 = mu;
    step->flag = mu == 1;
    counter[1] = (float)(lr / pow(1 + OWN(LAMBD) * lr * t, OWN(ASGD_ALPHA)));
    counter[2] = (float)(1 / fmax(1, t - OWN(T0)));
}

enum { LR_DECAY, ADAGRAD_EPS };

static void prepare_adagrad(const double *hyper, float *counter, mg_optimizer_step *step) {
    decays(hyper, step);
    step->number.rate = hyper[MG_HYPER_LR] / (1 + (++counter[0] - 1) * OWN(LR_DECAY));
    step->number.eps = OWN(ADAGRAD_EPS);
}

enum { RHO, ADADELTA_EPS };

static void prepare_adadelta(const double *hyper, float *counter, mg_optimizer_step *step) {
    ++counter[0];
    decays(hyper, step);
    averages(0, OWN(RHO), &step->number);
    step->number.rate = hyper[MG_HYPER_LR];
    step->number.eps = OWN(ADADELTA_EPS);
}

enum { RMSPROP_ALPHA, RMSPROP_EPS, RMSPROP_MOMENTUM };

static void prepare_rmsprop(const double *hyper, float *counter, mg_optimizer_step *step) {
    ++counter[0];
    decays(hyper, step);
    averages(0, OWN(RMSPROP_ALPHA), &step->number);
    step->number.rate = hyper[MG_HYPER_LR];
    step->number.eps = OWN(RMSPROP_EPS);
    step->number.momentum = OWN(RMSPROP_MOMENTUM);
}

enum { ETA_MINUS, ETA_PLUS, LEAST, MOST };

static void prepare_rprop(const double *hyper, float *counter, mg_optimizer_step *step) {
    ++counter[0];
    decays(hyper, step);
    step->number.low = OWN(ETA_MINUS);
    step->number.high = OWN(ETA_PLUS);
    step->number.beta1 = OWN(LEAST);
    step->number.beta2 = OWN(MOST);
}

enum { BETA1, BETA2, EPS, AFTER_EPS };

/* Adam's own, which its relatives begin with. */
static void prepare_moments(const double *hyper, mg_optimizer_step *step) {
    decays(hyper, step);
    averages(OWN(BETA1), OWN(BETA2), &step->number);
    step->number.rate = hyper[MG_HYPER_LR];
    step->number.eps = OWN(EPS);
    step->number.scale = 1;
}

enum { BIAS_CORRECTION = AFTER_EPS };

static void prepare_adam(const double *hyper, float *counter, mg_optimizer_step *step) {
    double t = ++counter[0];
    prepare_moments(hyper, step);
    if (OWN(BIAS_CORRECTION) == 0) return;
    step->number.rate /= 1 - pow(OWN(BETA1), t);
    step->number.scale = 1 / sqrt(1 - pow(OWN(BETA2), t));
}

/* eps stands beside the uncorrected root here. */
static void prepare_sparse_adam(const double *hyper, float *counter, mg_optimizer_step *step) {
    double t = ++counter[0];
    prepare_moments(hyper, step);
    step->number.rate *= sqrt(1 - pow(OWN(BETA2), t)) / (1 - pow(OWN(BETA1), t));
    step->lazy = 1;
}

static void prepare_adamax(const double *hyper, float *counter, mg_optimizer_step *step) {
    double t = ++counter[0];
    prepare_moments(hyper, step);
    step->number.rate /= 1 - pow(OWN(BETA1), t);
}

enum { MOMENTUM_DECAY = AFTER_EPS };

/* counter[1]: the product of all mu so far. */
static void prepare_nadam(const double *hyper, float *counter, mg_optimizer_step *step) {
    double lr = hyper[MG_HYPER_LR], t = ++counter[0];
    prepare_moments(hyper, step);
    double mu = OWN(BETA1) * (1 - 0.5 * pow(0.96, t * OWN(MOMENTUM_DECAY)));
    double next = OWN(BETA1) * (1 - 0.5 * pow(0.96, (t + 1) * OWN(MOMENTUM_DECAY)));
    counter[1] *= (float)mu;
    step->number.scale = 1 / (1 - pow(OWN(BETA2), t));
    step->number.rate = lr * (1 - mu) / (1 - (double)counter[1]);
    step->number.next_rate = lr * next / (1 - (double)counter[1] * next);
}

/* The variance of the adaptive rate is known to be finite only where rho > 5. */
static void prepare_radam(const double *hyper, float *counter, mg_optimizer_step *step) {
    double t = ++counter[0], power = pow(OWN(BETA2), t), most = 2 / (1 - OWN(BETA2)) - 1;
    double rho = most - 2 * t * power / (1 - power);
    prepare_moments(hyper, step);
    step->number.rate /= 1 - pow(OWN(BETA1), t);
    step->flag = rho > 5;
    if (step->flag)
        step->number.rate *=
            sqrt(1 - power) * sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho));
}

/* Its decay is decoupled always. */
static void prepare_lion(const double *hyper, float *counter, mg_optimizer_step *step) {
    (void)counter;
    decays(hyper, step);
    step->number.decay = 0;
    step->number.shrink = 1 - hyper[MG_HYPER_LR] * hyper[MG_HYPER_DECAY];
    averages(OWN(BETA1), OWN(BETA2), &step->number);
    step->number.rate = hyper[MG_HYPER_LR];
}

/* The rate is multiplied by the ratio of the norms once they are known. */
static void prepare_lamb(const double *hyper, float *counter, mg_optimizer_step *step) {
    double t = ++counter[0];
    prepare_moments(hyper, step);
    step->number.decay = 0;
    step->number.shrink = 1;
    step->number.low = hyper[MG_HYPER_DECAY]; /* within the direction */
    step->number.next_rate = 1 / (1 - pow(OWN(BETA1), t));
    step->number.scale = 1 / sqrt(1 - pow(OWN(BETA2), t));
}

const mg_optimizer mg_optimizers[MG_OPTIMIZER_COUNT] = {
#define OPTIMIZER(name, numbers, states, counters, writer)                                         \
    {#name, writer, prepare_##numbers, states, counters},
#include "optimizer.def"
#undef OPTIMIZER
};
