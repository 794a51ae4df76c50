/* The flags of everything that keeps keys and values of a long text. */
#ifndef LINNET_CLI_CACHE_H
#define LINNET_CLI_CACHE_H

#include "base/options.h"
#include "kernels/dtype.h"

struct cache_options {
    int type; /* index into the choices; see cache_type */
    bool shift;
    size_t keep;
};

enum { CACHE_ROWS = 3 };
extern const struct option cache_rows[CACHE_ROWS]; /* of a struct cache_options */

#define CACHE_SECTION(options) \
    {.name = "", .rows = cache_rows, .n_rows = CACHE_ROWS, .object = (options), \
     .help = "Keys and values of the context"}

enum dtype cache_type(const struct cache_options *o);

#endif
