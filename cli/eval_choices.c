/* linnet eval choices */
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "cli/command.h"
#include "cli/inference.h"
#include "cli/shared.h"
#include "data/question.h"
#include "infer/generate.h"
#include "infer/likelihood.h"
#include "kernels/gemm.h"

#include <math.h>
#include <string.h>
#include <sys/stat.h>

static const char *const style_names[] = {"auto", "plain", "arc", "hellaswag", NULL};

static struct {
    char *model, *data, *details;
    struct option_strings adapters;
    size_t limit, max_seq_length;
    int style; /* enum question_style */
    bool json, exact;
} flags;

#define FIELD(member) offsetof(__typeof__(flags), member)

static const struct option rows[] = {
    {.key = "model", .flag = "--model", .type = OPTION_STRING, .offset = FIELD(model),
     .placeholder = "PATH",
     .help = "a run directory, a checkpoint, a Hugging Face directory, or a GGUF file"},
    ADAPTER_ROW(FIELD(adapters)),
    EXACT_ROW(FIELD(exact)),
    {.key = "data", .flag = "--data", .type = OPTION_STRING, .offset = FIELD(data),
     .placeholder = "FILE", .help = ".jsonl file, a question a line"},
    {.key = "style", .flag = "--style", .type = OPTION_ENUM, .offset = FIELD(style),
     .choices = style_names,
     .help = "how a line becomes a prompt: plain (the question as it is), arc (Question: ... "
             "Answer:), hellaswag (activity and both parts of the context, marks taken out), auto "
             "(by the members a line has)"},
    {.key = "limit", .flag = "--limit", .type = OPTION_SIZE, .offset = FIELD(limit), .minimum = 1,
     .maximum = 1e15, .help = "only so many questions, the first ones"},
    {.key = "max_seq_length", .flag = "--max-seq-length", .type = OPTION_SIZE,
     .offset = FIELD(max_seq_length), .maximum = 1 << 24,
     .help = "tokens of question and choice; longer ones lose their beginning (default: the model's "
             "context)"},
    {.key = "details", .flag = "--details", .type = OPTION_STRING, .offset = FIELD(details),
     .placeholder = "FILE", .help = "write the numbers of every choice there, a line a question"},
    {.key = "json", .flag = "--json", .type = OPTION_BOOL, .offset = FIELD(json),
     .help = "print one JSON object"},
};
static struct option_section sections[] = {
    {.name = "", .rows = rows, .n_rows = COUNT(rows), .object = &flags, .help = "Flags"},
};

/* By the sum of ln p, by that for each character, for each byte of the choice. */
enum { BY_SUM, BY_CHARACTER, BY_BYTE, MEASURES };
static const char *const measure_names[MEASURES] = {"acc", "acc_norm", "acc_bytes"};

struct pass {
    struct likelihood likelihood;
    const struct tokenizer *t;
    struct tokens context, whole;
    struct buffer text;
    size_t line, n_questions, n_truncated, n_tokens; /* truncated: choices; tokens: of choices */
    size_t right[MEASURES];
    struct file_writer details; /* stream NULL: not wanted */
};

static size_t count_characters(const char *text)
{
    size_t n = 0, left = strlen(text);
    for (size_t size; left; text += size, left -= size, n++) {
        uint32_t code;
        size = utf8_decode(text, left, &code);
        size = size ? size : 1;
    }
    return n;
}

/* Bytes of white space that end the text; they are encoded together with what follows. */
static size_t trailing_space(const char *text, size_t n)
{
    size_t end = n;
    while (end > 0 && text[end - 1] && strchr(" \t\n\v\f\r", text[end - 1]))
        end--;
    return n - end;
}

/* Context and choice as tokens: p->context holds those before the choice, p->whole all. The choice
 * is encoded together with the context, with one space between them unless it brings its own, and
 * begins where the tokens of the context alone would end. */
static int encode(struct pass *p, const struct question *q, size_t choice, struct error *e)
{
    size_t n = strlen(q->context), n_before = n - trailing_space(q->context, n);
    bool space = q->choices[choice][0] != ' ';
    p->context.count = p->whole.count = 0;
    buffer_clear(&p->text);
    buffer_string(&p->text, q->context);
    buffer_string(&p->text, space ? " " : "");
    buffer_string(&p->text, q->choices[choice]);
    int code = prompt_tokens(p->t, p->text.data, n_before, false, &p->context, e);
    if (code)
        return code;
    size_t begin = p->context.count;
    if (n_before == 0) { /* after BOS, or EOS where there is none, and not split anywhere else */
        for (size_t i = 0; i < begin; i++)
            tokens_push(&p->whole, p->context.ids[i]);
        tokenizer_encode(p->t, p->text.data, p->text.size, false, &p->whole);
    } else {
        code = prompt_tokens(p->t, p->text.data, p->text.size, false, &p->whole, e);
    }
    if (!code && p->whole.count <= begin)
        code = error_set(e, ERR_FORMAT, "choice %zu makes no token after the context", choice);
    for (size_t i = 0; i < begin && !code; i++)
        p->whole.ids[i] = p->context.ids[i];
    return code;
}

/* The first of the largest. */
static size_t argmax(const double *values, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (values[i] > values[best])
            best = i;
    return best;
}

static void write_details(struct pass *p, const struct question *q, const double *sums,
                          const size_t *n_tokens, const size_t chosen[MEASURES])
{
    json_t *choices = json_array();
    for (size_t i = 0; i < q->n_choices; i++)
        json_array_append_new(
            choices, json_pack("{s:f, s:I, s:I, s:I}", "logprob", sums[i], "tokens",
                               (json_int_t)n_tokens[i], "characters",
                               (json_int_t)count_characters(q->choices[i]), "bytes",
                               (json_int_t)strlen(q->choices[i])));
    json_t *root = json_pack("{s:I, s:I}", "line", (json_int_t)p->line, "answer",
                             (json_int_t)q->answer);
    for (int k = 0; k < MEASURES; k++)
        json_object_set_new(root, measure_names[k], json_boolean(chosen[k] == q->answer));
    json_object_set_new(root, "choices", choices);
    json_dumpf(root, p->details.stream, JSON_ENCODE_ANY);
    fputc('\n', p->details.stream);
    json_decref(root);
}

static int score_question(struct pass *p, const struct question *q, struct error *e)
{
    double sums[QUESTION_MOST_CHOICES], normed[QUESTION_MOST_CHOICES];
    size_t n_tokens[QUESTION_MOST_CHOICES], chosen[MEASURES];
    for (size_t i = 0; i < q->n_choices; i++) {
        int code = encode(p, q, i, e);
        if (code)
            return code;
        n_tokens[i] = p->whole.count - p->context.count;
        code =
            likelihood_of(&p->likelihood, p->whole.ids, p->whole.count, n_tokens[i], &sums[i], e);
        if (code)
            return code;
        p->n_tokens += n_tokens[i];
        p->n_truncated += p->whole.count - 1 > p->likelihood.capacity;
    }
    chosen[BY_SUM] = argmax(sums, q->n_choices);
    for (size_t i = 0; i < q->n_choices; i++)
        normed[i] = sums[i] / (double)count_characters(q->choices[i]);
    chosen[BY_CHARACTER] = argmax(normed, q->n_choices);
    for (size_t i = 0; i < q->n_choices; i++)
        normed[i] = sums[i] / (double)strlen(q->choices[i]);
    chosen[BY_BYTE] = argmax(normed, q->n_choices);
    for (int k = 0; k < MEASURES; k++)
        p->right[k] += chosen[k] == q->answer;
    p->n_questions++;
    if (p->details.stream)
        write_details(p, q, sums, n_tokens, chosen);
    return OK;
}

static int score_file(struct pass *p, FILE *f, struct progress *progress, struct error *e)
{
    struct buffer line = {0};
    size_t read = 0;
    int code = OK;
    while (!code && (!flags.limit || p->n_questions < flags.limit) && read_line(f, &line)) {
        p->line++;
        read += line.size + 1;
        if (trailing_space(line.data, line.size) == line.size)
            continue;
        struct question q;
        code = question_parse(line.data, line.size, (enum question_style)flags.style, &q, e);
        if (!code)
            code = score_question(p, &q, e);
        if (code)
            error_prefix(e, "%s: line %zu", flags.data, p->line);
        question_free(&q);
        progress_update(progress, (double)read, "");
    }
    if (!code && ferror(f))
        code = error_set_errno(e, "%s", flags.data);
    if (!code && p->n_questions == 0)
        code = error_set(e, ERR_FORMAT, "%s: holds no question", flags.data);
    buffer_free(&line);
    return code;
}

/* Of a mean of n values that are 0 or 1, from the sample itself. NAN for a single one. */
static double standard_error(double mean, size_t n)
{
    return n > 1 ? sqrt(mean * (1 - mean) / (double)(n - 1)) : NAN;
}

static void print_result(const struct pass *p)
{
    json_t *root = json_object();
    for (int k = 0; k < MEASURES; k++) {
        double mean = (double)p->right[k] / (double)p->n_questions;
        double error = standard_error(mean, p->n_questions);
        char *name = mem_printf("%s_stderr", measure_names[k]);
        json_object_set_new(root, measure_names[k], json_real(mean));
        json_object_set_new(root, name, isnan(error) ? json_null() : json_real(error));
        mem_free(name);
        if (!flags.json && isnan(error))
            printf("%-10s %.4f\n", measure_names[k], mean);
        else if (!flags.json)
            printf("%-10s %.4f +- %.4f\n", measure_names[k], mean, error);
    }
    json_object_set_new(root, "questions", json_integer((json_int_t)p->n_questions));
    json_object_set_new(root, "truncated", json_integer((json_int_t)p->n_truncated));
    json_object_set_new(root, "tokens", json_integer((json_int_t)p->n_tokens));
    if (flags.json)
        print_json_line(json_incref(root));
    else
        printf("questions  %zu\n", p->n_questions);
    json_decref(root);
}

static int choose_capacity(const struct model *m, size_t *capacity, struct error *e)
{
    *capacity = flags.max_seq_length ? flags.max_seq_length : m->config.max_position_embeddings;
    if (*capacity == 0)
        return error_set(e, ERR_USAGE, "the model says nothing about its context length; give one "
                                       "with --max-seq-length");
    return OK;
}

static int score_model(struct model *m, const struct tokenizer *t, FILE *f, struct error *e)
{
    struct pass p = {.t = t};
    struct progress progress;
    uint64_t size = 0;
    size_t capacity = 0;
    int code = choose_capacity(m, &capacity, e);
    if (!code)
        code = file_size(flags.data, &size, e);
    if (!code && flags.details)
        code = file_writer_open(&p.details, flags.details, e);
    if (!code) {
        likelihood_init(&p.likelihood, m, capacity);
        progress_start(&progress, "choices", (double)size);
        code = score_file(&p, f, &progress, e);
    }
    if (!code && flags.details)
        code = file_writer_commit(&p.details, e);
    if (!code) {
        progress_finish(&progress, "");
        if (p.n_truncated)
            log_warn("%zu choices were too long for the context of %zu tokens: the beginning of "
                     "their questions was cut off", p.n_truncated, capacity);
        print_result(&p);
    }
    file_writer_abandon(&p.details);
    likelihood_free(&p.likelihood);
    tokens_free(&p.context);
    tokens_free(&p.whole);
    buffer_free(&p.text);
    return code;
}

/* The questions must not be replaced by what is said about them. */
static int check_details(struct error *e)
{
    struct stat data, details;
    if (stat(flags.data, &data) == 0 && stat(flags.details, &details) == 0 &&
        data.st_dev == details.st_dev && data.st_ino == details.st_ino)
        return error_set(e, ERR_USAGE, "--details %s: is the file with the questions",
                         flags.details);
    return file_check_target(flags.details, e);
}

static int run(const struct command_input *in, struct error *e)
{
    struct inference model;
    FILE *f = NULL;
    kernels_set_threads(in->threads);
    int code = option_require(in->options, "", "model", e);
    if (!code)
        code = option_require(in->options, "", "data", e);
    if (!code && file_is_directory(flags.data))
        code = error_set(e, ERR_USAGE, "--data %s: a directory; name a .jsonl file", flags.data);
    if (!code && !(f = fopen(flags.data, "rbe")))
        code = error_set_errno(e, "%s", flags.data);
    if (!code && flags.details) /* before a large model is read in vain */
        code = check_details(e);
    if (!code)
        code = inference_load(flags.model, &flags.adapters, flags.exact, &model, e);
    if (!code) {
        code = score_model(&model.model, model.tokenizer, f, e);
        inference_free(&model);
    }
    if (f)
        fclose(f);
    return code;
}

const struct command command_eval_choices = {
    .name = "eval choices",
    .group = "Models",
    .summary = "multiple-choice questions, by the likelihood of each answer",
    .usage = "--model PATH --data FILE [FLAGS]",
    .notes =
        "The answer counts whose text is likeliest after the question: as it is (acc), for each of\n"
        "its characters (acc_norm) or for each of its bytes (acc_bytes), as lm-evaluation-harness\n"
        "has it, without examples in the prompt. A line is {\"question\": ..., \"choices\": [...],\n"
        "\"answer\": place from 0}, or as in the files of HellaSwag and ARC. Question and choice are\n"
        "joined by a space.\n"
        "\n"
        "Examples:\n"
        "  linnet eval choices --model model.gguf --data arc-easy.jsonl\n"
        "  linnet eval choices --model runs/stories --data hellaswag.jsonl --limit 500 --json\n",
    .sections = sections,
    .n_sections = COUNT(sections),
    .run = run,
};
