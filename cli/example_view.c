#include "cli/example_view.h"

#include "base/memory.h"
#include "cli/colour.h"
#include "cli/shared.h"

#include <stdlib.h>
#include <string.h>

/* A token's bytes are what it adds to the one before it: alone SentencePiece's lose their blank. */
void example_view_init(struct example_view *v, const struct tokenizer *t, const struct example *x, size_t truncated)
{
    const int32_t *ids = x->tokens.ids;
    struct buffer one = {0}, two = {0};
    *v = (struct example_view){.tokenizer = t, .example = x, .truncated = truncated};
    v->begins = mem_alloc(x->tokens.count + 1, sizeof *v->begins);
    for (size_t i = 0; i < x->tokens.count; i++) {
        v->begins[i] = v->text.size;
        buffer_clear(&one);
        buffer_clear(&two);
        if (i)
            tokenizer_decode(t, ids + i - 1, 1, true, &one);
        tokenizer_decode(t, i ? ids + i - 1 : ids, i ? 2 : 1, true, &two);
        size_t before = one.size < two.size ? one.size : two.size;
        if (two.size > before)
            buffer_append(&v->text, two.data + before, two.size - before);
    }
    v->begins[x->tokens.count] = v->text.size;
    buffer_free(&one);
    buffer_free(&two);
}

void example_view_free(struct example_view *v)
{
    buffer_free(&v->text);
    mem_free(v->begins);
}

static const char *token_text(const struct example_view *v, size_t i, size_t *n)
{
    *n = v->begins[i + 1] - v->begins[i];
    return v->text.data ? v->text.data + v->begins[i] : "";
}

/* ---- printing ---- */

static const char *colour(bool colours, const char *code)
{
    return colours ? code : "";
}

/* Appends text[begin .. end) of all tokens; control characters are spelled out, and blanks become dots: all of them, or
 * those that an eye would not find, beside others and before the end of a line, of the text or of a turn (`closes`: what
 * comes next is a special token). A newline is shown, and `breaks` a line. */
static void append_text(struct buffer *out, const struct buffer *text, size_t begin, size_t end, bool all, bool closes,
                        bool breaks)
{
    const char *s = text->data;
    for (size_t from = begin, k = begin; k <= end; k++) {
        bool blank = k < end && s[k] == ' ', newline = k < end && s[k] == '\n';
        if (k < end && !blank && !newline)
            continue;
        if (k > from)
            append_visible(out, s + from, k - from, SIZE_MAX);
        from = k + 1;
        bool last = k + 1 >= text->size || (closes && k + 1 == end);
        bool plain = !all && !last && !strchr(" \r\n", s[k + 1]) && !(k > 0 && s[k - 1] == ' ');
        buffer_string(out, blank ? plain ? " " : "·" : newline ? breaks ? "\\n\n" : "\\n" : "");
    }
}

/* The tokens from i on that are learned alike and are plain text, or a special one alone. */
static size_t run_end(const struct example_view *v, size_t i, size_t to)
{
    const struct example *x = v->example;
    size_t end = i + 1;
    while (!tokenizer_is_special(v->tokenizer, x->tokens.ids[i]) && end < to &&
           x->learned[end] == x->learned[i] && !tokenizer_is_special(v->tokenizer, x->tokens.ids[end]))
        end++;
    return end;
}

static bool is_followed_by_special(const struct example_view *v, size_t end)
{
    return end < v->example->tokens.count && tokenizer_is_special(v->tokenizer, v->example->tokens.ids[end]);
}

/* The text flows; where learning begins and ends there is a change of colour, or a bracket. */
static void print_flow(const struct example_view *v, size_t from, size_t to, bool colours)
{
    struct buffer out = {0};
    bool learned = false;
    for (size_t i = from, end; i < to; i = end) {
        bool now = v->example->learned[i];
        end = run_end(v, i, to);
        if (colours)
            buffer_printf(&out, "%s%s", COLOUR_NONE, now ? COLOUR_GREEN : COLOUR_DIM);
        else if (now != learned)
            buffer_byte(&out, now ? '[' : ']');
        learned = now;
        append_text(&out, &v->text, v->begins[i], v->begins[end], false, is_followed_by_special(v, end), true);
    }
    buffer_string(&out, colours ? COLOUR_NONE : learned ? "]" : "");
    fwrite(out.data, 1, out.size, stdout);
    size_t size = v->begins[to];
    if (!size || v->text.data[size - 1] != '\n' || (learned && !colours))
        putchar('\n');
    buffer_free(&out);
}

static void print_tokens(const struct example_view *v, size_t from, size_t to, bool colours)
{
    for (size_t i = from; i < to; i++) {
        struct buffer text = {0};
        bool learned = v->example->learned[i];
        append_text(&text, &v->text, v->begins[i], v->begins[i + 1], true, false, false);
        printf("%s%6zu %7d  %c %s%s\n", colour(colours, learned ? COLOUR_GREEN : COLOUR_DIM), i + 1,
               (int)v->example->tokens.ids[i], learned ? '*' : ' ', text.data ? text.data : "", colour(colours, COLOUR_NONE));
        buffer_free(&text);
    }
}

static bool has_bos(const struct example_view *v)
{
    int32_t bos = tokenizer_bos(v->tokenizer);
    return bos != TOKEN_NONE && v->example->tokens.ids[0] == bos;
}

/* Whether what is learned ends with a token that ends generation. */
static bool has_eos(const struct example_view *v)
{
    size_t i = v->example->tokens.count;
    while (i > 1 && !v->example->learned[i - 1])
        i--;
    return tokenizer_is_end(v->tokenizer, v->example->tokens.ids[i - 1]);
}

static void describe(const struct example_view *v, const char *what, struct buffer *out)
{
    const struct example *x = v->example;
    buffer_printf(out, "%s, %zu tokens, %zu learned (%.1f%%), %s, %s", what, x->tokens.count, x->n_learned,
                  100.0 * (double)x->n_learned / (double)x->tokens.count, has_bos(v) ? "begins with BOS" : "no BOS",
                  has_eos(v) ? "ends with EOS" : "no EOS at the end");
    if (x->n_unfinished)
        buffer_printf(out, ", %zu of %zu turns not ended", x->n_unfinished, x->n_turns);
    if (v->truncated)
        buffer_printf(out, ", truncated to %zu", v->truncated);
}

void example_view_title(const struct example_view *v, const char *place, const char *what)
{
    struct buffer line = {0};
    bool colours = colour_wanted(stdout);
    describe(v, what, &line);
    printf("%s%s%s: %s\n\n", colour(colours, COLOUR_BOLD), place, colour(colours, COLOUR_NONE), line.data);
    buffer_free(&line);
}

void example_view_print(const struct example_view *v, size_t from, size_t to, bool ids)
{
    (ids ? print_tokens : print_flow)(v, from, to, colour_wanted(stdout));
}

json_t *example_view_json(const struct example_view *v)
{
    const struct example *x = v->example;
    json_t *learned = json_array(), *texts = json_array();
    for (size_t i = 0; i < x->tokens.count; i++) {
        size_t n;
        const char *text = token_text(v, i, &n);
        json_array_append_new(learned, json_integer(x->learned[i]));
        json_array_append_new(texts, json_text(text, n));
    }
    return json_pack("{s:I, s:I, s:I, s:I, s:b, s:b, s:b, s:o, s:o, s:o}", "tokens", (json_int_t)x->tokens.count,
                     "learned_tokens", (json_int_t)x->n_learned, "turns", (json_int_t)x->n_turns, "unfinished_turns",
                     (json_int_t)x->n_unfinished, "begins_with_bos", has_bos(v), "ends_with_eos", has_eos(v),
                     "truncated", v->truncated > 0, "ids", ids_json(&x->tokens), "learned", learned, "text", texts);
}
