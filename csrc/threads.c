/* Threads: the parallel loop, how many threads it uses, and what happens to it after fork().
 *
 * OpenMP is used here and nowhere else; without it everything below still works, on one thread. */
#define _GNU_SOURCE /* sched_getaffinity, CPU_ALLOC */
#include "core.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#if defined(__linux__)
#include <sched.h>
#endif

#ifdef _OPENMP
#include <omp.h>
#include <pthread.h>
#include <signal.h>
#endif

/* OpenMP ends the whole process where it cannot create a thread, so the number has a bound. */
#define MAX_THREADS 1024

static int processor_limit = 1; /* set once, at load */
static int thread_count = 1;    /* atomic */

/* ---- processors that we may use ---- */

static int affinity_processors(void) {
#if defined(__linux__)
    /* The kernel refuses a mask smaller than its own, so ask with larger ones until it fits. */
    for (int bits = 1024; bits <= 1 << 18; bits *= 2) {
        cpu_set_t *mask = CPU_ALLOC(bits);
        size_t bytes = CPU_ALLOC_SIZE(bits);
        if (!mask) break;
        int count = sched_getaffinity(0, bytes, mask) == 0 ? CPU_COUNT_S(bytes, mask) : 0;
        CPU_FREE(mask);
        if (count > 0) return count;
    }
#endif
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int)online : 1;
}

#if defined(__linux__)
static int read_text(const char *path, char *text, size_t bytes) {
    FILE *file = fopen(path, "re");
    if (!file) return 0;
    size_t length = fread(text, 1, bytes - 1, file);
    fclose(file);
    text[length] = 0;
    return length > 0;
}

/* Processors granted by the quota of one control group directory, rounded up; 0: no quota there. */
static int directory_quota(const char *directory) {
    char path[4200], text[64];
    long long quota = 0, period = 0;
    snprintf(path, sizeof path, "%s/cpu.max",
             directory); /* version 2: "QUOTA PERIOD" or "max ..." */
    if (read_text(path, text, sizeof text)) {
        if (sscanf(text, "%lld %lld", &quota, &period) != 2) return 0;
    } else { /* version 1: two files, -1 for no quota */
        snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", directory);
        if (!read_text(path, text, sizeof text) || sscanf(text, "%lld", &quota) != 1) return 0;
        snprintf(path, sizeof path, "%s/cpu.cfs_period_us", directory);
        if (!read_text(path, text, sizeof text) || sscanf(text, "%lld", &period) != 1) return 0;
    }
    if (quota <= 0 || period <= 0) return 0;
    long long processors = (quota + period - 1) / period;
    return processors < MAX_THREADS ? (int)processors : MAX_THREADS;
}

/* The smallest quota from the group `mount`/`group` up to `mount` itself: a parent's quota binds
 * its children. Inside a container the group may be named as the host sees it; directories that are
 * not there count as without quota, and the walk up ends at the container's own. */
static int group_quota(const char *mount, const char *group) {
    char directory[4100];
    int least = 0;
    int length = snprintf(directory, sizeof directory, "%s%s", mount, group);
    int root = (int)strlen(mount);
    if (length >= (int)sizeof directory) return 0;
    for (;;) {
        while (length > root && directory[length - 1] == '/') directory[--length] = 0;
        int quota = directory_quota(directory);
        if (quota > 0 && (least == 0 || quota < least)) least = quota;
        if (length <= root) return least;
        while (length > root && directory[length - 1] != '/') directory[--length] = 0;
    }
}

/* Reads lines "hierarchy:controllers:group" from `membership`, the text of /proc/self/cgroup; the
 * controllers are empty in version 2. `root` is /sys/fs/cgroup. */
static int quota_of_groups(const char *root, char *membership) {
    int least = 0;
    char *rest = NULL;
    for (char *line = strtok_r(membership, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group) continue;
        *group++ = 0;
        controllers++;
        char mount[600];
        if (*controllers == 0) /* version 2, mounted alone or beside version 1 */
            snprintf(mount, sizeof mount, "%s", root);
        else if (strcmp(controllers, "cpu") == 0 || strncmp(controllers, "cpu,", 4) == 0 ||
                 strstr(controllers, ",cpu,") ||
                 (strlen(controllers) > 4 &&
                  strcmp(controllers + strlen(controllers) - 4, ",cpu") == 0))
            snprintf(mount, sizeof mount, "%s/%s", root, controllers);
        else
            continue;
        int quota = group_quota(mount, group);
        if (quota > 0 && (least == 0 || quota < least)) least = quota;
    }
    return least;
}
#endif

/* min(processors of the affinity mask, CPU quota of the control group rounded up) */
static int find_processor_limit(void) {
    int limit = affinity_processors();
#if defined(__linux__)
    char membership[8192];
    int quota = read_text("/proc/self/cgroup", membership, sizeof membership)
                    ? quota_of_groups("/sys/fs/cgroup", membership)
                    : 0;
    if (quota > 0 && quota < limit) limit = quota;
#endif
    return limit < MAX_THREADS ? limit : MAX_THREADS;
}

/* ---- the number of threads ---- */

int mg_processor_limit(void) { return processor_limit; }

int mg_get_num_threads(void) { return __atomic_load_n(&thread_count, __ATOMIC_RELAXED); }

int mg_set_num_threads(int count) {
    if (count < 1)
        return mg_fail(MG_RUNTIME_ERROR, "set_num_threads expects a positive integer, got %d",
                       count);
    if (count > MAX_THREADS)
        return mg_fail(MG_RUNTIME_ERROR,
                       "set_num_threads: %d is more than the %d threads supported", count,
                       MAX_THREADS);
#ifdef _OPENMP
    __atomic_store_n(&thread_count, count, __ATOMIC_RELAXED);
#endif
    return 0; /* without OpenMP there is one thread, whatever is asked for */
}

const char *mg_openmp(void) {
#ifdef _OPENMP
#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
    return TEXT(_OPENMP);
#else
    return "";
#endif
}

/* ---- the loop ---- */

typedef struct loop {
    int64_t count, piece;
    mg_body body;
    void *context;
} loop;

/* Pieces [first, last) of the loop. */
static void run_pieces(const loop *task, int64_t first, int64_t last) {
    for (int64_t index = first; index < last; index++) {
        int64_t begin = index * task->piece;
        int64_t end = task->count - begin < task->piece ? task->count : begin + task->piece;
        task->body(task->context, begin, end);
    }
}

#ifdef _OPENMP

/* A loop that takes less than this on one thread stays on it. Measured on two cores (Zen 5) with
 * libgomp: a fork-join costs 0.5 us while the worker still spins after the last loop and 30 to 40
 * us once it sleeps; a loop of 4.4 us takes 2.8 us on both cores, one of 8.7 us takes 5.0 us. The
 * gain is worth the risk of a sleeping or busy worker from about 10 us on. The part that grows with
 * the team (every thread has to arrive) is an estimate for larger machines. */
/* The same for a loop of a team that stands by. */
#define STANDING_BY_NANOSECONDS 1500.0

static double fork_join_nanoseconds(int threads) { return 8000.0 + 1000.0 * threads; }

/* Thread t of n takes pieces [t p / n, (t + 1) p / n): neighbours in memory stay with one thread,
 * and the same thread sees the same data from one loop to the next. The team is always the full
 * one, even with fewer pieces than threads: libgomp ends the threads that a smaller team leaves
 * over, and making them anew costs far more than letting them pass. */
static void run_team(const loop *task, int64_t pieces, int threads) {
#pragma omp parallel num_threads(threads)
    {
        int64_t rank = omp_get_thread_num(), team = omp_get_num_threads();
        run_pieces(task, rank * pieces / team, (rank + 1) * pieces / team);
    }
}

/* A team is as late as its last thread. Where other programs keep the processors busy, that thread
 * waits for its turn, a few milliseconds each time, and a training step of a hundred short loops
 * takes twenty times as long as on one thread. So a loop that took far longer than it was estimated
 * to take on one thread has the next ones stay on theirs: 16 loops, and twice as many each time it
 * happens again. The result is the same, since it does not depend on the number of threads. */
enum { FIRST_PAUSE = 16, LONGEST_PAUSE = 4096 };
static const double LATE_FACTOR = 4.0, LATE_NANOSECONDS = 500e3;

typedef struct patience {
    int pause; /* loops that stay on one thread after the next late one */
    int left;  /* of the present pause */
    int regions;
} patience;

static __thread patience team_patience;

static double nanoseconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return 1e9 * (double)now.tv_sec + (double)now.tv_nsec;
}

/* Notes how long a team took for what was estimated as `nanoseconds` on one thread. */
static void judge_team(double took, double nanoseconds) {
    patience *own = &team_patience;
    if (own->regions < 2) { /* the first ones make the threads */
        own->regions++;
        return;
    }
    if (took > LATE_FACTOR * nanoseconds + LATE_NANOSECONDS) {
        own->pause = own->pause ? 2 * own->pause : FIRST_PAUSE;
        if (own->pause > LONGEST_PAUSE) own->pause = LONGEST_PAUSE;
        own->left = own->pause;
    } else if (own->pause) {
        own->pause /= 2;
    }
}

/* fork() copies the forking thread alone. libgomp keeps each thread's pool of workers in that
 * thread's local storage and does not know that they are gone: the next parallel region in the
 * child would wait for them forever. Any other thread has a pool of its own, though. So in a child
 * the thread that came through fork() leaves its parallel regions to a helper thread, made on the
 * first one and kept: the child computes on all processors like its parent. Threads that the child
 * starts later are ordinary ones. This holds for children of children too, whose helper is gone
 * like all other threads and is made anew. (LLVM's libomp resets itself in the child; the helper
 * does it no harm.) */
typedef struct helper {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    const loop *task; /* NULL: idle */
    int64_t pieces;
    int threads;
} helper;

/* Of this thread: has it come through fork(); its helper, shared with no other thread. */
static __thread int pool_is_lost;
static __thread helper *own_helper;

/* Runs in the child, on the forking thread. The old helper's memory is left alone: its lock may be
 * in any state, and nobody uses it again. */
static void after_fork_in_child(void) {
    pool_is_lost = 1;
    own_helper = NULL;
}

static void *serve(void *argument) {
    helper *self = argument;
    pthread_mutex_lock(&self->lock);
    for (;;) {
        while (!self->task) pthread_cond_wait(&self->changed, &self->lock);
        pthread_mutex_unlock(&self->lock);
        run_team(self->task, self->pieces, self->threads);
        pthread_mutex_lock(&self->lock);
        self->task = NULL;
        pthread_cond_signal(&self->changed);
    }
    return NULL;
}

static helper *start_helper(void) {
    helper *fresh = calloc(1, sizeof *fresh);
    if (!fresh) return NULL;
    pthread_mutex_init(&fresh->lock, NULL);
    pthread_cond_init(&fresh->changed, NULL);
    /* Signals stay with Python's threads; the helper's OpenMP workers inherit the mask. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    int failed = pthread_create(&thread, NULL, serve, fresh);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        free(fresh);
        return NULL;
    }
    pthread_detach(thread);
    return fresh;
}

/* ---- a team that stands by (mg_parallel_region) ----
 *
 * One parallel region holds several loops. Between them the workers wait for the next, spinning, so
 * that a loop costs two cache lines that move between cores instead of a fork and a join. Every
 * thread begins with its own share of the pieces and then helps with those of the others: a worker
 * that the system has put aside, or that has not woken up yet, delays nothing it has not begun. */

enum { TEAM_THREADS = 64, SPINS = 4096 };

#define MOST_PIECES (1 << 20)
#define NO_MORE 0xffffff /* the ticket that ends the region */

/* The pieces of one thread that nobody has begun, in one word: the number of the loop (24 bits),
 * the first piece that is not of this share (20), the next one to begin (20). */
typedef struct share {
    _Alignas(64) uint64_t word; /* atomic */
} share;

static uint64_t word_of(uint32_t ticket, int64_t end, int64_t next) {
    return (uint64_t)ticket << 40 | (uint64_t)end << 20 | (uint64_t)next;
}

static uint32_t ticket_of(uint64_t word) { return (uint32_t)(word >> 40); }

static int64_t end_of(uint64_t word) { return (int64_t)(word >> 20 & (MOST_PIECES - 1)); }

static int64_t next_of(uint64_t word) { return (int64_t)(word & (MOST_PIECES - 1)); }

typedef struct team {
    share shares[TEAM_THREADS];
    _Alignas(64) int64_t finished; /* pieces, atomic */
    _Alignas(64) loop task;
    int threads;
    uint32_t ticket;
} team;

static __thread team *own_team; /* of the thread that runs the region */
static __thread int alone;      /* see mg_parallel_alone */

static inline void relax(int *spins) {
    if (++*spins % SPINS == 0) {
        sched_yield();
        return;
    }
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Takes pieces of that share as long as there are any of loop `ticket`; how many it has run. A
 * piece once taken keeps the loop from ending, so that its description can be read. */
static int64_t run_share(team *all, int rank, uint32_t ticket) {
    int64_t done = 0;
    uint64_t word = __atomic_load_n(&all->shares[rank].word, __ATOMIC_ACQUIRE);
    while (ticket_of(word) == ticket && next_of(word) < end_of(word)) {
        if (!__atomic_compare_exchange_n(&all->shares[rank].word, &word, word + 1, 0,
                                         __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            continue;
        run_pieces(&all->task, next_of(word), next_of(word) + 1);
        done++;
        word = __atomic_load_n(&all->shares[rank].word, __ATOMIC_ACQUIRE);
    }
    return done;
}

static void run_shares(team *all, int rank, uint32_t ticket) {
    int64_t done = 0;
    for (int i = 0; i < all->threads; i++)
        done += run_share(all, (rank + i) % all->threads, ticket);
    if (done) __atomic_add_fetch(&all->finished, done, __ATOMIC_RELEASE);
}

static void run_on_team(team *all, const loop *task, int64_t pieces) {
    own_team = NULL; /* a loop within the loop is serial */
    all->task = *task;
    __atomic_store_n(&all->finished, 0, __ATOMIC_RELAXED);
    all->ticket++;
    for (int rank = 0; rank < all->threads; rank++)
        __atomic_store_n(&all->shares[rank].word,
                         word_of(all->ticket, (rank + 1) * pieces / all->threads,
                                 rank * pieces / all->threads),
                         __ATOMIC_RELEASE);
    run_shares(all, 0, all->ticket);
    for (int spins = 0; __atomic_load_n(&all->finished, __ATOMIC_ACQUIRE) != pieces;) relax(&spins);
    own_team = all;
}

static void stand_by(team *all, int rank) {
    uint32_t seen = 0;
    for (int spins = 0;;) {
        const uint32_t ticket =
            ticket_of(__atomic_load_n(&all->shares[rank].word, __ATOMIC_ACQUIRE));
        if (ticket == NO_MORE) return;
        if (ticket == seen) {
            relax(&spins);
            continue;
        }
        seen = ticket;
        spins = 0;
        run_shares(all, rank, ticket);
    }
}

static int run_region(int threads, int (*run)(void *context), void *context) {
    team all = {.threads = threads};
    int status = 0;
#pragma omp parallel num_threads(threads)
    {
        const int rank = omp_get_thread_num();
        if (rank > 0) {
            stand_by(&all, rank);
        } else {
            own_team = &all;
            status = run(context);
            own_team = NULL;
            for (int other = 0; other < threads; other++)
                __atomic_store_n(&all.shares[other].word, word_of(NO_MORE, 0, 0), __ATOMIC_RELEASE);
        }
    }
    return status;
}

static void run_by_helper(const loop *task, int64_t pieces, int threads) {
    helper *self = own_helper;
    if (!self) self = own_helper = start_helper();
    if (!self) { /* no thread to be had: alone, then */
        run_pieces(task, 0, pieces);
        return;
    }
    pthread_mutex_lock(&self->lock);
    self->pieces = pieces;
    self->threads = threads;
    self->task = task;
    pthread_cond_signal(&self->changed);
    while (self->task) pthread_cond_wait(&self->changed, &self->lock);
    pthread_mutex_unlock(&self->lock);
}

#endif

void mg_parallel_for(int64_t count, int64_t piece, double nanoseconds, mg_body body,
                     void *context) {
    if (count <= 0) return;
    if (piece < 1) piece = 1;
    loop task = {count, piece, body, context};
    int64_t pieces = (count - 1) / piece + 1;
#ifdef _OPENMP
    if (alone) {
        run_pieces(&task, 0, pieces);
        return;
    }
    if (own_team) {
        if (pieces > 1 && pieces < MOST_PIECES && nanoseconds > STANDING_BY_NANOSECONDS)
            run_on_team(own_team, &task, pieces);
        else
            run_pieces(&task, 0, pieces);
        return;
    }
    int threads = pieces > 1 ? mg_get_num_threads() : 1;
    if (threads > 1 && nanoseconds > fork_join_nanoseconds(threads) && !omp_in_parallel()) {
        if (team_patience.left > 0) {
            team_patience.left--;
        } else {
            double begin = nanoseconds_now();
            if (pool_is_lost)
                run_by_helper(&task, pieces, threads);
            else
                run_team(&task, pieces, threads);
            judge_team(nanoseconds_now() - begin, nanoseconds);
            return;
        }
    }
#else
    (void)nanoseconds;
#endif
    run_pieces(&task, 0, pieces);
}

int mg_parallel_region(int (*run)(void *context), void *context) {
#ifdef _OPENMP
    const int threads = mg_get_num_threads();
    if (threads > 1 && threads <= TEAM_THREADS && !own_team && !alone && !omp_in_parallel() &&
        !pool_is_lost)
        return run_region(threads, run, context);
#endif
    return run(context);
}

int mg_parallel_alone(int (*run)(void *context), void *context) {
#ifdef _OPENMP
    const int before = alone;
    alone = 1;
    const int status = run(context);
    alone = before;
    return status;
#else
    return run(context);
#endif
}

double mg_parallel_overhead(void) {
#ifdef _OPENMP
    if (alone) return INFINITY;
    if (own_team) return STANDING_BY_NANOSECONDS;
    const int threads = mg_get_num_threads();
    if (threads > 1 && !omp_in_parallel()) return fork_join_nanoseconds(threads);
#endif
    return INFINITY;
}

/* OMP_NUM_THREADS ("4", or "4,2" for nested levels) goes before the number of processors. */
__attribute__((constructor)) static void initialize_threads(void) {
    processor_limit = find_processor_limit();
#ifdef _OPENMP
    thread_count = processor_limit;
    const char *wish = getenv("OMP_NUM_THREADS");
    long wished = wish ? strtol(wish, NULL, 10) : 0;
    if (wished > 0) thread_count = wished < MAX_THREADS ? (int)wished : MAX_THREADS;
    pthread_atfork(NULL, NULL, after_fork_in_child);
#endif
}
