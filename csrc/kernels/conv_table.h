/* see ../conv.h */
#define MG_CONV_ROW(dtype)                                                                         \
    {.direct = OTHER_NAME(conv_direct, dtype),                                                     \
     .forward = OTHER_NAME(conv_forward, dtype),                                                   \
     .input = OTHER_NAME(conv_input, dtype),                                                       \
     .weight = OTHER_NAME(conv_weight, dtype)},
.conv = {.of = {MG_CONV_ROW(float32) MG_CONV_ROW(float64)}},
#undef MG_CONV_ROW
