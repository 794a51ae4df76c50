#include "infer/runner.h"

#include "base/check.h"

#include <string.h>

static void take_memory(struct runner *r)
{
    activations_init(&r->activations, r->model, DTYPE_F32, 1, r->chunk, KEEP_NOTHING, &r->arena);
    batch_init(&r->batch, 1, r->chunk, &r->arena);
    r->spans = arena_alloc(&r->arena, r->chunk, sizeof *r->spans);
}

size_t runner_bytes(const struct model *m, size_t chunk)
{
    struct runner r = {.model = (struct model *)m, .chunk = chunk}; /* which is only read */
    take_memory(&r);
    activations_free(&r.activations);
    return r.arena.used;
}

int runner_init(struct runner *r, struct model *m, size_t chunk, struct error *e)
{
    CHECK(chunk > 0);
    *r = (struct runner){.model = m, .chunk = chunk};
    int code = arena_init(&r->arena, runner_bytes(m, chunk), "the activations of a prompt", e);
    if (!code)
        take_memory(r);
    else
        *r = (struct runner){0};
    return code;
}

void runner_free(struct runner *r)
{
    activations_free(&r->activations);
    arena_free(&r->arena);
    *r = (struct runner){0};
}

const float *runner_forward(struct runner *r, const struct runner_tokens *sequences, size_t n)
{
    struct batch b = r->batch;
    b.seq_len = 0;
    b.first_key = NULL;
    CHECK(n <= r->chunk);
    for (size_t i = 0; i < n; i++) {
        const struct runner_tokens *s = &sequences[i];
        CHECK(s->n > 0 && s->n <= r->chunk - b.seq_len);
        memcpy(b.input_ids + b.seq_len, s->ids, s->n * sizeof *s->ids);
        for (size_t j = 0; j < s->n; j++)
            b.positions[b.seq_len + j] = (int32_t)(s->cache->length + j);
        r->spans[i] = (struct kv_span){s->cache, s->n};
        b.seq_len += s->n;
    }
    return decoder_forward(r->model, &r->activations, &b, &(struct kv_spans){r->spans, n}, 0);
}

void runner_logits(const struct runner *r, const float *hidden, size_t n, float *logits)
{
    struct output_layer layer = decoder_output_layer(r->model);
    output_logits(&layer, DTYPE_F32, hidden, logits, n);
}

int runner_check_tokens(const struct model *m, const int32_t *ids, size_t n, struct error *e)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || (size_t)ids[i] >= m->config.vocab_size)
            return error_set(e, ERR_USAGE, "token %d is none of the model's %zu", (int)ids[i],
                             m->config.vocab_size);
    return OK;
}
