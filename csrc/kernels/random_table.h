/* see ../random.h */
.random = {
    .philox = ISA_NAME(philox),
    .uniform = {[MG_FLOAT32] = OTHER_NAME(uniform, float32),
                [MG_FLOAT64] = OTHER_NAME(uniform, float64)},
    .normal = {[MG_FLOAT32] = OTHER_NAME(normal, float32),
               [MG_FLOAT64] = OTHER_NAME(normal, float64)},
    .dropout = {[MG_FLOAT32] = OTHER_NAME(dropout, float32),
                [MG_FLOAT64] = OTHER_NAME(dropout, float64)},
},
