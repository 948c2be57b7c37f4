/* What a plan does with each memory: which launches read and write it, and whether anybody else
 * sees it. The passes (plan_optimize.c) and the memory planner (plan_memory.c) decide by it. */
#include "plan.h"

/* One place of the plan that holds an array. */
typedef struct use {
    mg_array *array;
    int64_t launch; /* -1: an input of a call, the number of launches: an output */
    int reads, writes;
} use;

int mg_plan_writes(const mg_plan_entry *entry, int index) { return index < entry->launch.outputs; }

static int existed(const mg_plan_entry *entry, int index) {
    return entry->in_place == MG_ALL_OUTPUTS || (index < 32 && entry->in_place >> index & 1);
}

/* Results that existed before count as read, except by a copy. */
int mg_plan_reads(const mg_plan_entry *entry, int index) {
    return index >= entry->launch.outputs ||
           (existed(entry, index) && entry->launch.kernel != MG_KERNEL_copy);
}

static int by_storage_and_launch(const void *a, const void *b) {
    const use *p = a, *q = b;
    uintptr_t x = (uintptr_t)p->array->storage, y = (uintptr_t)q->array->storage;
    if (x != y) return x < y ? -1 : 1;
    return p->launch < q->launch ? -1 : p->launch > q->launch;
}

static int by_array(const void *a, const void *b) {
    uintptr_t x = (uintptr_t)*(mg_array *const *)a, y = (uintptr_t)*(mg_array *const *)b;
    return x < y ? -1 : x > y;
}

static use *find_uses(const mg_plan *plan, int64_t *count) {
    int64_t n = 0, total = plan->input_count + plan->output_count;
    for (int64_t i = 0; i < plan->count; i++) total += plan->entries[i].launch.count;
    use *uses = malloc((size_t)(total + 1) * sizeof *uses);
    if (!uses) return NULL;
    for (int i = 0; i < plan->input_count; i++) uses[n++] = (use){plan->inputs[i], -1, 0, 1};
    for (int64_t i = 0; i < plan->count; i++) {
        const mg_plan_entry *entry = &plan->entries[i];
        for (int a = 0; a < entry->launch.count; a++)
            if (entry->launch.arrays[a])
                uses[n++] = (use){entry->launch.arrays[a], i, mg_plan_reads(entry, a),
                                  mg_plan_writes(entry, a)};
    }
    for (int i = 0; i < plan->output_count; i++)
        uses[n++] = (use){plan->outputs[i], plan->count, 1, 0};
    *count = n;
    return uses;
}

static mg_plan_life new_life(const mg_plan *plan, mg_storage *storage) {
    return (mg_plan_life){
        .storage = storage,
        .first = INT64_MAX,
        .last = -1,
        .first_read = INT64_MAX,
        .last_write = -2,
        .bytes = (storage->bytes + MG_ALIGNMENT - 1) / MG_ALIGNMENT * MG_ALIGNMENT,
        .offset = -1,
        .shared = storage->plan != plan->id || storage->size_class < 0,
        .constant = storage->known == MG_KNOWN_RESULT,
    };
}

/* Uses of one storage, in the order of the launches. */
static void describe(mg_plan_life *life, const use *uses, int64_t count) {
    int written_first = 0;
    for (int64_t i = 0; i < count; i++) {
        const use *each = &uses[i];
        life->launches += i == 0 || each->launch != life->last;
        if (i == 0) life->first = each->launch;
        life->last = each->launch;
        if (each->reads && life->first_read == INT64_MAX) life->first_read = each->launch;
        if (each->writes) life->last_write = each->launch;
        if (each->writes && each->launch == life->first) written_first = 1;
    }
    if (!written_first) life->constant = 1;
}

/* Every array once, with how often the plan holds it. An array or a storage with more references
 * than that belongs to somebody else too. */
static void find_shared(mg_plan_lives *lives) {
    int64_t kept = 0;
    qsort(lives->arrays, (size_t)lives->array_count, sizeof *lives->arrays, by_array);
    for (int64_t i = 0, next; i < lives->array_count; i = next) {
        mg_array *array = lives->arrays[i];
        for (next = i + 1; next < lives->array_count && lives->arrays[next] == array;) next++;
        mg_plan_life *life = mg_plan_life_of(lives, array->storage);
        life->number = (life->arrays == 0 || life->number) && array->flags & MG_WEAK;
        life->arrays++;
        if (__atomic_load_n(&array->references, __ATOMIC_RELAXED) != next - i) life->shared = 1;
        lives->arrays[kept++] = array;
    }
    lives->array_count = kept;
    for (int64_t i = 0; i < lives->count; i++) {
        mg_plan_life *life = &lives->life[i];
        int64_t references = __atomic_load_n(&life->storage->references, __ATOMIC_RELAXED);
        if (references != life->arrays) life->shared = 1;
    }
}

int mg_plan_find_lives(const mg_plan *plan, mg_plan_lives *lives) {
    int64_t count = 0;
    use *uses = find_uses(plan, &count);
    *lives = (mg_plan_lives){.array_count = count};
    lives->life = malloc((size_t)(count + 1) * sizeof *lives->life);
    lives->arrays = malloc((size_t)(count + 1) * sizeof *lives->arrays);
    if (!uses || !lives->life || !lives->arrays) {
        free(uses);
        mg_plan_free_lives(lives);
        return mg_fail(MG_MEMORY_ERROR, "out of memory while preparing a plan");
    }
    for (int64_t i = 0; i < count; i++) lives->arrays[i] = uses[i].array;
    qsort(uses, (size_t)count, sizeof *uses, by_storage_and_launch);
    for (int64_t i = 0, next; i < count; i = next) {
        mg_storage *storage = uses[i].array->storage;
        for (next = i + 1; next < count && uses[next].array->storage == storage;) next++;
        mg_plan_life *life = &lives->life[lives->count++];
        *life = new_life(plan, storage);
        describe(life, uses + i, next - i);
    }
    free(uses);
    find_shared(lives);
    return 0;
}

void mg_plan_free_lives(mg_plan_lives *lives) {
    free(lives->life);
    free(lives->arrays);
    *lives = (mg_plan_lives){0};
}

mg_plan_life *mg_plan_life_of(const mg_plan_lives *lives, const mg_storage *storage) {
    int64_t low = 0, high = lives->count - 1;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if ((uintptr_t)lives->life[middle].storage < (uintptr_t)storage)
            low = middle + 1;
        else
            high = middle;
    }
    return &lives->life[low];
}

void mg_plan_move(mg_array *array, mg_storage *to, int64_t bytes) {
    mg_storage *old = array->storage;
    mg_storage_retain(to);
    array->storage = to;
    array->offset += bytes / mg_item_size(array->dtype);
    array->data = to->data + array->offset * mg_item_size(array->dtype);
    mg_storage_release(old);
}

void mg_plan_merge(mg_plan_lives *lives) {
    for (int64_t i = 0; i < lives->array_count; i++) {
        mg_array *array = lives->arrays[i];
        mg_storage *to = array->storage;
        for (mg_plan_life *life; (life = mg_plan_life_of(lives, to))->into;)
            to = life->into->storage;
        if (to != array->storage) mg_plan_move(array, to, 0);
    }
}
