/* The optimizer loops that an instruction set provides, one each for float32 and float64. */
#ifndef MG_OPTIMIZER_H
#define MG_OPTIMIZER_H

/* Numbers of one step, the same for every element of a parameter. */
typedef struct mg_sgd_step {
    double lr, momentum, dampening, weight_decay;
    int nesterov, maximize;
    int first; /* no momentum buffer yet: it becomes the gradient */
} mg_sgd_step;

typedef struct mg_adam_step {
    double beta1, beta2, eps;
    double decay;      /* decoupled: 1 - lr weight_decay; else weight_decay */
    double step_size;  /* lr / (1 - beta1^t) */
    double root_scale; /* 1 / sqrt(1 - beta2^t) */
    int decoupled, maximize;
} mg_adam_step;

typedef struct mg_optimizer_loops {
    /* buffer NULL: no momentum */
    void (*sgd[MG_DTYPE_COUNT])(const mg_sgd_step *step, int64_t count, void *parameter,
                                const void *gradient, void *buffer);
    /* max_square NULL: without amsgrad */
    void (*adam[MG_DTYPE_COUNT])(const mg_adam_step *step, int64_t count, void *parameter,
                                 const void *gradient, void *average, void *square,
                                 void *max_square);
} mg_optimizer_loops;

#endif
