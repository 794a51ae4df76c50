/* Structured pruning: a smaller model made of whole layers, attention heads and feed-forward channels of a larger one,
 * which distillation then heals (Muralidharan et al., "Compact Language Models via Pruning and Knowledge Distillation",
 * 2024). What stays is chosen by what text makes of each part in the whole model, once, without gradients:
 *
 * - a layer by its influence, 1 - the mean cosine between the residual stream that enters it and the one that leaves it
 *   (Men et al., "ShortGPT", 2024);
 * - a head by the sum of squares of what it gives to attention's output matrix; a key/value head by that of all query
 *   heads that share it;
 * - a channel by the sum of squares of what it gives to the matrix `down`, in each expert for itself.
 *
 * Every layer keeps as many heads and channels as the others, each its own. In models whose layers differ (OpenELM) no
 * layer keeps more channels than that, those that have fewer lose none, and all heads stay. */
#ifndef LINNET_EXPORT_PRUNE_H
#define LINNET_EXPORT_PRUNE_H

#include "infer/importance.h"

/* How much parts of a model matter: larger is more. With E = num_experts, or 1 where the feed-forward is dense. */
struct prune_importance {
    size_t n_layers;
    double *influence; /* (n_layers) */
    struct prune_layer_importance {
        double *heads;    /* (query heads) */
        double *channels; /* (E, channels); of experts, not of one that all tokens go to */
    } *layers;            /* n_layers of them */
    size_t n_unseen;      /* experts of all layers that no token went to: their channels are all 0 */
};
/* Channels of a layer's dense feed-forward, or of each of its experts. */
size_t prune_channels(const struct model_config *c, size_t layer);

/* From a measurement with `influence` that has run to its end over a chunk at least (CHECK). */
void prune_importance_collect(struct prune_importance *p, const struct importance *from);
void prune_importance_free(struct prune_importance *p);

/* What is to stay; 0 or NULL: all of it. */
struct prune_target {
    size_t layers, heads, kv_heads;
    size_t channels;           /* of each dense feed-forward, or of each expert; one that all tokens go to keeps its own */
    const size_t *keep_layers; /* `layers` of them, ascending: these, whatever their influence */
};

/* Makes a target complete, so that every number says what stays (channels: the most in a layer): key/value heads bring
 * all query heads that share them; heads alone are as many of every key/value head's, or bring their own where each has
 * one. ERR_USAGE, naming the flag of linnet prune: more than there is; heads that are no multiple of the key/value heads
 * that stay, or heads where layers differ in them; layers that do not ascend, or break the order in which layers with and
 * without a window or a rotation take turns; nothing that goes. */
int prune_target_check(struct prune_target *t, const struct model_config *c, struct error *e);

/* Which parts of the layers that stay do, by their number in the whole model, ascending. */
struct prune_layer {
    size_t layer;
    size_t *heads;    /* (n_heads) */
    size_t *kv_heads; /* (n_kv_heads) */
    size_t *channels; /* (E, channels) */
    double heads_lost, channels_lost; /* share of the layer's importance that goes: 0 to 1 */
};
struct prune_plan {
    struct model_config config;  /* of the pruned model: checked */
    struct prune_layer *layers;  /* config.num_hidden_layers of them */
};

/* Chooses. The target must be checked, the importance that of a model of this configuration. Of equals the first stay.
 * Layers: those of the largest sum of influences among all choices that leave windows and rotations at places where the
 * family has them. */
void prune_plan_init(struct prune_plan *p, const struct model_config *c, const struct prune_target *t,
                     const struct prune_importance *importance);
void prune_plan_free(struct prune_plan *p);

/* Makes the pruned model, in f32 memory of its own, from one of any type that is neither split nor interleaved (CHECK).
 * ERR_MEMORY. On failure there is nothing to free. */
int prune_model(const struct prune_plan *p, const struct model *from, struct model *to, struct error *e);

#endif
