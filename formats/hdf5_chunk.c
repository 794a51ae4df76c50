#include "formats/hdf5_chunk.h"

#include "base/check.h"

#include <limits.h>
#include <string.h>
#include <zlib.h>

enum { CHECKSUM_BYTES = 4 };

size_t hdf5_chunk_capacity(size_t chunk_bytes)
{
    /* more than deflate adds to what it cannot compress; buffers behind one another stay aligned */
    return (chunk_bytes + chunk_bytes / 64 + 1024 + 63) / 64 * 64;
}

/* Byte j of all elements, then byte j + 1; what is no whole element stays behind them. */
static void shuffle(const unsigned char *from, size_t n, size_t element, unsigned char *to)
{
    size_t count = n / element;
    for (size_t j = 0; j < element; j++)
        for (size_t i = 0; i < count; i++)
            to[j * count + i] = from[i * element + j];
    memcpy(to + count * element, from + count * element, n - count * element);
}

static void unshuffle(const unsigned char *from, size_t n, size_t element, unsigned char *to)
{
    size_t count = n / element;
    if (element == 2)
        for (size_t i = 0; i < count; i++)
            to[2 * i] = from[i], to[2 * i + 1] = from[count + i];
    else
        for (size_t j = 0; j < element; j++)
            for (size_t i = 0; i < count; i++)
                to[i * element + j] = from[j * count + i];
    memcpy(to + count * element, from + count * element, n - count * element);
}

/* Fletcher's checksum of big-endian 16-bit words (J. Fletcher, "An arithmetic checksum for serial transmissions", 1982),
 * a last odd byte as the upper half of one. */
static uint32_t fletcher32(const unsigned char *bytes, size_t n)
{
    enum { BLOCK = 360 }; /* words until the second sum could overflow */
    uint32_t a = 0, b = 0;
    size_t words = n / 2;
    for (size_t i = 0; i < words;) {
        size_t end = words - i < BLOCK ? words : i + BLOCK;
        for (; i < end; i++) {
            a += (uint32_t)bytes[2 * i] << 8 | bytes[2 * i + 1];
            b += a;
        }
        a = (a & 0xffff) + (a >> 16);
        b = (b & 0xffff) + (b >> 16);
    }
    if (n % 2) {
        a += (uint32_t)bytes[n - 1] << 8;
        b += a;
        a = (a & 0xffff) + (a >> 16);
        b = (b & 0xffff) + (b >> 16);
    }
    a = (a & 0xffff) + (a >> 16);
    b = (b & 0xffff) + (b >> 16);
    return b << 16 | a;
}

static uint32_t stored_checksum(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

size_t hdf5_chunk_encode(const void *bytes, size_t n, size_t element, int level, unsigned char *stored,
                         unsigned char *scratch)
{
    CHECK(n <= UINT_MAX / 2);
    size_t room = hdf5_chunk_capacity(n) - CHECKSUM_BYTES;
    shuffle(bytes, n, element, scratch);
    z_stream z = {.next_in = scratch, .avail_in = (uInt)n, .next_out = stored, .avail_out = (uInt)room};
    CHECK(deflateInit2(&z, level, Z_DEFLATED, 15, 9, element == 1 ? Z_DEFAULT_STRATEGY : Z_RLE) == Z_OK);
    CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END);
    size_t size = z.total_out;
    deflateEnd(&z);
    uint32_t sum = fletcher32(stored, size);
    for (int i = 0; i < CHECKSUM_BYTES; i++)
        stored[size + (size_t)i] = (unsigned char)(sum >> 8 * i);
    return size + CHECKSUM_BYTES;
}

/* One filter undone, from `in` into `out`, each of `room` bytes; *n bytes become other *n. *moved: they are in `out`. */
static const char *undo(enum hdf5_filter filter, size_t element, const unsigned char *in, size_t *n,
                        unsigned char *out, size_t room, int *moved)
{
    *moved = filter != FILTER_FLETCHER32;
    if (filter == FILTER_SHUFFLE) {
        unshuffle(in, *n, element, out);
    } else if (filter == FILTER_DEFLATE) {
        uLongf size = room;
        if (uncompress(out, &size, in, *n) != Z_OK)
            return "cannot be decompressed";
        *n = size;
    } else {
        if (*n < CHECKSUM_BYTES)
            return "has no room for its checksum";
        *n -= CHECKSUM_BYTES;
        if (fletcher32(in, *n) != stored_checksum(in + *n))
            return "checksum does not match";
    }
    return NULL;
}

const char *hdf5_chunk_decode(const struct hdf5_filters *filters, uint32_t mask, size_t element, unsigned char *stored,
                              size_t n_stored, unsigned char *out, size_t chunk_bytes)
{
    size_t room = hdf5_chunk_capacity(chunk_bytes), n = n_stored;
    unsigned char *in = stored, *other = out;
    if (n > room)
        return "is larger than its content can be";
    for (int i = filters->n - 1; i >= 0; i--) {
        if (mask & 1u << i)
            continue;
        int moved;
        const char *wrong = undo(filters->order[i], element, in, &n, other, room, &moved);
        if (wrong)
            return wrong;
        unsigned char *swap = in;
        in = moved ? other : in;
        other = moved ? swap : other;
    }
    if (n != chunk_bytes)
        return "has another size than the dataset's chunks";
    if (in != out)
        memcpy(out, in, n);
    return NULL;
}
