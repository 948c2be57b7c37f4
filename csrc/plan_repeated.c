/* Launches that compute again what a launch before has computed from the same memory, unchanged
 * since then: a copy of a transposed input in the forward and the backward pass, say. The later
 * result becomes the earlier one. */
#include "plan.h"

typedef struct table {
    int64_t *slot; /* launch + 1, 0: free */
    uint64_t mask;
} table;

static const mg_plan_life *root(const mg_plan_life *life) {
    while (life->into) life = life->into;
    return life;
}

static uint64_t mixed(uint64_t hash, uint64_t value) {
    hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 29;
}

static uint64_t hash_of(const mg_plan_lives *lives, const mg_launch *launch) {
    uint64_t hash = (uint64_t)launch->kernel;
    for (int a = launch->outputs; a < launch->count; a++) {
        const mg_array *array = launch->arrays[a];
        if (!array) continue;
        hash = mixed(hash, (uint64_t)(uintptr_t)root(mg_plan_life_of(lives, array->storage)));
        hash = mixed(hash, (uint64_t)array->offset);
    }
    return mixed(hash, (uint64_t)launch->integers[0]);
}

static int same_view(const mg_array *a, const mg_array *b) {
    if (a->dtype != b->dtype || a->ndim != b->ndim || a->offset != b->offset ||
        (a->flags ^ b->flags) & (MG_CONTIGUOUS | MG_WEAK))
        return 0;
    for (int d = 0; d < a->ndim; d++)
        if (a->shape[d] != b->shape[d] || a->strides[d] != b->strides[d]) return 0;
    return 1;
}

static int same_launch(const mg_plan_lives *lives, const mg_plan_entry *first, int64_t at,
                       const mg_plan_entry *second) {
    const mg_launch *a = &first->launch, *b = &second->launch;
    if (a->kernel != b->kernel || a->outputs != b->outputs || a->count != b->count ||
        memcmp(a->integers, b->integers, sizeof a->integers) ||
        memcmp(a->scalars, b->scalars, sizeof a->scalars))
        return 0;
    for (int i = 0; i < a->count; i++) {
        if (!a->arrays[i] || !b->arrays[i]) {
            if (a->arrays[i] || b->arrays[i]) return 0;
            continue;
        }
        if (!same_view(a->arrays[i], b->arrays[i])) return 0;
        if (i < a->outputs) continue;
        const mg_plan_life *left = root(mg_plan_life_of(lives, a->arrays[i]->storage));
        const mg_plan_life *right = root(mg_plan_life_of(lives, b->arrays[i]->storage));
        if (left != right || left->written >= at) return 0;
    }
    return 1;
}

/* Results in memory that the plan alone sees, made and written by this launch alone. */
static int has_results_of_its_own(const mg_plan_lives *lives, const mg_plan_entry *entry,
                                  int64_t index) {
    if (entry->in_place || !entry->launch.outputs || entry->launch.kernel == MG_KERNEL_host)
        return 0;
    for (int a = 0; a < entry->launch.outputs; a++) {
        const mg_array *array = entry->launch.arrays[a];
        if (!array) continue;
        const mg_plan_life *life = mg_plan_life_of(lives, array->storage);
        if (life->shared || life->constant || life->first != index || life->last_write != index)
            return 0;
    }
    return 1;
}

/* The launch before that this one repeats, or -1; remembers this one otherwise. */
static int64_t find(const mg_plan *plan, const mg_plan_lives *lives, table *known, int64_t index) {
    uint64_t at = hash_of(lives, &plan->entries[index].launch) & known->mask;
    for (; known->slot[at]; at = (at + 1) & known->mask) {
        const int64_t first = known->slot[at] - 1;
        if (same_launch(lives, &plan->entries[first], first, &plan->entries[index])) return first;
    }
    known->slot[at] = index + 1;
    return -1;
}

static void replace(mg_plan *plan, mg_plan_lives *lives, int64_t first, int64_t second) {
    const mg_launch *kept = &plan->entries[first].launch, *gone = &plan->entries[second].launch;
    plan->entries[second].dropped = 1;
    for (int a = 0; a < kept->outputs; a++)
        if (gone->arrays[a])
            mg_plan_life_of(lives, gone->arrays[a]->storage)->into =
                mg_plan_life_of(lives, kept->arrays[a]->storage);
}

int mg_plan_drop_repeated(mg_plan *plan) {
    mg_plan_lives lives;
    if (mg_plan_find_lives(plan, &lives)) return -1;
    table known = {.mask = 63};
    while (known.mask < 2 * (uint64_t)plan->count) known.mask = 2 * known.mask + 1;
    known.slot = calloc(known.mask + 1, sizeof *known.slot);
    if (!known.slot) {
        mg_plan_free_lives(&lives);
        return mg_fail(MG_MEMORY_ERROR, "out of memory while preparing a plan");
    }
    for (int64_t i = 0; i < lives.count; i++) lives.life[i].written = -1;
    for (int64_t i = 0; i < plan->count; i++) {
        const mg_plan_entry *entry = &plan->entries[i];
        const int64_t first =
            has_results_of_its_own(&lives, entry, i) ? find(plan, &lives, &known, i) : -1;
        if (first >= 0) {
            replace(plan, &lives, first, i);
            continue;
        }
        for (int a = 0; a < entry->launch.outputs; a++)
            if (entry->launch.arrays[a])
                mg_plan_life_of(&lives, entry->launch.arrays[a]->storage)->written = i;
    }
    mg_plan_merge(&lives);
    mg_plan_free_lives(&lives);
    free(known.slot);
    mg_plan_compact(plan);
    return 0;
}
