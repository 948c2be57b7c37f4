/* Optimizer steps: one launch over all parameters of a group; see optimizer.def for the list. */
#include "optimizer_numbers.h"
#include "row.h"

enum { PARAMETER, GRADIENT, STATE };

static void update(const mg_row *row, int64_t member, int64_t begin, int64_t count,
                   char *const *data, double *sums) {
    (void)begin, (void)sums;
    const mg_optimizer_step *step = (const mg_optimizer_step *)row->context + member;
    int dtype = row->member[member].roles[PARAMETER]->dtype;
    mg_active_isa->optimizer.update[step->form][dtype](step, count, data);
}

static void measure(const mg_row *row, int64_t member, int64_t begin, int64_t count,
                    char *const *data, double *sums) {
    (void)begin;
    const mg_optimizer_step *step = (const mg_optimizer_step *)row->context + member;
    int dtype = row->member[member].roles[PARAMETER]->dtype;
    mg_active_isa->optimizer.measure[step->form][dtype](step, count, data, sums);
}

/* Whether elements [begin, begin + count) of an array are all zero; NaN is not. */
static int all_zero(const mg_array *array, int64_t begin, int64_t count) {
    double window[64];
    for (; count > 0; begin += 64, count -= 64) {
        int64_t some = count < 64 ? count : 64;
        mg_gather_run(array, begin, some, window);
        for (int64_t i = 0; i < some; i++)
            if (array->dtype == MG_FLOAT32 ? ((const float *)window)[i] != 0 : window[i] != 0)
                return 0;
    }
    return 1;
}

/* Row by row of the parameter's first dimension, leaving out those whose gradient is all zero. */
static void update_lazily(const mg_row *row, int64_t member, int64_t begin, int64_t count,
                          char *const *data, double *sums) {
    const mg_row_member *of = &row->member[member];
    const mg_array *gradient = of->roles[GRADIENT];
    int64_t item = mg_item_size(gradient->dtype), end = begin + count, first = begin;
    int64_t width = gradient->ndim ? gradient->size / gradient->shape[0] : 1;
    while (begin < end) {
        int64_t of_row = begin / width * width;
        int64_t stop = of_row + width < end ? of_row + width : end;
        if (!all_zero(gradient, of_row, width)) {
            char *there[MG_ROW_ROLES];
            for (int role = 0; role < MG_ROW_ROLES; role++)
                there[role] = data[role] ? data[role] + (begin - first) * item : NULL;
            update(row, member, begin, stop - begin, there, sums);
        }
        begin = stop;
    }
}

/* LAMB's ratio of the norms of parameter and direction; 1 where one of them is 0. */
static void scale_rates(const mg_row *row, mg_optimizer_step *steps) {
    for (int64_t i = 0; i < row->members; i++) {
        double parameter = mg_row_sum(row, i, 0), direction = mg_row_sum(row, i, 1);
        if (parameter != 0 && direction != 0)
            steps[i].number.rate *= sqrt(parameter) / sqrt(direction);
    }
}

typedef struct operands {
    mg_array **parameters, **states, **counters, **gradients, *hyper;
} operands;

/* In the order of the record: what is written first. */
static operands operands_of(mg_array **arrays, const mg_optimizer *optimizer, int64_t n) {
    mg_array **states = arrays + n, **counters = states + n * optimizer->states;
    mg_array **gradients = counters + n * optimizer->counters;
    return (operands){arrays, states, counters, gradients, gradients[n]};
}

/* The numbers of each parameter's step. The parameters of a group have mostly taken the same number
 * of steps, so that what was computed for the one before serves again. */
static void prepare(const mg_optimizer *optimizer, const operands *of, int64_t n,
                    mg_optimizer_step *steps) {
    const double *hyper = (const double *)of->hyper->data;
    float before[MG_MOST_COUNTERS], after[MG_MOST_COUNTERS];
    size_t bytes = (size_t)optimizer->counters * sizeof(float);
    mg_optimizer_step *known = NULL;
    for (int64_t i = 0; i < n; i++) {
        if (!of->gradients[i]) continue;
        float counter[MG_MOST_COUNTERS];
        for (int c = 0; c < optimizer->counters; c++)
            counter[c] = *(const float *)of->counters[c * n + i]->data;
        if (known && memcmp(counter, before, bytes) == 0) {
            *steps = *known;
        } else {
            memcpy(before, counter, bytes);
            *steps = (mg_optimizer_step){.form = (int)(optimizer - mg_optimizers)};
            optimizer->prepare(hyper, counter, steps);
            memcpy(after, counter, bytes);
        }
        for (int c = 0; c < optimizer->counters; c++)
            *(float *)of->counters[c * n + i]->data = after[c];
        known = steps++;
    }
}

/* arrays: parameters (n), states (n each), counters (n each), gradients (n), hyperparameters.
 * integers: n, the optimizer. */
int mg_run_optimizer_step(const mg_launch *launch) {
    int64_t n = launch->integers[0];
    const mg_optimizer *optimizer = &mg_optimizers[launch->integers[1]];
    operands of = operands_of(launch->arrays, optimizer, n);
    if (((const double *)of.hyper->data)[MG_HYPER_FORM] != (double)launch->integers[1])
        return mg_fail(MG_RUNTIME_ERROR,
                       "%s: a hyperparameter that decides what is remembered of a parameter (such "
                       "as momentum or amsgrad) was switched on or off since this plan was "
                       "recorded; record it again",
                       optimizer->writer);
    mg_row row;
    mg_optimizer_step *steps =
        mg_scratch(MG_SCRATCH_PACK_B, (n + 1) * (int64_t)sizeof(mg_optimizer_step));
    if (!steps || mg_row_begin(&row, n)) return -1;
    prepare(optimizer, &of, n, steps);
    for (int64_t i = 0; i < n; i++) {
        if (!of.gradients[i]) continue;
        mg_array *roles[MG_ROW_ROLES] = {of.parameters[i], of.gradients[i]};
        for (int s = 0; s < optimizer->states; s++) roles[STATE + s] = of.states[s * n + i];
        mg_row_add(&row, roles, STATE + optimizer->states);
    }
    row.context = steps;
    row.writes = ~(1 << GRADIENT);
    if (mg_active_isa->optimizer.measure[launch->integers[1]][MG_FLOAT32]) {
        row.body = measure;
        if (mg_row_measure(&row, 0.4)) return -1;
        scale_rates(&row, steps);
    }
    row.body = row.members && steps[0].lazy ? update_lazily : update;
    mg_row_run(&row, 0.15 + 0.1 * optimizer->states);
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

static int check_vector(const char *op, const char *role, mg_array *array, int dtype,
                        int64_t size) {
    if (array && array->dtype == dtype && array->size >= size && mg_is_contiguous(array)) return 0;
    return mg_fail(MG_RUNTIME_ERROR, "%s: %s must be a contiguous %s tensor of %lld elements", op,
                   role, mg_dtype_name(dtype), (long long)size);
}

/* Checks parameter `i` and what belongs to it, and takes it into the record. Where a gradient is
 * missing the record has NULL in all places: that memory counts as not written. */
static int take(const mg_optimizer *optimizer, int n, int i, mg_array **parameters,
                mg_array **gradients, mg_array **states, mg_array **counters, const operands *to) {
    const char *op = optimizer->writer;
    mg_array *parameter = parameters[i], *gradient = gradients[i];
    to->parameters[i] = gradient ? parameter : NULL;
    to->gradients[i] = gradient;
    for (int s = 0; s < optimizer->states; s++)
        to->states[s * n + i] = gradient ? states[s * n + i] : NULL;
    for (int c = 0; c < optimizer->counters; c++)
        to->counters[c * n + i] = gradient ? counters[c * n + i] : NULL;
    if (!gradient) return 0;
    if (!mg_is_float(parameter->dtype))
        return mg_fail(MG_RUNTIME_ERROR,
                       "%s: parameter %d must be float32 or float64, got %s of shape %s", op, i,
                       mg_dtype_name(parameter->dtype), mg_shape_text(parameter));
    if (mg_check_writable(op, parameter) || check_like(op, "gradient", i, parameter, gradient))
        return -1;
    for (int s = 0; s < optimizer->states; s++) {
        mg_array *state = states[s * n + i];
        if (check_like(op, "state", i, parameter, state) || mg_check_writable(op, state)) return -1;
    }
    for (int c = 0; c < optimizer->counters; c++)
        if (check_vector(op, "every counter", counters[c * n + i], MG_FLOAT32, 1)) return -1;
    return 0;
}

/* The list of operands lives on the stack for the usual group and on the heap for a large one. */
enum { USUAL_OPERANDS = 256 };

int mg_find_optimizer(const char *name) {
    for (int i = 0; i < MG_OPTIMIZER_COUNT; i++)
        if (strcmp(mg_optimizers[i].name, name) == 0) return i;
    return -1;
}

const char *mg_optimizer_name(int form) {
    return form >= 0 && form < MG_OPTIMIZER_COUNT ? mg_optimizers[form].name : NULL;
}

int mg_optimize(int form, int count, mg_array **parameters, mg_array **gradients, mg_array **states,
                mg_array **counters, mg_array *hyperparameters) {
    if (form < 0 || form >= MG_OPTIMIZER_COUNT)
        return mg_fail(MG_RUNTIME_ERROR, "there is no optimizer of number %d", form);
    const mg_optimizer *optimizer = &mg_optimizers[form];
    mg_array *usual[USUAL_OPERANDS], **arrays = usual;
    int written = (1 + optimizer->states + optimizer->counters) * count;
    int all = written + count + 1;
    if (all > USUAL_OPERANDS && !(arrays = malloc((size_t)all * sizeof *arrays)))
        return mg_fail(MG_MEMORY_ERROR, "%s: out of memory", optimizer->writer);
    arrays[all - 1] = hyperparameters;
    operands to = operands_of(arrays, optimizer, count);
    int failed = check_vector(optimizer->writer, "hyperparameters", hyperparameters, MG_FLOAT64,
                              MG_HYPER_MOST);
    for (int i = 0; !failed && i < count; i++)
        failed = take(optimizer, count, i, parameters, gradients, states, counters, &to);
    if (!failed) {
        mg_launch launch = {.kernel = MG_KERNEL_optimizer_step,
                            .outputs = written,
                            .count = all,
                            .arrays = arrays};
        launch.integers[0] = count;
        launch.integers[1] = form;
        failed = mg_submit(&launch, MG_ALL_OUTPUTS, optimizer->writer);
    }
    if (arrays != usual) free(arrays);
    return failed ? -1 : 0;
}
