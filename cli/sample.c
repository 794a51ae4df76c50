/* linnet sample: several answers to each row of a file.
 *
 * What is there so far lies in OUT.partial: a line with a hash of everything that decides what is written, then the finished
 * rows. Rows are answered in calls that begin at fixed rows, each on its own, so that a run that goes on computes what the
 * one that was stopped would have. */
#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "cli/answers.h"
#include "cli/command.h"
#include "cli/sampling.h"
#include "cli/shared.h"
#include "kernels/gemm.h"
#include "train/interrupt.h"

#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static struct {
    char *out;
    size_t answers;
    bool greedy, resume;
} flags;
static struct answers_flags answers_flags;
static struct dataset_options dataset_section;
static struct sampler_options sampling;

#define FIELD(member) offsetof(__typeof__(flags), member)

static const struct option rows[] = {
    {.key = "out", .flag = "--out", .letter = 'o', .type = OPTION_STRING, .offset = FIELD(out), .placeholder = "FILE",
     .help = "where the rows go, each with its answers as a last member \"samples\": .jsonl"},
    {.key = "answers", .flag = "--answers", .type = OPTION_SIZE, .offset = FIELD(answers), .default_value = "8",
     .minimum = 1, .maximum = 65536, .help = "answers to each row (with --greedy 1)"},
    {.key = "greedy", .flag = "--greedy", .type = OPTION_BOOL, .offset = FIELD(greedy),
     .help = "one answer, of the likeliest token each: --temperature 0"},
    {.key = "resume", .flag = "--resume", .type = OPTION_BOOL, .offset = FIELD(resume),
     .help = "go on where a run with the same flags was stopped"},
};
static struct option_section sections[] = {
    {.name = "", .rows = rows, .n_rows = COUNT(rows), .object = &flags, .help = "Flags"},
    ANSWERS_SECTIONS(&answers_flags, &dataset_section),
    SAMPLING_SECTION(&sampling),
};

static int settle(const struct options *all, struct error *e)
{
    int code = option_require(all, "", "out", e);
    if (code)
        return code;
    if (flags.greedy && option_given(all, "", "temperature") && sampling.temperature > 0)
        return error_set(e, ERR_USAGE, "--greedy and --temperature: one of them, not both");
    if (flags.greedy)
        sampling.temperature = 0;
    if (sampling.temperature == 0 && !option_given(all, "", "answers"))
        flags.answers = 1;
    if (sampling.temperature == 0 && flags.answers > 1)
        return error_set(e, ERR_USAGE, "--answers %zu: without chance all of them would be the same", flags.answers);
    if (!path_has_suffix(flags.out, ".jsonl"))
        return error_set(e, ERR_USAGE, "--out %s: the name must end in .jsonl", flags.out);
    return OK;
}

/* ---- the file so far ---- */

struct partial {
    char *path;
    FILE *stream;
    off_t begin;    /* of the first row */
    size_t n_rows;  /* that are there */
};

static void header_of(const struct answers *a, char text[128])
{
    uint64_t h = hash64_combine(hash64_combine(a->settings, flags.answers), sampling.seed);
    snprintf(text, 128, "{\"linnet sample\": \"%016" PRIx64 "\"}\n", h);
}

/* Keeps whole calls of rows, and cuts off what a killed run left behind them. */
static int keep_rows(struct partial *p, const struct answers *a, struct error *e)
{
    char expected[128];
    struct buffer line = {0};
    size_t chunk = answers_chunk(a, flags.answers), n = 0;
    header_of(a, expected);
    bool same = read_line(p->stream, &line);
    buffer_byte(&line, '\n');
    same = same && strcmp(line.data, expected) == 0;
    off_t keep = p->begin = (off_t)strlen(expected);
    int code = same ? OK
                    : error_set(e, ERR_USAGE, "%s is of a run with another model, other rows or flags; remove it to start "
                                "anew", p->path);
    while (!code && n < a->n_rows && read_line(p->stream, &line) && !feof(p->stream)) {
        n++;
        if (n % chunk == 0 || n == a->n_rows) {
            p->n_rows = n;
            keep = ftello(p->stream);
        }
    }
    buffer_free(&line);
    if (!code && (ferror(p->stream) || ftruncate(fileno(p->stream), keep) != 0 || fseeko(p->stream, keep, SEEK_SET) != 0))
        code = error_set_errno(e, "%s", p->path);
    return code;
}

static int partial_open(struct partial *p, const struct answers *a, struct error *e)
{
    p->path = mem_printf("%s.partial", flags.out);
    bool there = file_exists(p->path);
    if (there && !flags.resume)
        return error_set(e, ERR_USAGE, "%s: a run that was stopped left it; --resume goes on from there, or remove it",
                         p->path);
    p->stream = fopen(p->path, there ? "r+be" : "w+be");
    if (!p->stream)
        return error_set_errno(e, "%s", p->path);
    if (flock(fileno(p->stream), LOCK_EX | LOCK_NB) != 0)
        return error_set(e, ERR_IO, "%s: another run is writing it", p->path);
    if (there && (fseeko(p->stream, 0, SEEK_END) != 0 || ftello(p->stream) > 0)) {
        rewind(p->stream);
        return keep_rows(p, a, e);
    }
    char header[128];
    header_of(a, header);
    fputs(header, p->stream);
    p->begin = (off_t)strlen(header);
    return fflush(p->stream) == 0 ? OK : error_set_errno(e, "%s", p->path);
}

/* All rows are there: they become the file that was asked for. */
static int partial_finish(struct partial *p, struct error *e)
{
    struct file_writer w = {0};
    char block[1 << 16];
    size_t n;
    int code = file_writer_open(&w, flags.out, e);
    if (!code && fseeko(p->stream, p->begin, SEEK_SET) != 0)
        code = error_set_errno(e, "%s", p->path);
    while (!code && (n = fread(block, 1, sizeof block, p->stream)) > 0)
        fwrite(block, 1, n, w.stream);
    if (!code && ferror(p->stream))
        code = error_set_errno(e, "%s", p->path);
    if (!code)
        code = file_writer_commit(&w, e);
    file_writer_abandon(&w);
    if (!code && unlink(p->path) != 0)
        code = error_set_errno(e, "%s", p->path);
    return code;
}

static void partial_close(struct partial *p)
{
    if (p->stream)
        fclose(p->stream);
    mem_free(p->path);
}

/* ---- the run ---- */

/* The answers to n rows, written at once. */
static int answer_rows(struct answers *a, struct partial *p, size_t n, size_t *n_finished, struct error *e)
{
    json_t **samples = mem_zero(n, sizeof *samples);
    struct buffer text = {0};
    int code = answers_write(a, p->n_rows, n, flags.answers, sampling.seed, samples, e);
    for (size_t i = 0; i < n && !code; i++) {
        for (size_t k = 0; k < flags.answers; k++)
            *n_finished += json_is_true(json_object_get(json_array_get(samples[i], k), "finished"));
        answers_append_row(&a->rows[p->n_rows + i], samples[i], &text);
    }
    if (!code && (fwrite(text.data, 1, text.size, p->stream) != text.size || fflush(p->stream) != 0))
        code = error_set_errno(e, "%s", p->path);
    if (!code)
        p->n_rows += n;
    buffer_free(&text);
    mem_free(samples);
    return code;
}

static int sample(struct answers *a, struct partial *p, struct error *e)
{
    size_t chunk = answers_chunk(a, flags.answers), n_finished = 0, first = p->n_rows;
    int code = OK;
    if (first)
        log_info("goes on at row %zu of %zu", first + 1, a->n_rows);
    answers_progress_start(a, first);
    while (!code && p->n_rows < a->n_rows) {
        size_t left = a->n_rows - p->n_rows;
        code = answer_rows(a, p, left < chunk ? left : chunk, &n_finished, e);
    }
    if (code == ERR_INTERRUPTED)
        return error_set(e, code, "interrupted; --resume goes on at row %zu of %zu", p->n_rows + 1, a->n_rows);
    if (code)
        return code;
    answers_progress_finish(a);
    size_t n = (a->n_rows - first) * flags.answers;
    code = partial_finish(p, e);
    if (!code && n)
        log_info("%s: %zu rows, %zu answers, %.1f%% of them finished", flags.out, a->n_rows, a->n_rows * flags.answers,
                 100 * (double)n_finished / (double)n);
    return code;
}

static int run(const struct command_input *in, struct error *e)
{
    struct answers a = {0};
    struct partial p = {0};
    kernels_set_threads(in->threads);
    int code = settle(in->options, e);
    if (!code)
        code = file_check_target(flags.out, e);
    if (!code)
        code = answers_open(&a, in->options, &answers_flags, &dataset_section, &sampling, e);
    if (!code)
        code = answers_check_out(&a, flags.out, e);
    if (!code)
        code = partial_open(&p, &a, e);
    if (!code) {
        interrupt_install();
        code = sample(&a, &p, e);
        interrupt_restore();
    }
    partial_close(&p);
    answers_close(&a);
    return code;
}

const struct command command_sample = {
    .name = "sample",
    .group = "Align",
    .summary = "several answers of a model to each row of a file",
    .usage = "--model PATH --data PATH... --out FILE [FLAGS]",
    .notes =
        "A row is a line of .jsonl with a prompt, in any schema that training knows; what\n"
        "answers it may be missing. The prompt is written as training writes it: with the\n"
        "chat template and the opening of the assistant's turn, or as it is where there is\n"
        "no template. Each row is written as it was, with \"samples\": a list of objects\n"
        "\"text\", \"finished\" (the model ended it) and \"tokens\". The same flags and number\n"
        "of threads give the same bytes, also when a run was stopped and went on.\n"
        "docs/sampling.md is a guide.\n"
        "\n"
        "Examples:\n"
        "  linnet sample --model runs/sft --data questions.jsonl --out samples.jsonl\n"
        "  linnet sample --model m.gguf --data q.jsonl --prompt-field question --out s.jsonl\n",
    .sections = sections,
    .n_sections = COUNT(sections),
    .run = run,
};
