/* What the launches of a plan are called. */
#include "plan.h"

static const mg_plan_entry *entry_at(const mg_plan *plan, int64_t index) {
    return index < 0 || index >= plan->count ? NULL : &plan->entries[index];
}

const char *mg_plan_operation(mg_plan *plan, int64_t index) {
    static const char *const recurrent[] = {"rnn_tanh", "rnn_relu", "lstm", "gru"};
    const mg_plan_entry *entry = entry_at(plan, index);
    if (!entry) return "";
    const int64_t *integers = entry->launch.integers;
    const char *name = NULL;
    switch (entry->launch.kernel) {
    case MG_KERNEL_unary: name = mg_unary_name((int)integers[0]); break;
    case MG_KERNEL_binary: name = mg_binary_name((int)integers[0]); break;
    case MG_KERNEL_fused:
    case MG_KERNEL_fused_sum: name = mg_fused_name((int)integers[0]); break;
    case MG_KERNEL_reduce: name = mg_reduction_name((int)integers[0]); break;
    case MG_KERNEL_optimizer_step: name = mg_optimizer_name((int)integers[1]); break;
    case MG_KERNEL_recurrent:
    case MG_KERNEL_recurrent_backward: name = recurrent[integers[0] & 3]; break;
    case MG_KERNEL_matmul:
        name = integers[2] == MG_FINISH_RELU            ? "+ relu"
               : integers[2] == MG_FINISH_RELU_BACKWARD ? "+ relu_backward"
                                                        : NULL;
        break;
    case MG_KERNEL_softmax:
    case MG_KERNEL_softmax_backward: name = integers[1] ? "log" : NULL; break;
    default: break;
    }
    return name ? name : "";
}

int64_t mg_plan_recorded(mg_plan *plan, int64_t index) {
    const mg_plan_entry *entry = entry_at(plan, index);
    return entry ? entry->recorded : -1;
}
