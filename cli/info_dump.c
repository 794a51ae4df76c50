/* A teacher dump at a glance; verified, what its distributions are like. */
#include "cli/info.h"
#include "distill/dump.h"

#include <inttypes.h>
#include <string.h>
#include <math.h>

static json_t *whole(uint64_t n)
{
    return json_integer((json_int_t)n);
}

static json_t *rounded(double x, double unit)
{
    return json_real(round(x / unit) * unit);
}

static json_t *hash(uint64_t value)
{
    return value ? json_sprintf("%016" PRIx64, value) : json_string("not known");
}

static void add_description(json_t *file, const struct dump_description *d)
{
    static const char *const kinds[] = {
        [DUMP_TOP] = "top-k", [DUMP_DENSE] = "dense", [DUMP_SAMPLED] = "sampled"};
    info_add(file, "kind", json_string(kinds[d->kind]));
    info_add(file, "vocab_size", whole(d->vocab_size));
    if (d->kind != DUMP_DENSE)
        info_add(file, "k", whole(d->most));
    if (d->cumulative > 0)
        info_add(file, "cumulative", json_real(d->cumulative));
    info_add(file, "temperature", json_real(d->temperature));
    info_add(file, "teacher", json_text(d->teacher, strlen(d->teacher)));
    info_add(file, "teacher_hash", hash(d->teacher_hash));
    info_add(file, "tokenizer_hash", hash(d->tokenizer_hash));
    info_add(file, "tokenizer_json", d->tokenizer_json.size ? whole(d->tokenizer_json.size) : json_null());
    if (d->settings)
        info_add(file, "settings", json_text(d->settings, strlen(d->settings)));
}

static void add_statistics(json_t *file, const struct dump_statistics *s)
{
    const struct {
        const char *name;
        double value;
    } rows[] = {{"mean_entries", s->entries},           {"covered", s->covered},
                {"tail", s->tail},                      {"entropy", s->entropy},
                {"top_probability", s->top},            {"agreement", s->agreement},
                {"cross_entropy", s->cross_entropy},    {"target_covered", s->target_covered}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        info_add(file, rows[i].name, rows[i].value == rows[i].value ? rounded(rows[i].value, 1e-4) : json_null());
}

int info_describe_dump(const char *path, bool verify, json_t **out, struct error *e)
{
    struct dump d;
    struct dump_statistics statistics;
    *out = NULL;
    int code = dump_open(path, &d, e);
    if (code)
        return code;
    if (verify)
        code = dump_verify(&d, "verify", &statistics, e);
    json_t *file = json_pack("{s:s, s:s, s:I}", "path", path, "kind", "teacher dump", "bytes", (json_int_t)d.n_bytes);
    if (!code && !file)
        code = error_set(e, ERR_USAGE, "the path is not valid UTF-8");
    if (!code) {
        if (d.n_parts > 1)
            json_object_set_new(file, "files", whole(d.n_parts));
        add_description(file, &d.description);
        info_add(file, "sequences", whole(d.examples.count));
        info_add(file, "tokens", whole(d.examples.begin[d.examples.count]));
        info_add(file, "positions", whole(d.n_positions));
        info_add(file, "bytes_a_position", rounded((double)d.n_bytes / fmax(1, (double)d.n_positions), 0.1));
        if (verify)
            add_statistics(file, &statistics);
        *out = file;
    } else {
        json_decref(file);
    }
    dump_close(&d);
    return code;
}
