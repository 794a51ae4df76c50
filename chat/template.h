/* Chat templates: how a model's conversation becomes the text it was trained on.
 *
 * A template is a Jinja program that comes with the model (tokenizer_config.json's or a GGUF file's
 * `chat_template`, or chat_template.jinja). This is an interpreter for the subset that such
 * templates use, rendering as Hugging Face transformers does with Python's jinja2 3.1: trim_blocks
 * and lstrip_blocks on, no autoescape, break and continue, `{% generation %}`, tojson like Python's
 * json.dumps with ensure_ascii off, raise_exception and strftime_now. docs/chat-templates.md lists
 * what is supported; everything else is refused with one line that names template, line and column.
 *
 * A template is untrusted input: it reads no file, runs nothing, and every render is bounded in
 * work, memory, output and depth (below), so that the worst it can do is to be refused. */
#ifndef LINNET_CHAT_TEMPLATE_H
#define LINNET_CHAT_TEMPLATE_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CHAT_TEMPLATE_MOST = 1 << 20, /* bytes of a template; the largest known has 25 thousand */
    CHAT_NESTING_MOST = 100,      /* brackets within each other */
    CHAT_DEPTH_MOST = 500, /* expressions, blocks, macro calls, lists and dicts within each other */
    CHAT_RANGE_MOST = 100000, /* items of one range(), jinja2's own limit */
};
/* The limits of one render unless the caller lowers them (struct chat_input). */
#define CHAT_OUTPUT_MOST ((size_t)64 << 20)  /* bytes */
#define CHAT_MEMORY_MOST ((size_t)256 << 20) /* bytes of values made on the way */
/* Steps: one for each expression, statement, loop iteration, item or 16 bytes of text handled. A
 * conversation of ten messages takes some thousand. */
#define CHAT_WORK_MOST ((size_t)50 << 20)

struct chat_template;

/* Parses n bytes of template (they are copied). `name` (copied) is what errors call it, for example
 * a path. ERR_FORMAT when it is not well-formed UTF-8 or Jinja, uses a statement that is not
 * supported, or exceeds a limit; *t is NULL then. A filter, test, function or method that is not
 * supported is refused only when a render comes to it, as in jinja2. */
int chat_template_parse(const char *name, const char *source, size_t n, struct chat_template **t,
                        struct error *e);
void chat_template_free(struct chat_template *t); /* NULL is fine */

/* Whether the template marks what the assistant says with {% generation %}, so that spans can be
 * had. */
bool chat_template_has_generation(const struct chat_template *t);

/* What a template sees. JSON values are only read and must outlive the call. */
struct chat_input {
    const json_t *messages;     /* array of objects: role, content, ... */
    const json_t *tools;        /* array, or NULL: the template sees none */
    const json_t *documents;    /* array, or NULL: the template sees none */
    bool add_generation_prompt; /* end with the opening of the assistant's turn */
    const char *bos_token;      /* NULL: undefined in the template, as transformers leaves it */
    const char *eos_token;      /* NULL: likewise */
    const json_t *variables;    /* object of further variables (enable_thinking, ...), or NULL; they
                                   win over all above */
    int64_t now;                /* seconds since 1970 for strftime_now, shown in local time */
    size_t output_most, memory_most, work_most; /* limits; 0: as above */
};

/* Byte ranges of the output, ascending and disjoint. Initialise to zero, free at the end. */
struct chat_spans {
    struct chat_span {
        size_t begin, end;
    } * items;
    size_t count, capacity;
};
void chat_spans_free(struct chat_spans *s);

/* Appends the rendered conversation to `out`; the result is well-formed UTF-8. `spans` (may be
 * NULL) becomes what lies within {% generation %}, as offsets into out->data. One template may be
 * rendered by several threads at once.
 *
 * ERR_FORMAT and nothing appended when the template refuses the conversation (raise_exception; the
 * line has its words), uses what is not supported, computes with what does not fit, or exceeds a
 * limit. With spans also when {% generation %} stands inside a macro, a block `set`, a filter or a
 * call block, where no place in the output is known. */
int chat_template_render(const struct chat_template *t, const struct chat_input *in,
                         struct buffer *out, struct chat_spans *spans, struct error *e);

#endif
