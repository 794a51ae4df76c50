#include "cli/distill_teacher.h"

#include "base/file.h"
#include "base/log.h"
#include "cli/shared.h"
#include "formats/hdf5_file.h"
#include "tokenizer/compare.h"

#include <dirent.h>
#include <math.h>
#include <string.h>

static bool is_dump_file(const char *path)
{
    struct hdf5_file *f = NULL;
    char *format = NULL;
    bool is = !hdf5_open(path, &f, NULL) && !hdf5_get_string(f, "format", &format, NULL) &&
              strncmp(format, "linnet-teacher-dump-", 20) == 0;
    mem_free(format);
    hdf5_close(f);
    return is;
}

bool is_dump(const char *path)
{
    if (!file_is_directory(path))
        return path_has_suffix(path, ".h5") && is_dump_file(path);
    DIR *directory = opendir(path);
    bool is = false;
    for (struct dirent *entry; directory && !is && (entry = readdir(directory));) {
        char *file = path_join(path, entry->d_name);
        is = path_has_suffix(file, ".h5") && is_dump_file(file);
        mem_free(file);
    }
    if (directory)
        closedir(directory);
    return is;
}

/* --- opening --- */

static int open_dumps(const struct distill_options *o, struct distill_teacher *t, struct error *e)
{
    struct buffer *json = &t->dump.description.tokenizer_json;
    int code = dump_open(o->teacher, &t->dump, e);
    if (!code && o->validation_teacher)
        code = dump_open(o->validation_teacher, &t->held_out, e);
    if (!code && o->tokenizer)
        code = load_tokenizer(o->tokenizer, &t->tokenizer, e);
    else if (!code && json->size)
        code = tokenizer_parse_json(json->data, json->size, &t->tokenizer, e);
    t->pair = (struct dump_pair){.train = &t->dump, .held_out = o->validation_teacher ? &t->held_out : NULL};
    t->from_dump = dump_teacher(&t->pair);
    t->teacher = &t->from_dump;
    return code;
}

static int open_model(const struct distill_options *o, struct distill_teacher *t, struct error *e)
{
    const struct option_strings none = {0};
    if (o->validation_teacher)
        return error_set(e, ERR_USAGE, "--validation-teacher goes with a dump; a model is asked about all held-out text");
    if (path_has_suffix(o->teacher, ".h5") && !file_exists(o->teacher))
        return error_set(e, ERR_IO, "%s: there is no such dump", o->teacher);
    int code = inference_load(o->teacher, &none, false, &t->inference, e);
    if (code)
        return code;
    t->tokenizer = t->inference.tokenizer;
    model_teacher_init(&t->model, &t->inference.model);
    t->teacher = &t->model.teacher;
    return OK;
}

int distill_teacher_open(const struct distill_options *o, struct distill_teacher *t, struct error *e)
{
    *t = (struct distill_teacher){.path = o->teacher, .is_dump = is_dump(o->teacher)};
    return (t->is_dump ? open_dumps : open_model)(o, t, e);
}

void distill_teacher_free(struct distill_teacher *t)
{
    if (t->is_dump) {
        tokenizer_free(t->tokenizer);
        dump_close(&t->held_out);
        dump_close(&t->dump);
    } else if (t->tokenizer) {
        model_teacher_free(&t->model);
        inference_free(&t->inference);
    }
    *t = (struct distill_teacher){0};
}

/* --- checking --- */

static int check_tokens(const struct distill_teacher *t, const struct tokenizer *student, struct error *e)
{
    uint64_t hash = t->is_dump ? t->dump.description.tokenizer_hash : tokenizer_hash(t->tokenizer);
    if (hash == tokenizer_hash(student))
        return OK;
    if (!t->tokenizer && hash == 0)
        return error_set(e, ERR_USAGE, "%s does not say which tokenizer its tokens are of; name it: --tokenizer PATH",
                         t->path);
    if (!t->tokenizer)
        return error_set(e, ERR_USAGE, "%s: its tokens are of another tokenizer (%016llx) than the student's (%016llx)",
                         t->path, (unsigned long long)hash, (unsigned long long)tokenizer_hash(student));
    struct tokenizer_difference d = tokenizer_compare(t->tokenizer, student);
    if (d.same)
        return OK;
    struct buffer text = {0};
    tokenizer_describe_difference(&d, t->tokenizer, student, &text);
    int code = OK;
    if (d.n_different == 0)
        log_info("the teacher's tokenizer is not the student's: %s", text.data);
    else
        code = error_set(e, ERR_USAGE, "%s: the teacher's tokenizer is not the student's: %s", t->path, text.data);
    buffer_free(&text);
    return code;
}

/* A longer vocabulary that begins with the student's may be padded; its further tokens must not be in use. */
static int check_ids(const struct examples *x, const char *path, size_t vocab_size, struct error *e)
{
    for (size_t i = 0; i < x->begin[x->count]; i++)
        if ((size_t)x->ids[i] >= vocab_size)
            return error_set(e, ERR_USAGE, "%s: token %zu is %d, but the student's tokenizer ends with %zu", path, i,
                             (int)x->ids[i], vocab_size - 1);
    return OK;
}

/* What a dump knows is at one temperature. */
static int check_loss(const struct dump *d, const char *path, const struct soft_loss *loss, struct error *e)
{
    const struct dump_description *s = &d->description;
    if (s->kind == DUMP_SAMPLED && (loss->divergence != FORWARD_KL || fabs(s->temperature - loss->temperature) > 1e-6))
        return error_set(e, ERR_USAGE, "%s holds samples: with them only --divergence forward_kl at --temperature %g is right "
                         "in the mean", path, s->temperature);
    if (s->kind == DUMP_TOP && loss->tail == TAIL_BUCKET && fabs(s->temperature - loss->temperature) > 1e-6)
        return error_set(e, ERR_USAGE, "%s was made at temperature %g; how likely all other tokens are at %g cannot be known "
                         "from it: take that --temperature, or --tail renormalize", path, s->temperature,
                         (double)loss->temperature);
    return OK;
}

int distill_teacher_check(struct distill_teacher *t, const struct tokenizer *student, const struct soft_loss *loss,
                          struct error *e)
{
    int code = check_tokens(t, student, e);
    if (!code && !t->is_dump && t->inference.model.config.vocab_size < tokenizer_vocab_size(student))
        return error_set(e, ERR_USAGE, "%s: the teacher knows %zu tokens, the student's tokenizer has %zu", t->path,
                         t->inference.model.config.vocab_size, tokenizer_vocab_size(student));
    if (code || !t->is_dump)
        return code;
    for (int i = 0; i < 2 && !code; i++) {
        struct dump *d = i ? t->pair.held_out : &t->dump;
        if (!d)
            continue;
        code = check_ids(&d->examples, t->path, tokenizer_vocab_size(student), e);
        if (!code)
            code = check_loss(d, t->path, loss, e);
        if (!code)
            code = dump_verify(d, "check the dump", NULL, e);
    }
    if (!code && t->pair.held_out && t->held_out.description.vocab_size != t->dump.description.vocab_size)
        code = error_set(e, ERR_USAGE, "--validation-teacher is of a vocabulary of %zu tokens, --teacher of %zu",
                         t->held_out.description.vocab_size, t->dump.description.vocab_size);
    return code;
}

void distill_teacher_say(const struct distill_teacher *t)
{
    char a[32], b[32];
    const struct dump_description *s = &t->dump.description;
    if (!t->is_dump) {
        log_info("teacher %s: %s parameters, runs beside the student", t->path,
                 format_count((double)t->inference.model.n_weights, a));
        return;
    }
    struct buffer what = {0};
    if (s->kind == DUMP_DENSE)
        buffer_printf(&what, "all %zu tokens", s->vocab_size);
    else
        buffer_printf(&what, "%s %zu of %zu tokens", s->kind == DUMP_SAMPLED ? "samples," : "the likeliest", s->most,
                      s->vocab_size);
    log_info("teacher %s: %s at %s positions, temperature %g, %.0f bytes each; %s in all", s->teacher ? s->teacher : t->path,
             what.data, format_count((double)t->dump.n_positions, a), s->temperature,
             (double)t->dump.n_bytes / (double)t->dump.n_positions, format_bytes((double)t->dump.n_bytes, b));
    buffer_free(&what);
}
