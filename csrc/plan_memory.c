/* The memory of a plan. While a plan is recorded it keeps every array alive, so that each result
 * has memory of its own. Afterwards the life of each is known: from the launch that first writes it
 * to the last that uses it. What only the plan uses then moves into one block, in which memory is
 * shared by results that do not live at the same time.
 *
 * The places are found largest first, each at the lowest offset that is free during its life: the
 * greedy-by-size rule of Pisarchyk and Lee, 2020, "Efficient Memory Management for Deep Neural Net
 * Inference". */
#include "plan.h"

static int by_size(const void *a, const void *b) {
    const mg_plan_life *x = *(mg_plan_life *const *)a, *y = *(mg_plan_life *const *)b;
    if (x->bytes != y->bytes) return x->bytes > y->bytes ? -1 : 1;
    return x->first < y->first ? -1 : x->first > y->first;
}

static int overlap(const mg_plan_life *a, const mg_plan_life *b) {
    return a->first <= b->last && b->first <= a->last;
}

/* Offsets for lives that are sorted by size; the size of the block that holds them. */
static int64_t place(mg_plan_life *const *lives, int64_t count) {
    int64_t total = 0;
    for (int64_t i = 0; i < count; i++) {
        int64_t offset = 0;
        for (int again = 1; again;) { /* the lowest place without a neighbour of the same time */
            again = 0;
            for (int64_t j = 0; j < i; j++) {
                if (!overlap(lives[i], lives[j])) continue;
                if (offset < lives[j]->offset + lives[j]->bytes &&
                    lives[j]->offset < offset + lives[i]->bytes) {
                    offset = lives[j]->offset + lives[j]->bytes;
                    again = 1;
                }
            }
        }
        lives[i]->offset = offset;
        if (offset + lives[i]->bytes > total) total = offset + lives[i]->bytes;
    }
    return total;
}

static int64_t peak_of(mg_plan_life *const *lives, int64_t count, int64_t launches) {
    int64_t peak = 0;
    int64_t *change = calloc((size_t)launches + 3, sizeof *change);
    if (!change) return 0;
    for (int64_t i = 0; i < count; i++) {
        change[lives[i]->first + 1] += lives[i]->bytes;
        change[lives[i]->last + 2] -= lives[i]->bytes;
    }
    int64_t live = 0;
    for (int64_t i = 0; i < launches + 3; i++) {
        live += change[i];
        if (live > peak) peak = live;
    }
    free(change);
    return peak;
}

/* Versions matter for memory that somebody else sees: there every write of a replay is in place. */
static void mark_writes(mg_plan *plan, const mg_storage *block) {
    for (int64_t i = 0; i < plan->count; i++) {
        mg_plan_entry *entry = &plan->entries[i];
        uint32_t seen = 0;
        int all = entry->launch.outputs > 0;
        for (int a = 0; a < entry->launch.outputs; a++) {
            const mg_array *array = entry->launch.arrays[a];
            int internal = !array || (block && array->storage == block);
            if (!internal && a < 32) seen |= 1u << a;
            if (internal) all = 0;
        }
        if (entry->launch.outputs <= 32)
            entry->in_place = seen;
        else if (all)
            entry->in_place = MG_ALL_OUTPUTS;
    }
}

int mg_plan_pack(mg_plan *plan) {
    int64_t moved = 0;
    mg_plan_lives lives;
    if (mg_plan_find_lives(plan, &lives)) return -1;
    mg_plan_life **movable = malloc((size_t)(lives.count + 1) * sizeof *movable);
    if (!movable) {
        mg_plan_free_lives(&lives);
        return mg_fail(MG_MEMORY_ERROR, "out of memory while packing a plan");
    }
    for (int64_t i = 0; i < lives.count; i++) {
        mg_plan_life *life = &lives.life[i];
        if (!life->shared && !life->constant && life->bytes) movable[moved++] = life;
    }
    qsort(movable, (size_t)moved, sizeof *movable, by_size);
    plan->bytes = place(movable, moved);
    plan->peak_bytes = peak_of(movable, moved, plan->count);
    mg_storage *block = plan->bytes ? mg_storage_new(plan->bytes) : NULL;
    int status = plan->bytes && !block ? -1 : 0;
    if (block) block->known = MG_KNOWN_SHARED;
    for (int64_t i = 0; block && i < lives.array_count; i++) {
        mg_array *array = lives.arrays[i];
        const mg_plan_life *life = mg_plan_life_of(&lives, array->storage);
        if (life->offset >= 0) mg_plan_move(array, block, life->offset);
    }
    if (!status) mark_writes(plan, block);
    if (block) mg_storage_release(block);
    free(movable);
    mg_plan_free_lives(&lives);
    return status;
}

void mg_plan_poison(mg_plan *plan) {
    for (int64_t i = 0; i < plan->count; i++) {
        const mg_launch *launch = &plan->entries[i].launch;
        for (int a = 0; a < launch->count; a++) {
            const mg_array *array = launch->arrays[a];
            if (!array || array->storage->known != MG_KNOWN_SHARED) continue;
            memset(array->storage->data, 0xff, (size_t)array->storage->bytes);
            return; /* there is one such block */
        }
    }
}
