/* A small dump as it lies in the file, to be written with whatever is wrong. */
#ifndef LINNET_TESTS_DISTILL_DUMP_RAW_H
#define LINNET_TESTS_DISTILL_DUMP_RAW_H

#include "formats/hdf5_file.h"
#include "kernels/dtype.h"
#include "tests/test.h"

#include <math.h>
#include <string.h>

enum { RAW_TOKENS = 6, RAW_POSITIONS = 4, RAW_ENTRIES = 12 };

struct raw {
    const char *format, *kind, *teacher;
    uint64_t vocab_size, k;
    double temperature, cumulative;
    uint32_t tokens[RAW_TOKENS];
    uint64_t sequences[3];
    uint8_t supervised[RAW_TOKENS];
    uint16_t counts[RAW_POSITIONS];
    uint32_t gaps[RAW_ENTRIES];
    float log_probs[RAW_ENTRIES], log_tail[RAW_POSITIONS];
    const char *tokenizer_json;
    size_t n_tokens, n_sequences, n_supervised, n_counts, n_gaps, n_probs, n_tails; /* lengths; n_counts 0: not there */
    const char *absent;      /* a dataset that is left out */
    bool plain;              /* in one piece, not in chunks */
    bool wide;               /* log_probs as f32 */
    bool swapped;            /* tokens as floats, log_probs as whole numbers */
};

static inline struct raw raw_good(void)
{
    struct raw r = {.format = "linnet-teacher-dump-1", .kind = "top-k", .teacher = "t", .vocab_size = 100, .k = 3,
                    .temperature = 1, .tokens = {5, 6, 7, 8, 9, 99}, .sequences = {0, 3, 6}, .supervised = {0, 1, 1, 0, 1, 1},
                    .counts = {3, 3, 3, 3}, .n_tokens = RAW_TOKENS, .n_sequences = 3, .n_supervised = RAW_TOKENS,
                    .n_gaps = RAW_ENTRIES, .n_probs = RAW_ENTRIES, .n_tails = RAW_POSITIONS};
    for (int i = 0; i < RAW_ENTRIES; i++) {
        r.gaps[i] = 1 + (uint32_t)i % 3 * 20;
        r.log_probs[i] = logf(i % 3 == 0 ? 0.5f : i % 3 == 1 ? 0.25f : 0.125f);
    }
    for (int i = 0; i < RAW_POSITIONS; i++)
        r.log_tail[i] = logf(0.125f);
    return r;
}

static inline void raw_dataset(struct hdf5_file *f, const struct raw *r, const char *name, enum hdf5_type type, size_t n,
                               const void *data)
{
    struct error e;
    struct hdf5_column *c;
    if (r->absent && strcmp(r->absent, name) == 0)
        return;
    if (r->plain) {
        assert_ok(hdf5_write(f, name, type, 1, &n, data, &e), e);
        return;
    }
    assert_ok(hdf5_column_create(f, name, type, 0, 4, 6, &c, &e), e);
    assert_ok(hdf5_column_append(c, data, n, &e), e);
    assert_ok(hdf5_column_finish(c, &e), e);
}

static inline void raw_write(const struct raw *r, const char *path)
{
    struct error e;
    struct hdf5_file *f;
    uint16_t probs[RAW_ENTRIES], tails[RAW_POSITIONS];
    f16_from_f32(r->log_probs, probs, RAW_ENTRIES);
    f16_from_f32(r->log_tail, tails, RAW_POSITIONS);
    assert_ok(hdf5_create(path, &f, &e), e);
    if (r->format)
        assert_ok(hdf5_put_string(f, "format", r->format, &e), e);
    if (r->kind)
        assert_ok(hdf5_put_string(f, "kind", r->kind, &e), e);
    if (r->teacher)
        assert_ok(hdf5_put_string(f, "teacher", r->teacher, &e), e);
    assert_ok(hdf5_put_u64(f, "vocab_size", r->vocab_size, &e), e);
    assert_ok(hdf5_put_u64(f, "k", r->k, &e), e);
    assert_ok(hdf5_put_f64(f, "temperature", r->temperature, &e), e);
    assert_ok(hdf5_put_f64(f, "cumulative", r->cumulative, &e), e);
    raw_dataset(f, r, "tokens", r->swapped ? HDF5_F32 : HDF5_U32, r->n_tokens, r->tokens);
    raw_dataset(f, r, "sequences", HDF5_U64, r->n_sequences, r->sequences);
    raw_dataset(f, r, "supervised", HDF5_U8, r->n_supervised, r->supervised);
    if (r->n_counts)
        raw_dataset(f, r, "counts", HDF5_U16, r->n_counts, r->counts);
    raw_dataset(f, r, "id_gaps", HDF5_U32, r->n_gaps, r->gaps);
    if (r->wide)
        raw_dataset(f, r, "log_probs", HDF5_F32, r->n_probs, r->log_probs);
    else
        raw_dataset(f, r, "log_probs", HDF5_F16, r->n_probs, probs);
    raw_dataset(f, r, "log_tail", HDF5_F16, r->n_tails, tails);
    if (r->tokenizer_json)
        raw_dataset(f, r, "tokenizer_json", HDF5_U8, strlen(r->tokenizer_json), r->tokenizer_json);
    assert_ok(hdf5_commit(f, &e), e);
}

#endif
