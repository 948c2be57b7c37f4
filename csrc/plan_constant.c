/* Launches whose results are the same in every replay: their operands are Python's numbers, memory
 * that the host filled while recording, or other such results. Recording has computed them; they
 * leave the plan, and their memory keeps what is in it. So does memory that a constant fills before
 * copies write the same part of it in every replay, as the gradient of a slice. */
#include "plan.h"

static mg_plan_life *of(const mg_plan_lives *lives, const mg_plan_entry *entry, int index) {
    mg_array *array = entry->launch.arrays[index];
    return array ? mg_plan_life_of(lives, array->storage) : NULL;
}

enum { STEADY, VARYING };

/* Marks what may differ between replays: what comes from outside, to begin with. */
static void mark_sources(mg_plan_lives *lives) {
    for (int64_t i = 0; i < lives->count; i++) {
        mg_plan_life *life = &lives->life[i];
        const int written = life->last_write != -2;
        life->mark = life->number && !written ? STEADY : life->shared || life->first < 0;
    }
}

static int reads_varying(const mg_plan_lives *lives, const mg_plan_entry *entry) {
    for (int a = 0; a < entry->launch.count; a++) {
        const mg_plan_life *life = of(lives, entry, a);
        if (life && life->mark == VARYING && mg_plan_reads(entry, a)) return 1;
    }
    return 0;
}

static int writes_varying(const mg_plan_lives *lives, const mg_plan_entry *entry) {
    for (int a = 0; a < entry->launch.outputs; a++) {
        const mg_plan_life *life = of(lives, entry, a);
        if (life && life->mark == VARYING) return 1;
    }
    return 0;
}

/* What Python computes may depend on anything. A launch without results, or whose results anybody
 * else sees, stays too: mark_sources. */
static int stays(const mg_plan_lives *lives, const mg_plan_entry *entry) {
    return entry->launch.outputs == 0 || entry->launch.kernel == MG_KERNEL_host ||
           reads_varying(lives, entry) || writes_varying(lives, entry);
}

/* One round: what a varying launch writes varies, and so does what it reads before the last write,
 * of which it has to see the state between two. Returns whether a mark changed. */
static int spread(const mg_plan *plan, mg_plan_lives *lives) {
    int changed = 0;
    for (int64_t i = 0; i < plan->count; i++) {
        const mg_plan_entry *entry = &plan->entries[i];
        if (!stays(lives, entry)) continue;
        for (int a = 0; a < entry->launch.count; a++) {
            mg_plan_life *life = of(lives, entry, a);
            if (!life || life->mark == VARYING) continue;
            if (!mg_plan_writes(entry, a) && life->last_write < i) continue;
            life->mark = VARYING;
            changed = 1;
        }
    }
    return changed;
}

/* A first launch that fills memory with a constant. All that writes there afterwards are copies
 * (which do not read it), and nothing reads in between: so that after the copies of any replay it
 * is as it was while recording. */
static int fills_once(const mg_plan_lives *lives, const mg_plan_entry *entry, int64_t index) {
    if (entry->launch.kernel != MG_KERNEL_copy || reads_varying(lives, entry)) return 0;
    const mg_plan_life *life = of(lives, entry, 0);
    return !life->shared && life->first == index && life->first_read > life->last_write;
}

static void keep_results(const mg_plan_entry *entry) {
    for (int a = 0; a < entry->launch.outputs; a++)
        if (entry->launch.arrays[a]) entry->launch.arrays[a]->storage->known = MG_KNOWN_RESULT;
}

int mg_plan_drop_constants(mg_plan *plan) {
    mg_plan_lives lives;
    if (mg_plan_find_lives(plan, &lives)) return -1;
    mark_sources(&lives);
    while (spread(plan, &lives)) {
    }
    for (int64_t i = 0; i < plan->count; i++) {
        mg_plan_entry *entry = &plan->entries[i];
        entry->dropped = !stays(&lives, entry) || fills_once(&lives, entry, i);
        if (entry->dropped) keep_results(entry);
    }
    mg_plan_free_lives(&lives);
    mg_plan_compact(plan);
    return 0;
}
