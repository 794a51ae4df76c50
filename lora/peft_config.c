#include "lora/peft.h"

#include "base/memory.h"

#include <math.h>
#include <string.h>

/* --- what is more than a low-rank product --- */

enum refusal {
    IF_TRUE,
    IF_ANY,   /* neither null nor empty */
    IF_OTHER, /* than the word */
    IF_BEGINS /* with the word */
};

static const struct {
    const char *key;
    enum refusal when;
    const char *word, *why;
} refused[] = {
    {"lora_bias", IF_TRUE, NULL, "biases of adapters are not supported"},
    {"fan_in_fan_out", IF_TRUE, NULL, "is for layers with transposed weights, which no supported model has"},
    {"bias", IF_OTHER, "none", "trained biases beside the adapter are not supported; merge it where it was trained"},
    {"trainable_token_indices", IF_ANY, NULL, "trained tokens are not supported; merge it where it was trained"},
    {"layer_replication", IF_ANY, NULL, "repeated layers are not supported"},
    {"alora_invocation_tokens", IF_ANY, NULL, "adapters that only some tokens switch on are not supported"},
    {"target_parameters", IF_ANY, NULL, "adapters of parameters outside linear layers are not supported"},
    {"init_lora_weights", IF_BEGINS, "pissa", "the training changed the model's weights at its start; save the adapter "
                                              "with path_initial_model_for_weight_conversion"},
    {"init_lora_weights", IF_BEGINS, "olora", "the training changed the model's weights at its start; save the adapter "
                                              "with path_initial_model_for_weight_conversion"},
    {"init_lora_weights", IF_BEGINS, "corda", "the training changed the model's weights at its start; save the adapter "
                                              "with path_initial_model_for_weight_conversion"},
    {"init_lora_weights", IF_BEGINS, "loftq", "the training changed the model's weights at its start"},
};

static bool is_empty(const json_t *v)
{
    return !v || json_is_null(v) || json_is_false(v) || (json_is_array(v) && json_array_size(v) == 0) ||
           (json_is_object(v) && json_object_size(v) == 0) || (json_is_string(v) && !*json_string_value(v));
}

static int check_refused(const json_t *root, struct error *e)
{
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        const json_t *v = json_object_get(root, refused[i].key);
        const char *word = refused[i].word, *text = json_is_string(v) ? json_string_value(v) : "";
        bool hit = refused[i].when == IF_TRUE    ? json_is_true(v)
                   : refused[i].when == IF_ANY   ? !is_empty(v)
                   : refused[i].when == IF_OTHER ? !is_empty(v) && strcmp(text, word) != 0
                                                 : strncmp(text, word, strlen(word)) == 0;
        if (hit)
            return error_set(e, ERR_FORMAT, "\"%s\": %s", refused[i].key, refused[i].why);
    }
    return OK;
}

/* --- patterns --- */

/* PEFT's get_pattern_key. */
int peft_pattern_compile(const char *key, bool loose, struct regex **r, struct error *e)
{
    char *pattern = *key == '^' ? mem_printf("^(?:%s)\\z", key + 1)
                                : mem_printf(loose ? "^.*(?:%s)\\z" : "^(?:.*\\.)?(?:%s)\\z", key);
    int code = regex_compile(pattern, strlen(pattern), false, r, e);
    mem_free(pattern);
    return code;
}

bool peft_pattern_matches(const struct regex *r, struct regex_scratch *scratch, const char *module)
{
    struct regex_matches m = {.regex = r, .scratch = scratch, .text = module, .n = strlen(module)};
    return regex_next(&m) && m.start == 0 && m.end == m.n;
}

enum { MOST_PATTERNS = 4096 };

static int read_patterns(const json_t *root, const char *key, struct peft_patterns *p, struct error *e)
{
    json_t *object = json_object_get(root, key), *value;
    const char *name;
    if (is_empty(object))
        return OK;
    if (!json_is_object(object) || json_object_size(object) > MOST_PATTERNS)
        return error_set(e, ERR_FORMAT, "\"%s\" must be an object of at most %d numbers", key, MOST_PATTERNS);
    p->items = mem_zero(json_object_size(object), sizeof *p->items);
    json_object_foreach(object, name, value) {
        double number = json_number_value(value);
        struct peft_pattern *item = &p->items[p->count];
        if (!json_is_number(value) || !(number > 0))
            return error_set(e, ERR_FORMAT, "\"%s\": \"%s\" must be a number above 0", key, name);
        int code = peft_pattern_compile(name, false, &item->regex, e);
        if (code) {
            error_prefix(e, "\"%s\": \"%s\"", key, name);
            return e->code = ERR_FORMAT;
        }
        item->value = number;
        p->count++;
    }
    return OK;
}

/* The first that matches, in the order of the file. */
static double find_pattern(const struct peft_config *c, const struct peft_patterns *p, const char *module,
                           double usual)
{
    for (size_t i = 0; i < p->count; i++)
        if (peft_pattern_matches(p->items[i].regex, c->scratch, module))
            return p->items[i].value;
    return usual;
}

/* --- all of it --- */

static int read_numbers(const json_t *root, struct peft_config *c, struct error *e)
{
    int code = json_get_double(root, "r", &c->rank, e);
    if (!code)
        code = json_get_double(root, "lora_alpha", &c->alpha, e);
    if (!code)
        code = json_get_bool(root, "use_rslora", &c->rank_stabilised, e);
    if (!code)
        code = json_get_bool(root, "use_dora", &c->magnitudes, e);
    if (!code)
        code = json_get_double(root, "lora_dropout", &c->dropout, e);
    if (!code && !(c->dropout >= 0 && c->dropout < 1))
        code = error_set(e, ERR_FORMAT, "\"lora_dropout\" must be a number from 0 to 1");
    if (!code && !(c->rank >= 1))
        code = error_set(e, ERR_FORMAT, "\"r\" must be a number from 1 on");
    if (!code)
        code = read_patterns(root, "rank_pattern", &c->ranks, e);
    return code ? code : read_patterns(root, "alpha_pattern", &c->alphas, e);
}

int peft_config_read(const json_t *root, struct peft_config *c, struct error *e)
{
    const char *type = NULL;
    *c = (struct peft_config){.rank = 8, .alpha = 8}; /* PEFT's own */
    if (!json_is_object(root))
        return error_set(e, ERR_FORMAT, "not an object");
    int code = json_get_string(root, "peft_type", &type, e);
    if (!code && !type)
        code = error_set(e, ERR_FORMAT, "no \"peft_type\": not an adapter of PEFT's");
    if (!code && strcmp(type, "LORA") != 0)
        code = error_set(e, ERR_FORMAT, "\"peft_type\" is %s; only LORA is supported", type);
    if (!code)
        code = check_refused(root, e);
    if (!code)
        code = read_numbers(root, c, e);
    c->scratch = regex_scratch_new();
    return code;
}

static void free_patterns(struct peft_patterns *p)
{
    for (size_t i = 0; i < p->count; i++)
        regex_free(p->items[i].regex);
    mem_free(p->items);
}

void peft_config_free(struct peft_config *c)
{
    free_patterns(&c->ranks);
    free_patterns(&c->alphas);
    regex_scratch_free(c->scratch);
    *c = (struct peft_config){0};
}

int peft_config_scale(const struct peft_config *c, const char *module, size_t rank, double *scale, struct error *e)
{
    double said = find_pattern(c, &c->ranks, module, c->rank), alpha = find_pattern(c, &c->alphas, module, c->alpha);
    if (said != (double)rank)
        return error_set(e, ERR_FORMAT, "%s has rank %zu, adapter_config.json says %g", module, rank, said);
    *scale = alpha / (c->rank_stabilised ? sqrt((double)rank) : (double)rank);
    return OK;
}
