#if defined(__x86_64__)
#define LANES        8
#define SIGNED_SHIFT 0
#define TABLE        quantized_kernels_avx2
#include "kernels/quantized_body.h"
#endif
