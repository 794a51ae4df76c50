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
    enum { WHOLE, WHOLE_OR_ABSENT, REAL } kind; /* absent: 0, from before there was such a field */
} state_fields[] = {
    {"step", offsetof(struct run_state, step), WHOLE},
    {"rows_consumed", offsetof(struct run_state, rows_consumed), WHOLE},
    {"tokens_seen", offsetof(struct run_state, tokens_seen), WHOLE},
    {"tokenizer_hash", offsetof(struct run_state, tokenizer_hash), WHOLE},
    {"data_hash", offsetof(struct run_state, data_hash), WHOLE},
    {"seconds", offsetof(struct run_state, seconds), REAL},
    {"best_loss", offsetof(struct run_state, best_loss), REAL},
    {"best_step", offsetof(struct run_state, best_step), WHOLE},
    {"evals_since_best", offsetof(struct run_state, evals_since_best), WHOLE},
    {"window_loss", offsetof(struct run_state, window_loss), REAL},
    {"window_steps", offsetof(struct run_state, window_steps), WHOLE},
    {"window_skipped", offsetof(struct run_state, window_skipped), WHOLE_OR_ABSENT},
    {"iters", offsetof(struct run_state, iters), WHOLE_OR_ABSENT},
};
enum { N_STATE_FIELDS = sizeof state_fields / sizeof state_fields[0] };

static uint64_t state_hash(const struct run_state *s, uint64_t optimizer_steps, const char *config)
{
    uint64_t h = hash64(config, strlen(config), optimizer_steps);
    for (int i = 0; i < N_STATE_FIELDS; i++) {
        const char *at = (const char *)s + state_fields[i].offset;
        if (state_fields[i].kind != WHOLE_OR_ABSENT || memcmp(at, &(uint64_t){0}, 8) != 0)
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

/* Moments in bf16 lie in groups of their own, as the uint16 of their bits. */
static void moment_name(char *out, size_t size, char moment, enum dtype type, const struct param *p)
{
    snprintf(out, size, "optimizer/%c%s/%s", moment, type == DTYPE_BF16 ? "_bf16" : "", p->name);
}

static int write_moment(struct hdf5_file *f, char moment, enum dtype type, const struct param *p,
                        const void *data, struct error *e)
{
    size_t dims[2] = {p->rows, p->cols};
    char name[PARAM_NAME_SIZE + 32];
    moment_name(name, sizeof name, moment, type, p);
    return hdf5_write(f, name, type == DTYPE_BF16 ? HDF5_U16 : HDF5_F32, p->n_dims,
                      p->n_dims == 2 ? dims : dims + 1, data, e);
}

static int write_moments(struct hdf5_file *f, const struct optimizer *o, struct error *e)
{
    int code = OK;
    for (size_t i = 0; i < o->params->count && !code; i++) {
        const struct param *p = o->params->items[i];
        enum dtype type = optimizer_moment_type(o, p);
        code = write_moment(f, 'm', type, p, o->m[i], e);
        if (!code && o->v[i])
            code = write_moment(f, 'v', type, p, o->v[i], e);
    }
    return code;
}

int checkpoint_write(const char *path, const struct optimizer *o, bool complete,
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
        if (state_fields[i].kind == WHOLE_OR_ABSENT &&
            hdf5_get_u64(f, state_fields[i].name, (uint64_t *)at, NULL))
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

/* Into data of `type`, from whichever type the file has. */
static int read_moment(struct hdf5_file *f, char moment, enum dtype type, const struct param *p,
                       void *data, struct error *e)
{
    enum dtype stored = DTYPE_BF16;
    char name[PARAM_NAME_SIZE + 32];
    moment_name(name, sizeof name, moment, stored, p);
    if (!hdf5_has(f, name)) {
        stored = DTYPE_F32;
        moment_name(name, sizeof name, moment, stored, p);
    }
    enum hdf5_type file_type = stored == DTYPE_BF16 ? HDF5_U16 : HDF5_F32;
    if (stored == type)
        return hdf5_read(f, name, file_type, p->count, data, e);
    void *other = mem_alloc(p->count, dtype_info(stored)->block_bytes);
    int code = hdf5_read(f, name, file_type, p->count, other, e);
    if (!code && stored == DTYPE_BF16)
        f32_from_bf16(other, data, p->count);
    else if (!code)
        bf16_from_f32(other, data, p->count);
    mem_free(other);
    return code;
}

static int read_moments(struct hdf5_file *f, struct optimizer *o, struct error *e)
{
    int code = OK;
    for (size_t i = 0; i < o->params->count && !code; i++) {
        const struct param *p = o->params->items[i];
        enum dtype type = optimizer_moment_type(o, p);
        code = read_moment(f, 'm', type, p, o->m[i], e);
        if (!code && o->v[i])
            code = read_moment(f, 'v', type, p, o->v[i], e);
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
        code = read_moments(f, o, e);
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

int run_state_check(const struct run_state *s, const char *path, uint64_t tokenizer_hash,
                    uint64_t data_hash, struct error *e)
{
    if (tokenizer_hash && s->tokenizer_hash != tokenizer_hash)
        return error_set(e, ERR_FORMAT,
                         "%s: was trained with another tokenizer than the run's tokenizer.json; "
                         "put the original back", path);
    if (data_hash && s->data_hash != data_hash)
        return error_set(e, ERR_FORMAT,
                         "%s: was trained on other data; resume with the same files, or start a "
                         "new run", path);
    return OK;
}
