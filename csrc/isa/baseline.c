/* What every processor of the architecture has (SSE2, NEON, ...): the compiler's own default
 * target. */
#include "../core.h"

#if defined(__SSE2__)
#include <emmintrin.h> /* for the square root of kernels/math.h */
#endif

#if defined(__aarch64__)
#define MG_ISA neon
#else
#define MG_ISA baseline
#endif
#define MG_VECTOR_BYTES 16

#if defined(__aarch64__)
static int supported_neon(void) { return 1; }
#else
static int supported_baseline(void) { return 1; }
#endif

#include "template.h"
