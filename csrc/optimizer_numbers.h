/* From the hyperparameters of a group to the numbers of one step; see optimizer_numbers.c. */
#ifndef MG_OPTIMIZER_NUMBERS_H
#define MG_OPTIMIZER_NUMBERS_H

#include "core.h"

/* What stands first in the hyperparameters of every group; an optimizer's own follow. */
enum {
    MG_HYPER_FORM, /* the number of the form in use, so that a plan notices when it is another */
    MG_HYPER_LR,
    MG_HYPER_DECAY,
    MG_HYPER_MAXIMIZE,
    MG_HYPER_DECOUPLED,
    MG_HYPER_OWN
};
#define MG_HYPER_MOST 12
enum { MG_MOST_COUNTERS = 3 };

/* Fills the step from the hyperparameters, and advances the counters of the parameter. */
typedef void (*mg_optimizer_prepare)(const double *hyper, float *counter, mg_optimizer_step *step);

typedef struct mg_optimizer {
    const char *name, *writer;
    mg_optimizer_prepare prepare;
    int states, counters;
} mg_optimizer;

extern const mg_optimizer mg_optimizers[MG_OPTIMIZER_COUNT];

#endif
