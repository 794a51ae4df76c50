#include "cli/plan.h"

#include "base/check.h"
#include "base/log.h"
#include "kernels/gemm.h"

/* Floating-point operations per second of the product that a step does most: (tokens, hidden) by
 * (ffn, hidden)^T, of a part of it where the model is larger than a plan should take time and memory
 * for. */
static double measure_products(const struct model_config *c, enum dtype type, size_t tokens)
{
    enum { MOST = 4096 };
    size_t m = tokens < 64 ? 64 : tokens > 1024 ? 1024 : tokens;
    size_t n = c->intermediate_size < MOST ? c->intermediate_size : MOST;
    size_t k = c->hidden_size < MOST ? c->hidden_size : MOST;
    size_t size = dtype_info(type)->block_bytes;
    void *a = mem_zero(m * k, size), *b = mem_zero(n * k, size), *out = mem_zero(m * n, size);
    gemm(false, true, m, n, k, type, a, k, type, b, k, 0, type, out, n);
    double began = clock_seconds(), elapsed;
    size_t times = 0;
    do {
        gemm(false, true, m, n, k, type, a, k, type, b, k, 0, type, out, n);
        times++;
        elapsed = clock_seconds() - began;
    } while (elapsed < 0.2);
    mem_free(a);
    mem_free(b);
    mem_free(out);
    return 2.0 * (double)(m * n * k) * (double)times / elapsed;
}

static void print_bytes(FILE *out, const char *what, size_t bytes)
{
    char text[32];
    fprintf(out, "  %-22s %10s\n", what, format_bytes((double)bytes, text));
}

int plan_check_batch(const struct train_settings *s, struct error *e)
{
    const size_t most_tokens = (size_t)1 << 30; /* keeps every size of a step within size_t */
    if (s->batch_size > most_tokens / s->max_seq_length)
        return error_set(e, ERR_USAGE,
                         "train.batch_size (%zu) times train.max_seq_length (%zu) is more than %zu "
                         "tokens at a time; use grad_accumulation instead of so large a batch",
                         s->batch_size, s->max_seq_length, most_tokens);
    return OK;
}

int plan_check(const struct trainer *t, struct error *e)
{
    struct memory_plan p = trainer_plan(t);
    size_t limit, available;
    char needed[32], there[32];
    mem_measure(&limit, &available);
    format_bytes((double)p.total, needed);
    if (p.total > limit)
        return error_set(e, ERR_MEMORY,
                         "no room for the run: it takes %s of memory, and no more than %s can be had "
                         "here; take a smaller model, --max-seq-length, or --batch-size with more "
                         "--grad-accumulation (--plan shows what takes how much)",
                         needed, format_bytes((double)limit, there));
    if (p.total > available)
        log_warn("the run needs %s of memory, but only %s is available now: it will swap or be "
                 "killed; end other programs, or take a smaller model or batch", needed,
                 format_bytes((double)available, there));
    return OK;
}

/* What the program itself takes beside the plan: code, libraries, tokenizer. */
enum { PROGRAM_BYTES = 64 << 20 };

static bool fits(const struct trainer *t, size_t limit)
{
    return trainer_plan(t).total + PROGRAM_BYTES <= limit;
}

/* Smaller micro-batches are tried first, for they cost less time than computing activations again. */
static bool shrink(const struct trainer *t, struct train_settings *s)
{
    const struct train_settings asked = *s;
    for (int checkpoint = asked.grad_checkpoint; checkpoint <= 1; checkpoint++)
        for (size_t rows = asked.batch_size; rows > 0; rows--) {
            if (asked.batch_size % rows)
                continue;
            s->grad_checkpoint = checkpoint;
            s->batch_size = rows;
            s->grad_accumulation = asked.grad_accumulation * (asked.batch_size / rows);
            if (fits(t, s->memory_limit))
                return true;
        }
    return false;
}

int plan_fit(const struct trainer *t, struct train_settings *s, struct error *e)
{
    const struct train_settings asked = *s;
    char limit[32], needed[32];
    CHECK(t->settings == s);
    if (!s->memory_limit || fits(t, s->memory_limit))
        return OK;
    format_bytes((double)s->memory_limit, limit);
    if (!shrink(t, s)) {
        format_bytes((double)(trainer_plan(t).total + PROGRAM_BYTES), needed);
        *s = asked;
        return error_set(e, ERR_MEMORY,
                         "--memory-limit %s: even one row at a time with --grad-checkpoint takes %s; take a shorter "
                         "--max-seq-length, a smaller model, or one with fewer bits", limit, needed);
    }
    log_info("to stay within %s: --batch-size %zu --grad-accumulation %zu%s instead of %zu and %zu", limit, s->batch_size,
             s->grad_accumulation, s->grad_checkpoint && !asked.grad_checkpoint ? " --grad-checkpoint" : "",
             asked.batch_size, asked.grad_accumulation);
    return OK;
}

static double trained_numbers(const struct param_list *params)
{
    double n = 0;
    for (size_t i = 0; i < params->count; i++)
        n += (double)params->items[i]->count;
    return n;
}

void plan_print(const struct trainer *t, FILE *out)
{
    const struct model *m = t->model;
    const struct train_settings *s = t->settings;
    enum dtype type = train_product_type(s);
    const struct model_config *c = &m->config;
    struct memory_plan p = trainer_plan(t);
    size_t tokens = s->batch_size * s->max_seq_length;
    size_t program = mem_resident();
    double rate = measure_products(c, type, tokens);
    char text[32];
    fprintf(out, "parameters               %10s  (%zu)\n",
            format_count((double)m->n_weights, text), m->n_weights);
    if (t->params != &m->all)
        fprintf(out, "  what trains            %10s\n", format_count(trained_numbers(t->params), text));
    fprintf(out, "memory                   %10s\n", format_bytes((double)(p.total + program), text));
    print_bytes(out, "weights", p.weights);
    print_bytes(out, "gradients", p.gradients);
    print_bytes(out, "optimiser", p.optimizer);
    print_bytes(out, "activations", p.activations);
    print_bytes(out, "logits", p.logits);
    print_bytes(out, "batches", p.batches);
    print_bytes(out, "packed for products", p.products);
    if (p.objective)
        print_bytes(out, "the teacher", p.objective);
    print_bytes(out, "program and libraries", program);
    size_t limit, available;
    mem_measure(&limit, &available);
    fprintf(out, "available here           %10s", format_bytes((double)available, text));
    fprintf(out, "  of %s\n", format_bytes((double)limit, text));
    fprintf(out, "disk: two checkpoints    %10s\n",
            format_bytes((double)p.checkpoints, text));
    double flops = trainer_step_flops(t);
    fprintf(out, "one step                 %10zu  tokens\n", tokens * s->grad_accumulation);
    fprintf(out, "this machine             %10.0f  GFLOP/s in %s products\n", rate / 1e9,
            dtype_info(type)->name);
    /* A step spends about seven tenths of its time in products. */
    fprintf(out, "estimated time           %10s  for %zu steps\n",
            format_duration(flops / (0.7 * rate) * (double)s->iters, text), s->iters);
}

void plan_summary_model(const struct trainer *t)
{
    const struct model *m = t->model;
    const struct model_config *c = &m->config;
    char a[32];
    log_info("model   %s parameters: %zu layers, hidden %zu, %zu/%zu heads of %zu, ffn %zu, "
             "vocabulary %zu%s", format_count((double)m->n_weights, a), c->num_hidden_layers,
             c->hidden_size, c->num_attention_heads, c->num_key_value_heads, c->head_dim,
             c->intermediate_size, c->vocab_size, c->tie_word_embeddings ? ", tied" : "");
}

void plan_summary_memory(const struct trainer *t)
{
    struct memory_plan p = trainer_plan(t);
    char a[32], b[32], d[32], f[32];
    log_info("memory  %s: weights %s, gradients and moments %s, activations %s; products in %s",
             format_bytes((double)p.total, a), format_bytes((double)p.weights, b),
             format_bytes((double)(p.gradients + p.optimizer), d),
             format_bytes((double)(p.activations + p.logits + p.batches), f),
             dtype_info(train_product_type(t->settings))->name);
}

void plan_summary(const struct trainer *t, size_t n_train, size_t n_held_out)
{
    const struct train_settings *s = t->settings;
    char a[32], b[32], d[32];
    size_t step = s->batch_size * s->max_seq_length * s->grad_accumulation;
    double total = (double)step * (double)s->iters;
    plan_summary_model(t);
    log_info("data    %s tokens to train on, %s held out; %zu steps of %zu are %s, %.2f epochs",
             format_count((double)n_train, a),
             format_count((double)n_held_out, b), s->iters, step,
             format_count(total, d), total / (double)n_train);
    plan_summary_memory(t);
}
