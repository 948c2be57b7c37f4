/* The memory of a plan. While a plan is recorded it keeps every array alive, so that each result
 * has memory of its own. Afterwards the life of each is known: from the launch that first writes it
 * to the last that uses it. What only the plan uses then moves into one block, in which memory is
 * shared by results that do not live at the same time.
 *
 * The places are found largest first, each at the lowest offset that is free during its life: the
 * greedy-by-size rule of Pisarchyk and Lee, 2020, "Efficient Memory Management for Deep Neural Net
 * Inference". */
#include "plan.h"

typedef struct life {
    mg_storage *storage;
    int64_t first, last; /* launches */
    int64_t bytes, offset;
    int64_t plan_arrays; /* arrays of the plan that show it */
    int constant;        /* read before a launch has written it: filled by the host */
    int shared;          /* somebody else sees it */
} life;

typedef struct use {
    mg_array *array;
    int64_t references; /* by the plan */
    int64_t first, last;
    int written; /* by the first launch that uses it */
} use;

static int by_array(const void *a, const void *b) {
    uintptr_t x = (uintptr_t)((const use *)a)->array, y = (uintptr_t)((const use *)b)->array;
    return x < y ? -1 : x > y;
}

static int by_storage(const void *a, const void *b) {
    const mg_array *p = ((const use *)a)->array, *q = ((const use *)b)->array;
    uintptr_t x = (uintptr_t)p->storage, y = (uintptr_t)q->storage;
    return x < y ? -1 : x > y;
}

static int by_size(const void *a, const void *b) {
    const life *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes > y->bytes ? -1 : 1;
    return x->first < y->first ? -1 : x->first > y->first;
}

/* Every array of the plan once, with the launches that use it; -1 stands for the inputs of a call,
 * `count` for its outputs. */
static use *find_uses(const mg_plan *plan, int64_t *found) {
    int64_t total = plan->input_count + plan->output_count;
    for (int64_t i = 0; i < plan->count; i++) total += plan->entries[i].launch.count;
    use *uses = malloc((size_t)(total + 1) * sizeof *uses);
    if (!uses) return NULL;
    int64_t n = 0;
    for (int i = 0; i < plan->input_count; i++) uses[n++] = (use){plan->inputs[i], 1, -1, -1, 1};
    for (int64_t i = 0; i < plan->count; i++) {
        const mg_launch *launch = &plan->entries[i].launch;
        for (int a = 0; a < launch->count; a++)
            if (launch->arrays[a])
                uses[n++] = (use){launch->arrays[a], 1, i, i, a < launch->outputs};
    }
    for (int i = 0; i < plan->output_count; i++)
        uses[n++] = (use){plan->outputs[i], 1, plan->count, plan->count, 0};
    qsort(uses, (size_t)n, sizeof *uses, by_array);
    int64_t kept = 0;
    for (int64_t i = 0; i < n; i++) {
        if (kept && uses[kept - 1].array == uses[i].array) {
            use *same = &uses[kept - 1];
            same->references++;
            if (uses[i].first < same->first) {
                same->first = uses[i].first;
                same->written = uses[i].written;
            } else if (uses[i].first == same->first) {
                same->written |= uses[i].written;
            }
            if (uses[i].last > same->last) same->last = uses[i].last;
        } else {
            uses[kept++] = uses[i];
        }
    }
    *found = kept;
    return uses;
}

/* The lives of the storages behind the uses, which are sorted by storage. */
static int64_t find_lives(const mg_plan *plan, use *uses, int64_t count, life *lives) {
    int64_t n = 0;
    for (int64_t i = 0; i < count; i++) {
        mg_array *array = uses[i].array;
        if (!n || lives[n - 1].storage != array->storage) {
            int64_t bytes =
                (array->storage->bytes + MG_ALIGNMENT - 1) / MG_ALIGNMENT * MG_ALIGNMENT;
            lives[n++] = (life){.storage = array->storage,
                                .first = INT64_MAX,
                                .last = -1,
                                .bytes = bytes,
                                .offset = -1,
                                .shared = array->storage->plan != plan->id ||
                                          array->storage->size_class < 0};
        }
        life *own = &lives[n - 1];
        if (uses[i].first < own->first || (uses[i].first == own->first && uses[i].written)) {
            own->first = uses[i].first;
            own->constant = !uses[i].written;
        }
        if (uses[i].last > own->last) own->last = uses[i].last;
        own->plan_arrays++;
        int64_t references = __atomic_load_n(&array->references, __ATOMIC_RELAXED);
        if (references != uses[i].references) own->shared = 1;
    }
    for (int64_t i = 0; i < n; i++) {
        int64_t references = __atomic_load_n(&lives[i].storage->references, __ATOMIC_RELAXED);
        if (references != lives[i].plan_arrays) lives[i].shared = 1;
    }
    return n;
}

static int overlap(const life *a, const life *b) {
    return a->first <= b->last && b->first <= a->last;
}

/* Offsets for lives that are sorted by size; the size of the block that holds them. */
static int64_t place(life *lives, int64_t count) {
    int64_t total = 0;
    for (int64_t i = 0; i < count; i++) {
        int64_t offset = 0;
        for (int again = 1; again;) { /* the lowest place without a neighbour of the same time */
            again = 0;
            for (int64_t j = 0; j < i; j++) {
                if (!overlap(&lives[i], &lives[j])) continue;
                if (offset < lives[j].offset + lives[j].bytes &&
                    lives[j].offset < offset + lives[i].bytes) {
                    offset = lives[j].offset + lives[j].bytes;
                    again = 1;
                }
            }
        }
        lives[i].offset = offset;
        if (offset + lives[i].bytes > total) total = offset + lives[i].bytes;
    }
    return total;
}

static int64_t peak_of(const life *lives, int64_t count, int64_t launches) {
    int64_t peak = 0;
    int64_t *change = calloc((size_t)launches + 3, sizeof *change);
    if (!change) return 0;
    for (int64_t i = 0; i < count; i++) {
        change[lives[i].first + 1] += lives[i].bytes;
        change[lives[i].last + 2] -= lives[i].bytes;
    }
    int64_t live = 0;
    for (int64_t i = 0; i < launches + 3; i++) {
        live += change[i];
        if (live > peak) peak = live;
    }
    free(change);
    return peak;
}

static life *life_of(life *lives, int64_t count, const mg_storage *storage) {
    for (int64_t i = 0; i < count; i++)
        if (lives[i].storage == storage) return &lives[i];
    return NULL;
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
    int64_t arrays = 0, storages, moved = 0;
    use *uses = find_uses(plan, &arrays);
    life *lives = malloc((size_t)(arrays + 1) * sizeof *lives);
    if (!uses || !lives) {
        free(uses);
        free(lives);
        return mg_fail(MG_MEMORY_ERROR, "out of memory while packing a plan");
    }
    qsort(uses, (size_t)arrays, sizeof *uses, by_storage);
    storages = find_lives(plan, uses, arrays, lives);
    for (int64_t i = 0; i < storages; i++)
        if (!lives[i].shared && !lives[i].constant && lives[i].bytes) lives[moved++] = lives[i];
    qsort(lives, (size_t)moved, sizeof *lives, by_size);
    plan->bytes = place(lives, moved);
    plan->peak_bytes = peak_of(lives, moved, plan->count);
    mg_storage *block = plan->bytes ? mg_storage_new(plan->bytes) : NULL;
    int status = plan->bytes && !block ? -1 : 0;
    for (int64_t i = 0; block && i < arrays; i++) {
        mg_array *array = uses[i].array;
        const life *own = life_of(lives, moved, array->storage);
        if (!own) continue;
        mg_storage *old = array->storage;
        mg_storage_retain(block);
        array->storage = block;
        array->offset += own->offset / mg_item_size(array->dtype);
        array->data = block->data + array->offset * mg_item_size(array->dtype);
        mg_storage_release(old);
    }
    if (!status) mark_writes(plan, block);
    if (block) mg_storage_release(block);
    free(uses);
    free(lives);
    return status;
}
