/* The same code with wider vectors. */
#if defined(__x86_64__)
#define SIMD_WIDTH 8
#define ROW_QUANTIZER row_quantizer_avx2
#define SCALED_QUANTIZER scaled_quantizer_avx2
#include "kernels/quantize_body.h"
#endif
