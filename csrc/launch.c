/* The one door through which everything computes: a launch runs, and is noted where a plan is being
 * recorded. Operators, layers and optimizers do not know about recording. */
#include "core.h"
#include "plan.h"

#define KERNEL(name, source, dtypes) int mg_run_##name(const mg_launch *launch);
#include "kernels.def"
#undef KERNEL

static const mg_kernel kernels[MG_KERNEL_COUNT] = {
#define KERNEL(kernel_name, source, dtypes) {#kernel_name, mg_run_##kernel_name},
#include "kernels.def"
#undef KERNEL
};

int mg_kernel_count(void) { return MG_KERNEL_COUNT; }

const char *mg_kernel_name(int index) {
    return index >= 0 && index < MG_KERNEL_COUNT ? kernels[index].name : NULL;
}

/* Counts in-place writes in the whole process. A node that saves tensors notes the clock; memory
 * with a later stamp was changed since (minigrad/autograd/engine.py). */
static int64_t clock_value;

int64_t *mg_clock(void) { return &clock_value; }

int64_t mg_touch(mg_array *array, const char *writer) {
    mg_storage *storage = array->storage;
    storage->stamp = __atomic_add_fetch(&clock_value, 1, __ATOMIC_RELAXED);
    storage->last_writer = writer;
    return ++storage->version;
}

int64_t mg_version(mg_array *array) { return array->storage->version; }

int64_t mg_stamp(mg_array *array) { return array->storage->stamp; }

const char *mg_last_writer(mg_array *array) { return array->storage->last_writer; }

/* As mg_touch for each, but the clock, which all threads share, advances once: a step of an
 * optimizer writes to dozens of arrays. */
static void touch_outputs(const mg_launch *launch, uint32_t in_place, const char *writer) {
    int64_t stamp = __atomic_add_fetch(&clock_value, launch->outputs, __ATOMIC_RELAXED);
    for (int i = 0; i < launch->outputs; i++) {
        int written = in_place == MG_ALL_OUTPUTS || (i < 32 && in_place >> i & 1);
        if (!written || !launch->arrays[i]) continue;
        mg_storage *storage = launch->arrays[i]->storage;
        storage->stamp = stamp;
        storage->last_writer = writer;
        storage->version++;
    }
}

int mg_launch_run(const mg_launch *launch, uint32_t in_place, const char *writer) {
    if (in_place) touch_outputs(launch, in_place, writer);
    return kernels[launch->kernel].run(launch);
}

int mg_submit(const mg_launch *launch, uint32_t in_place, const char *writer) {
    mg_plan *plan = mg_plan_current();
    if (plan && mg_plan_prepare(plan, launch, in_place)) return -1;
    if (mg_launch_run(launch, in_place, writer)) return -1;
    return plan ? mg_plan_append(plan, launch, in_place, writer) : 0;
}
