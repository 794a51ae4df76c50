/* linnet data check: the whole of a dataset, before anything is trained on it. */
#include "cli/data_check.h"

#include "base/memory.h"
#include "cli/command.h"
#include "cli/shared.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static struct {
    char *model, *tokenizer;
    size_t list;
    bool json;
    int objective;
} flags;
static struct dataset_options dataset_section;
static struct train_settings train_section;

#define FIELD(member) offsetof(__typeof__(flags), member)

static const struct option rows[] = {
    DATASET_MODEL_ROW(FIELD(model)),
    DATASET_TOKENIZER_ROW(FIELD(tokenizer)),
    DATASET_OBJECTIVE_ROW(FIELD(objective)),
    {.key = "list", .flag = "--list", .type = OPTION_SIZE, .offset = FIELD(list), .default_value = "10", .minimum = 0,
     .maximum = 1e12, .placeholder = "N", .help = "rows to list of each finding; 0 is all"},
    {.key = "json", .flag = "--json", .type = OPTION_BOOL, .offset = FIELD(json), .help = "print the report as JSON"},
};
static const char *const train_flags[] = {"max_seq_length", "seed", NULL};
static struct option_section sections[] = {
    {.name = "", .rows = rows, .n_rows = COUNT(rows), .object = &flags, .help = "Report"},
    {.name = "dataset", .rows = dataset_options, .n_rows = N_DATASET_OPTIONS, .object = &dataset_section,
     .help = "Dataset"},
    {.name = "train", .rows = train_options, .n_rows = N_TRAIN_OPTIONS, .object = &train_section, .help = "Training",
     .flags_of = train_flags},
};

/* ---- totals ---- */

static int compare_lengths(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* The windows of a text that is split, as many of them as are held out or are not; in each all but the first token is
 * learned. */
static void add_windows(struct check_totals *t, const struct check_row *row, bool held)
{
    size_t all_tokens = (size_t)row->tokens + row->windows - 1;
    size_t windows = held ? row->held_windows : row->windows - row->held_windows;
    size_t tokens = held ? row->held_tokens : all_tokens - row->held_tokens;
    t->windows += windows;
    t->examples += windows;
    t->tokens += tokens;
    t->learned += tokens - windows;
}

static void add_answers(struct check_totals *t, const struct check_row *row)
{
    t->examples += row->answers;
    t->tokens += (size_t)row->tokens + row->second;
    t->learned += row->learned;
    t->over_long += row->too_long;
    t->chosen += row->chosen > 0;
    t->rejected += row->rejected > 0;
    t->chosen_tokens += row->chosen;
    t->rejected_tokens += row->rejected;
    t->both += row->chosen && row->rejected;
    t->chosen_longer += row->rejected && row->chosen > row->rejected;
}

static void add_row(struct check_totals *t, const struct check_row *row, size_t max_tokens)
{
    size_t bits = 0;
    t->rows++;
    t->bad += row->bad;
    t->unwanted += row->unwanted;
    if (row->bad)
        return;
    t->by_schema[row->schema]++;
    if (row->unwanted)
        return;
    while (row->tokens >> bits && bits < LENGTH_BUCKETS - 1)
        bits++;
    t->lengths[bits]++;
    t->turns_unfinished += row->unfinished;
    if (row->windows) {
        t->split++;
        return;
    }
    if (row->answers) {
        add_answers(t, row);
        return;
    }
    t->examples++;
    t->tokens += row->tokens;
    t->learned += row->learned;
    t->over_long += row->tokens > max_tokens;
}

static int compare_hashes(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static size_t count_prompts(const struct dataset_check *c, bool held)
{
    uint64_t *prompts = mem_alloc(c->count, sizeof *prompts);
    size_t n = 0, different = 0;
    for (size_t i = 0; i < c->count; i++)
        if (c->rows[i].kept && c->rows[i].held == held)
            prompts[n++] = c->rows[i].prompt_text;
    qsort(prompts, n, sizeof *prompts, compare_hashes);
    for (size_t i = 0; i < n; i++)
        different += i == 0 || prompts[i] != prompts[i - 1];
    mem_free(prompts);
    return different;
}

static void count(const struct dataset_check *c, bool held, size_t max_tokens, struct check_totals *t)
{
    uint32_t *lengths = mem_alloc(c->count, sizeof *lengths);
    size_t n = 0;
    for (size_t i = 0; i < c->count; i++) {
        const struct check_row *row = &c->rows[i];
        if (row->windows)
            add_windows(t, row, held);
        if (row->held != held)
            continue;
        add_row(t, row, max_tokens);
        if (!row->bad && !row->unwanted)
            lengths[n++] = row->tokens;
    }
    t->prompts = count_prompts(c, held);
    qsort(lengths, n, sizeof *lengths, compare_lengths);
    if (n) {
        t->shortest = lengths[0];
        t->median = lengths[(n - 1) / 2];
        t->most_of_them = lengths[(n * 95 + 99) / 100 - 1];
        t->longest = lengths[n - 1];
    }
    mem_free(lengths);
}

/* ---- findings ---- */

struct report {
    const struct dataset_check *c;
    struct check_summary *s;
    size_t most; /* rows to list of each */
};

static json_t *place(const struct dataset_check *c, size_t row)
{
    const char *path = c->files[c->rows[row].file];
    return json_pack("{s:o, s:I}", "path", json_text(path, strlen(path)), "line", (json_int_t)c->rows[row].line);
}

/* Takes `reason`. */
static void list_row(const struct report *r, struct check_finding *f, size_t row, char *reason)
{
    if (json_array_size(f->rows) < r->most) {
        json_t *object = place(r->c, row);
        json_object_set_new(object, "reason", json_text(reason, strlen(reason)));
        json_array_append_new(f->rows, object);
    }
    mem_free(reason);
}

/* The next finding, which stays if it has a count in the end (keep). */
static struct check_finding *begin(struct report *r, const char *key, bool refused)
{
    struct check_finding *f = &r->s->findings[r->s->n_findings];
    *f = (struct check_finding){.key = key, .rows = json_array(), .refused = refused};
    return f;
}

/* `title` is what stands before the count. */
static void keep(struct report *r, struct check_finding *f, const char *title)
{
    if (!f->count) {
        json_decref(f->rows);
        f->rows = NULL;
        return;
    }
    f->title = mem_printf("%s: %zu", title, f->count);
    r->s->n_findings++;
}

static void find_bad(struct report *r)
{
    struct check_finding *f = begin(r, "bad", dataset_section.on_bad_row == BAD_ROWS_FAIL);
    f->count = r->s->totals[0].bad + r->s->totals[1].bad;
    for (size_t i = 0; i < r->c->n_reasons; i++)
        list_row(r, f, r->c->reasons[i].row, mem_string(r->c->reasons[i].text));
    keep(r, f, "bad rows");
}

static void find_over_long(struct report *r)
{
    struct check_finding *f = begin(r, "over_long", dataset_section.over_long == OVER_LONG_ERROR);
    bool cuts = dataset_section.over_long == OVER_LONG_TRUNCATE;
    for (size_t i = 0; i < r->c->count; i++) {
        const struct check_row *row = &r->c->rows[i];
        if (row->answers ? !row->too_long : row->tokens <= r->s->max_tokens || row->windows)
            continue;
        f->count++;
        if (json_array_size(f->rows) < r->most)
            list_row(r, f, i, mem_printf("%u tokens%s%s", (unsigned)row->tokens,
                                         r->s->objective == ANSWERS_JUDGED ? ", and 2 for a borrowed answer" : "",
                                         !cuts || !row->cut_off ? ""
                                         : row->answers ? ", too many without the prompt: dropped"
                                                        : ", nothing learned is left when it is cut: dropped"));
    }
    keep(r, f, cuts ? "rows that are too long, truncated" : f->refused ? "rows that are too long"
                                                                       : "rows that are too long, dropped");
}

static void find_unfinished(struct report *r)
{
    struct check_finding *f = begin(r, "unfinished", false);
    for (size_t i = 0; i < r->c->count; i++) {
        const struct check_row *row = &r->c->rows[i];
        if (!row->unfinished)
            continue;
        f->count++;
        if (json_array_size(f->rows) < r->most)
            list_row(r, f, i, mem_printf("%u turns", (unsigned)row->unfinished));
    }
    keep(r, f, "rows with learned turns that do not end with a token that ends generation (the model may never stop)");
}

static void find_pairs(struct report *r, enum check_kind kind, const char *key, const char *reason, const char *title)
{
    struct check_finding *f = begin(r, key, false);
    struct check_pair *pairs;
    f->count = dataset_check_pairs(r->c, kind, &pairs);
    for (size_t i = 0; i < f->count && i < r->most; i++) {
        const struct check_row *other = &r->c->rows[pairs[i].other];
        list_row(r, f, pairs[i].row, mem_printf("%s %s:%" PRIu64, reason, r->c->files[other->file], other->line));
        json_object_set_new(json_array_get(f->rows, i), "other", place(r->c, pairs[i].other));
    }
    mem_free(pairs);
    keep(r, f, title);
}

static void find_odd(struct report *r)
{
    struct check_finding *f = begin(r, "odd", false);
    for (size_t i = 0; i < r->c->count; i++) {
        const struct check_row *row = &r->c->rows[i];
        if (!row->warnings || row->bad)
            continue;
        f->count++;
        struct buffer why = {0};
        for (int bit = 0; bit < ROW_WARNINGS; bit++)
            if (row->warnings >> bit & 1)
                buffer_printf(&why, "%s%s", why.size ? "; " : "", row_warning_text((enum row_warning)(1 << bit)));
        list_row(r, f, i, why.data);
    }
    keep(r, f, "odd rows");
}

static void find_fields(struct report *r)
{
    struct check_finding *f = begin(r, "unused_fields", false);
    f->count = r->c->n_fields;
    for (size_t i = 0; i < f->count; i++) {
        const struct check_field *field = &r->c->fields[i];
        list_row(r, f, field->first, mem_printf("\"%s\", in %zu rows", field->name, field->rows));
        json_t *row = json_array_get(f->rows, i);
        if (row) {
            json_object_set_new(row, "field", json_text(field->name, strlen(field->name)));
            json_object_set_new(row, "rows", json_integer((json_int_t)field->rows));
        }
    }
    keep(r, f, "unused fields");
}

static void find_all(struct report *r)
{
    find_bad(r);
    find_over_long(r);
    find_unfinished(r);
    find_pairs(r, CHECK_LEAKED, "leaked", "the same as", "held-out rows that are also trained on");
    find_pairs(r, CHECK_LEAKED_PROMPT, "leaked_prompts", "the prompt of",
               "held-out rows whose prompt is trained on with another answer");
    find_pairs(r, CHECK_DUPLICATE, "duplicates", "the same as", "duplicate rows");
    if (r->s->objective == ANSWERS_IMITATED) /* else several answers to a prompt are usual */
        find_pairs(r, CHECK_OTHER_ANSWER, "other_answers", "the prompt of",
                   "rows whose prompt occurs before, with another answer");
    find_odd(r);
    find_fields(r);
}

static void summary_free(struct check_summary *s)
{
    for (size_t i = 0; i < s->n_findings; i++) {
        mem_free(s->findings[i].title);
        json_decref(s->findings[i].rows);
    }
}

/* ---- the command ---- */

static int read_all(const struct tokenizer *t, const struct dataset_template *template, size_t most,
                    struct dataset_check *c, struct error *e)
{
    const struct dataset_fields fields = dataset_options_fields(&dataset_section);
    size_t max_tokens = train_section.max_seq_length;
    struct example_settings s;
    struct dataset_paths paths;
    dataset_paths_find(&dataset_section, &paths);
    int code = dataset_example_settings(&dataset_section, (enum example_answers)flags.objective, &fields, t,
                                        template->parsed, max_tokens, &s, e);
    if (!code)
        code = dataset_check_read(c, (const char *const *)paths.train.items, paths.train.count, false, &s, most, e);
    if (!code && paths.validation.count)
        code = dataset_check_read(c, (const char *const *)paths.validation.items, paths.validation.count, true, &s, most,
                                  e);
    else if (!code)
        dataset_check_hold_out(c, dataset_section.validation_fraction, train_section.seed, max_tokens,
                               (enum over_long)dataset_section.over_long);
    dataset_paths_free(&paths);
    return code;
}

/* What training would stop at. */
static int verdict(const struct check_summary *s, struct error *e)
{
    size_t examples = 0;
    for (size_t i = 0; i < s->n_findings; i++)
        if (s->findings[i].refused)
            return error_set(e, ERR_FORMAT, "training would refuse this dataset: %s%s", s->findings[i].title,
                             strcmp(s->findings[i].key, "bad") == 0
                                 ? " (--on-bad-row skip leaves them out)"
                                 : " (--over-long drop or truncate goes on without)");
    for (int held = 0; held < 2; held++)
        examples += s->totals[held].examples;
    bool drops = dataset_section.over_long == OVER_LONG_DROP || dataset_section.over_long == OVER_LONG_SPLIT;
    if (examples == 0 || (drops && s->totals[0].examples == s->totals[0].over_long))
        return error_set(e, ERR_FORMAT, "training would refuse this dataset: there is no example in it");
    return OK;
}

static int run(const struct command_input *in, struct error *e)
{
    struct tokenizer *t = NULL;
    struct dataset_template template = {0};
    struct dataset_check c = {0};
    struct check_summary s = {.over_long = 0};
    size_t most = flags.list ? flags.list : SIZE_MAX;
    int code = dataset_settle(in->options, &dataset_section, &train_section, e);
    if (!code)
        code = dataset_tokenizer(flags.model, flags.tokenizer, &t, e);
    if (!code)
        code = dataset_template_open(dataset_section.chat_template, t, &template, e);
    if (!code)
        code = read_all(t, &template, most, &c, e);
    if (!code) {
        s.over_long = dataset_section.over_long;
        s.objective = flags.objective;
        s.max_tokens = train_section.max_seq_length;
        s.template_name = template.name;
        for (int held = 0; held < 2; held++)
            count(&c, held, s.max_tokens, &s.totals[held]);
        s.has_held = s.totals[1].rows > 0 || s.totals[1].examples > 0;
        struct report r = {&c, &s, most};
        find_all(&r);
        (flags.json ? check_print_json : check_print_text)(&s);
        code = verdict(&s, e);
    }
    summary_free(&s);
    dataset_check_free(&c);
    dataset_template_free(&template);
    tokenizer_free(t);
    return code;
}

const struct command command_data_check = {
    .name = "data check",
    .group = "Data",
    .summary = "find what is wrong with a dataset before training on it",
    .usage = "--data PATH... --model PATH [FLAGS]",
    .notes = "Reads every row as training would, and prints what it holds and what is wrong with it, by path and line. "
             "It exits with status 1 when training would refuse the dataset.\n"
             "\n"
             "Examples:\n"
             "  linnet data check --data chats.jsonl --model model.gguf\n"
             "  linnet data check --data qa.jsonl --prompt-field question \\\n"
             "      --completion-field answer --model model.gguf\n"
             "  linnet data check --data preferences.jsonl --objective dpo --model model.gguf\n",
    .sections = sections,
    .n_sections = COUNT(sections),
    .run = run,
};
