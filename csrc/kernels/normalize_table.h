#define MG_EACH_DTYPE(base)                                                                        \
    {[MG_FLOAT32] = OTHER_NAME(base, float32), [MG_FLOAT64] = OTHER_NAME(base, float64)}
.normalize = {
    .softmax_rows = MG_EACH_DTYPE(softmax_rows),
    .softmax_columns = MG_EACH_DTYPE(softmax_columns),
    .softmax_backward_rows = MG_EACH_DTYPE(softmax_backward_rows),
    .softmax_backward_columns = MG_EACH_DTYPE(softmax_backward_columns),
    .cross_entropy = MG_EACH_DTYPE(cross_entropy),
    .cross_entropy_backward = MG_EACH_DTYPE(cross_entropy_backward),
    .batch_sum_rows = MG_EACH_DTYPE(batch_sum_rows),
    .batch_sum_columns = MG_EACH_DTYPE(batch_sum_columns),
    .batch_apply = MG_EACH_DTYPE(batch_apply),
    .batch_backward = MG_EACH_DTYPE(batch_backward),
    .attention_weights = MG_EACH_DTYPE(attention_weights),
    .attention_slopes = MG_EACH_DTYPE(attention_slopes),
    .rows_normalize = MG_EACH_DTYPE(rows_normalize),
    .rows_backward = MG_EACH_DTYPE(rows_backward),
},
#undef MG_EACH_DTYPE
