#include "chat/template.h"

#include "base/memory.h"
#include "base/utf8.h"
#include "chat/render.h"

#include <string.h>

struct chat_template {
    struct engine g; /* owns name, source and tree */
    const struct node *body;
    bool has_generation;
};

enum { PARSE_MEMORY_MOST = 256 << 20 }; /* some 200 bytes for each byte of the largest template */

/* Newlines become \n and the last one goes, as jinja2's lexer has it. */
static void keep_source(struct engine *g, const char *name, const char *source, size_t n)
{
    size_t name_size = strlen(name) + 1, size = 0;
    char *copy = engine_alloc(g, name_size, 1);
    memcpy(copy, name, name_size);
    g->name = copy;
    copy = engine_alloc(g, n + 1, 1);
    for (size_t i = 0; i < n; i++) {
        if (source[i] == '\r' && i + 1 < n && source[i + 1] == '\n')
            continue;
        copy[size++] = source[i] == '\r' ? '\n' : source[i];
    }
    size -= size && copy[size - 1] == '\n';
    g->source = copy;
    g->source_size = size;
}

int chat_template_parse(const char *name, const char *source, size_t n, struct chat_template **t,
                        struct error *e)
{
    struct error ignored;
    *t = NULL;
    if (n > CHAT_TEMPLATE_MOST)
        return error_set(e, ERR_FORMAT, "%s: the template has %zu bytes, more than the limit of %d",
                         name, n, (int)CHAT_TEMPLATE_MOST);
    if (!utf8_valid(source, n))
        return error_set(e, ERR_FORMAT, "%s: the template is not valid UTF-8", name);
    struct chat_template *made = mem_zero(1, sizeof *made);
    struct engine *g = &made->g;
    g->error = e ? e : &ignored;
    g->name = name;
    g->pool.limit = PARSE_MEMORY_MOST;
    g->work = SIZE_MAX; /* parsing is linear in the source */
    g->depth_most = 2 * CHAT_DEPTH_MOST;
    if (setjmp(g->trap)) {
        chat_template_free(made);
        return ERR_FORMAT;
    }
    keep_source(g, name, source, n);
    made->body = parser_template(g, &made->has_generation);
    g->error = NULL;
    *t = made;
    return OK;
}

void chat_template_free(struct chat_template *t)
{
    if (!t)
        return;
    engine_free(&t->g);
    mem_free(t);
}

bool chat_template_has_generation(const struct chat_template *t)
{
    return t->has_generation;
}

void chat_spans_free(struct chat_spans *s)
{
    mem_free(s->items);
    *s = (struct chat_spans){0};
}

static void define(struct render *r, const char *name, struct value v)
{
    scope_set(r, r->scope, name, strlen(name), v);
}

static void define_text(struct render *r, const char *name, const char *text)
{
    if (!text)
        return;
    if (!utf8_valid(text, strlen(text)))
        engine_fail(&r->g, "%s is not valid UTF-8", name);
    define(r, name, value_string(text, strlen(text)));
}

static void define_input(struct render *r, const struct chat_input *in)
{
    scope_push(r);
    define(r, "messages", value_from_json(&r->g, in->messages));
    define(r, "tools", value_from_json(&r->g, in->tools));
    define(r, "documents", value_from_json(&r->g, in->documents));
    define(r, "add_generation_prompt", value_bool(in->add_generation_prompt));
    define_text(r, "bos_token", in->bos_token);
    define_text(r, "eos_token", in->eos_token);
    if (!in->variables)
        return;
    struct value more = value_from_json(&r->g, in->variables);
    value_expect(&r->g, more, V_DICT, "the template's variables");
    for (size_t i = 0; i < more.dict->count; i++)
        scope_set(r, r->scope, more.dict->items[i].key.s, more.dict->items[i].key.size,
                  more.dict->items[i].value);
}

static int run_trapped(struct render *r, const struct chat_template *t, const struct chat_input *in)
{
    if (setjmp(r->g.trap))
        return ERR_FORMAT;
    define_input(r, in);
    scope_push(r);
    render_body(r, t->body);
    return OK;
}

static size_t either(size_t limit, size_t otherwise)
{
    return limit ? limit : otherwise;
}

int chat_template_render(const struct chat_template *t, const struct chat_input *in,
                         struct buffer *out, struct chat_spans *spans, struct error *e)
{
    struct error ignored;
    struct text text = {0};
    size_t n_spans = spans ? spans->count : 0;
    struct render r = {.out = &text, .spans = spans, .now = in->now};
    r.g.error = e ? e : &ignored;
    r.g.name = t->g.name;
    r.g.source = t->g.source;
    r.g.source_size = t->g.source_size;
    r.g.pool.limit = either(in->memory_most, CHAT_MEMORY_MOST);
    r.g.work = either(in->work_most, CHAT_WORK_MOST);
    r.g.depth_most = CHAT_DEPTH_MOST;
    r.output_most = either(in->output_most, CHAT_OUTPUT_MOST);
    int code = run_trapped(&r, t, in);
    if (spans && code)
        spans->count = n_spans;
    for (size_t i = n_spans; spans && i < spans->count; i++) {
        spans->items[i].begin += out->size;
        spans->items[i].end += out->size;
    }
    if (!code)
        buffer_append(out, text.data, text.size);
    for (struct pending_json *p = r.json; p; p = p->next)
        json_decref(p->json);
    engine_free(&r.g);
    return code;
}
