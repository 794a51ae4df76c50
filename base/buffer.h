/* A growable run of bytes, always followed by a NUL that `size` does not count. */
#ifndef LINNET_BASE_BUFFER_H
#define LINNET_BASE_BUFFER_H

#include <stddef.h>

struct buffer {
    char *data; /* NULL until something was appended */
    size_t size, capacity;
};

void buffer_append(struct buffer *b, const void *bytes, size_t n);
void buffer_string(struct buffer *b, const char *s);
void buffer_byte(struct buffer *b, char c);
void buffer_printf(struct buffer *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void buffer_clear(struct buffer *b); /* size 0, memory kept */
void buffer_free(struct buffer *b);

#endif
