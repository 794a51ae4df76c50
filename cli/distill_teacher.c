#include "cli/distill_teacher.h"

#include "base/file.h"
#include "base/log.h"
#include "cli/shared.h"
#include "tokenizer/compare.h"

#include <math.h>
#include <string.h>

/* --- opening --- */

/* --tokenizer must be the dump's, where that says which it is. */
static int open_named_tokenizer(const char *path, struct distill_teacher *t, struct error *e)
{
    uint64_t hash = t->dump.description.tokenizer_hash;
    int code = load_tokenizer(path, &t->tokenizer, e);
    if (code || !hash || hash == tokenizer_hash(t->tokenizer))
        return code;
    return error_set(e, ERR_USAGE, "%s is not the tokenizer of %s", path, t->path);
}

static int open_dumps(const struct distill_options *o, struct distill_teacher *t, struct error *e)
{
    struct buffer *json = &t->dump.description.tokenizer_json;
    int code = dump_open(o->teacher, &t->dump, e);
    if (!code && o->validation_teacher)
        code = dump_open(o->validation_teacher, &t->held_out, e);
    if (!code && o->tokenizer)
        code = open_named_tokenizer(o->tokenizer, t, e);
    else if (!code && json->size)
        code = tokenizer_parse_json(json->data, json->size, &t->tokenizer, e);
    t->pair = (struct dump_pair){.train = &t->dump, .held_out = o->validation_teacher ? &t->held_out : NULL};
    t->examples = &t->dump.examples;
    t->held_out_examples = o->validation_teacher ? &t->held_out.examples : NULL;
    t->from_dump = dump_teacher(&t->pair);
    t->teacher = &t->from_dump;
    return code;
}

static int open_model(const struct distill_options *o, struct distill_teacher *t, struct error *e)
{
    const struct option_strings none = {0};
    if (o->align != ALIGN_NONE)
        return error_set(e, ERR_USAGE, "--align text needs a dump, and %s is none: make one first, linnet teacher --model %s "
                         "--data PATH --out DUMP", o->teacher, o->teacher);
    if (o->validation_teacher)
        return error_set(e, ERR_USAGE, "--validation-teacher goes with a dump; a model is asked about all held-out text");
    if (o->tokenizer)
        return error_set(e, ERR_USAGE, "--tokenizer goes with a dump; %s has its own", o->teacher);
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
    *t = (struct distill_teacher){.path = o->teacher, .held_out_path = o->validation_teacher, .is_dump = dump_is(o->teacher)};
    return (t->is_dump ? open_dumps : open_model)(o, t, e);
}

void distill_teacher_free(struct distill_teacher *t)
{
    if (t->is_dump) {
        tokenizer_free(t->tokenizer);
        alignment_free(&t->alignment);
        alignment_free(&t->held_out_alignment);
        token_map_free(&t->map);
        dump_close(&t->held_out);
        dump_close(&t->dump);
    } else if (t->tokenizer) {
        model_teacher_free(&t->model);
        inference_free(&t->inference);
    }
    *t = (struct distill_teacher){0};
}

/* --- another tokenizer --- */

/* That a dump is of the tokenizer that its tokens are taken for. */
static int check_own_tokens(const struct distill_teacher *t, const struct dump *d, const char *path, struct error *e)
{
    uint64_t hash = d->description.tokenizer_hash;
    if (!t->tokenizer)
        return error_set(e, ERR_USAGE, "%s has no tokenizer in it: name the one its tokens are of, --tokenizer PATH", path);
    if (hash != 0 && hash != tokenizer_hash(t->tokenizer))
        return error_set(e, ERR_USAGE, "%s: its tokens are of another tokenizer (%016llx) than %s (%016llx)", path,
                         (unsigned long long)hash, d == &t->dump ? "--tokenizer" : "the teacher's",
                         (unsigned long long)tokenizer_hash(t->tokenizer));
    return OK;
}

static int align_dump(struct distill_teacher *t, struct dump *d, const char *path, const struct tokenizer *student,
                      struct alignment *a, struct error *e)
{
    int code = check_own_tokens(t, d, path, e);
    if (!code && d->description.vocab_size != t->map.n)
        code = error_set(e, ERR_USAGE, "%s is of a vocabulary of %zu tokens, the teacher of %zu", path,
                         d->description.vocab_size, t->map.n);
    if (!code)
        code = alignment_init(a, d, &t->map, t->tokenizer, student, e);
    if (!code && a->n_left_out)
        log_warn("%s: left out %zu of %zu sequences, as one of the two tokenizers does not spell them byte by byte", path,
                 a->n_left_out, d->examples.count);
    return code;
}

int distill_teacher_align(struct distill_teacher *t, const struct distill_options *o, const struct tokenizer *student,
                          size_t vocab_size, struct error *e)
{
    if (o->align == ALIGN_NONE)
        return OK;
    int code = check_own_tokens(t, &t->dump, t->path, e);
    if (code)
        return code;
    token_map_init(&t->map, t->tokenizer, t->dump.description.vocab_size, student, vocab_size);
    code = align_dump(t, &t->dump, t->path, student, &t->alignment, e);
    if (!code)
        code = alignment_measure(&t->alignment, &t->dump, &t->shares, e);
    if (code)
        return code;
    t->pair.alignment = &t->alignment;
    t->examples = &t->alignment.examples;
    if (!t->pair.held_out)
        return OK;
    code = align_dump(t, t->pair.held_out, o->validation_teacher, student, &t->held_out_alignment, e);
    t->pair.held_out_alignment = &t->held_out_alignment;
    t->held_out_examples = &t->held_out_alignment.examples;
    return code;
}

static void say_alignment(const struct distill_teacher *t)
{
    char a[32], b[32];
    const struct alignment *x = &t->alignment;
    const double *share = t->shares.match, n = (double)x->n_positions;
    log_info("aligned %s of the student's %s tokens (%.0f%%) begin where one of the teacher's does, %.0f%% of them the same",
             format_count(n, a), format_count((double)x->n_tokens, b), 100 * n / (double)x->n_tokens,
             100 * (double)x->n_same / n);
    log_info("        of the teacher's probability %.1f%% falls on tokens of the same bytes, %.1f%% on beginnings, %.1f%% on the "
             "tail", 100 * share[MATCH_EXACT], 100 * share[MATCH_FIRST], 100 * share[MATCH_NONE]);
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
static int check_loss(const struct dump *d, bool aligned, const char *path, const struct soft_loss *loss, struct error *e)
{
    const struct dump_description *s = &d->description;
    if (s->kind == DUMP_SAMPLED && (loss->divergence != FORWARD_KL || (float)s->temperature != loss->temperature))
        return error_set(e, ERR_USAGE, "%s holds samples: with them only --divergence forward_kl at --temperature %g is right "
                         "in the mean", path, s->temperature);
    if (s->kind == DUMP_TOP && s->most == 1 && loss->tail == TAIL_RENORMALIZE)
        return error_set(e, ERR_USAGE, "%s knows one token of each position: --tail renormalize would learn nothing from it",
                         path);
    if ((s->kind == DUMP_TOP || aligned) && loss->tail == TAIL_BUCKET && (float)s->temperature != loss->temperature)
        return error_set(e, ERR_USAGE, "%s was made at temperature %g; how likely all other tokens are at %g cannot be known "
                         "from it: take that --temperature, or --tail renormalize", path, s->temperature,
                         (double)loss->temperature);
    return OK;
}

int distill_teacher_check(struct distill_teacher *t, const struct tokenizer *student, const struct soft_loss *loss,
                          struct error *e)
{
    bool aligned = t->pair.alignment != NULL;
    int code = aligned ? OK : check_tokens(t, student, e);
    if (!code && !t->is_dump && t->inference.model.config.vocab_size < tokenizer_vocab_size(student))
        return error_set(e, ERR_USAGE, "%s: the teacher knows %zu tokens, the student's tokenizer has %zu", t->path,
                         t->inference.model.config.vocab_size, tokenizer_vocab_size(student));
    if (code || !t->is_dump)
        return code;
    for (int i = 0; i < 2 && !code; i++) {
        struct dump *d = i ? t->pair.held_out : &t->dump;
        const char *path = i ? t->held_out_path : t->path;
        if (!d)
            continue;
        code = aligned ? OK : check_ids(&d->examples, path, tokenizer_vocab_size(student), e);
        if (!code)
            code = check_loss(d, aligned, path, loss, e);
        if (!code)
            code = dump_verify(d, "check the dump", NULL, e);
    }
    const uint64_t own = t->dump.description.tokenizer_hash, other = t->held_out.description.tokenizer_hash;
    if (!code && t->pair.held_out && own && other && own != other)
        code = error_set(e, ERR_USAGE, "%s is of another tokenizer than %s", t->held_out_path, t->path);
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
    if (t->pair.alignment)
        say_alignment(t);
}
