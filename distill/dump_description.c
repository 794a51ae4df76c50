/* What a dump says of itself: attributes of each part, and the tokenizer where it is in there. */
#include "base/hash.h"
#include "base/memory.h"
#include "distill/dump_private.h"
#include "tokenizer/tokenizer.h"

#include <math.h>
#include <string.h>

const char *const dump_kind_names[] = {[DUMP_TOP] = "top-k", [DUMP_DENSE] = "dense", [DUMP_SAMPLED] = "sampled"};

void dump_description_free(struct dump_description *d)
{
    mem_free(d->teacher);
    mem_free(d->settings);
    buffer_free(&d->tokenizer_json);
    *d = (struct dump_description){0};
}

struct dump_description dump_description_copy(const struct dump_description *d)
{
    struct dump_description copy = *d;
    copy.teacher = mem_string(d->teacher);
    copy.settings = mem_string(d->settings);
    copy.tokenizer_json = (struct buffer){0};
    if (d->tokenizer_json.size)
        buffer_append(&copy.tokenizer_json, d->tokenizer_json.data, d->tokenizer_json.size);
    return copy;
}

static int read_kind(struct hdf5_file *f, const char *path, struct dump_description *d, struct error *e)
{
    char *name = NULL;
    int code = hdf5_get_string(f, "kind", &name, e), kind = 0;
    if (code)
        return code;
    while (kind <= DUMP_SAMPLED && strcmp(name, dump_kind_names[kind]) != 0)
        kind++;
    if (kind > DUMP_SAMPLED)
        code = error_set(e, ERR_FORMAT, "%s: attribute \"kind\" is \"%s\"; it must be top-k, dense or sampled", path, name);
    else
        d->kind = (enum dump_kind)kind;
    mem_free(name);
    return code;
}

static int check_format(struct hdf5_file *f, const char *path, struct error *e)
{
    char *format = NULL;
    if (!hdf5_has_attribute(f, "format") || hdf5_get_string(f, "format", &format, NULL) != OK)
        return error_set(e, ERR_FORMAT, "%s: is an HDF5 file, but not a teacher dump", path);
    int code = OK;
    if (strcmp(format, DUMP_FORMAT) != 0)
        code = error_set(e, ERR_FORMAT, "%s: has the format \"%s\", \"%s\" is needed", path, format, DUMP_FORMAT);
    mem_free(format);
    return code;
}

static int optional_u64(struct hdf5_file *f, const char *name, uint64_t *value, struct error *e)
{
    return hdf5_has_attribute(f, name) ? hdf5_get_u64(f, name, value, e) : OK;
}

static int read_numbers(struct hdf5_file *f, const char *path, struct dump_description *d, struct error *e)
{
    uint64_t vocab = 0, k = 0;
    int code = hdf5_get_u64(f, "vocab_size", &vocab, e);
    if (!code && (vocab == 0 || vocab > INT32_MAX))
        code = error_set(e, ERR_FORMAT, "%s: attribute \"vocab_size\" is %llu; ids have 31 bits", path,
                         (unsigned long long)vocab);
    if (!code && d->kind == DUMP_DENSE && !hdf5_has_attribute(f, "k"))
        k = vocab;
    else if (!code)
        code = hdf5_get_u64(f, "k", &k, e);
    if (!code && (k == 0 || k > vocab || (d->kind == DUMP_DENSE && k != vocab)))
        code = error_set(e, ERR_FORMAT, "%s: attribute \"k\" is %llu of a vocabulary of %llu tokens", path,
                         (unsigned long long)k, (unsigned long long)vocab);
    if (!code && d->kind != DUMP_DENSE && k > DUMP_SPARSE_MOST)
        code = error_set(e, ERR_FORMAT, "%s: attribute \"k\" is %llu; over %d a dump must be dense", path, (unsigned long long)k,
                         DUMP_SPARSE_MOST);
    if (!code)
        code = hdf5_get_f64(f, "temperature", &d->temperature, e);
    if (!code && !(d->temperature > 0 && isfinite(d->temperature)))
        code = error_set(e, ERR_FORMAT, "%s: attribute \"temperature\" is %g; it must be above 0", path, d->temperature);
    if (!code && hdf5_has_attribute(f, "cumulative"))
        code = hdf5_get_f64(f, "cumulative", &d->cumulative, e);
    if (!code && !(d->cumulative >= 0 && d->cumulative <= 1))
        code = error_set(e, ERR_FORMAT, "%s: attribute \"cumulative\" is %g; it must be 0 to 1", path, d->cumulative);
    d->vocab_size = vocab;
    d->most = k;
    return code;
}

/* The tokenizer, and its hash where only the tokenizer is there. */
static int read_tokenizer(struct hdf5_file *f, const char *path, struct dump_description *d, struct error *e)
{
    static const char name[] = "tokenizer_json";
    enum { MOST = 256 << 20 };
    struct hdf5_column *c;
    if (!hdf5_has(f, name))
        return OK;
    int code = hdf5_column_open(f, name, &c, e);
    if (code)
        return code;
    const struct hdf5_column_info *info = hdf5_column_info(c);
    if (info->type != HDF5_U8 || info->width != 1 || info->rows == 0 || info->rows > MOST) {
        code = error_set(e, ERR_FORMAT, "%s: dataset \"%s\" must hold the bytes of a tokenizer.json", path, name);
    } else {
        struct buffer *json = &d->tokenizer_json;
        json->data = mem_zero(info->rows + 1, 1);
        json->size = info->rows;
        json->capacity = info->rows + 1;
        code = hdf5_column_read(c, HDF5_U8, 0, info->rows, json->data, NULL, e);
    }
    hdf5_column_close(c);
    return code;
}

int dump_hash_tokenizer(struct dump_description *d, const char *path, struct error *e)
{
    struct tokenizer *t = NULL;
    if (d->tokenizer_hash || !d->tokenizer_json.size)
        return OK;
    if (tokenizer_parse_json(d->tokenizer_json.data, d->tokenizer_json.size, &t, e))
        return error_prefix(e, "%s: tokenizer_json", path);
    d->tokenizer_hash = tokenizer_hash(t);
    tokenizer_free(t);
    return OK;
}

int dump_read_description(struct hdf5_file *f, const char *path, struct dump_description *d, struct error *e)
{
    *d = (struct dump_description){0};
    int code = check_format(f, path, e);
    if (!code)
        code = read_kind(f, path, d, e);
    if (!code)
        code = read_numbers(f, path, d, e);
    if (!code)
        code = hdf5_get_string(f, "teacher", &d->teacher, e);
    if (!code && hdf5_has_attribute(f, "settings"))
        code = hdf5_get_string(f, "settings", &d->settings, e);
    if (!code)
        code = optional_u64(f, "teacher_hash", &d->teacher_hash, e);
    if (!code)
        code = optional_u64(f, "tokenizer_hash", &d->tokenizer_hash, e);
    if (!code)
        code = read_tokenizer(f, path, d, e);
    return code;
}

int dump_write_description(struct hdf5_file *f, const struct dump_description *d, struct error *e)
{
    const struct {
        const char *name, *value;
    } strings[] = {{"format", DUMP_FORMAT},   {"kind", dump_kind_names[d->kind]}, {"teacher", d->teacher},
                   {"settings", d->settings}, {"producer", "linnet"}};
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {{"vocab_size", d->vocab_size}, {"k", d->most}, {"tokenizer_hash", d->tokenizer_hash},
                   {"teacher_hash", d->teacher_hash}};
    int code = OK;
    for (size_t i = 0; i < sizeof strings / sizeof *strings && !code; i++)
        if (strings[i].value)
            code = hdf5_put_string(f, strings[i].name, strings[i].value, e);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers && !code; i++)
        if (numbers[i].value) /* a hash of 0 is one that is not known */
            code = hdf5_put_u64(f, numbers[i].name, numbers[i].value, e);
    if (!code)
        code = hdf5_put_f64(f, "temperature", d->temperature, e);
    if (!code)
        code = hdf5_put_f64(f, "cumulative", d->cumulative, e);
    struct hdf5_column *c = NULL;
    if (!code && d->tokenizer_json.size)
        code = hdf5_column_create(f, "tokenizer_json", HDF5_U8, 0, 65536, 6, &c, e);
    if (!code && c)
        code = hdf5_column_append(c, d->tokenizer_json.data, d->tokenizer_json.size, e);
    int finished = hdf5_column_finish(c, code ? NULL : e);
    return code ? code : finished;
}

static bool same_tokenizer(const struct dump_description *a, const struct dump_description *b)
{
    if (a->tokenizer_hash && b->tokenizer_hash)
        return a->tokenizer_hash == b->tokenizer_hash;
    bool same_text = a->tokenizer_json.size == b->tokenizer_json.size &&
                     (!a->tokenizer_json.size ||
                      memcmp(a->tokenizer_json.data, b->tokenizer_json.data, a->tokenizer_json.size) == 0);
    return same_text && (a->tokenizer_json.size || a->tokenizer_hash == b->tokenizer_hash);
}

int dump_check_same(const struct dump_description *a, const char *a_name, const struct dump_description *b,
                    const char *b_name, struct error *e)
{
    if (a->kind != b->kind)
        return error_set(e, ERR_FORMAT, "%s is of the kind %s, %s of the kind %s: they are not parts of one dump", a_name,
                         dump_kind_names[a->kind], b_name, dump_kind_names[b->kind]);
    if (a->vocab_size != b->vocab_size)
        return error_set(e, ERR_FORMAT, "%s has a vocabulary of %zu tokens, %s of %zu: they are not parts of one dump", a_name,
                         a->vocab_size, b_name, b->vocab_size);
    if (a->temperature != b->temperature)
        return error_set(e, ERR_FORMAT, "%s has the temperature %g, %s has %g: they are not parts of one dump", a_name,
                         a->temperature, b_name, b->temperature);
    if (!same_tokenizer(a, b))
        return error_set(e, ERR_FORMAT, "%s and %s have different tokenizers: they are not parts of one dump", a_name, b_name);
    return OK;
}
