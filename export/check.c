#include "export/check.h"

#include "base/memory.h"
#include "kernels/dtype.h"
#include "model/model.h"
#include "model/rope_scaling.h"

#include <math.h>
#include <string.h>

/* ---- the vocabulary ---- */

static void note(struct checked_tokens *x, int32_t id)
{
    if (x->n++ == 0)
        x->first = id;
}

static void compare_token(const struct tokenizer *t, const struct tokenizer *u, int32_t id,
                          struct checked_vocabulary *v)
{
    size_t n, m;
    const char *text = tokenizer_token(t, id, &n), *other = tokenizer_token(u, id, &m);
    if (n != m || memcmp(text, other, n) != 0)
        note(&v->texts, id);
    else if (strcmp(tokenizer_kind(t, id), tokenizer_kind(u, id)) != 0)
        note(&v->kinds, id);
    if (tokenizer_is_end(t, id) && !tokenizer_is_end(u, id))
        note(&v->ends_lost, id);
    if (!tokenizer_is_end(t, id) && tokenizer_is_end(u, id))
        note(&v->ends_new, id);
}

void check_vocabulary(const struct tokenizer *t, const struct tokenizer *u, struct checked_vocabulary *v)
{
    const struct checked_tokens none = {.first = TOKEN_NONE};
    *v = (struct checked_vocabulary){.n = {tokenizer_vocab_size(t), tokenizer_vocab_size(u)}, .texts = none,
                                     .kinds = none, .more = none, .ends_lost = none, .ends_new = none};
    const size_t both = v->n[0] < v->n[1] ? v->n[0] : v->n[1];
    for (size_t i = 0; i < both; i++)
        compare_token(t, u, (int32_t)i, v);
    for (size_t i = both; i < v->n[1]; i++)
        if (strcmp(tokenizer_kind(u, (int32_t)i), "unused") != 0)
            note(&v->more, (int32_t)i);
}

/* ---- the shape ---- */

/* A file's f32 is not the f64 that a configuration was read with. */
static bool same_number(double a, double b)
{
    return a == b || fabs(a - b) <= 1e-6 * fmax(fabs(a), fabs(b));
}

static void compare_numbers(const struct model_config *a, const struct model_config *b, struct checked_shape *s)
{
    const struct checked_number all[] = {
        {"vocab_size", {(double)a->vocab_size, (double)b->vocab_size}},
        {"hidden_size", {(double)a->hidden_size, (double)b->hidden_size}},
        {"num_hidden_layers", {(double)a->num_hidden_layers, (double)b->num_hidden_layers}},
        {"head_dim", {(double)a->head_dim, (double)b->head_dim}},
        {"rms_norm_eps", {a->rms_norm_eps, b->rms_norm_eps}},
        {"scale of attention", {model_attention_scale(a), model_attention_scale(b)}},
        {"scale of embeddings", {model_embedding_scale(a), model_embedding_scale(b)}},
        {"scale of residual branches", {model_residual_scale(a), model_residual_scale(b)}},
        {"scale of logits", {model_logit_scale(a), model_logit_scale(b)}},
        {"attn_logit_softcapping", {a->attn_logit_softcapping, b->attn_logit_softcapping}},
        {"final_logit_softcapping", {a->final_logit_softcapping, b->final_logit_softcapping}},
        {"num_experts", {(double)a->num_experts, (double)b->num_experts}},
        {"num_experts_per_tok", {(double)a->num_experts_per_tok, (double)b->num_experts_per_tok}},
        {"norm_topk_prob", {model_renormalises(a), model_renormalises(b)}},
        {"factor of rotary cosines", {rope_magnitude(a), rope_magnitude(b)}},
    };
    _Static_assert(sizeof all / sizeof *all <= CHECKED_NUMBERS, "room for all numbers");
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!same_number(all[i].values[0], all[i].values[1]))
            s->numbers[s->n_numbers++] = all[i];
}

static bool same_layer(const struct layer_shape *a, const struct layer_shape *b)
{
    return a->n_heads == b->n_heads && a->n_kv_heads == b->n_kv_heads && a->intermediate_size == b->intermediate_size &&
           a->window == b->window && a->rotates == b->rotates && (!a->rotates || a->local_rope == b->local_rope);
}

/* For both kinds of layers, within the original's context and at its end, where long ones have others. */
static double compare_rotation(const struct model_config *a, const struct model_config *b)
{
    const size_t n = model_rotary_dim(a) / 2, lengths[] = {1, a->max_position_embeddings};
    double worst = 0;
    if (n != model_rotary_dim(b) / 2)
        return INFINITY;
    double *f = mem_alloc(2 * n + 1, sizeof *f);
    for (size_t k = 0; k < 4; k++) {
        const bool local = k / 2;
        if (local && !(a->rope_local_base_freq && b->rope_local_base_freq))
            continue;
        rope_frequencies(a, local, lengths[k % 2], f);
        rope_frequencies(b, local, lengths[k % 2], f + n);
        for (size_t i = 0; i < n; i++)
            worst = fmax(worst, fabs(f[i] - f[n + i]) / f[i]);
    }
    mem_free(f);
    return worst;
}

void check_shape(const struct model_config *a, const struct model_config *b, struct checked_shape *s)
{
    *s = (struct checked_shape){.context = {a->max_position_embeddings, b->max_position_embeddings}};
    compare_numbers(a, b, s);
    for (size_t i = 0; i < a->num_hidden_layers && i < b->num_hidden_layers; i++) {
        const struct layer_shape one = model_layer_shape(a, i), other = model_layer_shape(b, i);
        s->layers += !same_layer(&one, &other);
    }
    s->rotation = compare_rotation(a, b);
}

double check_coarsest(const struct model *m, const char **type)
{
    double least = INFINITY;
    for (size_t i = 0; i < m->n_params; i++) {
        const struct dtype_info *info = dtype_info(m->params[i].type);
        const double bits = 8 * (double)info->block_bytes / (double)info->block;
        if (bits < least || (bits == least && info->type == DTYPE_BF16)) { /* coarser than f16 */
            least = bits;
            *type = info->name;
        }
    }
    return least;
}
