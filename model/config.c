#include "model/config.h"

#include <string.h>

static const struct architecture architectures[] = {
    {"llama", "llama", "LlamaForCausalLM", ROPE_INTERLEAVED},
};
static const char *const architecture_names[] = {"llama", NULL};

enum { N_ARCHITECTURES = sizeof architectures / sizeof architectures[0] };

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
     .maximum = 4096, .help = "width of one head; 0 is hidden_size / num_attention_heads"},
    {.key = "max_position_embeddings", .type = OPTION_SIZE,
     .offset = FIELD(max_position_embeddings), .default_value = "0", .maximum = 1 << 24,
     .help = "context length written into exported files; 0 takes train.max_seq_length"},
    {.key = "rms_norm_eps", .type = OPTION_FLOAT, .offset = FIELD(rms_norm_eps),
     .default_value = "1e-5", .minimum = 0, .maximum = 1,
     .help = "added to the mean square in RMSNorm"},
    {.key = "rope_theta", .type = OPTION_FLOAT, .offset = FIELD(rope_theta),
     .default_value = "10000", .minimum = 1, .maximum = 1e12,
     .help = "base of the rotary frequencies"},
    {.key = "tie_word_embeddings", .type = OPTION_BOOL, .offset = FIELD(tie_word_embeddings),
     .default_value = "true", .help = "use the embedding as the output layer too"},
    {.key = "resid_dropout", .type = OPTION_FLOAT, .offset = FIELD(resid_dropout),
     .default_value = "0", .minimum = 0, .maximum = 0.95,
     .help = "dropout on what each block adds to the residual stream, in training"},
    {.key = "initializer_range", .type = OPTION_FLOAT, .offset = FIELD(initializer_range),
     .default_value = "0.02", .minimum = 0, .maximum = 10,
     .help = "standard deviation of initial weights; layers that write to the residual stream get "
             "it divided by sqrt(2 * num_hidden_layers)"},
};
_Static_assert(sizeof model_options / sizeof *model_options == N_MODEL_OPTIONS, "count the rows");

const struct architecture *architecture_by_name(const char *name)
{
    for (int i = 0; i < N_ARCHITECTURES; i++)
        if (strcmp(architectures[i].name, name) == 0)
            return &architectures[i];
    return NULL;
}

const struct architecture *architecture_by_model_type(const char *model_type)
{
    for (int i = 0; i < N_ARCHITECTURES; i++)
        if (strcmp(architectures[i].model_type, model_type) == 0)
            return &architectures[i];
    return NULL;
}

const struct architecture *model_architecture(const struct model_config *c)
{
    return &architectures[c->architecture];
}

static int check_range(const char *key, size_t value, size_t least, size_t most, struct error *e)
{
    if (value < least || value > most)
        return error_set(e, ERR_USAGE, "model.%s is %zu; it must be from %zu to %zu", key, value,
                         least, most);
    return OK;
}

int model_config_check(struct model_config *c, struct error *e)
{
    if (c->num_key_value_heads == 0)
        c->num_key_value_heads = c->num_attention_heads;
    int code = check_range("hidden_size", c->hidden_size, 1, 1 << 17, e);
    if (!code)
        code = check_range("intermediate_size", c->intermediate_size, 1, 1 << 20, e);
    if (!code)
        code = check_range("num_hidden_layers", c->num_hidden_layers, 1, 512, e);
    if (!code)
        code = check_range("num_attention_heads", c->num_attention_heads, 1, 4096, e);
    if (!code)
        code = check_range("vocab_size", c->vocab_size, 1, 1 << 24, e);
    if (code)
        return code;
    if (c->num_key_value_heads > c->num_attention_heads ||
        c->num_attention_heads % c->num_key_value_heads != 0)
        return error_set(e, ERR_USAGE,
                         "model.num_key_value_heads is %zu; it must divide num_attention_heads "
                         "(%zu)", c->num_key_value_heads, c->num_attention_heads);
    if (c->head_dim == 0) {
        if (c->hidden_size % c->num_attention_heads != 0)
            return error_set(e, ERR_USAGE,
                             "model.hidden_size (%zu) is not a multiple of num_attention_heads "
                             "(%zu); change one of them or set head_dim",
                             c->hidden_size, c->num_attention_heads);
        c->head_dim = c->hidden_size / c->num_attention_heads;
    }
    if (c->head_dim % 2 != 0)
        return error_set(e, ERR_USAGE,
                         "the head size is %zu; rotary embeddings need an even one (head_dim, or "
                         "hidden_size / num_attention_heads)", c->head_dim);
    if (!(c->rms_norm_eps >= 0 && c->rms_norm_eps <= 1))
        return error_set(e, ERR_USAGE, "model.rms_norm_eps is %g; it must be from 0 to 1",
                         c->rms_norm_eps);
    if (!(c->rope_theta >= 1 && c->rope_theta <= 1e12))
        return error_set(e, ERR_USAGE, "model.rope_theta is %g; it must be from 1 to 1e12",
                         c->rope_theta);
    return check_range("head_dim", c->head_dim, 2, 4096, e);
}
