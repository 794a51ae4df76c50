#if defined(__x86_64__)
#define LANES        16
#define SIGNED_SHIFT 128
#define TABLE        quantized_kernels_avx512vnni
#include "kernels/quantized_body.h"
#endif
