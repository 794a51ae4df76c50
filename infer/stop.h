/* Stop strings: text is let through up to the first occurrence of any of them; text that might be
 * the beginning of one is held back until it is known not to be. */
#ifndef LINNET_INFER_STOP_H
#define LINNET_INFER_STOP_H

#include "base/buffer.h"

#include <stdbool.h>
#include <stddef.h>

struct stop_filter {
    const char *const *stops; /* borrowed; none empty */
    size_t n_stops;
    struct buffer held;
};

/* Takes n bytes and appends to `out` what is certain to be no part of a stop string. True when one
 * is complete: nothing from it on is ever let through. */
bool stop_filter_push(struct stop_filter *f, const char *text, size_t n, struct buffer *out);
/* The text has ended: what was held back is let through. */
void stop_filter_flush(struct stop_filter *f, struct buffer *out);
/* Ready for another text. */
void stop_filter_reset(struct stop_filter *f);
void stop_filter_free(struct stop_filter *f);

#endif
