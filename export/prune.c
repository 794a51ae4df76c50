#include "export/prune.h"

#include "base/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

size_t prune_channels(const struct model_config *c, size_t layer)
{
    return model_architecture(c)->has_experts ? model_expert_size(c) : model_layer_shape(c, layer).intermediate_size;
}

/* Feed-forwards of a layer that channels are chosen in. */
static size_t count_parts(const struct model_config *c)
{
    return model_architecture(c)->has_experts ? c->num_experts : 1;
}

/* Whether the layers of models of the family have shapes of their own. */
static bool has_lists(const struct model_config *c)
{
    return architecture_has_key(model_architecture(c), "num_query_heads");
}

/* --- importance --- */

static void collect_heads(double *heads, const struct importance *im, const struct layer *l)
{
    const size_t head_dim = im->model->config.head_dim;
    const double *sums = importance_sums(im, l->output.weight, NULL);
    for (size_t i = 0; i < l->shape.n_heads * head_dim; i++)
        heads[i / head_dim] += sums[i];
}

/* Returns how many experts no token went to. */
static size_t collect_channels(double *channels, const struct importance *im, size_t layer)
{
    const struct layer *l = &im->model->layers[layer];
    const size_t n = prune_channels(&im->model->config, layer);
    size_t n_unseen = 0;
    for (size_t i = 0; i < count_parts(&im->model->config); i++) {
        const struct feed_forward *f = l->moe.router.weight ? &l->moe.experts[i] : &l->ffn;
        size_t count;
        memcpy(channels + i * n, importance_sums(im, f->down.weight, &count), n * sizeof *channels);
        n_unseen += count == 0;
    }
    return n_unseen;
}

void prune_importance_collect(struct prune_importance *p, const struct importance *from)
{
    const struct model *m = from->model;
    const size_t n = m->config.num_hidden_layers;
    CHECK(from->similarity && from->n_chunks > 0 && from->row == 0);
    *p = (struct prune_importance){.n_layers = n, .influence = mem_alloc(n, sizeof *p->influence),
                                   .layers = mem_zero(n, sizeof *p->layers)};
    for (size_t i = 0; i < n; i++) {
        struct prune_layer_importance *l = &p->layers[i];
        p->influence[i] = 1 - from->similarity[i] / (double)from->n_tokens;
        l->heads = mem_zero(m->layers[i].shape.n_heads, sizeof *l->heads);
        l->channels = mem_alloc(count_parts(&m->config) * prune_channels(&m->config, i), sizeof *l->channels);
        collect_heads(l->heads, from, &m->layers[i]);
        p->n_unseen += collect_channels(l->channels, from, i);
    }
}

void prune_importance_free(struct prune_importance *p)
{
    for (size_t i = 0; i < p->n_layers; i++) {
        mem_free(p->layers[i].heads);
        mem_free(p->layers[i].channels);
    }
    mem_free(p->layers);
    mem_free(p->influence);
    *p = (struct prune_importance){0};
}

/* --- what is asked for --- */

/* Whether layer `i` computes as the family's layers do at place `at`. */
static bool fits(const struct model_config *c, size_t i, size_t at)
{
    const struct layer_shape is = model_layer_shape(c, i), wanted = model_layer_shape(c, at);
    return is.window == wanted.window && is.rotates == wanted.rotates && is.local_rope == wanted.local_rope;
}

static int check_layers(const struct prune_target *t, const struct model_config *c, struct error *e)
{
    const size_t n = c->num_hidden_layers;
    if (t->layers > n)
        return error_set(e, ERR_USAGE, "--layers %zu: the model has %zu", t->layers, n);
    for (size_t i = 0; t->keep_layers && i < t->layers; i++) {
        const size_t layer = t->keep_layers[i];
        if (layer >= n)
            return error_set(e, ERR_USAGE, "--keep-layers: there is no layer %zu; the model has 0 to %zu", layer, n - 1);
        if (i > 0 && layer <= t->keep_layers[i - 1])
            return error_set(e, ERR_USAGE, "--keep-layers: %zu after %zu; each layer once, in their order", layer,
                             t->keep_layers[i - 1]);
        if (!fits(c, layer, i))
            return error_set(e, ERR_USAGE,
                             "--keep-layers: layer %zu cannot become layer %zu: in %s models the last of every %zu layers "
                             "%s, and that order would break; --layers chooses layers that keep it", layer, i,
                             model_architecture(c)->name,
                             c->no_rope_layer_interval ? c->no_rope_layer_interval : c->sliding_window_pattern,
                             c->no_rope_layer_interval ? "has no rotation" : "has no window");
    }
    return OK;
}

static int check_heads(const struct prune_target *t, const struct model_config *c, struct error *e)
{
    const size_t heads = c->num_attention_heads, kv_heads = c->num_key_value_heads, group = heads / kv_heads;
    if (t->kv_heads > kv_heads)
        return error_set(e, ERR_USAGE, "--kv-heads %zu: the model has %zu", t->kv_heads, kv_heads);
    if (t->heads > heads)
        return error_set(e, ERR_USAGE, "--heads %zu: the model has %zu", t->heads, heads);
    if (t->heads % t->kv_heads != 0)
        return error_set(e, ERR_USAGE,
                         "--heads %zu: no multiple of the %zu key/value heads that stay; each keeps as many query heads as "
                         "the others (--kv-heads changes how many there are)", t->heads, t->kv_heads);
    if (t->heads / t->kv_heads > group)
        return error_set(e, ERR_USAGE, "--heads %zu: %zu for each of %zu key/value heads; in the model %zu share one",
                         t->heads, t->heads / t->kv_heads, t->kv_heads, group);
    return OK;
}

/* What was not said follows from what was. */
static void complete(struct prune_target *t, const struct model_config *c)
{
    const size_t group = c->num_attention_heads / c->num_key_value_heads;
    size_t widest = 0;
    for (size_t i = 0; i < c->num_hidden_layers; i++)
        widest = prune_channels(c, i) > widest ? prune_channels(c, i) : widest;
    if (!t->layers)
        t->layers = c->num_hidden_layers;
    if (!t->kv_heads)
        t->kv_heads = t->heads && group == 1 ? t->heads : c->num_key_value_heads;
    if (!t->heads)
        t->heads = t->kv_heads * group;
    if (!t->channels)
        t->channels = widest;
}

static bool goes(const struct prune_target *t, const struct model_config *c)
{
    bool channels = false;
    for (size_t i = 0; i < c->num_hidden_layers; i++)
        channels = channels || t->channels < prune_channels(c, i);
    return channels || t->layers < c->num_hidden_layers || t->heads < c->num_attention_heads;
}

int prune_target_check(struct prune_target *t, const struct model_config *c, struct error *e)
{
    const bool about_heads = t->heads || t->kv_heads;
    const size_t asked = t->channels;
    if (about_heads && has_lists(c))
        return error_set(e, ERR_USAGE, "--heads, --kv-heads: the layers of %s models have different numbers of heads, which "
                         "stay as they are; --layers and --intermediate-size make them smaller",
                         model_architecture(c)->name);
    t->channels = 0;
    complete(t, c);
    if (asked > t->channels)
        return error_set(e, ERR_USAGE, "--intermediate-size %zu: the model has %zu%s", asked, t->channels,
                         model_architecture(c)->has_experts ? " in each expert" : "");
    t->channels = asked ? asked : t->channels;
    int code = check_layers(t, c, e);
    if (!code && about_heads)
        code = check_heads(t, c, e);
    if (!code && !goes(t, c))
        code = error_set(e, ERR_USAGE, "nothing would go: the model has %zu layers, %zu heads, %zu key/value heads and %zu "
                         "feed-forward channels; ask for fewer with --layers, --heads, --kv-heads or --intermediate-size",
                         c->num_hidden_layers, c->num_attention_heads, c->num_key_value_heads, t->channels);
    return code;
}

/* --- choosing --- */

struct candidate {
    double score;
    size_t index;
};

static int by_score(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

static int by_index(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    return x->index < y->index ? -1 : x->index > y->index;
}

/* The n_kept largest of n scores into `kept`, ascending. */
static void choose(const double *scores, size_t n, size_t n_kept, size_t *kept)
{
    struct candidate *all = mem_alloc(n, sizeof *all);
    for (size_t i = 0; i < n; i++)
        all[i] = (struct candidate){scores[i], i};
    qsort(all, n, sizeof *all, by_score);
    qsort(all, n_kept, sizeof *all, by_index);
    for (size_t i = 0; i < n_kept; i++)
        kept[i] = all[i].index;
    mem_free(all);
}

/* The n_kept layers of the largest sum that fit where they come to stand. best[k][i] is that of k among the first i; the
 * first k always fit, so there is one. */
static void choose_layers(const struct model_config *c, const double *influence, size_t n_kept, size_t *kept)
{
    const size_t n = c->num_hidden_layers, row = n + 1;
    double *best = mem_alloc((n_kept + 1) * row, sizeof *best);
    for (size_t i = 0; i <= n; i++)
        best[i] = 0;
    for (size_t k = 1; k <= n_kept; k++) {
        best[k * row] = -INFINITY;
        for (size_t i = 1; i <= n; i++) {
            const double with = fits(c, i - 1, k - 1) ? best[(k - 1) * row + i - 1] + influence[i - 1] : -INFINITY;
            best[k * row + i] = fmax(best[k * row + i - 1], with);
        }
    }
    for (size_t k = n_kept, i = n; k > 0; i--)
        if (best[k * row + i] > best[k * row + i - 1])
            kept[--k] = i - 1;
    mem_free(best);
}

/* Share of n numbers that is not among the kept. */
static double share_lost(const double *scores, size_t n, const size_t *kept, size_t n_kept)
{
    double all = 0, stays = 0;
    for (size_t i = 0; i < n; i++)
        all += scores[i];
    for (size_t i = 0; i < n_kept; i++)
        stays += scores[kept[i]];
    return all > 0 && n_kept < n ? 1 - stays / all : 0;
}

/* Key/value heads by all that share them, then of each the query heads. */
static void choose_heads(struct prune_layer *l, const struct layer_shape *is, const struct layer_shape *wanted,
                         const double *heads)
{
    const size_t group = is->n_heads / is->n_kv_heads, n_kept = wanted->n_heads / wanted->n_kv_heads;
    double *sums = mem_zero(is->n_kv_heads, sizeof *sums);
    l->heads = mem_alloc(wanted->n_heads, sizeof *l->heads);
    l->kv_heads = mem_alloc(wanted->n_kv_heads, sizeof *l->kv_heads);
    for (size_t i = 0; i < is->n_heads; i++)
        sums[i / group] += heads[i];
    choose(sums, is->n_kv_heads, wanted->n_kv_heads, l->kv_heads);
    for (size_t i = 0; i < wanted->n_kv_heads; i++) {
        const size_t first = l->kv_heads[i] * group;
        choose(heads + first, group, n_kept, l->heads + i * n_kept);
        for (size_t j = 0; j < n_kept; j++)
            l->heads[i * n_kept + j] += first;
    }
    l->heads_lost = share_lost(heads, is->n_heads, l->heads, wanted->n_heads);
    mem_free(sums);
}

static void choose_channels(struct prune_layer *l, size_t n_parts, size_t n, size_t n_kept, const double *channels)
{
    double lost = 0;
    l->channels = mem_alloc(n_parts * n_kept, sizeof *l->channels);
    for (size_t i = 0; i < n_parts; i++) {
        choose(channels + i * n, n, n_kept, l->channels + i * n_kept);
        lost += share_lost(channels + i * n, n, l->channels + i * n_kept, n_kept);
    }
    l->channels_lost = lost / (double)n_parts;
}

static void choose_lists(struct model_config *c, const struct model_config *from, const size_t *layers, size_t most)
{
    const size_t n = c->num_hidden_layers;
    c->num_query_heads.count = c->num_kv_heads.count = c->intermediate_sizes.count = n;
    for (size_t i = 0; i < n; i++) {
        const struct layer_shape s = model_layer_shape(from, layers[i]);
        const size_t channels = s.intermediate_size < most ? s.intermediate_size : most;
        c->num_query_heads.items[i] = (double)(c->num_attention_heads = s.n_heads);
        c->num_kv_heads.items[i] = (double)(c->num_key_value_heads = s.n_kv_heads);
        c->intermediate_sizes.items[i] = (double)(c->intermediate_size = channels);
    }
}

/* What describes the layers that stay; where they have shapes of their own, their last one's are said for all. */
static struct model_config pruned_config(const struct model_config *c, const struct prune_target *t, const size_t *layers)
{
    const struct architecture *a = model_architecture(c);
    struct model_config to = *c;
    to.num_hidden_layers = t->layers;
    if (has_lists(c)) {
        choose_lists(&to, c, layers, t->channels);
        return to;
    }
    to.num_attention_heads = t->heads;
    to.num_key_value_heads = t->kv_heads;
    if (a->has_experts && architecture_has_key(a, "moe_intermediate_size"))
        to.moe_intermediate_size = t->channels;
    else
        to.intermediate_size = t->channels;
    return to;
}

void prune_plan_init(struct prune_plan *p, const struct model_config *c, const struct prune_target *t,
                     const struct prune_importance *importance)
{
    size_t *layers = mem_alloc(t->layers, sizeof *layers);
    struct error e;
    CHECK(importance->n_layers == c->num_hidden_layers);
    if (t->keep_layers)
        memcpy(layers, t->keep_layers, t->layers * sizeof *layers);
    else
        choose_layers(c, importance->influence, t->layers, layers);
    *p = (struct prune_plan){.config = pruned_config(c, t, layers), .layers = mem_zero(t->layers, sizeof *p->layers)};
    CHECK(model_config_check(&p->config, &e) == OK);
    for (size_t i = 0; i < t->layers; i++) {
        const struct layer_shape is = model_layer_shape(c, layers[i]), wanted = model_layer_shape(&p->config, i);
        const struct prune_layer_importance *of = &importance->layers[layers[i]];
        p->layers[i].layer = layers[i];
        choose_heads(&p->layers[i], &is, &wanted, of->heads);
        choose_channels(&p->layers[i], count_parts(c), prune_channels(c, layers[i]), prune_channels(&p->config, i),
                        of->channels);
    }
    mem_free(layers);
}

void prune_plan_free(struct prune_plan *p)
{
    for (size_t i = 0; p->layers && i < p->config.num_hidden_layers; i++) {
        mem_free(p->layers[i].heads);
        mem_free(p->layers[i].kv_heads);
        mem_free(p->layers[i].channels);
    }
    mem_free(p->layers);
    *p = (struct prune_plan){0};
}
