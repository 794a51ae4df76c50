#include "train/checkpoint.h"

#include "base/hash.h"
#include "formats/hdf5_file.h"
#include "model/load.h"

#include <stdio.h>
#include <string.h>

#define CHECKPOINT_FORMAT "linnet-checkpoint-1"

/* The scalars of a checkpoint, so that writing, reading and hashing see the same list. */
static const struct state_field {
    const char *name;
    size_t offset;
    enum { WHOLE, REAL } kind;
    bool may_be_absent; /* 0 then: from before there was such a field */
} state_fields[] = {
    {"step", offsetof(struct run_state, step), WHOLE, false},
    {"rows_consumed", offsetof(struct run_state, rows_consumed), WHOLE, false},
    {"tokens_seen", offsetof(struct run_state, tokens_seen), WHOLE, false},
    {"tokenizer_hash", offsetof(struct run_state, tokenizer_hash), WHOLE, false},
    {"data_hash", offsetof(struct run_state, data_hash), WHOLE, false},
    {"seconds", offsetof(struct run_state, seconds), REAL, false},
    {"best_loss", offsetof(struct run_state, best_loss), REAL, false},
    {"best_step", offsetof(struct run_state, best_step), WHOLE, false},
    {"evals_since_best", offsetof(struct run_state, evals_since_best), WHOLE, false},
    {"window_loss", offsetof(struct run_state, window_loss), REAL, false},
    {"window_steps", offsetof(struct run_state, window_steps), WHOLE, false},
    {"window_skipped", offsetof(struct run_state, window_skipped), WHOLE, true},
    {"iters", offsetof(struct run_state, iters), WHOLE, true},
    {"base_hash", offsetof(struct run_state, base_hash), WHOLE, true},
    {"view_hash", offsetof(struct run_state, view_hash), WHOLE, true},
    {"first_probe_loss", offsetof(struct run_state, first_probe_loss), REAL, true},
};
enum { N_STATE_FIELDS = sizeof state_fields / sizeof state_fields[0] };

static uint64_t state_hash(const struct run_state *s, uint64_t optimizer_steps, const char *config)
{
    uint64_t h = hash64(config, strlen(config), optimizer_steps);
    for (int i = 0; i < N_STATE_FIELDS; i++) {
        const char *at = (const char *)s + state_fields[i].offset;
        if (!state_fields[i].may_be_absent || memcmp(at, &(uint64_t){0}, 8) != 0)
            h = hash64(at, 8, h);
    }
    return h;
}

static int write_state(struct hdf5_file *f, const struct run_state *s, struct error *e)
{
    int code = OK;
    for (int i = 0; i < N_STATE_FIELDS && !code; i++) {
        const char *at = (const char *)s + state_fields[i].offset;
        if (state_fields[i].kind == REAL)
            code = hdf5_put_f64(f, state_fields[i].name, *(const double *)at, e);
        else
            code = hdf5_put_u64(f, state_fields[i].name, *(const uint64_t *)at, e);
    }
    return code;
}

/* Each type of moments lies in groups of its own: bf16 as the uint16 of its bits, 8 bits as codes and scales. */
static const struct moment_storage {
    const char *suffix;
    enum hdf5_type type;
} moment_storage[] = {
    [MOMENT_F32] = {"", HDF5_F32}, [MOMENT_BF16] = {"_bf16", HDF5_U16}, [MOMENT_8BIT] = {"_8bit", HDF5_U8},
};
enum { N_MOMENT_TYPES = sizeof moment_storage / sizeof *moment_storage };
static const char moment_letters[] = {[MOMENT_FIRST] = 'm', [MOMENT_SECOND] = 'v'};

struct moment_name {
    char text[PARAM_NAME_SIZE + 32];
};

static struct moment_name moment_name(enum moment_order order, enum moment_type type, const char *part,
                                      const struct param *p)
{
    struct moment_name name;
    snprintf(name.text, sizeof name.text, "optimizer/%c%s%s/%s", moment_letters[order],
             moment_storage[type].suffix, part, p->name);
    return name;
}

static int write_moment(struct hdf5_file *f, enum moment_order order, const struct param *p,
                        const struct moment *m, struct error *e)
{
    size_t dims[2] = {p->rows, p->cols}, n_scales = moment_blocks(p->count);
    struct moment_name name = moment_name(order, m->type, "", p);
    int code = hdf5_write(f, name.text, moment_storage[m->type].type, p->n_dims, p->n_dims == 2 ? dims : dims + 1,
                          m->data, e);
    if (code || !m->scale)
        return code;
    name = moment_name(order, m->type, "_scale", p);
    return hdf5_write(f, name.text, HDF5_F32, 1, &n_scales, m->scale, e);
}

static int write_moments(struct hdf5_file *f, const struct optimizer *o, struct error *e)
{
    int code = OK;
    for (size_t i = 0; i < o->params->count && !code; i++) {
        const struct param *p = o->params->items[i];
        code = write_moment(f, MOMENT_FIRST, p, &o->m[i], e);
        if (!code && o->v[i].data)
            code = write_moment(f, MOMENT_SECOND, p, &o->v[i], e);
    }
    return code;
}

int checkpoint_write(const char *path, const struct optimizer *o, bool complete, const struct checkpoint_addition *addition,
                     const struct run_state *s, const char *config, struct error *e)
{
    struct hdf5_file *f = NULL;
    uint64_t optimizer_steps = complete ? o->step : 0;
    int code = hdf5_create(path, &f, e);
    if (code)
        return code;
    code = hdf5_put_string(f, "format", CHECKPOINT_FORMAT, e);
    if (!code)
        code = hdf5_put_string(f, "config", config, e);
    if (!code)
        code = hdf5_put_u64(f, "optimizer_steps", optimizer_steps, e);
    if (!code)
        code = hdf5_put_u64(f, "state_xxh64", state_hash(s, optimizer_steps, config), e);
    if (!code)
        code = write_state(f, s, e);
    if (!code)
        code = params_write_hdf5(o->params, f, e);
    if (!code && complete)
        code = write_moments(f, o, e);
    if (!code && addition)
        code = addition->transfer(addition->context, f, e);
    if (code) {
        hdf5_close(f);
        return code;
    }
    return hdf5_commit(f, e);
}

static int read_state(struct hdf5_file *f, const char *path, struct run_state *s,
                      uint64_t *optimizer_steps, char **config_out, struct error *e)
{
    char *format = NULL, *config = NULL;
    uint64_t expected = 0;
    int code = hdf5_get_string(f, "format", &format, e);
    if (!code && strcmp(format, CHECKPOINT_FORMAT) != 0)
        code = error_set(e, ERR_FORMAT, "%s: format \"%s\", expected \"%s\"", path, format,
                         CHECKPOINT_FORMAT);
    if (!code)
        code = hdf5_get_string(f, "config", &config, e);
    if (!code)
        code = hdf5_get_u64(f, "optimizer_steps", optimizer_steps, e);
    if (!code)
        code = hdf5_get_u64(f, "state_xxh64", &expected, e);
    for (int i = 0; i < N_STATE_FIELDS && !code; i++) {
        char *at = (char *)s + state_fields[i].offset;
        if (state_fields[i].may_be_absent && !hdf5_has_attribute(f, state_fields[i].name))
            memset(at, 0, 8);
        else if (state_fields[i].kind == REAL)
            code = hdf5_get_f64(f, state_fields[i].name, (double *)at, e);
        else
            code = hdf5_get_u64(f, state_fields[i].name, (uint64_t *)at, e);
    }
    if (!code && state_hash(s, *optimizer_steps, config) != expected)
        code = error_set(e, ERR_FORMAT, "%s: damaged: the state does not match its checksum", path);
    mem_free(format);
    if (config_out && !code)
        *config_out = config;
    else
        mem_free(config);
    return code;
}

/* Of the type it has in the file. */
static int read_stored(struct hdf5_file *f, const char *path, enum moment_order order, const struct param *p,
                       struct moment *m, struct error *e)
{
    struct moment_name name = moment_name(order, m->type, "", p);
    int code = hdf5_read(f, name.text, moment_storage[m->type].type, p->count, m->data, e);
    if (code || !m->scale)
        return code;
    name = moment_name(order, m->type, "_scale", p);
    code = hdf5_read(f, name.text, HDF5_F32, moment_blocks(p->count), m->scale, e);
    for (size_t i = 0; i < moment_blocks(p->count) && !code; i++)
        if (!(m->scale[i] >= 0 && m->scale[i] <= moment_code(order)->most * 1.02f))
            code = error_set(e, ERR_FORMAT, "%s: %s: element %zu is %g, which is no scale of moments", path, name.text,
                             i, (double)m->scale[i]);
    return code;
}

/* Into the type that the optimiser keeps, from whichever the file has. */
static int read_moment(struct hdf5_file *f, const char *path, enum moment_order order, const struct param *p,
                       struct moment *m, struct error *e)
{
    struct moment stored = {.type = N_MOMENT_TYPES - 1};
    while (stored.type > MOMENT_F32 && !hdf5_has(f, moment_name(order, stored.type, "", p).text))
        stored.type--;
    if (stored.type == m->type)
        return read_stored(f, path, order, p, m, e);
    stored.data = mem_alloc(p->count, moment_element_bytes(stored.type));
    if (stored.type == MOMENT_8BIT)
        stored.scale = mem_alloc(moment_blocks(p->count), sizeof *stored.scale);
    float *plain = mem_alloc(p->count, sizeof *plain);
    int code = read_stored(f, path, order, p, &stored, e);
    if (!code) {
        moment_to_f32(&stored, order, plain, p->count);
        moment_from_f32(m, order, plain, p->count);
    }
    mem_free(plain);
    mem_free(stored.scale);
    mem_free(stored.data);
    return code;
}

static int read_moments(struct hdf5_file *f, const char *path, struct optimizer *o, struct error *e)
{
    int code = OK;
    for (size_t i = 0; i < o->params->count && !code; i++) {
        const struct param *p = o->params->items[i];
        code = read_moment(f, path, MOMENT_FIRST, p, &o->m[i], e);
        if (!code && o->v[i].data)
            code = read_moment(f, path, MOMENT_SECOND, p, &o->v[i], e);
    }
    return code;
}

int checkpoint_read(const char *path, struct optimizer *o, struct run_state *s, struct error *e)
{
    struct hdf5_file *f = NULL;
    int code = hdf5_open(path, &f, e);
    if (code)
        return code;
    code = read_state(f, path, s, &o->step, NULL, e);
    if (!code)
        code = params_read_hdf5(o->params, f, e);
    if (!code)
        code = read_moments(f, path, o, e);
    hdf5_close(f);
    return code;
}

int checkpoint_read_addition(const char *path, const struct checkpoint_addition *addition, struct error *e)
{
    struct hdf5_file *f = NULL;
    int code = hdf5_open(path, &f, e);
    if (code)
        return code;
    code = addition->transfer(addition->context, f, e);
    hdf5_close(f);
    return code;
}

int checkpoint_read_state(const char *path, struct run_state *s, char **config, struct error *e)
{
    struct hdf5_file *f = NULL;
    uint64_t optimizer_steps;
    int code = hdf5_open(path, &f, e);
    if (code)
        return code;
    code = read_state(f, path, s, &optimizer_steps, config, e);
    hdf5_close(f);
    return code;
}

int run_state_check(const struct run_state *s, const char *path, const struct run_state *now, struct error *e)
{
    if (now->base_hash && s->base_hash != now->base_hash)
        return error_set(e, ERR_FORMAT,
                         "%s: began with another base model than this one; give the same file again, or start a new run",
                         path);
    if (now->tokenizer_hash && s->tokenizer_hash != now->tokenizer_hash)
        return error_set(e, ERR_FORMAT,
                         "%s: was trained with another tokenizer than the run's tokenizer.json; "
                         "put the original back", path);
    if (now->data_hash && s->data_hash != now->data_hash)
        return error_set(e, ERR_FORMAT,
                         "%s: was trained on other data; resume with the same files, or start a "
                         "new run", path);
    return OK;
}
