/* The contract between C and Python.
 *
 * C includes this text (through core.h) and cffi parses the same text, so nothing is declared
 * twice. It therefore holds declarations only: no #include, no #if, no inline code.
 *
 * Conventions
 *   - A function that returns `mg_array *` returns a new reference, or NULL after setting the
 *     error.
 *   - A function that returns `int` returns 0, or -1 after setting the error, unless it says
 *     otherwise.
 *   - `out` of a computing entry: NULL allocates the result; otherwise the result is written there
 *     (an in-place operation, which advances the version of the memory) and a new reference to it
 *     returned.
 *   - Strides and offsets count elements, not bytes. `dim` is already normalised to [0, ndim).
 */

#define MG_MAX_DIMS 8

/* In the order of promotion: the wider of two dtypes is the larger number. */
enum mg_dtype { MG_BOOL, MG_UINT8, MG_INT32, MG_INT64, MG_FLOAT32, MG_FLOAT64, MG_DTYPE_COUNT };

enum mg_error_kind {
    MG_OK,
    MG_RUNTIME_ERROR,
    MG_INDEX_ERROR,
    MG_TYPE_ERROR,
    MG_VALUE_ERROR,
    MG_MEMORY_ERROR,
    MG_NOT_IMPLEMENTED_ERROR,
    MG_RECORDING_ERROR /* what cannot be recorded in a plan */
};

/* Bits of mg_array.flags. */
#define MG_CONTIGUOUS 1 /* row-major without gaps */
#define MG_WEAK 2       /* stands for a Python scalar: does not widen a tensor's dtype */
/* The operation that made this array had a first (second) operand of another shape or dtype. */
#define MG_BROADCAST_FIRST 4
#define MG_BROADCAST_SECOND 8

typedef struct mg_storage mg_storage;

/* A strided view of shared memory. Immutable once made; views share the storage. */
typedef struct mg_array {
    int32_t references;
    int32_t dtype;
    int32_t ndim;
    int32_t flags;
    int64_t size; /* number of elements */
    int64_t offset;
    char *data; /* first element: storage memory plus offset */
    mg_storage *storage;
    int64_t shape[8];
    int64_t strides[8];
} mg_array;

/* ---- errors: the last one of this thread ---- */
int mg_last_error_kind(void);
const char *mg_last_error_message(void);

/* ---- arrays and memory ---- */
mg_array *mg_empty(int dtype, int ndim, const int64_t *shape);
mg_array *mg_scalar_float(double value); /* 0-d, weak */
mg_array *mg_scalar_int(int64_t value);  /* 0-d, weak */
mg_array *mg_scalar_bool(int value);     /* 0-d, weak */
/* Wraps memory of somebody else without a copy; `owner` is given to the release callback at the
 * end. */
mg_array *mg_wrap(int dtype, int ndim, const int64_t *shape, const int64_t *strides, void *data,
                  int64_t owner);
void mg_set_owner_release(void (*release)(int64_t owner));
void mg_retain(mg_array *array);
void mg_release(mg_array *array);
int64_t mg_item_size(int dtype);
/* Any strided view inside the storage of `array`; offset counts from the start of the storage. */
mg_array *mg_as_strided(mg_array *array, int ndim, const int64_t *shape, const int64_t *strides,
                        int64_t offset);
mg_array *mg_alias(mg_array *array); /* the same view as a new array */
mg_array *mg_transpose(mg_array *array, int dim0, int dim1);
mg_array *mg_expand(mg_array *array, int ndim, const int64_t *shape);
/* A view of the new shape where strides allow it, otherwise a contiguous copy. At most one -1. */
mg_array *mg_reshape(mg_array *array, int ndim, const int64_t *shape);
mg_array *mg_view(mg_array *array, int ndim, const int64_t *shape); /* a view, or an error */
int mg_same_shape(mg_array *a, mg_array *b);
int mg_same_storage(mg_array *a, mg_array *b);
int mg_is_unique(mg_array *array); /* contiguous, and no other view shares its memory */
/* The address of the elements for reading or writing by the host; an error while recording a plan.
 * */
void *mg_host_data(mg_array *array);
/* Version of the memory: the number of in-place writes, the clock at the last, and who did it. */
int64_t mg_version(mg_array *array);
int64_t mg_stamp(mg_array *array);
const char *mg_last_writer(mg_array *array);
int64_t *mg_clock(void);
int64_t mg_touch(mg_array *array, const char *writer); /* a write that happened outside of C */
void mg_pool_statistics(int64_t *live_bytes, int64_t *cached_bytes, int64_t *peak_bytes);
void mg_pool_trim(void); /* gives cached memory back to the system */

/* ---- dtypes ---- */
int mg_result_type(mg_array *a, mg_array *b);
int mg_default_float(void);
void mg_set_default_float(int dtype);

/* ---- launches and plans ---- */
typedef struct mg_plan mg_plan;
mg_plan *mg_plan_begin(void); /* starts recording on this thread */
int mg_plan_end(mg_plan *plan);
int mg_plan_resume(mg_plan *plan); /* records on, after an end */
int mg_plan_replay(mg_plan *plan);
void mg_plan_release(mg_plan *plan);
/* A launch that calls the function of mg_set_host with that number; it fills the first `outputs` of
 * the arrays and reads the others. It is appended without being run. */
int mg_plan_add_host(mg_plan *plan, int64_t number, int outputs, int count, mg_array **arrays);
void mg_set_host(int (*run)(int64_t number)); /* returns other than 0 where it has failed */
/* A copy as a call returns it: with the same strides, since kernels may add in the order of the
 * memory; contiguous, where these would take more than twice the memory. Not recorded. */
mg_array *mg_plan_copy(mg_array *from);
void mg_plan_truncate(mg_plan *plan, int64_t count); /* forgets the launches after so many */
/* What a call copies its arguments into and returns copies of. */
int mg_plan_bind(mg_plan *plan, int inputs, mg_array **input, int outputs, mg_array **output);
/* Copies the inputs in, runs every launch, and gives copies of the outputs; 1, and nothing done,
 * where an input has another dtype, shape or strides than the one bound. */
int mg_plan_call(mg_plan *plan, int inputs, mg_array **input, mg_array **output);
/* Makes the plan shorter, see csrc/plan_optimize.c; what a replay leaves has the same bits. */
int mg_plan_optimize(mg_plan *plan);
int mg_plan_pack(mg_plan *plan); /* shares memory among the results that only the plan sees */
int mg_plan_profile(mg_plan *plan,
                    double *seconds); /* runs it, and gives the time of each launch */
/* Fills the memory that results share with NaN; a replay must not notice. */
void mg_plan_poison(mg_plan *plan);
void mg_plan_bytes(mg_plan *plan, int64_t *arena, int64_t *peak);
int64_t mg_plan_length(mg_plan *plan);
const char *mg_plan_kernel(mg_plan *plan, int64_t index); /* name of the launch's kernel */
int mg_plan_array_count(mg_plan *plan, int64_t index, int *outputs);
mg_array *mg_plan_array(mg_plan *plan, int64_t index, int position); /* borrowed; may be NULL */
int64_t mg_plan_integer(mg_plan *plan, int64_t index, int position);
/* Which operation of a kernel that has several (plan_text.c): "add", "adam", ...; otherwise "". */
const char *mg_plan_operation(mg_plan *plan, int64_t index);
int mg_plan_threads(mg_plan *plan); /* that a replay uses now: one, or all that are set */
/* Its number when it was recorded, which passes over the plan keep. */
int64_t mg_plan_recorded(mg_plan *plan, int64_t index);
int mg_is_recording(void);
int mg_kernel_count(void);
const char *mg_kernel_name(int index);
/* What there is of a kernel (listing.c). Its operations (of unary: neg, abs, ...; NULL after the
 * last), with operation -1 or none the kernel itself; bits of dtypes; its file in csrc. */
const char *mg_kernel_source(int index);
const char *mg_kernel_operation(int index, int operation);
int mg_kernel_dtypes(int index, int operation);
/* A loop that is compiled for each instruction set. `address` is that of the set in use, NULL where
 * there is none for the dtype. */
typedef struct mg_kernel_loop {
    char name[64]; /* without dtype and instruction set */
    const char *file;
    const void *address;
} mg_kernel_loop;
int mg_kernel_find_loop(int index, int operation, int number, int dtype,
                        mg_kernel_loop *loop); /* 0: it has not so many */

/* ---- machine ---- */
const char *mg_isa_name(void);
int mg_isa_count(void); /* instruction sets compiled in ... */
const char *mg_isa_name_at(int index);
int mg_isa_supported(int index);  /* ... and whether this processor has them */
int mg_set_isa(const char *name); /* NULL: the best one */
int mg_get_num_threads(void);
int mg_set_num_threads(int count);
/* What the threads in use reach together, measured for about so many seconds (peak.c): floating
 * point operations per second of multiply-adds in registers, and bytes read and written per second
 * by copies that touch so many bytes on each thread. Negative: an error. */
double mg_peak_flops(int dtype, double seconds);
double mg_peak_bytes(int64_t bytes, double seconds);
int mg_processor_limit(void); /* processors that affinity and the control group allow */
const char *mg_openmp(void);  /* "" without OpenMP, otherwise its version date */
const char *mg_compiler(void);
const char *mg_processor(void);

/* ---- elementwise; `op` comes from a find function, by the name in elementwise.def ---- */
int mg_find_unary(const char *name);
int mg_find_binary(const char *name);
mg_array *mg_unary(int op, mg_array *a, mg_array *out);
mg_array *mg_binary(int op, mg_array *a, mg_array *b, mg_array *out);
mg_array *mg_where(mg_array *condition, mg_array *a, mg_array *b);
/* An expression of fused.def of one to three operands (the others NULL) and up to three numbers. */
int mg_find_fused(const char *name);
const char *mg_unary_name(int op);
const char *mg_binary_name(int op);
const char *mg_fused_name(int op);
mg_array *mg_fused(int op, mg_array *a, mg_array *b, mg_array *c, mg_array *out, double p, double q,
                   double r);
/* The sum of such an expression over all elements, times `scale`: a 0-d array. */
mg_array *mg_fused_sum(int op, mg_array *a, mg_array *b, mg_array *c, double p, double q, double r,
                       double scale);
int mg_copy(mg_array *destination, mg_array *source); /* casts and broadcasts; in place */
mg_array *mg_cast(mg_array *a, int dtype);            /* a new contiguous array */
mg_array *mg_full(int dtype, int ndim, const int64_t *shape, mg_array *value);
mg_array *mg_arange(int dtype, mg_array *start, mg_array *step, int64_t count);

/* ---- reductions; `dims` is a bit mask of the dimensions to reduce ---- */
int mg_find_reduction(const char *name); /* sum prod mean max min any all argmax argmin */
const char *mg_reduction_name(int op);
mg_array *mg_reduce(int op, mg_array *a, int dims, int keepdim);
mg_array *mg_sum_to(mg_array *a, int ndim, const int64_t *shape); /* undoes a broadcast */
mg_array *mg_softmax(mg_array *a, int dim, int logarithm);
mg_array *mg_softmax_backward(mg_array *grad_output, mg_array *output, int dim, int logarithm);
/* input (N, C, inner...) or (C); target int64 of input's shape without dim C; weight NULL or (C).
 * reduction: 0 none, 1 mean, 2 sum. outputs: loss, log-probabilities, total weight (0-d). */
int mg_cross_entropy(mg_array *input, mg_array *target, mg_array *weight, int64_t ignore_index,
                     double label_smoothing, int reduction, mg_array **outputs);
mg_array *mg_cross_entropy_backward(mg_array *grad_output, mg_array *log_probabilities,
                                    mg_array *target, mg_array *weight, mg_array *total_weight,
                                    int64_t ignore_index, double label_smoothing, int reduction);

/* ---- matrix product: (..., m, k) by (..., k, n), batch dimensions broadcast, after the optional
 * exchange of each operand's last two dimensions; bias NULL or (n) ---- */
mg_array *mg_matmul(mg_array *a, mg_array *b, mg_array *bias, int transpose_a, int transpose_b);

/* ---- convolution and pooling. Convolution over the n = 1 to 3 dimensions behind batch and
 * channels; geometry: stride (n), padding (n), dilation (n), groups. Of a pool: kernel (2), stride
 * (2), padding (2), dilation (2), ceil_mode, count_include_pad, divisor_override (0: none) ---- */
mg_array *mg_convolution(mg_array *input, mg_array *weight, mg_array *bias,
                         const int64_t *geometry);
mg_array *mg_convolution_input(mg_array *grad_output, mg_array *weight, mg_array *bias,
                               const int64_t *size, const int64_t *geometry);
mg_array *mg_convolution_weight(mg_array *input, mg_array *grad_output, const int64_t *kernel,
                                const int64_t *geometry);
/* The patches (batch, channels * kernel, positions) of planes, and planes of the sums of patches;
 * geometry as of a convolution over two dimensions. */
mg_array *mg_unfold(mg_array *input, const int64_t *kernel, const int64_t *geometry);
mg_array *mg_fold(mg_array *columns, const int64_t *size, const int64_t *kernel,
                  const int64_t *geometry);
int mg_max_pool2d(mg_array *input, const int64_t *geometry,
                  mg_array **outputs); /* values, indices */
/* The largest element of windows over the last `count` (1 to 3) dimensions, and its index. windows:
 * for each dimension int64 (1 or planes, size, 3): the first element of each window, how many, and
 * the step between them. outputs: values, indices */
int mg_window_max(mg_array *input, int count, mg_array **windows, mg_array **outputs);
/* indices count within the last `count` dimensions of a plane (or volume, or row). Of values with
 * the same index the scatter gives the sum, or with `replace` the last. */
mg_array *mg_plane_gather(mg_array *input, mg_array *indices, int count);
mg_array *mg_plane_scatter(mg_array *values, mg_array *indices, int count, const int64_t *sizes,
                           int replace);
mg_array *mg_avg_pool2d(mg_array *input, const int64_t *geometry);
mg_array *mg_avg_pool2d_backward(mg_array *grad_output, int64_t height, int64_t width,
                                 const int64_t *geometry);

/* The last `count` (1 to 3) dimensions become `sizes`, each by a sparse matrix: element i of the
 * result is the sum over k in [offsets[i], offsets[i + 1]) of weights[k] times element columns[k].
 * axes: for each two arrays, int64 with the offsets (size + 1) and then the columns, and the
 * weights, NULL for ones. fill: an element without terms along any axis, where no sum has more
 * than one term; otherwise it is 0. ---- */
mg_array *mg_resample(mg_array *input, int count, const int64_t *sizes, mg_array **axes,
                      double fill);

/* ---- batch normalisation over (N, C, inner...). running_mean, running_var NULL: not tracked;
 * num_batches_tracked NULL or int64, counted up; momentum < 0: the average over all batches.
 * outputs: y, mean (C), 1/std (C). training: statistics of the batch, else the running ones ---- */
int mg_batch_norm(mg_array *input, mg_array *weight, mg_array *bias, mg_array *running_mean,
                  mg_array *running_var, mg_array *num_batches_tracked, int training,
                  double momentum, double eps, mg_array **outputs);
/* outputs: grad_input, grad_weight (C), grad_bias (C) */
int mg_batch_norm_backward(mg_array *grad_output, mg_array *input, mg_array *weight, mg_array *mean,
                           mg_array *inverse_std, int training, mg_array **outputs);

/* ---- attention: operands are query (batch..., L, E), key (batch..., S, E), value
 * (batch..., S, F), and mask and keep (batch..., L, S), of the same dtype, or NULL: mask is added
 * to the scores and keep multiplies the weights. causal: query i sees keys up to i. outputs: y
 * (batch..., L, F), and the logarithms of the softmax's sums (batch..., L) ---- */
int mg_attention(mg_array **operands, double scale, int causal, mg_array **outputs);
/* outputs: the gradients of query, key and value */
int mg_attention_backward(mg_array *grad_output, mg_array *log_sums, mg_array **operands,
                          double scale, int causal, mg_array **outputs);

/* ---- layer, RMS, group and instance normalisation over (N, groups, channels, inner): geometry is
 * groups, channels, inner, and whether the mean is subtracted (if not, inner is 1); weight and bias
 * NULL or groups * channels numbers. outputs: y, mean (N * groups; NULL where it is not
 * subtracted), 1/std ---- */
int mg_group_norm(mg_array *input, mg_array *weight, mg_array *bias, const int64_t *geometry,
                  double eps, mg_array **outputs);
/* outputs: grad_input, grad_weight, grad_bias, the last two shaped like weight, those of the bit
 * mask `wanted` */
int mg_group_norm_backward(mg_array *grad_output, mg_array *input, mg_array *weight, mg_array *mean,
                           mg_array *inverse_std, const int64_t *geometry, int wanted,
                           mg_array **outputs);

/* ---- recurrent layers: all steps of one layer and direction. mode: 0 RNN with tanh, 1 with relu,
 * 2 LSTM, 3 GRU. reverse: from the last step to the first.
 * inputs: x (steps, batch, features), or (rows, features) where batch_sizes says how many of the
 *   sequences, sorted by length, each step has, or (batch, features) of a single step;
 *   batch_sizes int64 (steps) or NULL; h0 (batch, state), c0 (batch, hidden), each NULL for zeros;
 *   weight_ih, weight_hh, bias_ih, bias_hh (both or neither), weight_hr (state, hidden) or NULL.
 * outputs: y (as x, state), h_n (batch, state), c_n of the LSTM, else NULL; and what the backward
 *   pass needs, NULL unless `keep`: gates, cells, h before the projection ---- */
int mg_recurrent(int mode, int reverse, int keep, mg_array **inputs, mg_array **outputs);
/* saved: y, gates, cells, h before the projection. grads: of y, h_n, c_n, each NULL for zeros.
 * needs: 1 the gradient of x, 2 those of the weights. outputs, NULL where not asked for: gradients
 * of x, h0, c0, weight_ih, weight_hh, bias_ih, bias_hh, weight_hr */
int mg_recurrent_backward(int mode, int reverse, int needs, mg_array **inputs, mg_array **saved,
                          mg_array **grads, mg_array **outputs);

/* ---- optimizers: one launch over `count` parameters; `form` comes from mg_find_optimizer, by the
 * name in optimizer.def. states and counters: as many times `count` as that row says, all of the
 * first state first. A parameter whose gradient is NULL is left out. Hyperparameters are a float64
 * array of 12 in memory, so that a replayed plan sees their changes: form, lr, weight_decay,
 * maximize, decoupled, and the optimizer's own (optimizer_numbers.c). ---- */
int mg_find_optimizer(const char *name);
const char *mg_optimizer_name(int form);
int mg_optimize(int form, int count, mg_array **parameters, mg_array **gradients, mg_array **states,
                mg_array **counters, mg_array *hyperparameters);

/* rows NULL for a vector; columns: its second moment, or that of the columns; steps as counters.
 * own hyperparameters: beta2_decay, eps1 (NaN: that of the dtype), eps2, d. */
int mg_adafactor(int count, mg_array **parameters, mg_array **gradients, mg_array **rows,
                 mg_array **columns, mg_array **steps, mg_array *hyperparameters);

/* `count` contiguous arrays of one dtype into one of `shape`. Seen as (outer, rest), the first
 * dimensions of all of them alike, row o of the result is row o of each array in turn. */
/* Whether they are such arrays: of the same sizes, but for dimension `dim` (-1: in all). */
int mg_can_join(int count, mg_array **parts, int dim);
mg_array *mg_join(int count, mg_array **parts, int ndim, const int64_t *shape, int64_t outer);

/* ---- clipping of `count` arrays of one dtype ---- */
mg_array *mg_total_norm(int count, mg_array **arrays, int largest); /* 2-norm, or inf-norm; 0-d */
/* in place: times min(1, max_norm / (total_norm + 1e-6)) */
int mg_clip_norm(int count, mg_array **arrays, mg_array *total_norm, double max_norm);
int mg_clip_value(int count, mg_array **arrays, double limit); /* in place, into [-limit, limit] */
/* Fresh memory full of one value that is no launch: what a step remembers begins with it. Made
 * while a plan is recorded it is a constant of the plan: each replay begins with that value. */
mg_array *mg_filled(int dtype, int ndim, const int64_t *shape, double value);

/* ---- random numbers: Philox 4x32-10. generator: int64 (2), seed and counter, both in memory ----
 * */
int mg_random_uniform(mg_array *destination, mg_array *generator, double low, double high);
int mg_random_normal(mg_array *destination, mg_array *generator, double mean, double std);
int mg_random_bernoulli(mg_array *destination, mg_array *generator, double probability);
/* outputs: input times mask, and the mask: `scale` with the probability `keep`, else 0 */
int mg_dropout(mg_array *input, mg_array *generator, double keep, double scale, mg_array **outputs);
int mg_random_integers(mg_array *destination, mg_array *generator, int64_t low, int64_t high);
int mg_random_permutation(mg_array *destination, mg_array *generator);

/* ---- indexing by integer arrays: one entry a dimension, NULL where the dimension is taken whole
 * ---- */
mg_array *mg_index(mg_array *a, int count, mg_array **indices);
int mg_index_put(mg_array *destination, int count, mg_array **indices, mg_array *values,
                 int accumulate);
mg_array *mg_nonzero(mg_array *a); /* int64 (matches, ndim) */

/* ---- images (N, C, H, W). Parameters are arrays for 1 or N images. ---- */
/* windows int64 (1 or N, 3): top, left, flips (1: horizontal, 2: vertical), cut from the padded
 * image and then flipped; mode: 0 constant, 1 edge, 2 reflect, 3 symmetric; fill (C) of the images'
 * dtype, or NULL for 0. */
mg_array *mg_image_window(mg_array *images, mg_array *windows, int64_t height, int64_t width,
                          int mode, mg_array *fill);
/* matrices float64 (1 or N, 6): from places in the result to places in the image, both counted from
 * the centre; fill float64 (C), or NULL: pixels outside are 0. uint8 and floats. */
mg_array *mg_image_affine(mg_array *images, mg_array *matrices, int64_t height, int64_t width,
                          int bilinear, mg_array *fill);
/* Each pixel is a weighted sum along the rows, then along the columns: spans int64 (1 or N, size,
 * 2): start, count; weights (1 or N, size, taps), float64 for float64 images, else float32. */
mg_array *mg_image_resample(mg_array *images, mg_array *row_spans, mg_array *row_weights,
                            mg_array *column_spans, mg_array *column_weights);
mg_array *mg_image_hue(mg_array *images, mg_array *shifts); /* float64 (1 or N), in turns */
/* input (N, C, H, W) at the places of grid (N, OH, OW, 2), x and y from -1 to 1; padding: 0 zeros,
 * 1 border, 2 reflection. outputs: grad_input, grad_grid. */
mg_array *mg_grid_sample(mg_array *input, mg_array *grid, int nearest, int padding, int aligned);
int mg_grid_sample_backward(mg_array *grad_output, mg_array *input, mg_array *grid, int nearest,
                            int padding, int aligned, mg_array **outputs);
