/* see ../optimizer.h */
.optimizer = {
    .sgd = {[MG_FLOAT32] = OTHER_NAME(sgd, float32), [MG_FLOAT64] = OTHER_NAME(sgd, float64)},
    .adam = {[MG_FLOAT32] = OTHER_NAME(adam, float32), [MG_FLOAT64] = OTHER_NAME(adam, float64)},
},
