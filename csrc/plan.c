/* A plan: the launches of a computation in the order in which they ran, to be run again in one
 * call. It keeps every array that they use alive, so a replay reads and writes the same memory. */
#include "plan.h"

static __thread mg_plan *current;
static int64_t last_id; /* atomic */

mg_plan *mg_plan_current(void) { return current; }

int64_t mg_plan_current_id(void) { return current ? current->id : 0; }

int mg_is_recording(void) { return current != NULL; }

/* ---- recording ---- */

mg_plan *mg_plan_begin(void) {
    if (current) {
        mg_fail(MG_RUNTIME_ERROR, "a plan is already being recorded on this thread");
        return NULL;
    }
    mg_plan *plan = calloc(1, sizeof *plan);
    if (!plan) {
        mg_fail(MG_MEMORY_ERROR, "out of memory");
        return NULL;
    }
    plan->id = __atomic_add_fetch(&last_id, 1, __ATOMIC_RELAXED);
    return current = plan;
}

/* Whether the launch writes all of that output's memory without having read it. */
static int overwrites(const mg_launch *launch, int index, uint32_t in_place) {
    const mg_array *array = launch->arrays[index];
    if (index >= launch->outputs) return 0;
    int existed = in_place == MG_ALL_OUTPUTS || (index < 32 && in_place >> index & 1);
    if (!existed) return 1;
    switch (launch->kernel) {
    case MG_KERNEL_copy:
    case MG_KERNEL_random_uniform:
    case MG_KERNEL_random_normal:
    case MG_KERNEL_random_bernoulli:
    case MG_KERNEL_random_integers:
    case MG_KERNEL_random_permutation: break;
    default: return 0;
    }
    return mg_is_contiguous(array) &&
           array->size * mg_item_size(array->dtype) >= array->storage->bytes;
}

static int is_written(const mg_launch *launch, int index, uint32_t in_place) {
    return index < launch->outputs &&
           (in_place == MG_ALL_OUTPUTS || (index < 32 && in_place >> index & 1));
}

/* A launch that puts the present content of the storage back: in a call, what a function makes and
 * changes is made anew. A bare replay goes on with it, as with the state of an optimizer. */
static int append_restore(mg_plan *plan, mg_array *array) {
    int64_t bytes = array->storage->bytes;
    int64_t shape[1] = {bytes}, strides[1] = {1};
    mg_array bytewise = {.dtype = MG_UINT8, .storage = array->storage};
    mg_array *whole = mg_as_strided(&bytewise, 1, shape, strides, 0);
    mg_array *kept = whole ? mg_empty(MG_UINT8, 1, shape) : NULL;
    int status = -1;
    if (kept) {
        memcpy(kept->data, whole->data, (size_t)bytes);
        mg_array *arrays[2] = {whole, kept};
        mg_launch copy = {MG_KERNEL_copy, 1, 2, arrays, {0}, {0}};
        status = mg_plan_append(plan, &copy, MG_ALL_OUTPUTS, "restored constant");
        if (!status) plan->entries[plan->count - 1].restores = 1;
    }
    if (whole) mg_release(whole);
    if (kept) mg_release(kept);
    return status;
}

int mg_plan_prepare(mg_plan *plan, const mg_launch *launch, uint32_t in_place) {
    for (int i = 0; i < launch->count; i++) {
        mg_array *array = launch->arrays[i];
        if (!array || array->storage->plan != plan->id || !array->storage->bytes) continue;
        if (array->storage->known) {
            /* A constant of the host that is only now written to. */
            if (array->storage->known == MG_KNOWN_FILLED && is_written(launch, i, in_place)) {
                array->storage->known = MG_KNOWN_WRITTEN;
                if (append_restore(plan, array)) return -1;
            }
            continue;
        }
        array->storage->known =
            overwrites(launch, i, in_place) ? MG_KNOWN_WRITTEN : MG_KNOWN_FILLED;
        if (array->storage->known == MG_KNOWN_FILLED)
            i--; /* look again: it may be written right now */
    }
    return 0;
}

/* Elementwise entries leave the numbers that they do not use as they are on the stack. */
static void clear_unused(mg_launch *launch) {
    switch (launch->kernel) {
    case MG_KERNEL_unary:
    case MG_KERNEL_binary:
    case MG_KERNEL_where:
    case MG_KERNEL_copy:
    case MG_KERNEL_arange: memset(launch->scalars, 0, sizeof launch->scalars); break;
    case MG_KERNEL_fused:
        memset(launch->scalars + 3, 0, (MG_MAX_SCALARS - 3) * sizeof *launch->scalars);
        break;
    default: return;
    }
    memset(launch->integers + 2, 0, (MG_MAX_INTEGERS - 2) * sizeof *launch->integers);
}

int mg_plan_append(mg_plan *plan, const mg_launch *launch, uint32_t in_place, const char *writer) {
    if (plan->count == plan->capacity) {
        int64_t capacity = plan->capacity ? 2 * plan->capacity : 64;
        mg_plan_entry *entries = realloc(plan->entries, (size_t)capacity * sizeof *entries);
        if (!entries) return mg_fail(MG_MEMORY_ERROR, "out of memory while recording a plan");
        plan->entries = entries;
        plan->capacity = capacity;
    }
    mg_array **arrays = malloc((size_t)(launch->count ? launch->count : 1) * sizeof *arrays);
    if (!arrays) return mg_fail(MG_MEMORY_ERROR, "out of memory while recording a plan");
    for (int i = 0; i < launch->count; i++) {
        arrays[i] = launch->arrays[i];
        if (arrays[i]) mg_retain(arrays[i]);
    }
    mg_plan_entry *added = &plan->entries[plan->count];
    *added = (mg_plan_entry){*launch, in_place, writer, plan->count, 0, 0};
    plan->count++;
    added->launch.arrays = arrays;
    clear_unused(&added->launch);
    return 0;
}

int mg_plan_end(mg_plan *plan) {
    if (current != plan) return mg_fail(MG_RUNTIME_ERROR, "this plan is not being recorded");
    current = NULL;
    return 0;
}

int mg_plan_resume(mg_plan *plan) {
    if (current)
        return mg_fail(MG_RUNTIME_ERROR, "a plan is already being recorded on this thread");
    current = plan;
    return 0;
}

static void release_entry(mg_plan_entry *entry) {
    for (int a = 0; a < entry->launch.count; a++)
        if (entry->launch.arrays[a]) mg_release(entry->launch.arrays[a]);
    free(entry->launch.arrays);
}

void mg_plan_compact(mg_plan *plan) {
    int64_t kept = 0;
    for (int64_t i = 0; i < plan->count; i++) {
        if (plan->entries[i].dropped)
            release_entry(&plan->entries[i]);
        else
            plan->entries[kept++] = plan->entries[i];
    }
    plan->count = kept;
}

void mg_plan_truncate(mg_plan *plan, int64_t count) {
    while (plan->count > count) release_entry(&plan->entries[--plan->count]);
}

static void release_arrays(int count, mg_array **arrays) {
    for (int i = 0; i < count; i++) mg_release(arrays[i]);
    free(arrays);
}

void mg_plan_release(mg_plan *plan) {
    if (current == plan) current = NULL;
    mg_plan_truncate(plan, 0);
    release_arrays(plan->input_count, plan->inputs);
    release_arrays(plan->output_count, plan->outputs);
    free(plan->entries);
    free(plan);
}

/* ---- replay ---- */

int mg_plan_run_range(mg_plan *plan, int64_t begin, int64_t end) {
    if (current)
        return mg_fail(MG_RUNTIME_ERROR, "a plan cannot be replayed while one is being recorded");
    for (int64_t i = begin; i < end; i++) {
        mg_plan_entry *next = &plan->entries[i];
        if (next->restores && !plan->bound) continue;
        if (mg_launch_run(&next->launch, next->in_place, next->writer)) return -1;
    }
    return 0;
}

int mg_plan_replay(mg_plan *plan) { return mg_plan_run(plan); }

static mg_array **retained(int count, mg_array **arrays) {
    mg_array **kept = malloc((size_t)(count ? count : 1) * sizeof *kept);
    for (int i = 0; kept && i < count; i++) mg_retain(kept[i] = arrays[i]);
    return kept;
}

int mg_plan_bind(mg_plan *plan, int inputs, mg_array **input, int outputs, mg_array **output) {
    release_arrays(plan->input_count, plan->inputs);
    release_arrays(plan->output_count, plan->outputs);
    plan->input_count = plan->output_count = 0;
    plan->inputs = retained(inputs, input);
    plan->outputs = retained(outputs, output);
    if (!plan->inputs || !plan->outputs) return mg_fail(MG_MEMORY_ERROR, "out of memory");
    plan->input_count = inputs;
    plan->output_count = outputs;
    plan->bound = 1;
    return 0;
}

static int same_layout(const mg_array *a, const mg_array *b) {
    if (a->dtype != b->dtype || a->ndim != b->ndim) return 0;
    for (int d = 0; d < a->ndim; d++)
        if (a->shape[d] != b->shape[d] || (a->shape[d] > 1 && a->strides[d] != b->strides[d]))
            return 0;
    return 1;
}

static int copy_input(mg_array *into, mg_array *from) {
    if (into->data == from->data) return 0;
    if (mg_is_contiguous(into) && mg_is_contiguous(from)) {
        memcpy(into->data, from->data, (size_t)(into->size * mg_item_size(into->dtype)));
        return 0;
    }
    return mg_copy(into, from);
}

mg_array *mg_plan_copy(mg_array *from) {
    int64_t extent = 1, backwards = 0;
    for (int d = 0; d < from->ndim && from->size; d++) {
        extent += (from->shape[d] - 1) * from->strides[d];
        backwards |= from->strides[d] < 0;
    }
    if (mg_is_contiguous(from) || !from->size) {
        mg_array *copy = mg_empty_like(from, from->dtype);
        if (copy) memcpy(copy->data, from->data, (size_t)(from->size * mg_item_size(from->dtype)));
        return copy;
    }
    if (backwards || extent > 2 * from->size) return mg_cast(from, from->dtype);
    mg_array *memory = mg_empty(from->dtype, 1, &extent);
    if (!memory) return NULL;
    memcpy(memory->data, from->data, (size_t)(extent * mg_item_size(from->dtype)));
    mg_array *copy = mg_as_strided(memory, from->ndim, from->shape, from->strides, 0);
    mg_release(memory);
    return copy;
}

/* How often the memory of the inputs was written. */
static int64_t writes_to(int inputs, mg_array **input) {
    int64_t sum = 0;
    for (int i = 0; i < inputs; i++) sum += input[i]->storage->version;
    return sum;
}

int mg_plan_call(mg_plan *plan, int inputs, mg_array **input, mg_array **output) {
    if (inputs != plan->input_count) return 1;
    for (int i = 0; i < inputs; i++)
        if (!same_layout(plan->inputs[i], input[i])) return 1;
    const int64_t writes = writes_to(inputs, input);
    int status = 0, made = 0;
    for (int i = 0; i < inputs && !status; i++) status = copy_input(plan->inputs[i], input[i]);
    if (!status) status = mg_plan_run(plan);
    /* It read copies, which did not follow what it wrote to the memory of their originals. */
    if (!status && writes_to(inputs, input) != writes)
        status = mg_fail(MG_RUNTIME_ERROR,
                         "compile: an argument shows memory that the function writes to by another "
                         "tensor, so the call went wrong. Pass a clone() of it");
    for (; !status && made < plan->output_count; made++) {
        output[made] = mg_plan_copy(plan->outputs[made]);
        if (!output[made]) status = -1;
    }
    if (status)
        while (made-- > 0)
            if (output[made]) mg_release(output[made]);
    return status;
}

typedef struct profile {
    mg_plan *plan;
    double *seconds;
} profile;

static int run_profile(void *context) {
    const profile *of = context;
    int status = 0;
    for (int64_t i = 0; i < of->plan->count && !status; i++) {
        double begin = mg_seconds_now();
        status = mg_plan_run_range(of->plan, i, i + 1);
        of->seconds[i] = mg_seconds_now() - begin;
    }
    return status;
}

int mg_plan_profile(mg_plan *plan, double *seconds) {
    profile of = {plan, seconds};
    return mg_plan_on_threads(plan, run_profile, &of);
}

/* ---- what is in it ---- */

int64_t mg_plan_length(mg_plan *plan) { return plan->count; }

static mg_plan_entry *entry_at(mg_plan *plan, int64_t index) {
    return index < 0 || index >= plan->count ? NULL : &plan->entries[index];
}

const char *mg_plan_kernel(mg_plan *plan, int64_t index) {
    mg_plan_entry *entry = entry_at(plan, index);
    return entry ? mg_kernel_name(entry->launch.kernel) : NULL;
}

int mg_plan_array_count(mg_plan *plan, int64_t index, int *outputs) {
    mg_plan_entry *entry = entry_at(plan, index);
    if (!entry) return 0;
    *outputs = entry->launch.outputs;
    return entry->launch.count;
}

mg_array *mg_plan_array(mg_plan *plan, int64_t index, int position) {
    mg_plan_entry *entry = entry_at(plan, index);
    return entry && position < entry->launch.count ? entry->launch.arrays[position] : NULL;
}

int64_t mg_plan_integer(mg_plan *plan, int64_t index, int position) {
    mg_plan_entry *entry = entry_at(plan, index);
    return entry && position < MG_MAX_INTEGERS ? entry->launch.integers[position] : 0;
}

void mg_plan_bytes(mg_plan *plan, int64_t *arena, int64_t *peak) {
    *arena = plan->bytes;
    *peak = plan->peak_bytes;
}
