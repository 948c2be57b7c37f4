/* On how many threads a plan runs: all of them in one parallel region, or this one alone, which is
 * faster where launches are short or the other processors are busy. The first replays are timed,
 * half of them each way, and a few later ones again. The bits are the same in any case. */
#include "plan.h"

#include <time.h>

/* Replays of a trial, which change sides after every block of so many: a long block for short
 * replays, so that the others are awake and the caches have settled. */
enum { BLOCKS = 6, LONG_BLOCK = 12, AGAIN_AFTER = 8192 };
#define SHORT_SECONDS 200e-6

double mg_seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int run_all(void *plan) { return mg_plan_run_range(plan, 0, ((mg_plan *)plan)->count); }

static int run_timed(mg_plan *plan) {
    mg_plan_trial *trial = &plan->trial;
    const int alone = (int)(trial->replays / trial->block) & 1;
    const double begin = mg_seconds_now();
    const int status = alone ? mg_parallel_alone(run_all, plan) : mg_parallel_region(run_all, plan);
    const double seconds = mg_seconds_now() - begin;
    if (seconds < trial->best[alone]) trial->best[alone] = seconds;
    if (++trial->replays == BLOCKS * trial->block) trial->alone = trial->best[1] < trial->best[0];
    return status;
}

/* The first replay of all, on one thread, says how long the blocks are. */
static int begin_trial(mg_plan *plan, int threads) {
    const double begin = mg_seconds_now();
    const int status = mg_parallel_alone(run_all, plan);
    const double seconds = mg_seconds_now() - begin;
    plan->trial = (mg_plan_trial){.threads = threads,
                                  .best = {seconds, seconds},
                                  .block = seconds < SHORT_SECONDS ? LONG_BLOCK : 1};
    return status;
}

int mg_plan_threads(mg_plan *plan) { return plan->trial.alone ? 1 : mg_get_num_threads(); }

int mg_plan_on_threads(mg_plan *plan, int (*body)(void *), void *context) {
    if (mg_get_num_threads() == 1) return body(context);
    return plan->trial.alone ? mg_parallel_alone(body, context) : mg_parallel_region(body, context);
}

int mg_plan_run(mg_plan *plan) {
    mg_plan_trial *trial = &plan->trial;
    const int threads = mg_get_num_threads();
    if (threads == 1) return run_all(plan);
    if (trial->threads != threads || trial->replays == AGAIN_AFTER)
        return begin_trial(plan, threads);
    if (trial->replays < BLOCKS * trial->block) return run_timed(plan);
    trial->replays++;
    return mg_plan_on_threads(plan, run_all, plan);
}
