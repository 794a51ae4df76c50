#include "cli/resume.h"

#include "base/buffer.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/yaml.h"
#include "model/load.h"

#include <string.h>

int stored_run_read(const char *run, struct stored_run *s, struct error *e)
{
    char *path = run_file(run, RUN_LAST);
    int code = checkpoint_read_state(path, &s->state, &s->config, e);
    mem_free(path);
    return code;
}

void stored_run_free(struct stored_run *s)
{
    mem_free(s->config);
    *s = (struct stored_run){0};
}

/* "a.b" is among the names, or its section "a" is. */
static bool is_among(const char *path, const char *const *names)
{
    for (; *names; names++) {
        size_t n = strlen(*names);
        if (strncmp(path, *names, n) == 0 && (path[n] == 0 || path[n] == '.'))
            return true;
    }
    return false;
}

/* Initial weights depend on some of these, the position in the data and the masks of dropout on
 * others, what a weight means on the rest. */
static bool is_fixed(const char *path, bool data_may_move, bool learned_scales)
{
    static const char *const fixed[] = {"model", "tokenizer", "data", "train.batch_size",
                                        "train.grad_accumulation", "train.max_seq_length",
                                        "train.seed", "optim.optimizer", "tune.method", "lora",
                                        "dataset.packing", "distill.divergence", "distill.beta", "distill.temperature",
                                        "distill.alpha", "distill.tail", "distill.hidden_weight", "distill.hidden_layers",
                                        "distill.hidden_loss", "distill.align", "align", "qat.learned_scales", NULL};
    static const char *const free_among_them[] = {"model.resid_dropout", "lora.dropout", "lora.lora_plus_ratio",
                                                  "align.reference", NULL};
    static const char *const places[] = {"data.paths", "data.validation_paths", NULL};
    /* what a learned scale is a scale of */
    static const char *const types[] = {"qat.type", "qat.tensor_types", "qat.output_tensor_type",
                                        "qat.token_embedding_type", "qat.pure", NULL};
    if (learned_scales && is_among(path, types))
        return true;
    return is_among(path, fixed) && !is_among(path, free_among_them) &&
           !(data_may_move && is_among(path, places));
}

/* Appends the value at `path` as it is written; false when there is none. */
static bool append_value(const struct yaml *y, const char *path, struct buffer *out)
{
    bool found = false, in_list = false;
    for (size_t i = 0; i < y->count; i++) {
        const struct yaml_entry *entry = &y->entries[i];
        if (strcmp(entry->path, path) != 0)
            continue;
        in_list = entry->in_list;
        if (in_list)
            buffer_string(out, found ? ", " : "[");
        buffer_string(out, entry->is_null && !in_list ? "null" : entry->value ? entry->value : "");
        found = true;
    }
    if (in_list)
        buffer_byte(out, ']');
    return found;
}

/* The changed keys: fixed ones are appended to `refused`, the others shown. A key that the stored run
 * does not know came into being later and changes nothing. */
static void compare(const struct yaml *old, const struct yaml *new, bool data_may_move,
                    struct buffer *refused)
{
    struct buffer was = {0}, is = {0};
    const char *learned = yaml_value(old, "qat.learned_scales");
    const bool learned_scales = learned && strcmp(learned, "true") == 0;
    for (size_t i = 0; i < new->count; i++) {
        const char *path = new->entries[i].path;
        buffer_clear(&was);
        buffer_clear(&is);
        if (new->entries[i].index > 0 || !append_value(old, path, &was))
            continue;
        append_value(new, path, &is);
        if (strcmp(was.data, is.data) == 0)
            continue;
        log_info("%s: %s -> %s", path, was.data, is.data);
        if (is_fixed(path, data_may_move, learned_scales))
            buffer_printf(refused, "%s%s (%.80s, not %.80s)", refused->size ? ", " : "", path,
                          was.data, is.data);
    }
    buffer_free(&was);
    buffer_free(&is);
}

int stored_run_compare(const struct stored_run *s, const char *config, bool data_may_move,
                       struct error *e)
{
    struct yaml old = {0}, new = {0};
    struct buffer refused = {0};
    int code = yaml_parse(s->config, strlen(s->config), &old, e);
    if (!code)
        code = yaml_parse(config, strlen(config), &new, e);
    if (!code)
        compare(&old, &new, data_may_move, &refused);
    if (refused.size)
        code = error_set(e, ERR_USAGE,
                         "a resumed run keeps its %s; leave that as it was, or start a new run in "
                         "another --out", refused.data);
    buffer_free(&refused);
    yaml_entries_free(&old);
    yaml_entries_free(&new);
    return code;
}

bool stored_run_changes(const struct stored_run *s, const char *config, const char *path)
{
    struct yaml old = {0}, new = {0};
    struct buffer was = {0}, is = {0};
    bool changes = !yaml_parse(s->config, strlen(s->config), &old, NULL) &&
                   !yaml_parse(config, strlen(config), &new, NULL) && append_value(&old, path, &was) &&
                   append_value(&new, path, &is) && strcmp(was.data, is.data) != 0;
    buffer_free(&was);
    buffer_free(&is);
    yaml_entries_free(&old);
    yaml_entries_free(&new);
    return changes;
}
