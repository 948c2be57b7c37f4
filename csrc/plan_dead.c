/* Launches whose results nobody reads: neither a later launch nor somebody outside of the plan.
 * Those that may refuse the values of their operands stay, so that an error remains an error. */
#include "plan.h"

static int may_fail(const mg_launch *launch) {
    switch (launch->kernel) {
    case MG_KERNEL_host: /* whatever it does */
    case MG_KERNEL_index:
    case MG_KERNEL_index_put:
    case MG_KERNEL_cross_entropy:
    case MG_KERNEL_cross_entropy_backward:
    case MG_KERNEL_plane_gather:
    case MG_KERNEL_plane_scatter:
    case MG_KERNEL_random_integers:
    case MG_KERNEL_fused:
    case MG_KERNEL_fused_sum: return 1;
    case MG_KERNEL_binary: return !mg_is_float((int)launch->integers[1]);
    default: return 0;
    }
}

static int is_needed(const mg_plan_lives *lives, const mg_plan_entry *entry) {
    if (may_fail(&entry->launch) || entry->launch.outputs == 0) return 1;
    for (int a = 0; a < entry->launch.outputs; a++) {
        const mg_array *array = entry->launch.arrays[a];
        if (array && mg_plan_life_of(lives, array->storage)->mark) return 1;
    }
    return 0;
}

int mg_plan_drop_dead(mg_plan *plan) {
    mg_plan_lives lives;
    if (mg_plan_find_lives(plan, &lives)) return -1;
    for (int64_t i = 0; i < lives.count; i++) /* mark: somebody reads it later */
        lives.life[i].mark =
            lives.life[i].shared || lives.life[i].last == plan->count || lives.life[i].first < 0;
    for (int64_t i = plan->count - 1; i >= 0; i--) {
        mg_plan_entry *entry = &plan->entries[i];
        entry->dropped = !is_needed(&lives, entry);
        if (entry->dropped) continue;
        for (int a = 0; a < entry->launch.count; a++)
            if (entry->launch.arrays[a] && mg_plan_reads(entry, a))
                mg_plan_life_of(&lives, entry->launch.arrays[a]->storage)->mark = 1;
    }
    mg_plan_free_lives(&lives);
    mg_plan_compact(plan);
    return 0;
}
