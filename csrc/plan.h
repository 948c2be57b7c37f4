/* What launch.c, memory.c and the files of plans know of each other. */
#ifndef MG_PLAN_H
#define MG_PLAN_H

#include "core.h"

typedef struct mg_plan_entry {
    mg_launch launch; /* its array of operands is the plan's own copy */
    uint32_t in_place;
    const char *writer;
    int64_t recorded; /* its number when it was recorded */
} mg_plan_entry;

struct mg_plan {
    int64_t id; /* of storages that were made while it was recorded, see mg_storage.plan */
    mg_plan_entry *entries;
    int64_t count, capacity;
    int input_count, output_count;
    mg_array **inputs;  /* what a call copies its arguments into, before the first launch */
    mg_array **outputs; /* what it returns copies of, after the last */
    int64_t bytes;      /* of the memory that only the plan uses */
    int64_t peak_bytes; /* of it, in use at the same time */
};

mg_plan *mg_plan_current(void); /* being recorded on this thread, or NULL */
int64_t mg_plan_current_id(void);
/* Before a launch runs for the first time: memory that it reads and that the host has filled since
 * recording began is kept as it is, to be there again in a replay. */
int mg_plan_prepare(mg_plan *plan, const mg_launch *launch, uint32_t in_place);
int mg_plan_append(mg_plan *plan, const mg_launch *launch, uint32_t in_place, const char *writer);
int mg_launch_run(const mg_launch *launch, uint32_t in_place, const char *writer);

#endif
