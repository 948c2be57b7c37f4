/* Adafactor (Shazeer and Stern, 2018), in the form of torch.optim.Adafactor: one launch for all
 * parameters of a group. A parameter of two or more dimensions is a batch of matrices, whose second
 * moments are kept as the means of the rows and of the columns:
 *     w = t^beta2_decay;  rho = min(lr, 1 / sqrt(t));  alpha = max(eps2, rms(p)) rho
 *     r <- r + w (mean of g^2 in the row - r);  c <- c + w (mean of g^2 in the column - c)
 *     v = r c / max(mean of r, eps1);  of a vector: v <- v + w (g^2 - v)
 *     u = g / sqrt(max(v, eps1^2));  p <- (1 - lr weight_decay) p
 *     p <- p - alpha / max(1, rms(u) / d) u
 * A vector is taken as a matrix of one row, whose columns are v. */
#include <float.h>

#include "optimizer_numbers.h"
#include "row.h"

enum { PARAMETER, GRADIENT, ROLES };
enum { BETA2_DECAY, EPS1, EPS2, CLIP };

/* What is known of one parameter. */
typedef struct factors {
    mg_array *rows, *columns; /* rows NULL: a vector */
    int64_t height, width;    /* of one matrix */
    const double *scale;      /* of each row: r / max(mean of r, eps1); NULL: 1 */
    double floor, shrink, rate;
} factors;

/* A block of rows of one matrix, for the sums over its columns. */
enum { BLOCK = 64 };

typedef struct columns_job {
    const char *gradient;
    double *row_sums, *column_sums; /* column_sums: width for each block */
    int64_t height, width, blocks;  /* blocks of one matrix */
    int dtype;
} columns_job;

static void sum_block(void *context, int64_t begin, int64_t end) {
    const columns_job *job = context;
    int64_t item = mg_item_size(job->dtype);
    for (int64_t block = begin; block < end; block++) {
        int64_t first = block % job->blocks * BLOCK;
        int64_t rows = job->height - first < BLOCK ? job->height - first : BLOCK;
        int64_t row = block / job->blocks * job->height + first;
        const char *g = job->gradient + row * job->width * item;
        for (int64_t i = 0; i < rows; i++)
            job->row_sums[row + i] =
                mg_active_isa->optimizer.squares[job->dtype](job->width, g + i * job->width * item);
        double *sums = job->column_sums + block * job->width;
        memset(sums, 0, (size_t)job->width * sizeof *sums);
        mg_active_isa->optimizer.adafactor_columns[job->dtype](rows, job->width, g, sums);
    }
}

/* Brings the means of rows and columns up to date, and leaves what each row is scaled by in
 * `scale`, which has room for a number a row. */
static int average(const factors *of, const mg_array *gradient, double weight, double eps1,
                   double *scale) {
    int64_t matrices = gradient->size / (of->height * of->width);
    columns_job job = {.row_sums = scale,
                       .height = of->height,
                       .width = of->width,
                       .blocks = (of->height + BLOCK - 1) / BLOCK,
                       .dtype = gradient->dtype};
    int64_t room = matrices * job.blocks * of->width;
    mg_array *sums = mg_empty(MG_FLOAT64, 1, &room), *copy = NULL;
    int contiguous = mg_is_contiguous(gradient);
    if (!contiguous) copy = mg_empty_like(gradient, gradient->dtype);
    if (!sums || (!contiguous && !copy)) {
        if (sums) mg_release(sums);
        return -1;
    }
    if (copy) mg_gather_run(gradient, 0, gradient->size, copy->data);
    job.gradient = copy ? copy->data : gradient->data;
    job.column_sums = (double *)sums->data;
    mg_parallel_for(matrices * job.blocks, 1, 0.15 * (double)gradient->size, sum_block, &job);
    void (*mix)(int64_t, void *, const double *, double, double) =
        mg_active_isa->optimizer.adafactor_average[gradient->dtype];
    int64_t item = mg_item_size(gradient->dtype);
    for (int64_t m = 0; m < matrices; m++) {
        double *total = job.column_sums + m * job.blocks * of->width;
        for (int64_t block = 1; block < job.blocks; block++)
            for (int64_t j = 0; j < of->width; j++) total[j] += total[block * of->width + j];
        mix(of->width, of->columns->data + m * of->width * item, total, (double)of->height, weight);
        if (!of->rows) continue;
        int64_t first = m * of->height;
        mix(of->height, of->rows->data + first * item, scale + first, (double)of->width, weight);
        double mean = 0;
        for (int64_t i = 0; i < of->height; i++)
            mean += mg_number(of->rows->dtype, of->rows->data, first + i);
        mean /= (double)of->height;
        if (mean < eps1) mean = eps1;
        for (int64_t i = 0; i < of->height; i++)
            scale[first + i] = mg_number(of->rows->dtype, of->rows->data, first + i) / mean;
    }
    mg_release(sums);
    if (copy) mg_release(copy);
    return 0;
}

/* Visits a stretch row by row of its matrices: the next part of one row, and where it stands. */
typedef struct part {
    int64_t row, column, count;
} part;

static part next_part(const factors *of, int64_t at, int64_t rest) {
    part next = {.row = at / of->width, .column = at % of->width};
    next.count = of->width - next.column < rest ? of->width - next.column : rest;
    return next;
}

static const char *columns_at(const factors *of, part at) {
    int64_t matrix = at.row / of->height;
    return of->columns->data + (matrix * of->width + at.column) * mg_item_size(of->columns->dtype);
}

static void measure(const mg_row *row, int64_t member, int64_t begin, int64_t count,
                    char *const *data, double *sums) {
    const factors *of = (const factors *)row->context + member;
    int dtype = of->columns->dtype;
    int64_t item = mg_item_size(dtype);
    sums[0] += mg_active_isa->optimizer.squares[dtype](count, data[PARAMETER]);
    for (int64_t i = 0; i < count;) {
        part at = next_part(of, begin + i, count - i);
        sums[1] +=
            mg_active_isa->optimizer.adafactor_measure[dtype](at.count, data[GRADIENT] + i * item,
                                                              columns_at(of, at),
                                                              of->scale ? of->scale[at.row] : 1,
                                                              of->floor);
        i += at.count;
    }
}

static void update(const mg_row *row, int64_t member, int64_t begin, int64_t count,
                   char *const *data, double *sums) {
    (void)sums;
    const factors *of = (const factors *)row->context + member;
    int dtype = of->columns->dtype;
    int64_t item = mg_item_size(dtype);
    for (int64_t i = 0; i < count;) {
        part at = next_part(of, begin + i, count - i);
        mg_active_isa->optimizer.adafactor_update[dtype](at.count, data[PARAMETER] + i * item,
                                                         data[GRADIENT] + i * item,
                                                         columns_at(of, at),
                                                         of->scale ? of->scale[at.row] : 1,
                                                         of->floor, of->shrink, of->rate);
        i += at.count;
    }
}

/* The second moments of one parameter, and the numbers of its step but for the rate. */
static int begin_member(factors *of, const mg_array *gradient, const double *hyper, double t,
                        double *scale) {
    const double *own = hyper + MG_HYPER_OWN;
    double eps1 = own[EPS1];
    if (eps1 != eps1) eps1 = gradient->dtype == MG_FLOAT32 ? FLT_EPSILON : DBL_EPSILON;
    of->width = of->rows ? gradient->shape[gradient->ndim - 1] : gradient->size;
    of->height = of->rows ? gradient->shape[gradient->ndim - 2] : 1;
    of->scale = of->rows ? scale : NULL;
    of->floor = eps1 * eps1;
    of->shrink = 1 - hyper[MG_HYPER_LR] * hyper[MG_HYPER_DECAY];
    return average(of, gradient, pow(t, own[BETA2_DECAY]), eps1, scale);
}

/* arrays: parameters, rows, columns, steps, gradients (n each), hyperparameters. integers: n. */
int mg_run_adafactor(const mg_launch *launch) {
    int64_t n = launch->integers[0], total = 0;
    mg_array **parameters = launch->arrays, **rows = parameters + n, **columns = rows + n;
    mg_array **steps = columns + n, **gradients = steps + n;
    const double *hyper = (const double *)gradients[n]->data, *own = hyper + MG_HYPER_OWN;
    for (int64_t i = 0; i < n; i++)
        if (gradients[i] && gradients[i]->size) total += rows[i] ? rows[i]->size : 1;
    mg_row row;
    /* The factors, then a number for each row of every matrix. */
    factors *of = mg_scratch(MG_SCRATCH_PACK_B,
                             n * (int64_t)sizeof(factors) + (total + 1) * (int64_t)sizeof(double));
    if (!of || mg_row_begin(&row, n)) return -1;
    double *scale = (double *)(of + n);
    for (int64_t i = 0; i < n; i++) {
        if (!gradients[i]) continue;
        float *t = (float *)steps[i]->data;
        *t += 1;
        if (!gradients[i]->size) continue;
        factors *member = &of[row.members];
        *member = (factors){.rows = rows[i], .columns = columns[i]};
        /* alpha but for the norm of the parameter */
        member->rate = fmin(hyper[MG_HYPER_LR], 1 / sqrt((double)*t));
        if (begin_member(member, gradients[i], hyper, *t, scale)) return -1;
        scale += rows[i] ? rows[i]->size : 1;
        mg_array *roles[] = {parameters[i], gradients[i]};
        mg_row_add(&row, roles, ROLES);
    }
    row.context = of;
    row.writes = 1 << PARAMETER;
    row.body = measure;
    if (mg_row_measure(&row, 0.4)) return -1;
    for (int64_t i = 0; i < row.members; i++) {
        double size = (double)(row.member[i + 1].begin - row.member[i].begin);
        double alpha = fmax(own[EPS2], sqrt(mg_row_sum(&row, i, 0) / size));
        double rms = sqrt(mg_row_sum(&row, i, 1) / size) / own[CLIP];
        of[i].rate *= alpha / (rms > 1 || rms != rms ? rms : 1);
        if (hyper[MG_HYPER_MAXIMIZE] != 0) of[i].rate = -of[i].rate;
    }
    row.body = update;
    mg_row_run(&row, 0.4);
    return 0;
}

/* ---- entry ---- */

static int check_member(int i, const mg_array *parameter, const mg_array *gradient,
                        const mg_array *rows, const mg_array *columns, const mg_array *step) {
    static const char op[] = "Adafactor.step";
    if (!mg_is_float(parameter->dtype) || gradient->dtype != parameter->dtype ||
        !mg_same_shape((mg_array *)gradient, (mg_array *)parameter))
        return mg_fail(MG_RUNTIME_ERROR,
                       "%s: the gradient of parameter %d must be like the parameter (%s %s, which "
                       "must be float32 or float64), got %s %s",
                       op, i, mg_dtype_name(parameter->dtype), mg_shape_text(parameter),
                       mg_dtype_name(gradient->dtype), mg_shape_text(gradient));
    int64_t matrices = 1, height = 1, width = parameter->size;
    if (parameter->ndim > 1) {
        height = parameter->shape[parameter->ndim - 2];
        width = parameter->shape[parameter->ndim - 1];
        for (int d = 0; d < parameter->ndim - 2; d++) matrices *= parameter->shape[d];
    }
    int fits = columns && columns->dtype == parameter->dtype && mg_is_contiguous(columns) &&
               columns->size == matrices * width && (rows != NULL) == (parameter->ndim > 1);
    if (fits && rows)
        fits = rows->dtype == parameter->dtype && mg_is_contiguous(rows) &&
               rows->size == matrices * height;
    if (!fits || !step || step->dtype != MG_FLOAT32 || step->size != 1)
        return mg_fail(
            MG_RUNTIME_ERROR,
            "%s: the state of parameter %d (row_var and col_var, or variance; step) does "
            "not fit its shape %s and dtype %s",
            op, i, mg_shape_text(parameter), mg_dtype_name(parameter->dtype));
    return mg_check_writable(op, parameter);
}

int mg_adafactor(int count, mg_array **parameters, mg_array **gradients, mg_array **rows,
                 mg_array **columns, mg_array **steps, mg_array *hyperparameters) {
    static const char op[] = "Adafactor.step";
    if (hyperparameters->dtype != MG_FLOAT64 || hyperparameters->size < MG_HYPER_MOST ||
        !mg_is_contiguous(hyperparameters))
        return mg_fail(MG_RUNTIME_ERROR, "%s: hyperparameters must be %d float64", op,
                       MG_HYPER_MOST);
    int all = 5 * count + 1, failed = 0;
    mg_array **arrays = malloc((size_t)all * sizeof *arrays);
    if (!arrays) return mg_fail(MG_MEMORY_ERROR, "%s: out of memory", op);
    mg_array **lists[] = {parameters, rows, columns, steps, gradients};
    for (int list = 0; list < 5; list++)
        for (int i = 0; i < count; i++)
            arrays[list * count + i] = gradients[i] ? lists[list][i] : NULL;
    arrays[all - 1] = hyperparameters;
    for (int i = 0; !failed && i < count; i++)
        if (gradients[i])
            failed = check_member(i, parameters[i], gradients[i], rows[i], columns[i], steps[i]);
    if (!failed) {
        mg_launch launch = {.kernel = MG_KERNEL_adafactor,
                            .outputs = 4 * count,
                            .count = all,
                            .arrays = arrays};
        launch.integers[0] = count;
        failed = mg_submit(&launch, MG_ALL_OUTPUTS, op);
    }
    free(arrays);
    return failed ? -1 : 0;
}
