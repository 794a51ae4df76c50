#include "cli/answers.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/rng.h"
#include "cli/shared.h"
#include "data/corpus.h"
#include "train/interrupt.h"

#include <string.h>

#define FIELD(member) offsetof(struct answers_flags, member)

const struct option answers_rows[ANSWERS_ROWS] = {
    {.key = "model", .flag = "--model", .type = OPTION_STRING, .offset = FIELD(model), .placeholder = "PATH",
     .help = "a run directory, a checkpoint, a Hugging Face directory, or a GGUF file"},
    ADAPTER_ROW(FIELD(adapters)),
    EXACT_ROW(FIELD(exact)),
    {.key = "data", .flag = "--data", .type = OPTION_STRINGS, .offset = FIELD(data), .placeholder = "PATH...",
     .help = "rows that ask: .jsonl files, also gzipped, or directories of them"},
    {.key = "limit", .flag = "--limit", .type = OPTION_SIZE, .offset = FIELD(limit), .minimum = 1, .maximum = 1e12,
     .help = "only so many rows, the first ones"},
    {.key = "max_tokens", .flag = "--max-tokens", .letter = 'n', .type = OPTION_SIZE, .offset = FIELD(max_tokens),
     .default_value = "256", .minimum = 1, .maximum = 1 << 24, .help = "tokens of an answer at most"},
    {.key = "context", .flag = "--context", .type = OPTION_SIZE, .offset = FIELD(context), .maximum = 1 << 24,
     .help = "tokens of prompt and answer together (default: what the model was made for)"},
    {.key = "at_once", .flag = "--at-once", .type = OPTION_SIZE, .offset = FIELD(at_once), .default_value = "16",
     .minimum = 1, .maximum = 4096, .help = "answers that are written together; more take more memory"},
};

const char *const answers_dataset_flags[] = {"prompt_field", "completion_field", "messages_field", "tools_field",
                                             "system_field", "chat_template",    "template_date",  NULL};
const char *const answers_cache_flags[] = {"cache_type", NULL};

/* ---- rows ---- */

static const char *path_of(const struct answers *a, size_t file)
{
    return a->files[file];
}

static int add_row(struct answers *a, const struct example_settings *s, const char *line, size_t n,
                   const struct corpus_place *place, struct error *e)
{
    struct dataset_row row = {0};
    struct asked *r;
    void *rows = a->rows;
    mem_grow(&rows, &a->capacity, a->n_rows, sizeof *a->rows);
    a->rows = rows;
    r = &a->rows[a->n_rows++];
    while (n > 0 && strchr(" \t\r\n", line[n - 1]))
        n--;
    *r = (struct asked){.line = mem_string_n(line, n), .n = n, .file = place->file, .number = place->line};
    int code = dataset_prompt_parse(line, n, s->fields, &row, e);
    if (!code && json_object_get(row.root, "samples"))
        code = error_set(e, ERR_FORMAT, "it has \"samples\" already; take the rows that they were made of");
    if (!code)
        code = example_make_prompt(&row, s, &r->prompt, e);
    if (!code)
        example_answer_lead(&row, s, &r->lead);
    if (!code && r->prompt.count > a->longest)
        a->longest = r->prompt.count;
    dataset_row_free(&row);
    return code;
}

static int read_rows(struct answers *a, const struct answers_flags *f, const struct example_settings *s,
                     struct corpus *corpus, struct error *e)
{
    enum { CHUNK = 1 << 20 };
    struct corpus_chunk chunk = {0};
    int code = OK;
    bool full = false;
    while (!code && !full && !(code = corpus_next(corpus, CHUNK, &chunk, e)) && chunk.n > 0)
        for (size_t i = 0; i < chunk.n && !code && !full; i++) {
            const struct corpus_place *place = &chunk.places[i];
            size_t begin = chunk.offsets[i];
            if (place->text)
                code = error_set(e, ERR_FORMAT, "%s: a text asks nothing; a .jsonl file has rows that do",
                                 corpus_path(corpus, place->file));
            else if ((code = add_row(a, s, chunk.text.data + begin, chunk.offsets[i + 1] - begin, place, e)))
                error_prefix(e, "%s:%zu", corpus_path(corpus, place->file), place->line);
            full = f->limit && a->n_rows == f->limit;
        }
    corpus_chunk_free(&chunk);
    return code;
}

static int load_rows(struct answers *a, const struct answers_flags *f, const struct dataset_options *o,
                     struct corpus *corpus, struct error *e)
{
    const struct dataset_fields fields = dataset_options_fields(o);
    struct example_settings s;
    int code = dataset_template_open(o->chat_template, a->model.tokenizer, &a->chat_template, e);
    if (!code)
        code = dataset_example_settings(o, ANSWERS_IMITATED, &fields, a->model.tokenizer, a->chat_template.parsed, 0, &s, e);
    if (code)
        return code;
    a->n_files = corpus_counts(corpus).files;
    a->files = mem_zero(a->n_files, sizeof *a->files);
    for (size_t i = 0; i < a->n_files; i++)
        a->files[i] = mem_string(corpus_path(corpus, i));
    return read_rows(a, f, &s, corpus, e);
}

/* ---- the model ---- */

/* No more room than these rows can use. */
static int settle_context(struct answers *a, const struct answers_flags *f, struct error *e)
{
    size_t most = f->context ? f->context : a->model.model.config.max_position_embeddings;
    if (most == 0)
        return error_set(e, ERR_USAGE, "the model says nothing about its context length; give one with --context");
    inference_context(&a->model.model, f->context); /* warns */
    for (size_t i = 0; i < a->n_rows; i++)
        if (a->rows[i].prompt.count >= most)
            return error_set(e, ERR_USAGE, "%s:%zu: the prompt has %zu tokens, which leaves no room for an answer in the "
                             "context of %zu", path_of(a, a->rows[i].file), a->rows[i].number, a->rows[i].prompt.count, most);
    a->context = a->longest + f->max_tokens < most ? a->longest + f->max_tokens : most;
    return OK;
}

static bool go_on(void *context)
{
    struct answers *a = context;
    const struct complete_many *w = &a->writer;
    double seconds = clock_seconds() - a->began;
    char detail[64];
    snprintf(detail, sizeof detail, "%.1f tokens/s", seconds > 0 ? (double)w->slots.n_generated / seconds : 0);
    progress_update(&a->progress, (double)a->first + (double)(w->n_prompts - a->n_before) / (double)a->n_each, detail);
    return !interrupt_requested();
}

static uint64_t hash_settings(const struct answers *a, const struct answers_flags *f)
{
    const struct sampler_options *s = &a->sampler;
    const double numbers[] = {s->temperature, s->top_n_sigma, s->typical_p, s->top_p, s->min_p, s->repetition_penalty,
                              s->frequency_penalty, s->presence_penalty, s->mirostat_tau, s->mirostat_eta};
    const uint64_t counts[] = {s->top_k, s->repetition_window, s->mirostat, f->max_tokens, a->context, f->at_once,
                               (uint64_t)f->cache.type, f->exact, a->n_rows};
    uint64_t h = hash64_combine(hash64(numbers, sizeof numbers, 0), hash64(counts, sizeof counts, 0));
    h = hash64_combine(h, inference_hash(&a->model));
    for (size_t i = 0; i < a->n_rows; i++) {
        const struct asked *r = &a->rows[i];
        h = hash64_combine(h, hash64(r->line, r->n, 0));
        h = hash64_combine(h, hash64(r->prompt.ids, r->prompt.count * sizeof *r->prompt.ids, 0));
    }
    return h;
}

int answers_open(struct answers *a, const struct options *all, const struct answers_flags *f,
                 const struct dataset_options *o, const struct sampler_options *sampler, struct error *e)
{
    *a = (struct answers){.sampler = *sampler, .max_tokens = f->max_tokens};
    struct corpus *corpus = NULL;
    int code = option_require(all, "", "model", e);
    if (!code)
        code = option_require(all, "", "data", e);
    if (!code) /* a missing file is said before a large model is read */
        code = corpus_open_rows((const char *const *)f->data.items, f->data.count, &corpus, e);
    if (!code)
        code = inference_load(f->model, &f->adapters, f->exact, &a->model, e);
    if (!code)
        code = load_rows(a, f, o, corpus, e);
    corpus_close(corpus);
    if (!code)
        code = settle_context(a, f, e);
    if (code)
        return code;
    struct complete_many_options w = {.n_at_once = f->at_once, .context = a->context, .cache_type = cache_type(&f->cache),
                                      .sampler = *sampler, .go_on = go_on, .go_on_context = a};
    a->settings = hash_settings(a, f);
    return complete_many_init(&a->writer, &a->model.model, a->model.tokenizer, &w, e);
}

void answers_close(struct answers *a)
{
    complete_many_free(&a->writer);
    for (size_t i = 0; i < a->n_rows; i++) {
        mem_free(a->rows[i].line);
        tokens_free(&a->rows[i].prompt);
        buffer_free(&a->rows[i].lead);
    }
    mem_free(a->rows);
    for (size_t i = 0; i < a->n_files; i++)
        mem_free(a->files[i]);
    mem_free(a->files);
    dataset_template_free(&a->chat_template);
    if (a->model.tokenizer)
        inference_free(&a->model);
    *a = (struct answers){0};
}

/* ---- answers ---- */

size_t answers_chunk(const struct answers *a, size_t n_each)
{
    enum { ROUNDS = 8 }; /* of as many as are computed together; the last one is the one that is not full */
    return (ROUNDS * a->writer.slots.n + n_each - 1) / n_each;
}

void answers_progress_start(struct answers *a, size_t first)
{
    a->began = clock_seconds();
    progress_start(&a->progress, "rows", (double)a->n_rows);
    a->progress.first = (double)first;
}

void answers_progress_finish(struct answers *a)
{
    char detail[64];
    double seconds = clock_seconds() - a->began;
    snprintf(detail, sizeof detail, "%.1f tokens/s", seconds > 0 ? (double)a->writer.slots.n_generated / seconds : 0);
    progress_finish(&a->progress, detail);
}

/* What the tokens add to the prompt's text, as a row would have it. */
static json_t *sample_json(const struct tokenizer *t, const struct asked *row, const struct tokens *answer)
{
    struct decode_stream stream = {.started = true};
    struct buffer text = {0}, clean = {0};
    size_t n = answer->count;
    bool finished = n > 0 && tokenizer_is_end(t, answer->ids[n - 1]);
    for (size_t i = 0; i + finished < n; i++)
        decode_stream_push(&stream, t, answer->ids[i], true, &text);
    decode_stream_flush(&stream, &text);
    size_t lead = row->lead.size;
    if (lead == 0 || lead > text.size || memcmp(text.data, row->lead.data, lead) != 0)
        lead = 0; /* not written as the template would */
    for (size_t i = lead; i < text.size; i++)
        if (text.data[i])
            buffer_byte(&clean, text.data[i]);
        else
            buffer_string(&clean, "\xEF\xBF\xBD");
    json_t *sample = json_pack("{s:o, s:b, s:I}", "text", json_text(clean.data ? clean.data : "", clean.size), "finished",
                               (int)finished, "tokens", (json_int_t)n);
    buffer_free(&text);
    buffer_free(&clean);
    return sample;
}

int answers_write(struct answers *a, size_t first, size_t n, size_t n_each, uint64_t seed, json_t **samples,
                  struct error *e)
{
    size_t count = n * n_each;
    struct prompt *prompts = mem_alloc(count, sizeof *prompts);
    struct tokens *out = mem_zero(count, sizeof *out);
    struct completer writer = complete_many_completer(&a->writer);
    for (size_t i = 0; i < count; i++) {
        const struct asked *r = &a->rows[first + i / n_each];
        prompts[i] = (struct prompt){.ids = r->prompt.ids, .n = r->prompt.count, .max_new_tokens = a->max_tokens,
                                     .seed = rng_at(rng_at(seed, first + i / n_each), i % n_each)};
    }
    a->first = first;
    a->n_each = n_each;
    a->n_before = a->writer.n_prompts;
    int code = writer.complete(writer.context, prompts, count, out, e);
    for (size_t i = 0; i < n && !code; i++) {
        samples[i] = json_array();
        for (size_t k = 0; k < n_each; k++)
            json_array_append_new(samples[i], sample_json(a->model.tokenizer, &a->rows[first + i], &out[i * n_each + k]));
    }
    for (size_t i = 0; i < count; i++)
        tokens_free(&out[i]);
    mem_free(out);
    mem_free(prompts);
    return code;
}

void answers_append_row(const struct asked *row, json_t *samples, struct buffer *out)
{
    size_t n = row->n - 1; /* a row with a prompt is an object with a member, and ends in a bracket */
    while (n > 0 && strchr(" \t", row->line[n - 1]))
        n--;
    char *text = json_dumps(samples, 0);
    buffer_append(out, row->line, n);
    buffer_printf(out, ", \"samples\": ");
    buffer_string(out, text);
    buffer_string(out, "}\n");
    free(text);
    json_decref(samples);
}

int answers_check_out(const struct answers *a, const char *path, struct error *e)
{
    int code = OK;
    for (size_t i = 0; i < a->n_files && !code; i++)
        code = check_out_is_not(path, a->files[i], e);
    return code ? code : file_check_target(path, e);
}
