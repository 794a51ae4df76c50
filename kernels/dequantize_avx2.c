/* The same code for the compiler to use wider vectors in. */
#include "kernels/dtype_variants.h"

#if defined(__x86_64__)
#define DEQUANTIZE dequantizer_avx2
#include "kernels/dequantize_body.h"
#endif
