/* linnet data show: one example as a model sees it, and which of its tokens it learns. */
#include "base/memory.h"
#include "cli/colour.h"
#include "cli/command.h"
#include "cli/dataset.h"
#include "cli/example_view.h"
#include "cli/shared.h"
#include "data/answers.h"
#include "data/corpus.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static struct {
    char *model, *tokenizer;
    size_t line;
    bool ids, json;
    int objective;
} flags;
static struct dataset_options dataset_section;
static struct train_settings train_section;

#define FIELD(member) offsetof(__typeof__(flags), member)

static const struct option rows[] = {
    DATASET_MODEL_ROW(FIELD(model)),
    DATASET_TOKENIZER_ROW(FIELD(tokenizer)),
    DATASET_OBJECTIVE_ROW(FIELD(objective)),
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

static bool colours;

static const char *colour(const char *code)
{
    return colours ? code : "";
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

/* What training makes of an example that is too long. *truncated: to how many tokens, or 0. */
static int cut(struct example *x, size_t *truncated, struct error *e)
{
    size_t most = train_section.max_seq_length, n = x->tokens.count;
    bool cuts = dataset_section.over_long == OVER_LONG_TRUNCATE && n > most;
    *truncated = cuts ? most : 0;
    if (cuts && !example_truncate(x, most))
        return error_set(e, ERR_FORMAT, "%zu tokens: nothing that is learned is among the first %zu, so training would "
                         "drop it; --max-seq-length %zu keeps it", n, most, n);
    return OK;
}

/* The same of a pair, or of one answer that is judged (`other` NULL). */
static int cut_answers(const struct tokenizer *t, struct example *x, struct example *other, size_t *truncated,
                       struct error *e)
{
    size_t most = train_section.max_seq_length, n = answers_length(x, other);
    bool cuts = dataset_section.over_long == OVER_LONG_TRUNCATE && n > most;
    if (cuts && !answers_shorten(t, x, other, most))
        return error_set(e, ERR_FORMAT, "%zu tokens, and without the prompt still more than %zu, so training would drop "
                         "it; --max-seq-length %zu keeps it", n, most, n);
    *truncated = cuts ? x->tokens.count : 0;
    return OK;
}

/* Into how many examples training splits it; 0 when it does not. */
static size_t count_windows(const struct dataset_row *row, const struct example *x)
{
    size_t most = train_section.max_seq_length, n = x->tokens.count;
    bool split = dataset_section.over_long == OVER_LONG_SPLIT && row->kind == ROW_TEXT && n > most;
    return split ? example_windows(n, most) : 0;
}

static void print_too_long(size_t tokens, size_t windows)
{
    size_t most = train_section.max_seq_length;
    if (tokens <= most)
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

/* A row, what it becomes, and how it is seen. */
struct shown {
    struct dataset_row row;
    struct example x, other; /* the second: the rejected answer, if it is shown */
    struct example_view chosen, rejected;
    bool two;
    size_t tokens, shared; /* what counts against max_seq_length; what a pair shares */
};

static void shown_free(struct shown *s)
{
    example_view_free(&s->chosen);
    example_view_free(&s->rejected);
    example_free(&s->x);
    example_free(&s->other);
    dataset_row_free(&s->row);
}

static void show_json(const struct shown *s, const struct place *place)
{
    json_t *object = example_view_json(&s->chosen);
    size_t windows = count_windows(&s->row, &s->x);
    json_object_set_new(object, "path", json_text(place->path, strlen(place->path)));
    json_object_set_new(object, "line", json_integer((json_int_t)place->line));
    json_object_set_new(object, "schema", json_string(row_schema_name(s->row.schema)));
    json_object_set_new(object, "over_long", json_boolean(s->tokens > train_section.max_seq_length));
    if (windows)
        json_object_set_new(object, "windows", json_integer((json_int_t)windows));
    json_object_set_new(object, "warnings", remarks_json(&s->row));
    json_object_set_new(object, "unused_fields", unused_json(&s->row));
    if (flags.objective == ANSWERS_COMPARED) {
        json_object_set_new(object, "pair_tokens", json_integer((json_int_t)s->tokens));
        json_object_set_new(object, "shared_tokens", json_integer((json_int_t)s->shared));
    }
    if (flags.objective == ANSWERS_JUDGED)
        json_object_set_new(object, "wanted", json_boolean(s->row.kind == ROW_PREFERENCE || s->row.label));
    if (s->two)
        json_object_set_new(object, "rejected", example_view_json(&s->rejected));
    print_json_line(object);
}

/* As it lies in a row of a batch: what is shared once, then the rest of both. */
static void print_pair(const struct shown *s, const char *where)
{
    printf("%s%s%s: %s, a pair of %zu tokens, %zu of them shared\n\n", colour(COLOUR_BOLD), where, colour(COLOUR_NONE),
           row_schema_name(s->row.schema), s->tokens, s->shared);
    if (s->shared) {
        example_view_print(&s->chosen, 0, s->shared, flags.ids);
        putchar('\n');
    }
    example_view_title(&s->chosen, where, "the chosen answer");
    example_view_print(&s->chosen, s->shared, s->x.tokens.count, flags.ids);
    putchar('\n');
    example_view_title(&s->rejected, where, "the rejected answer");
    example_view_print(&s->rejected, s->shared, s->other.tokens.count, flags.ids);
}

static void print_examples(const struct shown *s, const char *where)
{
    char what[96];
    bool judged = flags.objective == ANSWERS_JUDGED, wanted = s->row.kind != ROW_UNPAIRED || s->row.label;
    snprintf(what, sizeof what, "%s%s", row_schema_name(s->row.schema), !judged ? "" : wanted ? ", wanted" : ", not wanted");
    example_view_title(&s->chosen, where, what);
    example_view_print(&s->chosen, 0, s->x.tokens.count, flags.ids);
    if (!s->two)
        return;
    putchar('\n');
    example_view_title(&s->rejected, where, judged ? "the rejected answer, not wanted" : "the rejected answer");
    example_view_print(&s->rejected, 0, s->other.tokens.count, flags.ids);
}

static void show(const struct shown *s, const struct place *place)
{
    const struct dataset_row *row = &s->row;
    bool left_out = flags.objective == ANSWERS_IMITATED && row->kind == ROW_UNPAIRED && !row->label;
    struct buffer where = {0};
    append_visible(&where, place->path, strlen(place->path), SIZE_MAX);
    buffer_printf(&where, ":%" PRIu64, place->line);
    (flags.objective == ANSWERS_COMPARED ? print_pair : print_examples)(s, where.data);
    if (row->warnings || row->n_unused || s->tokens > train_section.max_seq_length || left_out)
        putchar('\n');
    print_too_long(s->tokens, count_windows(row, &s->x));
    if (left_out)
        printf("%snote: its label is false: fine-tuning leaves it out%s\n", colour(COLOUR_YELLOW), colour(COLOUR_NONE));
    print_remarks(row);
    buffer_free(&where);
}

/* The examples of a row to imitate; of a preference the rejected answer beside it. */
static int make_examples(struct shown *s, const struct example_settings *settings, size_t truncated[2], struct error *e)
{
    s->two = s->row.rejected && settings->chat_template;
    int code = example_make(&s->row, settings, &s->x, e);
    if (!code)
        code = cut(&s->x, &truncated[0], e);
    if (!code && s->two)
        code = example_make_chat(s->row.rejected, s->row.n_prompt, s->row.tools, settings, &s->other, e);
    if (!code && s->two)
        code = cut(&s->other, &truncated[1], e);
    s->tokens = s->x.tokens.count;
    return code;
}

/* Its answers, to compare or to judge. */
static int make_answers(struct shown *s, const struct example_settings *settings, size_t truncated[2], struct error *e)
{
    const struct tokenizer *t = settings->tokenizer;
    bool pair = settings->answers == ANSWERS_COMPARED;
    int code = answers_make(&s->row, settings, &s->x, &s->other, e);
    s->two = s->other.tokens.count > 0;
    if (!code)
        code = cut_answers(t, &s->x, pair ? &s->other : NULL, &truncated[0], e);
    if (!code && pair)
        truncated[1] = truncated[0] ? s->other.tokens.count : 0;
    else if (!code && s->two)
        code = cut_answers(t, &s->other, NULL, &truncated[1], e);
    if (code)
        return code;
    size_t both = s->x.tokens.count + s->other.tokens.count;
    s->tokens = answers_length(&s->x, pair ? &s->other : NULL);
    s->shared = pair ? both - s->tokens : 0;
    if (!pair && s->two && answers_length(&s->other, NULL) > s->tokens)
        s->tokens = answers_length(&s->other, NULL);
    return OK;
}

static int show_row(const struct place *place, const struct example_settings *settings, struct error *e)
{
    struct shown s = {.two = false};
    size_t truncated[2] = {0};
    int code = OK;
    colours = colour_wanted(stdout);
    if (place->is_text)
        dataset_row_from_text(place->text.data, place->text.size, &s.row);
    else
        code = dataset_row_parse(place->text.data, place->text.size, settings->fields, &s.row, e);
    if (!code)
        code = (settings->answers == ANSWERS_IMITATED ? make_examples : make_answers)(&s, settings, truncated, e);
    if (code) {
        error_prefix(e, "%s:%" PRIu64, place->path, place->line);
    } else {
        example_view_init(&s.chosen, settings->tokenizer, &s.x, truncated[0]);
        if (s.two)
            example_view_init(&s.rejected, settings->tokenizer, &s.other, truncated[1]);
        (flags.json ? show_json : show)(&s, place);
    }
    shown_free(&s);
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
        code = dataset_example_settings(&dataset_section, (enum example_answers)flags.objective, &fields, t,
                                        template.parsed, train_section.max_seq_length, &s, e);
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
             "  linnet data show --line 57 --data chats.jsonl --model model.gguf --ids\n"
             "  linnet data show 1 --data preferences.jsonl --objective dpo --model model.gguf\n",
    .takes_positionals = true,
    .sections = sections,
    .n_sections = COUNT(sections),
    .run = run,
};
