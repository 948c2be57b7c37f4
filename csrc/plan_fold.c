/* A relu that follows a matrix product, or its derivative, is done to the sums while they are in
 * registers (enum mg_gemm_finish), where nobody else reads the product. Its derivative needs the
 * output of relu alone, so that folding the forward pass takes nothing from the backward pass. */
#include "plan.h"

static int is_plain(const mg_array *array, const mg_array *like) {
    return mg_is_contiguous(array) && array->dtype == like->dtype && array->size == like->size &&
           array->ndim == like->ndim &&
           !memcmp(array->shape, like->shape, (size_t)like->ndim * sizeof *like->shape);
}

/* What the launch does to an array, in terms of the product that makes it; its mask, if any. */
static enum mg_gemm_finish finish_of(const mg_launch *launch, const mg_array *product,
                                     mg_array **mask) {
    const int64_t op = launch->integers[0], dtype = launch->integers[1];
    *mask = NULL;
    if (dtype != product->dtype || !is_plain(launch->arrays[0], product) ||
        !is_plain(launch->arrays[1], product) || launch->arrays[1]->data != product->data)
        return MG_FINISH_NONE;
    if (launch->kernel == MG_KERNEL_unary && op == MG_UNARY_relu) return MG_FINISH_RELU;
    if (launch->kernel != MG_KERNEL_binary || op != MG_BINARY_relu_backward ||
        !is_plain(launch->arrays[2], product))
        return MG_FINISH_NONE;
    *mask = launch->arrays[2];
    return MG_FINISH_RELU_BACKWARD;
}

/* The launch that alone uses the result of product `index`; -1: there is none, or it is seen. */
static int64_t only_reader(const mg_plan *plan, const mg_plan_lives *lives, int64_t index) {
    const mg_launch *launch = &plan->entries[index].launch;
    const mg_array *out = launch->arrays[0];
    if (launch->kernel != MG_KERNEL_matmul || launch->integers[2] || launch->count != 4 ||
        !mg_is_float(out->dtype) || !mg_is_contiguous(out) || plan->entries[index].in_place)
        return -1;
    const mg_plan_life *life = mg_plan_life_of(lives, out->storage);
    if (life->shared || life->constant || life->first != index || life->launches != 2 ||
        life->last >= plan->count)
        return -1;
    return life->last;
}

/* Nothing uses the result before the launch that makes it, nor writes the mask after the product,
 * so that both can be as early as the product. */
static int can_be_earlier(const mg_plan_lives *lives, const mg_plan_entry *reader, int64_t from,
                          int64_t to, const mg_array *mask) {
    const mg_plan_life *result = mg_plan_life_of(lives, reader->launch.arrays[0]->storage);
    if (reader->in_place || result->first != to) return 0;
    return !mask || mg_plan_life_of(lives, mask->storage)->last_write < from;
}

static int fold(mg_plan_entry *product, mg_plan_entry *reader, enum mg_gemm_finish finish,
                mg_array *mask) {
    mg_array **arrays = realloc(product->launch.arrays, 5 * sizeof *arrays);
    if (!arrays) return mg_fail(MG_MEMORY_ERROR, "out of memory while preparing a plan");
    mg_array *result = reader->launch.arrays[0];
    mg_retain(result);
    mg_release(arrays[0]);
    arrays[0] = result;
    if (mask) mg_retain(arrays[4] = mask);
    product->launch.arrays = arrays;
    product->launch.count = mask ? 5 : 4;
    product->launch.integers[2] = finish;
    reader->dropped = 1;
    return 0;
}

int mg_plan_fold(mg_plan *plan) {
    mg_plan_lives lives;
    int status = mg_plan_find_lives(plan, &lives);
    if (status) return status;
    for (int64_t i = 0; i < plan->count && !status; i++) {
        const int64_t at = only_reader(plan, &lives, i);
        if (at < 0) continue;
        mg_array *mask;
        mg_plan_entry *product = &plan->entries[i], *reader = &plan->entries[at];
        const enum mg_gemm_finish finish =
            finish_of(&reader->launch, product->launch.arrays[0], &mask);
        if (finish && can_be_earlier(&lives, reader, i, at, mask))
            status = fold(product, reader, finish, mask);
    }
    mg_plan_free_lives(&lives);
    mg_plan_compact(plan);
    return status;
}
