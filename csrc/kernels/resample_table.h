/* see ../resample.h */
.resample = {.pass = {[MG_FLOAT32] = OTHER_NAME(resample_pass, float32),
                      [MG_FLOAT64] = OTHER_NAME(resample_pass, float64)}},
