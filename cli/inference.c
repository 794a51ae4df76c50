#include "cli/inference.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "cli/tuned_run.h"
#include "lora/load.h"
#include "model/fingerprint.h"
#include "model/load.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- adapters --- */

char *inference_name(const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    char *trimmed = mem_string_n(path, n), *name = mem_string(path_basename(trimmed));
    if (path_has_suffix(name, ".gguf"))
        name[strlen(name) - strlen(".gguf")] = '\0';
    mem_free(trimmed);
    return name;
}

/* "[NAME:]PATH[=SCALE]" */
struct adapter_word {
    char *name; /* NULL: none given */
    char *path;
    float scale;
    bool has_scale;
};

static void free_word(struct adapter_word *w)
{
    mem_free(w->name);
    mem_free(w->path);
}

/* What is a file's name as it stands is one, whatever characters it has. `flag`: where the word was given. ERR_USAGE. */
static int parse_word(const char *flag, const char *word, struct adapter_word *w, struct error *e)
{
    const char *equals = strrchr(word, '=');
    size_t n = strlen(word);
    *w = (struct adapter_word){.scale = 1};
    if (equals && !file_exists(word)) {
        char *end = NULL;
        double number = strtod(equals + 1, &end);
        if (end == equals + 1 || *end || !isfinite((float)number))
            return error_set(e, ERR_USAGE, "%s %s: expected a number after the \"=\", found \"%s\"", flag, word,
                             equals + 1);
        w->scale = (float)number;
        w->has_scale = true;
        n = (size_t)(equals - word);
    }
    w->path = mem_string_n(word, n);
    size_t n_name = strcspn(w->path, ":/");
    if (n_name > 0 && w->path[n_name] == ':' && !file_exists(w->path)) {
        char *path = mem_string(w->path + n_name + 1);
        w->name = mem_string_n(w->path, n_name);
        mem_free(w->path);
        w->path = path;
    }
    return OK;
}

/* SIZE_MAX: none is called so. */
static size_t find_named(const struct inference *in, const char *name)
{
    for (size_t i = 0; i < in->n_adapters; i++)
        if (strcmp(in->adapters[i].name, name) == 0)
            return i;
    return SIZE_MAX;
}

static size_t find_adapter(const struct inference *in, const struct adapter_word *w)
{
    size_t named = w->name ? SIZE_MAX : find_named(in, w->path);
    for (size_t i = 0; named == SIZE_MAX && !w->name && i < in->n_adapters; i++)
        if (strcmp(in->adapters[i].path, w->path) == 0)
            return i;
    return named;
}

/* Those from the n-th on are detached and forgotten. */
static void drop_adapters(struct inference *in, size_t n)
{
    while (in->n_adapters > n) {
        struct inference_adapter *a = &in->adapters[--in->n_adapters];
        lora_detach(a->lora);
        lora_free(a->lora);
        mem_free(a->lora);
        mem_free(a->name);
        mem_free(a->path);
    }
}

/* What an adapter holds in full has no strength, and takes the place of another's. */
static void warn_of_same(const struct lora_adapter *first, const struct lora_adapter *second, const char *path)
{
    for (size_t i = 0; i < second->n_wholes; i++)
        if (lora_whole_values(first, second->wholes[i].param)) {
            log_warn("%s holds %s in full, and so does an adapter before it: of that the last one's counts alone", path,
                     second->wholes[i].param->name);
            return;
        }
}

static int check_adapter(const struct inference *in, const char *flag, const struct adapter_word *w, const char *name,
                         const struct lora_adapter *lora, struct error *e)
{
    if (find_named(in, name) != SIZE_MAX)
        return error_set(e, ERR_USAGE, "%s: two adapters are called \"%s\"; give one another name: %s NAME:%s", flag, name,
                         flag, w->path);
    if (in->rounded.attached && lora->n_wholes > 0)
        return error_set(e, ERR_USAGE,
                         "%s %s: holds %s in full, which a run that trained with --qat cannot take beside its rounded "
                         "weights; merge the run first (linnet merge)", flag, w->path, lora->wholes[0].param->name);
    return OK;
}

static int add_adapter(struct inference *in, const char *flag, const struct adapter_word *w, struct error *e)
{
    char *name = w->name ? mem_string(w->name) : inference_name(w->path);
    struct lora_adapter *lora = mem_zero(1, sizeof *lora);
    int code = lora_load(w->path, &in->model, lora, e);
    if (!code) {
        code = check_adapter(in, flag, w, name, lora, e);
        if (code)
            lora_free(lora);
    }
    if (code) {
        mem_free(lora);
        mem_free(name);
        return code;
    }
    lora->strength = w->scale;
    for (size_t i = 0; i < in->n_adapters; i++)
        warn_of_same(in->adapters[i].lora, lora, w->path);
    lora_attach(lora);
    in->adapters = mem_resize(in->adapters, in->n_adapters + 1, sizeof *in->adapters);
    in->adapters[in->n_adapters++] = (struct inference_adapter){
        .name = name, .path = mem_string(w->path), .scale = w->scale != 0 ? w->scale : 1, .lora = lora};
    return OK;
}

static int add_adapters(struct inference *in, const struct option_strings *words, struct error *e)
{
    static const char flag[] = "--adapter";
    int code = OK;
    for (size_t i = 0; !code && i < words->count; i++) {
        struct adapter_word w;
        code = parse_word(flag, words->items[i], &w, e);
        if (!code) {
            tuned_run_warn_of_qat(w.path);
            code = add_adapter(in, flag, &w, e);
        }
        free_word(&w);
    }
    return code;
}

/* How strong one of them is to be, loaded if it is not there. */
static int want_adapter(struct inference *in, const char *flag, const char *word, float *wanted, bool *said,
                        struct error *e)
{
    struct adapter_word w;
    int code = parse_word(flag, word, &w, e);
    size_t i = code ? SIZE_MAX : find_adapter(in, &w);
    if (!code && i == SIZE_MAX) {
        i = in->n_adapters;
        code = add_adapter(in, flag, &w, e);
    } else if (!code && said[i]) {
        code = error_set(e, ERR_USAGE, "%s %s: said twice", flag, word);
    }
    if (!code) {
        wanted[i] = w.has_scale ? w.scale : in->adapters[i].scale;
        said[i] = true;
    }
    free_word(&w);
    return code;
}

int inference_use_adapters(struct inference *in, const char *flag, const struct option_strings *words, struct error *e)
{
    size_t before = in->n_adapters, most = before + words->count;
    float *wanted = mem_zero(most, sizeof *wanted);
    bool *said = mem_zero(most, sizeof *said);
    int code = OK;
    for (size_t i = 0; !code && i < words->count; i++)
        code = want_adapter(in, flag, words->items[i], wanted, said, e);
    if (code)
        drop_adapters(in, before);
    for (size_t i = 0; !code && i < in->n_adapters; i++)
        in->adapters[i].lora->strength = wanted[i];
    for (size_t i = 1; !code && in->rounded.attached && i < in->n_adapters; i++)
        lora_changed(in->adapters[i].lora); /* magnitudes are beside the rounded weights, into which the first one goes */
    mem_free(wanted);
    mem_free(said);
    return code;
}

/* --- adapters on their own --- */

int adapter_split(const char *word, char **path, float *scale, struct error *e)
{
    struct adapter_word w;
    int code = parse_word("--adapter", word, &w, e);
    *scale = w.scale;
    *path = w.path;
    mem_free(w.name);
    return code;
}

void adapters_free(struct lora_adapter *adapters, size_t n)
{
    for (size_t i = 0; i < n; i++)
        lora_free(&adapters[i]);
    mem_free(adapters);
}

int adapters_load(const struct option_strings *words, struct model *m, struct lora_adapter **adapters, struct error *e)
{
    struct lora_adapter *loaded = mem_zero(words->count + 1, sizeof *loaded);
    size_t n = 0;
    int code = OK;
    for (; n < words->count && !code; n += !code) {
        char *path;
        float scale;
        code = adapter_split(words->items[n], &path, &scale, e);
        if (!code)
            code = lora_load(path, m, &loaded[n], e);
        if (!code)
            loaded[n].strength = scale;
        for (size_t i = 0; i < n && !code; i++)
            warn_of_same(&loaded[i], &loaded[n], path);
        mem_free(path);
    }
    if (code)
        adapters_free(loaded, n);
    else
        *adapters = loaded;
    return code;
}

/* --- the model --- */

/* That of a run, and what it was rounded to. */
static int add_own_adapter(struct inference *in, const char *run, bool exact, struct error *e)
{
    struct adapter_word w = {.path = mem_string(run), .scale = 1};
    int code = tuned_run_template(run, in->tokenizer, e);
    if (!code)
        code = add_adapter(in, "--adapter", &w, e);
    free_word(&w);
    if (!code)
        code = stored_qat_read(&in->rounded, run, e);
    if (!code) {
        code = stored_qat_attach(&in->rounded, &in->model, in->adapters[0].lora, !exact, e);
        if (code)
            error_prefix(e, "%s, trained with --qat %s", run, in->rounded.options.types.type);
    }
    return code;
}

int inference_load(const char *path, const struct option_strings *adapters, bool exact, struct inference *in,
                   struct error *e)
{
    *in = (struct inference){0};
    char *base = tuned_run_base(path);
    int code = model_load(base ? base : path, WEIGHTS_MAPPED, &in->model, &in->tokenizer, e);
    if (code && base)
        error_prefix(e, "the base model of %s", path);
    if (!code)
        in->weights_hash = model_weights_hash(&in->model); /* before they are put into another order */
    if (!code && base)
        code = add_own_adapter(in, path, exact, e);
    mem_free(base);
    if (code) {
        if (in->tokenizer)
            inference_free(in);
        return code;
    }
    if (!exact)
        model_use_integers(&in->model);
    if (model_interleave(&in->model, e) != OK) /* slower, and nothing is lost */
        log_warn("%s: the weights stay in their file's order, in which they are slower: %s", path, e->message);
    code = add_adapters(in, adapters, e);
    if (code)
        inference_free(in);
    return code;
}

void inference_free(struct inference *in)
{
    stored_qat_free(&in->rounded);
    drop_adapters(in, 0);
    mem_free(in->adapters);
    model_free(&in->model);
    tokenizer_free(in->tokenizer);
    *in = (struct inference){0};
}

static uint64_t adapter_hash(const struct lora_adapter *a, uint64_t h)
{
    h = hash64(&a->strength, sizeof a->strength, h);
    for (size_t k = 0; k < a->all.count; k++)
        if (a->all.items[k]->value)
            h = hash64(a->all.items[k]->value, a->all.items[k]->count * sizeof(float), h);
    for (size_t k = 0; k < a->n_pairs; k++)
        h = hash64(&a->pairs[k].scale, sizeof a->pairs[k].scale, h);
    return h;
}

uint64_t inference_hash(const struct inference *in)
{
    uint64_t h = in->weights_hash;
    for (size_t i = 0; i < in->n_adapters; i++)
        h = adapter_hash(in->adapters[i].lora, h);
    h = stored_qat_hash(&in->rounded, h);
    return h ? h : 1;
}

size_t inference_context(const struct model *m, size_t wanted)
{
    enum { USUAL = 4096 };
    size_t trained = m->config.max_position_embeddings;
    if (wanted && trained && wanted > trained)
        log_warn("--context %zu is more than the %zu tokens the model was made for", wanted, trained);
    if (wanted)
        return wanted;
    return trained && trained < USUAL ? trained : USUAL;
}
