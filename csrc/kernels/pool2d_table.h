/* see ../pool2d.h */
.pool2d = {
    .max = {[MG_FLOAT32] = OTHER_NAME(pool_max, float32),
            [MG_FLOAT64] = OTHER_NAME(pool_max, float64)},
    .average = {[MG_FLOAT32] = OTHER_NAME(pool_average, float32),
                [MG_FLOAT64] = OTHER_NAME(pool_average, float64)},
    .average_backward = {[MG_FLOAT32] = OTHER_NAME(pool_average_backward, float32),
                         [MG_FLOAT64] = OTHER_NAME(pool_average_backward, float64)},
    .gather = {[MG_FLOAT32] = OTHER_NAME(plane_gather, float32),
               [MG_FLOAT64] = OTHER_NAME(plane_gather, float64)},
    .scatter = {[MG_FLOAT32] = OTHER_NAME(plane_scatter, float32),
                [MG_FLOAT64] = OTHER_NAME(plane_scatter, float64)},
},
