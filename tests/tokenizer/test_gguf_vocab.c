/* Vocabularies in GGUF files: round trips, refusals, and llama.cpp's ids on a real one. */
#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "formats/gguf.h"
#include "tests/test.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/train.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
#include "tests/fuzz/fuzz_tokenizer_gguf.c"

static char path[] = "/tmp/linnet-gguf-vocab-XXXXXX";

static int make_file(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static int read_back(struct tokenizer **t, struct error *e)
{
    struct gguf g;
    int code = gguf_open(path, &g, e);
    if (!code)
        code = tokenizer_from_gguf(&g, t, e);
    gguf_close(&g);
    return code;
}

static void write_file(struct gguf_writer *w)
{
    struct error e;
    assert_ok(gguf_writer_finish(w, path, &e), e);
    gguf_writer_free(w);
}

static void survives(const struct tokenizer *t)
{
    struct tokenizer *back;
    struct error e;
    struct gguf_writer *w = gguf_writer_new();
    assert_ok(tokenizer_to_gguf(t, tokenizer_vocab_size(t) + 3, w, &e), e); /* 3 rows too many */
    write_file(w);
    assert_ok(read_back(&back, &e), e);
    assert_int_equal(tokenizer_vocab_size(back), tokenizer_vocab_size(t) + 3);
    assert_int_equal(tokenizer_splitter(back), tokenizer_splitter(t));
    assert_int_equal(tokenizer_hash(back), tokenizer_hash(t));
    assert_int_equal(tokenizer_bos(back), tokenizer_bos(t));
    assert_int_equal(tokenizer_eos(back), tokenizer_eos(t));
    assert_int_equal(tokenizer_pad(back), tokenizer_pad(t));
    assert_int_equal(tokenizer_adds_bos(back), tokenizer_adds_bos(t));
    tokenizer_free(back);
}

static void trained_vocabularies_survive(void **state)
{
    (void)state;
    static const char text[] =
        "the cat and the hat and the bat sat  down\nthe cats don't 12345 12345";
    static const char *const specials[] = {"<|endoftext|>", "<|user|>"};
    for (enum splitter s = SPLITTER_GPT2; s <= SPLITTER_SMOLLM; s++) {
        struct tokenizer_settings settings = {.splitter = s,
                                              .vocab_size = 280,
                                              .min_frequency = 1,
                                              .special_tokens = specials,
                                              .n_special_tokens = 2,
                                              .threads = 1};
        struct tokenizer_trainer *trainer;
        struct tokenizer *t;
        struct error e;
        size_t offsets[] = {0, sizeof text - 1};
        assert_ok(tokenizer_trainer_new(&settings, &trainer, &e), e);
        tokenizer_trainer_feed(trainer, text, offsets, 1);
        assert_ok(tokenizer_trainer_finish(trainer, &t, &e), e);
        tokenizer_trainer_free(trainer);
        survives(t);
        tokenizer_free(t);
    }
}

static void template_and_ends_survive(void **state)
{
    (void)state;
    struct gguf g;
    struct tokenizer *t, *back;
    struct error e;
    assert_ok(gguf_open("tests/fuzz/corpus/tokenizer_gguf/good-tekken.gguf", &g, &e), e);
    assert_ok(tokenizer_from_gguf(&g, &t, &e), e);
    gguf_close(&g);
    assert_true(tokenizer_is_end(t, 259) && tokenizer_is_end(t, 260)); /* EOS and EOT */
    assert_false(tokenizer_is_end(t, 258));
    tokenizer_set_chat_template(t, "{{ x }}");
    struct gguf_writer *w = gguf_writer_new();
    assert_ok(tokenizer_to_gguf(t, tokenizer_vocab_size(t), w, &e), e);
    write_file(w);
    assert_ok(read_back(&back, &e), e);
    assert_true(tokenizer_is_end(back, 260));
    assert_string_equal(tokenizer_chat_template(back), "{{ x }}");
    assert_int_equal(tokenizer_hash(back), tokenizer_hash(t));
    tokenizer_free(back);
    tokenizer_free(t);
}

/* A SentencePiece vocabulary from tokenizer.json gets scores from its merges. */
static void sentencepiece_survives(void **state)
{
    (void)state;
    struct tokenizer *t;
    struct error e;
    assert_ok(tokenizer_read_json("tests/fuzz/corpus/tokenizer_json/good-llama2.json", &t, &e), e);
    struct gguf_writer *w = gguf_writer_new();
    assert_ok(tokenizer_to_gguf(t, tokenizer_vocab_size(t), w, &e), e);
    write_file(w);
    struct tokenizer *back;
    assert_ok(read_back(&back, &e), e);
    static const char text[] = "Hello  a aaa \xC3\xA9H llllo";
    struct tokens x = {0}, y = {0};
    tokenizer_encode(t, text, sizeof text - 1, false, &x);
    tokenizer_encode(back, text, sizeof text - 1, false, &y);
    assert_int_equal(x.count, y.count);
    assert_memory_equal(x.ids, y.ids, x.count * sizeof *x.ids);
    tokens_free(&x);
    tokens_free(&y);
    tokenizer_free(back);
    tokenizer_free(t);
}

struct vocab { /* what a broken file says; NULL and 0 leave a key out */
    const char *model, *pre;
    const char *tokens[8];
    size_t n_tokens;
    const char *merge;
    size_t n_types, n_scores;
    int32_t type;
    size_t eos;
    const char *message;
};

static void put_vocab(struct gguf_writer *w, const struct vocab *v)
{
    struct gguf_string s[8];
    int32_t types[8];
    float scores[8] = {0};
    for (size_t i = 0; i < 8; i++) {
        s[i] = (struct gguf_string){v->tokens[i] ? v->tokens[i] : "",
                                    v->tokens[i] ? strlen(v->tokens[i]) : 0};
        types[i] = v->type;
    }
    if (v->model)
        gguf_put_string(w, "tokenizer.ggml.model", v->model);
    if (v->pre)
        gguf_put_string(w, "tokenizer.ggml.pre", v->pre);
    if (v->n_tokens)
        gguf_put_strings(w, "tokenizer.ggml.tokens", s, v->n_tokens);
    if (v->n_types)
        gguf_put_i32s(w, "tokenizer.ggml.token_type", types, v->n_types);
    if (v->n_scores)
        gguf_put_f32s(w, "tokenizer.ggml.scores", scores, v->n_scores);
    if (v->merge) {
        struct gguf_string m = {v->merge, strlen(v->merge)};
        gguf_put_strings(w, "tokenizer.ggml.merges", &m, 1);
    }
    if (v->eos)
        gguf_put_u32(w, "tokenizer.ggml.eos_token_id", (uint32_t)v->eos);
}

static const struct vocab broken[] = {
    {.message = "\"tokenizer.ggml.model\" is missing"},
    {.model = "bert", .message = "\"bert\" is not supported"},
    {.model = "gpt2", .message = "\"tokenizer.ggml.pre\" is missing"},
    {.model = "gpt2", .pre = "nobody", .message = "\"nobody\" is not supported"},
    {.model = "gpt2", .pre = "qwen2", .message = "\"tokenizer.ggml.tokens\" is missing"},
    {.model = "gpt2",
     .pre = "qwen2",
     .tokens = {"a", "b", "a"},
     .n_tokens = 3,
     .message = "items 0 and 2 are both \"a\""},
    {.model = "gpt2",
     .pre = "qwen2",
     .tokens = {"a", "\xFF"},
     .n_tokens = 2,
     .message = "item 1 is not valid UTF-8"},
    {.model = "gpt2",
     .pre = "qwen2",
     .tokens = {"a"},
     .n_tokens = 1,
     .n_types = 2,
     .type = 1,
     .message = "has 2 items for 1 tokens"},
    {.model = "gpt2",
     .pre = "qwen2",
     .tokens = {"a"},
     .n_tokens = 1,
     .n_types = 1,
     .type = 7,
     .message = "item 0 is 7, not 0 to 6"},
    {.model = "gpt2",
     .pre = "qwen2",
     .tokens = {"a"},
     .n_tokens = 1,
     .message = "\"tokenizer.ggml.merges\" is missing"},
    {.model = "gpt2",
     .pre = "qwen2",
     .tokens = {"a", "b"},
     .n_tokens = 2,
     .merge = "a b",
     .message = "item 0, \"a b\", is not two tokens that make a third"},
    {.model = "gpt2",
     .pre = "qwen2",
     .tokens = {"a", "b", "ab"},
     .n_tokens = 3,
     .merge = "a b",
     .message = "no token for byte 0x00"},
    {.model = "llama",
     .tokens = {"a", "b", "c"},
     .n_tokens = 3,
     .message = "\"tokenizer.ggml.scores\" is missing"},
    {.model = "llama",
     .tokens = {"a", "b", "c"},
     .n_tokens = 3,
     .n_scores = 2,
     .message = "has 2 items for 3 tokens"},
    {.model = "llama",
     .tokens = {"a", "b", "c"},
     .n_tokens = 3,
     .n_scores = 3,
     .eos = 3,
     .message = "\"tokenizer.ggml.eos_token_id\" is 3, beyond the 3 tokens"},
};

static void broken_vocabularies_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        struct gguf_writer *w = gguf_writer_new();
        struct tokenizer *t;
        struct error e;
        put_vocab(w, &broken[i]);
        write_file(w);
        assert_int_equal(read_back(&t, &e), ERR_FORMAT);
        assert_null(t);
        if (!strstr(e.message, broken[i].message))
            fail_msg("case %zu: \"%s\" is not in \"%s\"", i, broken[i].message, e.message);
    }
}

/* Scores tie: the leftmost pair wins, as in llama.cpp. A character that is no token can be part of
 * one; alone, without byte tokens, it is unknown. */
static void scores_decide_merges(void **state)
{
    (void)state;
    struct gguf_writer *w = gguf_writer_new();
    struct gguf_string s[] = {{"<unk>", 5}, {"<s>", 3}, {"</s>", 4}, {"a", 1},
                              {"b", 1},     {"ab", 2},  {"ba", 2},   {"xy", 2}};
    float scores[] = {0, 0, 0, -5, -5, -1, -1, -2};
    int32_t types[] = {2, 3, 3, 1, 1, 1, 1, 1};
    gguf_put_string(w, "tokenizer.ggml.model", "llama");
    gguf_put_strings(w, "tokenizer.ggml.tokens", s, 8);
    gguf_put_f32s(w, "tokenizer.ggml.scores", scores, 8);
    gguf_put_i32s(w, "tokenizer.ggml.token_type", types, 8);
    gguf_put_bool(w, "tokenizer.ggml.add_space_prefix", false);
    write_file(w);
    struct tokenizer *t;
    struct error e;
    assert_ok(read_back(&t, &e), e);
    struct tokens ids = {0};
    tokenizer_encode(t, "babaxyx", 7, false, &ids);
    const int32_t expected[] = {6, 6, 7, 0};
    assert_int_equal(ids.count, 4);
    assert_memory_equal(ids.ids, expected, sizeof expected);
    assert_int_equal(tokenizer_bos(t), 1);
    assert_int_equal(tokenizer_eos(t), 2);
    assert_true(tokenizer_adds_bos(t));
    assert_int_equal(tokenizer_write_json(t, path, &e), ERR_FORMAT); /* "x" cannot be named there */
    tokens_free(&ids);
    tokenizer_free(t);
}

static void seeds_replay(void **state)
{
    (void)state;
    struct path_list list = {0};
    struct error e = {0};
    size_t good = 0, bad = 0;
    assert_ok(dir_list("tests/fuzz/corpus/tokenizer_gguf", &list, &e), e);
    for (size_t i = 0; i < list.count; i++) {
        struct buffer b = {0};
        struct gguf g;
        struct tokenizer *t;
        assert_ok(file_read(list.paths[i], &b, 1 << 20, &e), e);
        unsigned char *exact = mem_alloc(b.size, 1); /* its own size, for AddressSanitizer */
        memcpy(exact, b.data, b.size);
        LLVMFuzzerTestOneInput(exact, b.size);
        assert_ok(gguf_parse(exact, b.size, &g, &e), e);
        int code = tokenizer_from_gguf(&g, &t, &e);
        const char *name = path_basename(list.paths[i]);
        if (strncmp(name, "good-", 5) == 0) {
            good++;
            assert_ok(code, e);
        } else if (strncmp(name, "bad-", 4) == 0) {
            bad++;
            assert_int_equal(code, ERR_FORMAT);
        }
        tokenizer_free(t);
        gguf_close(&g);
        mem_free(exact);
        buffer_free(&b);
    }
    path_list_free(&list);
    assert_true(good >= 3 && bad >= 4);
}

/* llama.cpp's own ids, each line tokenised alone; recorded with tests/interop. */
static void ids_are_those_of_llama_cpp(void **state)
{
    (void)state;
    const char *s = getenv("LINNET_SHARED"), *shared = s ? s : "../shared";
    char *model = path_join(shared, "golden/stories260K-f32.gguf"),
         *corpus = path_join(shared, "data/shakespeare.txt");
    bool there = file_exists(model) && file_exists(corpus);
    if (!there)
        printf("skipped: %s or %s is missing\n", model, corpus);
    struct gguf g = {0};
    struct tokenizer *t = NULL;
    struct error e;
    struct buffer text = {0};
    struct tokens ids = {0};
    if (there) {
        assert_ok(gguf_open(model, &g, &e), e);
        assert_ok(tokenizer_from_gguf(&g, &t, &e), e);
        gguf_close(&g);
        tokenizer_encode(t, "Once upon a time", 16, false, &ids);
        const int32_t once[] = {403, 407, 261, 378};
        assert_int_equal(ids.count, 4);
        assert_memory_equal(ids.ids, once, sizeof once);
        ids.count = 0;
        assert_ok(file_read(corpus, &text, 1 << 24, &e), e);
        for (char *line = text.data, *end; (end = strchr(line, '\n')); line = end + 1)
            tokenizer_encode(t, line, (size_t)(end - line), false, &ids);
        assert_int_equal(ids.count, 666455);
        assert_int_equal(hash64(ids.ids, ids.count * sizeof *ids.ids, 0), 0xb18d97d008684439ull);
    }
    tokens_free(&ids);
    buffer_free(&text);
    tokenizer_free(t);
    mem_free(model);
    mem_free(corpus);
    if (!there)
        skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trained_vocabularies_survive),
        cmocka_unit_test(template_and_ends_survive),
        cmocka_unit_test(sentencepiece_survives),
        cmocka_unit_test(broken_vocabularies_are_refused),
        cmocka_unit_test(scores_decide_merges),
        cmocka_unit_test(seeds_replay),
        cmocka_unit_test(ids_are_those_of_llama_cpp),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
