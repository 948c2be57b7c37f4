/* Memory for arrays: blocks of a header and its data, 64-byte-aligned, kept in a pool by size.
 *
 * A training step allocates the same sizes again and again. The pool hands back the block that was
 * freed last, which is still in the cache, and pays neither malloc nor page faults. Blocks serve
 * their own size only, so the pool needs room for the most that was in use of each size, which can
 * be more than was in use at once: it caches up to CACHE_FACTOR times that peak, and CACHE_FREE
 * bytes in any case. (With the peak alone as the limit, a LeNet's step gave one block of 1.2 MB
 * back and fetched it anew each time: 285 page faults, over a quarter of the time of the step.)
 */
#include "core.h"
#include "memory.h"
#include "plan.h"

#include <pthread.h>
#include <sched.h>

/* Sizes 64 * 2^k * {1, 1.25, 1.5, 1.75}: at most a fifth of a block is unused. */
enum { STEPS = 4, CLASSES = 38 * STEPS };

enum { CACHE_FACTOR = 2, CACHE_FREE = 64 << 20 };

typedef struct block {
    struct block *next;
} block;

static char pool_lock;
static block *free_blocks[CLASSES];
static block *free_headers;
static int64_t live_bytes, cached_bytes, peak_bytes;

/* Critical sections are a few instructions long: spinning is cheaper than any mutex. */
static void lock(void) {
    while (__atomic_test_and_set(&pool_lock, __ATOMIC_ACQUIRE)) sched_yield();
}

static void unlock(void) { __atomic_clear(&pool_lock, __ATOMIC_RELEASE); }

/* A fork while another thread holds the lock would leave it held in the child for ever. */
__attribute__((constructor)) static void install_fork_handlers(void) {
    pthread_atfork(lock, unlock, unlock);
}

static int class_of(int64_t bytes) {
    if (bytes <= 64) return 0;
    int64_t units = (bytes + 63) / 64 - 1; /* >= 1 */
    int power = 63 - __builtin_clzll((unsigned long long)units);
    /* The block holds (4 + step + 1) quarters of 64 * 2^power. */
    int64_t quarter = power >= 2 ? (units >> (power - 2)) & 3 : (units << (2 - power)) & 3;
    return 1 + power * STEPS + (int)quarter;
}

static int64_t class_bytes(int size_class) {
    if (size_class == 0) return 64;
    int power = (size_class - 1) / STEPS, step = (size_class - 1) % STEPS;
    int64_t quarters = 5 + step;
    int64_t bytes = (quarters << power) * 16;
    return (bytes + 63) / 64 * 64;
}

static void *system_allocate(int64_t bytes) {
    void *memory = NULL;
    return posix_memalign(&memory, MG_ALIGNMENT, (size_t)bytes) ? NULL : memory;
}

/* Sanitizers see a use after free only where free really frees. */
#if defined(__SANITIZE_ADDRESS__)
#define MG_POOLED 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MG_POOLED 0
#endif
#endif
#ifndef MG_POOLED
#define MG_POOLED 1
#endif

mg_storage *mg_storage_new(int64_t bytes) {
    int size_class = class_of(bytes);
    if (bytes < 0 || size_class >= CLASSES) {
        mg_fail(MG_MEMORY_ERROR, "cannot allocate %lld bytes", (long long)bytes);
        return NULL;
    }
    int64_t room = class_bytes(size_class);
    lock();
    block *found = free_blocks[size_class];
    if (found) {
        free_blocks[size_class] = found->next;
        cached_bytes -= room;
    }
    live_bytes += room;
    if (live_bytes > peak_bytes) peak_bytes = live_bytes;
    unlock();
    mg_storage *storage = (mg_storage *)found;
    if (!storage) {
        int64_t total = room + (int64_t)sizeof(mg_storage_block);
        storage = system_allocate(total);
        if (!storage) {
            mg_pool_trim();
            storage = system_allocate(total);
        }
        if (!storage) {
            lock();
            live_bytes -= room;
            unlock();
            mg_fail(MG_MEMORY_ERROR, "out of memory: cannot allocate %lld bytes", (long long)bytes);
            return NULL;
        }
    }
    storage->references = 1;
    storage->size_class = size_class;
    storage->bytes = bytes;
    storage->data = (char *)storage + sizeof(mg_storage_block);
    storage->version = 0;
    storage->stamp = 0;
    storage->last_writer = "";
    storage->owner = 0;
    storage->plan = mg_plan_current_id();
    storage->known = 0;
    return storage;
}

mg_storage *mg_storage_wrap(void *data, int64_t bytes, int64_t owner) {
    mg_storage *storage = system_allocate(sizeof(mg_storage_block));
    if (!storage) {
        mg_fail(MG_MEMORY_ERROR, "out of memory");
        return NULL;
    }
    *storage = (mg_storage){.references = 1,
                            .size_class = -1,
                            .bytes = bytes,
                            .data = data,
                            .last_writer = "",
                            .owner = owner};
    return storage;
}

static void (*owner_release)(int64_t owner);

void mg_set_owner_release(void (*release)(int64_t owner)) { owner_release = release; }

void mg_storage_retain(mg_storage *storage) {
    __atomic_fetch_add(&storage->references, 1, __ATOMIC_RELAXED);
}

void mg_storage_release(mg_storage *storage) {
    if (__atomic_sub_fetch(&storage->references, 1, __ATOMIC_ACQ_REL) > 0) return;
    if (storage->size_class < 0) {
        if (owner_release) owner_release(storage->owner);
        free(storage);
        return;
    }
    int64_t room = class_bytes(storage->size_class);
    lock();
    live_bytes -= room;
    int keep = MG_POOLED && cached_bytes + room <= CACHE_FACTOR * peak_bytes + CACHE_FREE;
    if (keep) {
        block *freed = (block *)storage;
        int size_class = storage->size_class;
        freed->next = free_blocks[size_class];
        free_blocks[size_class] = freed;
        cached_bytes += room;
    }
    unlock();
    if (!keep) free(storage);
}

mg_array *mg_header_new(void) {
    lock();
    block *found = free_headers;
    if (found) free_headers = found->next;
    unlock();
    mg_array *header = found ? (mg_array *)found : system_allocate(sizeof(mg_array));
    if (!header) {
        mg_fail(MG_MEMORY_ERROR, "out of memory");
        return NULL;
    }
    header->references = 1;
    return header;
}

void mg_header_free(mg_array *header) {
    if (!MG_POOLED) {
        free(header);
        return;
    }
    block *freed = (block *)header;
    lock();
    freed->next = free_headers;
    free_headers = freed;
    unlock();
}

void mg_pool_trim(void) {
    block *all = NULL;
    lock();
    for (int c = 0; c < CLASSES; c++) {
        while (free_blocks[c]) {
            block *taken = free_blocks[c];
            free_blocks[c] = taken->next;
            taken->next = all;
            all = taken;
        }
    }
    cached_bytes = 0;
    peak_bytes = live_bytes;
    unlock();
    while (all) {
        block *next = all->next;
        free(all);
        all = next;
    }
}

void mg_pool_statistics(int64_t *live, int64_t *cached, int64_t *peak) {
    lock();
    *live = live_bytes;
    *cached = cached_bytes;
    *peak = peak_bytes;
    unlock();
}

/* ---- work memory of a thread ---- */

typedef struct scratch {
    void *memory[MG_SCRATCH_SLOTS];
    int64_t bytes[MG_SCRATCH_SLOTS];
} scratch;

static __thread scratch thread_scratch;
static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;

static void scratch_free(void *value) {
    scratch *own = value;
    for (int slot = 0; slot < MG_SCRATCH_SLOTS; slot++) {
        free(own->memory[slot]);
        own->memory[slot] = NULL;
        own->bytes[slot] = 0;
    }
}

static void scratch_make_key(void) { pthread_key_create(&scratch_key, scratch_free); }

void *mg_scratch(int slot, int64_t bytes) {
    scratch *own = &thread_scratch;
    if (bytes <= own->bytes[slot]) return own->memory[slot];
    pthread_once(&scratch_once, scratch_make_key);
    pthread_setspecific(scratch_key, own); /* freed when the thread ends */
    free(own->memory[slot]);
    own->memory[slot] = NULL;
    own->bytes[slot] = 0;
    void *memory = system_allocate(bytes);
    if (!memory) {
        mg_fail(MG_MEMORY_ERROR, "out of memory: cannot allocate %lld bytes of work memory",
                (long long)bytes);
        return NULL;
    }
    own->memory[slot] = memory;
    own->bytes[slot] = bytes;
    return memory;
}
