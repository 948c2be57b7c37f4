/* What launch.c, memory.c and the files of plans know of each other. */
#ifndef MG_PLAN_H
#define MG_PLAN_H

#include "core.h"

typedef struct mg_plan_entry {
    mg_launch launch; /* its array of operands is the plan's own copy */
    uint32_t in_place;
    const char *writer;
    int64_t recorded; /* its number when it was recorded */
    int dropped;      /* by a pass, until mg_plan_compact */
    int restores;     /* what the host had filled, for a replay through mg_plan_call alone */
} mg_plan_entry;

/* plan_threads.c: how long replays take on one thread and on all. */
typedef struct mg_plan_trial {
    int64_t replays, block;
    double best[2]; /* seconds: on all threads, on one */
    int alone;      /* one thread was faster */
    int threads;    /* with so many in all */
} mg_plan_trial;

struct mg_plan {
    int64_t id; /* of storages that were made while it was recorded, see mg_storage.plan */
    mg_plan_entry *entries;
    int64_t count, capacity;
    int bound; /* mg_plan_bind was called: what only the plan sees starts anew in each call */
    int input_count, output_count;
    mg_array **inputs;  /* what a call copies its arguments into, before the first launch */
    mg_array **outputs; /* what it returns copies of, after the last */
    int64_t bytes;      /* of the memory that only the plan uses */
    int64_t peak_bytes; /* of it, in use at the same time */
    mg_plan_trial trial;
};

/* What becomes of one storage between the first launch and the last. Launches are counted from 0;
 * -1 stands for the inputs of a call, the number of launches for its outputs. */
typedef struct mg_plan_life {
    mg_storage *storage;
    int64_t first, last;            /* uses of any kind */
    int64_t first_read, last_write; /* INT64_MAX, -2: none */
    int64_t launches;               /* that use it */
    int64_t arrays;                 /* of the plan that show it */
    int64_t bytes, offset;          /* for plan_memory.c */
    int constant;                   /* its content at the beginning counts */
    int shared;                     /* somebody else sees it */
    int number;                     /* a Python number: nobody writes it */
    int mark;                       /* for a pass of its own use */
    int64_t written;                /* for plan_repeated.c: the last launch so far to do so */
    struct mg_plan_life *into;      /* for mg_plan_merge: the storage that takes its place */
} mg_plan_life;

typedef struct mg_plan_lives {
    mg_plan_life *life; /* sorted by storage */
    int64_t count;
    mg_array **arrays; /* every array of the plan once */
    int64_t array_count;
} mg_plan_lives;

/* Values of mg_storage.known. */
enum { MG_KNOWN_WRITTEN = 1, MG_KNOWN_FILLED = 2, MG_KNOWN_RESULT = 3, MG_KNOWN_SHARED = 4 };

int mg_plan_find_lives(const mg_plan *plan, mg_plan_lives *lives);
void mg_plan_free_lives(mg_plan_lives *lives);
mg_plan_life *mg_plan_life_of(const mg_plan_lives *lives, const mg_storage *storage);
int mg_plan_reads(const mg_plan_entry *entry, int index); /* whether it reads that array */
int mg_plan_writes(const mg_plan_entry *entry, int index);
/* The array shows other memory from now on, so many bytes further than before. */
void mg_plan_move(mg_array *array, mg_storage *to, int64_t bytes);
void mg_plan_merge(mg_plan_lives *lives); /* moves arrays to where their life's `into` says */
/* Removes the launches that are marked as dropped. */
void mg_plan_compact(mg_plan *plan);

/* ---- passes, each in the file of its name: -1 and the error where memory is missing ---- */
int mg_plan_drop_constants(mg_plan *plan);
int mg_plan_drop_repeated(mg_plan *plan);
int mg_plan_drop_dead(mg_plan *plan);
int mg_plan_fold(mg_plan *plan);
int mg_plan_reuse(mg_plan *plan);

mg_plan *mg_plan_current(void); /* being recorded on this thread, or NULL */
int64_t mg_plan_current_id(void);
/* Before a launch runs for the first time: memory that it reads and that the host has filled since
 * recording began is kept as it is, to be there again in a replay. */
int mg_plan_prepare(mg_plan *plan, const mg_launch *launch, uint32_t in_place);
int mg_plan_append(mg_plan *plan, const mg_launch *launch, uint32_t in_place, const char *writer);
int mg_plan_run_range(mg_plan *plan, int64_t begin, int64_t end);
/* Calls it on the threads that were found to be faster for this plan. */
int mg_plan_on_threads(mg_plan *plan, int (*body)(void *), void *context);
int mg_plan_run(mg_plan *plan); /* every launch, on one thread or on all, plan_threads.c */
double mg_seconds_now(void);
int mg_launch_run(const mg_launch *launch, uint32_t in_place, const char *writer);

#endif
