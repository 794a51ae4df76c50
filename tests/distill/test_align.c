/* distill/align: a dump in another tokenizer's tokens, held against what is worked out token by token here. */
#include "base/json.h"
#include "base/memory.h"
#include "base/rng.h"
#include "distill/align.h"
#include "distill/dump_teacher.h"
#include "tests/directory.h"
#include "tests/test.h"
#include "tokenizer/train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char corpus[] =
    "the cat sat on the mat. the other cat sat there, too; the caf\xC3\xA9 and the mat and the hat. the thing is that they "
    "thought the others had thrown the cat out of the caf\xC3\xA9. there is the hat: that is the thing. \xF0\x9F\x98\x80 the end.";

static const char *const texts[] = {
    "the cat sat on the mat.<|end|>",
    "<|user|>there is the hat<|end|>that is the thing<|end|>",
    "caf\xC3\xA9 and \xF0\x9F\x98\x80 others<|end|>",
    "they thought the others had thrown the cat out; zebras \xC5\xBC<|end|>",
    "a",
};
enum { TEXTS = sizeof texts / sizeof *texts, PADDING = 7 /* tokens that the teacher has and its tokenizer has not */ };

static const char *const specials[] = {"<|end|>", "<|user|>"};

static struct tokenizer *train_tokenizer(size_t vocab_size)
{
    const size_t offsets[] = {0, sizeof corpus - 1};
    struct tokenizer_settings s = {.splitter = SPLITTER_GPT2, .vocab_size = vocab_size, .min_frequency = 2,
                                   .special_tokens = specials, .n_special_tokens = 2, .threads = 1};
    struct tokenizer_trainer *trainer = NULL;
    struct tokenizer *t = NULL;
    struct error e;
    assert_ok(tokenizer_trainer_new(&s, &trainer, &e), e);
    tokenizer_trainer_feed(trainer, corpus, offsets, 1);
    assert_ok(tokenizer_trainer_finish(trainer, &t, &e), e);
    tokenizer_trainer_free(trainer);
    return t;
}

static struct tokenizer *bytes_tokenizer(size_t n_special)
{
    struct tokenizer *t = NULL;
    struct error e;
    assert_ok(tokenizer_new_bytes(specials, n_special, &t, &e), e);
    return t;
}

/* --- dumps --- */

/* The k likeliest of random logits, ascending by id. */
static void random_row(struct rng *rng, size_t v, size_t k, float *logits, int32_t *ids, float *log_probs, float *tail)
{
    double sum = 0, kept = 0;
    size_t n = 0;
    rng_fill_normal(rng, logits, v, 2);
    for (size_t i = 0; i < v; i++)
        sum += exp((double)logits[i]);
    for (size_t i = 0; i < v && n < k; i++) {
        size_t above = 0;
        for (size_t j = 0; j < v; j++)
            above += logits[j] > logits[i];
        if (above >= k)
            continue;
        ids[n] = (int32_t)i;
        log_probs[n++] = (float)((double)logits[i] - log(sum));
        kept += exp((double)logits[i]) / sum;
    }
    *tail = n == v ? -INFINITY : (float)log(fmax(1 - kept, 1e-7));
}

/* With random distributions; every third token is not supervised. k 0: dense. */
static void add_sequence(struct dump_writer *w, const int32_t *tokens, size_t n, size_t v, size_t k, double temperature,
                         struct rng *rng)
{
    uint8_t *supervised = mem_zero(n, 1);
    size_t rows = 0, most = k ? k : v, *begin = mem_zero(n + 1, sizeof *begin);
    float *logits = mem_alloc(n * v, sizeof *logits), *log_probs = mem_alloc(n * most, sizeof *log_probs);
    float *tail = mem_alloc(n, sizeof *tail);
    int32_t *ids = mem_alloc(n * most, sizeof *ids);
    struct error e;
    for (size_t i = 1; i < n; i++) {
        supervised[i] = i % 3 != 2;
        if (!supervised[i])
            continue;
        random_row(rng, v, most, logits + rows * v, ids + rows * most, log_probs + rows * most, tail + rows);
        begin[rows + 1] = (rows + 1) * most;
        rows++;
    }
    struct soft_targets t = {.v = v, .source_temperature = (float)temperature};
    if (k)
        t.begin = begin, t.ids = ids, t.log_probs = log_probs, t.log_tail = tail;
    else
        t.logits = logits;
    assert_ok(dump_writer_add(w, tokens, supervised, n, &t, &e), e);
    mem_free(supervised);
    mem_free(begin);
    mem_free(logits);
    mem_free(log_probs);
    mem_free(tail);
    mem_free(ids);
}

struct setting {
    size_t k;
    double temperature;
    bool padded;       /* before the third sequence there is one with a token that the tokenizer has not */
    const char *front; /* of the first text; NULL: nothing */
};

/* The texts by this tokenizer, in a dump at *path (the caller's). */
static void make_dump(const struct tokenizer *t, struct setting s, struct dump *d, char **path)
{
    static int number;
    struct rng rng;
    rng_init(&rng, 4, 0);
    char name[] = "teacher";
    size_t v = tokenizer_vocab_size(t) + PADDING, sequences, positions;
    struct dump_description description = {.kind = s.k ? DUMP_TOP : DUMP_DENSE, .vocab_size = v, .most = s.k ? s.k : v,
                                           .temperature = s.temperature, .tokenizer_hash = tokenizer_hash(t), .teacher = name};
    *path = mem_printf("%s/%d", directory, number++);
    struct dump_writer_options o = {.path = *path, .compression = 1};
    struct dump_writer *w;
    struct error e;
    assert_ok(dump_writer_open(&o, &description, &w, &sequences, &positions, &e), e);
    for (size_t i = 0; i < TEXTS; i++) {
        struct tokens ids = {0};
        if (s.padded && i == 2) {
            const int32_t odd[] = {70, 71, (int32_t)v - 1, 72};
            add_sequence(w, odd, 4, v, s.k, s.temperature, &rng);
        }
        char *text = mem_printf("%s%s", s.front && i == 0 ? s.front : "", texts[i]);
        tokenizer_encode(t, text, strlen(text), true, &ids);
        mem_free(text);
        add_sequence(w, ids.ids, ids.count, v, s.k, s.temperature, &rng);
        tokens_free(&ids);
    }
    assert_ok(dump_writer_finish(w, &e), e);
    dump_writer_close(w);
    assert_ok(dump_open(*path, d, &e), e);
}

static void drop_dump(struct dump *d, char *path)
{
    dump_close(d);
    remove_files(path);
    mem_free(path);
}

/* --- rows --- */

struct answer {
    size_t n, *begin;
    int32_t *ids;
    float *log_probs, *log_tail;
};

static void answer_free(struct answer *a)
{
    mem_free(a->begin);
    mem_free(a->ids);
    mem_free(a->log_probs);
    mem_free(a->log_tail);
}

/* What the teacher says of targets [first, first + n), which are these tokens. */
static struct answer ask(struct dump_pair *pair, size_t first, size_t n, int32_t *targets)
{
    struct teacher t = dump_teacher(pair);
    struct soft_targets out;
    struct error e;
    float *scratch = mem_alloc(t.scratch(t.context, n), sizeof *scratch);
    size_t *numbers = mem_alloc(n, sizeof *numbers);
    uint32_t *rows = mem_alloc(n, sizeof *rows);
    for (size_t i = 0; i < n; i++) {
        numbers[i] = first + i;
        rows[i] = (uint32_t)i;
    }
    const struct batch b = {.n_rows = 1, .seq_len = n, .capacity = n, .targets = targets, .target_numbers = numbers};
    assert_ok(t.rows(t.context, &b, rows, n, scratch, &out, &e), e);
    assert_null(out.logits);
    size_t count = out.begin[n];
    struct answer a = {n, mem_alloc(n + 1, sizeof *a.begin), mem_alloc(count, sizeof *a.ids), mem_alloc(count, sizeof *a.log_probs),
                       mem_alloc(n, sizeof *a.log_tail)};
    memcpy(a.begin, out.begin, (n + 1) * sizeof *a.begin);
    memcpy(a.ids, out.ids, count * sizeof *a.ids);
    memcpy(a.log_probs, out.log_probs, count * sizeof *a.log_probs);
    memcpy(a.log_tail, out.log_tail, n * sizeof *a.log_tail);
    mem_free(scratch);
    mem_free(numbers);
    mem_free(rows);
    return a;
}

static int32_t *targets_of(const struct examples *x, size_t n)
{
    int32_t *targets = mem_alloc(n, sizeof *targets);
    size_t at = 0;
    for (size_t i = 0; i < x->begin[x->count]; i++)
        if (x->learned[i])
            targets[at++] = x->ids[i];
    assert_int_equal(at, n);
    return targets;
}

/* Probabilities of the teacher's tokens at a position of the dump, and of the tail behind them. */
static double *position_of(struct dump *d, size_t position)
{
    size_t v = d->description.vocab_size, begin[2];
    float tail = -INFINITY, *log_probs = mem_alloc(v, sizeof *log_probs);
    int32_t *ids = mem_alloc(v, sizeof *ids);
    double *p = mem_zero(v + 1, sizeof *p);
    struct dump_rows rows = {1, v, begin, ids, log_probs, &tail};
    struct soft_targets t;
    struct error e;
    assert_ok(dump_read(d, &position, 1, &rows, &t, &e), e);
    for (size_t j = 0; t.logits ? j < v : j < begin[1]; j++)
        p[t.logits ? j : (size_t)ids[j]] = exp(t.logits ? (double)log_probs[j] / d->description.temperature : (double)log_probs[j]);
    p[v] = exp((double)tail);
    mem_free(log_probs);
    mem_free(ids);
    return p;
}

/* --- the tests --- */

static void the_same_tokenizer_changes_nothing(void **state)
{
    (void)state;
    struct tokenizer *t = train_tokenizer(300);
    struct dump d;
    struct token_map map;
    struct alignment a;
    struct alignment_shares shares;
    struct error e;
    char *path;
    make_dump(t, (struct setting){.k = 12, .temperature = 1}, &d, &path);
    size_t v = d.description.vocab_size, real = tokenizer_vocab_size(t);
    token_map_init(&map, t, v, t, v);
    for (size_t i = 0; i < v; i++) {
        assert_int_equal(map.ids[i], i < real ? (int32_t)i : TOKEN_NONE);
        assert_int_equal(map.match[i], i < real ? MATCH_EXACT : MATCH_NONE);
    }
    assert_ok(alignment_init(&a, &d, &map, t, t, &e), e);
    assert_int_equal(a.n_left_out, 0);
    assert_int_equal(a.n_positions, d.n_positions);
    assert_int_equal(a.n_same, d.n_positions);
    assert_int_equal(a.n_tokens, d.examples.begin[TEXTS] - TEXTS);
    assert_int_equal(a.examples.count, TEXTS);
    assert_memory_equal(a.examples.begin, d.examples.begin, (TEXTS + 1) * sizeof(size_t));
    assert_memory_equal(a.examples.ids, d.examples.ids, d.examples.begin[TEXTS] * sizeof(int32_t));
    assert_memory_equal(a.examples.learned, d.examples.learned, d.examples.begin[TEXTS]);

    /* entries of padding go to the tail either way */
    int32_t *targets = targets_of(&d.examples, d.n_positions);
    struct dump_pair plain = {.train = &d, .vocab_size = real}, aligned = {.train = &d, .alignment = &a, .vocab_size = v};
    struct answer want = ask(&plain, 0, d.n_positions, targets), is = ask(&aligned, 0, d.n_positions, targets);
    assert_memory_equal(is.begin, want.begin, (want.n + 1) * sizeof *want.begin);
    assert_memory_equal(is.ids, want.ids, want.begin[want.n] * sizeof *want.ids);
    assert_memory_equal(is.log_probs, want.log_probs, want.begin[want.n] * sizeof *want.log_probs);
    assert_memory_equal(is.log_tail, want.log_tail, want.n * sizeof *want.log_tail);
    assert_ok(alignment_measure(&a, &d, &shares, &e), e);
    assert_true(shares.match[MATCH_FIRST] == 0 && shares.match[MATCH_EXACT] > 0.3);
    assert_true(fabs(shares.match[MATCH_EXACT] + shares.match[MATCH_NONE] - 1) < 1e-9);
    answer_free(&want);
    answer_free(&is);
    mem_free(targets);
    alignment_free(&a);
    token_map_free(&map);
    drop_dump(&d, path);
    tokenizer_free(t);
}

/* Of a vocabulary of bytes, with <|end|> at 256 and no <|user|>: what a token of the teacher's is. */
static int32_t byte_of(const struct tokenizer *teacher, int32_t id)
{
    struct buffer bytes = {0};
    if ((size_t)id >= tokenizer_vocab_size(teacher))
        return TOKEN_NONE;
    if (tokenizer_is_special(teacher, id))
        return id == 0 ? 256 : TOKEN_NONE;
    tokenizer_decode(teacher, &id, 1, false, &bytes);
    int32_t first = (unsigned char)bytes.data[0];
    buffer_free(&bytes);
    return first;
}

/* Every token and every target of the bytes; positions[i]: the dump's that target i has. Returns how many. */
static size_t check_bytes(const struct tokenizer *teacher, const struct dump *d, const struct alignment *a, size_t *positions)
{
    const struct examples *x = &d->examples, *y = &a->examples;
    size_t position = 0, at = 0, n = 0, sequence = 0;
    for (size_t i = 0; i < x->count; i++) {
        size_t first = at;
        bool out = false;
        for (size_t j = x->begin[i]; j < x->begin[i + 1]; j++)
            out |= (size_t)x->ids[j] >= tokenizer_vocab_size(teacher);
        for (size_t j = x->begin[i]; j < x->begin[i + 1]; j++) {
            int32_t id = x->ids[j], begins = byte_of(teacher, id);
            struct buffer bytes = {0};
            tokenizer_decode(teacher, &id, 1, false, &bytes);
            size_t length = bytes.size ? bytes.size : begins != TOKEN_NONE;
            for (size_t k = 0; k < length && !out; k++, at++) {
                assert_int_equal(y->ids[at], bytes.size ? (unsigned char)bytes.data[k] : begins);
                assert_int_equal(y->learned[at], k == 0 && x->learned[j] && at > first);
                if (y->learned[at])
                    positions[n++] = position;
            }
            position += x->learned[j];
            buffer_free(&bytes);
        }
        if (!out)
            assert_int_equal(y->begin[++sequence], at);
    }
    assert_int_equal(y->count, sequence);
    assert_int_equal(position, d->n_positions);
    return n;
}

/* Each row against sums over the whole vocabulary. */
static void check_rows(const struct tokenizer *teacher, struct dump *d, const struct answer *is, const size_t *positions)
{
    size_t v = d->description.vocab_size, merged = 0;
    for (size_t i = 0; i < is->n; i++) {
        double want[257] = {0}, sum = 0, *p = position_of(d, positions[i]), tail = p[v];
        size_t from = 0, n = 0;
        for (size_t j = 0; j < v; j++) {
            int32_t to = byte_of(teacher, (int32_t)j);
            *(to == TOKEN_NONE ? &tail : &want[to]) += p[j];
            from += p[j] > 0;
        }
        for (size_t j = 0; j < 257; j++)
            n += want[j] > 0;
        assert_int_equal(is->begin[i + 1] - is->begin[i], n);
        merged += n < from;
        for (size_t k = is->begin[i]; k < is->begin[i + 1]; k++) {
            assert_true(k == is->begin[i] || is->ids[k] > is->ids[k - 1]);
            assert_true(fabs(exp((double)is->log_probs[k]) - want[is->ids[k]]) < 1e-6);
            sum += exp((double)is->log_probs[k]);
        }
        assert_true(fabs(exp((double)is->log_tail[i]) - tail) < 1e-6);
        assert_true(fabs(sum + tail - 1) < 0.01);
        mem_free(p);
    }
    assert_true(merged > is->n / 2);
}

static void bytes_learn(struct setting s)
{
    struct tokenizer *teacher = train_tokenizer(300), *student = bytes_tokenizer(1);
    struct dump d;
    struct token_map map;
    struct alignment a;
    struct error e;
    char *path;
    make_dump(teacher, s, &d, &path);
    size_t v = d.description.vocab_size, *positions = mem_alloc(d.n_positions, sizeof *positions);
    token_map_init(&map, teacher, v, student, 300);
    for (size_t i = 0; i < v; i++)
        assert_int_equal(map.ids[i], byte_of(teacher, (int32_t)i));
    assert_ok(alignment_init(&a, &d, &map, teacher, student, &e), e);
    assert_int_equal(a.n_left_out, s.padded);
    assert_int_equal(check_bytes(teacher, &d, &a, positions), a.n_positions);
    assert_memory_equal(a.positions, positions, a.n_positions * sizeof *positions);
    assert_int_equal(a.n_same, a.n_positions);

    /* on its own, and as what is held out */
    int32_t *targets = targets_of(&a.examples, a.n_positions);
    struct dump_pair pair = {.train = &d, .alignment = &a, .held_out = &d, .held_out_alignment = &a, .vocab_size = 300};
    assert_int_equal(dump_pair_train_positions(&pair), a.n_positions);
    for (size_t first = 0; first <= a.n_positions; first += a.n_positions) {
        struct answer is = ask(&pair, first, a.n_positions, targets);
        check_rows(teacher, &d, &is, positions);
        answer_free(&is);
    }
    mem_free(targets);
    mem_free(positions);
    alignment_free(&a);
    token_map_free(&map);
    drop_dump(&d, path);
    tokenizer_free(teacher);
    tokenizer_free(student);
}

static void bytes_learn_from_longer_tokens(void **state)
{
    (void)state;
    bytes_learn((struct setting){.k = 40, .temperature = 1});
    bytes_learn((struct setting){.k = 40, .temperature = 2});
    bytes_learn((struct setting){.k = 0, .temperature = 1});
    bytes_learn((struct setting){.k = 0, .temperature = 2});
}

/* A token beyond the tokenizer has no bytes; what comes behind its sequence keeps its positions. */
static void what_is_not_spelled_is_left_out(void **state)
{
    (void)state;
    bytes_learn((struct setting){.k = 40, .temperature = 1, .padded = true});
}

/* Between two vocabularies of several bytes: the same bytes, or the beginning of them. */
static void a_vocabulary_is_its_bytes(void **state)
{
    (void)state;
    struct tokenizer *large = train_tokenizer(310), *small = train_tokenizer(270);
    size_t n = tokenizer_vocab_size(large), v = tokenizer_vocab_size(small), by_match[MATCH_EXACT + 1] = {0};
    struct token_map map;
    assert_true(v < n);
    token_map_init(&map, large, n, small, v);
    for (size_t i = 0; i < n; i++) {
        struct buffer a = {0}, b = {0};
        int32_t id = (int32_t)i;
        by_match[map.match[i]]++;
        assert_true(map.ids[i] != TOKEN_NONE);
        tokenizer_decode(large, &id, 1, true, &a);
        tokenizer_decode(small, &map.ids[i], 1, true, &b);
        assert_true(b.size > 0 && b.size <= a.size && memcmp(a.data, b.data, b.size) == 0);
        assert_int_equal(map.match[i] == MATCH_EXACT, a.size == b.size);
        if (!tokenizer_is_special(large, id))
            assert_int_equal(map.teacher_bytes[i], a.size);
        struct tokens ids = {0};
        tokenizer_encode(small, a.data, a.size, true, &ids);
        assert_int_equal(ids.ids[0], map.ids[i]);
        tokens_free(&ids);
        buffer_free(&a);
        buffer_free(&b);
    }
    assert_int_equal(by_match[MATCH_EXACT], v);
    assert_int_equal(by_match[MATCH_FIRST], n - v);
    token_map_free(&map);
    token_map_init(&map, small, v, large, v - 5); /* the student's last have no rows in its model */
    for (size_t i = 0; i < v; i++)
        assert_true(map.ids[i] < (int32_t)v - 5);
    token_map_free(&map);
    tokenizer_free(large);
    tokenizer_free(small);
}

/* Four of the texts hold characters that it does not know, and the last one is a single token. */
static void a_student_must_spell_something(void **state)
{
    (void)state;
    static const char json[] =
        "{\"added_tokens\": [], \"model\": {\"type\": \"Unigram\", \"unk_id\": 0, \"vocab\": [[\"<unk>\", 0], "
        "[\"a\", -1], [\"t\", -2], [\"h\", -3], [\"e\", -3], [\" \", -3], [\"at\", -1], [\"s\", -3], [\"is\", -3]]}}";
    struct tokenizer *teacher = train_tokenizer(300), *student = NULL;
    struct dump d;
    struct token_map map;
    struct alignment a;
    struct error e;
    char *path;
    assert_ok(tokenizer_parse_json(json, sizeof json - 1, &student, &e), e);
    make_dump(teacher, (struct setting){.k = 4, .temperature = 1}, &d, &path);
    token_map_init(&map, teacher, d.description.vocab_size, student, tokenizer_vocab_size(student));
    int code = alignment_init(&a, &d, &map, teacher, student, &e);
    assert_int_equal(code, ERR_USAGE);
    assert_non_null(strstr(e.message, "of 5 sequences 4 are left out"));
    alignment_free(&a);
    token_map_free(&map);
    drop_dump(&d, path);
    tokenizer_free(student);
    tokenizer_free(teacher);
}

/* Fewer and longer tokens of the student's: where they agree on a place. */
static void the_student_may_have_longer_tokens(void **state)
{
    (void)state;
    struct tokenizer *teacher = bytes_tokenizer(2), *student = train_tokenizer(300);
    struct dump d;
    struct token_map map;
    struct alignment a;
    struct error e;
    char *path;
    make_dump(teacher, (struct setting){.k = 12, .temperature = 1}, &d, &path);
    token_map_init(&map, teacher, d.description.vocab_size, student, tokenizer_vocab_size(student));
    assert_ok(alignment_init(&a, &d, &map, teacher, student, &e), e);
    const struct examples *x = &a.examples;
    size_t n = 0, same = 0, position = 0, learned[512], n_learned = 0;
    for (size_t i = 0; i < x->count; i++) {
        size_t byte = d.examples.begin[i];
        for (size_t j = x->begin[i]; j < x->begin[i + 1]; j++) {
            struct buffer text = {0};
            tokenizer_decode(student, &x->ids[j], 1, false, &text);
            size_t length = text.size ? text.size : 1;
            assert_int_equal(x->learned[j], d.examples.learned[byte]);
            n += x->learned[j];
            same += x->learned[j] && length == 1;
            if (x->learned[j])
                learned[n_learned++] = position;
            for (size_t k = 0; k < length; k++)
                position += d.examples.learned[byte + k];
            byte += length;
            buffer_free(&text);
        }
        assert_int_equal(byte, d.examples.begin[i + 1]);
    }
    assert_int_equal(a.n_positions, n);
    assert_memory_equal(a.positions, learned, n * sizeof *learned);
    assert_int_equal(a.n_same, same);
    assert_true(same > 0 && same < n && n < d.n_positions);
    alignment_free(&a);
    token_map_free(&map);
    drop_dump(&d, path);
    tokenizer_free(student);
    tokenizer_free(teacher);
}

/* --- every kind of tokenizer --- */

static const char *const kinds[] = {"gpt2", "llama3", "qwen2", "llama2", "gemma", "metaspace-first", "unigram-bytes"};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* A name of something shared, replaced by the thing. */
static void resolve(const json_t *fixture, json_t *object, const char *key)
{
    const char *name = json_string_value(json_object_get(object, key));
    if (name)
        json_object_set(object, key, json_object_get(json_object_get(fixture, "shared"), name));
}

static struct tokenizer *load_kind(const json_t *fixture, const char *name)
{
    struct tokenizer *t;
    struct error e;
    json_t *root = json_deep_copy(json_object_get(json_object_get(json_object_get(fixture, "stacks"), name), "root"));
    assert_non_null(root);
    resolve(fixture, root, "added_tokens");
    resolve(fixture, json_object_get(root, "model"), "vocab");
    resolve(fixture, json_object_get(root, "model"), "merges");
    char *text = json_dumps(root, 0);
    assert_ok(tokenizer_parse_json(text, strlen(text), &t, &e), e);
    free(text);
    json_decref(root);
    return t;
}

/* The same text before each target as before the teacher's token, and each of the map's tokens a beginning. */
static void check_kinds(const struct tokenizer *teacher, const struct tokenizer *student, const char *what)
{
    struct dump d;
    struct token_map map;
    struct alignment a;
    struct error e;
    char *path;
    make_dump(teacher, (struct setting){.k = 4, .temperature = 1}, &d, &path);
    token_map_init(&map, teacher, d.description.vocab_size, student, tokenizer_vocab_size(student));
    assert_ok(alignment_init(&a, &d, &map, teacher, student, &e), e);
    if (a.n_left_out || a.n_positions < d.n_positions / 2 || a.n_same < a.n_positions / 2)
        fail_msg("%s: %zu sequences left out, %zu of %zu positions, %zu the same", what, a.n_left_out, a.n_positions,
                 d.n_positions, a.n_same);
    const struct examples *x = &d.examples, *y = &a.examples;
    size_t position = 0, next = 0;
    for (size_t i = 0; i < x->count; i++)
        for (size_t j = x->begin[i]; j < x->begin[i + 1]; position += x->learned[j++]) {
            if (!x->learned[j] || next == a.n_positions || a.positions[next] != position)
                continue;
            size_t at = y->begin[i], skip = next++;
            for (size_t k = 0; k < y->begin[i]; k++)
                skip -= y->learned[k];
            while (!y->learned[at] || skip-- > 0)
                at++;
            assert_true(at < y->begin[i + 1]);
            struct buffer before = {0}, there = {0};
            tokenizer_decode(teacher, x->ids + x->begin[i], j - x->begin[i], false, &before);
            tokenizer_decode(student, y->ids + y->begin[i], at - y->begin[i], false, &there);
            if (before.size != there.size || (before.size && memcmp(before.data, there.data, before.size) != 0))
                fail_msg("%s, sequence %zu, token %zu: behind \"%.*s\" and \"%.*s\"", what, i, j, (int)before.size, before.data,
                         (int)there.size, there.data);
            buffer_free(&before);
            buffer_free(&there);
        }
    assert_int_equal(next, a.n_positions);
    alignment_free(&a);
    token_map_free(&map);
    drop_dump(&d, path);
}

/* Where a special token ends, SentencePiece's first token is "_the", which stands for "the": its distribution is of other
 * bytes than it is elsewhere. */
static void check_front(const struct tokenizer *teacher, const struct tokenizer *student)
{
    struct dump d;
    struct token_map map;
    struct alignment a;
    struct error e;
    char *path;
    make_dump(teacher, (struct setting){.k = 4, .temperature = 1, .front = "<s>"}, &d, &path);
    token_map_init(&map, teacher, d.description.vocab_size, student, tokenizer_vocab_size(student));
    assert_ok(alignment_init(&a, &d, &map, teacher, student, &e), e);
    assert_int_equal(a.n_left_out, 0);
    assert_true(tokenizer_is_special(teacher, d.examples.ids[0]) && d.examples.learned[1]);
    assert_true(a.positions[0] > 0);
    alignment_free(&a);
    token_map_free(&map);
    drop_dump(&d, path);
}

static void all_kinds_meet_at_the_same_text(void **state)
{
    (void)state;
    json_t *fixture;
    struct error e;
    struct tokenizer *t[KINDS];
    assert_ok(json_read("tests/fixtures/tokenizer_stacks.json", &fixture, &e), e);
    for (size_t i = 0; i < KINDS; i++)
        t[i] = load_kind(fixture, kinds[i]);
    for (size_t i = 0; i < KINDS; i++)
        for (size_t j = 0; j < KINDS; j++) {
            char *what = mem_printf("%s to %s", kinds[i], kinds[j]);
            check_kinds(t[i], t[j], what);
            mem_free(what);
        }
    check_front(t[3], t[3]);
    check_front(t[3], t[0]);
    for (size_t i = 0; i < KINDS; i++)
        tokenizer_free(t[i]);
    json_decref(fixture);
}

static void where_nothing_has_a_place_the_text_stands(void **state)
{
    (void)state;
    struct tokenizer *teacher = train_tokenizer(300), *student = bytes_tokenizer(1);
    size_t n = tokenizer_vocab_size(teacher), begin[] = {0, 2, 3, 5};
    struct token_map map;
    token_map_init(&map, teacher, n, student, 257);
    int32_t the = TOKEN_NONE, ids[] = {0, 1, 1, 0, 0}, targets[] = {9, 'q', 9};
    for (size_t i = 2; i < n && the == TOKEN_NONE; i++)
        the = map.match[i] == MATCH_FIRST ? (int32_t)i : TOKEN_NONE;
    ids[3] = 2, ids[4] = the;
    float log_probs[] = {logf(0.5f), logf(0.2f), logf(0.9f), logf(0.6f), logf(0.4f)}, tail[] = {logf(0.3f), logf(0.1f), -INFINITY};
    struct dump_rows rows = {3, 2, begin, ids, log_probs, tail};
    struct soft_targets t = {.v = n, .begin = begin, .ids = ids, .log_probs = log_probs, .log_tail = tail, .source_temperature = 1};
    token_map_rows(&map, targets, 3, &rows, &t);
    assert_int_equal(t.v, 257);
    const size_t begins[] = {0, 1, 2, 4};
    assert_memory_equal(t.begin, begins, sizeof begins);
    assert_int_equal(t.ids[0], 256); /* <|end|>; <|user|> is in the tail */
    assert_true(fabs(exp((double)t.log_probs[0]) - 0.5) < 1e-6 && fabs(exp((double)t.log_tail[0]) - 0.5) < 1e-6);
    assert_int_equal(t.ids[1], 'q');
    assert_true(t.log_probs[1] == 0 && isinf(t.log_tail[1]));
    assert_true(isinf(t.log_tail[2]) && fabs(exp((double)t.log_probs[2]) + exp((double)t.log_probs[3]) - 1) < 1e-6);
    for (size_t i = 0; i < map.v; i++)
        assert_true(map.sums[i] == 0);
    token_map_free(&map);
    tokenizer_free(teacher);
    tokenizer_free(student);
}

static void samples_are_refused(void **state)
{
    (void)state;
    const struct dump d = {.description = {.kind = DUMP_SAMPLED}};
    struct alignment a;
    struct error e;
    assert_int_equal(alignment_init(&a, &d, NULL, NULL, NULL, &e), ERR_USAGE);
    assert_non_null(strstr(e.message, "samples"));
    alignment_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_tokenizer_changes_nothing),
        cmocka_unit_test(bytes_learn_from_longer_tokens),
        cmocka_unit_test(what_is_not_spelled_is_left_out),
        cmocka_unit_test(a_vocabulary_is_its_bytes),
        cmocka_unit_test(a_student_must_spell_something),
        cmocka_unit_test(the_student_may_have_longer_tokens),
        cmocka_unit_test(all_kinds_meet_at_the_same_text),
        cmocka_unit_test(where_nothing_has_a_place_the_text_stands),
        cmocka_unit_test(samples_are_refused),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
