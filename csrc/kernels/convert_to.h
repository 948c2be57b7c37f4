/* The conversions to dtype TO from each dtype. The including file has defined TO, TO_T and the
 * conversions of one value, FROM_INTEGER(x) and FROM_REAL(x); they are undefined again at the end.
 * */
#define FROM bool
#define FROM_T uint8_t
#define VALUE(x) FROM_INTEGER(x)
#include "convert.h"

#define FROM uint8
#define FROM_T uint8_t
#define VALUE(x) FROM_INTEGER(x)
#include "convert.h"

#define FROM int32
#define FROM_T int32_t
#define VALUE(x) FROM_INTEGER(x)
#include "convert.h"

#define FROM int64
#define FROM_T int64_t
#define VALUE(x) FROM_INTEGER(x)
#include "convert.h"

#define FROM float32
#define FROM_T float
#define VALUE(x) FROM_REAL(x)
#include "convert.h"

#define FROM float64
#define FROM_T double
#define VALUE(x) FROM_REAL(x)
#include "convert.h"

#undef TO
#undef TO_T
#undef FROM_INTEGER
#undef FROM_REAL
