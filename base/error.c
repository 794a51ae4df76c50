#include "base/error.h"

#include "base/utf8.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Messages quote what files hold, which may be line ends or what a terminal obeys. */
static void keep_to_one_line(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7F)
            *text = '?';
}

/* Appends to the n bytes already there, and returns the new length. What does not fit is cut between
 * two characters, with "..." in its place. */
static size_t append(struct error *e, size_t n, const char *format, va_list args)
{
    static const char dots[] = "...";
    size_t room = sizeof e->message - n;
    int length = vsnprintf(e->message + n, room, format, args);
    keep_to_one_line(e->message + n);
    if (length >= 0 && (size_t)length < room)
        return n + (size_t)length;
    size_t end = sizeof e->message - sizeof dots, begin = end;
    while (begin > 0 && end - begin < 4 && ((unsigned char)e->message[begin] & 0xC0) == 0x80)
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
