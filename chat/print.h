/* Values as text: as Python's str, repr and json.dumps write them. */
#ifndef LINNET_CHAT_PRINT_H
#define LINNET_CHAT_PRINT_H

#include "chat/value.h"

/* Appends str(v); fails on what has no text that a template could want (functions, loops). */
void print_value(struct engine *g, struct text *t, struct value v);
/* The same as a value: a string is returned as it is. */
struct value value_to_string(struct engine *g, struct value v);

struct json_style {
    bool ensure_ascii, sort_keys, pretty; /* pretty: `indent` before each item on its own line */
    struct value indent;                  /* a string */
    struct value item_separator, key_separator; /* strings */
};
void print_as_json(struct engine *g, struct text *t, struct value v,
                   const struct json_style *style);

#endif
