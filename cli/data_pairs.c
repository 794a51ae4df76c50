/* linnet data pairs: from graded answers to rows that preferences are trained on. */
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/rng.h"
#include "cli/answer_grade.h"
#include "cli/command.h"
#include "cli/shared.h"
#include "data/answer_pairs.h"
#include "data/corpus.h"
#include "data/dataset_options.h"
#include "train/interrupt.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static struct {
    struct option_strings data;
    char *out;
    size_t pairs_per_prompt, seed;
    bool unpaired, keep_unfinished, json;
} flags;
static struct dataset_options dataset_section;
static struct grade_flags grade;

#define FIELD(member) offsetof(__typeof__(flags), member)

static const struct option rows[] = {
    {.key = "data", .flag = "--data", .type = OPTION_STRINGS, .offset = FIELD(data), .placeholder = "PATH...",
     .help = "rows with answers, as linnet sample writes them: .jsonl files, also gzipped, or directories of them"},
    {.key = "out", .flag = "--out", .letter = 'o', .type = OPTION_STRING, .offset = FIELD(out), .placeholder = "FILE",
     .help = "where the pairs go: .jsonl"},
    {.key = "pairs_per_prompt", .flag = "--pairs-per-prompt", .type = OPTION_SIZE, .offset = FIELD(pairs_per_prompt),
     .default_value = "4", .minimum = 1, .maximum = 65536, .help = "pairs of one prompt at most"},
    {.key = "unpaired", .flag = "--unpaired", .type = OPTION_BOOL, .offset = FIELD(unpaired),
     .help = "instead of pairs every answer with a label, right or wrong, for KTO"},
    {.key = "keep_unfinished", .flag = "--keep-unfinished", .type = OPTION_BOOL, .offset = FIELD(keep_unfinished),
     .help = "wrong answers that the model did not end count too; right ones never do"},
    {.key = "seed", .flag = "--seed", .type = OPTION_SIZE, .offset = FIELD(seed),
     .help = "another seed chooses other pairs"},
    {.key = "json", .flag = "--json", .type = OPTION_BOOL, .offset = FIELD(json), .help = "print the counts as JSON"},
};
static const char *const dataset_flags[] = {"prompt_field", "completion_field", "messages_field", "tools_field",
                                            "system_field", NULL};
static struct option_section sections[] = {
    {.name = "", .rows = rows, .n_rows = COUNT(rows), .object = &flags, .help = "Flags"},
    GRADE_SECTION(&grade),
    {.name = "dataset", .rows = dataset_options, .n_rows = N_DATASET_OPTIONS, .object = &dataset_section, .help = "Rows",
     .flags_of = dataset_flags},
};

/* A row and its samples, which are items [begin, end) of the batch. */
struct sampled {
    struct dataset_row row;
    size_t begin, end;
};

/* A line of an unpaired answer: the first ones of all prompts come before the second ones, so that neighbours are answers to
 * different prompts; KTO takes the neighbour's for one that has nothing to do with the prompt. */
struct line {
    char *text;
    size_t round, number;
};

enum { BATCH = 1024 }; /* samples that are graded together */

struct pairing {
    struct grader grader;
    struct corpus *corpus;
    struct file_writer out;
    struct sampled *rows;
    size_t n_rows, rows_capacity;
    struct graded *items;
    size_t n_items, items_capacity;
    struct line *lines;
    size_t n_lines, lines_capacity;
    /* counts */
    size_t prompts, samples, right, late, unfinished, repeated, empty, all_right, all_wrong, written, with_pairs;
};

/* ---- reading ---- */

static int check_sample(const json_t *sample, struct error *e)
{
    const json_t *finished = json_object_get(sample, "finished");
    if (!json_is_object(sample))
        return error_set(e, ERR_FORMAT, "not a JSON object");
    if (!json_is_string(json_object_get(sample, "text")))
        return error_set(e, ERR_FORMAT, "\"text\" must be a string");
    if (finished && !json_is_boolean(finished))
        return error_set(e, ERR_FORMAT, "\"finished\" must be true or false");
    return OK;
}

static int add_row(struct pairing *p, const char *line, size_t n, const char *path, size_t number, struct error *e)
{
    const struct dataset_fields fields = dataset_options_fields(&dataset_section);
    void *grown = p->rows;
    mem_grow(&grown, &p->rows_capacity, p->n_rows, sizeof *p->rows);
    p->rows = grown;
    struct sampled *r = &p->rows[p->n_rows++];
    *r = (struct sampled){.begin = p->n_items, .end = p->n_items};
    int code = dataset_prompt_parse(line, n, &fields, &r->row, e);
    if (code)
        return code;
    const json_t *samples = json_object_get(r->row.root, "samples");
    if (!json_is_array(samples))
        return error_set(e, ERR_FORMAT, samples ? "\"samples\" must be a list" : "no \"samples\"; linnet sample makes them");
    for (size_t i = 0; i < json_array_size(samples) && !code; i++) {
        const json_t *sample = json_array_get(samples, i);
        grown = p->items;
        mem_grow(&grown, &p->items_capacity, p->n_items, sizeof *p->items);
        p->items = grown;
        p->items[p->n_items] = (struct graded){.row = r->row.root, .sample = sample, .path = path, .line = number};
        r->end = ++p->n_items;
        if ((code = check_sample(sample, e)))
            error_prefix(e, "sample %zu", i + 1);
    }
    return code;
}

/* ---- choosing ---- */

static const char *text_of(const struct graded *item)
{
    return json_string_value(json_object_get(item->sample, "text"));
}

static bool is_finished(const struct graded *item)
{
    return !json_is_false(json_object_get(item->sample, "finished"));
}

/* Whether it may stand in a row that is written. */
static bool is_of_use(const struct graded *item)
{
    return *text_of(item) && (is_finished(item) || (flags.keep_unfinished && !item->right));
}

static json_t *prompt_json(const struct sampled *r)
{
    json_t *row = json_object();
    if (r->row.prompt)
        json_object_set_new(row, "prompt", json_string(r->row.prompt));
    else
        json_object_set(row, "prompt", r->row.messages);
    return row;
}

static char *finish_row(const struct sampled *r, json_t *row)
{
    if (r->row.tools)
        json_object_set(row, "tools", r->row.tools);
    char *text = json_dumps(row, 0);
    json_decref(row);
    return text;
}

static void write_pairs(struct pairing *p, const struct sampled *r, const struct graded *const *right, size_t n_right,
                        const struct graded *const *wrong, size_t n_wrong)
{
    struct answer_pair *pairs = mem_alloc(flags.pairs_per_prompt, sizeof *pairs);
    size_t n = answer_pairs(n_right, n_wrong, flags.pairs_per_prompt, rng_at(flags.seed, p->prompts), pairs);
    for (size_t i = 0; i < n; i++) {
        json_t *row = prompt_json(r);
        json_object_set(row, "chosen", json_object_get(right[pairs[i].right]->sample, "text"));
        json_object_set(row, "rejected", json_object_get(wrong[pairs[i].wrong]->sample, "text"));
        char *text = finish_row(r, row);
        fprintf(p->out.stream, "%s\n", text);
        free(text);
    }
    p->written += n;
    p->with_pairs += n > 0;
    mem_free(pairs);
}

static void keep_lines(struct pairing *p, const struct sampled *r, const struct graded *const *chosen, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        json_t *row = prompt_json(r);
        json_object_set(row, "completion", json_object_get(chosen[i]->sample, "text"));
        json_object_set_new(row, "label", json_boolean(chosen[i]->right));
        void *grown = p->lines;
        mem_grow(&grown, &p->lines_capacity, p->n_lines, sizeof *p->lines);
        p->lines = grown;
        p->lines[p->n_lines] = (struct line){.text = finish_row(r, row), .round = i, .number = p->n_lines};
        p->n_lines++;
    }
    p->written += n;
    p->with_pairs += n > 0;
}

static void count_samples(struct pairing *p, const struct sampled *r)
{
    size_t n = r->end - r->begin, n_right = 0;
    for (size_t i = r->begin; i < r->end; i++) {
        n_right += p->items[i].right;
        p->late += p->items[i].late;
        p->unfinished += !is_finished(&p->items[i]);
        p->empty += !*text_of(&p->items[i]);
    }
    p->samples += n;
    p->right += n_right;
    p->all_right += n > 0 && n_right == n;
    p->all_wrong += n > 0 && n_right == 0;
}

/* Sorts a row's samples into right and wrong ones, each text once, and writes what they make. */
static void choose(struct pairing *p, const struct sampled *r)
{
    size_t n = r->end - r->begin, counts[2] = {0}, n_all = 0;
    const struct graded **sides[2], **all = mem_alloc(n, sizeof *all);
    json_t *seen = json_object();
    sides[0] = mem_alloc(n, sizeof **sides);
    sides[1] = mem_alloc(n, sizeof **sides);
    count_samples(p, r);
    for (size_t i = r->begin; i < r->end; i++) {
        const struct graded *item = &p->items[i];
        if (!is_of_use(item))
            continue;
        if (json_object_get(seen, text_of(item))) {
            p->repeated++;
            continue;
        }
        json_object_set_new(seen, text_of(item), json_true());
        sides[item->right][counts[item->right]++] = item;
        all[n_all++] = item;
    }
    if (flags.unpaired)
        keep_lines(p, r, all, n_all);
    else
        write_pairs(p, r, sides[true], counts[true], sides[false], counts[false]);
    p->prompts++;
    json_decref(seen);
    mem_free(all);
    mem_free(sides[0]);
    mem_free(sides[1]);
}

/* Grades the rows that were read, and makes of them what they give. */
static int finish_batch(struct pairing *p, struct error *e)
{
    int code = grader_grade(&p->grader, p->items, p->n_items, e);
    for (size_t i = 0; i < p->n_rows; i++) {
        if (!code)
            choose(p, &p->rows[i]);
        dataset_row_free(&p->rows[i].row);
    }
    p->n_rows = p->n_items = 0;
    return code;
}

/* ---- the file ---- */

static int read_all(struct pairing *p, struct progress *progress, struct error *e)
{
    enum { CHUNK = 1 << 20 };
    struct corpus_chunk chunk = {0};
    int code = OK;
    while (!code && !(code = corpus_next(p->corpus, CHUNK, &chunk, e)) && chunk.n > 0)
        for (size_t i = 0; i < chunk.n && !code; i++) {
            const char *path = corpus_path(p->corpus, chunk.places[i].file), *line = chunk.text.data + chunk.offsets[i];
            if (chunk.places[i].text)
                code = error_set(e, ERR_FORMAT, "%s: a text has no answers; a .jsonl file has rows with them", path);
            else if ((code = add_row(p, line, chunk.offsets[i + 1] - chunk.offsets[i], path, chunk.places[i].line, e)))
                error_prefix(e, "%s:%zu", path, chunk.places[i].line);
            if (!code && p->n_items >= BATCH)
                code = finish_batch(p, e);
            if (!code && interrupt_requested())
                code = error_set(e, ERR_INTERRUPTED, "interrupted");
            progress_update(progress, (double)corpus_bytes_read(p->corpus), "");
        }
    corpus_chunk_free(&chunk);
    return code ? code : finish_batch(p, e);
}

static int by_round(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    if (x->round != y->round)
        return x->round < y->round ? -1 : 1;
    return x->number < y->number ? -1 : 1;
}

static int check_out(const struct pairing *p, struct error *e)
{
    int code = OK;
    if (!path_has_suffix(flags.out, ".jsonl"))
        return error_set(e, ERR_USAGE, "--out %s: the name must end in .jsonl", flags.out);
    for (size_t i = 0; i < corpus_counts(p->corpus).files && !code; i++)
        code = check_out_is_not(flags.out, corpus_path(p->corpus, i), e);
    return code ? code : file_check_target(flags.out, e);
}

static void say(const struct pairing *p)
{
    double share = p->samples ? (double)p->right / (double)p->samples : 0;
    if (flags.json)
        print_json_line(json_pack("{s:I, s:I, s:I, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "prompts",
                                  (json_int_t)p->prompts, "samples", (json_int_t)p->samples, "right", (json_int_t)p->right,
                                  "share_right", share, "all_right", (json_int_t)p->all_right, "all_wrong",
                                  (json_int_t)p->all_wrong, "unfinished", (json_int_t)p->unfinished, "late",
                                  (json_int_t)p->late, "repeated", (json_int_t)p->repeated, "empty", (json_int_t)p->empty,
                                  "prompts_used", (json_int_t)p->with_pairs, flags.unpaired ? "rows" : "pairs",
                                  (json_int_t)p->written));
    log_info("prompts: %zu; all answers right in %zu, all wrong in %zu%s", p->prompts, p->all_right, p->all_wrong,
             flags.unpaired ? "" : ": no pair from these");
    log_info("answers: %zu, %.1f%% right; %zu unfinished, %zu empty, %zu repeated", p->samples, 100 * share, p->unfinished,
             p->empty, p->repeated);
    if (p->late)
        log_warn("%zu answers took --command more than %g seconds, which counts as wrong", p->late, grade.timeout);
    log_info("%s: %zu %s from %zu prompts", flags.out, p->written, flags.unpaired ? "rows" : "pairs", p->with_pairs);
}

static int make_pairs(struct pairing *p, struct error *e)
{
    struct progress progress;
    progress_start(&progress, "pairs", (double)corpus_bytes_total(p->corpus));
    interrupt_install();
    int code = read_all(p, &progress, e);
    interrupt_restore();
    if (code)
        return code;
    progress_finish(&progress, "");
    if (p->n_lines)
        qsort(p->lines, p->n_lines, sizeof *p->lines, by_round);
    for (size_t i = 0; i < p->n_lines; i++)
        fprintf(p->out.stream, "%s\n", p->lines[i].text);
    if (p->written == 0)
        return error_set(e, ERR_FORMAT, "nothing to write: of %zu prompts all answers are right in %zu and all wrong in %zu; "
                         "%zu of %zu answers are unfinished", p->prompts, p->all_right, p->all_wrong, p->unfinished,
                         p->samples);
    code = file_writer_commit(&p->out, e);
    if (!code)
        say(p);
    return code;
}

static void pairing_free(struct pairing *p)
{
    file_writer_abandon(&p->out);
    grader_close(&p->grader);
    corpus_close(p->corpus);
    for (size_t i = 0; i < p->n_rows; i++)
        dataset_row_free(&p->rows[i].row);
    for (size_t i = 0; i < p->n_lines; i++)
        free(p->lines[i].text);
    mem_free(p->lines);
    mem_free(p->rows);
    mem_free(p->items);
}

static int run(const struct command_input *in, struct error *e)
{
    struct pairing p = {0};
    int code = option_require(in->options, "", "data", e);
    if (!code)
        code = option_require(in->options, "", "out", e);
    if (!code && flags.unpaired && option_given(in->options, "", "pairs_per_prompt"))
        code = error_set(e, ERR_USAGE, "--pairs-per-prompt: with --unpaired there are no pairs, every answer is written");
    if (!code)
        code = grader_open(&p.grader, &grade, in->options, (size_t)in->threads, e);
    if (!code)
        code = corpus_open_rows((const char *const *)flags.data.items, flags.data.count, &p.corpus, e);
    if (!code)
        code = check_out(&p, e);
    if (!code)
        code = file_writer_open(&p.out, flags.out, e);
    if (!code)
        code = make_pairs(&p, e);
    pairing_free(&p);
    return code;
}

const struct command command_data_pairs = {
    .name = "data pairs",
    .group = "Align",
    .summary = "rows of preferences from right and wrong answers",
    .usage = "--data PATH... --out FILE [--check CHECK] [FLAGS]",
    .notes =
        "Each pair is {\"prompt\": ..., \"chosen\": \"...\", \"rejected\": \"...\"}: a right and a\n"
        "wrong answer to one prompt, no two of its pairs the same and every answer used as\n"
        "often as any other. Answers that the model did not end are in none, empty ones\n"
        "neither, and equal ones count as one. docs/sampling.md is a guide.\n"
        "\n"
        "Examples:\n"
        "  linnet data pairs --data samples.jsonl --out pairs.jsonl --check exact\n"
        "  linnet data pairs --data s.jsonl --out p.jsonl --check command --command ./judge\n",
    .sections = sections,
    .n_sections = COUNT(sections),
    .run = run,
};
