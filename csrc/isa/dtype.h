/* Every kernel source, for one dtype. The including file has defined MG_DTYPE, MG_T, MG_MASK_T,
 * MG_UNSIGNED_T, MG_IS_FLOAT (0, 32 or 64) and MG_IS_BOOL; they are undefined again at the end. */
#include "../kernels/vector.h"

#if MG_IS_FLOAT
#include "../kernels/math.h"
#endif

#include "../kernels/elementwise.h"
#include "../kernels/reduce.h"

#if MG_IS_FLOAT
#include "../kernels/gemm.h"
#include "../kernels/peak.h"
#include "../kernels/conv.h"
#include "../kernels/normalize.h"
#include "../kernels/optimizer.h"
#include "../kernels/adafactor.h"
#include "../kernels/pool2d.h"
#include "../kernels/window_max.h"
#include "../kernels/random.h"
#include "../kernels/recurrent.h"
#include "../kernels/resample.h"
#endif

#if MG_IS_FLOAT
#undef REAL
#undef MANTISSA_BITS
#undef EXPONENT_BIAS
#undef SQRT_HALF_BITS
#endif
#undef T
#undef V
#undef M
#undef U
#undef LANES
#undef MG_DTYPE
#undef MG_T
#undef MG_MASK_T
#undef MG_UNSIGNED_T
#undef MG_IS_FLOAT
#undef MG_IS_BOOL
