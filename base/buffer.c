#include "base/buffer.h"

#include "base/check.h"
#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void reserve(struct buffer *b, size_t more)
{
    void *data = b->data;
    mem_grow(&data, &b->capacity, b->size + more, 1);
    b->data = data;
}

void buffer_append(struct buffer *b, const void *bytes, size_t n)
{
    reserve(b, n);
    if (n)
        memcpy(b->data + b->size, bytes, n);
    b->size += n;
    b->data[b->size] = 0;
}

void buffer_string(struct buffer *b, const char *s)
{
    buffer_append(b, s, strlen(s));
}

void buffer_byte(struct buffer *b, char c)
{
    buffer_append(b, &c, 1);
}

void buffer_printf(struct buffer *b, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    CHECK(n >= 0);
    reserve(b, (size_t)n);
    vsnprintf(b->data + b->size, (size_t)n + 1, format, again);
    b->size += (size_t)n;
    va_end(again);
    va_end(args);
}

void buffer_clear(struct buffer *b)
{
    b->size = 0;
    if (b->data)
        b->data[0] = 0;
}

void buffer_free(struct buffer *b)
{
    mem_free(b->data);
    *b = (struct buffer){0};
}
