#include "data/synth.h"

#include "base/check.h"
#include "base/file.h"
#include "data/synth_internal.h"

#include <errno.h>

enum { HELD_OUT_ONE_IN = 16 };

/* Streams of a document's seed. */
enum { STREAM_KIND = 100, STREAM_PAIRS, STREAM_ATTEMPTS };

/* Out of 1000 documents. Their mean lengths (about 950, 270 and 280 bytes; the test measures the
 * shares) turn these into 60, 25 and 15 % of the bytes. */
static const unsigned kind_weights[SYNTH_KINDS] = {303, 439, 258};

bool synth_key_in(uint64_t key, enum synth_split split)
{
    bool held_out = rng_at(key, 0x5EED) % HELD_OUT_ONE_IN == 0;
    return held_out == (split == SYNTH_HELD_OUT);
}

const char *synth_kind_name(enum synth_kind kind)
{
    static const char *const names[SYNTH_KINDS] = {"story", "question", "arithmetic"};
    CHECK(kind < SYNTH_KINDS);
    return names[kind];
}

/* ---- stories ---- */

static const struct synth_plot *plot_at(size_t i)
{
    const struct {
        const struct synth_plot *plots;
        size_t count;
    } groups[] = {
        {synth_daily_plots, synth_daily_count},
        {synth_outdoor_plots, synth_outdoor_count},
        {synth_kindness_plots, synth_kindness_count},
        {synth_fable_plots, synth_fable_count},
    };
    for (size_t g = 0; g < sizeof groups / sizeof *groups; g++) {
        if (i < groups[g].count)
            return &groups[g].plots[i];
        i -= groups[g].count;
    }
    CHECK(!"a plot");
    return NULL;
}

static void tell_story(uint64_t seed, enum synth_split split, struct buffer *out)
{
    size_t n = synth_daily_count + synth_outdoor_count + synth_kindness_count + synth_fable_count;
    struct synth_scene s;
    for (uint64_t attempt = 0;; attempt++) {
        uint64_t own = rng_at(seed, STREAM_ATTEMPTS + attempt);
        size_t i = own % n;
        synth_scene_begin(&s, own, plot_at(i)->bindings);
        if (synth_key_in(synth_scene_key(&s, i, 2), split)) {
            synth_scene_tell(&s, plot_at(i)->text, true, out);
            return;
        }
    }
}

/* ---- questions ---- */

static size_t draw_question(uint64_t random)
{
    unsigned total = 0;
    for (size_t i = 0; i < synth_question_count; i++)
        total += synth_questions[i].weight;
    unsigned left = (unsigned)(random % total);
    for (size_t i = 0;; i++) {
        if (left < synth_questions[i].weight)
            return i;
        left -= synth_questions[i].weight;
    }
}

static void question_pair(uint64_t seed, enum synth_split split, struct buffer *question,
                          struct buffer *answer)
{
    struct synth_scene s;
    for (uint64_t attempt = 0;; attempt++) {
        uint64_t own = rng_at(seed, attempt);
        size_t i = draw_question(own);
        const struct synth_question *q = &synth_questions[i];
        synth_scene_begin(&s, own, q->bindings);
        if (synth_key_in(synth_scene_key(&s, 500 + i, s.n_always), split)) {
            synth_scene_tell(&s, q->question, true, question);
            synth_scene_tell(&s, q->answer, false, answer);
            return;
        }
    }
}

/* ---- documents ---- */

static void tell_pairs(uint64_t seed, enum synth_split split, size_t n,
                       void (*pair)(uint64_t, enum synth_split, struct buffer *, struct buffer *),
                       struct buffer *out, struct buffer *question, struct buffer *answer)
{
    struct buffer q = {0}, a = {0};
    for (size_t i = 0; i < n; i++) {
        buffer_clear(&q);
        buffer_clear(&a);
        pair(rng_at(seed, STREAM_PAIRS + i), split, &q, &a);
        buffer_printf(out, "%sQuestion: %s\nAnswer: %s", i ? "\n" : "", q.data, a.data);
    }
    if (question)
        buffer_append(question, q.data, q.size);
    if (answer)
        buffer_append(answer, a.data, a.size);
    buffer_free(&q);
    buffer_free(&a);
}

/* The first draw of a document's own numbers, which go on behind it. */
static enum synth_kind draw_kind(uint64_t own, struct rng *r)
{
    rng_init(r, own, STREAM_KIND);
    unsigned draw = (unsigned)rng_below(r, 1000);
    return draw < kind_weights[SYNTH_STORY]                                  ? SYNTH_STORY
           : draw < kind_weights[SYNTH_STORY] + kind_weights[SYNTH_QUESTION] ? SYNTH_QUESTION
                                                                             : SYNTH_ARITHMETIC;
}

static uint64_t document_seed(uint64_t seed, enum synth_split split, uint64_t index)
{
    return rng_at(rng_at(seed, split), index);
}

enum synth_kind synth_document_kind(uint64_t seed, enum synth_split split, uint64_t index)
{
    struct rng r;
    return draw_kind(document_seed(seed, split, index), &r);
}

enum synth_kind synth_document(uint64_t seed, enum synth_split split, uint64_t index,
                               struct buffer *out, struct buffer *question, struct buffer *answer)
{
    uint64_t own = document_seed(seed, split, index);
    struct rng r;
    enum synth_kind kind = draw_kind(own, &r);
    if (kind == SYNTH_STORY)
        tell_story(own, split, out);
    else if (kind == SYNTH_QUESTION)
        tell_pairs(own, split, 1 + rng_below(&r, 3), question_pair, out, question, answer);
    else
        tell_pairs(own, split, 3 + rng_below(&r, 4), synth_arithmetic_pair, out, question, answer);
    return kind;
}

/* ---- files ---- */

/* The text is ASCII, so only these three need escaping. */
static void write_json_string(const struct buffer *text, FILE *f)
{
    fputc('"', f);
    for (size_t i = 0; i < text->size; i++) {
        char c = text->data[i];
        if (c == '\n') {
            fputs("\\n", f);
            continue;
        }
        if (c == '"' || c == '\\')
            fputc('\\', f);
        fputc(c, f);
    }
    fputc('"', f);
}

static void write_json_line(const struct buffer *text, enum synth_kind kind,
                            const struct buffer *question, const struct buffer *answer, FILE *f)
{
    fputs("{\"text\": ", f);
    write_json_string(text, f);
    fprintf(f, ", \"kind\": \"%s\"", synth_kind_name(kind));
    if (question->size) {
        fputs(", \"question\": ", f);
        write_json_string(question, f);
        fputs(", \"answer\": ", f);
        write_json_string(answer, f);
    }
    fputs("}\n", f);
}

int synth_write_corpus(const char *path, const struct synth_corpus *c, uint64_t *documents, struct error *e)
{
    bool lines = path_has_suffix(path, ".jsonl");
    if (!lines && !path_has_suffix(path, ".txt"))
        return error_set(e, ERR_USAGE, "%s: the name must end in .jsonl or .txt", path);
    struct file_writer w = {0};
    int code = file_writer_open(&w, path, e);
    if (code)
        return code;
    struct buffer text = {0}, question = {0}, answer = {0};
    uint64_t n = 0, written = 0;
    errno = 0;
    for (uint64_t index = 0; n < c->documents && written < c->bytes && !ferror(w.stream); index++) {
        enum synth_kind kind = synth_document_kind(c->seed, c->split, index);
        if (c->kind != SYNTH_KINDS && c->kind != kind)
            continue;
        buffer_clear(&text);
        buffer_clear(&question);
        buffer_clear(&answer);
        synth_document(c->seed, c->split, index, &text, &question, &answer);
        written += text.size;
        if (lines)
            write_json_line(&text, kind, &question, &answer, w.stream);
        else
            fprintf(w.stream, "%s%s\n", n ? "\n" : "", text.data);
        n++;
    }
    buffer_free(&text);
    buffer_free(&question);
    buffer_free(&answer);
    if (documents)
        *documents = n;
    return file_writer_commit(&w, e);
}

int synth_write(const char *path, uint64_t seed, enum synth_split split, uint64_t target_bytes,
                uint64_t *documents, struct error *e)
{
    struct synth_corpus c = {seed, split, SYNTH_KINDS, target_bytes, UINT64_MAX};
    return synth_write_corpus(path, &c, documents, e);
}
