#define MG_EACH_DTYPE(base)                                                                        \
    {OTHER_NAME(base, bool),  OTHER_NAME(base, uint8),   OTHER_NAME(base, int32),                  \
     OTHER_NAME(base, int64), OTHER_NAME(base, float32), OTHER_NAME(base, float64)}
.reduce = {
    .rows =
        {
            [MG_REDUCE_SUM] = MG_EACH_DTYPE(sum_rows),
            [MG_REDUCE_PROD] = MG_EACH_DTYPE(prod_rows),
            [MG_REDUCE_MAX] = MG_EACH_DTYPE(max_rows),
            [MG_REDUCE_MIN] = MG_EACH_DTYPE(min_rows),
            [MG_REDUCE_ANY] = MG_EACH_DTYPE(any_rows),
            [MG_REDUCE_ALL] = MG_EACH_DTYPE(all_rows),
            [MG_REDUCE_ARGMAX] = MG_EACH_DTYPE(argmax_rows),
            [MG_REDUCE_ARGMIN] = MG_EACH_DTYPE(argmin_rows),
        },
    .columns =
        {
            [MG_REDUCE_SUM] = MG_EACH_DTYPE(sum_columns),
            [MG_REDUCE_PROD] = MG_EACH_DTYPE(prod_columns),
            [MG_REDUCE_MAX] = MG_EACH_DTYPE(max_columns),
            [MG_REDUCE_MIN] = MG_EACH_DTYPE(min_columns),
            [MG_REDUCE_ANY] = MG_EACH_DTYPE(any_columns),
            [MG_REDUCE_ALL] = MG_EACH_DTYPE(all_columns),
            [MG_REDUCE_ARGMAX] = MG_EACH_DTYPE(argmax_columns),
            [MG_REDUCE_ARGMIN] = MG_EACH_DTYPE(argmin_columns),
        },
},
#undef MG_EACH_DTYPE
