/* The passes over a recorded plan, in their order. Each leaves a plan whose replay writes the same
 * bits to all memory that anybody else sees:
 *
 *   plan_constant.c   what is the same in every replay was computed while recording
 *   plan_repeated.c   the same computation of the same memory is done once
 *   plan_dead.c       results that nobody reads are not computed
 *   plan_fold.c       relu and its derivative move into the matrix product before them
 *   plan_reuse.c      elementwise results take the memory of an operand that is used no more
 */
#include "plan.h"

int mg_plan_optimize(mg_plan *plan) {
    if (mg_plan_drop_constants(plan) || mg_plan_drop_repeated(plan) || mg_plan_drop_dead(plan) ||
        mg_plan_fold(plan))
        return -1;
    return mg_plan_reuse(plan);
}
