#include "model/config.h"

#include <math.h>
#include <string.h>

static const char *const rope_types[] = {"default", "linear", "dynamic", "llama3",
                                         "yarn",    "longrope", NULL};

#define SIZE_OPTION(name, most, text) \
    {.key = #name, .type = OPTION_SIZE, .offset = offsetof(struct model_config, name), \
     .default_value = "0", .minimum = 0, .maximum = most, .help = text}
#define FLOAT_OPTION(path, text) \
    {.key = #path, .type = OPTION_FLOAT, .offset = offsetof(struct model_config, path), \
     .default_value = "0", .minimum = 0, .maximum = 1e12, .help = text}
#define BOOL_OPTION(name, value, text) \
    {.key = #name, .type = OPTION_BOOL, .offset = offsetof(struct model_config, name), \
     .default_value = value, .help = text}
#define LIST_OPTION(path, least, most, text) \
    {.key = #path, .type = OPTION_NUMBERS, .offset = offsetof(struct model_config, path), \
     .minimum = least, .maximum = most, .help = text}
#define FIELD(member) offsetof(struct model_config, member)

const struct option model_options[] = {
    {.key = "architecture", .type = OPTION_ENUM, .offset = FIELD(architecture),
     .default_value = "llama", .choices = architecture_names,
     .help = "family of decoders: norm, activation and attention variants"},
    {.key = "vocab_size", .type = OPTION_SIZE, .offset = FIELD(vocab_size), .default_value = "0",
     .minimum = 0, .maximum = 1 << 24, .help = "rows of the embedding; 0 takes the tokenizer's size"},
    {.key = "hidden_size", .type = OPTION_SIZE, .offset = FIELD(hidden_size),
     .default_value = "256", .minimum = 1, .maximum = 1 << 17,
     .help = "width of the residual stream"},
    {.key = "intermediate_size", .type = OPTION_SIZE, .offset = FIELD(intermediate_size),
     .default_value = "768", .minimum = 1, .maximum = 1 << 20,
     .help = "width of the feed-forward layer"},
    {.key = "num_hidden_layers", .type = OPTION_SIZE, .offset = FIELD(num_hidden_layers),
     .default_value = "6", .minimum = 1, .maximum = 512, .help = "blocks"},
    {.key = "num_attention_heads", .type = OPTION_SIZE, .offset = FIELD(num_attention_heads),
     .default_value = "8", .minimum = 1, .maximum = 4096, .help = "query heads"},
    {.key = "num_key_value_heads", .type = OPTION_SIZE, .offset = FIELD(num_key_value_heads),
     .default_value = "0", .maximum = 4096,
     .help = "key and value heads, shared by groups of query heads; 0 gives each query head its "
             "own"},
    {.key = "head_dim", .type = OPTION_SIZE, .offset = FIELD(head_dim), .default_value = "0",
     .maximum = 4096, .help = "width of one head; 0 is hidden_size / num_attention_heads (Gemma: 256, "
                              "Qwen3: 128)"},
    {.key = "max_position_embeddings", .type = OPTION_SIZE,
     .offset = FIELD(max_position_embeddings), .default_value = "0", .maximum = 1 << 24,
     .help = "context length written into exported files; 0 takes train.max_seq_length"},
    {.key = "rms_norm_eps", .type = OPTION_FLOAT, .offset = FIELD(rms_norm_eps),
     .default_value = "1e-5", .minimum = 0, .maximum = 1,
     .help = "added to the mean square (or variance) in norms"},
    {.key = "rope_theta", .type = OPTION_FLOAT, .offset = FIELD(rope_theta),
     .default_value = "10000", .minimum = 1, .maximum = 1e12,
     .help = "base of the rotary frequencies"},
    {.key = "partial_rotary_factor", .type = OPTION_FLOAT, .offset = FIELD(partial_rotary_factor),
     .default_value = "1", .minimum = 0, .maximum = 1, .help = "share of each head that is rotated"},
    {.key = "rope_scaling.type", .type = OPTION_ENUM, .offset = FIELD(rope_scaling.type),
     .default_value = "default", .choices = rope_types,
     .help = "how rotary frequencies are stretched for contexts longer than trained"},
    FLOAT_OPTION(rope_scaling.factor, "by how much the context is longer"),
    {.key = "rope_scaling.original_max_position_embeddings", .type = OPTION_SIZE,
     .offset = FIELD(rope_scaling.original_max_position_embeddings), .default_value = "0",
     .maximum = 1 << 24, .help = "context length before; 0 is max_position_embeddings"},
    FLOAT_OPTION(rope_scaling.low_freq_factor, "llama3: below it, frequencies are divided by factor"),
    FLOAT_OPTION(rope_scaling.high_freq_factor, "llama3: above it, frequencies stay"),
    FLOAT_OPTION(rope_scaling.beta_fast, "yarn: turns within the context above which frequencies stay; "
                                         "0 is 32"),
    FLOAT_OPTION(rope_scaling.beta_slow, "yarn: turns below which they are divided by factor; 0 is 1"),
    FLOAT_OPTION(rope_scaling.attention_factor, "yarn, longrope: cosines and sines are multiplied by it; "
                                                "0 is the formula of their papers"),
    LIST_OPTION(rope_scaling.short_factor, 1e-6, 1e6,
                "longrope: divisors of the frequencies in contexts up to the original length"),
    LIST_OPTION(rope_scaling.long_factor, 1e-6, 1e6, "longrope: divisors in longer ones"),
    {.key = "tie_word_embeddings", .type = OPTION_BOOL, .offset = FIELD(tie_word_embeddings),
     .default_value = "true", .help = "use the embedding as the output layer too"},
    {.key = "resid_dropout", .type = OPTION_FLOAT, .offset = FIELD(resid_dropout),
     .default_value = "0", .minimum = 0, .maximum = 0.95,
     .help = "dropout on what each block adds to the residual stream, in training"},
    {.key = "initializer_range", .type = OPTION_FLOAT, .offset = FIELD(initializer_range),
     .default_value = "0.02", .minimum = 0, .maximum = 10,
     .help = "standard deviation of initial weights; layers that write to the residual stream get "
             "it divided by sqrt(2 * num_hidden_layers)"},
    BOOL_OPTION(attention_bias, "false", "biases in attention (llama, granite, stablelm, phimoe)"),
    BOOL_OPTION(mlp_bias, "false", "biases in the feed-forward layer (llama, granite)"),
    BOOL_OPTION(lm_head_bias, "false", "a bias in the output layer (phimoe)"),
    BOOL_OPTION(qk_layernorm, "false", "norms on queries and keys, weights for each head (stablelm)"),
    BOOL_OPTION(use_parallel_residual, "false", "attention and feed-forward side by side (stablelm)"),
    SIZE_OPTION(sliding_window, 1 << 24, "keys a query sees (mistral, phi3, gemma2, gemma3, ...); 0: all"),
    SIZE_OPTION(sliding_window_pattern, 512, "every so many layers one without the window; 0: as usual "
                                             "in the family (gemma2: 2, gemma3: 6, others: none)"),
    FLOAT_OPTION(rope_local_base_freq, "rope_theta of the layers with a window (gemma3); 0 is 10000"),
    SIZE_OPTION(no_rope_layer_interval, 512, "every so many layers one without rotation (smollm3); 0 is 4"),
    FLOAT_OPTION(query_pre_attn_scalar, "scores are divided by its square root (gemma2, gemma3); 0 is "
                                        "head_dim"),
    FLOAT_OPTION(attn_logit_softcapping, "bound of scores (gemma2); 0: none"),
    FLOAT_OPTION(final_logit_softcapping, "bound of logits (gemma2, gemma3); 0: none"),
    FLOAT_OPTION(embedding_multiplier, "scale of embeddings (granite); 0 is 1"),
    FLOAT_OPTION(residual_multiplier, "scale of what a block adds (granite); 0 is 1"),
    FLOAT_OPTION(attention_multiplier, "scale of scores (granite); 0 is 1 / sqrt(head_dim)"),
    FLOAT_OPTION(logits_scaling, "logits are divided by it (granite); 0 is 1"),
    SIZE_OPTION(num_experts, 4096, "experts of a layer (mixtral, qwen2moe, qwen3moe, olmoe, phimoe)"),
    SIZE_OPTION(num_experts_per_tok, 4096, "experts that a token goes to; 0 is 2"),
    SIZE_OPTION(moe_intermediate_size, 1 << 20, "width of an expert; 0 is intermediate_size"),
    SIZE_OPTION(shared_expert_intermediate_size, 1 << 20,
                "width of the expert that all tokens go to (qwen2moe); 0: none"),
    BOOL_OPTION(norm_topk_prob, "false", "the chosen experts' weights are made to sum to 1 (qwen2moe, "
                                         "qwen3moe, olmoe; always in mixtral and phimoe)"),
    FLOAT_OPTION(router_aux_loss_coef, "weight of the load-balancing loss in training"),
    LIST_OPTION(num_query_heads, 1, 4096, "query heads of each layer (openelm)"),
    LIST_OPTION(num_kv_heads, 1, 4096, "key and value heads of each layer (openelm)"),
    LIST_OPTION(intermediate_sizes, 1, 1 << 20, "width of each layer's feed-forward (openelm)"),
};
_Static_assert(sizeof model_options / sizeof *model_options == N_MODEL_OPTIONS, "count the rows");

const struct architecture *model_architecture(const struct model_config *c)
{
    return &architectures[c->architecture];
}

bool model_option_is_optional(const struct option *row)
{
    return row->offset >= FIELD(attention_bias);
}

static bool is_set(const struct option *row, const struct model_config *c)
{
    const void *field = (const char *)c + row->offset;
    switch (row->type) {
    case OPTION_BOOL:
        return *(const bool *)field;
    case OPTION_SIZE:
        return *(const size_t *)field != 0;
    case OPTION_FLOAT:
        return *(const double *)field != 0;
    case OPTION_NUMBERS:
        return ((const struct option_numbers *)field)->count > 0;
    default:
        return false;
    }
}

static int check_limits(const struct option *row, const struct model_config *c, struct error *e)
{
    const void *field = (const char *)c + row->offset;
    double least = row->minimum, most = row->maximum;
    if (row->type == OPTION_SIZE) {
        size_t value = *(const size_t *)field;
        if (strcmp(row->key, "vocab_size") == 0)
            least = 1;
        if ((double)value < least || (double)value > most)
            return error_set(e, ERR_USAGE, "model.%s is %zu; it must be from %.0f to %.0f", row->key,
                             value, least, most);
    } else if (row->type == OPTION_FLOAT) {
        double value = *(const double *)field;
        if (!(value >= least && value <= most))
            return error_set(e, ERR_USAGE, "model.%s is %g; it must be from %g to %g", row->key, value,
                             least, most);
    } else if (row->type == OPTION_NUMBERS) {
        const struct option_numbers *list = field;
        for (size_t i = 0; i < list->count; i++)
            if (!(list->items[i] >= least && list->items[i] <= most))
                return error_set(e, ERR_USAGE, "model.%s holds %g; items must be from %g to %g",
                                 row->key, list->items[i], least, most);
    }
    return OK;
}

static int check_options(const struct model_config *c, struct error *e)
{
    const struct architecture *a = model_architecture(c);
    for (size_t i = 0; i < N_MODEL_OPTIONS; i++) {
        const struct option *row = &model_options[i];
        int code = check_limits(row, c, e);
        if (code)
            return code;
        if (model_option_is_optional(row) && is_set(row, c) && !architecture_has_key(a, row->key))
            return error_set(e, ERR_USAGE, "model.%s is set; %s models have nothing of the kind",
                             row->key, a->name);
    }
    return OK;
}

static int check_heads(size_t heads, size_t kv_heads, struct error *e)
{
    if (kv_heads <= heads && heads % kv_heads == 0)
        return OK;
    return error_set(e, ERR_USAGE,
                     "model.num_key_value_heads is %zu; it must divide num_attention_heads (%zu)",
                     kv_heads, heads);
}

static int check_lists(const struct model_config *c, struct error *e)
{
    const struct {
        const char *key;
        const struct option_numbers *list;
    } lists[] = {{"num_query_heads", &c->num_query_heads},
                 {"num_kv_heads", &c->num_kv_heads},
                 {"intermediate_sizes", &c->intermediate_sizes}};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        const struct option_numbers *list = lists[i].list;
        if (list->count && list->count != c->num_hidden_layers)
            return error_set(e, ERR_USAGE, "model.%s has %zu items for %zu layers", lists[i].key,
                             list->count, c->num_hidden_layers);
        for (size_t j = 0; j < list->count; j++)
            if (list->items[j] != floor(list->items[j]))
                return error_set(e, ERR_USAGE, "model.%s holds %g; it must be whole", lists[i].key,
                                 list->items[j]);
    }
    int code = OK;
    for (size_t i = 0; i < c->num_hidden_layers && !code; i++) {
        struct layer_shape s = model_layer_shape(c, i);
        code = check_heads(s.n_heads, s.n_kv_heads, e);
    }
    return code;
}

static int check_rope(const struct model_config *c, struct error *e)
{
    const struct rope_scaling *s = &c->rope_scaling;
    size_t half = model_rotary_dim(c) / 2;
    if (model_rotary_dim(c) % 2 != 0 || half == 0)
        return error_set(e, ERR_USAGE,
                         "model.partial_rotary_factor is %g: %zu of a head's %zu components, which "
                         "must be an even number above 0", c->partial_rotary_factor,
                         model_rotary_dim(c), c->head_dim);
    if (s->type != ROPE_DEFAULT && s->type != ROPE_LONGROPE && s->factor < 1)
        return error_set(e, ERR_USAGE, "model.rope_scaling.factor is %g; it must be at least 1",
                         s->factor);
    if (s->type == ROPE_LLAMA3 && !(s->low_freq_factor > 0 && s->high_freq_factor > s->low_freq_factor))
        return error_set(e, ERR_USAGE,
                         "model.rope_scaling: low_freq_factor (%g) must be above 0 and high_freq_factor "
                         "(%g) above that", s->low_freq_factor, s->high_freq_factor);
    if (s->type == ROPE_LONGROPE && (s->short_factor.count != half || s->long_factor.count != half))
        return error_set(e, ERR_USAGE,
                         "model.rope_scaling: short_factor has %zu numbers and long_factor %zu; both "
                         "must have %zu, half of the rotated components", s->short_factor.count,
                         s->long_factor.count, half);
    if ((s->type == ROPE_YARN || s->type == ROPE_LONGROPE) && s->original_max_position_embeddings == 1)
        return error_set(e, ERR_USAGE, "model.rope_scaling.original_max_position_embeddings is 1; it must be "
                                       "at least 2");
    if (s->type > ROPE_LINEAR && !s->original_max_position_embeddings && !c->max_position_embeddings)
        return error_set(e, ERR_USAGE, "model.rope_scaling.original_max_position_embeddings is missing");
    return OK;
}

static int check_experts(const struct model_config *c, struct error *e)
{
    if (!model_architecture(c)->has_experts)
        return OK;
    if (c->num_experts == 0)
        return error_set(e, ERR_USAGE, "model.num_experts is 0; %s models have experts",
                         model_architecture(c)->name);
    if (c->num_experts_per_tok > c->num_experts)
        return error_set(e, ERR_USAGE, "model.num_experts_per_tok is %zu of %zu experts",
                         c->num_experts_per_tok, c->num_experts);
    return OK;
}

/* What may be left 0, and means what is usual in the family. */
static int fill_defaults(struct model_config *c, struct error *e)
{
    const struct architecture *a = model_architecture(c);
    if (c->num_key_value_heads == 0)
        c->num_key_value_heads = c->num_attention_heads;
    if (c->head_dim == 0)
        c->head_dim = a->default_head_dim;
    if (c->head_dim == 0 && c->num_attention_heads) {
        if (c->hidden_size % c->num_attention_heads != 0)
            return error_set(e, ERR_USAGE,
                             "model.hidden_size (%zu) is not a multiple of num_attention_heads "
                             "(%zu); change one of them or set head_dim",
                             c->hidden_size, c->num_attention_heads);
        c->head_dim = c->hidden_size / c->num_attention_heads;
    }
    if (c->query_pre_attn_scalar == (double)c->head_dim)
        c->query_pre_attn_scalar = 0;
    if (c->partial_rotary_factor == 0)
        c->partial_rotary_factor = 1;
    if (c->sliding_window_pattern == 0)
        c->sliding_window_pattern = a->window_pattern;
    if (c->sliding_window_pattern == 1) /* every layer is one without it */
        c->sliding_window = 0;
    if (architecture_has_key(a, "no_rope_layer_interval") && c->no_rope_layer_interval == 0)
        c->no_rope_layer_interval = 4;
    if (architecture_has_key(a, "rope_local_base_freq") && c->rope_local_base_freq == 0)
        c->rope_local_base_freq = 10000;
    if (a->has_experts && c->num_experts_per_tok == 0)
        c->num_experts_per_tok = 2;
    return OK;
}

int model_config_check(struct model_config *c, struct error *e)
{
    int code = fill_defaults(c, e);
    if (!code)
        code = check_options(c, e);
    if (!code)
        code = check_heads(c->num_attention_heads, c->num_key_value_heads, e);
    if (!code && c->head_dim % 2 != 0)
        return error_set(e, ERR_USAGE,
                         "the head size is %zu; rotary embeddings need an even one (head_dim, or "
                         "hidden_size / num_attention_heads)", c->head_dim);
    if (!code && c->head_dim < 2)
        return error_set(e, ERR_USAGE, "model.head_dim is %zu; it must be from 2 to 4096", c->head_dim);
    if (!code)
        code = check_lists(c, e);
    if (!code)
        code = check_rope(c, e);
    return code ? code : check_experts(c, e);
}

static size_t item_or(const struct option_numbers *list, size_t i, size_t other)
{
    return i < list->count ? (size_t)list->items[i] : other;
}

/* Whether layer i is the last of a group of n, the one that differs. */
static bool ends_group(size_t i, size_t n)
{
    return n > 0 && (i + 1) % n == 0;
}

struct layer_shape model_layer_shape(const struct model_config *c, size_t i)
{
    struct layer_shape s = {
        .n_heads = item_or(&c->num_query_heads, i, c->num_attention_heads),
        .n_kv_heads = item_or(&c->num_kv_heads, i, c->num_key_value_heads),
        .intermediate_size = item_or(&c->intermediate_sizes, i, c->intermediate_size),
        .rotates = !ends_group(i, c->no_rope_layer_interval),
    };
    if (model_architecture(c)->has_experts)
        s.intermediate_size = c->shared_expert_intermediate_size;
    bool everywhere = ends_group(i, c->sliding_window_pattern);
    s.window = everywhere ? 0 : c->sliding_window;
    s.local_rope = c->rope_local_base_freq > 0 && s.window > 0;
    return s;
}

size_t model_rotary_dim(const struct model_config *c)
{
    return (size_t)((double)c->head_dim * c->partial_rotary_factor + 1e-6);
}

size_t model_expert_size(const struct model_config *c)
{
    return c->moe_intermediate_size ? c->moe_intermediate_size : c->intermediate_size;
}

double model_attention_scale(const struct model_config *c)
{
    if (c->attention_multiplier > 0)
        return c->attention_multiplier;
    return 1 / sqrtf((float)(c->query_pre_attn_scalar > 0 ? c->query_pre_attn_scalar
                                                           : (double)c->head_dim));
}

double model_embedding_scale(const struct model_config *c)
{
    if (model_architecture(c)->embedding_by_root)
        return sqrt((double)c->hidden_size);
    return c->embedding_multiplier > 0 ? c->embedding_multiplier : 1;
}

double model_residual_scale(const struct model_config *c)
{
    return c->residual_multiplier > 0 ? c->residual_multiplier : 1;
}

double model_logit_scale(const struct model_config *c)
{
    return c->logits_scaling > 0 ? 1 / c->logits_scaling : 1;
}

int model_biases(const struct model_config *c)
{
    const struct architecture *a = model_architecture(c);
    return a->biases | (c->attention_bias ? a->attention_biases : 0) | (c->mlp_bias ? BIAS_MLP : 0) |
           (c->lm_head_bias ? BIAS_HEAD : 0);
}

enum qk_norm model_qk_norm(const struct model_config *c)
{
    enum qk_norm kind = model_architecture(c)->qk_norm;
    return kind == QK_NORM_EACH && !c->qk_layernorm ? QK_NORM_NONE : kind;
}

bool model_renormalises(const struct model_config *c)
{
    const struct architecture *a = model_architecture(c);
    return architecture_has_key(a, "norm_topk_prob") ? c->norm_topk_prob : a->renormalises;
}
