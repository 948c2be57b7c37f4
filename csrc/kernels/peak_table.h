/* see ../peak.h */
.peak = {.of = {{OTHER_NAME(multiply_adds, float32)}, {OTHER_NAME(multiply_adds, float64)}}},
