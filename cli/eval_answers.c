/* linnet eval answers: the share of questions that a model answers rightly. */
#include "base/file.h"
#include "base/memory.h"
#include "cli/answer_grade.h"
#include "cli/answers.h"
#include "cli/command.h"
#include "cli/shared.h"
#include "kernels/gemm.h"
#include "train/interrupt.h"

#include <math.h>
#include <stdlib.h>

static struct {
    char *out;
    bool json;
} flags;
static struct answers_flags answers_flags;
static struct dataset_options dataset_section;
static struct grade_flags grade;

#define FIELD(member) offsetof(__typeof__(flags), member)

static const struct option rows[] = {
    {.key = "out", .flag = "--out", .letter = 'o', .type = OPTION_STRING, .offset = FIELD(out), .placeholder = "FILE",
     .help = "keep the rows with their graded answers there: .jsonl, as linnet sample writes it"},
    {.key = "json", .flag = "--json", .type = OPTION_BOOL, .offset = FIELD(json), .help = "print one JSON object"},
};
static struct option_section sections[] = {
    {.name = "", .rows = rows, .n_rows = COUNT(rows), .object = &flags, .help = "Flags"},
    GRADE_SECTION(&grade),
    ANSWERS_SECTIONS(&answers_flags, &dataset_section),
};

struct evaluation {
    struct grader grader;
    struct answers answers;
    struct file_writer out; /* stream NULL: not wanted */
    size_t right, late, finished, tokens;
};

static int check_flags(struct error *e)
{
    if (grade.check == GRADE_GRADED)
        return error_set(e, ERR_USAGE, "--check graded: answers that are just written have no grades");
    if (flags.out && !path_has_suffix(flags.out, ".jsonl"))
        return error_set(e, ERR_USAGE, "--out %s: the name must end in .jsonl", flags.out);
    return flags.out ? file_check_target(flags.out, e) : OK;
}

/* Grades one sample of each of n rows from `first` on. */
static int grade_rows_of(struct evaluation *v, size_t first, size_t n, json_t *const *samples, struct graded *items,
                         struct error *e)
{
    int code = OK;
    for (size_t i = 0; i < n && !code; i++) {
        const struct asked *r = &v->answers.rows[first + i];
        json_t *row = NULL;
        code = json_parse_line(r->line, r->n, &row, e); /* which went well before */
        items[i] = (struct graded){.row = row, .sample = json_array_get(samples[i], 0),
                                   .path = v->answers.files[r->file], .line = r->number};
    }
    if (!code)
        code = grader_grade(&v->grader, items, n, e);
    for (size_t i = 0; i < n; i++)
        json_decref((json_t *)items[i].row);
    return code;
}

/* What a row lacks to be graded is said before the model has answered for hours. A command is not asked. */
static int check_rows(struct evaluation *v, struct error *e)
{
    json_t *sample = json_pack("[{s:s}]", "text", "");
    int code = OK;
    for (size_t i = 0; i < v->answers.n_rows && !code && grade.check != GRADE_COMMAND; i++) {
        struct graded item;
        code = grade_rows_of(v, i, 1, &sample, &item, e);
    }
    json_decref(sample);
    return code;
}

static void count(struct evaluation *v, const struct graded *item)
{
    v->right += item->right;
    v->late += item->late;
    v->finished += json_is_true(json_object_get(item->sample, "finished"));
    v->tokens += (size_t)json_integer_value(json_object_get(item->sample, "tokens"));
}

static int answer_rows(struct evaluation *v, size_t first, size_t n, struct error *e)
{
    json_t **samples = mem_zero(n, sizeof *samples);
    struct graded *items = mem_zero(n, sizeof *items);
    struct buffer text = {0};
    int code = answers_write(&v->answers, first, n, 1, 0, samples, e);
    if (!code)
        code = grade_rows_of(v, first, n, samples, items, e);
    for (size_t i = 0; i < n && !code; i++) {
        count(v, &items[i]);
        json_object_set_new((json_t *)items[i].sample, "right", json_boolean(items[i].right));
        answers_append_row(&v->answers.rows[first + i], json_incref(samples[i]), &text);
    }
    if (v->out.stream && text.size)
        fwrite(text.data, 1, text.size, v->out.stream); /* the commit says what went wrong */
    for (size_t i = 0; i < n; i++)
        json_decref(samples[i]);
    buffer_free(&text);
    mem_free(items);
    mem_free(samples);
    return code;
}

/* Wilson's interval of a share of n (Journal of the American Statistical Association 22, 1927): the shares that are no more
 * than z standard deviations of theirs from the one seen. */
static void wilson(double share, double n, double *low, double *high)
{
    const double z = 1.959963984540054; /* 95% of a normal distribution */
    double middle = share + z * z / (2 * n), width = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n));
    *low = fmax(0, (middle - width) / (1 + z * z / n));
    *high = fmin(1, (middle + width) / (1 + z * z / n));
}

static void print_result(const struct evaluation *v)
{
    size_t n = v->answers.n_rows;
    double share = (double)v->right / (double)n, low, high;
    wilson(share, (double)n, &low, &high);
    if (v->late)
        log_warn("%zu answers took --command more than %g seconds, which counts as wrong", v->late, grade.timeout);
    if (flags.json) {
        print_json_line(json_pack("{s:f, s:f, s:f, s:I, s:I, s:I, s:I, s:I}", "share_right", share, "low", low, "high", high,
                                  "right", (json_int_t)v->right, "answers", (json_int_t)n, "finished",
                                  (json_int_t)v->finished, "late", (json_int_t)v->late, "tokens", (json_int_t)v->tokens));
        return;
    }
    printf("right     %.4f (95%%: %.4f to %.4f)\n", share, low, high);
    printf("answers   %zu, %zu of them right\n", n, v->right);
    printf("finished  %zu\n", v->finished);
}

static int evaluate(struct evaluation *v, struct error *e)
{
    struct answers *a = &v->answers;
    size_t chunk = answers_chunk(a, 1);
    int code = flags.out ? file_writer_open(&v->out, flags.out, e) : OK;
    answers_progress_start(a, 0);
    for (size_t first = 0; first < a->n_rows && !code; first += chunk)
        code = answer_rows(v, first, a->n_rows - first < chunk ? a->n_rows - first : chunk, e);
    if (!code)
        answers_progress_finish(a);
    if (!code && flags.out)
        code = file_writer_commit(&v->out, e);
    if (!code)
        print_result(v);
    return code;
}

static int run(const struct command_input *in, struct error *e)
{
    struct evaluation v = {0};
    struct sampler_options greedy = sampler_defaults();
    greedy.temperature = 0;
    kernels_set_threads(in->threads);
    int code = check_flags(e);
    if (!code)
        code = grader_open(&v.grader, &grade, in->options, (size_t)in->threads, e);
    if (!code)
        code = answers_open(&v.answers, in->options, &answers_flags, &dataset_section, &greedy, e);
    if (!code && flags.out)
        code = answers_check_out(&v.answers, flags.out, e);
    if (!code)
        code = check_rows(&v, e);
    if (!code) {
        interrupt_install();
        code = evaluate(&v, e);
        interrupt_restore();
    }
    file_writer_abandon(&v.out);
    answers_close(&v.answers);
    grader_close(&v.grader);
    return code;
}

const struct command command_eval_answers = {
    .name = "eval answers",
    .group = "Models",
    .summary = "the share of questions that a model answers rightly",
    .usage = "--model PATH --data PATH... [--check CHECK] [FLAGS]",
    .notes =
        "The model answers each row once, with the likeliest token each time, as linnet\n"
        "sample --greedy does; the answers are checked as linnet data pairs checks them. The\n"
        "interval is Wilson's. docs/sampling.md is a guide.\n"
        "\n"
        "Examples:\n"
        "  linnet eval answers --model runs/sft --data test.jsonl\n"
        "  linnet eval answers --model m.gguf --data t.jsonl --final 'answer is ([0-9]+)'\n",
    .sections = sections,
    .n_sections = COUNT(sections),
    .run = run,
};
