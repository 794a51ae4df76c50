#include "model/gguf_config.h"

#include "base/check.h"
#include "base/memory.h"
#include "model/names.h"
#include "model/rope_scaling.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Options that are a key of their own after "ARCHITECTURE.". */
static const struct {
    const char *option, *key;
} keys[] = {
    {"hidden_size", "embedding_length"},
    {"num_hidden_layers", "block_count"},
    {"max_position_embeddings", "context_length"},
    {"head_dim", "attention.key_length"},
    {"rope_theta", "rope.freq_base"},
    {"sliding_window", "attention.sliding_window"},
    {"rope_local_base_freq", "rope.freq_base_swa"},
    {"attn_logit_softcapping", "attn_logit_softcapping"},
    {"final_logit_softcapping", "final_logit_softcapping"},
    {"embedding_multiplier", "embedding_scale"},
    {"residual_multiplier", "residual_scale"},
    {"attention_multiplier", "attention.scale"},
    {"logits_scaling", "logit_scale"},
    {"num_experts", "expert_count"},
    {"num_experts_per_tok", "expert_used_count"},
    {"moe_intermediate_size", "expert_feed_forward_length"},
    {"shared_expert_intermediate_size", "expert_shared_feed_forward_length"},
    {"use_parallel_residual", "use_parallel_residual"},
};
enum { N_KEYS = sizeof keys / sizeof *keys };

/* Options that a tensor's presence says. */
static const struct {
    const char *option;
    enum param_role role;
} presences[] = {
    {"attention_bias", PARAM_ATTN_Q_BIAS},
    {"mlp_bias", PARAM_FFN_GATE_BIAS},
    {"lm_head_bias", PARAM_OUTPUT_BIAS},
    {"qk_layernorm", PARAM_ATTN_Q_NORM},
};
enum { N_PRESENCES = sizeof presences / sizeof *presences };

/* Written where the file's architecture is one of several of that name. */
static const char OWN_ARCHITECTURE[] = "linnet.architecture";

static const struct option *find_option(const char *key)
{
    for (size_t i = 0; i < N_MODEL_OPTIONS; i++)
        if (strcmp(model_options[i].key, key) == 0)
            return &model_options[i];
    CHECK(!"an option of models");
    return NULL;
}

/* Whether the family has it: the common ones do all. */
static bool has_option(const struct architecture *a, const char *key)
{
    static const char *const common[] = {"hidden_size", "num_hidden_layers", "max_position_embeddings",
                                         "head_dim", "rope_theta"};
    for (size_t i = 0; i < sizeof common / sizeof *common; i++)
        if (strcmp(key, common[i]) == 0)
            return true;
    return architecture_has_key(a, key);
}

static const char *full_key(const struct architecture *a, const char *key, char out[128])
{
    snprintf(out, 128, "%s.%s", a->gguf_name, key);
    return out;
}

static const char *norm_key(const struct architecture *a)
{
    /* phimoe's loader asks for the one of RMSNorm */
    return a->norm == NORM_LAYER && !a->has_experts ? "attention.layer_norm_epsilon"
                                                    : "attention.layer_norm_rms_epsilon";
}

/* --- reading --- */

struct reader {
    const struct gguf *g;
    const struct architecture *a;
    int code;
    struct error *e;
};

static void read_size(struct reader *r, const char *key, size_t *value)
{
    char full[128];
    if (!r->code)
        r->code = gguf_get_size(r->g, full_key(r->a, key, full), value, r->e);
}

static void read_double(struct reader *r, const char *key, double *value)
{
    char full[128];
    if (!r->code)
        r->code = gguf_get_double(r->g, full_key(r->a, key, full), value, r->e);
}

static bool has_role(const struct reader *r, enum param_role role)
{
    char name[128];
    snprintf(name, sizeof name, role_name(r->a, role, true), 0);
    return gguf_find_tensor(r->g, name) != NULL;
}

static void read_keys(struct reader *r, struct model_config *c)
{
    for (size_t i = 0; i < N_KEYS && !r->code; i++) {
        if (!has_option(r->a, keys[i].option))
            continue;
        const struct option *row = find_option(keys[i].option);
        void *field = (char *)c + row->offset;
        char full[128];
        full_key(r->a, keys[i].key, full);
        if (row->type == OPTION_SIZE)
            r->code = gguf_get_size(r->g, full, field, r->e);
        else if (row->type == OPTION_FLOAT)
            r->code = gguf_get_double(r->g, full, field, r->e);
        else
            r->code = gguf_get_bool(r->g, full, field, r->e);
    }
    for (size_t i = 0; i < N_PRESENCES; i++) {
        bool *field = (bool *)((char *)c + find_option(presences[i].option)->offset);
        if (has_option(r->a, presences[i].option))
            *field = has_role(r, presences[i].role);
    }
}

/* A number, or one for each layer. */
static void read_per_layer(struct reader *r, const char *key, const char *option, size_t *value,
                           struct option_numbers *list)
{
    char full[128];
    const struct gguf_kv *kv = gguf_find(r->g, full_key(r->a, key, full));
    if (r->code || !kv || kv->type != GGUF_ARRAY) {
        read_size(r, key, value);
        return;
    }
    bool whole = kv->item_type == GGUF_I32 || kv->item_type == GGUF_U32;
    if (!whole || kv->count == 0 || kv->count > OPTION_MOST_NUMBERS) {
        r->code = error_set(r->e, ERR_FORMAT, "%s must be a number, or an i32 or u32 for each layer",
                            full);
        return;
    }
    bool same = true;
    for (size_t i = 0; i < kv->count; i++) {
        int64_t item = gguf_array_int(kv, i);
        if (item < 1 || item > 1 << 20) {
            r->code = error_set(r->e, ERR_FORMAT, "%s: item %zu is %lld", full, i, (long long)item);
            return;
        }
        list->items[i] = (double)item;
        same = same && item == gguf_array_int(kv, 0);
    }
    *value = (size_t)list->items[kv->count - 1];
    list->count = kv->count;
    if (same && !architecture_has_key(r->a, option))
        list->count = 0;
}

/* A tensor of divisors, one for each rotated pair. */
static void read_divisors(struct reader *r, const char *name, size_t half, struct option_numbers *list)
{
    const struct gguf_tensor *t = gguf_find_tensor(r->g, name);
    if (r->code || !t)
        return;
    if (t->n_elements != half || t->type != DTYPE_F32) {
        r->code = error_set(r->e, ERR_FORMAT, "tensor %s must be %zu numbers of f32", name, half);
        return;
    }
    list->count = half;
    for (size_t i = 0; i < half; i++) {
        float x;
        memcpy(&x, t->data + i * sizeof x, sizeof x);
        list->items[i] = gguf_shortest(x);
    }
}

static bool near(double a, double b)
{
    return fabs(a - b) <= 2e-6 * fabs(b);
}

/* Divisors in rope_freqs.weight are Llama 3's, whose parameters the file does not say: the factor is the
 * largest, and of the published contexts and ramps one fits. What does not is kept as divisors. */
static void recognise_llama3(struct model_config *c)
{
    static const size_t lengths[] = {8192, 4096, 2048, 16384, 32768, 1024, 512, 256, 128, 64, 32};
    struct rope_scaling *s = &c->rope_scaling;
    const struct option_numbers *list = &s->long_factor;
    struct model_config tried = *c;
    double divisor[OPTION_MOST_NUMBERS];
    tried.rope_scaling = (struct rope_scaling){.type = ROPE_LLAMA3, .factor = 1, .low_freq_factor = 1,
                                               .high_freq_factor = 4};
    for (size_t i = 0; i < list->count; i++)
        tried.rope_scaling.factor = fmax(tried.rope_scaling.factor, list->items[i]);
    for (size_t j = 0; j < sizeof lengths / sizeof *lengths; j++) {
        tried.rope_scaling.original_max_position_embeddings = lengths[j];
        rope_divisors(&tried, 0, divisor);
        size_t i = 0;
        while (i < list->count && near(list->items[i], divisor[i]))
            i++;
        if (i == list->count) {
            *s = tried.rope_scaling;
            return;
        }
    }
    *s = (struct rope_scaling){.type = ROPE_LONGROPE, .attention_factor = 1, .factor = 1,
                               .short_factor = *list, .long_factor = *list};
}

static void read_rope(struct reader *r, struct model_config *c)
{
    static const char *const types[] = {[ROPE_DEFAULT] = "none", [ROPE_LINEAR] = "linear",
                                        [ROPE_YARN] = "yarn", [ROPE_LONGROPE] = "longrope"};
    struct rope_scaling *s = &c->rope_scaling;
    char full[128], *type = NULL;
    size_t rotary = 0, head_dim = c->head_dim;
    read_size(r, "rope.dimension_count", &rotary);
    if (r->code)
        return;
    if (head_dim == 0 && c->num_attention_heads) /* llama.cpp's default in every family */
        c->head_dim = head_dim = c->hidden_size / c->num_attention_heads;
    if (rotary > head_dim) {
        r->code = error_set(r->e, ERR_FORMAT, "rope.dimension_count is %zu; a head has %zu components",
                            rotary, head_dim);
        return;
    }
    if (rotary && rotary != head_dim && r->a->gguf_rope_style == ROPE_INTERLEAVED) {
        r->code = error_set(r->e, ERR_FORMAT,
                            "rope.dimension_count is %zu; %s models rotate whole heads (%zu)", rotary,
                            r->a->name, head_dim);
        return;
    }
    if (rotary)
        c->partial_rotary_factor = (double)rotary / (double)head_dim;
    size_t half = (rotary ? rotary : head_dim) / 2;
    r->code = gguf_get_string(r->g, full_key(r->a, "rope.scaling.type", full), &type, r->e);
    read_double(r, "rope.scaling.factor", &s->factor);
    read_double(r, "rope.scaling.attn_factor", &s->attention_factor);
    read_double(r, "rope.scaling.yarn_beta_fast", &s->beta_fast);
    read_double(r, "rope.scaling.yarn_beta_slow", &s->beta_slow);
    read_size(r, "rope.scaling.original_context_length", &s->original_max_position_embeddings);
    if (!r->code && type) {
        size_t i = 0, n = sizeof types / sizeof *types;
        while (i < n && !(types[i] && strcmp(types[i], type) == 0))
            i++;
        s->type = (int)i;
        if (i == n)
            r->code = error_set(r->e, ERR_FORMAT, "%s is \"%s\", which linnet does not know", full, type);
    }
    if (!r->code && !type && s->factor == 0)
        read_double(r, "rope.scale_linear", &s->factor); /* its older name */
    if (!r->code && !type && s->factor > 1)
        s->type = ROPE_LINEAR; /* what llama.cpp takes an absent type for */
    mem_free(type);
    if (s->type == ROPE_YARN && s->attention_factor > 0) /* the file's comes on top of the formula's */
        s->attention_factor *= 0.1 * log(fmax(s->factor, 1)) + 1;
    if (half > OPTION_MOST_NUMBERS)
        return; /* model_config_check says so */
    read_divisors(r, "rope_factors_long.weight", half, &s->long_factor);
    read_divisors(r, "rope_factors_short.weight", half, &s->short_factor);
    if (!r->code && s->long_factor.count)
        s->type = ROPE_LONGROPE;
    else if (!r->code && s->type == ROPE_DEFAULT) {
        read_divisors(r, "rope_freqs.weight", half, &s->long_factor);
        if (!r->code && s->long_factor.count)
            recognise_llama3(c);
    }
    struct model_config usual = *c;
    usual.rope_scaling.attention_factor = 0;
    if (s->original_max_position_embeddings && near(s->attention_factor, rope_magnitude(&usual)))
        s->attention_factor = 0;
    if (s->type == ROPE_DEFAULT) /* its length may be there all the same */
        *s = (struct rope_scaling){0};
}

static const struct architecture *find_architecture(const struct gguf *g, struct error *e)
{
    char *name = NULL, *own = NULL;
    size_t experts = 0, window = 0;
    int code = gguf_get_string(g, "general.architecture", &name, e);
    if (!code)
        code = gguf_get_string(g, OWN_ARCHITECTURE, &own, e);
    if (!code)
        code = gguf_get_size(g, "llama.expert_count", &experts, e);
    if (!code)
        code = gguf_get_size(g, "llama.attention.sliding_window", &window, e);
    const struct architecture *a = NULL, *precise = own ? architecture_by_name(own) : NULL;
    if (!code && name)
        a = architecture_by_gguf_name(name);
    if (a && precise && strcmp(precise->gguf_name, a->gguf_name) == 0)
        a = precise;
    else if (a && experts && strcmp(a->name, "llama") == 0)
        a = architecture_by_name("mixtral");
    else if (a && window && strcmp(a->name, "llama") == 0)
        a = architecture_by_name("mistral");
    if (!code && !a) {
        struct buffer known = {0};
        for (int i = 0; i < N_ARCHITECTURES; i++)
            if (architecture_by_gguf_name(architectures[i].gguf_name) == &architectures[i])
                buffer_printf(&known, "%s%s", i ? ", " : "", architectures[i].gguf_name);
        error_set(e, ERR_FORMAT, "general.architecture is \"%s\"; linnet reads: %s",
                  name ? name : "(absent)", known.data);
        buffer_free(&known);
    }
    mem_free(name);
    mem_free(own);
    return a;
}

/* Where a head is not key_length wide throughout. */
static void check_widths(struct reader *r, const struct model_config *c)
{
    size_t value_length = 0;
    read_size(r, "attention.value_length", &value_length);
    if (!r->code && value_length && value_length != c->head_dim)
        r->code = error_set(r->e, ERR_FORMAT,
                            "attention.value_length is %zu, the keys' heads are %zu wide; only equal "
                            "widths are supported", value_length, c->head_dim);
}

/* Before memory is asked for by what the file says of itself. */
static void check_counts(struct reader *r, const struct model_config *c)
{
    if (!r->code && c->num_hidden_layers > r->g->n_tensors)
        r->code = error_set(r->e, ERR_FORMAT, "%s.block_count is %zu; the file has %zu tensors in all",
                            r->a->gguf_name, c->num_hidden_layers, r->g->n_tensors);
    for (size_t i = 0; i < c->num_hidden_layers && !r->code && r->a->has_experts; i++) {
        char name[64];
        snprintf(name, sizeof name, "blk.%zu.ffn_gate_exps.weight", i);
        const struct gguf_tensor *experts = gguf_find_tensor(r->g, name);
        if (!experts)
            r->code = error_set(r->e, ERR_FORMAT, "tensor %s is missing", name);
        else if (experts->dims[2] != c->num_experts)
            r->code = error_set(r->e, ERR_FORMAT, "tensor %s has %zu experts; %s.expert_count is %zu", name,
                                experts->dims[2], r->a->gguf_name, c->num_experts);
    }
}

/* What llama.cpp's graph does for a family without a key that would say so. */
static void read_implied(struct reader *r, struct model_config *c)
{
    const struct architecture *a = r->a;
    if (architecture_has_key(a, "norm_topk_prob"))
        c->norm_topk_prob = a->renormalises;
    if (strcmp(a->name, "gemma2") == 0 && c->num_hidden_layers == 46 && c->num_attention_heads)
        c->query_pre_attn_scalar = (double)c->hidden_size / (double)c->num_attention_heads; /* 27B */
    if (strcmp(a->name, "gemma3") == 0 && c->num_hidden_layers == 62 && c->num_attention_heads)
        c->query_pre_attn_scalar = (double)c->hidden_size / (double)c->num_attention_heads; /* 27B */
    /* its loader's flag for the 12B model, which has no second norm */
    if (architecture_has_key(a, "use_parallel_residual"))
        c->use_parallel_residual = !has_role(r, PARAM_FFN_NORM);
    if (a->has_experts && !architecture_has_key(a, "moe_intermediate_size"))
        c->moe_intermediate_size = 0;
}

int gguf_config_read(const struct gguf *g, struct model_config *c, struct error *e)
{
    const struct architecture *a = find_architecture(g, e);
    if (!a)
        return ERR_FORMAT;
    const struct gguf_tensor *embedding = gguf_find_tensor(g, "token_embd.weight");
    if (!embedding)
        return error_set(e, ERR_FORMAT, "tensor token_embd.weight is missing");
    *c = (struct model_config){
        .architecture = (int)(a - architectures),
        .vocab_size = embedding->dims[1],
        .rms_norm_eps = -1, /* must be there */
        .rope_theta = 10000,
        .partial_rotary_factor = 1,
        .initializer_range = 0.02,
        .tie_word_embeddings = !gguf_find_tensor(g, "output.weight"),
        .rope_style = a->gguf_rope_style,
    };
    struct reader r = {.g = g, .a = a, .e = e};
    if (strcmp(a->name, "gemma2") == 0) { /* what its loader takes for absent keys */
        c->sliding_window = 4096;
        c->attn_logit_softcapping = 50;
        c->final_logit_softcapping = 30;
    }
    read_keys(&r, c);
    read_per_layer(&r, "attention.head_count", "num_query_heads", &c->num_attention_heads,
                   &c->num_query_heads);
    read_per_layer(&r, "attention.head_count_kv", "num_kv_heads", &c->num_key_value_heads,
                   &c->num_kv_heads);
    c->intermediate_size = a->has_experts ? 1 : 0; /* may be left out where it says nothing */
    read_per_layer(&r, "feed_forward_length", "intermediate_sizes", &c->intermediate_size,
                   &c->intermediate_sizes);
    read_double(&r, norm_key(a), &c->rms_norm_eps);
    if (!r.code && c->rms_norm_eps < 0)
        r.code = error_set(e, ERR_FORMAT, "%s.%s is missing", a->gguf_name, norm_key(a));
    if (!r.code)
        read_rope(&r, c);
    if (!r.code)
        read_implied(&r, c);
    if (!r.code)
        r.code = model_config_check(c, e);
    check_widths(&r, c);
    check_counts(&r, c);
    return r.code;
}

bool gguf_config_tensor(const char *name)
{
    return strcmp(name, "rope_freqs.weight") == 0 || strcmp(name, "rope_factors_long.weight") == 0 ||
           strcmp(name, "rope_factors_short.weight") == 0;
}

/* --- writing --- */

struct keys {
    struct gguf_writer *w;
    const struct architecture *a;
};

static void put_size(const struct keys *k, const char *key, size_t value)
{
    char full[128];
    CHECK(value <= UINT32_MAX);
    gguf_put_u32(k->w, full_key(k->a, key, full), (uint32_t)value);
}

static void put_double(const struct keys *k, const char *key, double value)
{
    char full[128];
    gguf_put_f32(k->w, full_key(k->a, key, full), (float)value);
}

static void put_option(const struct keys *k, const struct model_config *c, const char *key,
                       const char *option)
{
    const struct option *row = find_option(option);
    const void *field = (const char *)c + row->offset;
    char full[128];
    if (row->type == OPTION_SIZE && *(const size_t *)field)
        put_size(k, key, *(const size_t *)field);
    else if (row->type == OPTION_FLOAT && *(const double *)field != 0)
        put_double(k, key, *(const double *)field);
    else if (row->type == OPTION_BOOL)
        gguf_put_bool(k->w, full_key(k->a, key, full), *(const bool *)field);
}

static void put_per_layer(const struct keys *k, const struct model_config *c, const char *key,
                          const struct option_numbers *list, size_t value)
{
    char full[128];
    int32_t items[OPTION_MOST_NUMBERS];
    if (list->count == 0) {
        put_size(k, key, value);
        return;
    }
    for (size_t i = 0; i < c->num_hidden_layers; i++)
        items[i] = (int32_t)list->items[i];
    gguf_put_i32s(k->w, full_key(k->a, key, full), items, c->num_hidden_layers);
}

static int divisors_source(void *context, void *bytes, struct error *e)
{
    (void)e;
    const struct option_numbers *list = context;
    float *to = bytes;
    for (size_t i = 0; i < list->count; i++)
        to[i] = (float)list->items[i];
    return OK;
}

static void put_divisors(struct gguf_writer *w, const char *name, const struct option_numbers *list)
{
    /* Sources are read when the file is written: these numbers live as long as the writer. */
    struct option_numbers *copy = gguf_writer_keep(w, list, sizeof *list);
    gguf_put_tensor(w, name, DTYPE_F32, 1, &copy->count, divisors_source, copy);
}

static bool same_lists(const struct option_numbers *a, const struct option_numbers *b)
{
    return a->count == b->count && memcmp(a->items, b->items, a->count * sizeof *a->items) == 0;
}

static void warn(const char *warnings[GGUF_CONFIG_WARNINGS], const char *text)
{
    size_t n = 0;
    while (warnings[n])
        n++;
    CHECK(n + 1 < GGUF_CONFIG_WARNINGS);
    warnings[n] = text;
}

static int put_rope(const struct keys *k, const struct model_config *c, const char *warnings[],
                    struct error *e)
{
    const struct rope_scaling *s = &c->rope_scaling;
    bool is_llama = strcmp(k->a->gguf_name, "llama") == 0;
    bool is_phi = strncmp(k->a->gguf_name, "phi", 3) == 0;
    char full[128];
    put_size(k, "rope.dimension_count", model_rotary_dim(c));
    if (s->type == ROPE_LONGROPE && is_phi) {
        put_size(k, "rope.scaling.original_context_length", rope_original_length(c));
        put_double(k, "rope.scaling.attn_factor", rope_magnitude(c));
        put_divisors(k->w, "rope_factors_long.weight", &s->long_factor);
        put_divisors(k->w, "rope_factors_short.weight", &s->short_factor);
        return OK;
    }
    if (is_phi)
        put_size(k, "rope.scaling.original_context_length", rope_original_length(c));
    bool divides = s->type == ROPE_LLAMA3 ||
                   (s->type == ROPE_LONGROPE && same_lists(&s->short_factor, &s->long_factor) &&
                    rope_magnitude(c) == 1);
    if (divides && is_llama) {
        struct option_numbers list = {.count = model_rotary_dim(c) / 2};
        rope_divisors(c, 0, list.items);
        put_divisors(k->w, "rope_freqs.weight", &list);
        return OK;
    }
    switch (s->type) {
    case ROPE_DEFAULT:
        return OK;
    case ROPE_DYNAMIC:
        warn(warnings, "GGUF has no dynamic rotary scaling: llama.cpp computes as without it, which is the same "
                   "up to the trained context length only");
        return OK;
    case ROPE_LINEAR:
    case ROPE_YARN:
        gguf_put_string(k->w, full_key(k->a, "rope.scaling.type", full),
                        s->type == ROPE_YARN ? "yarn" : "linear");
        put_double(k, "rope.scaling.factor", s->factor);
        if (s->type == ROPE_LINEAR)
            return OK;
        if (!is_phi) /* whose loader always wants it: above */
            put_size(k, "rope.scaling.original_context_length", rope_original_length(c));
        if (s->attention_factor > 0) /* llama.cpp multiplies it with the formula's */
            put_double(k, "rope.scaling.attn_factor", s->attention_factor / (0.1 * log(s->factor) + 1));
        if (s->beta_fast > 0)
            put_double(k, "rope.scaling.yarn_beta_fast", s->beta_fast);
        if (s->beta_slow > 0)
            put_double(k, "rope.scaling.yarn_beta_slow", s->beta_slow);
        return OK;
    default:
        return error_set(e, ERR_USAGE,
                         "a %s model in GGUF has no place for rotary scaling of this type; export it as a "
                         "Hugging Face directory", k->a->name);
    }
}

/* What llama.cpp's graphs have built in and this model has otherwise. */
static int check_implied(const struct model_config *c, struct error *e)
{
    const struct architecture *a = model_architecture(c);
    struct model_config usual = *c;
    if (architecture_has_key(a, "norm_topk_prob") && c->norm_topk_prob != a->renormalises)
        return error_set(e, ERR_USAGE,
                         "norm_topk_prob is %s; llama.cpp computes %s models with %s only",
                         c->norm_topk_prob ? "true" : "false", a->name,
                         a->renormalises ? "true" : "false");
    if (architecture_has_key(a, "sliding_window_pattern") && c->sliding_window_pattern != a->window_pattern)
        return error_set(e, ERR_USAGE,
                         "sliding_window_pattern is %zu; llama.cpp computes %s models with %zu only",
                         c->sliding_window_pattern, a->name, a->window_pattern);
    if (architecture_has_key(a, "no_rope_layer_interval") && c->no_rope_layer_interval != 4)
        return error_set(e, ERR_USAGE,
                         "no_rope_layer_interval is %zu; llama.cpp computes %s models with 4 only",
                         c->no_rope_layer_interval, a->name);
    if (strcmp(a->name, "gemma2") == 0 &&
        !(c->sliding_window && c->attn_logit_softcapping > 0 && c->final_logit_softcapping > 0))
        return error_set(e, ERR_USAGE,
                         "sliding_window, attn_logit_softcapping or final_logit_softcapping is 0; llama.cpp computes "
                         "gemma2 models with all three only");
    if (strcmp(a->name, "gemma3") == 0 && !c->sliding_window)
        return error_set(e, ERR_USAGE, "sliding_window is 0; llama.cpp computes gemma3 models with one only");
    if (architecture_has_key(a, "shared_expert_intermediate_size") && !c->shared_expert_intermediate_size)
        return error_set(e, ERR_USAGE, "shared_expert_intermediate_size is 0; llama.cpp computes %s models with "
                                       "a shared expert only", a->name);
    usual.query_pre_attn_scalar = 0;
    if ((strcmp(a->name, "gemma2") == 0 && c->num_hidden_layers == 46) ||
        (strcmp(a->name, "gemma3") == 0 && c->num_hidden_layers == 62))
        usual.query_pre_attn_scalar = (double)c->hidden_size / (double)c->num_attention_heads;
    if (fabs(model_attention_scale(&usual) / model_attention_scale(c) - 1) > 1e-6)
        return error_set(e, ERR_USAGE,
                         "query_pre_attn_scalar is %g; llama.cpp computes %s models of this many layers "
                         "with %g only", c->query_pre_attn_scalar, a->name,
                         pow(model_attention_scale(&usual), -2));
    if (a->gguf_rope_style == ROPE_INTERLEAVED && c->partial_rotary_factor != 1)
        return error_set(e, ERR_USAGE, "partial_rotary_factor is %g; llama.cpp rotates whole heads of %s "
                                       "models", c->partial_rotary_factor, a->name);
    return OK;
}

int gguf_config_write(struct gguf_writer *w, const struct model_config *c,
                      const char *warnings[GGUF_CONFIG_WARNINGS], struct error *e)
{
    memset(warnings, 0, GGUF_CONFIG_WARNINGS * sizeof *warnings);
    const struct architecture *a = model_architecture(c);
    struct keys k = {w, a};
    int code = check_implied(c, e);
    if (code)
        return code;
    gguf_put_string(w, "general.architecture", a->gguf_name);
    if (architecture_by_gguf_name(a->gguf_name) != a)
        gguf_put_string(w, OWN_ARCHITECTURE, a->name);
    put_size(&k, "vocab_size", c->vocab_size);
    put_per_layer(&k, c, "feed_forward_length", &c->intermediate_sizes, c->intermediate_size);
    put_per_layer(&k, c, "attention.head_count", &c->num_query_heads, c->num_attention_heads);
    put_per_layer(&k, c, "attention.head_count_kv", &c->num_kv_heads, c->num_key_value_heads);
    put_size(&k, "attention.value_length", c->head_dim);
    put_double(&k, norm_key(a), c->rms_norm_eps);
    for (size_t i = 0; i < N_KEYS; i++)
        if (has_option(a, keys[i].option))
            put_option(&k, c, keys[i].key, keys[i].option);
    if (strcmp(a->name, "granite") == 0) { /* wants all four */
        if (!c->embedding_multiplier)
            put_double(&k, "embedding_scale", 1);
        if (!c->residual_multiplier)
            put_double(&k, "residual_scale", 1);
        if (!c->attention_multiplier)
            put_double(&k, "attention.scale", model_attention_scale(c));
        if (!c->logits_scaling)
            put_double(&k, "logit_scale", 1);
    }
    if (architecture_has_key(a, "moe_intermediate_size") && c->moe_intermediate_size == 0)
        put_size(&k, "expert_feed_forward_length", model_expert_size(c));
    if (strcmp(a->name, "phi3") == 0 && c->sliding_window == 0)
        put_size(&k, "attention.sliding_window", 0);
    if (c->sliding_window && (strcmp(a->gguf_name, "llama") == 0 || strncmp(a->gguf_name, "phi", 3) == 0))
        warn(warnings, "llama.cpp computes models of this family without their sliding window: texts longer "
                   "than the window get other numbers there");
    if (a->full_heads_in_gguf && c->num_attention_heads * c->head_dim != c->hidden_size)
        warn(warnings, "llama.cpp loads models of this family only where their query heads together are as wide as the "
                   "hidden states; linnet reads this file, and llama.cpp does not");
    if (a->sparsemixer)
        warn(warnings, "llama.cpp computes models of this family otherwise than they were trained (RMSNorm for "
                   "LayerNorm, another weighing of experts): expect other numbers there");
    return put_rope(&k, c, warnings, e);
}
