/* A plan: the launches of a computation in the order in which they ran, to be run again in one
 * call. It keeps every array that they use alive, so a replay reads and writes the same memory. */
#include "plan.h"

typedef struct entry {
    mg_launch launch; /* its array of operands is the plan's own copy */
    uint32_t in_place;
    const char *writer;
} entry;

struct mg_plan {
    entry *entries;
    int64_t count, capacity;
};

static __thread mg_plan *current;

mg_plan *mg_plan_current(void) { return current; }

int mg_is_recording(void) { return current != NULL; }

mg_plan *mg_plan_begin(void) {
    if (current) {
        mg_fail(MG_RUNTIME_ERROR, "a plan is already being recorded on this thread");
        return NULL;
    }
    mg_plan *plan = calloc(1, sizeof *plan);
    if (!plan) mg_fail(MG_MEMORY_ERROR, "out of memory");
    current = plan;
    return plan;
}

int mg_plan_append(mg_plan *plan, const mg_launch *launch, uint32_t in_place, const char *writer) {
    if (plan->count == plan->capacity) {
        int64_t capacity = plan->capacity ? 2 * plan->capacity : 64;
        entry *entries = realloc(plan->entries, (size_t)capacity * sizeof *entries);
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
    entry *added = &plan->entries[plan->count++];
    *added = (entry){*launch, in_place, writer};
    added->launch.arrays = arrays;
    return 0;
}

int mg_plan_end(mg_plan *plan) {
    if (current != plan) return mg_fail(MG_RUNTIME_ERROR, "this plan is not being recorded");
    current = NULL;
    return 0;
}

int mg_plan_replay(mg_plan *plan) {
    if (current)
        return mg_fail(MG_RUNTIME_ERROR, "a plan cannot be replayed while one is being recorded");
    for (int64_t i = 0; i < plan->count; i++) {
        entry *next = &plan->entries[i];
        if (mg_launch_run(&next->launch, next->in_place, next->writer)) return -1;
    }
    return 0;
}

void mg_plan_release(mg_plan *plan) {
    if (current == plan) current = NULL;
    for (int64_t i = 0; i < plan->count; i++) {
        mg_launch *launch = &plan->entries[i].launch;
        for (int a = 0; a < launch->count; a++)
            if (launch->arrays[a]) mg_release(launch->arrays[a]);
        free(launch->arrays);
    }
    free(plan->entries);
    free(plan);
}

int64_t mg_plan_length(mg_plan *plan) { return plan->count; }

const char *mg_plan_kernel(mg_plan *plan, int64_t index) {
    if (index < 0 || index >= plan->count) return NULL;
    return mg_kernel_name(plan->entries[index].launch.kernel);
}
