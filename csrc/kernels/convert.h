/* One row from dtype FROM (elements FROM_T) to dtype TO; VALUE converts one. Strides count
 * elements. */
static void PASTE(convert, TO, FROM)(char *destination, int64_t destination_stride,
                                     const char *source, int64_t source_stride, int64_t count) {
    TO_T *restrict to = (TO_T *)destination;
    const FROM_T *restrict from = (const FROM_T *)source;
    if (destination_stride == 1 && source_stride == 1) {
        for (int64_t i = 0; i < count; i++) to[i] = VALUE(from[i]);
    } else if (destination_stride == 1 && source_stride == 0) {
        const TO_T value = VALUE(from[0]);
        for (int64_t i = 0; i < count; i++) to[i] = value;
    } else {
        for (int64_t i = 0; i < count; i++)
            to[i * destination_stride] = VALUE(from[i * source_stride]);
    }
}
#undef FROM
#undef FROM_T
#undef VALUE
