#include "kernels/dtype_variants.h"

#define DEQUANTIZE dequantizer_ref
#include "kernels/dequantize_body.h"
