/* The quantisers in portable C. */
#define SIMD_WIDTH 4
#define ROW_QUANTIZER row_quantizer_ref
#define SCALED_QUANTIZER scaled_quantizer_ref
#include "kernels/quantize_body.h"
