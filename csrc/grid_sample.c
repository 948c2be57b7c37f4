/* Images (N, C, H, W) read at the places of a grid (N, OH, OW, 2), and the derivatives. The nearest
 * pixel, or the weighted mean of four. Places count from -1 to 1. */
#include "core.h"

enum { PIECE_PLACES = 1024 };
enum padding { ZEROS, BORDER, REFLECTION };

typedef struct sampling {
    int64_t channels, height, width, pixels, places; /* pixels, places: of one image */
    int nearest, padding, aligned;
} sampling;

typedef struct corner_set { /* slope: of the place in pixels by the place in the grid */
    int64_t offset[4];      /* -1: outside */
    double weight[4], right, below, slope_x, slope_y;
} corner_set;

#define GRID_T float
#define GRID_NAME(base) base##_float32
#include "grid_loops.h"

#define GRID_T double
#define GRID_NAME(base) base##_float64
#include "grid_loops.h"

typedef struct job {
    sampling sampling;
    mg_array *const *arrays;
    int64_t parts; /* of one image */
} job;

static job job_of(const mg_launch *launch, const mg_array *input, const mg_array *grid) {
    job job = {.arrays = launch->arrays};
    job.sampling = (sampling){.channels = input->shape[1],
                              .height = input->shape[2],
                              .width = input->shape[3],
                              .pixels = input->shape[2] * input->shape[3],
                              .places = grid->shape[1] * grid->shape[2],
                              .nearest = launch->integers[0] != 0,
                              .padding = (int)launch->integers[1],
                              .aligned = launch->integers[2] != 0};
    job.parts = (job.sampling.places + PIECE_PLACES - 1) / PIECE_PLACES;
    return job;
}

static void sample_parts(void *context, int64_t begin, int64_t end) {
    const job *job = context;
    const mg_array *input = job->arrays[1];
    const int64_t places = job->sampling.places;
    for (int64_t part = begin; part < end; part++) {
        const int64_t n = part / job->parts, first = part % job->parts * PIECE_PLACES;
        const int64_t last = first + PIECE_PLACES < places ? first + PIECE_PLACES : places;
        (input->dtype == MG_FLOAT32 ? sample_float32
                                    : sample_float64)(&job->sampling, job->arrays[0]->data,
                                                      input->data, job->arrays[2]->data, n, first,
                                                      last);
    }
}

/* arrays: out, input, grid; integers: nearest, padding, aligned */
int mg_run_grid_sample(const mg_launch *launch) {
    job job = job_of(launch, launch->arrays[1], launch->arrays[2]);
    const int64_t images = launch->arrays[1]->shape[0];
    if (launch->arrays[0]->size)
        mg_parallel_for(images * job.parts, 1,
                        (double)(images * job.sampling.places) * 15 +
                            3 * (double)launch->arrays[0]->size,
                        sample_parts, &job);
    return 0;
}

static void backward_images(void *context, int64_t begin, int64_t end) {
    const job *job = context;
    const mg_array *input = job->arrays[3];
    for (int64_t n = begin; n < end; n++)
        (input->dtype == MG_FLOAT32
             ? sample_backward_float32
             : sample_backward_float64)(&job->sampling, job->arrays[0]->data, job->arrays[1]->data,
                                        job->arrays[2]->data, input->data, job->arrays[4]->data, n);
}

/* arrays: grad_input, grad_grid; grad_output, input, grid */
int mg_run_grid_sample_backward(const mg_launch *launch) {
    job job = job_of(launch, launch->arrays[3], launch->arrays[4]);
    mg_array *grad_input = launch->arrays[0];
    const int64_t images = grad_input->shape[0];
    memset(grad_input->data, 0, (size_t)(grad_input->size * mg_item_size(grad_input->dtype)));
    if (job.sampling.places)
        mg_parallel_for(images, 1,
                        (double)(images * job.sampling.places) *
                            (20 + 5 * (double)job.sampling.channels),
                        backward_images, &job);
    return 0;
}

/* ---- entries ---- */

static int check_operands(const char *op, const mg_array *input, const mg_array *grid,
                          int padding) {
    if (input->ndim == 4 && grid->ndim == 4 && input->shape[0] == grid->shape[0] &&
        grid->shape[3] == 2 && input->dtype == grid->dtype && mg_is_float(input->dtype) &&
        padding >= ZEROS && padding <= REFLECTION && input->shape[2] > 0 && input->shape[3] > 0)
        return 0;
    return mg_fail(MG_RUNTIME_ERROR,
                   "%s: expected images (N, C, H, W) and a grid (N, OH, OW, 2) of one "
                   "floating-point dtype, got %s %s and %s %s",
                   op, mg_dtype_name(input->dtype), mg_shape_text(input),
                   mg_dtype_name(grid->dtype), mg_shape_text(grid));
}

mg_array *mg_grid_sample(mg_array *input, mg_array *grid, int nearest, int padding, int aligned) {
    if (check_operands("grid_sample", input, grid, padding)) return NULL;
    int64_t shape[] = {input->shape[0], input->shape[1], grid->shape[1], grid->shape[2]};
    mg_array *images = mg_as_contiguous(input, input->dtype);
    mg_array *places = mg_as_contiguous(grid, grid->dtype);
    mg_array *out = images && places ? mg_empty(input->dtype, 4, shape) : NULL;
    mg_array *arrays[] = {out, images, places};
    mg_launch launch = {.kernel = MG_KERNEL_grid_sample,
                        .outputs = 1,
                        .count = 3,
                        .arrays = arrays,
                        .integers = {nearest, padding, aligned}};
    if (out && mg_submit(&launch, 0, NULL)) {
        mg_release(out);
        out = NULL;
    }
    if (images) mg_release(images);
    if (places) mg_release(places);
    return out;
}

int mg_grid_sample_backward(mg_array *grad_output, mg_array *input, mg_array *grid, int nearest,
                            int padding, int aligned, mg_array **outputs) {
    static const char op[] = "grid_sample_backward";
    if (check_operands(op, input, grid, padding)) return -1;
    if (grad_output->ndim != 4 || grad_output->shape[0] != input->shape[0] ||
        grad_output->shape[1] != input->shape[1] || grad_output->shape[2] != grid->shape[1] ||
        grad_output->shape[3] != grid->shape[2] || grad_output->dtype != input->dtype)
        return mg_fail(MG_RUNTIME_ERROR, "%s: the gradient's shape %s is not that of the result",
                       op, mg_shape_text(grad_output));
    mg_array *arrays[] = {mg_empty_like(input, input->dtype), mg_empty_like(grid, grid->dtype),
                          mg_as_contiguous(grad_output, grad_output->dtype),
                          mg_as_contiguous(input, input->dtype),
                          mg_as_contiguous(grid, grid->dtype)};
    mg_launch launch = {.kernel = MG_KERNEL_grid_sample_backward,
                        .outputs = 2,
                        .count = 5,
                        .arrays = arrays,
                        .integers = {nearest, padding, aligned}};
    int failed = 0;
    for (int i = 0; i < 5; i++) failed |= !arrays[i];
    failed = failed || mg_submit(&launch, 0, NULL);
    for (int i = failed ? 0 : 2; i < 5; i++)
        if (arrays[i]) mg_release(arrays[i]);
    if (failed) return -1;
    outputs[0] = arrays[0];
    outputs[1] = arrays[1];
    return 0;
}
