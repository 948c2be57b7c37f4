/* Elementwise results take the memory of an operand that is used no more: the loops allow it, and
 * what was just read is in the cache. */
#include "plan.h"

static int is_elementwise(int kernel) {
    return kernel == MG_KERNEL_unary || kernel == MG_KERNEL_binary || kernel == MG_KERNEL_where ||
           kernel == MG_KERNEL_fused;
}

static mg_plan_life *root(mg_plan_life *life) {
    while (life->into) life = life->into;
    return life;
}

/* Whether the operand covers the same bytes of its storage as the result of its own. */
static int fits(const mg_array *out, const mg_array *operand) {
    return out->dtype == operand->dtype && out->size == operand->size &&
           mg_is_contiguous(operand) && operand->offset == 0 &&
           operand->storage->bytes >= out->storage->bytes;
}

/* The operand's life ends with that launch, which reads its memory in no other form. */
static mg_plan_life *can_take(const mg_plan_lives *lives, const mg_launch *launch, int operand,
                              int64_t index) {
    const mg_array *out = launch->arrays[0], *array = launch->arrays[operand];
    mg_plan_life *life = root(mg_plan_life_of(lives, array->storage));
    if (life->shared || life->constant || life->first < 0 || life->last != index ||
        !fits(out, array))
        return NULL;
    for (int other = 1; other < launch->count; other++) {
        const mg_array *each = launch->arrays[other];
        if (root(mg_plan_life_of(lives, each->storage)) == life && !fits(out, each)) return NULL;
    }
    return life;
}

int mg_plan_reuse(mg_plan *plan) {
    mg_plan_lives lives;
    if (mg_plan_find_lives(plan, &lives)) return -1;
    for (int64_t i = 0; i < plan->count; i++) {
        const mg_launch *launch = &plan->entries[i].launch;
        if (!is_elementwise(launch->kernel)) continue;
        const mg_array *out = launch->arrays[0];
        mg_plan_life *own = mg_plan_life_of(&lives, out->storage);
        if (own->shared || own->constant || own->first != i || out->offset ||
            !mg_is_contiguous(out) || !out->size)
            continue;
        for (int operand = 1; operand < launch->count; operand++) {
            mg_plan_life *life = can_take(&lives, launch, operand, i);
            if (!life) continue;
            own->into = life;
            life->last = own->last;
            break;
        }
    }
    mg_plan_merge(&lives);
    mg_plan_free_lives(&lives);
    return 0;
}
