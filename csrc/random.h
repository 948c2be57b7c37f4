/* The random loops that an instruction set provides. */
#ifndef MG_RANDOM_H
#define MG_RANDOM_H

/* Philox yields 4 words of 32 bits a block. Blocks come in groups of 8, laid out so that a vector
 * of any width stores without a shuffle: first words 0 and 1 of each block as one 64-bit number
 * (word 0 is the low half), then likewise words 2 and 3. */
enum { MG_GROUP_BLOCKS = 8, MG_GROUP_WORDS64 = 16, MG_GROUP_BATCH = 4 };

typedef struct mg_random_loops {
    /* Blocks block, block + 1, ...; groups: a multiple of MG_GROUP_BATCH. */
    void (*philox)(uint64_t key, uint64_t block, uint64_t stream, int64_t groups, uint64_t *words);
    /* low + width u, u in [0, 1), but at most `limit`; count: whole groups; float32 uses 32 bits a
     * value, float64 uses 64. */
    void (*uniform[MG_DTYPE_COUNT])(const uint64_t *words, int64_t count, double low, double width,
                                    double limit, void *out);
    void (*normal[MG_DTYPE_COUNT])(const uint64_t *words, int64_t count, double mean, double std,
                                   void *out);
    /* mask = `scale` where a value's 32 bits are at most `last`, else 0; y = x mask */
    void (*dropout[MG_DTYPE_COUNT])(const uint64_t *words, int64_t count, uint32_t last,
                                    double scale, const void *x, void *y, void *mask);
} mg_random_loops;

#endif
