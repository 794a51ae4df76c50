#include "base/error.h"

#include "base/utf8.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Messages quote what files hold, which may be line ends or what a terminal obeys: such characters are
 * spelled out. Returns how many bytes of `to`, of `room`, the character takes; 0 when it does not fit. */
static size_t put_visible(char *to, size_t room, unsigned char c)
{
    char text[8];
    int n = c == '\n'              ? snprintf(text, sizeof text, "\\n")
            : c == '\t'            ? snprintf(text, sizeof text, "\\t")
            : c < 0x20 || c == 0x7F ? snprintf(text, sizeof text, "\\x%02x", c)
                                    : snprintf(text, sizeof text, "%c", c);
    if ((size_t)n >= room)
        return 0;
    memcpy(to, text, (size_t)n + 1);
    return (size_t)n;
}

/* Appends to the n bytes already there, and returns the new length. What does not fit is cut between
 * two characters, with "..." in its place. */
static size_t append(struct error *e, size_t n, const char *format, va_list args)
{
    static const char dots[] = "...";
    char text[sizeof e->message];
    int length = vsnprintf(text, sizeof text, format, args);
    bool whole = length >= 0 && (size_t)length < sizeof text;
    for (const char *from = text; *from; from++) {
        size_t put = put_visible(e->message + n, sizeof e->message - n, (unsigned char)*from);
        n += put;
        if (put == 0) {
            whole = false;
            break;
        }
    }
    e->message[n] = 0;
    if (whole)
        return n;
    size_t end = sizeof e->message - sizeof dots, begin = n < end ? n : end;
    while (begin > 0 && ((unsigned char)e->message[begin] & 0xC0) == 0x80)
        begin--;
    memcpy(e->message + begin, dots, sizeof dots);
    return begin + sizeof dots - 1;
}

static size_t __attribute__((format(printf, 3, 4)))
append_formatted(struct error *e, size_t n, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    n = append(e, n, format, args);
    va_end(args);
    return n;
}

int error_set(struct error *e, enum error_code code, const char *format, ...)
{
    if (e) {
        va_list args;
        va_start(args, format);
        append(e, 0, format, args);
        va_end(args);
        e->code = code;
    }
    return code;
}

int error_prefix(struct error *e, const char *format, ...)
{
    if (!e)
        return ERR_FORMAT;
    char old[sizeof e->message];
    memcpy(old, e->message, sizeof old);
    va_list args;
    va_start(args, format);
    size_t n = append(e, 0, format, args);
    va_end(args);
    append_formatted(e, n, ": %s", old);
    return e->code;
}

int error_set_errno(struct error *e, const char *format, ...)
{
    int saved = errno;
    if (e) {
        va_list args;
        va_start(args, format);
        size_t n = append(e, 0, format, args);
        va_end(args);
        append_formatted(e, n, ": %s", strerror(saved));
        e->code = ERR_IO;
    }
    return ERR_IO;
}
