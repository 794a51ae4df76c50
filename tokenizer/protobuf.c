#include "tokenizer/protobuf.h"

#include <string.h>

static bool varint(struct protobuf *p, uint64_t *value)
{
    *value = 0;
    for (int shift = 0; shift < 70 && p->at < p->n; shift += 7) {
        unsigned char byte = p->bytes[p->at++];
        if (shift < 64)
            *value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

static bool fixed(struct protobuf *p, size_t size, uint64_t *value)
{
    if (size > p->n - p->at)
        return false;
    *value = 0;
    for (size_t i = 0; i < size; i++)
        *value |= (uint64_t)p->bytes[p->at + i] << 8 * i;
    p->at += size;
    return true;
}

static bool field(struct protobuf *p, struct protobuf_field *f)
{
    uint64_t key, size;
    if (!varint(p, &key) || key >> 3 == 0)
        return false;
    *f = (struct protobuf_field){.number = key >> 3, .wire = (int)(key & 7)};
    switch (f->wire) {
    case 0:
        return varint(p, &f->value);
    case 1:
        return fixed(p, 8, &f->value);
    case 5:
        return fixed(p, 4, &f->value);
    case 2:
        if (!varint(p, &size) || size > p->n - p->at)
            return false;
        f->bytes = p->bytes + p->at;
        f->n_bytes = (size_t)size;
        p->at += f->n_bytes;
        return true;
    default: /* groups are of the past */
        return false;
    }
}

bool protobuf_next(struct protobuf *p, struct protobuf_field *f)
{
    if (p->broken || p->at == p->n)
        return false;
    p->broken = !field(p, f);
    return !p->broken;
}

float protobuf_float(const struct protobuf_field *f)
{
    uint32_t bits = (uint32_t)f->value;
    float value = 0;
    if (f->wire == 5)
        memcpy(&value, &bits, sizeof value);
    return value;
}
