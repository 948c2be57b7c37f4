/* see ../optimizer.h */
#define BOTH(base)                                                                                 \
    {[MG_FLOAT32] = OTHER_NAME(base, float32), [MG_FLOAT64] = OTHER_NAME(base, float64)}
.optimizer = {
    .update =
        {
#define OPTIMIZER(name, numbers, states, counters, writer)                                         \
    [MG_OPTIMIZER_##name] = BOTH(name##_update),
#include "../optimizer.def"
#undef OPTIMIZER
        },
    .measure =
        {
#define OPTIMIZER(name, numbers, states, counters, writer)
#define MEASURED(name, numbers, states, counters, writer)                                          \
    [MG_OPTIMIZER_##name] = BOTH(name##_measure),
#include "../optimizer.def"
#undef OPTIMIZER
        },
    .squares = BOTH(clip_squares),
    .largest = BOTH(clip_largest),
    .scale = BOTH(clip_scale),
    .clamp = BOTH(clip_clamp),
    .adafactor_columns = BOTH(adafactor_columns),
    .adafactor_average = BOTH(adafactor_average),
    .adafactor_measure = BOTH(adafactor_measure),
    .adafactor_update = BOTH(adafactor_update),
},
#undef BOTH
