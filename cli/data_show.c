/* linnet data show: one example as a model sees it, and which of its tokens it learns. */
#include "base/memory.h"
#include "cli/colour.h"
#include "cli/command.h"
#include "cli/dataset.h"
#include "cli/shared.h"
#include "data/corpus.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static struct {
    char *model, *tokenizer;
    size_t line;
    bool ids, json;
} flags;
static struct dataset_options dataset_section;
static struct train_settings train_section;

#define FIELD(member) offsetof(__typeof__(flags), member)

static const struct option rows[] = {
    DATASET_MODEL_ROW(FIELD(model)),
    DATASET_TOKENIZER_ROW(FIELD(tokenizer)),
    {.key = "line", .flag = "--line", .type = OPTION_SIZE, .offset = FIELD(line), .minimum = 1, .maximum = 1e15,
     .placeholder = "LINE", .help = "this line of the file instead of a number"},
    {.key = "ids", .flag = "--ids", .type = OPTION_BOOL, .offset = FIELD(ids), .help = "a line for each token, with its id"},
    {.key = "json", .flag = "--json", .type = OPTION_BOOL, .offset = FIELD(json),
     .help = "print ids, the learned ones and texts as JSON"},
};
static const char *const dataset_flags[] = {
    "paths", "text_field", "prompt_field", "completion_field", "messages_field", "chosen_field", "rejected_field",
    "label_field", "tools_field", "system_field", "chat_template", "template_date", "loss", "over_long", NULL,
};
static const char *const train_flags[] = {"max_seq_length", NULL};
static struct option_section sections[] = {
    {.name = "", .rows = rows, .n_rows = COUNT(rows), .object = &flags, .help = "What to show"},
    {.name = "dataset", .rows = dataset_options, .n_rows = N_DATASET_OPTIONS, .object = &dataset_section,
     .help = "Dataset", .flags_of = dataset_flags},
    {.name = "train", .rows = train_options, .n_rows = N_TRAIN_OPTIONS, .object = &train_section, .help = "Training",
     .flags_of = train_flags},
};

/* ---- an example with the text of its tokens ---- */

struct view {
    const struct tokenizer *tokenizer;
    const struct example *example;
    struct buffer text; /* of all tokens */
    size_t *begins;     /* (count + 1) in text */
    bool truncated;
};

/* A token's bytes are what it adds to the one before it: alone SentencePiece's lose their blank. */
static void view_init(struct view *v, const struct tokenizer *t, const struct example *x, bool truncated)
{
    const int32_t *ids = x->tokens.ids;
    struct buffer one = {0}, two = {0};
    *v = (struct view){.tokenizer = t, .example = x, .truncated = truncated};
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

static void view_free(struct view *v)
{
    buffer_free(&v->text);
    mem_free(v->begins);
}

static const char *token_text(const struct view *v, size_t i, size_t *n)
{
    *n = v->begins[i + 1] - v->begins[i];
    return v->text.data ? v->text.data + v->begins[i] : "";
}

/* ---- printing ---- */

static bool colours;

static const char *colour(const char *code)
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
static size_t run_end(const struct view *v, size_t i)
{
    const struct example *x = v->example;
    size_t end = i + 1;
    while (!tokenizer_is_special(v->tokenizer, x->tokens.ids[i]) && end < x->tokens.count &&
           x->learned[end] == x->learned[i] && !tokenizer_is_special(v->tokenizer, x->tokens.ids[end]))
        end++;
    return end;
}

static bool is_followed_by_special(const struct view *v, size_t end)
{
    return end < v->example->tokens.count && tokenizer_is_special(v->tokenizer, v->example->tokens.ids[end]);
}

/* The text flows; where learning begins and ends there is a change of colour, or a bracket. */
static void print_flow(const struct view *v)
{
    struct buffer out = {0};
    bool learned = false;
    for (size_t i = 0, end; i < v->example->tokens.count; i = end) {
        bool now = v->example->learned[i];
        end = run_end(v, i);
        if (colours)
            buffer_printf(&out, "%s%s", COLOUR_NONE, now ? COLOUR_GREEN : COLOUR_DIM);
        else if (now != learned)
            buffer_byte(&out, now ? '[' : ']');
        learned = now;
        append_text(&out, &v->text, v->begins[i], v->begins[end], false, is_followed_by_special(v, end), true);
    }
    buffer_string(&out, colours ? COLOUR_NONE : learned ? "]" : "");
    fwrite(out.data, 1, out.size, stdout);
    if (!v->text.size || v->text.data[v->text.size - 1] != '\n' || (learned && !colours))
        putchar('\n');
    buffer_free(&out);
}

static void print_tokens(const struct view *v)
{
    for (size_t i = 0; i < v->example->tokens.count; i++) {
        struct buffer text = {0};
        bool learned = v->example->learned[i];
        append_text(&text, &v->text, v->begins[i], v->begins[i + 1], true, false, false);
        printf("%s%6zu %7d  %c %s%s\n", colour(learned ? COLOUR_GREEN : COLOUR_DIM), i + 1,
               (int)v->example->tokens.ids[i], learned ? '*' : ' ', text.data ? text.data : "", colour(COLOUR_NONE));
        buffer_free(&text);
    }
}

static bool has_bos(const struct view *v)
{
    int32_t bos = tokenizer_bos(v->tokenizer);
    return bos != TOKEN_NONE && v->example->tokens.ids[0] == bos;
}

/* Whether what is learned ends with a token that ends generation. */
static bool has_eos(const struct view *v)
{
    size_t i = v->example->tokens.count;
    while (i > 1 && !v->example->learned[i - 1])
        i--;
    return tokenizer_is_end(v->tokenizer, v->example->tokens.ids[i - 1]);
}

/* "text, 57 tokens, 20 learned (35.1%), begins with BOS, ends with EOS" */
static void describe(const struct view *v, const char *what, struct buffer *out)
{
    const struct example *x = v->example;
    buffer_printf(out, "%s, %zu tokens, %zu learned (%.1f%%), %s, %s", what, x->tokens.count, x->n_learned,
                  100.0 * (double)x->n_learned / (double)x->tokens.count, has_bos(v) ? "begins with BOS" : "no BOS",
                  has_eos(v) ? "ends with EOS" : "no EOS at the end");
    if (x->n_unfinished)
        buffer_printf(out, ", %zu of %zu turns not ended", x->n_unfinished, x->n_turns);
    if (v->truncated)
        buffer_printf(out, ", truncated to %zu", train_section.max_seq_length);
}

static void print_view(const struct view *v, const char *where, const char *what)
{
    struct buffer line = {0};
    describe(v, what, &line);
    printf("%s%s%s: %s\n\n", colour(COLOUR_BOLD), where, colour(COLOUR_NONE), line.data);
    (flags.ids ? print_tokens : print_flow)(v);
    buffer_free(&line);
}

static json_t *view_json(const struct view *v)
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
                     "truncated", v->truncated, "ids", ids_json(&x->tokens), "learned", learned, "text", texts);
}

/* ---- the row ---- */

struct place {
    char *path;
    uint64_t line;
    bool is_text; /* of a .txt file, whole */
    struct buffer text;
};

static void place_free(struct place *p)
{
    mem_free(p->path);
    buffer_free(&p->text);
}

/* The row with that number, from 1, or at that line. */
static int find_row(size_t number, struct place *found, struct error *e)
{
    struct dataset_paths paths;
    struct corpus *corpus = NULL;
    struct corpus_chunk block = {0};
    size_t seen = 0;
    dataset_paths_find(&dataset_section, &paths);
    int code = corpus_open_rows((const char *const *)paths.train.items, paths.train.count, &corpus, e);
    if (!code && flags.line && corpus_counts(corpus).files > 1)
        code = error_set(e, ERR_USAGE, "--line %zu: of which file? --data stands for %zu", flags.line,
                         corpus_counts(corpus).files);
    if (!code)
        corpus_keep_whole(corpus);
    while (!code && !found->path && !(code = corpus_next(corpus, 1 << 20, &block, e)) && block.n > 0) {
        for (size_t i = 0; i < block.n && !found->path; i++, seen++) {
            const struct corpus_place *place = &block.places[i];
            if (flags.line ? place->line != flags.line : seen + 1 != number)
                continue;
            found->path = mem_string(corpus_path(corpus, place->file));
            found->line = place->line;
            found->is_text = place->text;
            buffer_append(&found->text, block.text.data + block.offsets[i], block.offsets[i + 1] - block.offsets[i]);
        }
    }
    if (!code && !found->path && flags.line)
        code = error_set(e, ERR_USAGE, "%s has no row on line %zu", corpus_path(corpus, 0), flags.line);
    else if (!code && !found->path)
        code = error_set(e, ERR_USAGE, "there is no example %zu: --data has %zu rows", number, seen);
    corpus_chunk_free(&block);
    corpus_close(corpus);
    dataset_paths_free(&paths);
    return code;
}

static void print_remarks(const struct dataset_row *row)
{
    for (int bit = 0; bit < ROW_WARNINGS; bit++)
        if (row->warnings >> bit & 1)
            printf("%snote: %s%s\n", colour(COLOUR_YELLOW), row_warning_text((enum row_warning)(1 << bit)),
                   colour(COLOUR_NONE));
    for (size_t i = 0; i < row->n_unused; i++) {
        struct buffer name = {0};
        append_visible(&name, row->unused[i], strlen(row->unused[i]), 200);
        printf("%snote: the field \"%s\" is not used%s\n", colour(COLOUR_YELLOW), name.data ? name.data : "",
               colour(COLOUR_NONE));
        buffer_free(&name);
    }
}

/* What training makes of a row that is too long. */
static int cut(struct example *x, bool *truncated, struct error *e)
{
    size_t most = train_section.max_seq_length, n = x->tokens.count;
    *truncated = dataset_section.over_long == OVER_LONG_TRUNCATE && n > most;
    if (*truncated && !example_truncate(x, most))
        return error_set(e, ERR_FORMAT, "%zu tokens: nothing that is learned is among the first %zu, so training would "
                         "drop it; --max-seq-length %zu keeps it", n, most, n);
    return OK;
}

/* Into how many examples training splits it; 0 when it does not. */
static size_t count_windows(const struct dataset_row *row, const struct example *x)
{
    size_t most = train_section.max_seq_length, n = x->tokens.count;
    bool split = dataset_section.over_long == OVER_LONG_SPLIT && row->kind == ROW_TEXT && n > most;
    return split ? example_windows(n, most) : 0;
}

static void print_too_long(const struct dataset_row *row, const struct example *x)
{
    size_t most = train_section.max_seq_length, windows = count_windows(row, x);
    if (x->tokens.count <= most)
        return;
    printf("%snote: more than the %zu tokens of --max-seq-length: training ", colour(COLOUR_YELLOW), most);
    if (windows)
        printf("splits it into %zu examples", windows);
    else
        fputs(dataset_section.over_long == OVER_LONG_ERROR ? "refuses it" : "drops it", stdout);
    printf("%s\n", colour(COLOUR_NONE));
}

static json_t *remarks_json(const struct dataset_row *row)
{
    json_t *list = json_array();
    for (int bit = 0; bit < ROW_WARNINGS; bit++)
        if (row->warnings >> bit & 1)
            json_array_append_new(list, json_string(row_warning_text((enum row_warning)(1 << bit))));
    return list;
}

static json_t *unused_json(const struct dataset_row *row)
{
    json_t *list = json_array();
    for (size_t i = 0; i < row->n_unused; i++)
        json_array_append_new(list, json_string(row->unused[i]));
    return list;
}

static void show(const struct dataset_row *row, const struct place *place, const struct view *chosen,
                 const struct view *rejected)
{
    const char *schema = row_schema_name(row->schema);
    size_t most = train_section.max_seq_length, n = chosen->example->tokens.count;
    if (flags.json) {
        json_t *object = view_json(chosen);
        json_object_set_new(object, "path", json_text(place->path, strlen(place->path)));
        json_object_set_new(object, "line", json_integer((json_int_t)place->line));
        json_object_set_new(object, "schema", json_string(schema));
        json_object_set_new(object, "over_long", json_boolean(n > most));
        if (count_windows(row, chosen->example))
            json_object_set_new(object, "windows", json_integer((json_int_t)count_windows(row, chosen->example)));
        json_object_set_new(object, "warnings", remarks_json(row));
        json_object_set_new(object, "unused_fields", unused_json(row));
        if (rejected)
            json_object_set_new(object, "rejected", view_json(rejected));
        print_json_line(object);
        return;
    }
    struct buffer where = {0};
    append_visible(&where, place->path, strlen(place->path), SIZE_MAX);
    buffer_printf(&where, ":%" PRIu64, place->line);
    colours = colour_wanted(stdout);
    print_view(chosen, where.data, schema);
    if (rejected) {
        putchar('\n');
        print_view(rejected, where.data, "the rejected answer");
    }
    if (row->warnings || row->n_unused || n > most || (row->kind == ROW_UNPAIRED && !row->label))
        putchar('\n');
    print_too_long(row, chosen->example);
    if (row->kind == ROW_UNPAIRED && !row->label)
        printf("%snote: its label is false: fine-tuning leaves it out%s\n", colour(COLOUR_YELLOW), colour(COLOUR_NONE));
    print_remarks(row);
    buffer_free(&where);
}

static int show_row(const struct place *place, const struct example_settings *s, struct error *e)
{
    struct dataset_row row;
    struct example x = {0}, other = {0};
    struct view chosen = {0}, rejected = {0};
    bool truncated = false, other_truncated = false;
    int code = OK;
    if (place->is_text)
        dataset_row_from_text(place->text.data, place->text.size, &row);
    else
        code = dataset_row_parse(place->text.data, place->text.size, s->fields, &row, e);
    bool pair = !code && row.rejected && s->chat_template;
    if (!code)
        code = example_make(&row, s, &x, e);
    if (!code)
        code = cut(&x, &truncated, e);
    if (!code && pair)
        code = example_make_chat(row.rejected, row.n_prompt, row.tools, s, &other, e);
    if (!code && pair)
        code = cut(&other, &other_truncated, e);
    if (code) {
        error_prefix(e, "%s:%" PRIu64, place->path, place->line);
        goto done;
    }
    view_init(&chosen, s->tokenizer, &x, truncated);
    if (pair)
        view_init(&rejected, s->tokenizer, &other, other_truncated);
    show(&row, place, &chosen, pair ? &rejected : NULL);
done:
    view_free(&chosen);
    view_free(&rejected);
    example_free(&x);
    example_free(&other);
    dataset_row_free(&row);
    return code;
}

/* ---- the command ---- */

static int parse_number(const struct option_strings *words, size_t *number, struct error *e)
{
    if (words->count > 1 || (words->count == 1) == (flags.line > 0))
        return error_set(e, ERR_USAGE, "give the number of an example, before --data, or else --line LINE");
    if (flags.line)
        return OK;
    char *end;
    unsigned long long n = strtoull(words->items[0], &end, 10);
    if (*end || n == 0 || words->items[0][0] == '-' || n > (unsigned long long)1e15)
        return error_set(e, ERR_USAGE, "expected the number of an example, from 1, found \"%.100s\"", words->items[0]);
    *number = (size_t)n;
    return OK;
}

static int run(const struct command_input *in, struct error *e)
{
    struct tokenizer *t = NULL;
    struct dataset_template template = {0};
    struct place place = {0};
    struct example_settings s;
    size_t number = 0;
    int code = parse_number(&in->positionals, &number, e);
    if (!code)
        code = dataset_settle(in->options, &dataset_section, &train_section, e);
    const struct dataset_fields fields = dataset_options_fields(&dataset_section);
    if (!code)
        code = dataset_tokenizer(flags.model, flags.tokenizer, &t, e);
    if (!code)
        code = dataset_template_open(dataset_section.chat_template, t, &template, e);
    if (!code)
        code = dataset_example_settings(&dataset_section, ANSWERS_IMITATED, &fields, t, template.parsed,
                                        train_section.max_seq_length, &s, e);
    if (!code)
        code = examples_check_settings(&s, e);
    if (!code)
        code = find_row(number, &place, e);
    if (!code)
        code = show_row(&place, &s, e);
    place_free(&place);
    dataset_template_free(&template);
    tokenizer_free(t);
    return code;
}

const struct command command_data_show = {
    .name = "data show",
    .group = "Data",
    .summary = "show an example as the model sees it, and what is learned",
    .usage = "NUMBER --data PATH... --model PATH [FLAGS]",
    .notes = "What is learned is green on a terminal, and in [brackets] elsewhere. A dot is a blank at the end of a "
             "line or turn or beside another one, \\n a newline.\n"
             "\n"
             "Examples:\n"
             "  linnet data show 1 --data chats.jsonl --model model.gguf\n"
             "  linnet data show --line 57 --data chats.jsonl --model model.gguf --ids\n",
    .takes_positionals = true,
    .sections = sections,
    .n_sections = COUNT(sections),
    .run = run,
};
