/* How elementwise launches run: the iteration over operands of any strides and dtypes, cut into
 * rows for the loops of the instruction set.
 *
 * An operand that a loop cannot read in place (another dtype, or elements that are not neighbours)
 * goes through a small buffer, tile by tile; so does such a result. */
#include "core.h"

#define TILE_SIDE 32
#define TILE (TILE_SIDE * TILE_SIDE)

/* Elements that one piece of the parallel loop computes. Pieces are fixed and may begin
 * anywhere: what an element becomes does not depend on its place in a row. */
#define PIECE 16384

typedef struct task {
    mg_loop_function loop; /* NULL: a copy, which is a conversion and nothing else */
    int operands;          /* the result, which is operand 0, and the inputs */
    int ndim;
    int all_direct;
    int status; /* enum mg_loop_status of any piece that failed */
    int64_t size;
    int64_t shape[MG_MAX_DIMS];
    int64_t strides[MG_MAX_OPERANDS][MG_MAX_DIMS]; /* in elements */
    char *data[MG_MAX_OPERANDS];
    int dtype[MG_MAX_OPERANDS];        /* in memory */
    int loop_dtype[MG_MAX_OPERANDS];   /* for the loop */
    int item[MG_MAX_OPERANDS];         /* bytes of an element in memory */
    int direct[MG_MAX_OPERANDS];       /* the loop can use the memory itself */
    double constants[MG_MAX_OPERANDS]; /* operands of one value, converted for the loop */
    const double *numbers;             /* of a fused expression, else NULL */
} task;

/* ---- dimensions ---- */

/* Takes the dimensions of the result, without those of size 1, outermost first by the distance
 * of the result's elements; the inputs are broadcast to them. */
static void collect_dimensions(task *t, mg_array *const *arrays) {
    const mg_array *out = arrays[0];
    t->ndim = 0;
    for (int d = 0; d < out->ndim; d++) {
        if (out->shape[d] == 1) continue;
        int at = t->ndim++;
        const int64_t distance = llabs(out->strides[d]);
        for (; at > 0 && llabs(t->strides[0][at - 1]) < distance; at--) {
            t->shape[at] = t->shape[at - 1];
            for (int k = 0; k < t->operands; k++) t->strides[k][at] = t->strides[k][at - 1];
        }
        t->shape[at] = out->shape[d];
        for (int k = 0; k < t->operands; k++) {
            const mg_array *operand = arrays[k];
            const int own = d - (out->ndim - operand->ndim);
            const int repeated = own < 0 || operand->shape[own] == 1;
            t->strides[k][at] = repeated ? 0 : operand->strides[own];
        }
    }
}

/* Joins neighbouring dimensions that every operand walks as one. */
static void join_dimensions(task *t) {
    int last = 0;
    for (int d = 1; d < t->ndim; d++) {
        int joined = 1;
        for (int k = 0; k < t->operands; k++)
            joined &= t->strides[k][last] == t->strides[k][d] * t->shape[d];
        if (joined) {
            t->shape[last] *= t->shape[d];
        } else {
            last++;
            t->shape[last] = t->shape[d];
        }
        for (int k = 0; k < t->operands; k++) t->strides[k][last] = t->strides[k][d];
    }
    if (t->ndim) t->ndim = last + 1;
}

/* The frequent case in one dimension: the result and every input contiguous, or inputs of one
 * value. */
static int flat_dimensions(task *t, mg_array *const *arrays) {
    int flat = mg_is_contiguous(arrays[0]);
    for (int k = 0; k < t->operands; k++) {
        const mg_array *operand = arrays[k];
        const int whole = operand->size == t->size && mg_is_contiguous(operand);
        t->strides[k][0] = operand->size != 1;
        flat &= whole | (operand->size == 1);
    }
    t->ndim = 1;
    t->shape[0] = t->size;
    t->strides[0][0] = 1;
    return flat;
}

/* Decides for each operand whether the loop uses its memory, and converts inputs of one value. */
static void choose_access(task *t) {
    t->all_direct = 1;
    for (int k = 0; k < t->operands; k++) {
        const int64_t step = t->strides[k][t->ndim - 1];
        const int converted = t->dtype[k] != t->loop_dtype[k];
        t->direct[k] = !converted && (step == 1 || (step == 0 && k > 0));
        if (converted && k > 0) {
            int64_t distance = 0;
            for (int d = 0; d < t->ndim; d++) distance |= t->strides[k][d];
            if (distance == 0) {
                const mg_block from = {t->data[k], 0, 0, t->dtype[k]};
                const mg_block to = {(char *)&t->constants[k], 0, 0, t->loop_dtype[k]};
                mg_convert_block(&to, &from, 1, 1);
                t->data[k] = (char *)&t->constants[k];
                t->dtype[k] = t->loop_dtype[k];
                t->item[k] = (int)mg_item_size(t->loop_dtype[k]);
                t->direct[k] = 1;
            }
        }
        t->all_direct &= t->direct[k];
    }
}

/* ---- blocks: rows x columns elements along the last two dimensions ---- */

static int64_t row_stride(const task *t, int k) {
    return t->ndim > 1 ? t->strides[k][t->ndim - 2] : 0;
}

static int run_direct(const task *t, char *const *data, int64_t rows, int64_t columns) {
    const int last = t->ndim - 1;
    mg_loop loop;
    loop.out = data[0];
    loop.rows = rows;
    loop.count = columns;
    loop.out_row = row_stride(t, 0) * t->item[0];
    if (t->numbers) memcpy(loop.numbers, t->numbers, sizeof loop.numbers);
    for (int k = 1; k < t->operands; k++) {
        loop.in[k - 1] = data[k];
        loop.in_row[k - 1] = row_stride(t, k) * t->item[k];
        loop.step[k - 1] = t->strides[k][last];
    }
    return t->loop(&loop);
}

/* One tile through buffers, for the operands that need one. */
static int run_tile(const task *t, char *const *data, int64_t rows, int64_t columns) {
    _Alignas(64) char buffers[MG_MAX_OPERANDS][TILE * sizeof(double)];
    const int last = t->ndim - 1;
    mg_loop loop;
    mg_block result = {data[0], row_stride(t, 0), t->strides[0][last], t->dtype[0]}, computed;
    loop.rows = rows;
    loop.count = columns;
    if (t->numbers) memcpy(loop.numbers, t->numbers, sizeof loop.numbers);
    for (int k = 0; k < t->operands; k++) {
        const int64_t across = row_stride(t, k), along = t->strides[k][last];
        char *place = data[k];
        int64_t row_bytes = across * t->item[k];
        if (!t->direct[k]) {
            const int64_t width = along ? columns : 1;
            const mg_block to = {buffers[k], width, 1, t->loop_dtype[k]};
            place = buffers[k];
            row_bytes = width * mg_item_size(t->loop_dtype[k]);
            if (k > 0) {
                const mg_block from = {data[k], across, along, t->dtype[k]};
                mg_convert_block(&to, &from, rows, width);
            } else {
                computed = to;
            }
        }
        if (k == 0) {
            loop.out = place;
            loop.out_row = row_bytes;
        } else {
            loop.in[k - 1] = place;
            loop.in_row[k - 1] = row_bytes;
            loop.step[k - 1] = along != 0;
        }
    }
    const int status = t->loop(&loop);
    if (!t->direct[0]) mg_convert_block(&result, &computed, rows, columns);
    return status;
}

static int run_block(const task *t, char *const *data, int64_t rows, int64_t columns) {
    const int last = t->ndim - 1;
    if (!t->loop) {
        const mg_block to = {data[0], row_stride(t, 0), t->strides[0][last], t->dtype[0]};
        const mg_block from = {data[1], row_stride(t, 1), t->strides[1][last], t->dtype[1]};
        mg_convert_block(&to, &from, rows, columns);
        return MG_LOOP_DONE;
    }
    if (t->all_direct) return run_direct(t, data, rows, columns);
    /* Long rows where there is nothing to transpose, square tiles where there may be. */
    const int64_t wide = rows == 1 ? TILE : TILE_SIDE;
    const int64_t tile_columns = columns < wide ? columns : wide;
    const int64_t tile_rows = TILE / tile_columns;
    int status = MG_LOOP_DONE;
    for (int64_t row = 0; row < rows; row += tile_rows) {
        const int64_t row_count = rows - row < tile_rows ? rows - row : tile_rows;
        for (int64_t column = 0; column < columns; column += tile_columns) {
            const int64_t left = columns - column;
            char *part[MG_MAX_OPERANDS];
            for (int k = 0; k < t->operands; k++)
                part[k] =
                    data[k] + (row * row_stride(t, k) + column * t->strides[k][last]) * t->item[k];
            status |= run_tile(t, part, row_count, left < tile_columns ? left : tile_columns);
        }
    }
    return status;
}

/* Elements [begin, end) in the order of the walk: the rest of a row, whole rows, part of a row. */
static void run_piece(void *context, int64_t begin, int64_t end) {
    task *t = context;
    const int last = t->ndim - 1;
    const int64_t columns = t->shape[last];
    int status = MG_LOOP_DONE;
    while (begin < end) {
        char *data[MG_MAX_OPERANDS];
        int64_t index = begin, row_in_group = 0;
        for (int k = 0; k < t->operands; k++) data[k] = t->data[k];
        for (int d = last; d >= 0; d--) {
            const int64_t here = d > 0 ? index % t->shape[d] : index;
            index = d > 0 ? index / t->shape[d] : 0;
            if (d == last - 1) row_in_group = here;
            for (int k = 0; k < t->operands; k++) data[k] += here * t->strides[k][d] * t->item[k];
        }
        const int64_t column = begin % columns;
        int64_t rows = 1, count = columns - column;
        if (column > 0 || end - begin < columns) {
            if (count > end - begin) count = end - begin;
        } else if (last > 0) {
            rows = (end - begin) / columns;
            if (rows > t->shape[last - 1] - row_in_group) rows = t->shape[last - 1] - row_in_group;
        }
        status |= run_block(t, data, rows, count);
        begin += rows * count;
    }
    if (status) __atomic_store_n(&t->status, status, __ATOMIC_RELAXED);
}

static int run_task(task *t, mg_array *const *arrays, double nanoseconds) {
    t->status = MG_LOOP_DONE;
    t->size = arrays[0]->size;
    if (t->size == 0) return MG_LOOP_DONE;
    for (int k = 0; k < t->operands; k++) {
        t->data[k] = arrays[k]->data;
        t->dtype[k] = arrays[k]->dtype;
        t->item[k] = (int)mg_item_size(arrays[k]->dtype);
    }
    if (!flat_dimensions(t, arrays)) {
        collect_dimensions(t, arrays);
        join_dimensions(t);
    }
    choose_access(t);
    if (t->size <= PIECE) {
        if (t->ndim <= 2)
            return run_block(t, t->data, t->ndim == 2 ? t->shape[0] : 1, t->shape[t->ndim - 1]);
        run_piece(t, 0, t->size);
    } else {
        mg_parallel_for(t->size, PIECE, nanoseconds * (double)t->size, run_piece, t);
    }
    return t->status;
}

/* ---- kernels ---- */

/* On one core, operands in its second cache */
static double cost_nanoseconds(int cost) {
    return cost == MG_COST_LIGHT ? 0.15 : cost == MG_COST_HEAVY ? 0.6 : 8;
}

/* arrays: out, a; integers: operation, dtype in which it is computed */
int mg_run_unary(const mg_launch *launch) {
    const int op = (int)launch->integers[0], dtype = (int)launch->integers[1];
    const mg_operation *operation = &mg_unary_operations[op];
    task t;
    t.loop = mg_active_isa->elementwise.unary[dtype][op];
    if (!t.loop) t.loop = mg_scalar_unary(op, dtype);
    t.operands = 2;
    t.numbers = NULL;
    t.loop_dtype[0] = operation->result == MG_RESULT_BOOL ? MG_BOOL : dtype;
    t.loop_dtype[1] = dtype;
    run_task(&t, launch->arrays, cost_nanoseconds(operation->cost));
    return 0;
}

/* arrays: out, a, b; integers: operation, dtype in which it is computed */
int mg_run_binary(const mg_launch *launch) {
    const int op = (int)launch->integers[0], dtype = (int)launch->integers[1];
    const mg_operation *operation = &mg_binary_operations[op];
    const mg_array *b = launch->arrays[2];
    if (op == MG_BINARY_pow && !mg_is_float(dtype) && b->flags & MG_WEAK && b->dtype == MG_INT64 &&
        *(const int64_t *)b->data < 0)
        return mg_fail(MG_RUNTIME_ERROR, "Integers to negative integer powers are not allowed.");
    task t;
    t.loop = mg_active_isa->elementwise.binary[dtype][op];
    if (!t.loop) t.loop = mg_scalar_binary(op, dtype);
    t.operands = 3;
    t.numbers = NULL;
    t.loop_dtype[0] = operation->result == MG_RESULT_BOOL ? MG_BOOL : dtype;
    t.loop_dtype[1] = t.loop_dtype[2] = dtype;
    if (run_task(&t, launch->arrays, cost_nanoseconds(operation->cost)))
        return mg_fail(MG_RUNTIME_ERROR, "ZeroDivisionError: %s of integers by zero",
                       operation->name);
    return 0;
}

/* arrays: out, condition, a, b */
int mg_run_where(const mg_launch *launch) {
    const int dtype = launch->arrays[0]->dtype;
    task t;
    t.loop = mg_active_isa->elementwise.where[dtype];
    t.operands = 4;
    t.numbers = NULL;
    t.loop_dtype[0] = t.loop_dtype[2] = t.loop_dtype[3] = dtype;
    t.loop_dtype[1] = MG_BOOL;
    run_task(&t, launch->arrays, 0.3);
    return 0;
}

/* binary_cross_entropy refuses inputs outside of [0, 1], NaN included, as torch does. A sum is NaN
 * then, since the logarithm is: only such a sum is looked into. */
static int check_probabilities(const mg_array *input) {
    const double *wide = (const double *)input->data;
    const float *narrow = (const float *)input->data;
    for (int64_t i = 0; i < input->size; i++) {
        const double x = input->dtype == MG_FLOAT64 ? wide[i] : (double)narrow[i];
        if (!(x >= 0 && x <= 1))
            return mg_fail(MG_RUNTIME_ERROR,
                           "binary_cross_entropy: all elements of input should be between 0 and 1, "
                           "found %g; apply sigmoid first, or use binary_cross_entropy_with_logits",
                           x);
    }
    return 0;
}

/* arrays: out, one to three operands; integers: expression, dtype; scalars: p, q, r */
int mg_run_fused(const mg_launch *launch) {
    const int op = (int)launch->integers[0], dtype = (int)launch->integers[1];
    const mg_fused_row *row = &mg_fused_rows[op];
    task t;
    t.loop = mg_active_isa->elementwise.fused[dtype][op];
    t.operands = row->operands + 1;
    t.numbers = launch->scalars;
    if (op == MG_FUSED_binary_cross_entropy && mg_is_contiguous(launch->arrays[1]) &&
        mg_is_float(launch->arrays[1]->dtype) && check_probabilities(launch->arrays[1]))
        return -1;
    for (int k = 0; k < t.operands; k++) t.loop_dtype[k] = dtype;
    run_task(&t, launch->arrays, cost_nanoseconds(row->cost));
    return 0;
}

/* The sum of a fused expression: a piece goes through a buffer, a stretch at a time. */
enum { STRETCH = 1024 };

typedef struct summation {
    const mg_launch *launch;
    mg_loop_function loop;
    mg_reduce_rows sum;
    double *partials; /* one a piece */
} summation;

static void sum_piece(void *context, int64_t begin, int64_t end) {
    const summation *s = context;
    const mg_launch *launch = s->launch;
    _Alignas(64) char buffer[STRETCH * sizeof(double)];
    mg_loop loop = {.out = buffer, .rows = 1, .step = {1, 1, 1}};
    memcpy(loop.numbers, launch->scalars, sizeof loop.numbers);
    double total = 0;
    for (int64_t i = begin; i < end; i += STRETCH) {
        loop.count = end - i < STRETCH ? end - i : STRETCH;
        for (int k = 1; k < launch->count; k++)
            loop.in[k - 1] = launch->arrays[k]->data + i * mg_item_size(launch->arrays[k]->dtype);
        s->loop(&loop);
        mg_partial part;
        s->sum(buffer, 1, 0, loop.count, &part, NULL);
        total += part.real;
    }
    s->partials[begin / PIECE] = total;
}

/* arrays: out (0-d), one to three contiguous operands of one shape and dtype; integers: expression,
 * dtype; scalars: p, q, r and what the sum is multiplied by */
int mg_run_fused_sum(const mg_launch *launch) {
    const int op = (int)launch->integers[0], dtype = (int)launch->integers[1];
    const mg_array *input = launch->arrays[1];
    const int64_t pieces = (input->size + PIECE - 1) / PIECE;
    double few[8], total = 0;
    summation s = {launch, mg_active_isa->elementwise.fused[dtype][op],
                   mg_active_isa->reduce.rows[MG_REDUCE_SUM][dtype], few};
    if (pieces > 8) s.partials = mg_scratch(MG_SCRATCH_WORK, pieces * (int64_t)sizeof *few);
    if (!s.partials) return mg_fail(MG_MEMORY_ERROR, "out of memory in %s", mg_fused_rows[op].name);
    const double cost = cost_nanoseconds(mg_fused_rows[op].cost) * (double)input->size;
    if (pieces == 1)
        sum_piece(&s, 0, input->size);
    else
        mg_parallel_for(input->size, PIECE, cost, sum_piece, &s);
    for (int64_t piece = 0; piece < pieces; piece++) total += s.partials[piece];
    if (op == MG_FUSED_binary_cross_entropy && total != total && check_probabilities(input))
        return -1;
    total *= launch->scalars[3];
    if (dtype == MG_FLOAT64)
        *(double *)launch->arrays[0]->data = total;
    else
        *(float *)launch->arrays[0]->data = (float)total;
    return 0;
}

/* arrays: out, source */
int mg_run_copy(const mg_launch *launch) {
    task t;
    t.loop = NULL;
    t.operands = 2;
    t.numbers = NULL;
    t.loop_dtype[0] = launch->arrays[0]->dtype;
    t.loop_dtype[1] = launch->arrays[1]->dtype;
    run_task(&t, launch->arrays, cost_nanoseconds(MG_COST_LIGHT));
    return 0;
}

/* The value of a 0-d array. */
static void read_value(const mg_array *array, int dtype, void *value) {
    const mg_block from = {array->data, 0, 0, array->dtype}, to = {value, 0, 0, dtype};
    mg_convert_block(&to, &from, 1, 1);
}

/* arrays: out (contiguous), start, step. out[i] = start + i step, in float64 or int64 */
int mg_run_arange(const mg_launch *launch) {
    const mg_array *out = launch->arrays[0];
    enum { CHUNK = 256 };
    union {
        double real[CHUNK];
        int64_t integer[CHUNK];
    } values;
    union {
        double real;
        uint64_t integer; /* wraps around */
    } start, step;
    const int is_float = mg_is_float(out->dtype), wide = is_float ? MG_FLOAT64 : MG_INT64;
    const int64_t item = mg_item_size(out->dtype);
    read_value(launch->arrays[1], wide, &start);
    read_value(launch->arrays[2], wide, &step);
    for (int64_t done = 0; done < out->size; done += CHUNK) {
        const int64_t count = out->size - done < CHUNK ? out->size - done : CHUNK;
        for (int64_t i = 0; i < count; i++) {
            if (is_float)
                values.real[i] = start.real + (double)(done + i) * step.real;
            else
                values.integer[i] = (int64_t)(start.integer + (uint64_t)(done + i) * step.integer);
        }
        const mg_block from = {(char *)&values, 0, 1, wide};
        const mg_block to = {out->data + done * item, 0, 1, out->dtype};
        mg_convert_block(&to, &from, 1, count);
    }
    return 0;
}
