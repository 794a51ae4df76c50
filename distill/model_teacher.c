#include "distill/model_teacher.h"

#include "base/check.h"
#include "model/decoder.h"

#include <string.h>

static size_t scratch(const void *context, size_t n)
{
    const struct model_config *c = &((const struct model_teacher *)context)->model->config;
    return n * (c->vocab_size + c->hidden_size);
}

static int begin(void *context, const struct batch *b, struct error *e)
{
    struct model_teacher *t = context;
    (void)e;
    CHECK(b->n_rows <= t->n_rows && b->seq_len <= t->seq_len);
    t->hidden = decoder_forward(t->model, &t->activations, b, NULL, 0);
    return OK;
}

static int rows(void *context, const struct batch *b, const uint32_t *index, size_t n, float *logits,
                struct soft_targets *out, struct error *e)
{
    const struct model_teacher *t = context;
    const size_t c = t->model->config.hidden_size, v = t->model->config.vocab_size;
    const struct output_layer layer = decoder_output_layer(t->model);
    float *gathered = logits + n * v;
    (void)b, (void)e;
    for (size_t i = 0; i < n; i++)
        memcpy(gathered + i * c, t->hidden + index[i] * c, c * sizeof *gathered);
    output_logits(&layer, DTYPE_F32, gathered, logits, n);
    *out = (struct soft_targets){.v = v, .logits = logits, .source_temperature = 1};
    return OK;
}

static void take_memory(struct model_teacher *t)
{
    activations_init(&t->activations, t->model, DTYPE_F32, t->n_rows, t->seq_len, KEEP_NOTHING, &t->arena);
}

static size_t arena_bytes(struct model *m, size_t n_rows, size_t seq_len)
{
    struct model_teacher t = {.model = m, .n_rows = n_rows, .seq_len = seq_len};
    take_memory(&t);
    activations_free(&t.activations);
    return t.arena.used;
}

static size_t bytes(const void *context, size_t n_rows, size_t seq_len)
{
    const struct model_teacher *t = context;
    return model_stored_bytes(t->model) + arena_bytes(t->model, n_rows, seq_len);
}

static int prepare(void *context, size_t n_rows, size_t seq_len, struct error *e)
{
    struct model_teacher *t = context;
    CHECK(!t->n_rows);
    int code = arena_init(&t->arena, arena_bytes(t->model, n_rows, seq_len), "the teacher's activations", e);
    if (code)
        return code;
    t->n_rows = n_rows;
    t->seq_len = seq_len;
    take_memory(t);
    t->activations.stream_hook = t->stream_hook;
    model_reserve_positions(t->model, seq_len);
    return OK;
}

void model_teacher_init(struct model_teacher *t, struct model *m)
{
    *t = (struct model_teacher){.model = m};
    t->teacher = (struct teacher){.context = t, .bytes = bytes, .prepare = prepare, .scratch = scratch, .begin = begin,
                                  .rows = rows};
}

void model_teacher_free(struct model_teacher *t)
{
    activations_free(&t->activations);
    arena_free(&t->arena);
    *t = (struct model_teacher){0};
}
