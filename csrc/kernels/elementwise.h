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

/* One row of fewer than LANES elements. */
INLINE void NAME(map_few)(char *out, NAME(row) a, NAME(row) b, int64_t count, V (*op)(V, V),
                          int arity, int is_mask) {
    const V x = NAME(load_part)(a.data, count, 1);
    const V y = arity == 2 ? NAME(load_part)(b.data, count, 1) : x;
    const V value = op(x, y);
    if (is_mask)
        NAME(store_mask_part)((uint8_t *)out, (M)value, count);
    else
        NAME(store_part)((T *)out, value, count);
}

/* One row of at least LANES elements. The last vector ends with the row and overlaps the one before
 * it; its operands are read before anything is written, since the result may replace an operand. */
INLINE void NAME(map_row)(char *out, NAME(row) a, NAME(row) b, int64_t count, V (*op)(V, V),
                          int arity, int is_mask, int heavy) {
    const int64_t last = count - LANES;
    const V last_x = NAME(at)(a, last);
    const V last_y = arity == 2 ? NAME(at)(b, last) : last_x;
    if (heavy) { /* one copy of the operation's code */
        for (int64_t i = 0;; i += LANES) {
            V x = last_x, y = last_y;
            const int more = i < last;
            if (more) {
                x = NAME(at)(a, i);
                y = arity == 2 ? NAME(at)(b, i) : x;
            }
            NAME(put)(out, more ? i : last, op(x, y), is_mask);
            if (!more) return;
        }
    }
    const V last_value = op(last_x, last_y);
    for (int64_t i = 0; i < last; i += LANES) {
        const V x = NAME(at)(a, i);
        NAME(put)(out, i, op(x, arity == 2 ? NAME(at)(b, i) : x), is_mask);
    }
    NAME(put)(out, last, last_value, is_mask);
}

INLINE int NAME(map)(const mg_loop *loop, V (*op)(V, V), int arity, int is_mask, int heavy) {
    const int64_t count = loop->count;
    char *out = loop->out;
    const char *a = loop->in[0], *b = arity == 2 ? loop->in[1] : NULL;
    for (int64_t r = 0; r < loop->rows; r++) {
        V spread_a, spread_b;
        const NAME(row) row_a = NAME(row_of)(a, loop->step[0], &spread_a);
        const NAME(row) row_b = arity == 2 ? NAME(row_of)(b, loop->step[1], &spread_b) : row_a;
        if (count < LANES)
            NAME(map_few)(out, row_a, row_b, count, op, arity, is_mask);
        else
            NAME(map_row)(out, row_a, row_b, count, op, arity, is_mask, heavy);
        out += loop->out_row;
        a += loop->in_row[0];
        if (arity == 2) b += loop->in_row[1];
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
#define APPLY_UNARY(name, expression)                                                              \
    INLINE V NAME(apply_unary_##name)(V a, V unused) { return (void)unused, (V)(expression); }
#define APPLY_BINARY(name, expression)                                                             \
    INLINE V NAME(apply_binary_##name)(V a, V b) { return (V)(expression); }
#define UNARY(name, domain, result, cost, on_bool, expression)                                     \
    IN_##domain(APPLY_UNARY(name, expression))
#define BINARY(name, domain, result, cost, on_bool, expression)                                    \
    IN_##domain(APPLY_BINARY(name, expression))
#include "../elementwise.def"
#undef UNARY
#undef BINARY

#define LOOP(name, arity, result, cost)                                                            \
    static int NAME(name)(const mg_loop *loop) {                                                   \
        return NAME(map)(loop, NAME(apply_##name), arity, IS_MASK_##result, IS_HEAVY_##cost);      \
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

#undef LIBM_UNARY
#undef LIBM_BINARY
#undef SCALAR_BINARY
#undef APPLY_UNARY
#undef APPLY_BINARY
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
