/* The loops of index.c for one type. The including file has defined INDEX_T, INDEX_NAME and
 * INDEX_ADD; they are undefined again at the end. Strides and offsets count elements. */

static void INDEX_NAME(gather)(void *to, const void *from, const int64_t *offsets, int64_t count) {
    INDEX_T *target = to;
    const INDEX_T *source = from;
    for (int64_t i = 0; i < count; i++) target[i] = source[offsets[i]];
}

static void INDEX_NAME(copy_run)(void *to, int64_t to_stride, const void *from, int64_t from_stride,
                                 int64_t count) {
    mg_copy_strided(to, to_stride, from, from_stride, count, (int64_t)sizeof(INDEX_T));
}

static void INDEX_NAME(add_run)(void *to, int64_t to_stride, const void *from, int64_t from_stride,
                                int64_t count) {
    INDEX_T *target = to;
    const INDEX_T *source = from;
    if (to_stride == 1 && from_stride == 1)
        for (int64_t i = 0; i < count; i++) target[i] = (INDEX_T)INDEX_ADD(target[i], source[i]);
    else
        for (int64_t i = 0; i < count; i++) {
            INDEX_T *at = target + i * to_stride;
            *at = (INDEX_T)INDEX_ADD(*at, source[i * from_stride]);
        }
}

static void INDEX_NAME(copy_elements)(void *to, const int64_t *offsets, const void *from,
                                      int64_t from_stride, int64_t count) {
    INDEX_T *target = to;
    const INDEX_T *source = from;
    for (int64_t i = 0; i < count; i++) target[offsets[i]] = source[i * from_stride];
}

static void INDEX_NAME(add_elements)(void *to, const int64_t *offsets, const void *from,
                                     int64_t from_stride, int64_t count) {
    INDEX_T *target = to;
    const INDEX_T *source = from;
    for (int64_t i = 0; i < count; i++) {
        INDEX_T *at = target + offsets[i];
        *at = (INDEX_T)INDEX_ADD(*at, source[i * from_stride]);
    }
}

/* Notes first + i for each element that is not zero, and returns how many; found NULL only counts.
 * */
static int64_t INDEX_NAME(find_nonzero)(const void *from, int64_t count, int64_t first,
                                        int64_t *found) {
    const INDEX_T *source = from;
    int64_t matches = 0;
    if (!found)
        for (int64_t i = 0; i < count; i++) matches += source[i] != 0;
    else
        for (int64_t i = 0; i < count; i++)
            if (source[i] != 0) found[matches++] = first + i;
    return matches;
}

#undef INDEX_T
#undef INDEX_NAME
#undef INDEX_ADD
