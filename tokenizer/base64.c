#include "tokenizer/base64.h"

#include <stdint.h>
#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(const void *bytes, size_t n, struct buffer *out)
{
    const unsigned char *p = bytes;
    for (size_t i = 0; i < n; i += 3) {
        size_t left = n - i < 3 ? n - i : 3;
        uint32_t group = 0;
        for (size_t k = 0; k < 3; k++)
            group = group << 8 | (k < left ? p[i + k] : 0);
        for (size_t k = 0; k < 4; k++)
            buffer_byte(out, k <= left ? digits[group >> (18 - 6 * k) & 63] : '=');
    }
}

bool base64_decode(const char *text, size_t n, struct buffer *out)
{
    if (n % 4)
        return false;
    for (size_t i = 0; i < n; i += 4) {
        size_t padding = 0;
        if (i + 4 == n)
            padding = text[i + 3] == '=' ? 1 + (text[i + 2] == '=') : 0;
        uint32_t group = 0;
        for (size_t k = 0; k < 4; k++) {
            const char *digit = memchr(digits, k < 4 - padding ? text[i + k] : 'A', 64);
            if (!digit)
                return false;
            group = group << 6 | (uint32_t)(digit - digits);
        }
        for (size_t k = 0; k < 3 - padding; k++)
            buffer_byte(out, (char)(group >> (16 - 8 * k) & 255));
    }
    return true;
}
