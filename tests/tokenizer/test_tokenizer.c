/* Splitters, the byte alphabet, encoding and decoding, streams. */
#include "base/hash.h"
#include "base/memory.h"
#include "base/rng.h"
#include "tests/test.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/split.h"
#include "tokenizer/tokenizer_internal.h"
#include "tokenizer/train.h"
#include "tokenizer/unicode.h"

#include <stdio.h>
#include <string.h>

/* The words of `text` joined by '|'. */
static const char *split(enum splitter splitter, const char *text, size_t n)
{
    static char joined[4096];
    size_t used = 0;
    unicode_init();
    for (size_t at = 0; at < n;) {
        size_t k = split_next(splitter, (const unsigned char *)text + at, n - at);
        assert_in_range(k, 1, n - at);
        assert_true(used + k + 2 < sizeof joined);
        if (at)
            joined[used++] = '|';
        memcpy(joined + used, text + at, k);
        used += k;
        at += k;
    }
    joined[used] = 0;
    return joined;
}

static void splits(enum splitter splitter, const char *text, const char *expected)
{
    assert_string_equal(split(splitter, text, strlen(text)), expected);
}

static void gpt2_splits_as_its_pattern(void **state)
{
    (void)state;
    splits(SPLITTER_GPT2, "Hello world, it's 2024!", "Hello| world|,| it|'s| 2024|!");
    splits(SPLITTER_GPT2, "  two   spaces  ", " | two|  | spaces|  ");
    splits(SPLITTER_GPT2, "a\n\nb\r\n c", "a|\n|\n|b|\r\n| c");
    splits(SPLITTER_GPT2, "I'S we'll 're'ven", "I|'|S| we|'ll| '|re|'ve|n");
    splits(SPLITTER_GPT2, "\tx\xC2\xA0y", "\t|x|\xC2\xA0|y");
    splits(SPLITTER_GPT2, "caf\xC3\xA9 12\xC2\xBD", "caf\xC3\xA9| 12\xC2\xBD");
    splits(SPLITTER_GPT2,
           "a\xFF\xFE"
           "b",
           "a|\xFF\xFE|b");
}

static void llama3_and_qwen2_split_as_their_patterns(void **state)
{
    (void)state;
    splits(SPLITTER_LLAMA3, "Hello world, it's 12345!", "Hello| world|,| it|'s| |123|45|!");
    splits(SPLITTER_QWEN2, "Hello world, it's 123!", "Hello| world|,| it|'s| |1|2|3|!");
    splits(SPLITTER_LLAMA3, "(foo) \n\n  bar", "(foo|)| \n\n| | bar");
    splits(SPLITTER_LLAMA3, "!!\r\n\r\nx\tb", "!!\r\n\r\n|x|\tb");
    splits(SPLITTER_LLAMA3, "I'S WE'LL'\xC5\xBFo", "I|'S| WE|'LL|'\xC5\xBF|o");
    splits(SPLITTER_LLAMA3, "   1", "  | |1");
    splits(SPLITTER_LLAMA3, " \t", " \t");
    splits(SPLITTER_LLAMA3, "\n\n foo", "\n\n| foo");
    splits(SPLITTER_QWEN2, " ...\n\nThe", " ...\n\n|The");
}

static void smollm_splits_digits_off_first(void **state)
{
    (void)state;
    splits(SPLITTER_SMOLLM, "in 2024 it's  7!", "in| |2|0|2|4| it|'s|  |7|!");
    splits(SPLITTER_SMOLLM, "a1b \n2", "a|1|b| \n|2");
    splits(SPLITTER_SMOLLM, "x   y", "x|  | y");
    splits(SPLITTER_SMOLLM, "\xD9\xA1\xC2\xBD 1", "\xD9\xA1|\xC2\xBD| |1");
}

static const enum splitter byte_level[] = {SPLITTER_GPT2, SPLITTER_LLAMA3, SPLITTER_QWEN2,
                                           SPLITTER_SMOLLM, SPLITTER_BYTES};

static void a_safe_cut_never_changes_the_words(void **state)
{
    (void)state;
    static const char pieces[][5] = {
        "a", "Z",  " ",        "  ",       "\n",           "\r\n", "1", "'s",
        "!", "\t", "\xC3\xA9", "\xC2\xA0", "\xE3\x80\x80", "\xFF", "'S"};
    struct rng r;
    rng_init(&r, 7, 1);
    for (int round = 0; round < 3000; round++) {
        char text[128];
        size_t n = 0;
        while (n < 100) {
            const char *p = pieces[rng_below(&r, sizeof pieces / sizeof *pieces)];
            memcpy(text + n, p, strlen(p));
            n += strlen(p);
        }
        size_t cut = split_safe_cut((unsigned char *)text, n, rng_below(&r, n));
        for (size_t i = 0; i < 4; i++) {
            enum splitter s = byte_level[i];
            size_t at = 0;
            while (at < cut)
                at += split_next(s, (unsigned char *)text + at, n - at);
            assert_int_equal(at, cut);
        }
    }
}

static void byte_alphabet_is_a_bijection(void **state)
{
    (void)state;
    unsigned char sorted[256];
    byte_alphabet_sorted(sorted);
    assert_int_equal(sorted[0], '!');
    assert_int_equal(sorted[188], 0);   /* U+0100 */
    assert_int_equal(sorted[220], ' '); /* U+0120 */
    for (int b = 0; b < 256; b++) {
        char text[2];
        size_t n = byte_alphabet_encode((unsigned char)b, text), size;
        assert_int_equal(byte_alphabet_decode(text, n, &size), b);
        assert_int_equal(size, n);
    }
    size_t size;
    assert_int_equal(byte_alphabet_decode(" ", 1, &size), -1);
    assert_int_equal(byte_alphabet_decode("\xC2\xAD", 2, &size), -1);
    assert_int_equal(byte_alphabet_decode("\xC5\x84", 2, &size), -1); /* U+0144 */
}

static const char *const specials[] = {"<|endoftext|>", "<|user|>"};

static struct tokenizer *train(enum splitter splitter, size_t vocab_size, int threads,
                               const char *text, size_t n)
{
    struct tokenizer_settings s = {.splitter = splitter,
                                   .vocab_size = vocab_size,
                                   .min_frequency = 2,
                                   .special_tokens = specials,
                                   .n_special_tokens = 2,
                                   .threads = threads};
    struct tokenizer_trainer *trainer;
    struct tokenizer *t;
    struct error e;
    assert_ok(tokenizer_trainer_new(&s, &trainer, &e), e);
    size_t offsets[] = {0, n / 3, n};
    tokenizer_trainer_feed(trainer, text, offsets, 2);
    assert_ok(tokenizer_trainer_finish(trainer, &t, &e), e);
    tokenizer_trainer_free(trainer);
    return t;
}

/* Pseudo-words with a skewed distribution, so that merges have something to find. */
static char *make_text(size_t n)
{
    static const char *const parts[] = {"the ",         "ing ",  "a",
                                        "er",           "on",    " qu",
                                        "st",           ". ",    "\n",
                                        "the",          "it's ", "12",
                                        "caf\xC3\xA9 ", "  ",    "\xF0\x9F\x98\x80"};
    char *text = mem_zero(n + 8, 1);
    struct rng r;
    rng_init(&r, 3, 1);
    for (size_t at = 0; at < n;) {
        size_t k = rng_below(&r, 15) * rng_below(&r, 15) / 15;
        memcpy(text + at, parts[k], strlen(parts[k]));
        at += strlen(parts[k]);
    }
    return text;
}

static void round_trip(const struct tokenizer *t, const char *text, size_t n)
{
    struct tokens ids = {0};
    struct buffer back = {0};
    tokenizer_encode(t, text, n, false, &ids);
    tokenizer_decode(t, ids.ids, ids.count, false, &back);
    assert_int_equal(back.size, n);
    if (n)
        assert_memory_equal(back.data, text, n);
    tokens_free(&ids);
    buffer_free(&back);
}

static void any_bytes_round_trip(void **state)
{
    (void)state;
    char *text = make_text(20000), noise[300];
    struct rng r;
    rng_init(&r, 5, 1);
    for (size_t i = 0; i < 5; i++) {
        enum splitter s = byte_level[i];
        struct tokenizer *t = train(s, s == SPLITTER_BYTES ? 258 : 400, 2, text, 20000);
        round_trip(t, text, 20000);
        round_trip(t, "", 0);
        for (int k = 0; k < 500; k++) {
            size_t n = rng_below(&r, sizeof noise);
            for (size_t j = 0; j < n; j++)
                noise[j] = (char)rng_below(&r, k % 2 ? 256 : 70);
            round_trip(t, noise, n);
        }
        tokenizer_free(t);
    }
    mem_free(text);
}

/* A digest of all merges, "left right" a line. */
static uint64_t merges_digest(const struct tokenizer *t)
{
    struct buffer b = {0};
    for (size_t i = 0; i < t->n_merges; i++) {
        size_t n;
        assert_int_equal(t->merges[i].rank, i);
        buffer_string(&b, tokenizer_token(t, t->merges[i].left, &n));
        buffer_byte(&b, ' ');
        buffer_string(&b, tokenizer_token(t, t->merges[i].right, &n));
        buffer_byte(&b, '\n');
    }
    uint64_t digest = hash64(b.data, b.size, 0);
    buffer_free(&b);
    return digest;
}

/* The digest of what training on `text` (n bytes), a text a line, makes. */
static uint64_t trained_digest(enum splitter splitter, size_t vocab_size, const char *text,
                               size_t n)
{
    size_t *offsets = mem_zero(n + 2, sizeof *offsets), n_lines = 0;
    for (size_t i = 1; i <= n; i++)
        if (text[i - 1] == '\n' || i == n)
            offsets[++n_lines] = i;
    struct tokenizer_settings s = {.splitter = splitter, .vocab_size = vocab_size, .threads = 2};
    struct tokenizer_trainer *trainer;
    struct tokenizer *t;
    struct error e;
    assert_ok(tokenizer_trainer_new(&s, &trainer, &e), e);
    tokenizer_trainer_feed(trainer, text, offsets, n_lines);
    assert_ok(tokenizer_trainer_finish(trainer, &t, &e), e);
    tokenizer_trainer_free(trainer);
    uint64_t digest = merges_digest(t);
    tokenizer_free(t);
    mem_free(offsets);
    return digest;
}

/* Digests of the merges that Hugging Face's trainer (tokenizers 0.23.2) makes of the same lines
 * until no pair is left, compared once with tests/interop/tokenizer.mjs. */
static void merges_are_those_of_hugging_face(void **state)
{
    (void)state;
    static const uint64_t digests[] = {0x3870f005bd7509ad, 0xd0e4d91e3782b24b, 0xd4af79a7bde2f609,
                                       0xda8352ac1bc2ea72};
    size_t n = 60000;
    char *text = make_text(n);
    for (size_t k = 0; k < 4; k++)
        assert_int_equal(trained_digest(byte_level[k], 30256, text, n), digests[k]);
    mem_free(text);
}

/* The same of 30,000 tokens of made-up words, whose pairs outgrow the tables that count them. */
static void many_merges_are_those_of_hugging_face(void **state)
{
    (void)state;
    size_t n = 300000;
    char *text = mem_alloc(n, 1);
    struct rng r;
    rng_init(&r, 4, 1);
    for (size_t i = 0; i < n; i++) {
        size_t k = rng_below(&r, 28) * rng_below(&r, 28) / 27;
        text[i] = i % 1000 == 999 ? '\n' : k < 3 ? ' ' : (char)('a' + k - 3);
    }
    assert_int_equal(trained_digest(SPLITTER_GPT2, 30229, text, n), 0xe302f75fe68d1ad7);
    mem_free(text);
}

static void threads_do_not_change_the_vocabulary(void **state)
{
    (void)state;
    size_t n = 1500000;
    char *text = make_text(n);
    struct tokenizer *one = train(SPLITTER_LLAMA3, 600, 1, text, n),
                     *four = train(SPLITTER_LLAMA3, 600, 4, text, n);
    assert_int_equal(tokenizer_vocab_size(one), 600);
    assert_int_equal(tokenizer_hash(one), tokenizer_hash(four));
    tokenizer_free(one);
    tokenizer_free(four);
    mem_free(text);
}

/* The definition of BPE encoding, one merge at a time: lowest rank first, there the leftmost. */
static size_t merge_slowly(const struct tokenizer *t, const char *word, size_t n, int32_t *ids)
{
    for (size_t i = 0; i < n; i++)
        ids[i] = t->byte_id[(unsigned char)word[i]];
    for (;;) {
        const struct pair_slot *best = NULL;
        size_t at = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            const struct pair_slot *p = tokenizer_pair(t, ids[i], ids[i + 1]);
            if (p && (!best || p->rank < best->rank)) {
                best = p;
                at = i;
            }
        }
        if (!best)
            return n;
        ids[at] = best->id;
        memmove(ids + at + 1, ids + at + 2, (--n - at - 1) * sizeof *ids);
    }
}

static void words_of_any_length_merge_by_the_definition(void **state)
{
    (void)state;
    char *text = make_text(20000), word[2000];
    struct tokenizer *t = train(SPLITTER_GPT2, 400, 1, text, 20000);
    struct rng r;
    rng_init(&r, 9, 1);
    for (size_t i = 0; i < sizeof word; i++)
        word[i] = "theriongast"[rng_below(&r, 11)];
    memset(word + 1500, 'a', 200);
    for (size_t n = 1; n < sizeof word; n += 1 + n / 30) {
        struct tokens ids = {0};
        int32_t expected[2000];
        size_t count = merge_slowly(t, word, n, expected);
        tokenizer_encode(t, word, n, false, &ids);
        assert_int_equal(ids.count, count);
        assert_memory_equal(ids.ids, expected, count * sizeof *expected);
        tokens_free(&ids);
    }
    tokenizer_free(t);
    mem_free(text);
}

static void special_tokens_are_text_unless_asked_for(void **state)
{
    (void)state;
    char *text = make_text(20000);
    struct tokenizer *t = train(SPLITTER_LLAMA3, 300, 1, text, 20000);
    assert_int_equal(tokenizer_eos(t), 0);
    assert_int_equal(tokenizer_bos(t), 0);
    assert_int_equal(tokenizer_pad(t), TOKEN_NONE);
    assert_true(tokenizer_is_end(t, 0));
    assert_true(tokenizer_is_special(t, 1));
    assert_false(tokenizer_is_special(t, 2));
    const char *s = "a<|user|>b<|endoftext|>";
    struct tokens ids = {0};
    tokenizer_encode(t, s, strlen(s), true, &ids);
    assert_int_equal(ids.count, 4);
    assert_int_equal(ids.ids[1], 1);
    assert_int_equal(ids.ids[3], 0);
    struct buffer back = {0};
    tokenizer_decode(t, ids.ids, ids.count, true, &back);
    assert_string_equal(back.data, s);
    buffer_clear(&back);
    tokenizer_decode(t, ids.ids, ids.count, false, &back);
    assert_string_equal(back.data, "ab");
    ids.count = 0;
    tokenizer_encode(t, s, strlen(s), false, &ids);
    for (size_t i = 0; i < ids.count; i++)
        assert_false(tokenizer_is_special(t, ids.ids[i]));
    buffer_free(&back);
    tokens_free(&ids);
    tokenizer_free(t);
    mem_free(text);
}

static void bytes_are_their_own_ids(void **state)
{
    (void)state;
    struct tokenizer *t;
    struct error e;
    assert_ok(tokenizer_new_bytes(specials, 2, &t, &e), e);
    assert_int_equal(tokenizer_vocab_size(t), 258);
    assert_int_equal(tokenizer_eos(t), 256);
    struct tokens ids = {0};
    tokenizer_encode(t, "a\0\xFF", 3, false, &ids);
    assert_int_equal(ids.count, 3);
    assert_int_equal(ids.ids[0], 'a');
    assert_int_equal(ids.ids[1], 0);
    assert_int_equal(ids.ids[2], 255);
    tokens_free(&ids);
    tokenizer_free(t);
}

static void streams_hand_out_whole_characters(void **state)
{
    (void)state;
    struct tokenizer *t;
    struct error e;
    assert_ok(tokenizer_new_bytes(NULL, 0, &t, &e), e);
    struct decode_stream s = {0};
    struct buffer out = {0};
    const unsigned char smile[] = {0xF0, 0x9F, 0x98, 0x80};
    for (int i = 0; i < 3; i++)
        decode_stream_push(&s, t, smile[i], false, &out);
    assert_int_equal(out.size, 0);
    decode_stream_push(&s, t, smile[3], false, &out);
    assert_string_equal(out.data, "\xF0\x9F\x98\x80");
    buffer_clear(&out);
    /* E2 82 then A: a truncated character is one replacement; E0 80: two, E0 wants A0 or more */
    const unsigned char broken[] = {0xE2, 0x82, 'A', 0xE0, 0x80, 0xFF, 0xC3};
    for (size_t i = 0; i < sizeof broken; i++)
        decode_stream_push(&s, t, broken[i], false, &out);
    assert_string_equal(out.data, "\xEF\xBF\xBD"
                                  "A\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
    decode_stream_flush(&s, &out);
    assert_int_equal(out.size, 16);
    buffer_free(&out);
    tokenizer_free(t);
}

static void bad_settings_are_refused(void **state)
{
    (void)state;
    struct tokenizer_trainer *trainer;
    struct error e;
    struct tokenizer_settings s = {.splitter = SPLITTER_GPT2, .vocab_size = 200};
    assert_int_equal(tokenizer_trainer_new(&s, &trainer, &e), ERR_USAGE);
    assert_string_equal(e.message,
                        "vocab_size 200 is too small: 256 bytes and 0 special tokens need 256");
    static const char *const twice[] = {"<a>", "<a>"}, *const letter[] = {"a"};
    s.vocab_size = 300;
    s.special_tokens = twice;
    s.n_special_tokens = 2;
    assert_int_equal(tokenizer_trainer_new(&s, &trainer, &e), ERR_USAGE);
    s.special_tokens = letter;
    s.n_special_tokens = 1;
    assert_int_equal(tokenizer_trainer_new(&s, &trainer, &e), ERR_USAGE);
    s.n_special_tokens = 0;
    struct tokenizer *t;
    assert_ok(tokenizer_trainer_new(&s, &trainer, &e), e);
    assert_int_equal(tokenizer_trainer_finish(trainer, &t, &e), ERR_FORMAT);
    assert_null(t);
    tokenizer_trainer_free(trainer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpt2_splits_as_its_pattern),
        cmocka_unit_test(llama3_and_qwen2_split_as_their_patterns),
        cmocka_unit_test(smollm_splits_digits_off_first),
        cmocka_unit_test(a_safe_cut_never_changes_the_words),
        cmocka_unit_test(byte_alphabet_is_a_bijection),
        cmocka_unit_test(any_bytes_round_trip),
        cmocka_unit_test(merges_are_those_of_hugging_face),
        cmocka_unit_test(many_merges_are_those_of_hugging_face),
        cmocka_unit_test(threads_do_not_change_the_vocabulary),
        cmocka_unit_test(words_of_any_length_merge_by_the_definition),
        cmocka_unit_test(special_tokens_are_text_unless_asked_for),
        cmocka_unit_test(bytes_are_their_own_ids),
        cmocka_unit_test(streams_hand_out_whole_characters),
        cmocka_unit_test(bad_settings_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
