#include "data/answers.h"

#include "base/check.h"
#include "base/memory.h"
#include "data/messages.h"
#include "data/pair.h"

#include <string.h>

/* ---- rows that are none ---- */

static const char *name_of(const char *given, const char *usual)
{
    return given ? given : usual;
}

static int refuse_kind(const struct example_settings *s, enum row_schema schema, struct error *e)
{
    static const struct dataset_fields none;
    const struct dataset_fields *f = s->fields ? s->fields : &none;
    const char *chosen = name_of(f->chosen, "chosen"), *rejected = name_of(f->rejected, "rejected");
    if (s->answers == ANSWERS_COMPARED)
        return error_set(e, ERR_FORMAT, "is no preference: \"%s\" and \"%s\" are wanted, and this is %s", chosen,
                         rejected, row_schema_name(schema));
    return error_set(e, ERR_FORMAT, "is no answer that is judged: \"%s\", \"%s\" and \"%s\" are wanted (or \"%s\" and "
                     "\"%s\"), and this is %s", name_of(f->prompt, "prompt"), name_of(f->completion, "completion"),
                     name_of(f->label, "label"), chosen, rejected, row_schema_name(schema));
}

/* A prompt with a completion and no label that could be read. */
static int refuse_label(const struct dataset_row *row, const struct example_settings *s, struct error *e)
{
    const char *name = name_of(s->fields ? s->fields->label : NULL, "label");
    const json_t *label = json_object_get(row->root, name);
    if (label && !json_is_null(label))
        return error_set(e, ERR_FORMAT, "\"%s\" must be true or false", name);
    return error_set(e, ERR_FORMAT, "has no \"%s\": true or false, whether this answer is wanted", name);
}

int answers_refuse_text(const struct example_settings *s, struct error *e)
{
    return refuse_kind(s, SCHEMA_TEXT, e);
}

static bool is_white(const char *text)
{
    return !text || text[strspn(text, " \t\r\n\v\f")] == '\0';
}

/* Whether the assistant says or calls anything from message `from` on. */
static bool has_content(const json_t *messages, size_t from)
{
    for (size_t i = from; i < json_array_size(messages); i++) {
        const json_t *message = json_array_get(messages, i);
        if (message_has_role(messages, i, "assistant") &&
            (!is_white(json_string_value(json_object_get(message, "content"))) ||
             json_array_size(json_object_get(message, "tool_calls"))))
            return true;
    }
    return false;
}

/* One side of a preference: where it goes on with anything but an answer, what came before was not the whole prompt. */
static int check_side(const json_t *messages, size_t n_prompt, const char *name, bool compared, struct error *e)
{
    if (!has_content(messages, n_prompt))
        return error_set(e, ERR_FORMAT, "the answer in \"%s\" is empty", name);
    if (compared && !message_has_role(messages, n_prompt, "assistant"))
        return error_set(e, ERR_FORMAT, "the prompts differ: behind what both sides begin with, \"%s\" goes on with a "
                         "message of the %s", name,
                         json_string_value(json_object_get(json_array_get(messages, n_prompt), "role")));
    return OK;
}

static int check_row(const struct dataset_row *row, const struct example_settings *s, struct error *e)
{
    static const struct dataset_fields none;
    const struct dataset_fields *f = s->fields ? s->fields : &none;
    if (row->kind == ROW_PREFERENCE) {
        int code = check_side(row->messages, row->n_prompt, name_of(f->chosen, "chosen"), true, e);
        return code ? code : check_side(row->rejected, row->n_prompt, name_of(f->rejected, "rejected"), true, e);
    }
    if (s->answers == ANSWERS_JUDGED && row->kind == ROW_UNPAIRED)
        return check_side(row->messages, row->n_prompt, name_of(f->completion, "completion"), false, e);
    if (s->answers == ANSWERS_JUDGED && (row->schema == SCHEMA_COMPLETION || row->schema == SCHEMA_COMPLETION_MESSAGES))
        return refuse_label(row, s, e);
    if (row->kind == ROW_UNPAIRED)
        return error_set(e, ERR_FORMAT, "is one answer with a label, and not \"%s\" and \"%s\": --loss kto takes it",
                         name_of(f->chosen, "chosen"), name_of(f->rejected, "rejected"));
    return refuse_kind(s, row->schema, e);
}

/* ---- making ---- */

static bool same_tokens(const struct tokens *a, const struct tokens *b)
{
    return a->count == b->count && memcmp(a->ids, b->ids, a->count * sizeof *a->ids) == 0;
}

int answers_make(const struct dataset_row *row, const struct example_settings *s, struct example *x,
                 struct example *rejected, struct error *e)
{
    rejected->tokens.count = 0;
    int code = check_row(row, s, e);
    if (!code)
        code = example_make(row, s, x, e);
    if (code || row->kind != ROW_PREFERENCE)
        return code;
    struct dataset_row other = *row; /* borrows all of it */
    other.completion = row->rejected_text;
    other.messages = row->rejected;
    code = example_make(&other, s, rejected, e);
    if (code)
        return error_prefix(e, "the rejected answer");
    if (same_tokens(&x->tokens, &rejected->tokens))
        return error_set(e, ERR_FORMAT, "the chosen and the rejected answer are the same");
    return OK;
}

/* ---- lengths ---- */

static struct pair_side side(const struct example *x)
{
    const uint8_t *first = memchr(x->learned, 1, x->tokens.count);
    return (struct pair_side){x->tokens.ids, x->tokens.count, first ? (size_t)(first - x->learned) : x->tokens.count};
}

size_t answers_length(const struct example *x, const struct example *rejected)
{
    if (!rejected)
        return x->tokens.count + 2;
    return x->tokens.count + rejected->tokens.count - pair_shared(side(x), side(rejected));
}

static void take_out(struct example *x, size_t from, size_t n)
{
    size_t behind = x->tokens.count - from - n;
    memmove(x->tokens.ids + from, x->tokens.ids + from + n, behind * sizeof *x->tokens.ids);
    memmove(x->learned + from, x->learned + from + n, behind);
    x->tokens.count -= n;
}

bool answers_shorten(const struct tokenizer *t, struct example *x, struct example *rejected, size_t max_tokens)
{
    size_t length = answers_length(x, rejected);
    if (length <= max_tokens)
        return true;
    struct pair_side a = side(x), b = rejected ? side(rejected) : a;
    size_t prompt = a.n_prompt < b.n_prompt ? a.n_prompt : b.n_prompt, shared = rejected ? pair_shared(a, b) : prompt;
    int32_t bos = tokenizer_bos(t);
    size_t kept = bos != TOKEN_NONE && a.ids[0] == bos && b.ids[0] == bos, excess = length - max_tokens;
    size_t once = shared > kept ? shared - kept : 0; /* tokens whose loss makes the pair shorter by one, later ones by two */
    size_t n = excess <= once ? excess : once + (excess - once + 1) / 2;
    if (kept + n + 1 > prompt)
        return false;
    take_out(x, kept, n);
    if (rejected)
        take_out(rejected, kept, n);
    return true;
}

/* ---- borrowed answers ---- */

/* Behind the last of the answers from `i` on that answer the same prompt. */
static size_t run_end(const struct examples *x, size_t i)
{
    size_t end = i + 1;
    while (end < x->count && x->origins[end].prompt == x->origins[i].prompt)
        end++;
    return end;
}

/* The example whose answer each of them borrows. */
static size_t *choose_lenders(const struct examples *x)
{
    size_t *from = mem_alloc(x->count, sizeof *from);
    for (size_t begin = 0, end; begin < x->count; begin = end) {
        end = run_end(x, begin);
        size_t next = end < x->count ? end : 0, n = run_end(x, next) - next;
        for (size_t i = begin; i < end; i++)
            from[i] = next ? next + (i - begin) % n : begin ? (i - begin) % n : (i + 1) % end;
    }
    return from;
}

/* How many tokens of the lender's answer there is room for behind x's example i. */
static size_t borrowed_length(const struct examples *x, size_t i, size_t lender, size_t max_tokens)
{
    size_t own = example_length(x, i), n = example_length(x, lender) - example_prompt_length(x, lender);
    CHECK(!max_tokens || own + 2 <= max_tokens);
    return max_tokens && n > max_tokens - own - 1 ? max_tokens - own - 1 : n;
}

/* Adds tokens to the last example of `to`, learned as `learned` says, or not where that is NULL. */
static void append(struct examples *to, const int32_t *ids, const uint8_t *learned, size_t n)
{
    size_t at = to->begin[to->count];
    memcpy(to->ids + at, ids, n * sizeof *ids);
    if (learned)
        memcpy(to->learned + at, learned, n);
    else
        memset(to->learned + at, 0, n);
    to->begin[to->count] += n;
}

static void close_example(struct examples *to, struct example_origin origin)
{
    size_t begin = to->begin[to->count - 1], end = to->begin[to->count];
    to->origins[to->count - 1] = origin;
    to->report.tokens += end - begin;
    for (size_t i = begin; i < end; i++)
        to->report.learned_tokens += to->learned[i];
    if (end - begin > to->report.longest)
        to->report.longest = end - begin;
}

static void open_example(struct examples *to)
{
    to->count++;
    to->begin[to->count] = to->begin[to->count - 1];
}

void answers_borrow(struct examples *all, size_t max_tokens)
{
    size_t n = all->count, n_tokens = all->begin[n], *from = choose_lenders(all);
    for (size_t i = 0; i < n; i++)
        n_tokens += example_prompt_length(all, i) + borrowed_length(all, i, from[i], max_tokens);
    struct examples both = *all;
    both.count = both.report.tokens = both.report.learned_tokens = both.report.longest = 0;
    both.begin = mem_zero(2 * n + 1, sizeof *both.begin);
    both.ids = mem_alloc(n_tokens, sizeof *both.ids);
    both.learned = mem_alloc(n_tokens, sizeof *both.learned);
    both.origins = mem_alloc(2 * n, sizeof *both.origins);
    for (size_t i = 0; i < n; i++) {
        size_t begin = all->begin[i], answer = all->begin[from[i]] + example_prompt_length(all, from[i]);
        open_example(&both);
        append(&both, all->ids + begin, all->learned + begin, example_length(all, i));
        close_example(&both, all->origins[i]);
        open_example(&both);
        append(&both, all->ids + begin, NULL, example_prompt_length(all, i));
        append(&both, all->ids + answer, all->learned + answer, borrowed_length(all, i, from[i], max_tokens));
        close_example(&both, all->origins[i]);
    }
    mem_free(from);
    mem_free(all->begin);
    mem_free(all->ids);
    mem_free(all->learned);
    mem_free(all->origins);
    *all = both;
}
