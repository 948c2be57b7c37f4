/* Code of the host, a Python function say, as a launch of a plan: a replay calls it in its place.
 * It may read and write any memory that the host can reach; what the plan has to know of are the
 * arrays that later launches read and those that launches before have written. */
#include "plan.h"

static int (*host)(int64_t number);

void mg_set_host(int (*run)(int64_t number)) { host = run; }

/* arrays: those that it fills, those that it reads. integers: which code. */
int mg_run_host(const mg_launch *launch) {
    if (host && !host(launch->integers[0])) return 0;
    return mg_fail(MG_RUNTIME_ERROR, "code of the host, which is a part of the plan, has failed");
}

int mg_plan_add_host(mg_plan *plan, int64_t number, int outputs, int count, mg_array **arrays) {
    mg_launch launch = {MG_KERNEL_host, outputs, count, arrays, {number}, {0}};
    if (mg_plan_prepare(plan, &launch, 0)) return -1;
    return mg_plan_append(plan, &launch, 0, NULL);
}
