/* The flags of everything that draws tokens. */
#ifndef LINNET_CLI_SAMPLING_H
#define LINNET_CLI_SAMPLING_H

#include "base/options.h"
#include "infer/sampler.h"

enum { SAMPLING_ROWS = 14 };
extern const struct option sampling_rows[SAMPLING_ROWS]; /* of a struct sampler_options */

#define SAMPLING_SECTION(options) \
    {.name = "", .rows = sampling_rows, .n_rows = SAMPLING_ROWS, .object = (options), \
     .help = "Sampling, in this order: penalties, top-n-sigma, top-k, typical-p, top-p, min-p, temperature"}

#endif
