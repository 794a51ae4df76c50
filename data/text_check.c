#include "data/text_check.h"

#include "base/utf8.h"

#include <string.h>

/* Eight bytes at once: all ASCII and none of them NUL. */
static bool is_plain(const char *p)
{
    const uint64_t high = 0x8080808080808080ull, ones = 0x0101010101010101ull;
    uint64_t w;
    memcpy(&w, p, sizeof w);
    return !((w | (w - ones)) & high);
}

size_t text_find_fault(const char *text, size_t n)
{
    size_t i = 0;
    while (i < n) {
        if (n - i >= 8 && is_plain(text + i)) {
            i += 8;
            continue;
        }
        uint32_t c;
        size_t length = utf8_decode(text + i, n - i, &c);
        if (length == 0 || c == 0)
            return i;
        i += length;
    }
    return n;
}

bool text_is_space(uint32_t c)
{
    return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           c == 0x180E || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
           c == 0x202F || c == 0x205F || c == 0x3000;
}

static bool is_ascii_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool space_at(const char *text, size_t i, size_t n)
{
    uint32_t c;
    return utf8_decode(text + i, n - i, &c) == 0 || text_is_space(c);
}

/* The newline at text[i] stands alone between two characters that are no white space. */
static bool is_lone_newline(const char *text, size_t i, size_t n)
{
    if (i == 0 || i + 1 >= n)
        return false;
    size_t before = i - 1;
    while (before > 0 && i - before < 4 && ((unsigned char)text[before] & 0xC0) == 0x80)
        before--;
    return !space_at(text, before, i) && !space_at(text, i + 1, n);
}

size_t text_last_cut(const char *text, size_t n)
{
    for (size_t i = n; i-- > 1;) {
        if (text[i] == ' ' && i + 1 < n && is_ascii_letter(text[i - 1]) &&
            is_ascii_letter(text[i + 1]))
            return i;
        if (text[i] == '\n' && is_lone_newline(text, i, n))
            return i + 1;
    }
    return 0;
}
