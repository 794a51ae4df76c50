/* From options to an adapter: which modules it has, and how large each part is. */
#include "base/check.h"
#include "lora/options.h"
#include "lora/peft.h"
#include "model/names.h"
#include "model/tensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A tensor of a Hugging Face file, and the part of it that is one parameter: what patterns are held against. */
struct part {
    struct param *param;
    size_t tensor;  /* its place in the list: parts of one tensor follow each other */
    char *module;   /* "model.layers.0.self_attn.qkv_proj" */
    char *own;      /* "model.layers.0.self_attn.q_proj", as families without shared tensors have it */
    bool linear;    /* a linear layer of its own (the embedding is none) */
    bool target, whole;
    size_t rank;
    double alpha;
};

struct plan {
    struct model *model;
    const struct lora_options *options;
    struct tensor_list list;
    struct part *parts;
    size_t n;
    struct regex_scratch *scratch;
};

static char *stem(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? mem_string_n(name, (size_t)(dot - name)) : mem_string(name);
}

static const char *last_name(const char *module)
{
    const char *dot = strrchr(module, '.');
    return dot ? dot + 1 : module;
}

static void plan_init(struct plan *p, struct model *m, const struct lora_options *o)
{
    *p = (struct plan){.model = m, .options = o, .scratch = regex_scratch_new()};
    tensor_list_init(&p->list, m, CONTAINER_HF, true);
    const char *embedding = role_name(model_architecture(&m->config), PARAM_TOKEN_EMBD, false);
    size_t most = 0;
    for (size_t i = 0; i < p->list.n_tensors; i++)
        most += p->list.tensors[i].n_pieces;
    p->parts = mem_zero(most + 1, sizeof *p->parts);
    for (size_t i = 0; i < p->list.n_tensors; i++) {
        const struct tensor *t = &p->list.tensors[i];
        for (size_t j = 0; j < t->n_pieces; j++) {
            struct param *param = t->pieces[j].param;
            bool head = param == m->head.weight && strcmp(t->name, embedding) != 0;
            p->parts[p->n++] = (struct part){
                .param = param, .tensor = i, .module = stem(t->name), .own = stem(head ? t->name : param->name),
                .linear = param->matrix && strcmp(t->name, embedding) != 0 && lora_linear(m, param)};
        }
    }
}

static void plan_free(struct plan *p)
{
    for (size_t i = 0; i < p->n; i++) {
        mem_free(p->parts[i].module);
        mem_free(p->parts[i].own);
    }
    mem_free(p->parts);
    tensor_list_free(&p->list);
    regex_scratch_free(p->scratch);
}

/* --- patterns --- */

static bool matches(const struct plan *p, const struct regex *r, const struct part *part)
{
    return peft_pattern_matches(r, p->scratch, part->module) || peft_pattern_matches(r, p->scratch, part->own);
}

static bool has_name(const char *const *names, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* The names that modules end with, each once, and with a dot in the pattern whole names: borrowed. */
static size_t list_names(const struct plan *p, bool linear, bool whole, const char **names)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n; i++) {
        const char *both[] = {p->parts[i].module, p->parts[i].own};
        for (size_t j = 0; j < 2 && (p->parts[i].linear || !linear); j++) {
            const char *name = whole ? both[j] : last_name(both[j]);
            if (whole ? j == 0 || strcmp(both[0], both[1]) != 0 : !has_name(names, n, name))
                names[n++] = name;
        }
    }
    return n;
}

static int error_unknown(const struct plan *p, const char *key, const char *pattern, bool linear, struct error *e)
{
    const char **names = mem_alloc(2 * p->n + 1, sizeof *names);
    struct buffer list = {0};
    size_t n = list_names(p, linear, strchr(pattern, '.') != NULL, names);
    const char *near = nearest_name(pattern, names, n);
    size_t n_ends = 0;
    char *guess = near ? mem_printf("did you mean %s? There", near) : mem_string("there");
    n_ends = list_names(p, linear, false, names);
    for (size_t i = 0; i < n_ends; i++)
        buffer_printf(&list, "%s%s", i ? ", " : "", names[i]);
    int code = error_set(e, ERR_USAGE, "lora.%s: no %s of the model is called \"%s\"; %s are %.400s", key,
                         linear ? "linear layer" : "module", pattern, guess, list.data ? list.data : "none");
    mem_free(guess);
    buffer_free(&list);
    mem_free(names);
    return code;
}

static int compile(const char *key, const char *pattern, bool loose, struct regex **r, struct error *e)
{
    int code = peft_pattern_compile(pattern, loose, r, e);
    if (!code)
        return OK;
    error_prefix(e, "lora.%s: \"%s\"", key, pattern);
    return e->code = ERR_USAGE;
}

/* --- what gets an adapter --- */

#define ALL_LINEAR "all-linear"

static bool is_router(const struct param *p)
{
    return p->role == PARAM_ROUTER || p->role == PARAM_SHARED_ROUTER;
}

static int mark_targets(struct plan *p, const char *pattern, struct error *e)
{
    struct regex *r = NULL;
    bool all = strcmp(pattern, ALL_LINEAR) == 0, any = all;
    int code = all ? OK : compile("target_modules", pattern, false, &r, e);
    if (code)
        return code;
    for (size_t i = 0; i < p->n; i++) {
        struct part *part = &p->parts[i];
        if (!part->linear || (all ? part->param->layer < 0 || is_router(part->param) : !matches(p, r, part)))
            continue;
        part->target = any = true;
    }
    regex_free(r);
    return any ? OK : error_unknown(p, "target_modules", pattern, true, e);
}

/* "MODULE=NUMBER" of all parts that match: the first pattern that does counts. */
static int mark_numbers(struct plan *p, const char *key, const struct option_strings *patterns, struct error *e)
{
    bool ranks = patterns == &p->options->rank_pattern;
    for (size_t k = patterns->count; k-- > 0;) { /* earlier ones overwrite later ones */
        const char *item = patterns->items[k], *equals = strrchr(item, '=');
        char *end = NULL;
        double number = equals ? strtod(equals + 1, &end) : 0;
        if (!equals || equals == item || end == equals + 1 || *end || !(number > 0) || number > 1e6 ||
            (ranks && number != floor(number)))
            return error_set(e, ERR_USAGE, "lora.%s: expected MODULE=%s, found \"%s\"", key,
                             ranks ? "RANK" : "ALPHA", item);
        char *pattern = mem_string_n(item, (size_t)(equals - item));
        struct regex *r = NULL;
        bool any = false;
        int code = compile(key, pattern, false, &r, e);
        for (size_t i = 0; i < p->n && !code; i++) {
            if (!p->parts[i].target || !matches(p, r, &p->parts[i]))
                continue;
            any = true;
            if (ranks)
                p->parts[i].rank = (size_t)number;
            else
                p->parts[i].alpha = number;
        }
        if (!code && !any)
            code = error_unknown(p, key, pattern, true, e);
        regex_free(r);
        mem_free(pattern);
        if (code)
            return code;
    }
    return OK;
}

/* Rows of all parts that share A with this one. */
static size_t rows_together(const struct plan *p, const struct part *part)
{
    size_t rows = 0;
    bool with = false;
    for (size_t i = 0; i < p->n; i++) {
        const struct part *other = &p->parts[i];
        if (other->tensor != part->tensor || !other->target)
            continue;
        if (other->rank == part->rank)
            rows += other->param->rows;
        else if (with)
            break;
        else
            rows = 0;
        with |= other == part;
    }
    return rows;
}

static int check_ranks(const struct plan *p, struct error *e)
{
    for (size_t i = 0; i < p->n; i++) {
        const struct part *part = &p->parts[i];
        size_t rows = rows_together(p, part), cols = part->param->cols, most = rows < cols ? rows : cols;
        if (part->target && part->rank > most)
            return error_set(e, ERR_USAGE, "rank %zu is more than %s has, which is %zu x %zu: at most %zu; lower --lora-rank, "
                                           "or give that layer another with --rank-pattern %s=%zu", part->rank, part->own,
                             rows, cols, most, last_name(part->own), most);
    }
    return OK;
}

/* --- what trains in full --- */

static int mark_wholes(struct plan *p, const char *pattern, struct error *e)
{
    struct regex *r = NULL;
    bool any = false;
    int code = compile("train_in_full", pattern, true, &r, e);
    for (size_t i = 0; i < p->n && !code; i++) {
        if (!matches(p, r, &p->parts[i]))
            continue;
        p->parts[i].whole = any = true;
    }
    regex_free(r);
    return code || any ? code : error_unknown(p, "train_in_full", pattern, false, e);
}

static int check_wholes(const struct plan *p, struct error *e)
{
    bool tied = p->model->head.weight == p->model->token_embd, embedding = false;
    for (size_t i = 0; i < p->n; i++)
        embedding |= p->parts[i].whole && p->parts[i].param == p->model->token_embd && !p->parts[i].linear;
    for (size_t i = 0; i < p->n; i++) {
        const struct part *part = &p->parts[i];
        bool head = tied && part->linear && part->param == p->model->token_embd;
        if (head && part->whole && !embedding)
            return error_set(e, ERR_USAGE, "lora.train_in_full: %s is the embedding in this model: name embed_tokens, which "
                                           "trains both", part->module);
        if (part->target && (part->whole || (head && embedding)))
            return error_set(e, ERR_USAGE, "%s is to train in full and to get an adapter: leave it out of --train-in-full or "
                                           "of --target-modules", part->module);
    }
    return OK;
}

/* --- making it --- */

/* Parts of one tensor share A where they can. */
static size_t list_wants(const struct plan *p, struct lora_want *wants)
{
    const struct part *last = NULL;
    size_t n = 0;
    for (size_t i = 0; i < p->n; i++) {
        const struct part *part = &p->parts[i];
        if (!part->target)
            continue;
        double rank = (double)part->rank;
        wants[n++] = (struct lora_want){
            .linear = lora_linear(p->model, part->param), .rank = part->rank,
            .scale = (float)(part->alpha / (p->options->use_rslora ? sqrt(rank) : rank)),
            .shares_a = last && last->tensor == part->tensor && last->rank == part->rank,
            .magnitude = p->options->use_dora,
        };
        last = part;
    }
    return n;
}

static size_t list_wholes(const struct plan *p, struct param **wholes)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n; i++) {
        bool there = !p->parts[i].whole;
        for (size_t j = 0; j < n; j++)
            there |= wholes[j] == p->parts[i].param;
        if (!there)
            wholes[n++] = p->parts[i].param;
    }
    return n;
}

static int mark(struct plan *p, struct error *e)
{
    const struct lora_options *o = p->options;
    int code = o->target_modules.count ? OK : mark_targets(p, ALL_LINEAR, e);
    for (size_t i = 0; i < o->target_modules.count && !code; i++)
        code = mark_targets(p, o->target_modules.items[i], e);
    for (size_t i = 0; i < p->n; i++)
        p->parts[i].rank = o->rank, p->parts[i].alpha = o->alpha;
    if (!code)
        code = mark_numbers(p, "rank_pattern", &o->rank_pattern, e);
    if (!code)
        code = mark_numbers(p, "alpha_pattern", &o->alpha_pattern, e);
    if (!code)
        code = check_ranks(p, e);
    for (size_t i = 0; i < o->train_in_full.count && !code; i++)
        code = mark_wholes(p, o->train_in_full.items[i], e);
    return code ? code : check_wholes(p, e);
}

static int make(const struct plan *p, uint64_t seed, struct lora_adapter *a, struct error *e)
{
    const struct lora_options *o = p->options;
    struct lora_want *wants = mem_alloc(p->n + 1, sizeof *wants);
    struct param **wholes = mem_alloc(p->n + 1, sizeof *wholes);
    size_t n_wants = list_wants(p, wants), n_wholes = list_wholes(p, wholes);
    int code = lora_init_with(a, p->model, wants, n_wants, wholes, n_wholes, e);
    mem_free(wholes);
    mem_free(wants);
    if (code)
        return code;
    a->dropout = o->dropout;
    a->rank_stabilised = o->use_rslora;
    for (size_t i = 0; i < a->n_pairs; i++)
        a->pairs[i].b->rate = (float)o->lora_plus_ratio;
    lora_initialize(a, seed);
    if (o->init == LORA_INIT_PISSA)
        code = lora_initialize_pissa(a, seed, e);
    if (code)
        lora_free(a);
    return code;
}

int lora_create(const struct lora_options *o, struct model *m, uint64_t seed, struct lora_adapter *a, struct error *e)
{
    struct plan p;
    if (o->use_dora && o->init == LORA_INIT_PISSA)
        return error_set(e, ERR_USAGE, "lora.use_dora and lora.init pissa do not go together: leave one out");
    plan_init(&p, m, o);
    int code = mark(&p, e);
    if (!code)
        code = make(&p, seed, a, e);
    plan_free(&p);
    return code;
}
