#include "tokenizer/unicode.h"

#include "base/check.h"
#include "base/memory.h"

#include <pthread.h>
#include <string.h>
#include <utf8proc.h>

/* Letters and numbers are assigned in planes 0 to 3 only; beyond are tags and private use. */
enum { PAGE = 256, CODES = 0x40000, PAGES = CODES / PAGE, MAX_DISTINCT = 512 };

static uint8_t pages[MAX_DISTINCT][PAGE];
static uint16_t page_of[PAGES];

#define O   CLASS_OTHER
#define L   CLASS_LETTER
#define N   CLASS_NUMBER
#define S   CLASS_SPACE
#define R   CLASS_NEWLINE
#define M   CLASS_MULTIBYTE
#define M16 M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M
const uint8_t class_of_byte[256] = {
    O,   O,   O,   O,   O,   O,   O,   O,   O, S, R, S, S, R, O, O, /* 00: tab, LF, VT, FF, CR */
    O,   O,   O,   O,   O,   O,   O,   O,   O, O, O, O, O, O, O, O, /* 10 */
    S,   O,   O,   O,   O,   O,   O,   O,   O, O, O, O, O, O, O, O, /* 20: space */
    N,   N,   N,   N,   N,   N,   N,   N,   N, N, O, O, O, O, O, O, /* 30: digits */
    O,   L,   L,   L,   L,   L,   L,   L,   L, L, L, L, L, L, L, L, /* 40 */
    L,   L,   L,   L,   L,   L,   L,   L,   L, L, L, O, O, O, O, O, /* 50 */
    O,   L,   L,   L,   L,   L,   L,   L,   L, L, L, L, L, L, L, L, /* 60 */
    L,   L,   L,   L,   L,   L,   L,   L,   L, L, L, O, O, O, O, O, /* 70 */
    M16, M16, M16, M16, M16, M16, M16, M16,
};
#undef O
#undef L
#undef N
#undef S
#undef R
#undef M
#undef M16

bool unicode_is_space(uint32_t c)
{
    return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000;
}

/* Letters and numbers of Unicode 15.1 and 16, the edition Hugging Face's patterns know; Debian 12's
 * utf8proc stops at 15. A difference here would be a difference in ids. */
static const struct {
    uint32_t first, last;
    enum char_class class;
} newer[] = {
    {0x1C89, 0x1C8A, CLASS_LETTER},   {0xA7CB, 0xA7CD, CLASS_LETTER},
    {0xA7DA, 0xA7DC, CLASS_LETTER},   {0x105C0, 0x105F3, CLASS_LETTER},
    {0x10D40, 0x10D49, CLASS_NUMBER}, {0x10D4A, 0x10D65, CLASS_LETTER},
    {0x10D6F, 0x10D85, CLASS_LETTER}, {0x10EC2, 0x10EC4, CLASS_LETTER},
    {0x11380, 0x11389, CLASS_LETTER}, {0x1138B, 0x1138B, CLASS_LETTER},
    {0x1138E, 0x1138E, CLASS_LETTER}, {0x11390, 0x113B5, CLASS_LETTER},
    {0x113B7, 0x113B7, CLASS_LETTER}, {0x113D1, 0x113D1, CLASS_LETTER},
    {0x113D3, 0x113D3, CLASS_LETTER}, {0x116D0, 0x116E3, CLASS_NUMBER},
    {0x11BC0, 0x11BE0, CLASS_LETTER}, {0x11BF0, 0x11BF9, CLASS_NUMBER},
    {0x13460, 0x143FA, CLASS_LETTER}, {0x16100, 0x1611D, CLASS_LETTER},
    {0x16130, 0x16139, CLASS_NUMBER}, {0x16D40, 0x16D6C, CLASS_LETTER},
    {0x16D70, 0x16D79, CLASS_NUMBER}, {0x18CFF, 0x18CFF, CLASS_LETTER},
    {0x1CCF0, 0x1CCF9, CLASS_NUMBER}, {0x1E5D0, 0x1E5ED, CLASS_LETTER},
    {0x1E5F0, 0x1E5F0, CLASS_LETTER}, {0x1E5F1, 0x1E5FA, CLASS_NUMBER},
    {0x2EBF0, 0x2EE5D, CLASS_LETTER},
};

static enum char_class classify_unassigned(uint32_t c)
{
    for (size_t i = 0; i < sizeof newer / sizeof *newer; i++)
        if (c >= newer[i].first && c <= newer[i].last)
            return newer[i].class;
    return CLASS_OTHER;
}

static enum char_class classify(uint32_t c)
{
    if (c == '\r' || c == '\n')
        return CLASS_NEWLINE;
    if (unicode_is_space(c))
        return CLASS_SPACE;
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
    if (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO)
        return CLASS_LETTER;
    if (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO)
        return CLASS_NUMBER;
    return category == UTF8PROC_CATEGORY_CN ? classify_unassigned(c) : CLASS_OTHER;
}

/* Two stages: equal pages are stored once, so the whole of Unicode takes some 40 KB. */
static void build(void)
{
    size_t n = 0;
    uint64_t seen[MAX_DISTINCT]; /* a cheap sum to skip most comparisons */
    for (uint32_t i = 0; i < PAGES; i++) {
        uint8_t page[PAGE];
        uint64_t sum = 0;
        for (uint32_t j = 0; j < PAGE; j++) {
            page[j] = (uint8_t)classify(i * PAGE + j);
            sum = sum * 31 + page[j];
        }
        size_t k = 0;
        while (k < n && (seen[k] != sum || memcmp(pages[k], page, PAGE) != 0))
            k++;
        if (k == n) {
            CHECK(n < MAX_DISTINCT);
            memcpy(pages[n], page, PAGE);
            seen[n++] = sum;
        }
        page_of[i] = (uint16_t)k;
    }
}

void unicode_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, build);
}

enum char_class unicode_class(const unsigned char *p, size_t n, size_t *size)
{
    enum char_class direct = class_of_byte[p[0]];
    *size = 1;
    if (direct != CLASS_MULTIBYTE)
        return direct;
    uint32_t code;
    size_t length = utf8_decode(p, n, &code);
    if (!length)
        return CLASS_OTHER;
    *size = length;
    return code < CODES ? pages[page_of[code / PAGE]][code % PAGE] : CLASS_OTHER;
}
