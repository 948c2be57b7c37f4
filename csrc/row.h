/* Many tensors as one long row, cut in fixed pieces: many small tensors cost one loop, and a large
 * one is shared between threads. Used by the optimizers and by the clipping of gradients. */
#ifndef MG_ROW_H
#define MG_ROW_H

#include "strided.h"

enum { MG_ROW_ROLES = 5 };

/* What one parameter brings. A role is a tensor of the parameter's shape, or NULL. */
typedef struct mg_row_member {
    int64_t begin; /* of its elements in the row */
    mg_array *roles[MG_ROW_ROLES];
    int contiguous; /* every role */
} mg_row_member;

struct mg_row;
/* Works on elements [begin, begin + count) of a member, which lie at data[role] (NULL: no role).
 * sums: two numbers to add to, of this stretch alone; NULL where nothing is measured. */
typedef void (*mg_row_body)(const struct mg_row *row, int64_t member, int64_t begin, int64_t count,
                            char *const *data, double *sums);

typedef struct mg_row {
    int64_t members, elements;
    mg_row_member *member; /* with an end marker */
    mg_row_body body;
    const void *context;
    int writes;   /* bit mask of the roles that the body writes */
    double *sums; /* two for each stretch of one member within one piece */
} mg_row;

/* Room for so many members, in the scratch memory; -1 and the error where there is none. */
int mg_row_begin(mg_row *row, int64_t members);
/* Adds a member; role 0 is never NULL. Returns its number. */
int64_t mg_row_add(mg_row *row, mg_array *const *roles, int count);
/* Calls the body for everything. `nanoseconds` is the cost of an element. */
void mg_row_run(mg_row *row, double nanoseconds);
/* The same, with sums; then mg_row_sum adds up those of a member, in their order. */
int mg_row_measure(mg_row *row, double nanoseconds);
double mg_row_sum(const mg_row *row, int64_t member, int which);
/* The largest instead of the sum; NaN where there is one. */
double mg_row_largest(const mg_row *row, int64_t member, int which);

#endif
