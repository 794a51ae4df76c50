/* Base64 with padding (RFC 4648, section 4). */
#ifndef LINNET_TOKENIZER_BASE64_H
#define LINNET_TOKENIZER_BASE64_H

#include "base/buffer.h"

#include <stdbool.h>
#include <stddef.h>

void base64_encode(const void *bytes, size_t n, struct buffer *out);
/* False for anything but whole groups of four; what was appended until then stays. */
bool base64_decode(const char *text, size_t n, struct buffer *out);

#endif
