/* What a dump is made with, and whether one that is there was made with the same. */
#include "cli/teacher.h"

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "data/corpus.h"

#include <inttypes.h>
#include <string.h>

static size_t count_parts(const struct path_list *files)
{
    size_t n = 0;
    for (size_t i = 0; i < files->count; i++)
        n += path_has_suffix(files->paths[i], ".h5");
    return n;
}

/* A file that is neither a part nor what a killed writer left of one; NULL: there is none. */
static const char *find_other(const struct path_list *files)
{
    for (size_t i = 0; i < files->count; i++)
        if (!path_has_suffix(files->paths[i], ".h5") && !strstr(path_basename(files->paths[i]), ".h5.tmp"))
            return files->paths[i];
    return NULL;
}

int teacher_check_out(const char *out, bool resume, struct error *e)
{
    struct path_list files = {0};
    if (!file_exists(out))
        return resume ? error_set(e, ERR_USAGE, "--resume: there is no %s; without --resume it is begun", out) : OK;
    if (!file_is_directory(out))
        return error_set(e, ERR_USAGE, "--out %s is a file; a dump is a folder", out);
    int code = dir_list(out, &files, e);
    const char *other = code ? NULL : find_other(&files);
    if (other)
        code = error_set(e, ERR_USAGE, "%s holds other files (%s); choose another --out", out, other);
    else if (!code && count_parts(&files) > 0 && !resume)
        code = error_set(e, ERR_USAGE, "%s already holds a dump; go on with --resume, or choose another --out", out);
    path_list_free(&files);
    return code;
}

int teacher_open_stored(const char *out, struct dump *stored, struct error *e)
{
    struct path_list files = {0};
    int code = dir_list(out, &files, e);
    *stored = (struct dump){0};
    if (!code && count_parts(&files) > 0)
        code = dump_open(out, stored, e);
    path_list_free(&files);
    return code;
}

static json_t *parse_settings(const struct dump_description *d)
{
    json_t *settings = NULL;
    struct error e;
    if (!d->settings || json_parse(d->settings, strlen(d->settings), &settings, &e))
        return NULL;
    return settings;
}

char *teacher_stored_date(const struct dump_description *stored)
{
    json_t *settings = parse_settings(stored);
    char *date = mem_string(json_string_value(json_object_get(settings, "template_date")));
    json_decref(settings);
    return date;
}

static json_t *hash_json(uint64_t hash)
{
    return json_sprintf("%016" PRIx64, hash);
}

static json_t *strings_json(const struct option_strings *s)
{
    json_t *list = json_array();
    for (size_t i = 0; i < s->count; i++)
        json_array_append_new(list, json_text(s->items[i], strlen(s->items[i])));
    return list;
}

static const char *const losses[] = {"completions", "all", "last-turn"};

char *teacher_settings(const struct teacher_made *made, const struct dump_description *d)
{
    const struct teacher_options *o = made->options;
    json_t *all = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:I}", "model", json_text(o->model, strlen(o->model)),
                            "adapters", strings_json(&o->adapters), "data", strings_json(&made->data->paths),
                            "model_hash", hash_json(d->teacher_hash), "tokenizer_hash", hash_json(d->tokenizer_hash),
                            "data_hash", hash_json(examples_hash(made->examples)), "sequences",
                            (json_int_t)made->examples->count);
    json_object_set_new(all, "max_seq_length", json_integer((json_int_t)made->max_seq_length));
    json_object_set_new(all, "loss", json_string(losses[made->data->loss]));
    if (made->data->template_date)
        json_object_set_new(all, "template_date", json_string(made->data->template_date));
    json_object_set_new(all, "temperature", json_real(o->temperature));
    json_object_set_new(all, "exact", json_boolean(o->exact));
    json_object_set_new(all, "dense", json_boolean(o->dense));
    if (!o->dense) {
        json_object_set_new(all, "k", json_integer((json_int_t)o->k));
        json_object_set_new(all, "cumulative", json_real(o->cumulative));
        json_object_set_new(all, "samples", json_integer((json_int_t)o->samples));
    }
    if (o->samples)
        json_object_set_new(all, "seed", json_integer((json_int_t)made->seed));
    char *text = json_dumps(all, JSON_COMPACT), *copy = mem_string(text);
    free(text);
    json_decref(all);
    return copy;
}

/* --- whether it goes on --- */

/* What must be the same, and what people call it; those that are hashes have no value that says anything. */
static const struct {
    const char *key, *words;
    bool is_hash;
} compared[] = {
    {"model_hash", "the model (or an adapter, or its scale)", true},
    {"tokenizer_hash", "the tokenizer", true},
    {"dense", "--dense", false},
    {"k", "--k", false},
    {"cumulative", "--cumulative", false},
    {"samples", "--samples", false},
    {"seed", "--seed", false},
    {"temperature", "--temperature", false},
    {"exact", "--exact", false},
    {"max_seq_length", "--max-seq-length", false},
    {"loss", "--loss", false},
    {"data_hash", "the data", true},
};

static bool same_example(const struct examples *a, const struct examples *b, size_t i)
{
    size_t n = a->begin[i + 1] - a->begin[i];
    return n == b->begin[i + 1] - b->begin[i] &&
           memcmp(a->ids + a->begin[i], b->ids + b->begin[i], n * sizeof *a->ids) == 0 &&
           memcmp(a->learned + a->begin[i] + 1, b->learned + b->begin[i] + 1, n ? n - 1 : 0) == 0;
}

static size_t first_difference(const struct examples *a, const struct examples *b)
{
    size_t i = 0;
    while (i < a->count && i < b->count && same_example(a, b, i))
        i++;
    return i;
}

/* Where the data leaves what the dump has. */
static int say_data_differs(const char *out, const struct examples *stored, const struct examples *now, struct error *e)
{
    static const char start[] = "--resume: the data is not what";
    size_t same = first_difference(stored, now);
    if (same == stored->count)
        return error_set(e, ERR_USAGE, "%s %s was made of: it differs behind the %zu sequences there", start, out, same);
    if (same == now->count)
        return error_set(e, ERR_USAGE, "%s %s was made of: it ends with %zu of the %zu sequences there", start, out, same,
                         stored->count);
    return error_set(e, ERR_USAGE, "%s %s was made of: sequence %zu differs", start, out, same);
}

static int say_difference(const char *out, size_t i, const json_t *was, const json_t *is, const struct dump *stored,
                          const struct examples *examples, struct error *e)
{
    if (strcmp(compared[i].key, "data_hash") == 0)
        return say_data_differs(out, &stored->examples, examples, e);
    if (compared[i].is_hash)
        return error_set(e, ERR_USAGE, "--resume: %s is not what %s was made with", compared[i].words, out);
    char *before = json_dumps(was, JSON_ENCODE_ANY), *now = json_dumps(is, JSON_ENCODE_ANY);
    int code = error_set(e, ERR_USAGE, "--resume: %s is %s, and %s was made with %s", compared[i].words,
                         now ? now : "not given", out, before ? before : "none");
    free(before);
    free(now);
    return code;
}

int teacher_compare(const char *out, const struct dump *stored, const struct dump_description *now,
                    const struct examples *examples, struct error *e)
{
    json_t *was = parse_settings(&stored->description), *is = parse_settings(now);
    int code = was ? OK : error_set(e, ERR_USAGE, "--resume: %s does not say what it was made with", out);
    for (size_t i = 0; i < sizeof compared / sizeof *compared && !code; i++) {
        const json_t *a = json_object_get(was, compared[i].key), *b = json_object_get(is, compared[i].key);
        if (!json_equal(a, b) && (a || b))
            code = say_difference(out, i, a, b, stored, examples, e);
    }
    if (!code && first_difference(&stored->examples, examples) < stored->examples.count)
        code = error_set(e, ERR_FORMAT, "%s: its sequences are not those that its settings say", out);
    json_decref(was);
    json_decref(is);
    return code;
}

bool teacher_limit(struct examples *x, size_t tokens)
{
    size_t n = 0;
    while (n < x->count && x->begin[n + 1] <= tokens)
        n++;
    if (n == 0)
        return false;
    x->count = n;
    return true;
}
