/* JSON Schema (draft 2020-12, and what older drafts call differently) to a grammar for the values it describes.
 *
 * What is written is GBNF (grammar/grammar.h), so that it can be read, kept and changed. Each text the grammar
 * accepts is JSON that the schema accepts; the other way round, the grammar is narrower where a model is better
 * off:
 *   - members come in the order of `properties`; an object with `properties` has no others, and an array with
 *     `prefixItems` no further items, unless additionalProperties or items say which;
 *   - keywords that belong to one type ask for this type even without `type`;
 *   - white space is a blank, or one or two line ends and up to 20 blanks, between tokens and not around the
 * value;
 *   - integers have up to 16 digits (more where a bound needs them), other numbers up to 16 in front of and
 * behind the point and two in the exponent; names beyond `properties` are spelled without escapes. oneOf counts
 * as anyOf: a text may satisfy two of its schemas, which the schema forbids.
 *
 * A keyword that constrains and is not supported is an error that names it and its place, never ignored:
 * docs/constraints.md has the list. */
#ifndef LINNET_GRAMMAR_JSON_SCHEMA_H
#define LINNET_GRAMMAR_JSON_SCHEMA_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/json.h"

/* Appends the grammar. ERR_FORMAT on what cannot be done; nothing is appended then. */
int json_schema_write(const json_t *schema, struct buffer *gbnf, struct error *e);
/* The same from n bytes of text. {"type": "object"} is any JSON object. */
int json_schema_parse(const char *text, size_t n, struct buffer *gbnf, struct error *e);

#endif
