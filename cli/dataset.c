#include "cli/dataset.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "cli/shared.h"
#include "data/hold_out.h"
#include "data/pair.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- settings ---- */

const char *const dataset_objectives[] = {"sft", "dpo", "kto", NULL}; /* enum example_answers */

int dataset_settle(const struct options *all, struct dataset_options *o, struct train_settings *train, struct error *e)
{
    int64_t now;
    int code = option_require(all, "dataset", "paths", e);
    if (!code && o->validation_paths.count && option_given(all, "dataset", "validation_fraction") &&
        o->validation_fraction > 0)
        code = error_set(e, ERR_USAGE, "--validation-data holds out examples of its own: leave out --validation-fraction");
    if (!code)
        code = dataset_options_time(o, &now, e);
    if (code)
        return code;
    if (!option_given(all, "train", "max_seq_length"))
        train->max_seq_length = DATASET_TOKENS;
    if (!o->template_date) {
        struct tm day;
        time_t seconds = (time_t)now;
        char text[32] = "";
        if (localtime_r(&seconds, &day))
            strftime(text, sizeof text, "%Y-%m-%d", &day);
        o->template_date = mem_string(text);
    }
    return OK;
}

int dataset_check_answers(const struct dataset_options *o, struct error *e)
{
    if (o->loss != LOSS_ALL)
        return OK;
    return error_set(e, ERR_USAGE, "dataset.loss all: a prompt is no answer, and nothing is to be learned of it; take "
                     "completions or last-turn");
}

int dataset_tokenizer(const char *model, const char *tokenizer, struct tokenizer **t, struct error *e)
{
    *t = NULL;
    if (!model && !tokenizer)
        return error_set(e, ERR_USAGE, "missing --model PATH or --tokenizer PATH: what the examples are for");
    return load_tokenizer(tokenizer ? tokenizer : model, t, e);
}

int dataset_example_settings(const struct dataset_options *o, enum example_answers answers,
                             const struct dataset_fields *fields, const struct tokenizer *t,
                             const struct chat_template *chat_template, size_t max_tokens, struct example_settings *s,
                             struct error *e)
{
    *s = (struct example_settings){
        .tokenizer = t,
        .chat_template = chat_template,
        .fields = fields,
        .loss = (enum example_loss)o->loss,
        .answers = answers,
        .max_tokens = max_tokens,
        .over_long = (enum over_long)o->over_long,
        .bad_rows = (enum bad_rows)o->on_bad_row,
    };
    return dataset_options_time(o, &s->now, e);
}

/* ---- files ---- */

/* The directory's file with that name, gzipped or not, is added; false when it has neither. */
static bool add_named(const char *directory, const char *name, struct option_strings *out)
{
    static const char *const endings[] = {"", ".gz"};
    for (size_t i = 0; i < 2; i++) {
        char *file = mem_printf("%s%s", name, endings[i]);
        char *path = path_join(directory, file);
        bool found = file_exists(path);
        if (found)
            option_strings_add(out, path);
        mem_free(file);
        mem_free(path);
        if (found)
            return true;
    }
    return false;
}

void dataset_paths_find(const struct dataset_options *o, struct dataset_paths *p)
{
    *p = (struct dataset_paths){0};
    for (size_t i = 0; i < o->validation_paths.count; i++)
        option_strings_add(&p->validation, o->validation_paths.items[i]);
    for (size_t i = 0; i < o->paths.count; i++) {
        const char *path = o->paths.items[i];
        if (!file_is_directory(path) || !add_named(path, "train.jsonl", &p->train))
            option_strings_add(&p->train, path);
        else if (!o->validation_paths.count)
            add_named(path, "valid.jsonl", &p->validation);
    }
}

void dataset_paths_free(struct dataset_paths *p)
{
    option_strings_free(&p->train);
    option_strings_free(&p->validation);
}

/* ---- what was read, in words ---- */

static double percent(size_t part, size_t whole)
{
    return whole ? 100.0 * (double)part / (double)whole : 0;
}

/* ", 3 bad": only what there is. */
static void add_count(struct buffer *out, size_t n, const char *what)
{
    if (n)
        buffer_printf(out, "%s%zu %s", out->size ? ", " : "", n, what);
}

static void say_rows(const struct examples *x, const char *what, size_t max_tokens)
{
    const struct example_report *r = &x->report;
    struct buffer schemas = {0}, lost = {0};
    for (size_t i = 0; i < ROW_SCHEMAS; i++)
        add_count(&schemas, r->by_schema[i], row_schema_name((enum row_schema)i));
    bool pairs = x->answers != ANSWERS_IMITATED;
    char *long_ones = mem_printf("%sof more than %zu tokens dropped", pairs ? "answers or pairs " : "", max_tokens);
    char *split = mem_printf("of more than %zu tokens split into %zu examples", max_tokens, r->windows);
    char *cut = mem_printf("truncated to %zu tokens", max_tokens);
    add_count(&lost, r->bad, "bad left out");
    add_count(&lost, r->dropped, long_ones);
    add_count(&lost, r->split, split);
    add_count(&lost, r->unwanted, "not wanted (label false)");
    add_count(&lost, r->truncated, cut);
    log_info("%s: %zu row%s in %zu file%s (%s)%s%s", what, r->rows, r->rows == 1 ? "" : "s", x->n_files,
             x->n_files == 1 ? "" : "s", schemas.data ? schemas.data : "none is an example", lost.size ? "; " : "", lost.size ? lost.data : "");
    mem_free(long_ones);
    mem_free(split);
    mem_free(cut);
    buffer_free(&schemas);
    buffer_free(&lost);
}

static void add_examples(struct buffer *out, const struct examples *x, const char *what)
{
    char count[32];
    buffer_printf(out, "%s%zu %s (%s tokens, %.1f%% supervised, longest %zu)", out->size ? "; " : "", x->count, what,
                  format_count((double)x->report.tokens, count),
                  percent(x->report.learned_tokens, x->report.tokens), x->report.longest);
}

/* In tokens of rows, in which what a pair shares is once. */
static void say_pairs(const struct examples *x, size_t n_prompts, const char *what)
{
    char count[32], saved[32];
    size_t n = 0, n_pairs = x->count / 2;
    for (size_t i = 0; i < n_pairs; i++)
        n += example_pair_length(x, i, true);
    log_info("examples: %zu %s%s %s (%zu prompt%s, %s tokens, %.1f%% supervised, longest %zu; sharing prompts saves %s tokens)",
             n_pairs, x->answers == ANSWERS_COMPARED ? "pair" : "judged answer", n_pairs == 1 ? "" : "s", what, n_prompts,
             n_prompts == 1 ? "" : "s", format_count((double)n, count), percent(x->report.learned_tokens, n),
             example_pairs_longest(x, true), format_count((double)(x->report.tokens - n), saved));
}

/* ---- what is suspicious ---- */

static void warn_of_rows(const struct examples *x, const char *what)
{
    const struct example_report *r = &x->report;
    for (int i = 0; i < ROW_WARNINGS; i++)
        if (r->by_warning[i])
            log_warn("%s: %zu rows: %s", what, r->by_warning[i], row_warning_text((enum row_warning)(1 << i)));
    struct buffer names = {0};
    for (size_t i = 0; i < r->n_unused; i++)
        buffer_printf(&names, "%s%s", names.size ? ", " : "", r->unused[i]);
    if (names.size)
        log_warn("%s: fields that are not used: %s; linnet data check names their rows", what, names.data);
    buffer_free(&names);
}

static void warn_of_ends(const struct examples *x, const struct tokenizer *t, const struct dataset_template *template,
                         const char *what)
{
    const struct example_report *r = &x->report;
    if (r->unfinished && tokenizer_eos(t) == TOKEN_NONE)
        log_warn("%s: the model may never stop: its vocabulary has no token that ends generation", what);
    else if (r->unfinished)
        log_warn("%s: %zu of %zu learned turns do not end with a token that ends generation: the model may never stop. "
                 "%s", what, r->unfinished, r->turns,
                 template->parsed ? "A template that ends them with eos_token helps; --chat-template plain is one"
                                  : "Is the tokenizer the model's?");
}

/* A model that was trained with BOS expects one; templates write it, and some texts have it too. */
static void warn_of_bos(const struct examples *x, const struct tokenizer *t, const char *what)
{
    int32_t bos = tokenizer_bos(t);
    size_t twice = 0, without = 0;
    if (bos == TOKEN_NONE)
        return;
    for (size_t i = 0; i < x->count; i++) {
        const int32_t *ids = x->ids + x->begin[i];
        without += ids[0] != bos && x->origins[i].window == 0; /* a text's other windows are its middle */
        twice += x->begin[i + 1] - x->begin[i] > 1 && ids[0] == bos && ids[1] == bos;
    }
    if (twice)
        log_warn("%s: %zu examples begin with BOS twice: once by the chat template, once by the text", what, twice);
    if (without && tokenizer_adds_bos(t))
        log_warn("%s: %zu examples do not begin with BOS, and the tokenizer says that texts do", what, without);
}

static void warn_of(const struct examples *x, const struct dataset *d, const struct tokenizer *t, const char *what)
{
    double share = percent(x->report.learned_tokens, x->report.tokens);
    warn_of_rows(x, what);
    warn_of_ends(x, t, &d->chat_template, what);
    warn_of_bos(x, t, what);
    if (share < 1)
        log_warn("%s: only %.2f%% of the tokens are supervised", what, share);
}

/* What must not be on both sides: an example, or the prompt of a pair. */
static uint64_t unit_hash(const struct examples *x, size_t i)
{
    if (x->answers != ANSWERS_IMITATED)
        return x->origins[2 * i].prompt;
    return hash64(x->ids + x->begin[i], (x->begin[i + 1] - x->begin[i]) * sizeof *x->ids, 0);
}

static int compare_hashes(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The hashes of all examples, or those of prompts, each once. Their number; the caller frees *hashes. */
static size_t sort_hashes(const struct examples *x, uint64_t **hashes)
{
    bool pairs = x->answers != ANSWERS_IMITATED;
    size_t count = pairs ? x->count / 2 : x->count, n = 0;
    uint64_t *all = *hashes = mem_alloc(count, sizeof *all);
    for (size_t i = 0; i < count; i++)
        all[i] = unit_hash(x, i);
    qsort(all, count, sizeof *all, compare_hashes);
    for (size_t i = 0; i < count; i++)
        if (!pairs || n == 0 || all[i] != all[n - 1])
            all[n++] = all[i];
    return n;
}

static void count_leaked(struct dataset *d)
{
    uint64_t *train, *held;
    size_t n_train = sort_hashes(&d->train, &train), n_held = sort_hashes(&d->validation, &held);
    for (size_t i = 0; i < n_held; i++)
        d->n_leaked += bsearch(&held[i], train, n_train, sizeof *train, compare_hashes) != NULL;
    if (d->train.answers != ANSWERS_IMITATED) {
        d->n_prompts = n_train;
        d->n_held_prompts = n_held;
    }
    mem_free(train);
    mem_free(held);
}

static void say_examples(const struct dataset *d)
{
    struct buffer line = {0};
    add_examples(&line, &d->train, "to train on");
    if (d->validation.count)
        add_examples(&line, &d->validation, "held out");
    log_info("examples: %s", line.data);
    buffer_free(&line);
}

static void say_all(const struct dataset *d, const struct tokenizer *t, size_t max_tokens)
{
    bool pairs = d->train.answers != ANSWERS_IMITATED;
    say_rows(&d->train, "data", max_tokens);
    if (d->validation.count && !d->held_out_here)
        say_rows(&d->validation, "held out", max_tokens);
    if (pairs)
        say_pairs(&d->train, d->n_prompts, "to train on");
    if (pairs && d->validation.count)
        say_pairs(&d->validation, d->n_held_prompts, "held out");
    if (!pairs)
        say_examples(d);
    log_info("chat template: %s", d->chat_template.name);
    warn_of(&d->train, d, t, "data");
    if (d->validation.count && !d->held_out_here)
        warn_of(&d->validation, d, t, "held out");
    if (d->n_leaked)
        log_warn("%zu of %zu held-out %s are also trained on; linnet data check%s%s lists them", d->n_leaked,
                 pairs ? d->n_held_prompts : d->validation.count, pairs ? "prompts" : "examples",
                 pairs ? " --objective " : "", pairs ? dataset_objectives[d->train.answers] : "");
}

/* ---- reading ---- */

static void report_bad(void *context, const char *path, uint64_t line, const char *reason)
{
    (void)context;
    log_warn("left out %s:%llu: %s", path, (unsigned long long)line, reason);
}

int dataset_load(const struct dataset_options *o, enum example_answers answers, const struct tokenizer *t,
                 size_t max_tokens, uint64_t seed, struct dataset *d, struct error *e)
{
    *d = (struct dataset){0};
    const struct dataset_fields fields = dataset_options_fields(o);
    struct dataset_paths paths;
    struct example_settings s;
    dataset_paths_find(o, &paths);
    int code = dataset_template_open(o->chat_template, t, &d->chat_template, e);
    if (!code)
        code = dataset_example_settings(o, answers, &fields, t, d->chat_template.parsed, max_tokens, &s, e);
    s.report = report_bad;
    if (!code)
        code = examples_read((const char *const *)paths.train.items, paths.train.count, &s, &d->train, e);
    if (!code && paths.validation.count) {
        code = examples_read((const char *const *)paths.validation.items, paths.validation.count, &s, &d->validation, e);
        if (code)
            error_prefix(e, "held out");
    } else if (!code) {
        d->held_out_here = true;
        examples_hold_out(&d->train, o->validation_fraction, seed, &d->validation);
    }
    if (!code) {
        count_leaked(d);
        say_all(d, t, max_tokens);
    }
    dataset_paths_free(&paths);
    return code;
}

void dataset_free(struct dataset *d)
{
    examples_free(&d->train);
    examples_free(&d->validation);
    dataset_template_free(&d->chat_template);
    *d = (struct dataset){0};
}

uint64_t dataset_hash(const struct dataset *d)
{
    return hash64_combine(examples_hash(&d->train), examples_hash(&d->validation));
}
