/* Random numbers. A generator is two integers in memory, seed and counter. A launch takes as many
 * blocks of Philox as it needs from the counter, and its values depend only on the seed, the
 * counter before and the position of the element: not on threads, instruction set, strides or what
 * ran before. */
#include "strided.h"

enum { CHUNK = 1024, PIECE = 16 * CHUNK, BLOCK_WORDS = 4 };

typedef struct filling {
    mg_array *destination;
    const mg_launch *launch;
    uint64_t key, block; /* of element 0 */
    int wide;            /* 64 bits a value, not 32 */
    /* Makes the values of elements [begin, begin + count); count may be rounded up to whole groups.
     * */
    void (*convert)(const struct filling *filling, const uint64_t *words, int64_t begin,
                    int64_t count, void *out);
} filling;

static int64_t values_a_block(const filling *filling) {
    return filling->wide ? BLOCK_WORDS / 2 : BLOCK_WORDS;
}

/* Takes blocks for `count` values from the generator, in whole groups. Atomic: threads that share a
 * generator get different blocks. */
static void take_blocks(filling *filling, mg_array *generator, int64_t count) {
    int64_t *state = (int64_t *)generator->data;
    int64_t group = MG_GROUP_BLOCKS * values_a_block(filling);
    int64_t blocks = (count + group - 1) / group * MG_GROUP_BLOCKS;
    filling->key = (uint64_t)state[0];
    filling->block = (uint64_t)__atomic_fetch_add(&state[1], blocks, __ATOMIC_RELAXED);
}

/* The words of elements [begin, begin + count), begin at the start of a group. Returns how many
 * values the groups hold that were written. */
static int64_t fill_words(const filling *filling, uint64_t stream, int64_t begin, int64_t count,
                          uint64_t *words) {
    int64_t group = MG_GROUP_BLOCKS * values_a_block(filling), batch = group * MG_GROUP_BATCH;
    uint64_t block = filling->block + (uint64_t)(begin / values_a_block(filling));
    mg_active_isa->random.philox(filling->key, block, stream,
                                 (count + batch - 1) / batch * MG_GROUP_BATCH, words);
    return (count + group - 1) / group * group;
}

static void fill_piece(void *context, int64_t begin, int64_t end) {
    const filling *filling = context;
    mg_array *destination = filling->destination;
    int64_t item = mg_item_size(destination->dtype);
    uint64_t words[CHUNK] __attribute__((aligned(MG_ALIGNMENT)));
    uint64_t values[CHUNK] __attribute__((aligned(MG_ALIGNMENT)));
    for (; begin < end; begin += CHUNK) {
        int64_t count = end - begin < CHUNK ? end - begin : CHUNK;
        int64_t rounded = fill_words(filling, 0, begin, count, words);
        if (mg_is_contiguous(destination) && rounded == count) {
            filling->convert(filling, words, begin, count, destination->data + begin * item);
        } else {
            filling->convert(filling, words, begin, rounded, values);
            mg_scatter_run(destination, begin, count, values);
        }
    }
}

static int fill(filling *filling, double nanoseconds) {
    int64_t size = filling->destination->size;
    take_blocks(filling, filling->launch->arrays[1], size);
    if (size) mg_parallel_for(size, PIECE, nanoseconds * (double)size, fill_piece, filling);
    return 0;
}

/* ---- uniform and normal: scalars low, width, limit and mean, std ---- */

static void convert_uniform(const filling *filling, const uint64_t *words, int64_t begin,
                            int64_t count, void *out) {
    (void)begin;
    const double *scalars = filling->launch->scalars;
    mg_active_isa->random.uniform[filling->destination->dtype](words, count, scalars[0], scalars[1],
                                                               scalars[2], out);
}

int mg_run_random_uniform(const mg_launch *launch) {
    mg_array *destination = launch->arrays[0];
    filling filling = {destination, launch, .convert = convert_uniform};
    filling.wide = destination->dtype == MG_FLOAT64;
    return fill(&filling, 0.6);
}

static void convert_normal(const filling *filling, const uint64_t *words, int64_t begin,
                           int64_t count, void *out) {
    (void)begin;
    const double *scalars = filling->launch->scalars;
    mg_active_isa->random.normal[filling->destination->dtype](words, count, scalars[0], scalars[1],
                                                              out);
}

int mg_run_random_normal(const mg_launch *launch) {
    mg_array *destination = launch->arrays[0];
    filling filling = {destination, launch, .convert = convert_normal};
    filling.wide = destination->dtype == MG_FLOAT64;
    return fill(&filling, 2);
}

/* ---- Bernoulli: integers[0] is the probability in units of 2^-32 ---- */

static void convert_bernoulli(const filling *filling, const uint64_t *words, int64_t begin,
                              int64_t count, void *out) {
    (void)begin;
    const uint32_t *word = (const uint32_t *)words;
    int64_t chances = filling->launch->integers[0];
    if (chances == 0) {
        memset(out, 0, (size_t)(count * mg_item_size(filling->destination->dtype)));
        return;
    }
    uint32_t last = (uint32_t)(chances - 1); /* a word up to here is a success */
    switch (filling->destination->dtype) {
    case MG_BOOL:
    case MG_UINT8:
        for (int64_t i = 0; i < count; i++) ((uint8_t *)out)[i] = word[i] <= last;
        break;
    case MG_INT32:
        for (int64_t i = 0; i < count; i++) ((int32_t *)out)[i] = word[i] <= last;
        break;
    case MG_INT64:
        for (int64_t i = 0; i < count; i++) ((int64_t *)out)[i] = word[i] <= last;
        break;
    case MG_FLOAT32:
        for (int64_t i = 0; i < count; i++) ((float *)out)[i] = word[i] <= last ? 1.0f : 0.0f;
        break;
    default:
        for (int64_t i = 0; i < count; i++) ((double *)out)[i] = word[i] <= last ? 1.0 : 0.0;
    }
}

int mg_run_random_bernoulli(const mg_launch *launch) {
    filling filling = {launch->arrays[0], launch, .convert = convert_bernoulli};
    return fill(&filling, 0.5);
}

/* ---- dropout: integers[0] as in Bernoulli, scalars[0] the factor of a kept element ---- */

static void drop_piece(void *context, int64_t begin, int64_t end) {
    const filling *filling = context;
    const mg_launch *launch = filling->launch;
    const mg_array *input = launch->arrays[3];
    const int64_t item = mg_item_size(input->dtype), chances = launch->integers[0];
    const double scale = chances ? launch->scalars[0] : 0;
    const uint32_t last = chances ? (uint32_t)(chances - 1) : 0;
    uint64_t words[CHUNK] __attribute__((aligned(MG_ALIGNMENT)));
    for (; begin < end; begin += CHUNK) {
        int64_t count = end - begin < CHUNK ? end - begin : CHUNK, place = begin * item;
        fill_words(filling, 0, begin, count, words);
        mg_active_isa->random.dropout[input->dtype](words, count, last, scale, input->data + place,
                                                    launch->arrays[0]->data + place,
                                                    launch->arrays[1]->data + place);
    }
}

/* arrays: output, mask, generator, input, all contiguous. The mask is what Bernoulli draws. */
int mg_run_dropout(const mg_launch *launch) {
    filling filling = {.destination = launch->arrays[0], .launch = launch};
    const int64_t size = launch->arrays[0]->size;
    take_blocks(&filling, launch->arrays[2], size);
    if (size) mg_parallel_for(size, PIECE, 0.6 * (double)size, drop_piece, &filling);
    return 0;
}

/* ---- integers: integers low, high ---- */

/* Lemire, "Fast random integer generation in an interval", 2019: the high half of word times range;
 * where the low half falls below 2^bits mod range the word is refused, so that every value has as
 * many words. Returns whether the word was accepted. */
static inline int accept32(uint32_t word, uint64_t range, uint64_t *value) {
    uint64_t product = word * range, low = (uint32_t)product;
    *value = product >> 32;
    return low >= range || low >= ((UINT64_C(1) << 32) - range) % range;
}

static inline int accept64(uint64_t word, uint64_t range, uint64_t *value) {
    unsigned __int128 product = (unsigned __int128)word * range;
    uint64_t low = (uint64_t)product;
    *value = (uint64_t)(product >> 64);
    return low >= range || low >= -range % range;
}

/* The next tries of an element whose word was refused are its words in the next streams. */
static uint64_t try_again(const filling *filling, int64_t index, uint64_t range) {
    uint64_t words[MG_GROUP_BATCH * MG_GROUP_WORDS64] __attribute__((aligned(MG_ALIGNMENT)));
    int64_t at = index % (MG_GROUP_BLOCKS * values_a_block(filling));
    uint64_t value;
    for (uint64_t stream = 1;; stream++) {
        fill_words(filling, stream, index - at, 1, words);
        if (filling->wide ? accept64(words[at], range, &value)
                          : accept32(((const uint32_t *)words)[at], range, &value))
            return value;
    }
}

/* A number in [0, range) from word `at` of the buffer, which belongs to element `index`. */
static inline uint64_t number_below(const filling *filling, const uint64_t *words, int64_t at,
                                    int64_t index, uint64_t range) {
    uint64_t value;
    if (filling->wide ? accept64(words[at], range, &value)
                      : accept32(((const uint32_t *)words)[at], range, &value))
        return value;
    return try_again(filling, index, range);
}

static void convert_integers(const filling *filling, const uint64_t *words, int64_t begin,
                             int64_t count, void *out) {
    uint64_t low = (uint64_t)filling->launch->integers[0];
    uint64_t range = (uint64_t)filling->launch->integers[1] - low;
    int64_t drawn[CHUNK];
    for (int64_t i = 0; i < count; i++)
        drawn[i] = (int64_t)(low + number_below(filling, words, i, begin + i, range));
    switch (filling->destination->dtype) {
    case MG_BOOL:
        for (int64_t i = 0; i < count; i++) ((uint8_t *)out)[i] = drawn[i] != 0;
        break;
    case MG_UINT8:
        for (int64_t i = 0; i < count; i++) ((uint8_t *)out)[i] = (uint8_t)drawn[i];
        break;
    case MG_INT32:
        for (int64_t i = 0; i < count; i++) ((int32_t *)out)[i] = (int32_t)drawn[i];
        break;
    case MG_INT64: memcpy(out, drawn, (size_t)count * sizeof *drawn); break;
    case MG_FLOAT32:
        for (int64_t i = 0; i < count; i++) ((float *)out)[i] = (float)drawn[i];
        break;
    default:
        for (int64_t i = 0; i < count; i++) ((double *)out)[i] = (double)drawn[i];
    }
}

int mg_run_random_integers(const mg_launch *launch) {
    filling filling = {launch->arrays[0], launch, .convert = convert_integers};
    uint64_t range = (uint64_t)launch->integers[1] - (uint64_t)launch->integers[0];
    filling.wide = range > UINT64_C(1) << 32;
    return fill(&filling, 2);
}

/* ---- permutation: Fisher and Yates, in Durstenfeld's form (1964) ---- */

int mg_run_random_permutation(const mg_launch *launch) {
    mg_array *destination = launch->arrays[0];
    int64_t count = destination->size, stride = destination->strides[0];
    int64_t *value = (int64_t *)destination->data;
    filling filling = {.destination = destination, .wide = count > INT64_C(1) << 32};
    take_blocks(&filling, launch->arrays[1], count);
    uint64_t words[CHUNK] __attribute__((aligned(MG_ALIGNMENT)));
    for (int64_t begin = 0; begin < count; begin += CHUNK) {
        int64_t end = count - begin < CHUNK ? count : begin + CHUNK;
        fill_words(&filling, 0, begin, end - begin, words);
        for (int64_t i = begin; i < end; i++) {
            int64_t j = (int64_t)number_below(&filling, words, i - begin, i, (uint64_t)i + 1);
            value[i * stride] = value[j * stride]; /* what stood there, or i itself */
            value[j * stride] = i;
        }
    }
    return 0;
}

/* ---- entries ---- */

static int check_operands(const char *op, mg_array *destination, mg_array *generator) {
    if (generator->dtype != MG_INT64 || generator->size < 2 || !mg_is_contiguous(generator))
        return mg_fail(
            MG_RUNTIME_ERROR,
            "%s: the generator must be a contiguous int64 tensor (seed, counter), got %s %s", op,
            mg_dtype_name(generator->dtype), mg_shape_text(generator));
    return mg_check_writable(op, destination);
}

static int check_float(const char *op, mg_array *destination) {
    if (mg_is_float(destination->dtype)) return 0;
    return mg_fail(MG_NOT_IMPLEMENTED_ERROR,
                   "%s: not implemented for %s; fill a float32 or float64 tensor and convert it",
                   op, mg_dtype_name(destination->dtype));
}

static int submit(mg_launch *launch, mg_array *destination, mg_array *generator,
                  const char *writer) {
    mg_array *arrays[] = {destination, generator};
    launch->outputs = launch->count = 2;
    launch->arrays = arrays;
    return mg_submit(launch, MG_ALL_OUTPUTS, writer);
}

int mg_random_uniform(mg_array *destination, mg_array *generator, double low, double high) {
    static const char op[] = "uniform_";
    if (check_operands(op, destination, generator) || check_float(op, destination)) return -1;
    int single = destination->dtype == MG_FLOAT32;
    if (!(low <= high))
        return mg_fail(MG_RUNTIME_ERROR,
                       "%s expects to return a [from, to) range, but found from=%g > to=%g", op,
                       low, high);
    if (!(high - low <= (single ? 0x1.fffffep127 : 0x1.fffffffffffffp1023)))
        return mg_fail(MG_RUNTIME_ERROR,
                       "%s expects to-from <= the largest %s, but found to=%g and from=%g", op,
                       mg_dtype_name(destination->dtype), high, low);
    /* The largest number below the end, as `low + width u` may round up to it. */
    double start = single ? (float)low : low, stop = single ? (float)high : high;
    double below = single ? nextafterf((float)stop, (float)start) : nextafter(stop, start);
    mg_launch launch = {.kernel = MG_KERNEL_random_uniform, .scalars = {low, high - low, below}};
    return submit(&launch, destination, generator, op);
}

int mg_random_normal(mg_array *destination, mg_array *generator, double mean, double std) {
    static const char op[] = "normal_";
    if (check_operands(op, destination, generator) || check_float(op, destination)) return -1;
    if (!(std >= 0))
        return mg_fail(MG_RUNTIME_ERROR, "%s expects std >= 0.0, but found std %g", op, std);
    mg_launch launch = {.kernel = MG_KERNEL_random_normal, .scalars = {mean, std}};
    return submit(&launch, destination, generator, op);
}

int mg_random_bernoulli(mg_array *destination, mg_array *generator, double probability) {
    static const char op[] = "bernoulli_";
    if (check_operands(op, destination, generator)) return -1;
    if (!(probability >= 0 && probability <= 1))
        return mg_fail(MG_RUNTIME_ERROR, "%s expects p to be in [0, 1], but got p=%g", op,
                       probability);
    mg_launch launch = {.kernel = MG_KERNEL_random_bernoulli,
                        .integers = {(int64_t)(probability * 0x1p32 + 0.5)}};
    return submit(&launch, destination, generator, op);
}

int mg_dropout(mg_array *input, mg_array *generator, double keep, double scale,
               mg_array **outputs) {
    static const char op[] = "dropout";
    if (check_float(op, input)) return -1;
    if (!(keep >= 0 && keep <= 1))
        return mg_fail(MG_RUNTIME_ERROR, "%s expects 1 - p to be in [0, 1], but got %g", op, keep);
    mg_array *whole = mg_as_contiguous(input, input->dtype);
    mg_array *y = whole ? mg_empty_like(whole, input->dtype) : NULL;
    mg_array *mask = y ? mg_empty_like(whole, input->dtype) : NULL;
    mg_array *arrays[] = {y, mask, generator, whole};
    mg_launch launch = {.kernel = MG_KERNEL_dropout,
                        .outputs = 3,
                        .count = 4,
                        .arrays = arrays,
                        .integers = {(int64_t)(keep * 0x1p32 + 0.5)},
                        .scalars = {scale}};
    int failed = !mask || check_operands(op, y, generator) || mg_submit(&launch, 4, op);
    if (whole) mg_release(whole);
    outputs[0] = y;
    outputs[1] = mask;
    if (!failed) return 0;
    if (y) mg_release(y);
    if (mask) mg_release(mask);
    return -1;
}

int mg_random_integers(mg_array *destination, mg_array *generator, int64_t low, int64_t high) {
    static const char op[] = "random_";
    static const int64_t least[MG_DTYPE_COUNT] = {0, 0, INT32_MIN, INT64_MIN, INT64_MIN, INT64_MIN};
    static const int64_t most[MG_DTYPE_COUNT] = {1,         UINT8_MAX, INT32_MAX,
                                                 INT64_MAX, INT64_MAX, INT64_MAX};
    if (check_operands(op, destination, generator)) return -1;
    if (low >= high)
        return mg_fail(MG_RUNTIME_ERROR,
                       "%s expects 'from' to be less than 'to', but got from=%lld >= to=%lld", op,
                       (long long)low, (long long)high);
    int dtype = destination->dtype;
    if (low < least[dtype] || high - 1 > most[dtype])
        return mg_fail(MG_RUNTIME_ERROR, "%s: [%lld, %lld) is out of bounds for %s", op,
                       (long long)low, (long long)high, mg_dtype_name(dtype));
    mg_launch launch = {.kernel = MG_KERNEL_random_integers, .integers = {low, high}};
    return submit(&launch, destination, generator, op);
}

int mg_random_permutation(mg_array *destination, mg_array *generator) {
    static const char op[] = "randperm";
    if (check_operands(op, destination, generator)) return -1;
    if (destination->dtype != MG_INT64 || destination->ndim != 1)
        return mg_fail(MG_RUNTIME_ERROR,
                       "%s: the destination must be int64 of one dimension, got %s %s", op,
                       mg_dtype_name(destination->dtype), mg_shape_text(destination));
    mg_launch launch = {.kernel = MG_KERNEL_random_permutation};
    return submit(&launch, destination, generator, op);
}
