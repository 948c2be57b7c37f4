/* What there is: the kernels, their operations, dtypes and loops, for `minigrad kernels`. */
#include "core.h"

#include <stdio.h>

/* ---- kernels ---- */

enum {
    INT64 = 1 << MG_INT64,
    INTEGERS = 1 << MG_UINT8 | 1 << MG_INT32 | INT64,
    FLOATS = 1 << MG_FLOAT32 | 1 << MG_FLOAT64,
    NUMBERS = INTEGERS | FLOATS,
    PIXELS = 1 << MG_UINT8 | FLOATS,
    ALL = NUMBERS | 1 << MG_BOOL,
};

static const struct {
    const char *source;
    int dtypes;
} kernels[MG_KERNEL_COUNT] = {
#define KERNEL(name, source, dtypes) {#source ".c", dtypes},
#include "kernels.def"
#undef KERNEL
};

static int is_kernel(int kernel) { return kernel >= 0 && kernel < MG_KERNEL_COUNT; }

const char *mg_kernel_source(int kernel) { return is_kernel(kernel) ? kernels[kernel].source : ""; }

/* ---- operations ---- */

static const char *no_name(int operation) { return (void)operation, NULL; }

/* The names of a kernel's operations, in order; NULL after the last. */
static const char *(*names_of(int kernel))(int operation) {
    switch (kernel) {
    case MG_KERNEL_unary: return mg_unary_name;
    case MG_KERNEL_binary: return mg_binary_name;
    case MG_KERNEL_fused:
    case MG_KERNEL_fused_sum: return mg_fused_name;
    case MG_KERNEL_reduce: return mg_reduction_name;
    case MG_KERNEL_optimizer_step: return mg_optimizer_name;
    default: return no_name;
    }
}

const char *mg_kernel_operation(int kernel, int operation) { return names_of(kernel)(operation); }

static int operation_dtypes(const mg_operation *row) {
    if (row->domain == MG_DOMAIN_FLOAT) return FLOATS;
    return (row->domain == MG_DOMAIN_INTEGER ? INTEGERS : NUMBERS) |
           (row->on_bool >= 0 ? 1 << MG_BOOL : 0);
}

int mg_kernel_dtypes(int kernel, int operation) {
    if (!is_kernel(kernel)) return 0;
    if (operation < 0 || !names_of(kernel)(operation)) return kernels[kernel].dtypes;
    switch (kernel) {
    case MG_KERNEL_unary: return operation_dtypes(&mg_unary_operations[operation]);
    case MG_KERNEL_binary: return operation_dtypes(&mg_binary_operations[operation]);
    case MG_KERNEL_reduce:
        if (mg_reduction_is_mean(operation)) return FLOATS;
        return mg_reduction_core(operation) >= MG_REDUCE_ARGMAX ? NUMBERS : ALL;
    default: return kernels[kernel].dtypes;
    }
}

/* ---- loops ---- */

typedef void (*any_function)(void);

/* Pointers in mg_isa by dtype: `stride` bytes apart, from that of `first` on; 0: only one. */
typedef struct loop_row {
    int kernel;
    const char *file, *name;
    size_t place, stride;
    int first, last;
} loop_row;

#define DISTANCE(a, b) (offsetof(mg_isa, b) - offsetof(mg_isa, a))
#define LOOP(kernel, file, loop, place)                                                            \
    {MG_KERNEL_##kernel,                                                                           \
     "kernels/" #file ".h",                                                                        \
     #loop,                                                                                        \
     offsetof(mg_isa, place),                                                                      \
     sizeof(any_function),                                                                         \
     MG_BOOL,                                                                                      \
     MG_FLOAT64},
#define PAIR(kernel, file, loop, family, member)                                                   \
    {MG_KERNEL_##kernel,                                                                           \
     "kernels/" #file ".h",                                                                        \
     #loop,                                                                                        \
     offsetof(mg_isa, family.of[0].member),                                                        \
     DISTANCE(family.of[0].member, family.of[1].member),                                           \
     MG_FLOAT32,                                                                                   \
     MG_FLOAT64},
static const loop_row rows[] = {
#include "loops.def"
};

/* The function that a pointer inside of mg_isa points to. */
static const void *function_at(size_t place) {
    const void *function;
    memcpy(&function, (const char *)mg_active_isa + place, sizeof function);
    return function;
}

static const void *of_row(const loop_row *row, int dtype) {
    if (dtype < row->first || dtype > row->last) return NULL;
    return function_at(row->place + (size_t)(dtype - row->first) * row->stride);
}

static const void *address_of(mg_loop_function function) {
    const void *address;
    memcpy(&address, &function, sizeof address);
    return address;
}

/* Loop `number` of an operation; its name in name[64]. 0: there is none. */
static int of_operation(int kernel, int operation, int number, int dtype, mg_kernel_loop *loop) {
    const mg_elementwise_loops *elementwise = &mg_active_isa->elementwise;
    const char *name = names_of(kernel)(operation), *suffix = NULL;
    size_t place = 0;
    loop->address = NULL;
    loop->file = "kernels/elementwise.h";
    switch (kernel) {
    case MG_KERNEL_unary:
    case MG_KERNEL_binary:
    case MG_KERNEL_fused:
    case MG_KERNEL_fused_sum: {
        const int is_fused = kernel == MG_KERNEL_fused || kernel == MG_KERNEL_fused_sum;
        const mg_loop_function *loops = is_fused                    ? elementwise->fused[dtype]
                                        : kernel == MG_KERNEL_unary ? elementwise->unary[dtype]
                                                                    : elementwise->binary[dtype];
        const int scalar =
            !is_fused &&
            (kernel == MG_KERNEL_unary ? mg_unary_operations : mg_binary_operations)[operation]
                    .cost == MG_COST_SCALAR;
        if (number > 0 || scalar) return 0;
        const char *prefix = is_fused ? "fused" : kernel == MG_KERNEL_unary ? "unary" : "binary";
        loop->address = loops ? address_of(loops[operation]) : NULL;
        snprintf(loop->name, sizeof loop->name, "%s_%s", prefix, name);
        return 1;
    }
    case MG_KERNEL_reduce: {
        if (number > 1) return 0;
        loop->file = "kernels/reduce.h";
        const int core = mg_reduction_core(operation);
        name = mg_reduction_is_mean(operation) ? "sum" : name;
        place = number ? offsetof(mg_isa, reduce.columns) : offsetof(mg_isa, reduce.rows);
        place += sizeof(any_function) * (size_t)(core * MG_DTYPE_COUNT + dtype);
        suffix = number ? "columns" : "rows";
        break;
    }
    case MG_KERNEL_optimizer_step: {
        loop->file = "kernels/optimizer.h";
        place = number ? offsetof(mg_isa, optimizer.measure) : offsetof(mg_isa, optimizer.update);
        place += sizeof(any_function) * (size_t)(operation * MG_DTYPE_COUNT + dtype);
        suffix = number ? "measure" : "update";
        if (number > 1 || (number == 1 && !function_at(place))) return 0;
        break;
    }
    default: return 0;
    }
    loop->address = function_at(place);
    snprintf(loop->name, sizeof loop->name, "%s_%s", name, suffix);
    return 1;
}

int mg_kernel_find_loop(int kernel, int operation, int number, int dtype, mg_kernel_loop *loop) {
    if (!is_kernel(kernel) || number < 0 || dtype < 0 || dtype >= MG_DTYPE_COUNT) return 0;
    if (operation >= 0 && names_of(kernel)(operation))
        return of_operation(kernel, operation, number, dtype, loop);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].kernel != kernel || number--) continue;
        snprintf(loop->name, sizeof loop->name, "%s", rows[i].name);
        loop->file = rows[i].file;
        loop->address = of_row(&rows[i], dtype);
        return 1;
    }
    return 0;
}
