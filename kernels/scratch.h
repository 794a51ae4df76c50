/* Working memory of the calling thread, for kernels that need some. */
#ifndef LINNET_KERNELS_SCRATCH_H
#define LINNET_KERNELS_SCRATCH_H

#include <stddef.h>

/* n floats aligned to 64 bytes, contents undefined, valid until this thread's next call. It grows
 * to the largest size asked for and stays, so a training step allocates nothing after the first. */
float *scratch_floats(size_t n);

/* Likewise, beside that: for what the calling thread prepares and others read, who use their own scratch then. */
void *scratch_shared(size_t bytes);

#endif
