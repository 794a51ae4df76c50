/* What the parts of the renderer share: running statements, evaluating expressions, and the tables
 * of what templates can call. */
#ifndef LINNET_CHAT_RENDER_H
#define LINNET_CHAT_RENDER_H

#include "chat/ast.h"
#include "chat/template.h"

struct scope {
    struct scope *parent;
    struct binding {
        struct binding *next;
        const char *name;
        size_t size;
        struct value value;
    } * first;
};

struct pending_json {
    struct pending_json *next;
    json_t *json;
};

struct render {
    struct engine g;
    struct scope *scope;
    struct text *out; /* where statements print to */
    size_t output_most;
    bool captured; /* `out` is not the result itself */
    bool in_generation;
    struct chat_spans *spans; /* NULL when they are not wanted */
    int64_t now;
    struct pending_json *json; /* made by from_json, freed at the end: strings are borrowed */
};

/* The arguments of a call as they were written. */
struct arguments {
    struct value *items;
    size_t count;
    struct keyword {
        const char *name;
        size_t size;
        struct value value;
    } * keywords;
    size_t n_keywords;
};

enum { PARAMETERS_MOST = 4 };

/* A filter, test, method or function. */
struct builtin {
    const char *name;
    /* `self` is what is filtered or tested or whose method it is. `a` are the parameters in their
     * order, absent where not given; NULL for one that takes any arguments and reads `all`. */
    struct value (*call)(struct render *r, struct value self, const struct value *a,
                         const struct arguments *all);
    unsigned required;
    const char *parameters[PARAMETERS_MOST];
    bool any_arguments;
};

struct value builtin_call(struct render *r, const char *what, const struct builtin *b,
                          struct value self, const struct arguments *all);
struct value filter_call(struct render *r, const char *name, size_t n, struct value self,
                         const struct arguments *all);
bool test_call(struct render *r, const char *name, size_t n, struct value self,
               const struct arguments *all);
const struct builtin *builtin_find(const struct builtin *table, size_t count, const char *name,
                                   size_t n);
const struct builtin *builtin_function(const char *name, size_t n);
/* The method of a value, absent when it is not an attribute in Python either; fails for one that is
 * not supported. */
struct value builtin_method(struct render *r, struct value self, const char *name, size_t n);

/* A list that a filter makes in Python as a generator. */
struct value render_generator(struct render *r, size_t capacity);
/* a.b.0 for the attribute= of filters; absent or none gives the value itself. */
struct value render_path(struct render *r, struct value v, struct value path);
struct value render_attribute(struct render *r, struct value v, const char *name, size_t n);
struct value render_item(struct render *r, struct value v, struct value key);
struct value render_binary(struct render *r, enum operator op, struct value a, struct value b);
bool render_compare(struct render *r, enum operator op, struct value a, struct value b);
/* strftime of r->now. */
struct value render_time(struct render *r, struct value format);

struct value render_expression(struct render *r, const struct node *n);
struct value *scope_find(struct render *r, const char *name, size_t n);
void scope_set(struct render *r, struct scope *s, const char *name, size_t n, struct value v);
struct scope *scope_push(struct render *r);

/* A macro, or the body of a call block. */
struct macro {
    const struct node *node;
    struct scope *scope; /* where it was defined */
};
struct value macro_call(struct render *r, const struct macro *m, const struct arguments *all,
                        struct value caller);
/* Runs a template's statements. */
void render_body(struct render *r, const struct node *body);
/* Runs the statements into a text of their own, in a scope of their own. */
struct value render_capture(struct render *r, const struct node *body, struct scope *scope);
/* A block's filters on its text. */
struct value render_filters(struct render *r, const struct node *filters, struct value text);
/* The call with `caller` bound to v, absent for none. */
struct value render_call(struct render *r, const struct node *n, struct value caller);

/* What `loop` is within {% for %}. */
struct loop {
    const struct list *items;
    size_t index; /* from 0 */
    bool has_changed;
    struct value changed; /* loop.changed's last arguments */
};
struct value loop_attribute(struct render *r, struct loop *l, const char *name, size_t n);

#endif
