/* The inside of the conversion, shared by json_schema*.c. */
#ifndef LINNET_GRAMMAR_JSON_SCHEMA_PRIVATE_H
#define LINNET_GRAMMAR_JSON_SCHEMA_PRIVATE_H

#include "grammar/json_schema.h"

enum {
    SCHEMA_MOST_DEPTH = 64,      /* schemas within schemas */
    SCHEMA_MOST_STEPS = 1 << 17, /* schemas looked at, members merged */
    SCHEMA_STEP_ITEMS = 64,      /* items compared or copied that count as one */
};

struct schema_writer {
    const json_t *root;
    struct buffer rules;
    struct buffer path; /* of the schema that is converted: "#/properties/a" */
    json_t *names;      /* rule names taken: name to number of the next namesake */
    json_t *refs;       /* $ref to rule name */
    unsigned used;      /* bits of the rules that grammars share */
    size_t depth, steps;
    struct error *e;
};

enum schema_type { /* bits */
    TYPE_NULL = 1,
    TYPE_BOOLEAN = 2,
    TYPE_INTEGER = 4,
    TYPE_NUMBER = 8,
    TYPE_STRING = 16,
    TYPE_ARRAY = 32,
    TYPE_OBJECT = 64,
    TYPE_ALL = 127,
};

enum schema_merge { /* two values of a keyword that must both hold */
    MERGE_FIRST,      /* says nothing: any will do */
    MERGE_SAME,       /* only where they are the same */
    MERGE_MOST,       /* the larger number */
    MERGE_LEAST,
    MERGE_SCHEMA,     /* a schema */
    MERGE_SCHEMAS,    /* an object of schemas */
    MERGE_UNION,      /* lists: all of both */
    MERGE_COMMON,     /* only what is in both */
    MERGE_TYPES,
    MERGE_ADDITIONAL,
};

struct schema_keyword {
    const char *name;
    unsigned types; /* that it constrains; 0: none, it says something to people */
    enum schema_merge merge;
};
const struct schema_keyword *schema_keyword(const char *name); /* NULL: not supported */

/* ERR_FORMAT "JSON schema: #/properties/a: ..." */
int schema_error(struct schema_writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* For "%.*s": the length of a text, or of as many whole characters of it as fit `most` bytes. */
int schema_cut(const char *text, size_t most);
/* Descends in `path`: what to give schema_leave. */
size_t schema_enter(struct schema_writer *w, const char *keyword, const char *member);
void schema_leave(struct schema_writer *w, size_t mark);
/* ERR_FORMAT once the whole conversion has taken too many. */
int schema_step(struct schema_writer *w);
/* The same for what touches n items: a small schema may have the same long list looked at again and again. */
int schema_steps_for(struct schema_writer *w, size_t n);
/* Whether a schema says anything but to people. */
bool schema_constrains(const json_t *schema);
/* The schema that a $ref names, borrowed. */
int schema_resolve(struct schema_writer *w, const char *ref, const json_t **schema);
/* TYPE_ bits of a schema's `type`; TYPE_ALL when it has none. */
int schema_types(struct schema_writer *w, const json_t *schema, unsigned *types);

/* A rule that grammars share ("string", "space"): marks it as used and returns its name. */
const char *schema_shared(struct schema_writer *w, const char *name);

/* A name no rule has yet, made of letters, digits and dashes; it lives as long as the writer. `hint` may be
 * NULL. */
const char *schema_name(struct schema_writer *w, const char *parent, const char *hint);
void schema_rule(struct schema_writer *w, const char *name, const struct buffer *body);
/* The rule of a schema: one of its own, unless its definition is the name of another. */
int schema_visit(struct schema_writer *w, const json_t *schema, const char *parent, const char *hint,
                 const char **rule);
/* The same for a part of a schema that has a place of its own (schema_enter). */
int schema_visit_part(struct schema_writer *w, const json_t *schema, const char *parent, const char *hint,
                      const char *keyword, const char *member, const char **rule);
/* Two keywords that count: 0 and SIZE_MAX where they are missing. */
int schema_counts(struct schema_writer *w, const json_t *schema, const char *least, const char *most, size_t *low,
                  size_t *high);

/* --- json_schema_parts.c: what an array or an object is made of */
int schema_put_array(struct schema_writer *w, const json_t *schema, const char *name, struct buffer *out);
int schema_put_object(struct schema_writer *w, const json_t *schema, const char *name, struct buffer *out);

/* --- json_schema_scalars.c: what a string or a number is made of */
int schema_put_string(struct schema_writer *w, const json_t *schema, struct buffer *out);
int schema_put_integer(struct schema_writer *w, const json_t *schema, struct buffer *out);
int schema_put_number(struct schema_writer *w, const json_t *schema, struct buffer *out);

/* --- json_schema_merge.c */
/* A new schema that holds where both do. */
int schema_merge(struct schema_writer *w, const json_t *a, const json_t *b, json_t **both);

/* --- json_schema_text.c: parts of rules */
/* {low,high}, as short as can be; SIZE_MAX: no upper limit. */
void gbnf_counts(struct buffer *out, size_t low, size_t high);
void gbnf_literal(struct buffer *out, const char *text, size_t n);
/* Any JSON value, as a literal. */
void gbnf_json(struct buffer *out, const json_t *value);
/* Integers from low to high. */
void gbnf_integers(struct buffer *out, int64_t low, int64_t high);
/* A string in quotes that is none of the names. */
void gbnf_other_names(struct buffer *out, const char *const *names, size_t n);

/* --- json_schema_regex.c */
/* The strings a pattern matches, in quotes and spelled as JSON. */
int gbnf_pattern(struct schema_writer *w, const char *pattern, struct buffer *out);

#endif
