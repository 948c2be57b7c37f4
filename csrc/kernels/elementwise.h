/* The loops of every operation in elementwise.def, for one dtype and instruction set; see
 * ../elementwise.h for what a loop is given. */
#if !MG_IS_BOOL /* bool uses the loops of uint8 */

#include "arithmetic.h"

/* ---- the loops, instantiated once for each operation by inlining ---- */

/* A row of an operand: `spread` holds the one element of an operand that stands still, in every
 * lane; then the position is masked to 0. */
typedef struct NAME(row) {
    const T *data;
    int64_t advance; /* -1: all bits of the position count, 0: none */
} NAME(row);

INLINE NAME(row) NAME(row_of)(const char *data, int64_t step, V *spread) {
    const T *first = (const T *)data;
    if (step) return (NAME(row)){first, -1};
    *spread = NAME(splat)(*first);
    return (NAME(row)){(const T *)spread, 0};
}

INLINE V NAME(at)(NAME(row) row, int64_t i) { return NAME(load)(row.data + (i & row.advance)); }

INLINE void NAME(put)(char *out, int64_t i, V value, int is_mask) {
    if (is_mask)
        NAME(store_mask)((uint8_t *)out + i, (M)value);
    else
        NAME(store)((T *)out + i, value);
}

/* An operation of up to three operands and three numbers; those that it has not are ignored. */
typedef V (*NAME(operation))(V a, V b, V c, V p, V q, V r);

/* What a row needs beside its place. */
typedef struct NAME(mapping) {
    NAME(row) row[3];
    V p, q, r;
} NAME(mapping);

INLINE V NAME(apply_at)(const NAME(mapping) * m, int64_t i, NAME(operation) op, int arity) {
    const V a = NAME(at)(m->row[0], i);
    const V b = arity >= 2 ? NAME(at)(m->row[1], i) : a;
    const V c = arity >= 3 ? NAME(at)(m->row[2], i) : a;
    return op(a, b, c, m->p, m->q, m->r);
}

/* One row of fewer than LANES elements. */
INLINE void NAME(map_few)(char *out, const NAME(mapping) * m, int64_t count, NAME(operation) op,
                          int arity, int is_mask) {
    const V a = NAME(load_part)(m->row[0].data, count, 1);
    const V b = arity >= 2 ? NAME(load_part)(m->row[1].data, count, 1) : a;
    const V c = arity >= 3 ? NAME(load_part)(m->row[2].data, count, 1) : a;
    const V value = op(a, b, c, m->p, m->q, m->r);
    if (is_mask)
        NAME(store_mask_part)((uint8_t *)out, (M)value, count);
    else
        NAME(store_part)((T *)out, value, count);
}

/* One row of at least LANES elements. The last vector ends with the row and overlaps the one before
 * it; its operands are read before anything is written, since the result may replace an operand. */
INLINE void NAME(map_row)(char *out, const NAME(mapping) * m, int64_t count, NAME(operation) op,
                          int arity, int is_mask, int heavy) {
    const int64_t last = count - LANES;
    if (heavy) { /* one copy of the operation's code */
        const V last_a = NAME(at)(m->row[0], last);
        const V last_b = arity >= 2 ? NAME(at)(m->row[1], last) : last_a;
        const V last_c = arity >= 3 ? NAME(at)(m->row[2], last) : last_a;
        for (int64_t i = 0;; i += LANES) {
            V a = last_a, b = last_b, c = last_c;
            const int more = i < last;
            if (more) {
                a = NAME(at)(m->row[0], i);
                b = arity >= 2 ? NAME(at)(m->row[1], i) : a;
                c = arity >= 3 ? NAME(at)(m->row[2], i) : a;
            }
            NAME(put)(out, more ? i : last, op(a, b, c, m->p, m->q, m->r), is_mask);
            if (!more) return;
        }
    }
    const V last_value = NAME(apply_at)(m, last, op, arity);
    for (int64_t i = 0; i < last; i += LANES)
        NAME(put)(out, i, NAME(apply_at)(m, i, op, arity), is_mask);
    NAME(put)(out, last, last_value, is_mask);
}

INLINE int NAME(map)(const mg_loop *loop, NAME(operation) op, int arity, int is_mask, int heavy,
                     int has_numbers) {
    const int64_t count = loop->count;
    char *out = loop->out;
    const char *in[3] = {loop->in[0], arity >= 2 ? loop->in[1] : NULL,
                         arity >= 3 ? loop->in[2] : NULL};
    NAME(mapping) m;
    m.p = has_numbers ? NAME(splat)((T)loop->numbers[0]) : ZERO;
    m.q = has_numbers ? NAME(splat)((T)loop->numbers[1]) : ZERO;
    m.r = has_numbers ? NAME(splat)((T)loop->numbers[2]) : ZERO;
    for (int64_t row = 0; row < loop->rows; row++) {
        V spread[3];
#pragma GCC unroll 3
        for (int k = 0; k < 3; k++)
            if (k < arity) m.row[k] = NAME(row_of)(in[k], loop->step[k], &spread[k]);
        if (count < LANES)
            NAME(map_few)(out, &m, count, op, arity, is_mask);
        else
            NAME(map_row)(out, &m, count, op, arity, is_mask, heavy);
        out += loop->out_row;
#pragma GCC unroll 3
        for (int k = 0; k < 3; k++)
            if (k < arity) in[k] += loop->in_row[k];
    }
    return MG_LOOP_DONE;
}

/* out = condition ? a : b; the condition is bool. */
static int NAME(where)(const mg_loop *loop) {
    for (int64_t r = 0; r < loop->rows; r++) {
        const uint8_t *condition = (const uint8_t *)loop->in[0] + r * loop->in_row[0];
        const T *a = (const T *)(loop->in[1] + r * loop->in_row[1]);
        const T *b = (const T *)(loop->in[2] + r * loop->in_row[2]);
        T *out = (T *)(loop->out + r * loop->out_row);
        const int64_t step_a = loop->step[1], step_b = loop->step[2];
        if (loop->step[0] == 1 && step_a == 1 && step_b == 1) {
            int64_t i = 0;
            for (; i + LANES <= loop->count; i += LANES)
                NAME(store)(out + i, NAME(select)(NAME(load_mask)(condition + i, LANES),
                                                  NAME(load)(a + i), NAME(load)(b + i)));
            for (; i < loop->count; i++) out[i] = condition[i] ? a[i] : b[i];
        } else {
            for (int64_t i = 0; i < loop->count; i++)
                out[i] = condition[i * loop->step[0]] ? a[i * step_a] : b[i * step_b];
        }
    }
    return MG_LOOP_DONE;
}

/* ---- the operations ---- */

#define IS_MASK_SAME 0
#define IS_MASK_BOOL 1
#define IS_HEAVY_LIGHT 0
#define IS_HEAVY_HEAVY 1

/* The rows whose domain holds this dtype (variadic: expressions have commas) */
#if MG_IS_FLOAT
#define IN_FLOAT(...) __VA_ARGS__
#define IN_INTEGER(...)
#else
#define IN_FLOAT(...)
#define IN_INTEGER(...) __VA_ARGS__
#endif
#define IN_NUMBER(...) __VA_ARGS__
#define LIBM_UNARY(name)
#define LIBM_BINARY(name)
#define SCALAR_BINARY(name)

/* An operation is a function of vectors and a loop that calls it; a mask travels as a V. */
#define APPLY(name, expression)                                                                    \
    INLINE V NAME(apply_##name)(V a, V b, V c, V p, V q, V r) {                                    \
        return (void)a, (void)b, (void)c, (void)p, (void)q, (void)r, (V)(expression);              \
    }
#define UNARY(name, domain, result, cost, on_bool, expression)                                     \
    IN_##domain(APPLY(unary_##name, expression))
#define BINARY(name, domain, result, cost, on_bool, expression)                                    \
    IN_##domain(APPLY(binary_##name, expression))
#include "../elementwise.def"
#undef UNARY
#undef BINARY

#define LOOP(name, arity, result, cost)                                                            \
    static int NAME(name)(const mg_loop *loop) {                                                   \
        return NAME(map)(loop, NAME(apply_##name), arity, IS_MASK_##result, IS_HEAVY_##cost, 0);   \
    }
#define UNARY(name, domain, result, cost, on_bool, expression)                                     \
    IN_##domain(LOOP(unary_##name, 1, result, cost))
#define BINARY(name, domain, result, cost, on_bool, expression)                                    \
    IN_##domain(LOOP(binary_##name, 2, result, cost))
#include "../elementwise.def"
#undef UNARY
#undef BINARY

#define UNARY(name, domain, result, cost, on_bool, expression)                                     \
    IN_##domain([MG_UNARY_##name] = NAME(unary_##name), )
#define BINARY(name, domain, result, cost, on_bool, expression)
static const mg_loop_function NAME(unary_loops)[MG_UNARY_COUNT] = {
#include "../elementwise.def"
};
#undef UNARY
#undef BINARY

#define UNARY(name, domain, result, cost, on_bool, expression)
#define BINARY(name, domain, result, cost, on_bool, expression)                                    \
    IN_##domain([MG_BINARY_##name] = NAME(binary_##name), )
static const mg_loop_function NAME(binary_loops)[MG_BINARY_COUNT] = {
#include "../elementwise.def"
};
#undef UNARY
#undef BINARY

/* ---- fused expressions ---- */

#if MG_IS_FLOAT
#include "activation.h"

#define FUSED(name, operands, cost, expression) APPLY(fused_##name, expression)
#include "../fused.def"
#undef FUSED

#define FUSED(name, operands, cost, expression)                                                    \
    static int NAME(fused_##name)(const mg_loop *loop) {                                           \
        return NAME(map)(loop, NAME(apply_fused_##name), operands, 0, IS_HEAVY_##cost, 1);         \
    }
#include "../fused.def"
#undef FUSED

#define FUSED(name, operands, cost, expression) [MG_FUSED_##name] = NAME(fused_##name),
static const mg_loop_function NAME(fused_loops)[MG_FUSED_COUNT] = {
#include "../fused.def"
};
#undef FUSED
#endif

#undef LIBM_UNARY
#undef LIBM_BINARY
#undef SCALAR_BINARY
#undef APPLY
#undef LOOP
#undef IN_FLOAT
#undef IN_INTEGER
#undef IN_NUMBER
#undef IS_MASK_SAME
#undef IS_MASK_BOOL
#undef IS_HEAVY_LIGHT
#undef IS_HEAVY_HEAVY
#undef ZERO

#endif
