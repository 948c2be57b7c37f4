/* One instruction set: every kernel source included once for each dtype, then the table of
 * pointers. The including file has defined MG_ISA (its name) and MG_VECTOR_BYTES and has switched
 * the compiler to the target. Nothing here or in kernels/ knows which instruction set it is
 * compiled for. */

#define MG_PASTE_(a, b, c) a##_##b##_##c
#define MG_PASTE(a, b, c) MG_PASTE_(a, b, c)
#define MG_STRING_(a) #a
#define MG_STRING(a) MG_STRING_(a)
/* NAME(exp) -> exp_float32_avx512 */
#define NAME(base) MG_PASTE(base, MG_DTYPE, MG_ISA)
/* For what exists once per instruction set rather than once per dtype: */
#define MG_ISA_PASTE_(a, b) a##_##b
#define MG_ISA_PASTE(a, b) MG_ISA_PASTE_(a, b)
#define ISA_NAME(base) MG_ISA_PASTE(base, MG_ISA)
/* Another dtype's name in the same set: OTHER_NAME(convert, float64) */
#define OTHER_NAME(base, dtype) MG_PASTE(base, dtype, MG_ISA)

#define INLINE static inline __attribute__((always_inline, unused))

#define MG_DTYPE bool
#define MG_T uint8_t
#define MG_MASK_T int8_t
#define MG_UNSIGNED_T uint8_t
#define MG_IS_FLOAT 0
#define MG_IS_BOOL 1
#include "dtype.h"

#define MG_DTYPE uint8
#define MG_T uint8_t
#define MG_MASK_T int8_t
#define MG_UNSIGNED_T uint8_t
#define MG_IS_FLOAT 0
#define MG_IS_BOOL 0
#include "dtype.h"

#define MG_DTYPE int32
#define MG_T int32_t
#define MG_MASK_T int32_t
#define MG_UNSIGNED_T uint32_t
#define MG_IS_FLOAT 0
#define MG_IS_BOOL 0
#include "dtype.h"

#define MG_DTYPE int64
#define MG_T int64_t
#define MG_MASK_T int64_t
#define MG_UNSIGNED_T uint64_t
#define MG_IS_FLOAT 0
#define MG_IS_BOOL 0
#include "dtype.h"

#define MG_DTYPE float32
#define MG_T float
#define MG_MASK_T int32_t
#define MG_UNSIGNED_T uint32_t
#define MG_IS_FLOAT 32
#define MG_IS_BOOL 0
#include "dtype.h"

#define MG_DTYPE float64
#define MG_T double
#define MG_MASK_T int64_t
#define MG_UNSIGNED_T uint64_t
#define MG_IS_FLOAT 64
#define MG_IS_BOOL 0
#include "dtype.h"

/* Each family's table names its loops, dtype by dtype. */
const mg_isa ISA_NAME(mg_isa) = {
    .name = MG_STRING(MG_ISA),
    .vector_bytes = MG_VECTOR_BYTES,
    .supported = ISA_NAME(supported),
#define MG_TABLE
#include "../kernels/elementwise_table.h"
#include "../kernels/gemm_table.h"
#include "../kernels/peak_table.h"
#include "../kernels/conv_table.h"
#include "../kernels/normalize_table.h"
#include "../kernels/optimizer_table.h"
#include "../kernels/pool2d_table.h"
#include "../kernels/random_table.h"
#include "../kernels/recurrent_table.h"
#include "../kernels/reduce_table.h"
#include "../kernels/resample_table.h"
};
