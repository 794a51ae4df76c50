#include "base/hash.h"

#include <string.h>

static const uint64_t P1 = 0x9E3779B185EBCA87ull, P2 = 0xC2B2AE3D27D4EB4Full,
                      P3 = 0x165667B19E3779F9ull, P4 = 0x85EBCA77C2B2AE63ull,
                      P5 = 0x27D4EB2F165667C5ull;

static uint64_t rotate(uint64_t x, int r)
{
    return (x << r) | (x >> (64 - r));
}

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
static uint64_t read64(const unsigned char *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

static uint32_t read32(const unsigned char *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}
#else
static uint64_t read64(const unsigned char *p)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

static uint32_t read32(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
#endif

static uint64_t round64(uint64_t acc, uint64_t lane)
{
    return rotate(acc + lane * P2, 31) * P1;
}

static uint64_t merge(uint64_t acc, uint64_t v)
{
    return (acc ^ round64(0, v)) * P1 + P4;
}

void hash64_begin(struct hash64_state *s, uint64_t seed)
{
    *s = (struct hash64_state){.seed = seed, .lanes = {seed + P1 + P2, seed + P2, seed, seed - P1}};
}

/* Whole stripes of 32 bytes; returns where they end. */
static const unsigned char *stripes(uint64_t lanes[4], const unsigned char *p, size_t n)
{
    uint64_t v1 = lanes[0], v2 = lanes[1], v3 = lanes[2], v4 = lanes[3];
    for (; n >= 32; p += 32, n -= 32) {
        v1 = round64(v1, read64(p));
        v2 = round64(v2, read64(p + 8));
        v3 = round64(v3, read64(p + 16));
        v4 = round64(v4, read64(p + 24));
    }
    lanes[0] = v1, lanes[1] = v2, lanes[2] = v3, lanes[3] = v4;
    return p;
}

void hash64_update(struct hash64_state *s, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    size_t held = s->total % 32;
    if (n == 0)
        return;
    s->total += n;
    if (held) {
        size_t take = n < 32 - held ? n : 32 - held;
        memcpy(s->rest + held, p, take);
        p += take;
        n -= take;
        if (held + take < 32)
            return;
        stripes(s->lanes, s->rest, 32);
    }
    p = stripes(s->lanes, p, n);
    memcpy(s->rest, p, n % 32);
}

uint64_t hash64_end(const struct hash64_state *s)
{
    const unsigned char *p = s->rest, *end = p + s->total % 32;
    const uint64_t *v = s->lanes;
    uint64_t h = s->seed + P5;
    if (s->total >= 32) {
        h = rotate(v[0], 1) + rotate(v[1], 7) + rotate(v[2], 12) + rotate(v[3], 18);
        h = merge(merge(merge(merge(h, v[0]), v[1]), v[2]), v[3]);
    }
    h += s->total;
    for (; end - p >= 8; p += 8)
        h = rotate(h ^ round64(0, read64(p)), 27) * P1 + P4;
    for (; end - p >= 4; p += 4)
        h = rotate(h ^ read32(p) * P1, 23) * P2 + P3;
    for (; p < end; p++)
        h = rotate(h ^ *p * P5, 11) * P1;
    h = (h ^ h >> 33) * P2;
    h = (h ^ h >> 29) * P3;
    return h ^ h >> 32;
}

uint64_t hash64(const void *bytes, size_t n, uint64_t seed)
{
    struct hash64_state s;
    hash64_begin(&s, seed);
    hash64_update(&s, bytes, n);
    return hash64_end(&s);
}

uint64_t hash64_combine(uint64_t hash, uint64_t value)
{
    unsigned char bytes[8];
    memcpy(bytes, &value, 8);
    return hash64(bytes, 8, hash);
}
