/* see ../elementwise.h */
.elementwise = {
    .unary = {OTHER_NAME(unary_loops, uint8), OTHER_NAME(unary_loops, uint8),
              OTHER_NAME(unary_loops, int32), OTHER_NAME(unary_loops, int64),
              OTHER_NAME(unary_loops, float32), OTHER_NAME(unary_loops, float64)},
    .binary = {OTHER_NAME(binary_loops, uint8), OTHER_NAME(binary_loops, uint8),
               OTHER_NAME(binary_loops, int32), OTHER_NAME(binary_loops, int64),
               OTHER_NAME(binary_loops, float32), OTHER_NAME(binary_loops, float64)},
    .where = {OTHER_NAME(where, uint8), OTHER_NAME(where, uint8), OTHER_NAME(where, int32),
              OTHER_NAME(where, int64), OTHER_NAME(where, float32), OTHER_NAME(where, float64)},
    .fused = {[MG_FLOAT32] = OTHER_NAME(fused_loops, float32),
              [MG_FLOAT64] = OTHER_NAME(fused_loops, float64)},
},
