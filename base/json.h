/* JSON through jansson, with errors that name the place and the key. */
#ifndef LINNET_BASE_JSON_H
#define LINNET_BASE_JSON_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Parses n bytes of strict JSON. The caller owns the result (json_decref). Duplicate keys, invalid
 * UTF-8, nesting deeper than jansson's limit of 2048 and trailing text are errors that give line
 * and column. */
int json_parse(const char *text, size_t n, json_t **root, struct error *e);
/* The same for one line of many, whose number the caller knows: the error gives the column alone. */
int json_parse_line(const char *text, size_t n, json_t **root, struct error *e);
int json_read(const char *path, json_t **root, struct error *e);

/* Reads an object's member into *value. Absent or null: leaves *value alone and succeeds. A member
 * of another type, a number out of range or not exact: ERR_FORMAT naming the key. */
int json_get_size(const json_t *object, const char *key, size_t *value, struct error *e);
int json_get_double(const json_t *object, const char *key, double *value, struct error *e);
int json_get_bool(const json_t *object, const char *key, bool *value, struct error *e);
/* *value stays owned by the object. */
int json_get_string(const json_t *object, const char *key, const char **value, struct error *e);

/* A new string of n bytes of text; bytes that are not UTF-8 become U+FFFD. */
json_t *json_text(const char *text, size_t n);

#endif
