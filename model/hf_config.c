#include "model/hf_config.h"

#include "base/check.h"
#include "model/rope_scaling.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- names --- */

/* What " key=value key=value " says of a key; NULL: nothing. */
static const char *listed(const char *list, const char *key)
{
    char pattern[64];
    size_t n = (size_t)snprintf(pattern, sizeof pattern, " %s=", key);
    const char *at = list ? strstr(list, pattern) : NULL;
    return at ? at + n : NULL;
}

/* What an option is called in this family's config.json. */
static const char *hf_key(const struct architecture *a, const char *key, char out[64])
{
    const char *alias = listed(a->hf_aliases, key);
    if (!alias)
        return key;
    snprintf(out, 64, "%.*s", (int)strcspn(alias, " "), alias);
    return out;
}

/* Options that config.json says in another way, or not at all. */
static bool is_plain(const struct option *row)
{
    static const char *const others[] = {"architecture", "resid_dropout", "sliding_window_pattern",
                                         "no_rope_layer_interval", "intermediate_sizes",
                                         "rope_theta", "partial_rotary_factor"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(row->key, others[i]) == 0)
            return false;
    return !strchr(row->key, '.');
}

/* --- reading --- */

static int read_numbers(const json_t *object, const char *key, struct option_numbers *list,
                        struct error *e)
{
    const json_t *array = json_object_get(object, key);
    if (!array || json_is_null(array))
        return OK;
    if (!json_is_array(array) || json_array_size(array) > OPTION_MOST_NUMBERS)
        return error_set(e, ERR_FORMAT, "\"%s\" must be a list of at most %d numbers", key,
                         OPTION_MOST_NUMBERS);
    list->count = json_array_size(array);
    for (size_t i = 0; i < list->count; i++) {
        const json_t *item = json_array_get(array, i);
        if (!json_is_number(item))
            return error_set(e, ERR_FORMAT, "\"%s\": item %zu is not a number", key, i);
        list->items[i] = json_number_value(item);
    }
    return OK;
}

static void set_number(struct model_config *c, const struct option *row, double value)
{
    void *field = (char *)c + row->offset;
    if (row->type == OPTION_SIZE)
        *(size_t *)field = (size_t)value;
    else if (row->type == OPTION_FLOAT)
        *(double *)field = value;
}

static void set_defaults(const struct architecture *a, struct model_config *c)
{
    for (size_t i = 0; i < N_MODEL_OPTIONS; i++) {
        const char *value = listed(a->hf_defaults, model_options[i].key);
        if (value)
            set_number(c, &model_options[i], strtod(value, NULL));
    }
}

/* null is 0, none, and not what the family does without the key. */
static int read_option(const json_t *root, const char *key, const struct option *row,
                       struct model_config *c, struct error *e)
{
    void *field = (char *)c + row->offset;
    if (json_is_null(json_object_get(root, key)))
        set_number(c, row, 0);
    switch (row->type) {
    case OPTION_SIZE:
        return json_get_size(root, key, field, e);
    case OPTION_FLOAT:
        return json_get_double(root, key, field, e);
    case OPTION_BOOL:
        return json_get_bool(root, key, field, e);
    case OPTION_NUMBERS:
        return read_numbers(root, key, field, e);
    default:
        CHECK(!"a type that config.json has");
        return ERR_FORMAT;
    }
}

static int read_options(const json_t *root, const struct architecture *a, struct model_config *c,
                        struct error *e)
{
    int code = OK;
    for (size_t i = 0; i < N_MODEL_OPTIONS && !code; i++) {
        const struct option *row = &model_options[i];
        char buffer[64];
        bool optional = model_option_is_optional(row);
        if (!is_plain(row) || (optional && architecture_ignores_key(a, row->key)))
            continue;
        code = read_option(root, hf_key(a, row->key, buffer), row, c, e);
    }
    return code;
}

/* One object of "rope_scaling", or of "rope_parameters" in files of transformers 5. */
static int read_rope_object(const json_t *rope, const char *key, struct model_config *c, double *theta,
                            struct error *e)
{
    static const struct {
        const char *name;
        enum rope_type type;
    } types[] = {{"default", ROPE_DEFAULT}, {"linear", ROPE_LINEAR}, {"dynamic", ROPE_DYNAMIC},
                 {"llama3", ROPE_LLAMA3},   {"yarn", ROPE_YARN},     {"longrope", ROPE_LONGROPE},
                 {"su", ROPE_LONGROPE} /* its first name, in Phi-3's files */};
    struct rope_scaling *s = &c->rope_scaling;
    if (!json_is_object(rope))
        return error_set(e, ERR_FORMAT, "\"%s\" is not an object", key);
    const char *type = "default";
    int code = json_get_string(rope, "type", &type, e); /* the older name */
    if (!code)
        code = json_get_string(rope, "rope_type", &type, e);
    if (code)
        return code;
    size_t i = 0, n = sizeof types / sizeof *types;
    while (i < n && strcmp(types[i].name, type) != 0)
        i++;
    if (i == n)
        return error_set(e, ERR_FORMAT, "\"%s\" is of type \"%s\", which linnet does not know", key,
                         type);
    s->type = types[i].type;
    for (size_t j = 0; j < 2; j++) {
        const char *unknown = j ? "mscale_all_dim" : "mscale";
        if (s->type == ROPE_YARN && json_object_get(rope, unknown))
            return error_set(e, ERR_FORMAT, "\"%s\": \"%s\" is not supported", key, unknown);
    }
    if (s->type == ROPE_YARN && json_is_false(json_object_get(rope, "truncate")))
        return error_set(e, ERR_FORMAT, "\"%s\": \"truncate\" is false, which is not supported", key);
    double long_scale = json_number_value(json_object_get(rope, "long_mscale"));
    if (long_scale != json_number_value(json_object_get(rope, "short_mscale")))
        return error_set(e, ERR_FORMAT, "\"%s\": \"long_mscale\" and \"short_mscale\" differ, which is not "
                                        "supported", key);
    const struct {
        const char *name;
        double *value;
    } doubles[] = {{"rope_theta", theta}, {"factor", &s->factor},
                   {"low_freq_factor", &s->low_freq_factor},
                   {"high_freq_factor", &s->high_freq_factor},
                   {"beta_fast", &s->beta_fast}, {"beta_slow", &s->beta_slow},
                   {"attention_factor", &s->attention_factor},
                   {"long_mscale", &s->attention_factor}, /* Phi-3.5-MoE, equal to short_mscale */
                   {"partial_rotary_factor", &c->partial_rotary_factor}};
    for (size_t j = 0; j < sizeof doubles / sizeof *doubles && !code; j++)
        code = json_get_double(rope, doubles[j].name, doubles[j].value, e);
    if (!code)
        code = json_get_size(rope, "original_max_position_embeddings",
                             &s->original_max_position_embeddings, e);
    if (!code)
        code = read_numbers(rope, "short_factor", &s->short_factor, e);
    return code ? code : read_numbers(rope, "long_factor", &s->long_factor, e);
}

static int read_rope(const json_t *root, const struct architecture *a, struct model_config *c,
                     struct error *e)
{
    const json_t *scaling = json_object_get(root, "rope_scaling"),
                 *parameters = json_object_get(root, "rope_parameters");
    char buffer[64];
    int code = json_get_double(root, hf_key(a, "rope_theta", buffer), &c->rope_theta, e);
    if (!code)
        code = json_get_double(root, "partial_rotary_factor", &c->partial_rotary_factor, e);
    if (!code)
        code = json_get_size(root, "original_max_position_embeddings",
                             &c->rope_scaling.original_max_position_embeddings, e);
    if (!code && scaling && !json_is_null(scaling))
        code = read_rope_object(scaling, "rope_scaling", c, &c->rope_theta, e);
    const json_t *full = json_object_get(parameters, "full_attention"),
                 *sliding = json_object_get(parameters, "sliding_attention");
    if (!code && sliding && architecture_has_key(a, "rope_local_base_freq")) {
        struct model_config local = *c;
        code = read_rope_object(sliding, "rope_parameters", &local, &c->rope_local_base_freq, e);
        if (!code && local.rope_scaling.type != ROPE_DEFAULT)
            code = error_set(e, ERR_FORMAT,
                             "\"rope_parameters\": the layers with a window are scaled too, which is "
                             "not supported");
    }
    if (!code && parameters && !json_is_null(parameters))
        code = read_rope_object(full ? full : parameters, "rope_parameters", c, &c->rope_theta, e);
    return code;
}

/* "layer_types", one a layer, as the distance between layers that differ. */
static int read_layer_types(const json_t *root, struct model_config *c, struct error *e)
{
    const json_t *types = json_object_get(root, "layer_types");
    if (!types || json_is_null(types))
        return OK;
    if (!json_is_array(types) || json_array_size(types) != c->num_hidden_layers)
        return error_set(e, ERR_FORMAT, "\"layer_types\" must be a list of %zu", c->num_hidden_layers);
    size_t n = c->num_hidden_layers, first = 0, n_full = 0;
    for (size_t i = 0; i < n; i++) {
        const char *type = json_string_value(json_array_get(types, i));
        bool full = type && strcmp(type, "full_attention") == 0;
        if (!full && !(type && strcmp(type, "sliding_attention") == 0))
            return error_set(e, ERR_FORMAT, "\"layer_types\": \"%s\" is not supported",
                             type ? type : "(no string)");
        if (full && n_full++ == 0)
            first = i;
    }
    if (n_full == n)
        c->sliding_window = 0;
    if (n_full == n || c->sliding_window == 0)
        return OK;
    if (n_full == 0 && !architecture_has_key(model_architecture(c), "sliding_window_pattern"))
        return OK; /* as usual in the family */
    c->sliding_window_pattern = n_full ? first + 1 : n + 1;
    for (size_t i = 0; i < n; i++) {
        bool full = strcmp(json_string_value(json_array_get(types, i)), "full_attention") == 0;
        if (full != ((i + 1) % c->sliding_window_pattern == 0))
            return error_set(e, ERR_FORMAT,
                             "\"layer_types\": layer %zu breaks the pattern of one layer without a "
                             "window in %zu", i, c->sliding_window_pattern);
    }
    return OK;
}

/* "no_rope_layers": 1 for a layer that rotates (sic). */
static int read_no_rope_layers(const json_t *root, struct model_config *c, struct error *e)
{
    struct option_numbers layers = {0};
    int code = json_get_size(root, "no_rope_layer_interval", &c->no_rope_layer_interval, e);
    if (!code)
        code = read_numbers(root, "no_rope_layers", &layers, e);
    if (code || layers.count == 0)
        return code;
    if (c->no_rope_layer_interval == 0)
        c->no_rope_layer_interval = 4;
    for (size_t i = 0; i < c->num_hidden_layers; i++)
        if (i >= layers.count ||
            (layers.items[i] != 0) != ((i + 1) % c->no_rope_layer_interval != 0))
            return error_set(e, ERR_FORMAT,
                             "\"no_rope_layers\" is no list of %zu with every %zuth layer 0",
                             c->num_hidden_layers, c->no_rope_layer_interval);
    return OK;
}

/* A list of counts, which are about to be converted to whole numbers. */
static int check_counts(const char *key, const struct option_numbers *list, double most, struct error *e)
{
    if (list->count == 0)
        return error_set(e, ERR_FORMAT, "\"%s\" must be a list, one number a layer", key);
    for (size_t i = 0; i < list->count; i++)
        if (!(list->items[i] >= 1 && list->items[i] <= most))
            return error_set(e, ERR_FORMAT, "\"%s\": item %zu stands for %g; it must be from 1 to %g", key, i,
                             list->items[i], most);
    return OK;
}

/* OpenELM's widths grow with the layer: ffn_multipliers, rounded up to multiples of ffn_dim_divisor (and
 * never down by more than a tenth: modeling_openelm.py's make_divisible). */
static int read_openelm(const json_t *root, struct model_config *c, struct error *e)
{
    struct option_numbers factors = {0};
    double divisor = 256;
    int code = read_numbers(root, "ffn_multipliers", &factors, e);
    if (!code)
        code = json_get_double(root, "ffn_dim_divisor", &divisor, e);
    if (code)
        return code;
    if (factors.count == 0 || factors.count != c->num_hidden_layers)
        return error_set(e, ERR_FORMAT, "\"ffn_multipliers\" must be a list of %zu, one a layer",
                         c->num_hidden_layers);
    if (!(divisor >= 1 && divisor <= 1 << 20))
        return error_set(e, ERR_FORMAT, "\"ffn_dim_divisor\" is %g", divisor);
    code = check_counts("num_query_heads", &c->num_query_heads, 4096, e);
    if (!code)
        code = check_counts("num_kv_heads", &c->num_kv_heads, 4096, e);
    if (code)
        return code;
    c->intermediate_sizes.count = factors.count;
    for (size_t i = 0; i < factors.count; i++) {
        double width = factors.items[i] * (double)c->hidden_size;
        double whole = fmax(divisor, floor((width + divisor / 2) / divisor) * divisor);
        c->intermediate_sizes.items[i] = whole < 0.9 * width ? whole + divisor : whole;
    }
    code = check_counts("ffn_multipliers", &c->intermediate_sizes, 1 << 20, e);
    if (code)
        return code;
    c->intermediate_size = (size_t)c->intermediate_sizes.items[factors.count - 1];
    c->num_attention_heads = (size_t)c->num_query_heads.items[c->num_query_heads.count - 1];
    c->num_key_value_heads = (size_t)c->num_kv_heads.items[c->num_kv_heads.count - 1];
    return OK;
}

/* Features that a key would switch on and that the decoder does not have. */
static int refuse_unsupported(const json_t *root, const struct architecture *a, struct error *e)
{
    static const struct {
        const char *key;
        double allowed;
    } numbers[] = {{"use_sliding_window", 0}, {"decoder_sparse_step", 1}, {"num_nextn_predict_layers", 0},
                   {"attn_bias", 0}, {"use_mla", 0}, {"clip_qkv", 0},
                   {"use_bidirectional_attention", 0}, {"ffn_with_glu", 1},
                   {"normalize_qk_projections", 1}, {"qkv_bias", 1}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        const json_t *v = json_object_get(root, numbers[i].key);
        double value = json_is_true(v) ? 1 : json_is_number(v) ? json_number_value(v) : 0;
        if (v && !json_is_null(v) && value != numbers[i].allowed)
            return error_set(e, ERR_FORMAT, "\"%s\" is %g, which is not supported", numbers[i].key,
                             value);
    }
    double noise = json_number_value(json_object_get(root, "router_jitter_noise"));
    if (a->sparsemixer && noise != 0 && noise != 0.01)
        return error_set(e, ERR_FORMAT, "\"router_jitter_noise\" is %g; it is 0.01 in all models that linnet "
                                        "knows, and decides between experts", noise);
    if (json_array_size(json_object_get(root, "mlp_only_layers")) > 0)
        return error_set(e, ERR_FORMAT, "\"mlp_only_layers\": layers without experts among layers with "
                                        "them are not supported");
    if (json_is_object(json_object_get(root, "quantization_config")))
        return error_set(e, ERR_FORMAT,
                         "\"quantization_config\": the weights are packed for another program; take the "
                         "model's original files, or its GGUF");
    return OK;
}

static int check_activation(const json_t *root, const struct architecture *a, struct error *e)
{
    const char *name = a->activation == ACTIVATION_SILU ? "silu" : "gelu_pytorch_tanh";
    const char *key = json_is_string(json_object_get(root, "hidden_activation")) ? "hidden_activation"
                      : json_object_get(root, "activation_fn_name")              ? "activation_fn_name"
                                                                                 : "hidden_act";
    const char *found = name;
    int code = json_get_string(root, key, &found, e);
    /* Gemma's first files said gelu and meant its approximation; OpenELM says swish */
    bool same = strcmp(found, name) == 0 ||
                (a->activation == ACTIVATION_GELU_TANH && strcmp(found, "gelu") == 0) ||
                (a->activation == ACTIVATION_SILU && strcmp(found, "swish") == 0);
    if (!code && !same)
        code = error_set(e, ERR_FORMAT, "\"%s\" is \"%s\"; %s models have %s", key, found, a->name, name);
    return code;
}

static int check_needed(const json_t *root, const struct architecture *a, struct error *e)
{
    static const char *const needed[] = {"vocab_size", "hidden_size", "num_hidden_layers",
                                         "intermediate_size", "num_attention_heads"};
    bool lists = architecture_has_key(a, "num_query_heads"); /* and says the last two by layer */
    for (size_t i = 0; i < (lists ? 3 : 5); i++) {
        char buffer[64];
        const char *key = hf_key(a, needed[i], buffer);
        if (!json_object_get(root, key) && !listed(a->hf_defaults, needed[i]))
            return error_set(e, ERR_FORMAT, "\"%s\" is missing", key);
    }
    return OK;
}

static const struct architecture *find_architecture(const json_t *root, struct error *e)
{
    const char *type = "";
    if (json_get_string(root, "model_type", &type, e))
        return NULL;
    const struct architecture *a = architecture_by_model_type(type);
    if (a)
        return a;
    struct buffer known = {0};
    for (int i = 0; i < N_ARCHITECTURES; i++)
        buffer_printf(&known, "%s%s", i ? ", " : "", architectures[i].model_type);
    error_set(e, ERR_FORMAT, "\"model_type\" is \"%s\"; linnet reads: %s", type, known.data);
    buffer_free(&known);
    return NULL;
}

int hf_config_read(const json_t *root, struct model_config *c, struct error *e)
{
    if (!json_is_object(root))
        return error_set(e, ERR_FORMAT, "not a JSON object");
    const json_t *text = json_object_get(root, "text_config");
    if (json_is_object(text))
        root = text;
    const struct architecture *a = find_architecture(root, e);
    if (!a)
        return ERR_FORMAT;
    *c = (struct model_config){
        .architecture = (int)(a - architectures), .rms_norm_eps = 1e-6,
        .rope_theta = a->default_theta > 0 ? a->default_theta : 10000, .partial_rotary_factor = 1,
        .initializer_range = 0.02, .tie_word_embeddings = a->ties_by_default,
        .norm_topk_prob = false, .rope_style = ROPE_HALF,
    };
    set_defaults(a, c);
    int code = check_needed(root, a, e);
    if (!code)
        code = read_options(root, a, c, e);
    if (!code)
        code = read_rope(root, a, c, e);
    if (!code)
        code = refuse_unsupported(root, a, e);
    if (!code)
        code = check_activation(root, a, e);
    if (!code && architecture_has_key(a, "num_query_heads"))
        code = read_openelm(root, c, e);
    if (!code && architecture_has_key(a, "sliding_window_pattern"))
        code = json_get_size(root, "sliding_window_pattern", &c->sliding_window_pattern, e);
    if (!code && architecture_has_key(a, "sliding_window"))
        code = read_layer_types(root, c, e);
    if (!code && architecture_has_key(a, "no_rope_layer_interval"))
        code = read_no_rope_layers(root, c, e);
    return code ? code : model_config_check(c, e);
}

/* --- writing --- */

static json_t *integer(size_t n)
{
    return json_integer((json_int_t)n);
}

static json_t *numbers(const struct option_numbers *list, bool whole)
{
    json_t *array = json_array();
    for (size_t i = 0; i < list->count; i++)
        json_array_append_new(array, whole ? integer((size_t)list->items[i])
                                           : json_real(list->items[i]));
    return array;
}

static json_t *option_json(const struct model_config *c, const struct option *row)
{
    const void *field = (const char *)c + row->offset;
    switch (row->type) {
    case OPTION_SIZE:
        return integer(*(const size_t *)field);
    case OPTION_FLOAT:
        return json_real(*(const double *)field);
    case OPTION_BOOL:
        return json_boolean(*(const bool *)field);
    case OPTION_NUMBERS:
        return numbers(field, true);
    default:
        CHECK(!"a type that config.json has");
        return NULL;
    }
}

/* 0 means none to most of these, and in config.json null does. */
static bool is_absent(const struct model_config *c, const struct option *row)
{
    const void *field = (const char *)c + row->offset;
    return (row->type == OPTION_SIZE && *(const size_t *)field == 0) ||
           (row->type == OPTION_FLOAT && *(const double *)field == 0);
}

static void write_options(json_t *root, const struct model_config *c, const struct architecture *a)
{
    for (size_t i = 0; i < N_MODEL_OPTIONS; i++) {
        const struct option *row = &model_options[i];
        char buffer[64];
        bool optional = model_option_is_optional(row);
        if (!is_plain(row) || (optional && !architecture_has_key(a, row->key)))
            continue;
        bool null = optional && is_absent(c, row) && strcmp(row->key, "router_aux_loss_coef") != 0;
        json_object_set_new(root, hf_key(a, row->key, buffer),
                            null ? json_null() : option_json(c, row));
    }
}

/* Neutral values where null would not do. */
static void write_neutral(json_t *root, const struct model_config *c, const struct architecture *a)
{
    const struct {
        const char *key;
        double value;
    } scales[] = {{"embedding_multiplier", model_embedding_scale(c)},
                  {"residual_multiplier", model_residual_scale(c)},
                  {"attention_multiplier", model_attention_scale(c)},
                  {"logits_scaling", 1 / model_logit_scale(c)},
                  {"query_pre_attn_scalar", c->query_pre_attn_scalar > 0
                                                ? c->query_pre_attn_scalar : (double)c->head_dim}};
    for (size_t i = 0; i < sizeof scales / sizeof *scales; i++)
        if (architecture_has_key(a, scales[i].key))
            json_object_set_new(root, scales[i].key, json_real(scales[i].value));
    if (architecture_has_key(a, "moe_intermediate_size"))
        json_object_set_new(root, "moe_intermediate_size", integer(model_expert_size(c)));
    if (architecture_has_key(a, "shared_expert_intermediate_size"))
        json_object_set_new(root, "shared_expert_intermediate_size",
                            integer(c->shared_expert_intermediate_size));
}

static void write_layer_types(json_t *root, const struct model_config *c, const struct architecture *a)
{
    if (!architecture_has_key(a, "sliding_window_pattern"))
        return;
    json_t *types = json_array();
    for (size_t i = 0; i < c->num_hidden_layers; i++)
        json_array_append_new(types, json_string(model_layer_shape(c, i).window ? "sliding_attention"
                                                                                 : "full_attention"));
    json_object_set_new(root, "layer_types", types);
    if (c->sliding_window_pattern)
        json_object_set_new(root, "sliding_window_pattern", integer(c->sliding_window_pattern));
}

static json_t *rope_json(const struct model_config *c)
{
    static const char *const names[] = {"default", "linear", "dynamic", "llama3", "yarn", "longrope"};
    const struct rope_scaling *s = &c->rope_scaling;
    bool is_phi = strncmp(model_architecture(c)->name, "phi", 3) == 0;
    if (s->type == ROPE_DEFAULT)
        return json_null();
    json_t *rope = json_object();
    json_object_set_new(rope, "type", json_string(names[s->type]));
    struct model_config usual = *c; /* what those keys alone would mean */
    usual.rope_scaling.factor = usual.rope_scaling.attention_factor = 0;
    bool is_usual = model_architecture(c)->has_experts ||
                    fabs(rope_magnitude(&usual) - rope_magnitude(c)) < 1e-9;
    if (s->type == ROPE_LONGROPE && is_phi && is_usual) {
        /* transformers 4 refuses any other set of keys in Phi-3's files, and others in Phi-3.5-MoE's */
        json_object_set_new(rope, "short_factor", numbers(&s->short_factor, false));
        json_object_set_new(rope, "long_factor", numbers(&s->long_factor, false));
        if (model_architecture(c)->has_experts) {
            json_object_set_new(rope, "short_mscale", json_real(rope_magnitude(c)));
            json_object_set_new(rope, "long_mscale", json_real(rope_magnitude(c)));
            json_object_set_new(rope, "original_max_position_embeddings", integer(rope_original_length(c)));
        }
        return rope;
    }
    json_object_set_new(rope, "rope_type", json_string(names[s->type]));
    const struct {
        const char *key;
        double value;
    } reals[] = {{"factor", s->factor}, {"low_freq_factor", s->low_freq_factor},
                 {"high_freq_factor", s->high_freq_factor}, {"beta_fast", s->beta_fast},
                 {"beta_slow", s->beta_slow}, {"attention_factor", s->attention_factor}};
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++)
        if (reals[i].value > 0)
            json_object_set_new(rope, reals[i].key, json_real(reals[i].value));
    if (s->original_max_position_embeddings)
        json_object_set_new(rope, "original_max_position_embeddings",
                            integer(s->original_max_position_embeddings));
    if (s->type == ROPE_LONGROPE) {
        json_object_set_new(rope, "short_factor", numbers(&s->short_factor, false));
        json_object_set_new(rope, "long_factor", numbers(&s->long_factor, false));
    }
    return rope;
}

static void write_rope(json_t *root, const struct model_config *c, const struct architecture *a)
{
    char buffer[64];
    json_object_set_new(root, hf_key(a, "rope_theta", buffer), json_real(c->rope_theta));
    if (c->partial_rotary_factor != 1 || listed(a->hf_defaults, "partial_rotary_factor"))
        json_object_set_new(root, "partial_rotary_factor", json_real(c->partial_rotary_factor));
    json_object_set_new(root, "rope_scaling", rope_json(c));
    if (c->rope_scaling.type == ROPE_LONGROPE) /* Phi-3 looks for it here */
        json_object_set_new(root, "original_max_position_embeddings", integer(rope_original_length(c)));
}

static void write_no_rope_layers(json_t *root, const struct model_config *c)
{
    json_t *layers = json_array();
    for (size_t i = 0; i < c->num_hidden_layers; i++)
        json_array_append_new(layers, json_integer(model_layer_shape(c, i).rotates));
    json_object_set_new(root, "no_rope_layers", layers);
    json_object_set_new(root, "no_rope_layer_interval", integer(c->no_rope_layer_interval));
}

/* Divided by 1, the widths are multiples of the divisor as they are. */
static void write_openelm(json_t *root, const struct model_config *c)
{
    json_t *factors = json_array(), *heads = json_array(), *kv_heads = json_array();
    for (size_t i = 0; i < c->num_hidden_layers; i++) {
        struct layer_shape shape = model_layer_shape(c, i);
        json_array_append_new(factors, json_real((double)shape.intermediate_size /
                                                 (double)c->hidden_size));
        json_array_append_new(heads, integer(shape.n_heads));
        json_array_append_new(kv_heads, integer(shape.n_kv_heads));
    }
    json_object_set_new(root, "num_query_heads", heads);
    json_object_set_new(root, "num_kv_heads", kv_heads);
    json_object_set_new(root, "ffn_multipliers", factors);
    json_object_set_new(root, "ffn_dim_divisor", json_integer(1));
    json_object_set_new(root, "ffn_with_glu", json_true());
    json_object_set_new(root, "normalize_qk_projections", json_true());
    json_object_set_new(root, "normalization_layer_name", json_string("rms_norm"));
    json_object_set_new(root, "activation_fn_name", json_string("swish"));
}

json_t *hf_config_write(const struct model_config *c)
{
    const struct architecture *a = model_architecture(c);
    json_t *root = json_object();
    json_object_set_new(root, "architectures", json_pack("[s]", a->hf_class));
    json_object_set_new(root, "model_type", json_string(a->model_type));
    json_object_set_new(root, "attention_dropout", json_real(0));
    json_object_set_new(root, "pretraining_tp", json_integer(1));
    json_object_set_new(root, "use_cache", json_true());
    const char *activation = a->activation == ACTIVATION_SILU ? "silu" : "gelu_pytorch_tanh";
    json_object_set_new(root, "hidden_act", json_string(activation));
    if (a->activation == ACTIVATION_GELU_TANH)
        json_object_set_new(root, "hidden_activation", json_string(activation));
    if (!architecture_has_key(a, "attention_bias"))
        json_object_set_new(root, "attention_bias", json_false());
    write_options(root, c, a);
    write_neutral(root, c, a);
    write_layer_types(root, c, a);
    write_rope(root, c, a);
    if (architecture_has_key(a, "no_rope_layer_interval"))
        write_no_rope_layers(root, c);
    if (architecture_has_key(a, "num_query_heads"))
        write_openelm(root, c);
    if (a->has_experts) {
        json_object_set_new(root, "decoder_sparse_step", json_integer(1));
        json_object_set_new(root, "mlp_only_layers", json_array());
    }
    return root;
}
