/* see ../recurrent.h */
.recurrent = {
    .forward = {[MG_FLOAT32] = OTHER_NAME(recurrent_forward, float32),
                [MG_FLOAT64] = OTHER_NAME(recurrent_forward, float64)},
    .backward = {[MG_FLOAT32] = OTHER_NAME(recurrent_backward, float32),
                 [MG_FLOAT64] = OTHER_NAME(recurrent_backward, float64)},
},
