/* What a capture will take: sequences, bytes and time. */
#include "cli/teacher.h"

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    WARM_TOKENS = 32,   /* their pass reads the weights from the disk */
    TRIAL_TOKENS = 512, /* the pass that is measured */
};

uint64_t teacher_bytes(const char *out)
{
    struct path_list files = {0};
    struct error e;
    uint64_t total = 0, size;
    if (dir_list(out, &files, &e) == OK)
        for (size_t i = 0; i < files.count; i++)
            if (path_has_suffix(files.paths[i], ".h5") && file_size(files.paths[i], &size, &e) == OK)
                total += size;
    path_list_free(&files);
    return total;
}

static void count(struct teacher_plan *p, const struct examples *x)
{
    p->n_sequences = x->count;
    p->n_tokens = x->begin[x->count];
    for (size_t i = 0; i < x->count; i++) {
        size_t n = x->begin[i + 1] - x->begin[i];
        p->longest = n > p->longest ? n : p->longest;
        for (size_t k = x->begin[i] + 1; k < x->begin[i + 1]; k++)
            p->n_positions += x->learned[k] != 0;
    }
}

/* Of a position, before there is any. k ids among v tokens are gaps of v / k in the mean, of about log2(e v / k) bits, and
 * deflate needs a tenth more; of the 16 bits of a log-probability sign and exponent are nearly free. */
static double guess_bytes(const struct teacher_plan *p)
{
    const struct dump_description *d = p->description;
    double tokens = p->n_positions ? (double)p->n_tokens / (double)p->n_positions : 0;
    double id = d->kind == DUMP_DENSE ? 0 : 1.1 * log2(exp(1) * (double)d->vocab_size / p->entries) / 8;
    return p->entries * (id + 1.6) + 4 + 2 * tokens;
}

int teacher_plan_make(struct teacher_plan *p, struct capture *c, const struct dump_description *d,
                      const struct dump *stored, const char *out, struct error *e)
{
    struct capture_trial trial;
    *p = (struct teacher_plan){.out = out, .description = d, .samples = c->options.selection.samples,
                               .n_weights = (double)c->model->n_weights, .n_done = stored->examples.count,
                               .n_done_positions = stored->n_positions, .done_bytes = stored->n_bytes,
                               .free_bytes = file_free_space(out ? out : ".")};
    count(p, c->examples);
    p->n_done_tokens = p->n_done ? c->examples->begin[p->n_done] : 0;
    int code = capture_try(c, WARM_TOKENS, &trial, e);
    double start = clock_seconds();
    if (!code)
        code = capture_try(c, TRIAL_TOKENS, &trial, e);
    if (code)
        return code;
    double seconds = clock_seconds() - start;
    p->tokens_per_second = (double)trial.n_tokens / (seconds > 1e-6 ? seconds : 1e-6);
    p->entries = trial.n_positions ? (double)trial.n_entries / (double)trial.n_positions : (double)d->most;
    p->bytes_per_position = p->n_done_positions ? (double)p->done_bytes / (double)p->n_done_positions : guess_bytes(p);
    return OK;
}

static void add_line(struct buffer *out, const char *name, const char *text)
{
    buffer_printf(out, "%-10s %s\n", name, text);
}

static void describe_kept(const struct teacher_plan *p, char *text, size_t size)
{
    const struct dump_description *d = p->description;
    if (d->kind == DUMP_DENSE)
        snprintf(text, size, "all %zu tokens of each position", d->vocab_size);
    else if (d->kind == DUMP_SAMPLED)
        snprintf(text, size, "the %zu likeliest of %zu tokens of each position, and %zu draws from the others",
                 d->most - p->samples, d->vocab_size, p->samples);
    else if (d->cumulative > 0)
        snprintf(text, size, "of %zu tokens the likeliest, %g likely together, at most %zu; %.1f in a trial", d->vocab_size,
                 d->cumulative, d->most, p->entries);
    else
        snprintf(text, size, "the %zu likeliest of %zu tokens of each position", d->most, d->vocab_size);
}

static double bytes_to_come(const struct teacher_plan *p)
{
    return (double)(p->n_positions - p->n_done_positions) * p->bytes_per_position;
}

static void print_plan(const struct teacher_plan *p, struct buffer *out)
{
    char text[256], a[32], b[32], c[32];
    snprintf(text, sizeof text, "%s, %s parameters", p->description->teacher, format_count(p->n_weights, a));
    add_line(out, "teacher", text);
    snprintf(text, sizeof text, "%zu sequences, %s tokens, the longest %zu; %s positions are supervised", p->n_sequences,
             format_count((double)p->n_tokens, a), p->longest, format_count((double)p->n_positions, b));
    add_line(out, "data", text);
    describe_kept(p, text, sizeof text);
    add_line(out, "keeps", text);
    if (p->n_done) {
        snprintf(text, sizeof text, "%zu sequences, %s positions, %s", p->n_done,
                 format_count((double)p->n_done_positions, a), format_bytes((double)p->done_bytes, b));
        add_line(out, "has", text);
    }
    snprintf(text, sizeof text, "about %s%s, %.0f bytes a position; %s are free", format_bytes(bytes_to_come(p), a),
             p->n_done ? " more" : "", p->bytes_per_position, format_bytes((double)p->free_bytes, b));
    add_line(out, "disk", text);
    snprintf(text, sizeof text, "about %s, at %s tokens/s as in a trial",
             format_duration((double)(p->n_tokens - p->n_done_tokens) / p->tokens_per_second, a),
             format_count(p->tokens_per_second, c));
    add_line(out, "time", text);
}

void teacher_plan_say(const struct teacher_plan *p, bool to_stdout)
{
    struct buffer text = {0};
    print_plan(p, &text);
    if (to_stdout)
        fputs(text.data, stdout);
    for (const char *line = text.data; !to_stdout && *line; line += strcspn(line, "\n") + 1)
        log_info("%.*s", (int)strcspn(line, "\n"), line);
    buffer_free(&text);
}

int teacher_plan_check(const struct teacher_plan *p, struct error *e)
{
    char a[32], b[32];
    if (!p->out || bytes_to_come(p) <= (double)p->free_bytes)
        return OK;
    return error_set(e, ERR_IO, "the dump needs about %s, and %s are free where %s is: choose another --out, a smaller --k "
                     "or a --limit", format_bytes(bytes_to_come(p), a), format_bytes((double)p->free_bytes, b), p->out);
}
