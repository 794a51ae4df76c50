/* Reading the wire format of Protocol Buffers (https://protobuf.dev/programming-guides/encoding).
 */
#ifndef LINNET_TOKENIZER_PROTOBUF_H
#define LINNET_TOKENIZER_PROTOBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct protobuf {
    const unsigned char *bytes;
    size_t n, at;
    bool broken; /* what follows `at` is no field */
};

struct protobuf_field {
    uint64_t number;
    int wire;                   /* 0 varint, 1 eight bytes, 2 bytes, 5 four bytes */
    uint64_t value;             /* of a varint, or of fixed bytes as they stand */
    const unsigned char *bytes; /* of wire type 2: n_bytes of the message's memory */
    size_t n_bytes;
};

/* The next field; false at the end, and where the message is broken. */
bool protobuf_next(struct protobuf *p, struct protobuf_field *f);
float protobuf_float(const struct protobuf_field *f); /* 0 for another wire type */

#endif
