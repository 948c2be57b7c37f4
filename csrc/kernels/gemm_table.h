/* see ../gemm.h */
#define MG_GEMM_ROW(dtype, element)                                                                \
    {.rows = MG_ROWS,                                                                              \
     .columns = 2 * MG_VECTOR_BYTES / sizeof(element),                                             \
     .lanes = MG_VECTOR_BYTES / sizeof(element),                                                   \
     .block = OTHER_NAME(gemm_block, dtype),                                                       \
     .pack_b = OTHER_NAME(gemm_pack_b, dtype),                                                     \
     .dots = OTHER_NAME(gemm_dots, dtype)},
.gemm = {.of = {MG_GEMM_ROW(float32, float) MG_GEMM_ROW(float64, double)}},
#undef MG_GEMM_ROW
