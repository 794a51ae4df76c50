#include "base/utf8.h"

size_t utf8_decode(const void *text, size_t n, uint32_t *code)
{
    const unsigned char *p = text;
    if (n == 0)
        return 0;
    uint32_t c = p[0];
    if (c < 0x80) {
        *code = c;
        return 1;
    }
    if (c < 0xC2 || c > 0xF4 || n < 2)
        return 0;
    if (c < 0xE0) {
        if ((p[1] & 0xC0) != 0x80)
            return 0;
        *code = (c & 0x1F) << 6 | (p[1] & 0x3F);
        return 2;
    }
    /* The second byte excludes overlong forms, surrogates and what is above U+10FFFF. */
    unsigned low = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80;
    unsigned high = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;
    size_t size = c < 0xF0 ? 3 : 4;
    if (n < size || p[1] < low || p[1] > high || (p[2] & 0xC0) != 0x80 ||
        (size == 4 && (p[3] & 0xC0) != 0x80))
        return 0;
    if (size == 3) {
        *code = (c & 0x0F) << 12 | (uint32_t)(p[1] & 0x3F) << 6 | (p[2] & 0x3F);
        return 3;
    }
    *code = (c & 7) << 18 | (uint32_t)(p[1] & 0x3F) << 12 | (uint32_t)(p[2] & 0x3F) << 6 |
            (p[3] & 0x3F);
    return 4;
}

size_t utf8_encode(uint32_t c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3F));
        out[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3F));
    out[2] = (char)(0x80 | (c >> 6 & 0x3F));
    out[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

bool utf8_valid(const char *text, size_t n)
{
    uint32_t code;
    for (size_t i = 0, size; i < n; i += size)
        if ((size = utf8_decode(text + i, n - i, &code)) == 0)
            return false;
    return true;
}
