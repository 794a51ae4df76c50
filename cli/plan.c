#include "cli/plan.h"

#include "base/log.h"
#include "kernels/gemm.h"
#include "train/trainer.h"

/* Floating-point operations per second of the product that a step does most: (tokens, hidden) by
 * (ffn, hidden)^T. */
static double measure_products(const struct model_config *c, size_t tokens)
{
    size_t m = tokens < 64 ? 64 : tokens > 1024 ? 1024 : tokens, n = c->intermediate_size,
           k = c->hidden_size;
    float *a = mem_zero(m * k, sizeof *a), *b = mem_zero(n * k, sizeof *b),
          *out = mem_zero(m * n, sizeof *out);
    gemm_f32(false, true, m, n, k, a, k, b, k, 0, out, n);
    double began = clock_seconds(), elapsed;
    size_t times = 0;
    do {
        gemm_f32(false, true, m, n, k, a, k, b, k, 0, out, n);
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

void plan_print(const struct model *m, const struct objective *o, const struct train_settings *s,
                FILE *out)
{
    const struct model_config *c = &m->config;
    struct memory_plan p = trainer_plan(c, model_value_bytes(m), o, s);
    char text[32];
    fprintf(out, "parameters               %10s  (%zu)\n",
            format_count((double)m->n_weights, text), m->n_weights);
    fprintf(out, "memory                   %10s\n", format_bytes((double)p.total, text));
    print_bytes(out, "weights", p.weights);
    print_bytes(out, "gradients", p.gradients);
    print_bytes(out, "optimiser", p.optimizer);
    print_bytes(out, "activations", p.activations);
    print_bytes(out, "logits", p.logits);
    print_bytes(out, "batches", p.batches);
    fprintf(out, "disk: two checkpoints    %10s\n",
            format_bytes((double)p.weights * 4, text));
    size_t tokens = s->batch_size * s->max_seq_length;
    double flops = trainer_step_flops(m, s), rate = measure_products(c, tokens);
    fprintf(out, "one step                 %10zu  tokens\n", tokens * s->grad_accumulation);
    fprintf(out, "this machine             %10.0f  GFLOP/s in f32 products\n", rate / 1e9);
    /* A step spends about seven tenths of its time in products. */
    fprintf(out, "estimated time           %10s  for %zu steps\n",
            format_duration(flops / (0.7 * rate) * (double)s->iters, text), s->iters);
}

void plan_summary(const struct model *m, const struct objective *o, const struct train_settings *s,
                  const struct shard *shard, const struct loader *train)
{
    const struct model_config *c = &m->config;
    struct memory_plan p = trainer_plan(c, model_value_bytes(m), o, s);
    char a[32], b[32], d[32], f[32];
    size_t step = s->batch_size * s->max_seq_length * s->grad_accumulation;
    double total = (double)step * (double)s->iters;
    log_info("model   %s parameters: %zu layers, hidden %zu, %zu/%zu heads of %zu, ffn %zu, "
             "vocabulary %zu%s", format_count((double)m->n_weights, a), c->num_hidden_layers,
             c->hidden_size, c->num_attention_heads, c->num_key_value_heads, c->head_dim,
             c->intermediate_size, c->vocab_size, c->tie_word_embeddings ? ", tied" : "");
    log_info("data    %s tokens to train on, %s held out; %zu steps of %zu are %s, %.2f epochs",
             format_count((double)(train->end - train->begin), a),
             format_count((double)(shard->n_tokens - shard->n_train_tokens), b), s->iters, step,
             format_count(total, d), total / (double)(train->end - train->begin));
    log_info("memory  %s: weights %s, gradients and moments %s, activations %s",
             format_bytes((double)p.total, a), format_bytes((double)p.weights, b),
             format_bytes((double)(p.gradients + p.optimizer), d),
             format_bytes((double)(p.activations + p.logits + p.batches), f));
}
