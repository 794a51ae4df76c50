/* Configuration files: the part of YAML 1.1 that a configuration needs, read through libyaml
 * (https://pyyaml.org/wiki/LibYAML) into a flat list.
 *
 * Accepted: one document whose top is a mapping (or nothing); mappings nested to a depth of
 * YAML_MAX_DEPTH; values that are scalars or lists of scalars. Everything else is an error that
 * gives line and column: anchors, aliases, tags, several documents, keys that are not plain text
 * or hold a dot, a key given twice, lists in lists. */
#ifndef LINNET_BASE_YAML_H
#define LINNET_BASE_YAML_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    YAML_MAX_DEPTH = 8,
    YAML_MAX_KEY = 128, /* bytes of one key */
    YAML_MAX_ENTRIES = 10000,
    YAML_MAX_BYTES = 1 << 20,
};

struct yaml_entry {
    char *path;   /* "model.hidden_size" */
    char *value;  /* UTF-8 without NUL; NULL only for the one entry of an empty list */
    bool is_null; /* nothing, `~` or `null`, unquoted */
    bool in_list; /* one item of a list: all items share `path`, in order */
    size_t index; /* of the item within its list */
    size_t line;  /* from 1, of the value */
};

/* Zero-initialise before use, or let yaml_parse do it. */
struct yaml {
    struct yaml_entry *entries;
    size_t count, capacity;
};

/* Parses n bytes. On failure *y is empty and the error reads "line 3, column 5: ...". */
int yaml_parse(const char *text, size_t n, struct yaml *y, struct error *e);
/* The same for a file; errors read "path:3:5: ...". */
int yaml_read(const char *path, struct yaml *y, struct error *e);
/* The value at a path, of a list that of its first item; NULL: there is none. */
const char *yaml_value(const struct yaml *y, const char *path);
void yaml_entries_free(struct yaml *y); /* yaml_free is taken: libyaml exports one */

#endif
