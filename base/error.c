#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int error_set(struct error *e, enum error_code code, const char *format, ...)
{
    if (e) {
        va_list args;
        va_start(args, format);
        vsnprintf(e->message, sizeof e->message, format, args);
        va_end(args);
        e->code = code;
    }
    return code;
}

int error_prefix(struct error *e, const char *format, ...)
{
    if (!e)
        return ERR_FORMAT;
    char old[sizeof e->message], prefix[sizeof e->message];
    memcpy(old, e->message, sizeof old);
    va_list args;
    va_start(args, format);
    vsnprintf(prefix, sizeof prefix, format, args);
    va_end(args);
    size_t n = strlen(prefix);
    if (n > sizeof old - 3)
        n = sizeof old - 3;
    memcpy(e->message, prefix, n);
    memcpy(e->message + n, ": ", 2);
    snprintf(e->message + n + 2, sizeof e->message - n - 2, "%s", old);
    return e->code;
}

int error_set_errno(struct error *e, const char *format, ...)
{
    int saved = errno;
    if (e) {
        va_list args;
        va_start(args, format);
        vsnprintf(e->message, sizeof e->message, format, args);
        va_end(args);
        size_t n = strlen(e->message);
        snprintf(e->message + n, sizeof e->message - n, ": %s", strerror(saved));
        e->code = ERR_IO;
    }
    return ERR_IO;
}
