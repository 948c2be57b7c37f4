/* Elementwise operations: what the driver (elementwise.c, elementwise_run.c), the conversions
 * (elementwise_convert.c) and the kernels of one instruction set (kernels/elementwise.h) share. */
#ifndef MG_ELEMENTWISE_H
#define MG_ELEMENTWISE_H

#include <stdint.h>

/* MG_UNARY_neg, ...: the index of each operation of elementwise.def; -1 for none. */
enum mg_unary_operation {
    MG_UNARY_none = -1,
#define UNARY(name, domain, result, cost, on_bool, expression) MG_UNARY_##name,
#define LIBM_UNARY(name) MG_UNARY_##name,
#define BINARY(name, domain, result, cost, on_bool, expression)
#define LIBM_BINARY(name)
#define SCALAR_BINARY(name)
#include "elementwise.def"
    MG_UNARY_COUNT
};

enum mg_binary_operation {
    MG_BINARY_none = -1,
#undef UNARY
#undef LIBM_UNARY
#undef BINARY
#undef LIBM_BINARY
#undef SCALAR_BINARY
#define UNARY(name, domain, result, cost, on_bool, expression)
#define LIBM_UNARY(name)
#define BINARY(name, domain, result, cost, on_bool, expression) MG_BINARY_##name,
#define LIBM_BINARY(name) MG_BINARY_##name,
#define SCALAR_BINARY(name) MG_BINARY_##name,
#include "elementwise.def"
    MG_BINARY_COUNT
};
#undef UNARY
#undef LIBM_UNARY
#undef BINARY
#undef LIBM_BINARY
#undef SCALAR_BINARY

/* MG_FUSED_leaky_relu, ...: the index of each expression of fused.def. */
enum mg_fused_operation {
#define FUSED(name, operands, cost, expression) MG_FUSED_##name,
#include "fused.def"
#undef FUSED
    MG_FUSED_COUNT
};

/* Rows of neighbouring elements. An operand stands still within a row (step 0) or advances by one
 * element (step 1); the result always advances. Distances between rows count bytes. The result
 * may be the very memory of an operand; it overlaps none in any other way. */
typedef struct mg_loop {
    char *out;
    const char *in[3];
    int64_t rows, count;
    int64_t out_row, in_row[3];
    int64_t step[3];
    double numbers[3]; /* of fused expressions */
} mg_loop;

/* What a loop returns: whether it met a value error. */
enum mg_loop_status { MG_LOOP_DONE, MG_LOOP_DIVISION_BY_ZERO };
typedef int (*mg_loop_function)(const mg_loop *loop);

/* The loops of one instruction set, by dtype (bool has those of uint8) and operation. NULL: not
 * defined for the dtype, or computed one element at a time. `where` has the condition first. */
typedef struct mg_elementwise_loops {
    const mg_loop_function *unary[MG_DTYPE_COUNT];
    const mg_loop_function *binary[MG_DTYPE_COUNT];
    mg_loop_function where[MG_DTYPE_COUNT];
    const mg_loop_function *fused[MG_DTYPE_COUNT]; /* floating dtypes only */
} mg_elementwise_loops;

/* One element at a time, the same for all instruction sets: libm and division of integers
 * (elementwise_scalar.c). NULL where there is none. */
mg_loop_function mg_scalar_unary(int op, int dtype);
mg_loop_function mg_scalar_binary(int op, int dtype);

/* ---- conversions (elementwise_convert.c) ---- */

/* A block of rows x columns elements; strides count elements. */
typedef struct mg_block {
    char *data;
    int64_t row_stride, column_stride;
    int dtype;
} mg_block;

/* destination[r][c] = source[r][c], converted. Float to integer truncates as torch does on x86;
 * anything but 0 becomes true. Blocks must not overlap, except that both may be the same. */
void mg_convert_block(const mg_block *destination, const mg_block *source, int64_t rows,
                      int64_t columns);

/* ---- running (elementwise_run.c) ---- */

#define MG_MAX_OPERANDS 4 /* the result and up to three inputs */

enum mg_operation_domain { MG_DOMAIN_FLOAT, MG_DOMAIN_INTEGER, MG_DOMAIN_NUMBER };
enum mg_operation_result { MG_RESULT_SAME, MG_RESULT_BOOL };
enum mg_operation_cost { MG_COST_LIGHT, MG_COST_HEAVY, MG_COST_SCALAR };

/* A row of elementwise.def (elementwise.c) */
typedef struct mg_operation {
    const char *name, *in_place_name; /* "add", "add_" */
    int8_t domain, result, cost;
    int8_t on_bool; /* the operation for bool operands, or -1 */
} mg_operation;

/* A row of fused.def (elementwise.c) */
typedef struct mg_fused_row {
    const char *name, *in_place_name;
    int8_t operands, cost;
} mg_fused_row;

extern const mg_fused_row mg_fused_rows[MG_FUSED_COUNT];
extern const mg_operation mg_unary_operations[MG_UNARY_COUNT];
extern const mg_operation mg_binary_operations[MG_BINARY_COUNT];

/* The first and the one after the last byte that the elements of an array may touch. */
void mg_extent(const mg_array *array, const char **begin, const char **end);

#endif
