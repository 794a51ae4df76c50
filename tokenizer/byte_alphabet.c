#include "tokenizer/byte_alphabet.h"

#include "tokenizer/unicode.h"

static bool stands_for_itself(unsigned b)
{
    return (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b != 0xAD);
}

/* The others, in order: 0x00-0x20, 0x7F-0xA0, 0xAD. */
static unsigned shifted(unsigned b)
{
    return 0x100 + (b <= 0x20 ? b : b <= 0xA0 ? b - 0x7F + 0x21 : 0x43);
}

static int byte_of(uint32_t code)
{
    if (code < 0x100)
        return stands_for_itself(code) ? (int)code : -1;
    if (code > 0x143)
        return -1;
    unsigned i = code - 0x100;
    return (int)(i <= 0x20 ? i : i < 0x43 ? i - 0x21 + 0x7F : 0xAD);
}

size_t byte_alphabet_encode(unsigned char byte, char out[2])
{
    char utf8[4];
    size_t n = utf8_encode(stands_for_itself(byte) ? byte : shifted(byte), utf8);
    out[0] = utf8[0];
    if (n > 1)
        out[1] = utf8[1];
    return n;
}

int byte_alphabet_decode(const char *text, size_t n, size_t *size)
{
    uint32_t code;
    *size = utf8_decode((const unsigned char *)text, n, &code);
    return *size ? byte_of(code) : -1;
}

bool byte_alphabet_string(const char *text, size_t n, struct buffer *out)
{
    size_t before = out->size;
    for (size_t i = 0, size; i < n; i += size) {
        int byte = byte_alphabet_decode(text + i, n - i, &size);
        if (byte < 0) {
            out->size = before;
            return false;
        }
        buffer_byte(out, (char)byte);
    }
    return true;
}

void byte_alphabet_sorted(unsigned char bytes[256])
{
    size_t n = 0;
    for (uint32_t code = 0; code <= 0x143; code++)
        if (byte_of(code) >= 0)
            bytes[n++] = (unsigned char)byte_of(code);
}
