#include "distill/capture.h"

#include "base/check.h"
#include "kernels/linear_loss.h"
#include "kernels/scratch.h"
#include "kernels/table.h"

#include <math.h>
#include <string.h>

enum {
    PASS_TOKENS = 2048, /* of a pass, or one example where that is longer */
    PASS_STEP = 16,     /* a pass is a multiple of this long: products have few different shapes */
};

/* A supervised token of the pass. */
struct capture_target {
    size_t example, row; /* the token of the pass that it follows */
    size_t position;     /* its number in the dump */
    size_t n;            /* entries; 0: the output is not a number */
};

static size_t length_of(const struct examples *x, size_t i)
{
    return x->begin[i + 1] - x->begin[i];
}

/* Tokens that something supervised follows: what the model has to read. */
static size_t inputs_of(const struct examples *x, size_t i)
{
    size_t n = length_of(x, i);
    while (n > 1 && !x->learned[x->begin[i] + n - 1])
        n--;
    return n > 0 ? n - 1 : 0;
}

static size_t round_up(size_t n)
{
    return (n + PASS_STEP - 1) / PASS_STEP * PASS_STEP;
}

static size_t count_targets(const struct examples *x, size_t i)
{
    size_t n = 0;
    for (size_t k = x->begin[i] + 1; k < x->begin[i + 1]; k++)
        n += x->learned[k] != 0;
    return n;
}

/* --- memory --- */

static size_t pass_tokens(const struct capture *c)
{
    size_t most = PASS_TOKENS;
    for (size_t i = 0; i < c->examples->count; i++)
        if (inputs_of(c->examples, i) > most)
            most = inputs_of(c->examples, i);
    return round_up(most);
}

/* Rows of logits at a time: of a dense capture all of any example. */
static size_t rows_of_block(const struct capture *c, size_t n)
{
    size_t rows = linear_loss_rows(n, c->model->config.vocab_size);
    for (size_t i = 0; c->options.dense && i < c->examples->count; i++) {
        size_t targets = count_targets(c->examples, i);
        rows = targets > rows ? targets : rows;
    }
    return rows;
}

static void take_memory(struct capture *c, size_t n)
{
    const struct model_config *config = &c->model->config;
    activations_init(&c->activations, c->model, DTYPE_F32, 1, n, KEEP_NOTHING, &c->arena);
    batch_init(&c->batch, 1, n, &c->arena);
    c->logits = arena_alloc(&c->arena, c->block_rows * config->vocab_size, sizeof *c->logits);
    c->gathered = arena_alloc(&c->arena, c->block_rows * config->hidden_size, sizeof *c->gathered);
    c->targets = arena_alloc(&c->arena, n, sizeof *c->targets);
    c->begin = arena_alloc(&c->arena, n + 1, sizeof *c->begin);
    if (c->options.dense)
        return;
    c->ids = arena_alloc(&c->arena, n * c->most, sizeof *c->ids);
    c->log_probs = arena_alloc(&c->arena, n * c->most, sizeof *c->log_probs);
    c->log_tail = arena_alloc(&c->arena, n, sizeof *c->log_tail);
}

static int check_examples(const struct capture *c, struct error *e)
{
    const struct examples *x = c->examples;
    for (size_t i = 0; i < x->count; i++) {
        CHECK(length_of(x, i) <= c->options.context);
        for (size_t k = x->begin[i]; k < x->begin[i + 1]; k++)
            if (x->ids[k] < 0 || (size_t)x->ids[k] >= c->model->config.vocab_size)
                return error_set(e, ERR_USAGE, "sequence %zu: token %d is none of the model's %zu", i, (int)x->ids[k],
                                 c->model->config.vocab_size);
    }
    return OK;
}

int capture_init(struct capture *c, struct model *m, const struct examples *x, const struct capture_options *o,
                 size_t n_done, struct error *e)
{
    CHECK(n_done <= x->count);
    *c = (struct capture){.model = m, .examples = x, .options = *o, .first = n_done};
    int code = check_examples(c, e);
    if (code)
        return code;
    size_t n = pass_tokens(c);
    c->most = selection_most(&o->selection, m->config.vocab_size);
    c->block_rows = rows_of_block(c, n);
    take_memory(c, n);
    size_t size = c->arena.used;
    activations_free(&c->activations);
    code = arena_init(&c->arena, size, o->dense ? "the activations of a pass and one example's logits"
                                                : "the activations of a pass", e);
    if (code)
        return code;
    take_memory(c, n);
    c->rows = (struct soft_targets){.v = m->config.vocab_size, .begin = c->begin, .ids = c->ids,
                                    .log_probs = c->log_probs, .log_tail = c->log_tail,
                                    .source_temperature = (float)o->selection.temperature,
                                    .sampled = !o->dense && o->selection.samples > 0};
    model_reserve_positions(m, o->context);
    return OK;
}

void capture_free(struct capture *c)
{
    activations_free(&c->activations);
    arena_free(&c->arena);
    *c = (struct capture){0};
}

bool capture_is_done(const struct capture *c)
{
    return c->first >= c->examples->count;
}

/* --- a pass --- */

/* The first n inputs of an example behind what the pass has, and their targets. */
static void add_example(struct capture *c, size_t i, size_t n)
{
    const struct examples *x = c->examples;
    struct batch *b = &c->batch;
    const size_t from = b->seq_len;
    for (size_t k = 0; k < n; k++) {
        b->input_ids[from + k] = x->ids[x->begin[i] + k];
        b->positions[from + k] = (int32_t)k;
        b->first_key[from + k] = (int32_t)from;
        if (x->learned[x->begin[i] + k + 1]) {
            c->targets[c->n_targets] = (struct capture_target){.example = i, .row = from + k,
                                                               .position = c->next_position + c->n_targets};
            c->n_targets++;
        }
    }
    b->seq_len += n;
}

/* Examples from `next` on, until one does not fit into what is left of most_tokens; returns the first that is not among
 * them. With `cut`, the first of that one's tokens are. */
static size_t fill(struct capture *c, size_t most_tokens, bool cut)
{
    struct batch *b = &c->batch;
    size_t i = c->next;
    b->seq_len = c->n_targets = 0;
    for (; i < c->examples->count && b->seq_len < most_tokens; i++) {
        size_t n = inputs_of(c->examples, i), room = most_tokens - b->seq_len;
        if (n > room && !cut)
            break;
        add_example(c, i, n < room ? n : room);
    }
    size_t used = b->seq_len;
    b->seq_len = round_up(used);
    for (; used < b->seq_len; used++) { /* sees nothing */
        b->input_ids[used] = b->positions[used] = 0;
        b->first_key[used] = (int32_t)used + 1;
    }
    b->n_targets = c->n_targets;
    return i;
}

static void gather(const struct capture *c, const float *hidden, const struct capture_target *targets, size_t n)
{
    const size_t width = c->model->config.hidden_size;
    for (size_t i = 0; i < n; i++)
        memcpy(c->gathered + i * width, hidden + targets[i].row * width, width * sizeof *hidden);
}

/* What is kept of a target's logits goes to its own place. Dense: they only have to be numbers. */
static void keep(struct capture *c, size_t target, float *logits)
{
    const struct selection *s = &c->options.selection;
    const size_t v = c->model->config.vocab_size, at = target * c->most;
    struct capture_target *t = &c->targets[target];
    if (c->options.dense) {
        float max = kernel_table()->max(logits, v);
        t->n = isfinite(max) && isfinite(kernel_table()->exp_sum(NULL, logits, max, v)) ? v : 0;
    } else {
        t->n = selection_row(s, logits, v, t->position, scratch_floats(selection_scratch(s, v)), c->ids + at,
                             c->log_probs + at, c->log_tail + target);
    }
}

/* Targets [from, from + n): logits, and what is kept of them. */
static void run_block(struct capture *c, const float *hidden, size_t from, size_t n)
{
    const struct output_layer layer = decoder_output_layer(c->model);
    gather(c, hidden, c->targets + from, n);
    output_logits(&layer, DTYPE_F32, c->gathered, c->logits, n);
#pragma omp parallel for schedule(dynamic, 1)
    for (size_t i = 0; i < n; i++)
        keep(c, from + i, c->logits + i * layer.v);
}

/* Whether the output for targets [from, from + n) is numbers. */
static bool block_is_good(const struct capture *c, size_t from, size_t n)
{
    for (size_t i = from; i < from + n; i++)
        if (c->targets[i].n == 0)
            return false;
    return true;
}

static const float *forward(struct capture *c)
{
    return c->batch.seq_len ? decoder_forward(c->model, &c->activations, &c->batch, NULL, 0) : NULL;
}

/* All targets of the pass; false: the output is not numbers. Of a dense capture only that is of use. */
static bool run_blocks(struct capture *c, const float *hidden)
{
    bool good = true;
    for (size_t from = 0; from < c->n_targets && good; from += c->block_rows) {
        size_t left = c->n_targets - from, n = left < c->block_rows ? left : c->block_rows;
        run_block(c, hidden, from, n);
        good = block_is_good(c, from, n);
    }
    return good;
}

/* What is not a number spreads to others of its pass (times 0 it is none either), so each of them, up to `end`, runs
 * alone. The pass is lost. */
static int name_broken(struct capture *c, size_t end, struct error *e)
{
    const struct examples *x = c->examples;
    for (; c->next < end; c->next++) {
        size_t n = inputs_of(x, c->next), i = c->next;
        if (n == 0)
            continue;
        fill(c, n, false);
        if (run_blocks(c, forward(c)))
            continue;
        if (x->origins)
            return error_set(e, ERR_FORMAT, "sequence %zu (%s:%llu): the model's output is not a number", i,
                             x->files[x->origins[i].file], (unsigned long long)x->origins[i].line);
        return error_set(e, ERR_FORMAT, "sequence %zu: the model's output is not a number", i);
    }
    return error_set(e, ERR_FORMAT, "the model's output for several sequences at once is not a number");
}

/* Entries of all targets side by side; they only move forwards. */
static void close_up(struct capture *c)
{
    c->begin[0] = 0;
    for (size_t i = 0; i < c->n_targets; i++) {
        size_t n = c->targets[i].n, to = c->begin[i];
        memmove(c->ids + to, c->ids + i * c->most, n * sizeof *c->ids);
        memmove(c->log_probs + to, c->log_probs + i * c->most, n * sizeof *c->log_probs);
        c->begin[i + 1] = to + n;
    }
}

/* Example i of a pass up to `end`, whose n targets begin with number `from` of the pass. */
static int write_example(struct capture *c, struct dump_writer *w, const float *hidden, size_t end, size_t i, size_t from,
                         size_t n, struct error *e)
{
    const struct examples *x = c->examples;
    struct soft_targets rows = c->rows;
    if (i < c->first)
        return OK;
    if (c->options.dense) {
        if (n > 0)
            run_block(c, hidden, from, n);
        if (!block_is_good(c, from, n))
            return name_broken(c, end, e);
        rows.logits = c->logits;
    } else {
        rows.begin = c->begin + from; /* of the arrays that all of them share */
        rows.log_tail = c->log_tail + from;
    }
    int code = dump_writer_add(w, x->ids + x->begin[i], x->learned + x->begin[i], length_of(x, i), &rows, e);
    if (code)
        return code;
    c->n_tokens += length_of(x, i);
    c->n_positions += n;
    for (size_t k = from; k < from + n; k++)
        c->n_entries += c->targets[k].n;
    c->first = i + 1;
    return OK;
}

/* The examples up to `end` are behind us. */
static void step_over(struct capture *c, size_t end)
{
    c->next = end;
    c->next_position += c->n_targets;
}

int capture_pass(struct capture *c, struct dump_writer *w, struct error *e)
{
    size_t end = fill(c, c->batch.capacity, false), at = 0;
    while (end <= c->first && end < c->examples->count) { /* all of these were written */
        step_over(c, end);
        end = fill(c, c->batch.capacity, false);
    }
    const float *hidden = forward(c);
    int code = OK;
    if (!c->options.dense && !run_blocks(c, hidden))
        return name_broken(c, end, e);
    if (!c->options.dense)
        close_up(c);
    for (size_t i = c->next, n; i < end && !code; i++, at += n) {
        n = count_targets(c->examples, i);
        code = write_example(c, w, hidden, end, i, at, n, e);
    }
    if (!code)
        step_over(c, end);
    return code;
}

int capture_try(struct capture *c, size_t most_tokens, struct capture_trial *trial, struct error *e)
{
    const size_t next = c->next, position = c->next_position;
    int code = OK;
    c->next = c->next_position = 0;
    size_t end = fill(c, most_tokens < c->batch.capacity ? most_tokens : c->batch.capacity, true);
    *trial = (struct capture_trial){.n_tokens = c->batch.seq_len, .n_positions = c->n_targets};
    bool good = run_blocks(c, forward(c));
    for (size_t i = 0; i < c->n_targets && good; i++)
        trial->n_entries += c->targets[i].n;
    if (!good)
        code = name_broken(c, end, e);
    c->next = next;
    c->next_position = position;
    return code;
}
