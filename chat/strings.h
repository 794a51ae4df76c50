/* What Python's str does, on UTF-8. Positions and counts are in characters. */
#ifndef LINNET_CHAT_STRINGS_H
#define LINNET_CHAT_STRINGS_H

#include "chat/value.h"

#include <sys/types.h>

/* Bytes of the white space that begins or ends the n bytes (as str.isspace), 0 when none does. */
size_t string_space_at(const char *s, size_t n);
size_t string_space_before(const char *s, size_t n);

/* str.strip: white space, or the characters of `set` unless that is absent or none. */
struct value string_strip(struct engine *g, struct value v, struct value set, bool left,
                          bool right);
/* str.split and rsplit; a separator that is absent or none splits at white space. most < 0: all. */
struct value string_split(struct engine *g, struct value v, struct value separator, int64_t most,
                          bool from_right);
struct value string_lines(struct engine *g, struct value v); /* str.splitlines() */
/* str.replace; most < 0: all. */
struct value string_replace(struct engine *g, struct value v, struct value old, struct value by,
                            int64_t most);
enum string_case { LOWER, UPPER, CAPITALIZE, TITLE /* str.title */ };
struct value string_case(struct engine *g, struct value v, enum string_case how);
/* v[start:stop:step] of a string, list or tuple, with absent or none for what is not given. */
struct value value_slice(struct engine *g, struct value v, struct value start, struct value stop,
                         struct value step);
/* The character at an index (negative: from the end), or an absent value. */
struct value string_at(struct engine *g, struct value v, int64_t index);
/* Position of the first or last occurrence, -1 when there is none. */
int64_t string_find(struct engine *g, struct value v, struct value what, bool last);
size_t string_count(struct engine *g, struct value v, struct value what);
/* &, <, >, " and ' as HTML entities, unless it is safe already; the result is safe. */
struct value string_escape(struct engine *g, struct value v);

#endif
