#include "base/check.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/rng.h"
#include "data/corpus.h"
#include "data/shard.h"
#include "data/shard_private.h"
#include "data/shard_spool.h"
#include "formats/hdf5_file.h"

#include <string.h>

enum {
    CHUNK_BYTES = 8 << 20, /* of text, per round of the threads */
    GROUP_BYTES = 1 << 16, /* of text that one thread takes at a time */
    BLOCK_TOKENS = 1 << 20,
};

/* ---- tokenizing in parallel ---- */

struct encoder {
    const struct tokenizer *tokenizer;
    int threads;
    struct tokens *groups; /* one list of ids for each group of items; kept from chunk to chunk */
    size_t *first_items;   /* of each group; n_groups + 1 */
    size_t n_groups, capacity;
    size_t *ends; /* of each item within its group's ids */
    size_t ends_capacity;
};

static void encoder_free(struct encoder *c)
{
    for (size_t g = 0; g < c->capacity; g++)
        tokens_free(&c->groups[g]);
    mem_free(c->groups);
    mem_free(c->first_items);
    mem_free(c->ends);
}

static void add_group(struct encoder *c, size_t first_item)
{
    if (c->n_groups == c->capacity) {
        size_t more = c->capacity ? 2 * c->capacity : 64;
        c->groups = mem_resize(c->groups, more, sizeof *c->groups);
        memset(c->groups + c->capacity, 0, (more - c->capacity) * sizeof *c->groups);
        c->first_items = mem_resize(c->first_items, more + 1, sizeof *c->first_items);
        c->capacity = more;
    }
    c->groups[c->n_groups].count = 0;
    c->first_items[c->n_groups++] = first_item;
}

static void encode_group(struct encoder *c, const struct corpus_chunk *chunk, size_t g)
{
    int32_t eos = tokenizer_eos(c->tokenizer);
    struct tokens *ids = &c->groups[g];
    for (size_t i = c->first_items[g]; i < c->first_items[g + 1]; i++) {
        tokenizer_encode(c->tokenizer, chunk->text.data + chunk->offsets[i],
                         chunk->offsets[i + 1] - chunk->offsets[i], false, ids);
        if (eos != TOKEN_NONE && !chunk->continues[i])
            tokens_push(ids, eos);
        c->ends[i] = ids->count;
    }
}

static void encode_chunk(struct encoder *c, const struct corpus_chunk *chunk)
{
    if (c->ends_capacity < chunk->n) {
        c->ends_capacity = 2 * chunk->n;
        c->ends = mem_resize(c->ends, c->ends_capacity, sizeof *c->ends);
    }
    c->n_groups = 0;
    for (size_t i = 0, begin = 0; i < chunk->n; i++)
        if (i == 0 || chunk->offsets[i] - begin >= GROUP_BYTES) {
            begin = chunk->offsets[i];
            add_group(c, i);
        }
    c->first_items[c->n_groups] = chunk->n;
#pragma omp parallel for schedule(dynamic) num_threads(c->threads)
    for (size_t g = 0; g < c->n_groups; g++)
        encode_group(c, chunk, g);
}

/* ---- from the corpus to the spools ---- */

struct job {
    const struct shard_settings *settings;
    const char *path;
    struct encoder encoder;
    struct progress progress;
    uint64_t bytes_before; /* read from the corpus before this one */
    struct shard_spool train, validation;
    size_t document; /* its number, for picking */
};

static bool picked_for_validation(const struct shard_settings *s, size_t document)
{
    if (s->split != SPLIT_DOCUMENTS || s->n_validation_paths > 0)
        return false;
    uint64_t random = rng_at(rng_at(s->seed, 0x73706C6974), document);
    return (double)(random >> 11) * 0x1p-53 < s->validation_fraction;
}

static int store_chunk(struct job *j, const struct corpus_chunk *chunk, bool all_validation,
                       struct error *e)
{
    const struct encoder *c = &j->encoder;
    for (size_t g = 0; g < c->n_groups; g++) {
        size_t begin = 0;
        for (size_t i = c->first_items[g]; i < c->first_items[g + 1]; i++) {
            bool validation = all_validation || picked_for_validation(j->settings, j->document);
            struct shard_spool *s = validation ? &j->validation : &j->train;
            int code =
                shard_spool_append(s, c->groups[g].ids + begin, c->ends[i] - begin, j->path, e);
            if (code)
                return code;
            begin = c->ends[i];
            s->open_bytes += chunk->offsets[i + 1] - chunk->offsets[i];
            if (!chunk->continues[i]) {
                shard_spool_end_document(s);
                j->document++;
            }
        }
    }
    return OK;
}

static int tokenize_corpus(struct job *j, struct corpus *corpus, bool all_validation,
                           struct error *e)
{
    if (!tokenizer_cuts_safely(j->encoder.tokenizer))
        corpus_keep_whole(corpus);
    struct corpus_chunk chunk = {0};
    int code;
    while (!(code = corpus_next(corpus, CHUNK_BYTES, &chunk, e)) && chunk.n) {
        encode_chunk(&j->encoder, &chunk);
        if ((code = store_chunk(j, &chunk, all_validation, e)))
            break;
        if (j->settings->progress) {
            char n[32], detail[64];
            snprintf(detail, sizeof detail, "%s tokens",
                     format_count((double)(j->train.n_tokens + j->validation.n_tokens), n));
            progress_update(&j->progress, (double)(j->bytes_before + corpus_bytes_read(corpus)),
                            detail);
        }
    }
    corpus_chunk_free(&chunk);
    j->bytes_before += corpus_bytes_total(corpus);
    struct corpus_counts counts = corpus_counts(corpus);
    if (!code && counts.empty_documents)
        log_warn("%zu empty document%s left out", counts.empty_documents,
                 counts.empty_documents == 1 ? " was" : "s were");
    if (!code && counts.files_skipped)
        log_info("%zu file%s neither .txt nor .jsonl and left out", counts.files_skipped,
                 counts.files_skipped == 1 ? " was" : "s were");
    return code;
}

/* ---- the split ---- */

struct split {
    size_t n_train;
    uint64_t train_bytes, validation_bytes;
};

/* The text bytes of tokens begin .. end of the training spool. */
static int decoded_bytes(struct job *j, size_t begin, size_t end, uint64_t *bytes, struct error *e)
{
    const struct tokenizer *t = j->encoder.tokenizer;
    /* Without a splitter, a text decoded in parts loses a space at the start of each. */
    size_t block = tokenizer_cuts_safely(t) ? BLOCK_TOKENS : end - begin;
    unsigned char *stored = mem_alloc(block + 1, j->train.token_bytes);
    int32_t *ids = mem_zero(block + 1, sizeof *ids);
    struct buffer text = {0};
    int code = OK;
    *bytes = 0;
    for (size_t i = begin; i < end && !code; i += block) {
        size_t n = end - i < block ? end - i : block;
        code = shard_spool_read(&j->train, i, n, stored, j->path, e);
        if (code)
            break;
        for (size_t k = 0; k < n; k++)
            memcpy(&ids[k], stored + k * j->train.token_bytes, j->train.token_bytes);
        buffer_clear(&text);
        tokenizer_decode(t, ids, n, false, &text);
        *bytes += text.size;
    }
    buffer_free(&text);
    mem_free(ids);
    mem_free(stored);
    return code;
}

/* SPLIT_TAIL: nanoGPT's int((1 - fraction) * n). */
static int cut_tail(struct job *j, struct split *split, struct error *e)
{
    const struct shard_spool *s = &j->train;
    size_t n = s->n_tokens, document = 0;
    split->n_train = (size_t)((1.0 - j->settings->validation_fraction) * (double)n);
    uint64_t bytes = 0;
    for (; document < s->n_documents && s->ends[document] <= split->n_train; document++)
        bytes += s->bytes[document];
    uint64_t part = 0;
    size_t begin = document ? s->ends[document - 1] : 0;
    int code = begin < split->n_train ? decoded_bytes(j, begin, split->n_train, &part, e) : OK;
    split->train_bytes = bytes + part;
    split->validation_bytes = shard_spool_bytes(s) - split->train_bytes;
    return code;
}

static int decide_split(struct job *j, struct split *split, struct error *e)
{
    const struct shard_settings *s = j->settings;
    bool wanted = s->n_validation_paths > 0 || s->validation_fraction > 0;
    if (s->n_validation_paths == 0 && s->split == SPLIT_TAIL) {
        int code = cut_tail(j, split, e);
        if (code)
            return code;
    } else {
        split->n_train = j->train.n_tokens;
        split->train_bytes = shard_spool_bytes(&j->train);
        split->validation_bytes = shard_spool_bytes(&j->validation);
    }
    size_t total = j->train.n_tokens + j->validation.n_tokens;
    if (split->n_train < 2)
        return error_set(
            e, ERR_FORMAT,
            "%s: only %zu of the corpus's %zu tokens (%zu documents) would be for training; "
            "give it more text",
            j->path, split->n_train, total, j->document);
    if (wanted && total - split->n_train < 2)
        return error_set(
            e, ERR_FORMAT,
            "%s: only %zu of the corpus's %zu tokens (%zu documents) would be for validation; "
            "give it more text, or choose a larger fraction, the tail split, or none (0)",
            j->path, total - split->n_train, total, j->document);
    return OK;
}

/* ---- the shard ---- */

static int write_tokens(struct job *j, struct hdf5_file *f, struct error *e)
{
    size_t token_bytes = j->train.token_bytes;
    struct hdf5_stream *stream = NULL;
    int code = hdf5_stream_open(f, "tokens", token_bytes == 2 ? HDF5_U16 : HDF5_U32,
                                j->train.n_tokens + j->validation.n_tokens, &stream, e);
    if (code)
        return code;
    void *block = mem_alloc(BLOCK_TOKENS, token_bytes);
    struct shard_spool *spools[] = {&j->train, &j->validation};
    for (size_t k = 0; k < 2 && !code; k++)
        for (size_t i = 0; i < spools[k]->n_tokens && !code; i += BLOCK_TOKENS) {
            size_t left = spools[k]->n_tokens - i, n = left < BLOCK_TOKENS ? left : BLOCK_TOKENS;
            code = shard_spool_read(spools[k], i, n, block, j->path, e);
            code = code ? code : hdf5_stream_append(stream, block, n, e);
        }
    mem_free(block);
    if (code) {
        hdf5_stream_finish(stream, NULL); /* frees it; what failed first is in e */
        return code;
    }
    return hdf5_stream_finish(stream, e);
}

static int write_documents(const struct job *j, struct hdf5_file *f, struct error *e)
{
    size_t n = j->train.n_documents + j->validation.n_documents, dims[] = {n + 1}, k = 1;
    uint64_t *starts = mem_alloc(n + 1, sizeof *starts);
    starts[0] = 0;
    for (size_t i = 0; i < j->train.n_documents; i++)
        starts[k++] = j->train.ends[i];
    for (size_t i = 0; i < j->validation.n_documents; i++)
        starts[k++] = j->train.n_tokens + j->validation.ends[i];
    int code = hdf5_write(f, "documents", HDF5_U64, 1, dims, starts, e);
    mem_free(starts);
    return code;
}

static int write_shard(struct job *j, uint64_t fingerprint, uint64_t settings,
                       const struct split *split, struct error *e)
{
    const struct tokenizer *t = j->encoder.tokenizer;
    struct hdf5_file *f = NULL;
    int code = hdf5_create(j->path, &f, e);
    if (code)
        return code;
    const struct {
        const char *name;
        uint64_t value;
    } attributes[] = {
        {"tokenizer_hash", tokenizer_hash(t)},
        {"vocab_size", tokenizer_vocab_size(t)},
        {"corpus_fingerprint", fingerprint},
        {"settings_hash", settings},
        {"n_train_tokens", split->n_train},
        {"n_train_bytes", split->train_bytes},
        {"n_validation_bytes", split->validation_bytes},
    };
    code = hdf5_put_string(f, "format", SHARD_FORMAT, e);
    for (size_t i = 0; i < sizeof attributes / sizeof *attributes && !code; i++)
        code = hdf5_put_u64(f, attributes[i].name, attributes[i].value, e);
    code = code ? code : write_tokens(j, f, e);
    code = code ? code : write_documents(j, f, e);
    if (code) {
        hdf5_close(f);
        return code;
    }
    return hdf5_commit(f, e);
}

static void report(const struct job *j, const struct split *split)
{
    char total[32], train[32], validation[32], documents[32];
    size_t n = j->train.n_tokens + j->validation.n_tokens;
    log_info("%s: %s tokens in %s documents, %s to train on and %s to validate on", j->path,
             format_count((double)n, total), format_count((double)j->document, documents),
             format_count((double)split->n_train, train),
             format_count((double)(n - split->n_train), validation));
}

/* ---- reuse ---- */

static uint64_t settings_hash(const struct shard_settings *s)
{
    uint64_t hash = hash64(s->text_field, strlen(s->text_field), 1);
    if (s->n_validation_paths)
        return hash64_combine(hash, 2);
    uint64_t fraction;
    memcpy(&fraction, &s->validation_fraction, sizeof fraction);
    hash = hash64_combine(hash64_combine(hash, s->split), fraction);
    return s->split == SPLIT_DOCUMENTS ? hash64_combine(hash, s->seed) : hash;
}

/* What is there may be replaced when it is a shard, or what is left of one: a name given by mistake
 * must not cost a corpus or a checkpoint. */
static int check_replaceable(const char *path, struct error *e)
{
    static const unsigned char magic[8] = "\x89HDF\r\n\x1a\n";
    struct file_map map;
    int code = file_map(path, &map, e);
    if (code)
        return code;
    bool hdf5 = map.size >= sizeof magic && memcmp(map.data, magic, sizeof magic) == 0;
    bool something_else = map.size > 0 && !hdf5;
    file_unmap(&map);
    struct hdf5_file *f = NULL;
    if (hdf5 && hdf5_open(path, &f, NULL) == OK) {
        char *format = NULL;
        hdf5_get_string(f, "format", &format, NULL);
        something_else = !format || strncmp(format, SHARD_KIND, strlen(SHARD_KIND)) != 0;
        mem_free(format);
        hdf5_close(f);
    }
    if (something_else)
        return error_set(e, ERR_USAGE,
                         "%s: already there and not a shard; choose another name for the shard, or "
                         "remove that file", path);
    return OK;
}

/* Why the shard at `path` cannot be used as it is; NULL when it can. */
static const char *reason_to_rebuild(const char *path, uint64_t tokenizer, uint64_t fingerprint,
                                     uint64_t settings)
{
    struct hdf5_file *f = NULL;
    if (hdf5_open(path, &f, NULL) != OK)
        return "the file there is no readable shard";
    const struct {
        const char *attribute;
        uint64_t expected;
        const char *reason;
    } wanted[] = {
        {"tokenizer_hash", tokenizer, "the tokenizer is another one"},
        {"corpus_fingerprint", fingerprint, "the corpus files have changed"},
        {"settings_hash", settings, "the settings have changed"},
    };
    const char *reason = NULL;
    if (shard_check_format(f, path, NULL) != OK)
        reason = "the file there is no shard of this format";
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted && !reason; i++) {
        uint64_t value;
        if (hdf5_get_u64(f, wanted[i].attribute, &value, NULL) != OK || value != wanted[i].expected)
            reason = wanted[i].reason;
    }
    hdf5_close(f);
    struct shard s;
    if (!reason && shard_open(path, NULL, &s, NULL) != OK)
        return "the shard there is damaged";
    if (!reason)
        shard_close(&s);
    return reason;
}

static int check_settings(const struct shard_settings *s, struct error *e)
{
    if (!(s->validation_fraction >= 0 && s->validation_fraction <= 0.5))
        return error_set(e, ERR_USAGE, "validation fraction %g: must be from 0 to 0.5",
                         s->validation_fraction);
    CHECK(s->threads >= 1 && s->text_field);
    return OK;
}

static int build(struct job *j, struct corpus *corpus, struct corpus *validation,
                 uint64_t fingerprint, uint64_t settings, struct error *e)
{
    const struct tokenizer *t = j->encoder.tokenizer;
    size_t token_bytes = SHARD_TOKEN_BYTES(tokenizer_vocab_size(t));
    int code = shard_spool_open(&j->train, j->path, token_bytes, e);
    code = code ? code : shard_spool_open(&j->validation, j->path, token_bytes, e);
    if (code)
        return code;
    double total =
        (double)(corpus_bytes_total(corpus) + (validation ? corpus_bytes_total(validation) : 0));
    if (j->settings->progress)
        progress_start(&j->progress, "tokenize", total);
    code = tokenize_corpus(j, corpus, false, e);
    if (!code && validation)
        code = tokenize_corpus(j, validation, true, e);
    if (j->settings->progress)
        progress_finish(&j->progress, code ? "failed" : "");
    struct split split;
    code = code ? code : decide_split(j, &split, e);
    code = code ? code : write_shard(j, fingerprint, settings, &split, e);
    if (!code)
        report(j, &split);
    return code;
}

int shard_prepare(const struct shard_settings *s, const struct tokenizer *t, const char *path,
                  bool *reused, struct error *e)
{
    struct corpus *corpus = NULL, *validation = NULL;
    struct job job = {
        .settings = s, .path = path, .encoder = {.tokenizer = t, .threads = s->threads}};
    if (reused)
        *reused = false;
    int code = check_settings(s, e);
    code = code ? code : file_check_target(path, e);
    code = code ? code : corpus_open(s->paths, s->n_paths, s->text_field, &corpus, e);
    if (!code && s->n_validation_paths)
        code =
            corpus_open(s->validation_paths, s->n_validation_paths, s->text_field, &validation, e);
    if (code)
        goto done;
    uint64_t fingerprint = corpus_fingerprint(corpus);
    if (validation)
        fingerprint = hash64_combine(fingerprint, corpus_fingerprint(validation));
    uint64_t settings = settings_hash(s);
    if (file_exists(path)) {
        code = check_replaceable(path, e);
        if (code)
            goto done;
        const char *reason = reason_to_rebuild(path, tokenizer_hash(t), fingerprint, settings);
        if (!reason) {
            log_info("%s: reused, nothing it depends on has changed", path);
            if (reused)
                *reused = true;
            goto done;
        }
        log_info("%s: prepared anew, because %s", path, reason);
    }
    code = build(&job, corpus, validation, fingerprint, settings, e);
done:
    shard_spool_close(&job.train);
    shard_spool_close(&job.validation);
    encoder_free(&job.encoder);
    corpus_close(corpus);
    corpus_close(validation);
    return code;
}
