#include "data/question.h"

#include "base/buffer.h"
#include "base/json.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

void question_free(struct question *q)
{
    for (size_t i = 0; i < q->n_choices; i++)
        mem_free(q->choices[i]);
    mem_free(q->choices);
    mem_free(q->context);
    *q = (struct question){0};
}

/* The first of the members that is there, and its name. */
static const json_t *member(const json_t *root, const char *const *names, const char **name)
{
    for (; *names; names++) {
        const json_t *value = json_object_get(root, *names);
        if (value && !json_is_null(value)) {
            *name = *names;
            return value;
        }
    }
    return NULL;
}

static int get_text(const json_t *value, const char *name, const char **text, struct error *e)
{
    *text = json_string_value(value);
    if (!*text)
        return error_set(e, ERR_FORMAT, "\"%s\" must be a text", name);
    if (strlen(*text) != json_string_length(value))
        return error_set(e, ERR_FORMAT, "\"%s\" contains a NUL character", name);
    return OK;
}

/* ---- HellaSwag's texts ---- */

/* Of the n bytes at p, what is there besides white space at both ends, as Python's str.strip has it
 * for all that is likely: ASCII's and the no-break space. */
static const char *strip(const char *p, size_t *n)
{
    static const char spaces[] = " \t\n\v\f\r\x1c\x1d\x1e\x1f";
    for (bool more = true; more;) {
        more = false;
        if (*n && strchr(spaces, *p) && *p)
            p++, --*n, more = true;
        else if (*n && strchr(spaces, p[*n - 1]) && p[*n - 1])
            --*n, more = true;
        else if (*n >= 2 && memcmp(p, "\xc2\xa0", 2) == 0)
            p += 2, *n -= 2, more = true;
        else if (*n >= 2 && memcmp(p + *n - 2, "\xc2\xa0", 2) == 0)
            *n -= 2, more = true;
    }
    return p;
}

/* Every `from` becomes `to`, from left to right. */
static char *replace_all(const char *text, const char *from, const char *to)
{
    struct buffer out = {0};
    buffer_append(&out, "", 0);
    for (const char *at; (at = strstr(text, from)); text = at + strlen(from)) {
        buffer_append(&out, text, (size_t)(at - text));
        buffer_string(&out, to);
    }
    buffer_string(&out, text);
    return out.data;
}

/* Takes out what stands in brackets within a line: marks of the pages the texts are from. */
static char *without_brackets(const char *text)
{
    struct buffer out = {0};
    buffer_append(&out, "", 0);
    while (*text) {
        size_t n = *text == '[' ? strcspn(text, "]\n") : 0;
        if (n && text[n] == ']')
            text += n + 1;
        else
            buffer_byte(&out, *text++);
    }
    buffer_append(&out, "", 0);
    return out.data;
}

static char *clean_hellaswag(const char *text)
{
    size_t n = strlen(text);
    const char *inner = strip(text, &n);
    char *stripped = mem_string_n(inner, n), *titled = replace_all(stripped, " [title]", ". "),
         *plain = without_brackets(titled), *clean = replace_all(plain, "  ", " ");
    mem_free(stripped);
    mem_free(titled);
    mem_free(plain);
    return clean;
}

/* "activity: ctx_a Ctx_b", the second part with one capital and otherwise in lower case. */
static int hellaswag_context(const json_t *root, struct question *q, struct error *e)
{
    static const char *const names[] = {"activity_label", "ctx_a", "ctx_b"};
    const char *texts[3];
    for (size_t i = 0; i < 3; i++) {
        int code = get_text(json_object_get(root, names[i]), names[i], &texts[i], e);
        if (code)
            return code;
    }
    char *second = mem_string(texts[2]);
    for (size_t i = 0; second[i]; i++)
        if (i == 0 && second[i] >= 'a' && second[i] <= 'z')
            second[i] -= 'a' - 'A';
        else if (i > 0 && second[i] >= 'A' && second[i] <= 'Z')
            second[i] += 'a' - 'A';
    char *whole = mem_printf("%s: %s %s", texts[0], texts[1], second);
    q->context = clean_hellaswag(whole);
    mem_free(second);
    mem_free(whole);
    return OK;
}

/* ---- the parts of a line ---- */

static enum question_style style_of(const json_t *root)
{
    if (json_object_get(root, "endings") && json_object_get(root, "ctx_a") &&
        json_object_get(root, "ctx_b") && json_object_get(root, "activity_label"))
        return QUESTION_HELLASWAG;
    const json_t *choices = json_object_get(root, "choices");
    if (json_object_get(root, "question") && json_object_get(choices, "text") &&
        json_object_get(choices, "label"))
        return QUESTION_ARC;
    return QUESTION_PLAIN;
}

static int read_context(const json_t *root, enum question_style style, struct question *q,
                        struct error *e)
{
    static const char *const names[] = {"question", "query", "prompt", "ctx", NULL};
    const char *name, *text;
    if (style == QUESTION_HELLASWAG)
        return hellaswag_context(root, q, e);
    const json_t *value = member(root, names, &name);
    if (!value)
        return error_set(e, ERR_FORMAT,
                         "no question: \"question\", \"query\", \"prompt\" or \"ctx\" is needed");
    int code = get_text(value, name, &text, e);
    if (!code)
        q->context =
            style == QUESTION_ARC ? mem_printf("Question: %s\nAnswer:", text) : mem_string(text);
    return code;
}

static int read_choices(const json_t *root, enum question_style style, struct question *q,
                        const json_t **labels, struct error *e)
{
    static const char *const names[] = {"choices", "endings", NULL};
    const char *name;
    const json_t *value = member(root, names, &name);
    if (!value)
        return error_set(e, ERR_FORMAT, "no choices: \"choices\" or \"endings\" is needed");
    *labels = json_object_get(value, "label");
    if (json_is_object(value))
        value = json_object_get(value, "text");
    size_t n = json_array_size(value);
    if (n < 2 || n > QUESTION_MOST_CHOICES)
        return error_set(e, ERR_FORMAT,
                         "\"%s\" must be a list of 2 to %d texts, or have them in "
                         "\"text\"",
                         name, QUESTION_MOST_CHOICES);
    if (*labels && json_array_size(*labels) != n)
        return error_set(e, ERR_FORMAT, "\"label\" has %zu entries for %zu choices",
                         json_array_size(*labels), n);
    q->choices = mem_zero(n, sizeof *q->choices);
    for (size_t i = 0; i < n; i++) {
        const char *text;
        int code = get_text(json_array_get(value, i), name, &text, e);
        if (code)
            return code;
        q->choices[q->n_choices++] =
            style == QUESTION_HELLASWAG ? clean_hellaswag(text) : mem_string(text);
        if (!q->choices[i][0])
            return error_set(e, ERR_FORMAT, "choice %zu is empty", i);
    }
    return OK;
}

static bool whole_number(const char *text, size_t *value)
{
    if (!*text || strlen(text) > 3 || text[strspn(text, "0123456789")])
        return false;
    for (*value = 0; *text; text++)
        *value = *value * 10 + (size_t)(*text - '0');
    return true;
}

/* Which choice a text means, or n_choices: a label where there are labels, else a place, a letter
 * or a choice itself. */
static size_t find_answer(const struct question *q, const json_t *labels, const char *text)
{
    size_t value;
    for (size_t i = 0; i < json_array_size(labels); i++) {
        const char *label = json_string_value(json_array_get(labels, i));
        if (label && strcmp(label, text) == 0)
            return i;
    }
    if (labels)
        return q->n_choices;
    if (whole_number(text, &value))
        return value;
    for (size_t i = 0; i < q->n_choices; i++)
        if (strcmp(q->choices[i], text) == 0)
            return i;
    if (text[0] >= 'A' && text[0] <= 'Z' && !text[1])
        return (size_t)(text[0] - 'A');
    return q->n_choices;
}

static int read_answer(const json_t *root, const json_t *labels, struct question *q,
                       struct error *e)
{
    static const char *const names[] = {"answer", "gold", "label", "answerKey", "target", NULL};
    const char *name;
    const json_t *value = member(root, names, &name);
    if (!value)
        return error_set(e, ERR_FORMAT,
                         "no answer: \"answer\", \"gold\", \"label\", "
                         "\"answerKey\" or \"target\" is needed");
    q->answer = q->n_choices;
    if (json_is_integer(value) && json_integer_value(value) >= 0)
        q->answer = (size_t)json_integer_value(value);
    else if (json_is_string(value))
        q->answer = find_answer(q, labels, json_string_value(value));
    if (q->answer < q->n_choices)
        return OK;
    char *shown = json_dumps(value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
    error_set(e, ERR_FORMAT, "\"%s\" is %.60s, which is none of the %zu choices", name,
              shown ? shown : "", q->n_choices);
    free(shown);
    return ERR_FORMAT;
}

int question_parse(const char *line, size_t n, enum question_style style, struct question *q,
                   struct error *e)
{
    *q = (struct question){0};
    json_t *root = NULL;
    const json_t *labels = NULL;
    int code = json_parse_line(line, n, &root, e);
    if (!code && !json_is_object(root))
        code = error_set(e, ERR_FORMAT, "not a JSON object");
    if (!code && style == QUESTION_AUTO)
        style = style_of(root);
    if (!code)
        code = read_context(root, style, q, e);
    if (!code)
        code = read_choices(root, style, q, &labels, e);
    if (!code)
        code = read_answer(root, labels, q, e);
    json_decref(root);
    return code;
}
