/* The values of a template: Python's None, bool, int (of 64 bits), float, str, list, tuple and dict
 * as far as templates see them, jinja2's undefined and namespace, and what can be called. All live
 * in the engine's pool; strings are well-formed UTF-8 and not terminated. */
#ifndef LINNET_CHAT_VALUE_H
#define LINNET_CHAT_VALUE_H

#include "base/json.h"
#include "chat/engine.h"

enum value_kind {
    V_ABSENT, /* an argument that was not given; never seen by a template */
    V_UNDEFINED,
    V_NONE,
    V_BOOL,
    V_INT,
    V_FLOAT,
    V_STRING,
    V_LIST, /* and whatever else is a row of items, see enum list_kind */
    V_DICT,
    V_NAMESPACE,
    V_LOOP,
    V_FUNCTION,
    V_METHOD,
    V_MACRO,
};

struct value {
    uint8_t kind;  /* enum value_kind */
    uint8_t owner; /* of an undefined: the kind whose attribute is missing, V_ABSENT for a name */
    bool safe;     /* of a string: went through |safe, so that what joins it is escaped */
    union {
        bool b;
        int64_t i;
        double f;
        const char *s; /* string: bytes; undefined: the name that was looked for */
        struct list *list;
        struct dict *dict; /* dict and namespace */
        struct loop *loop;
        const struct builtin *function;
        const struct method *method;
        const struct macro *macro;
    };
    size_t size; /* of s, in bytes */
};

enum list_kind { LIST, TUPLE, RANGE, VIEW /* d.items() */, GENERATOR /* gives its items once */ };

struct list {
    enum list_kind kind;
    bool spent; /* a generator that gave its items */
    struct value *items;
    size_t count, capacity;
};

/* In order of insertion. */
struct dict {
    struct entry {
        struct value key, value;
    } * items;
    size_t count, capacity;
};

struct method {
    struct value self;
    const struct builtin *builtin;
};

static inline struct value value_of(enum value_kind kind)
{
    return (struct value){.kind = (uint8_t)kind};
}
static inline struct value value_bool(bool b)
{
    return (struct value){.kind = V_BOOL, .b = b};
}
static inline struct value value_int(int64_t i)
{
    return (struct value){.kind = V_INT, .i = i};
}
static inline struct value value_float(double f)
{
    return (struct value){.kind = V_FLOAT, .f = f};
}
static inline struct value value_string(const char *s, size_t n) /* borrowed */
{
    return (struct value){.kind = V_STRING, .s = s, .size = n};
}
static inline struct value value_text(const struct text *t)
{
    return value_string(t->data ? t->data : "", t->size);
}
struct value value_undefined(const char *name, size_t n, enum value_kind owner);
struct value value_list(struct engine *g, enum list_kind kind, size_t capacity);
struct value value_dict(struct engine *g);
/* A copy of the JSON value whose strings stay the JSON's. */
struct value value_from_json(struct engine *g, const json_t *json);

void list_append(struct engine *g, struct list *l, struct value v);
/* NULL when there is no such key. */
struct value *dict_find(struct engine *g, const struct dict *d, struct value key);
struct value *dict_find_name(struct engine *g, const struct dict *d, const char *name, size_t n);
/* Fails when the key is a list, a dict or the like. */
void dict_set(struct engine *g, struct dict *d, struct value key, struct value v);

bool value_is_text(struct value v, const char *s); /* a string with just these characters */
bool value_is_number(struct value v);              /* bool, int or float */
bool value_is_integer(struct value v);             /* bool or int */
int64_t value_integer(struct value v);             /* of a bool or int */
double value_number(struct value v);               /* of a bool, int or float */
bool value_truth(struct value v);
bool value_equal(struct engine *g, struct value a, struct value b);
/* -1, 0, 1, or VALUE_UNORDERED for what is not a number; fails when Python would not order the two.
 */
enum { VALUE_UNORDERED = 2 };
int value_compare(struct engine *g, struct value a, struct value b);
/* Fails on what cannot be iterated. A list gives itself, to be read only. */
const struct list *value_items(struct engine *g, struct value v);
size_t value_length(struct engine *g, struct value v);
bool value_contains(struct engine *g, struct value all, struct value one);

/* "a string", "none", ... for errors. */
const char *value_kind_name(struct value v);
/* Fails with what an undefined value is: "'x' is undefined". */
_Noreturn void value_fail_undefined(struct engine *g, struct value v);
/* Fails unless v is of the kind. */
void value_expect(struct engine *g, struct value v, enum value_kind kind, const char *what);

#endif
