/* Optimizer steps: one launch over all parameters of a group. The elements of all parameters count
 * as one long row, cut in fixed pieces, so that many small tensors cost one loop and a large one is
 * shared between threads. */
#include "strided.h"

enum { PIECE = 8192, WINDOW = 512, MAX_ROLES = 5 };
enum { LR, MOMENTUM, DAMPENING, SGD_DECAY, NESTEROV, SGD_MAXIMIZE, SGD_NUMBERS };
enum { BETA1 = 1, BETA2, EPS, ADAM_DECAY, AMSGRAD, ADAM_MAXIMIZE, DECOUPLED, ADAM_NUMBERS };

/* What one parameter brings to a step. A role is a tensor of the parameter's shape: parameter,
 * gradient, then what the optimizer remembers; NULL where the step has no use for it. */
typedef struct member {
    int64_t begin; /* of its elements in the row */
    mg_array *roles[MAX_ROLES];
    int contiguous; /* every role */
    union {
        mg_sgd_step sgd;
        mg_adam_step adam;
    } step;
} member;

typedef struct row {
    int64_t members, elements;
    member *member; /* with an end marker */
    void (*update)(const member *of, int64_t count, char *const *data);
} row;

static void update_sgd(const member *of, int64_t count, char *const *data) {
    int dtype = of->roles[0]->dtype;
    mg_active_isa->optimizer.sgd[dtype](&of->step.sgd, count, data[0], data[1], data[2]);
}

static void update_adam(const member *of, int64_t count, char *const *data) {
    int dtype = of->roles[0]->dtype;
    mg_active_isa->optimizer.adam[dtype](&of->step.adam, count, data[0], data[1], data[2], data[3],
                                         data[4]);
}

/* Elements [begin, end) of one parameter. What is not contiguous passes through a window on the
 * stack. */
static void update_member(const row *row, const member *of, int64_t begin, int64_t end) {
    char *data[MAX_ROLES];
    int64_t item = mg_item_size(of->roles[0]->dtype);
    if (of->contiguous) {
        for (int role = 0; role < MAX_ROLES; role++)
            data[role] = of->roles[role] ? of->roles[role]->data + begin * item : NULL;
        row->update(of, end - begin, data);
        return;
    }
    double windows[MAX_ROLES][WINDOW];
    for (; begin < end; begin += WINDOW) {
        int64_t count = end - begin < WINDOW ? end - begin : WINDOW;
        for (int role = 0; role < MAX_ROLES; role++) {
            data[role] = of->roles[role] ? (char *)windows[role] : NULL;
            if (data[role]) mg_gather_run(of->roles[role], begin, count, data[role]);
        }
        row->update(of, count, data);
        for (int role = 0; role < MAX_ROLES; role++)
            if (data[role] && role != 1) mg_scatter_run(of->roles[role], begin, count, data[role]);
    }
}

static void update_piece(void *context, int64_t begin, int64_t end) {
    const row *row = context;
    int64_t low = 0, high = row->members; /* the member that holds `begin` lies in [low, high) */
    while (high - low > 1) {
        int64_t middle = (low + high) / 2;
        if (row->member[middle].begin <= begin)
            low = middle;
        else
            high = middle;
    }
    for (; begin < end; low++) {
        int64_t stop = row->member[low + 1].begin < end ? row->member[low + 1].begin : end;
        if (begin < stop)
            update_member(row, &row->member[low], begin - row->member[low].begin,
                          stop - row->member[low].begin);
        if (begin < stop) begin = stop;
    }
}

/* Adds a parameter to the row; the caller fills in its step. */
static member *add_member(row *row, mg_array *const *roles, int count) {
    member *added = &row->member[row->members++];
    added->begin = row->elements;
    added->contiguous = 1;
    for (int role = 0; role < MAX_ROLES; role++) {
        added->roles[role] = role < count ? roles[role] : NULL;
        if (added->roles[role]) added->contiguous &= mg_is_contiguous(added->roles[role]);
    }
    row->elements += roles[0]->size;
    row->member[row->members].begin = row->elements;
    return added;
}

static void update_row(row *row, double nanoseconds) {
    if (row->elements)
        mg_parallel_for(row->elements, PIECE, nanoseconds * (double)row->elements, update_piece,
                        row);
}

/* arrays: parameters (n), buffers (n), started; gradients (n), hyperparameters. integers: n. */
int mg_run_sgd(const mg_launch *launch) {
    int64_t n = launch->integers[0];
    mg_array **parameters = launch->arrays, **buffers = parameters + n;
    mg_array *started = buffers[n], **gradients = buffers + n + 1;
    const double *number = (const double *)gradients[n]->data;
    int remembers = number[MOMENTUM] != 0;
    if (remembers && !started)
        return mg_fail(MG_RUNTIME_ERROR,
                       "sgd: momentum is %g but there are no momentum buffers; create them first",
                       number[MOMENTUM]);
    row row = {.update = update_sgd};
    row.member = mg_scratch(MG_SCRATCH_WORK, (n + 1) * (int64_t)sizeof(member));
    if (!row.member) return -1;
    for (int64_t i = 0; i < n; i++) {
        if (!gradients[i]) continue;
        mg_array *roles[] = {parameters[i], gradients[i], remembers ? buffers[i] : NULL};
        add_member(&row, roles, 3)->step.sgd =
            (mg_sgd_step){.lr = number[LR],
                          .momentum = number[MOMENTUM],
                          .dampening = number[DAMPENING],
                          .weight_decay = number[SGD_DECAY],
                          .nesterov = number[NESTEROV] != 0,
                          .maximize = number[SGD_MAXIMIZE] != 0,
                          .first = remembers && !((const uint8_t *)started->data)[i]};
        if (remembers) ((uint8_t *)started->data)[i] = 1;
    }
    update_row(&row, 0.15);
    return 0;
}

/* The numbers of a parameter's step `t`. The bias corrections are computed in double precision. */
static mg_adam_step adam_step(const double *number, double t) {
    double correction1 = 1 - pow(number[BETA1], t), correction2 = 1 - pow(number[BETA2], t);
    int decoupled = number[DECOUPLED] != 0;
    return (mg_adam_step){.beta1 = number[BETA1],
                          .beta2 = number[BETA2],
                          .eps = number[EPS],
                          .decay =
                              decoupled ? 1 - number[LR] * number[ADAM_DECAY] : number[ADAM_DECAY],
                          .step_size = number[LR] / correction1,
                          .root_scale = 1 / sqrt(correction2),
                          .decoupled = decoupled,
                          .maximize = number[ADAM_MAXIMIZE] != 0};
}

/* arrays: parameters, averages, squares, max_squares, steps, gradients (n each), hyperparameters.
 * integers: n. */
int mg_run_adam(const mg_launch *launch) {
    int64_t n = launch->integers[0];
    mg_array **parameters = launch->arrays, **averages = parameters + n, **squares = averages + n;
    mg_array **max_squares = squares + n, **steps = max_squares + n, **gradients = steps + n;
    const double *number = (const double *)gradients[n]->data;
    int amsgrad = number[AMSGRAD] != 0;
    row row = {.update = update_adam};
    row.member = mg_scratch(MG_SCRATCH_WORK, (n + 1) * (int64_t)sizeof(member));
    if (!row.member) return -1;
    for (int64_t i = 0; amsgrad && i < n; i++)
        if (gradients[i] && !max_squares[i])
            return mg_fail(
                MG_RUNTIME_ERROR,
                "adam: amsgrad is on but parameter %lld has no max_square; create it first",
                (long long)i);
    float known = -1; /* the parameters of a group have mostly taken the same number of steps */
    mg_adam_step shared = {0};
    for (int64_t i = 0; i < n; i++) {
        if (!gradients[i]) continue;
        mg_array *roles[] = {parameters[i], gradients[i], averages[i], squares[i],
                             amsgrad ? max_squares[i] : NULL};
        float t = ++*(float *)steps[i]->data;
        if (t != known) shared = adam_step(number, t);
        known = t;
        add_member(&row, roles, MAX_ROLES)->step.adam = shared;
    }
    update_row(&row, 0.3);
    return 0;
}

/* ---- entries ---- */

/* A tensor that accompanies parameter `i`: of its shape and dtype. */
static int check_like(const char *op, const char *role, int i, mg_array *parameter,
                      mg_array *array) {
    if (!array)
        return mg_fail(MG_RUNTIME_ERROR, "%s: parameter %d of shape %s has no %s", op, i,
                       mg_shape_text(parameter), role);
    if (array->dtype != parameter->dtype || !mg_same_shape(array, parameter))
        return mg_fail(MG_RUNTIME_ERROR,
                       "%s: the %s of parameter %d must be like the parameter (%s %s), got %s %s",
                       op, role, i, mg_dtype_name(parameter->dtype), mg_shape_text(parameter),
                       mg_dtype_name(array->dtype), mg_shape_text(array));
    return 0;
}

static int check_parameter(const char *op, int i, mg_array *parameter, mg_array *gradient) {
    if (!mg_is_float(parameter->dtype))
        return mg_fail(MG_RUNTIME_ERROR,
                       "%s: parameter %d must be float32 or float64, got %s of shape %s", op, i,
                       mg_dtype_name(parameter->dtype), mg_shape_text(parameter));
    if (mg_check_writable(op, parameter)) return -1;
    return check_like(op, "gradient", i, parameter, gradient);
}

static int check_vector(const char *op, const char *role, mg_array *array, int dtype,
                        int64_t size) {
    if (array && array->dtype == dtype && array->size >= size && mg_is_contiguous(array)) return 0;
    return mg_fail(MG_RUNTIME_ERROR, "%s: %s must be a contiguous %s tensor of %lld elements", op,
                   role, mg_dtype_name(dtype), (long long)size);
}

/* Checks and takes in one list of states. Where a gradient is missing its parameter is left out,
 * and the launch has NULL there: its memory counts as not written. */
static int take_states(const char *op, const char *role, int count, mg_array **parameters,
                       mg_array **gradients, mg_array **states, mg_array **taken) {
    for (int i = 0; i < count; i++) {
        taken[i] = states && gradients[i] ? states[i] : NULL;
        if (states && gradients[i] &&
            (check_like(op, role, i, parameters[i], states[i]) || mg_check_writable(op, states[i])))
            return -1;
    }
    return 0;
}

static int take_parameters(const char *op, int count, mg_array **parameters, mg_array **gradients,
                           mg_array **taken, mg_array **taken_gradients) {
    for (int i = 0; i < count; i++) {
        if (gradients[i] && check_parameter(op, i, parameters[i], gradients[i])) return -1;
        taken[i] = gradients[i] ? parameters[i] : NULL;
        taken_gradients[i] = gradients[i];
    }
    return 0;
}

/* The list of operands lives on the stack for the usual group and on the heap for a large one. */
enum { USUAL_OPERANDS = 256 };

static int submit(int kernel, int outputs, int operands, mg_array **arrays, int count,
                  const char *writer) {
    mg_launch launch = {.kernel = kernel, .outputs = outputs, .count = operands, .arrays = arrays};
    launch.integers[0] = count;
    return mg_submit(&launch, MG_ALL_OUTPUTS, writer);
}

int mg_sgd(int count, mg_array **parameters, mg_array **gradients, mg_array **buffers,
           mg_array *started, mg_array *hyperparameters) {
    mg_array *usual[USUAL_OPERANDS], **arrays = usual;
    int operands = 3 * count + 2, failed;
    if (operands > USUAL_OPERANDS && !(arrays = malloc((size_t)operands * sizeof *arrays)))
        return mg_fail(MG_MEMORY_ERROR, "sgd: out of memory");
    mg_array **taken_gradients = arrays + 2 * count + 1;
    arrays[2 * count] = buffers ? started : NULL;
    arrays[operands - 1] = hyperparameters;
    failed = check_vector("sgd", "hyperparameters", hyperparameters, MG_FLOAT64, SGD_NUMBERS) ||
             (buffers && check_vector("sgd", "started", started, MG_UINT8, count)) ||
             take_parameters("sgd", count, parameters, gradients, arrays, taken_gradients) ||
             take_states("sgd", "momentum buffer", count, parameters, gradients, buffers,
                         arrays + count) ||
             submit(MG_KERNEL_sgd, 2 * count + 1, operands, arrays, count, "SGD.step");
    if (arrays != usual) free(arrays);
    return failed ? -1 : 0;
}

int mg_adam(int count, mg_array **parameters, mg_array **gradients, mg_array **averages,
            mg_array **squares, mg_array **max_squares, mg_array **steps,
            mg_array *hyperparameters) {
    static const char op[] = "adam";
    mg_array *usual[USUAL_OPERANDS], **arrays = usual;
    int operands = 6 * count + 1, failed;
    if (operands > USUAL_OPERANDS && !(arrays = malloc((size_t)operands * sizeof *arrays)))
        return mg_fail(MG_MEMORY_ERROR, "adam: out of memory");
    arrays[operands - 1] = hyperparameters;
    failed = check_vector(op, "hyperparameters", hyperparameters, MG_FLOAT64, ADAM_NUMBERS) ||
             take_parameters(op, count, parameters, gradients, arrays, arrays + 5 * count) ||
             take_states(op, "average", count, parameters, gradients, averages, arrays + count) ||
             take_states(op, "square", count, parameters, gradients, squares, arrays + 2 * count) ||
             take_states(op, "max_square", count, parameters, gradients, max_squares,
                         arrays + 3 * count);
    for (int i = 0; !failed && i < count; i++) {
        arrays[4 * count + i] = gradients[i] ? steps[i] : NULL;
        failed = gradients[i] && check_vector(op, "every step", steps[i], MG_FLOAT32, 1);
    }
    failed = failed || submit(MG_KERNEL_adam, 5 * count, operands, arrays, count, "Adam.step");
    if (arrays != usual) free(arrays);
    return failed ? -1 : 0;
}
