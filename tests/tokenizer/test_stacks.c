/* The stacks of published models, with Hugging Face's ids (tests/interop/stacks.mjs made the fixture):
 * as read, as written and read again, and through GGUF. */
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "formats/gguf.h"
#include "tests/test.h"
#include "tokenizer/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[] = "/tmp/linnet-stacks-XXXXXX";
static json_t *fixture;

static int setup(void **state)
{
    (void)state;
    struct error e;
    int fd = mkstemp(path);
    if (fd < 0 || close(fd) || json_read("tests/fixtures/tokenizer_stacks.json", &fixture, &e))
        return -1;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    json_decref(fixture);
    return unlink(path);
}

/* A name of something shared, replaced by the thing. */
static void resolve(json_t *object, const char *key)
{
    const char *name = json_string_value(json_object_get(object, key));
    if (name)
        json_object_set(object, key, json_object_get(json_object_get(fixture, "shared"), name));
}

static struct tokenizer *parse(const char *name)
{
    struct tokenizer *t;
    struct error e;
    json_t *stack = json_object_get(json_object_get(fixture, "stacks"), name);
    json_t *root = json_deep_copy(json_object_get(stack, "root")), *model;
    assert_non_null(root);
    model = json_object_get(root, "model");
    resolve(root, "added_tokens");
    resolve(model, "vocab");
    resolve(model, "merges");
    char *text = json_dumps(root, 0);
    int code = tokenizer_parse_json(text, strlen(text), &t, &e);
    if (code)
        fail_msg("%s: %s", name, e.message);
    free(text);
    json_decref(root);
    return t;
}

/* FNV-1a over whole ids. */
static uint32_t digest(const struct tokens *ids)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < ids->count; i++)
        h = (h ^ (uint32_t)ids->ids[i]) * 16777619u;
    return h;
}

/* Compares the ids of every text; `plain` leaves out those that this says no of. */
static void has_their_ids(const struct tokenizer *t, const char *name, const char *how,
                          bool (*plain)(const char *text))
{
    const json_t *texts = json_object_get(fixture, "texts"),
                 *ids = json_object_get(json_object_get(json_object_get(fixture, "stacks"), name),
                                        "ids");
    assert_int_equal(json_array_size(texts), json_array_size(ids));
    for (size_t i = 0; i < json_array_size(texts); i++) {
        const json_t *text = json_array_get(texts, i), *wanted = json_array_get(ids, i);
        const char *s = json_string_value(text);
        size_t n = json_string_length(text);
        struct tokens got = {0};
        if (plain && (strlen(s) != n || !plain(s)))
            continue;
        tokenizer_encode(t, s, n, true, &got);
        if (got.count != (size_t)json_integer_value(json_array_get(wanted, 0)) ||
            digest(&got) != (uint32_t)json_integer_value(json_array_get(wanted, 1)))
            fail_msg("%s %s: other ids for \"%.60s\"", name, how, s);
        tokens_free(&got);
    }
}

static void ids_are_hugging_faces(void **state)
{
    (void)state;
    const char *name;
    json_t *stack;
    assert_true(json_object_size(json_object_get(fixture, "stacks")) >= 35);
    json_object_foreach(json_object_get(fixture, "stacks"), name, stack)
    {
        struct tokenizer *t = parse(name);
        has_their_ids(t, name, "as read", NULL);
        tokenizer_free(t);
    }
}

static void writing_and_reading_keeps_them(void **state)
{
    (void)state;
    const char *name;
    json_t *stack;
    json_object_foreach(json_object_get(fixture, "stacks"), name, stack)
    {
        struct tokenizer *t = parse(name), *back;
        struct error e;
        assert_ok(tokenizer_write_json(t, path, &e), e);
        assert_ok(tokenizer_read_json(path, &back, &e), e);
        has_their_ids(back, name, "written", NULL);
        if (tokenizer_hash(back) != tokenizer_hash(t))
            fail_msg("%s: another hash once written", name);
        tokenizer_free(back);
        tokenizer_free(t);
    }
}

static struct tokenizer *through_gguf(const struct tokenizer *t)
{
    struct tokenizer *back;
    struct error e;
    struct gguf g;
    struct gguf_writer *w = gguf_writer_new();
    assert_ok(tokenizer_to_gguf(t, tokenizer_vocab_size(t), w, &e), e);
    assert_ok(gguf_writer_finish(w, path, &e), e);
    gguf_writer_free(w);
    assert_ok(gguf_open(path, &g, &e), e);
    assert_ok(tokenizer_from_gguf(&g, &back, &e), e);
    gguf_close(&g);
    return back;
}

/* GGUF has no NFC and none of the added tokens' flags: only texts that need neither. */
static bool plain(const char *text)
{
    static const char *const special[] = {"TOOL", "<|lr|>", "<|im_", "NoRm", "<s>", "<unk>", "</s>"};
    for (size_t i = 0; i < sizeof special / sizeof *special; i++)
        if (strstr(text, special[i]))
            return false;
    for (; *text; text++)
        if ((unsigned char)*text >= 0xCC)
            return false; /* Latin and its like, where nothing is decomposed */
    return true;
}

static void gguf_keeps_them(void **state)
{
    (void)state;
    static const char *const exportable[] = {
        "gpt2", "llama3", "qwen2", "smollm", "qwen35", "tekken", "gpt4o", "deepseek-v3", "deepseek-coder",
        "pre-default", "pre-falcon", "pre-deepseek-llm", "pre-bailingmoe", "pre-seed-coder", "pre-viking",
        "llama2", "gemma",
    };
    for (size_t i = 0; i < sizeof exportable / sizeof *exportable; i++) {
        struct tokenizer *t = parse(exportable[i]), *gguf = through_gguf(t), *json;
        struct error e;
        has_their_ids(gguf, exportable[i], "through GGUF", plain);
        assert_ok(tokenizer_write_json(gguf, path, &e), e);
        assert_ok(tokenizer_read_json(path, &json, &e), e);
        has_their_ids(json, exportable[i], "through GGUF and tokenizer.json", plain);
        tokenizer_free(json);
        tokenizer_free(gguf);
        tokenizer_free(t);
    }
}

static void gguf_refuses_what_it_cannot_say(void **state)
{
    (void)state;
    static const char *const refused[] = {"tiktoken", "prefix-space", "punctuation", "zero-width",
                                          "removed-inverted", "no-fallback", "unigram"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct tokenizer *t = parse(refused[i]);
        struct error e;
        struct gguf_writer *w = gguf_writer_new();
        assert_int_equal(tokenizer_to_gguf(t, tokenizer_vocab_size(t), w, &e), ERR_FORMAT);
        assert_non_null(strstr(e.message, "GGUF"));
        gguf_writer_free(w);
        tokenizer_free(t);
    }
}

/* Byte-level stacks that change nothing give a text back. */
static void decoding_gives_the_text_back(void **state)
{
    (void)state;
    static const char *const exact[] = {"gpt2", "llama3", "tekken", "deepseek-coder", "pre-default", "llama2",
                                        "gemma", "metaspace-first"};
    static const char text[] = "Hello  world, it's\n 123! \xF0\x9F\x98\x80 caf\xC3\xA9\t\xE4\xB8\xAD x";
    for (size_t i = 0; i < sizeof exact / sizeof *exact; i++) {
        struct tokenizer *t = parse(exact[i]);
        struct tokens ids = {0};
        struct buffer all = {0}, streamed = {0};
        struct decode_stream stream = {0};
        tokenizer_encode(t, text, sizeof text - 1, true, &ids);
        tokenizer_decode(t, ids.ids, ids.count, false, &all);
        for (size_t k = 0; k < ids.count; k++)
            decode_stream_push(&stream, t, ids.ids[k], false, &streamed);
        decode_stream_flush(&stream, &streamed);
        assert_string_equal(all.data, text);
        assert_string_equal(streamed.data, text);
        tokens_free(&ids);
        buffer_free(&all);
        buffer_free(&streamed);
        tokenizer_free(t);
    }
}

static void long_texts_take_their_time_and_no_more(void **state)
{
    (void)state;
    static const char *const names[] = {"tekken", "deepseek-llm", "tiktoken", "metaspace-first", "unigram",
                                        "normalizers", "whitespace"};
    static const char *const units[] = {" ", "a", "\n", "1", " a", "<", "\xCC\x81\xCC\xA3"};
    enum { SIZE = 1 << 18 };
    char *text = mem_alloc(SIZE + 8, 1);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct tokenizer *t = parse(names[i]);
        for (size_t k = 0; k < sizeof units / sizeof *units; k++) {
            struct tokens ids = {0};
            size_t n = 0;
            for (; n < SIZE; n += strlen(units[k]))
                memcpy(text + n, units[k], strlen(units[k]));
            text[n++] = 'x';
            tokenizer_encode(t, text, n, true, &ids); /* a quadratic way takes minutes */
            tokens_free(&ids);
        }
        tokenizer_free(t);
    }
    mem_free(text);
}

/* Where encoding text[0 .. at) gives the first ids of the whole, the next token begins at that byte: what tokenizer_align
 * says must fit, at every character. Returns whether it said anything. */
static bool places_fit(const struct tokenizer *t, const char *name, const char *s, size_t n)
{
    struct tokens all = {0}, part = {0};
    tokenizer_encode(t, s, n, true, &all);
    size_t *begins = mem_alloc(all.count, sizeof *begins);
    bool aligned = tokenizer_align(t, s, n, all.ids, all.count, begins);
    for (size_t at = 1; aligned && at < n; at++) {
        part.count = 0;
        if ((s[at] & 0xC0) == 0x80)
            continue;
        tokenizer_encode(t, s, at, true, &part);
        if (part.count >= all.count || !part.count || memcmp(part.ids, all.ids, part.count * sizeof *part.ids) != 0)
            continue;
        size_t begin = begins[part.count];
        while (begin < at && s[begin] == ' ') /* those may be swallowed by either side */
            begin++;
        if (begins[part.count - 1] > at || begin < at)
            fail_msg("%s: token %zu of \"%.60s\" begins at %zu and the one before at %zu, not around %zu", name,
                     part.count, s, begins[part.count], begins[part.count - 1], at);
    }
    for (size_t i = 1; aligned && i < all.count; i++)
        assert_true(begins[i - 1] <= begins[i] && begins[i] <= n);
    mem_free(begins);
    tokens_free(&all);
    tokens_free(&part);
    return aligned;
}

static void places_of_tokens(void **state)
{
    (void)state;
    /* Texts that normalisation changes or the small vocabulary lacks have none. */
    static const struct {
        const char *name;
        size_t lost;
    } least[] = {{"gpt2", 0}, {"llama3", 0}, {"tekken", 0}, {"qwen2", 3}, {"llama2", 5}, {"gemma", 4}, {"metaspace-first", 11}};
    const char *name;
    json_t *stack;
    json_object_foreach(json_object_get(fixture, "stacks"), name, stack)
    {
        struct tokenizer *t = parse(name);
        const json_t *texts = json_object_get(fixture, "texts");
        size_t aligned = 0, n_texts = 0;
        for (size_t i = 0; i < json_array_size(texts); i++) {
            const json_t *text = json_array_get(texts, i);
            if (json_string_length(text) > 3000)
                continue;
            n_texts++;
            aligned += places_fit(t, name, json_string_value(text), json_string_length(text));
        }
        for (size_t i = 0; i < sizeof least / sizeof *least; i++)
            if (strcmp(name, least[i].name) == 0 && aligned + least[i].lost < n_texts)
                fail_msg("%s: only %zu of %zu texts have places", name, aligned, n_texts);
        tokenizer_free(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_hugging_faces),
        cmocka_unit_test(places_of_tokens),
        cmocka_unit_test(writing_and_reading_keeps_them),
        cmocka_unit_test(gguf_keeps_them),
        cmocka_unit_test(gguf_refuses_what_it_cannot_say),
        cmocka_unit_test(decoding_gives_the_text_back),
        cmocka_unit_test(long_texts_take_their_time_and_no_more),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
