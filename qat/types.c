#include "qat/types.h"

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "kernels/quantize.h"
#include "tokenizer/regex.h"

#include <string.h>

/* --- wishes --- */

static bool can_be_written(enum dtype type)
{
    return quantize_supports(type) || type == DTYPE_F32 || type == DTYPE_F16 || type == DTYPE_BF16;
}

int quantize_type_parse(const char *flag, const char *name, enum dtype *type, struct error *e)
{
    const struct dtype_info *info = dtype_by_name(name);
    if (info && can_be_written(info->type)) {
        *type = info->type;
        return OK;
    }
    const char *names[64];
    char list[256] = "";
    size_t n = 0;
    for (int i = 0; i < 64; i++)
        if (dtype_info(i) && can_be_written((enum dtype)i)) {
            names[n] = dtype_info(i)->name;
            strcat(strcat(list, n ? ", " : ""), names[n]);
            n++;
        }
    const char *near = nearest_name(name, names, n);
    if (near)
        return error_set(e, ERR_USAGE, "%s: there is no type \"%.32s\"; did you mean %s?", flag, name, near);
    return error_set(e, ERR_USAGE, "%s: there is no type \"%.32s\" for a matrix; one of %s", flag, name, list);
}

struct flag_name {
    char text[64];
};

static struct flag_name flag_name(const char *prefix, const char *name)
{
    struct flag_name flag;
    snprintf(flag.text, sizeof flag.text, "%s%s", prefix ? prefix : "--", name);
    return flag;
}

static int parse_type(const char *prefix, const char *name, const char *text, int *type, struct error *e)
{
    enum dtype parsed = DTYPE_F32;
    if (!text)
        return OK;
    int code = quantize_type_parse(flag_name(prefix, name).text, text, &parsed, e);
    *type = (int)parsed;
    return code;
}

/* PATTERN=TYPE, at the last "=". `label` stands for it in errors, `where` is a place in a file or NULL, `source` names what
 * a wrong type was given to. */
static int add_override(struct parsed_wishes *p, const char *text, const char *label, const char *source,
                        const char *where, struct error *e)
{
    struct type_override override = {0};
    const char *equals = strrchr(text, '=');
    if (!equals || equals == text || !equals[1])
        return error_set(e, ERR_USAGE, "%s: expected PATTERN=TYPE, for example ffn_down=q8_0", label);
    int code = quantize_type_parse(source, equals + 1, &override.type, e);
    if (code)
        return code;
    char *pattern = mem_string_n(text, (size_t)(equals - text));
    option_strings_add(&p->texts, pattern);
    mem_free(pattern);
    override.pattern = p->texts.items[p->texts.count - 1];
    if (where) {
        option_strings_add(&p->texts, where);
        override.where = p->texts.items[p->texts.count - 1];
    }
    void *items = p->overrides;
    mem_grow(&items, &p->capacity, p->wishes.n_overrides, sizeof *p->overrides);
    p->overrides = items;
    p->overrides[p->wishes.n_overrides++] = override;
    p->wishes.overrides = p->overrides;
    return OK;
}

static int add_flag(struct parsed_wishes *p, const char *flag, const char *text, struct error *e)
{
    char *label = mem_printf("%s %s", flag, text);
    int code = add_override(p, text, label, flag, NULL, e);
    mem_free(label);
    return code;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static int add_line(struct parsed_wishes *p, const char *line, size_t n, const char *where, struct error *e)
{
    while (n > 0 && is_blank(line[0]))
        line++, n--;
    while (n > 0 && is_blank(line[n - 1]))
        n--;
    if (n == 0 || line[0] == '#')
        return OK;
    if (memchr(line, 0, n))
        return error_set(e, ERR_USAGE, "%s: a NUL byte; this is no text file", where);
    char *text = mem_string_n(line, n);
    int code = add_override(p, text, where, where, where, e);
    mem_free(text);
    return code;
}

int type_overrides_parse(const char *text, size_t n, const char *name, struct parsed_wishes *p, struct error *e)
{
    const size_t before = p->wishes.n_overrides;
    int code = OK;
    for (size_t at = 0, number = 1; at < n && !code; number++) {
        const char *end = memchr(text + at, '\n', n - at);
        const size_t length = end ? (size_t)(end - text) - at : n - at;
        char *where = mem_printf("%s:%zu", name, number);
        code = add_line(p, text + at, length, where, e);
        mem_free(where);
        at += length + 1;
    }
    if (!code && p->wishes.n_overrides == before)
        code = error_set(e, ERR_USAGE, "%s: holds no line PATTERN=TYPE", name);
    return code;
}

static int add_file(struct parsed_wishes *p, const char *path, struct error *e)
{
    struct buffer text = {0};
    int code = file_read(path, &text, TYPE_FILE_LIMIT, e);
    if (!code)
        code = type_overrides_parse(text.data ? text.data : "", text.size, path, p, e);
    buffer_free(&text);
    return code;
}

static int expand_file(const char *path, struct option_strings *to, struct error *e)
{
    struct parsed_wishes lines = {0};
    int code = add_file(&lines, path, e);
    for (size_t i = 0; i < lines.wishes.n_overrides && !code; i++) {
        char *text = mem_printf("%s=%s", lines.overrides[i].pattern, dtype_info(lines.overrides[i].type)->name);
        option_strings_add(to, text);
        mem_free(text);
    }
    type_wishes_free(&lines);
    return code;
}

int type_request_expand(struct type_request *r, struct error *e)
{
    struct option_strings all = {0};
    int code = OK;
    for (size_t i = 0; i < r->tensor_types.count && !code; i++) {
        const char *text = r->tensor_types.items[i];
        if (text[0] == '@')
            code = expand_file(text + 1, &all, e);
        else
            option_strings_add(&all, text);
    }
    if (code) {
        option_strings_free(&all);
        return code;
    }
    option_strings_free(&r->tensor_types);
    r->tensor_types = all;
    return OK;
}

int type_wishes_parse(const struct type_request *r, const char *type_flag, const char *prefix, struct parsed_wishes *p,
                      struct error *e)
{
    struct type_wishes *w = &p->wishes;
    *p = (struct parsed_wishes){.wishes = {.pure = r->pure, .output_type = NO_TYPE, .embedding_type = NO_TYPE,
                                           .prefix = prefix}};
    int code = mix_find(type_flag, r->type, &w->mix, e);
    if (!code)
        code = parse_type(prefix, "output-tensor-type", r->output_type, &w->output_type, e);
    if (!code)
        code = parse_type(prefix, "token-embedding-type", r->embedding_type, &w->embedding_type, e);
    for (size_t i = 0; i < r->tensor_types.count && !code; i++) {
        const char *text = r->tensor_types.items[i];
        code = text[0] == '@' ? add_file(p, text + 1, e) : add_flag(p, flag_name(prefix, "tensor-type").text, text, e);
    }
    if (!code && r->imatrix) {
        code = imatrix_read(r->imatrix, &p->importance, e);
        w->importance = &p->importance;
        w->importance_name = path_basename(r->imatrix);
    }
    return code;
}

void type_wishes_free(struct parsed_wishes *p)
{
    option_strings_free(&p->texts);
    mem_free(p->overrides);
    imatrix_free(&p->importance);
    *p = (struct parsed_wishes){0};
}

/* --- patterns --- */

struct patterns {
    const struct type_wishes *wishes;
    struct regex **compiled; /* one for each override */
    size_t *n_found;         /* matrices that one decided about or would have, but for an earlier one */
    struct regex_scratch *scratch;
};

/* The error is about this override: of a flag or of a file's line. */
static int blame_override(const struct type_wishes *w, size_t i, struct error *e)
{
    const struct type_override *o = &w->overrides[i];
    if (o->where)
        error_prefix(e, "%s: %s", o->where, o->pattern);
    else
        error_prefix(e, "%s %s", flag_name(w->prefix, "tensor-type").text, o->pattern);
    return e->code = ERR_USAGE;
}

static int patterns_init(struct patterns *p, const struct type_wishes *w, struct error *e)
{
    *p = (struct patterns){.wishes = w, .compiled = mem_zero(w->n_overrides, sizeof *p->compiled),
                           .n_found = mem_zero(w->n_overrides, sizeof *p->n_found), .scratch = regex_scratch_new()};
    for (size_t i = 0; i < w->n_overrides; i++) {
        const char *pattern = w->overrides[i].pattern;
        int code = regex_compile(pattern, strlen(pattern), false, &p->compiled[i], e);
        if (code)
            return blame_override(w, i, e);
    }
    return OK;
}

static void patterns_free(struct patterns *p)
{
    for (size_t i = 0; i < p->wishes->n_overrides; i++)
        regex_free(p->compiled[i]);
    mem_free(p->compiled);
    mem_free(p->n_found);
    regex_scratch_free(p->scratch);
}

/* The override that decides about a tensor, or NULL. */
static const struct type_override *find_override(struct patterns *p, const char *name)
{
    const struct type_override *first = NULL;
    for (size_t i = 0; i < p->wishes->n_overrides; i++) {
        struct regex_matches matches = {.regex = p->compiled[i], .scratch = p->scratch, .text = name,
                                        .n = strlen(name)};
        if (!regex_next(&matches))
            continue;
        p->n_found[i]++;
        if (!first)
            first = &p->wishes->overrides[i];
    }
    return first;
}

static int check_found(const struct patterns *p, struct error *e)
{
    for (size_t i = 0; i < p->wishes->n_overrides; i++)
        if (p->n_found[i] == 0) {
            error_set(e, ERR_USAGE, "no matrix of this model has that in its name, which is as in GGUF files: "
                                    "blk.0.attn_q.weight, output.weight, ...");
            return blame_override(p->wishes, i, e);
        }
    return OK;
}

/* --- the plan --- */

static enum dtype choose_type(const struct type_plan *p, struct patterns *patterns, const struct tensor *t)
{
    const struct type_wishes *w = p->wishes;
    const struct type_override *override = find_override(patterns, t->name);
    if (w->embedding_type != NO_TYPE && strcmp(t->name, "token_embd.weight") == 0)
        return (enum dtype)w->embedding_type;
    if (w->output_type != NO_TYPE &&
        (strcmp(t->name, "output.weight") == 0 || (p->facts.tied && strcmp(t->name, "token_embd.weight") == 0)))
        return (enum dtype)w->output_type;
    if (override)
        return override->type;
    return w->pure ? w->mix->type : mix_type(w->mix, &p->facts, t);
}

static void choose_types(struct type_plan *p, struct patterns *patterns)
{
    for (size_t i = 0; i < p->list->n_tensors; i++) {
        const struct tensor *t = &p->list->tensors[i];
        if (t->vector)
            continue; /* f32 in every file */
        enum dtype wanted = choose_type(p, patterns, t), given = mix_fallback(wanted, t->cols);
        p->types[i].type = given;
        if (given != wanted && p->n_fallbacks++ == 0) {
            p->first_fallback = t->name;
            p->wanted = wanted;
            p->given = given;
        }
    }
}

static bool is_embedding_or_output(const char *name)
{
    return strcmp(name, "token_embd.weight") == 0 || strcmp(name, "output.weight") == 0;
}

/* Every entry must be of this model. llama-imatrix may measure the output layer under either of its names. */
static int check_importance(const struct type_plan *p, struct error *e)
{
    const struct imatrix *im = p->wishes->importance;
    for (size_t i = 0; im && i < im->n_entries; i++) {
        const struct imatrix_entry *entry = &im->entries[i];
        const struct tensor *t = tensor_list_find(p->list, entry->name);
        if (!t && is_embedding_or_output(entry->name))
            continue;
        if (!t)
            return error_set(e, ERR_FORMAT,
                             "%s: is of another model: it has %s, which this model does not",
                             p->wishes->importance_name, entry->name);
        const size_t experts = t->n_dims == 3 ? t->shape[0] : 1, wanted = experts * t->cols;
        if (entry->n != wanted)
            return error_set(e, ERR_FORMAT,
                             "%s: is of another model: %s has %zu columns there and %zu in this model",
                             p->wishes->importance_name, entry->name, entry->n, wanted);
    }
    return OK;
}

static void choose_importance(struct type_plan *p)
{
    for (size_t i = 0; p->wishes->importance && i < p->list->n_tensors; i++) {
        const struct tensor *t = &p->list->tensors[i];
        if (t->vector || !quantize_weighs(p->types[i].type))
            continue;
        const struct imatrix_entry *entry = imatrix_find(p->wishes->importance, t->name);
        p->types[i].importance = entry ? entry->values : NULL;
        if (!entry && !is_embedding_or_output(t->name) && p->n_unweighed++ == 0)
            p->first_unweighed = t->name;
    }
}

int type_plan_init(struct type_plan *p, const struct model *m, const struct tensor_list *list, const struct type_wishes *w,
                   struct error *e)
{
    struct patterns patterns;
    *p = (struct type_plan){.wishes = w, .list = list, .types = mem_zero(list->n_tensors, sizeof *p->types),
                            .facts = mix_facts_of(m, list, w->importance != NULL)};
    int code = patterns_init(&patterns, w, e);
    if (!code) {
        choose_types(p, &patterns);
        code = check_found(&patterns, e);
    }
    if (!code)
        code = check_importance(p, e);
    if (!code)
        choose_importance(p);
    patterns_free(&patterns);
    return code;
}

void type_plan_free(struct type_plan *p)
{
    mem_free(p->types);
    *p = (struct type_plan){0};
}

void type_plan_warn(const struct type_plan *p)
{
    const struct type_wishes *o = p->wishes;
    if (p->n_fallbacks)
        log_warn("%zu %s %s columns that are no whole blocks of the wanted type; a larger type stands in: %s is %s "
                 "instead of %s%s", p->n_fallbacks, p->n_fallbacks == 1 ? "matrix" : "matrices",
                 p->n_fallbacks == 1 ? "has" : "have", p->first_fallback, dtype_info(p->given)->name,
                 dtype_info(p->wanted)->name, p->n_fallbacks == 1 ? "" : ", and so on");
    if (p->n_unweighed)
        log_warn("%s: has nothing about %zu of the matrices (%s%s); they are quantised without",
                 o->importance_name, p->n_unweighed, p->first_unweighed, p->n_unweighed == 1 ? "" : ", and others");
    if (o->mix->type == DTYPE_MXFP4 && p->facts.n_experts == 0 && !o->pure)
        log_warn("the mix %s is made for models with experts: it keeps all other matrices in q8_0; %s makes all "
                 "of them %s", o->mix->name, flag_name(o->prefix, "pure").text, dtype_info(o->mix->type)->name);
}
