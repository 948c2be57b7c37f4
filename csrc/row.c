/* Many tensors as one long row, see row.h. */
#include "row.h"

enum { PIECE = 8192, LEAST_PIECE = 1024, WINDOW = 512 };

int mg_row_begin(mg_row *row, int64_t members) {
    row->member = mg_scratch(MG_SCRATCH_WORK, (members + 1) * (int64_t)sizeof *row->member);
    if (!row->member) return -1;
    row->members = row->elements = 0;
    row->sums = NULL;
    return 0;
}

int64_t mg_row_add(mg_row *row, mg_array *const *roles, int count) {
    mg_row_member *added = &row->member[row->members];
    added->begin = row->elements;
    added->contiguous = 1;
    for (int role = 0; role < MG_ROW_ROLES; role++) {
        added->roles[role] = role < count ? roles[role] : NULL;
        if (added->roles[role]) added->contiguous &= mg_is_contiguous(added->roles[role]);
    }
    row->elements += roles[0]->size;
    added[1].begin = row->elements;
    return row->members++;
}

/* Elements [begin, end) of one member. What is not contiguous passes through a window on the
 * stack. */
static void visit_member(const mg_row *row, int64_t member, int64_t begin, int64_t end,
                         double *sums) {
    const mg_row_member *of = &row->member[member];
    char *data[MG_ROW_ROLES];
    int64_t item = mg_item_size(of->roles[0]->dtype);
    if (of->contiguous) {
        for (int role = 0; role < MG_ROW_ROLES; role++)
            data[role] = of->roles[role] ? of->roles[role]->data + begin * item : NULL;
        row->body(row, member, begin, end - begin, data, sums);
        return;
    }
    double windows[MG_ROW_ROLES][WINDOW];
    for (; begin < end; begin += WINDOW) {
        int64_t count = end - begin < WINDOW ? end - begin : WINDOW;
        for (int role = 0; role < MG_ROW_ROLES; role++) {
            data[role] = of->roles[role] ? (char *)windows[role] : NULL;
            if (data[role]) mg_gather_run(of->roles[role], begin, count, data[role]);
        }
        row->body(row, member, begin, count, data, sums);
        for (int role = 0; role < MG_ROW_ROLES; role++)
            if (data[role] && row->writes >> role & 1)
                mg_scatter_run(of->roles[role], begin, count, data[role]);
    }
}

/* Of the stretch of a member within a piece. Along the row one of the two numbers grows from
 * stretch to stretch, so their sum is no other stretch's. */
static double *sums_of(const mg_row *row, int64_t piece, int64_t member) {
    return row->sums ? row->sums + 2 * (piece + member) : NULL;
}

static void visit_piece(void *context, int64_t begin, int64_t end) {
    const mg_row *row = context;
    int64_t piece = begin / PIECE;
    int64_t low = 0, high = row->members; /* the member that holds `begin` lies in [low, high) */
    while (high - low > 1) {
        int64_t middle = (low + high) / 2;
        if (row->member[middle].begin <= begin)
            low = middle;
        else
            high = middle;
    }
    for (; begin < end; low++) {
        int64_t stop = row->member[low + 1].begin < end ? row->member[low + 1].begin : end;
        if (begin >= stop) continue;
        visit_member(row, low, begin - row->member[low].begin, stop - row->member[low].begin,
                     sums_of(row, piece, low));
        begin = stop;
    }
}

void mg_row_run(mg_row *row, double nanoseconds) {
    row->sums = NULL;
    int64_t piece = (row->elements / 8 + LEAST_PIECE) / LEAST_PIECE * LEAST_PIECE;
    if (row->elements)
        mg_parallel_for(row->elements, piece < PIECE ? piece : PIECE,
                        nanoseconds * (double)row->elements, visit_piece, row);
}

int mg_row_measure(mg_row *row, double nanoseconds) {
    int64_t stretches = row->elements / PIECE + 1 + row->members;
    int64_t bytes = 2 * stretches * (int64_t)sizeof(double);
    row->sums = mg_scratch(MG_SCRATCH_PACK_A, bytes);
    if (!row->sums) return -1;
    memset(row->sums, 0, (size_t)bytes);
    if (row->elements)
        mg_parallel_for(row->elements, PIECE, nanoseconds * (double)row->elements, visit_piece,
                        row);
    return 0;
}

double mg_row_sum(const mg_row *row, int64_t member, int which) {
    int64_t begin = row->member[member].begin, end = row->member[member + 1].begin;
    double total = 0;
    for (int64_t piece = begin / PIECE; piece * PIECE < end; piece++)
        total += sums_of(row, piece, member)[which];
    return total;
}

double mg_row_largest(const mg_row *row, int64_t member, int which) {
    int64_t begin = row->member[member].begin, end = row->member[member + 1].begin;
    double most = 0;
    for (int64_t piece = begin / PIECE; piece * PIECE < end; piece++) {
        double each = sums_of(row, piece, member)[which];
        if (each > most || each != each) most = each;
        if (most != most) break;
    }
    return most;
}
