/* tokenizer.json and tokenizer_config.json: round trips, refusals, and the fuzzer's seeds. */
#include "base/file.h"
#include "base/memory.h"
#include "tests/test.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/train.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
#include "tests/fuzz/fuzz_tokenizer_json.c"

static char folder[] = "/tmp/linnet-tokenizer-XXXXXX";
static char json_path[128], config_path[128];

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(json_path, sizeof json_path, "%s/tokenizer.json", folder);
    snprintf(config_path, sizeof config_path, "%s/tokenizer_config.json", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(json_path);
    unlink(config_path);
    return rmdir(folder);
}

static struct tokenizer *train(enum splitter splitter)
{
    static const char text[] = "the cat and the hat and the \"bat\\\" sat\tdown\n the cats don't "
                               "caf\xC3\xA9 caf\xC3\xA9 12345 12345  \x7F\x01";
    static const char *const specials[] = {"<|endoftext|>", "<|\"user\"|>"};
    struct tokenizer_settings s = {.splitter = splitter,
                                   .vocab_size = 290,
                                   .min_frequency = 1,
                                   .special_tokens = specials,
                                   .n_special_tokens = 2,
                                   .threads = 1};
    struct tokenizer_trainer *trainer;
    struct tokenizer *t;
    struct error e;
    size_t offsets[] = {0, sizeof text - 1};
    assert_ok(tokenizer_trainer_new(&s, &trainer, &e), e);
    tokenizer_trainer_feed(trainer, text, offsets, 1);
    assert_ok(tokenizer_trainer_finish(trainer, &t, &e), e);
    tokenizer_trainer_free(trainer);
    return t;
}

static void writing_and_reading_keeps_everything(void **state)
{
    (void)state;
    for (enum splitter s = SPLITTER_GPT2; s <= SPLITTER_SMOLLM; s++) {
        struct tokenizer *t = train(s), *back, *again;
        struct error e;
        unlink(config_path);
        assert_ok(tokenizer_write_json(t, json_path, &e), e);
        assert_ok(tokenizer_read_json(json_path, &back, &e), e);
        assert_int_equal(tokenizer_splitter(back), s);
        assert_int_equal(tokenizer_hash(back), tokenizer_hash(t));
        assert_int_equal(tokenizer_eos(back), tokenizer_eos(t));
        assert_ok(tokenizer_write_config_json(t, 512, config_path, &e), e);
        assert_ok(tokenizer_read_json(json_path, &again, &e), e);
        assert_int_equal(tokenizer_eos(again), tokenizer_eos(t));
        assert_int_equal(tokenizer_bos(again), tokenizer_bos(t));
        assert_int_equal(tokenizer_pad(again), TOKEN_NONE);
        tokenizer_free(t);
        tokenizer_free(back);
        tokenizer_free(again);
    }
}

static struct tokenizer *read_seed(const char *name)
{
    struct tokenizer *t;
    struct error e;
    char path[128];
    snprintf(path, sizeof path, "tests/fuzz/corpus/tokenizer_json/%s.json", name);
    assert_ok(tokenizer_read_json(path, &t, &e), e);
    return t;
}

static void encodes(const struct tokenizer *t, const char *text, bool special, size_t n,
                    const int32_t *expected)
{
    struct tokens ids = {0};
    tokenizer_encode(t, text, strlen(text), special, &ids);
    assert_int_equal(ids.count, n);
    assert_memory_equal(ids.ids, expected, n * sizeof *expected);
    tokens_free(&ids);
}

/* Ids by hand: 0 <unk>, 1 <s>, 2 </s>, 3 + byte, 259 space, 260 a, l, o, H, e, 265 " H", 266 ll,
 * 267 llo, 268 aa, 269 two spaces. */
static void sentencepiece_merges_and_falls_back_to_bytes(void **state)
{
    (void)state;
    static const char *const names[] = {"good-llama2", "good-metaspace"};
    for (int i = 0; i < 2; i++) {
        struct tokenizer *t = read_seed(names[i]);
        assert_true(tokenizer_adds_bos(t));
        assert_int_equal(tokenizer_bos(t), 1);
        assert_int_equal(tokenizer_eos(t), 2);
        encodes(t, "Hello", false, 3, (int32_t[]){265, 264, 267});
        encodes(t, "a\xC3\xA9 aaa", false, 7,
                (int32_t[]){259, 260, 3 + 0xC3, 3 + 0xA9, 259, 268, 260});
        if (i == 0) { /* a space before every stretch */
            encodes(t, "  H", false, 2, (int32_t[]){269, 265});
            encodes(t, "a  </s> a", true, 5, (int32_t[]){259, 260, 2, 259, 260});
        } else { /* before the first alone, and not where one is: ids are Hugging Face's */
            encodes(t, "  H", false, 2, (int32_t[]){259, 265});
            encodes(t, "a  </s> a", true, 4, (int32_t[]){259, 260, 2, 260});
        }
        encodes(t, "", false, 0, (int32_t[]){0});
        struct buffer out = {0};
        tokenizer_decode(t, (int32_t[]){1, 265, 264, 267, 3 + 0xC3, 3 + 0xA9}, 6, false, &out);
        assert_string_equal(out.data, "Hello\xC3\xA9");
        buffer_free(&out);
        tokenizer_free(t);
    }
}

static void added_tokens_keep_their_ids_and_flags(void **state)
{
    (void)state;
    struct tokenizer *t = read_seed("good-llama3");
    assert_int_equal(tokenizer_vocab_size(t), 266); /* 263 and 264 are gaps */
    assert_true(tokenizer_adds_bos(t));
    assert_int_equal(tokenizer_bos(t), 262);
    assert_int_equal(tokenizer_find(t, "[PAD263]", 8), 263);
    int32_t h = tokenizer_find(t, "hello", 5);
    encodes(t, "hello<user>hello<s>", true, 4, (int32_t[]){h, 265, h, 262});
    struct tokens ids = {0};
    tokenizer_encode(t, "<user><s>", 9, false, &ids); /* <user> is no special token */
    assert_int_equal(ids.count, 4);
    assert_int_equal(ids.ids[0], 265);
    tokens_free(&ids);
    struct tokenizer *back;
    struct error e;
    unlink(config_path);
    assert_ok(tokenizer_write_json(t, json_path, &e), e);
    assert_ok(tokenizer_read_json(json_path, &back, &e), e);
    assert_int_equal(tokenizer_hash(back), tokenizer_hash(t));
    assert_true(tokenizer_adds_bos(back));
    tokenizer_free(back);
    tokenizer_free(t);
}

static void nfc_composes_before_splitting(void **state)
{
    (void)state;
    struct tokenizer *t = read_seed("good-qwen2-nfc");
    struct tokens composed = {0}, decomposed = {0};
    tokenizer_encode(t, "caf\xC3\xA9 \xFF", 7, false, &composed);
    tokenizer_encode(t, "cafe\xCC\x81 \xFF", 8, false, &decomposed);
    assert_int_equal(composed.count, 7);
    assert_int_equal(decomposed.count, 7);
    assert_memory_equal(composed.ids, decomposed.ids, 7 * sizeof *composed.ids);
    tokens_free(&composed);
    tokens_free(&decomposed);
    tokenizer_free(t);
}

static void a_bad_config_is_refused(void **state)
{
    (void)state;
    struct tokenizer *t = train(SPLITTER_GPT2), *back;
    struct error e;
    static const char *const bad[] = {"{\"eos_token\": \"<nowhere>\"}", "{\"eos_token\": 5}", "{",
                                      "{\"add_bos_token\": \"yes\"}"};
    assert_ok(tokenizer_write_json(t, json_path, &e), e);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_ok(file_write(config_path, bad[i], strlen(bad[i]), &e), e);
        assert_int_equal(tokenizer_read_json(json_path, &back, &e), ERR_FORMAT);
        assert_non_null(strstr(e.message, config_path));
        assert_null(back);
    }
    static const char pad[] =
        "{\"pad_token\": {\"content\": \"<|endoftext|>\"}, \"bos_token\": null}";
    assert_ok(file_write(config_path, pad, strlen(pad), &e), e);
    assert_ok(tokenizer_read_json(json_path, &back, &e), e);
    assert_int_equal(tokenizer_pad(back), 0);
    tokenizer_free(back);
    tokenizer_free(t);
}

static const char *read_template(const char *config, struct tokenizer **t)
{
    struct error e;
    assert_ok(file_write(config_path, config, strlen(config), &e), e);
    assert_ok(tokenizer_read_json(json_path, t, &e), e);
    return tokenizer_chat_template(*t);
}

static void the_chat_template_is_carried(void **state)
{
    (void)state;
    static const char text[] = "{% for m in messages %}\"{{ m.content }}\"\n\t\\{% endfor %}\xC3\xA9";
    struct tokenizer *t = train(SPLITTER_GPT2), *back;
    struct error e;
    assert_null(tokenizer_chat_template(t));
    tokenizer_set_chat_template(t, text);
    assert_ok(tokenizer_write_json(t, json_path, &e), e);
    assert_ok(tokenizer_write_config_json(t, 64, config_path, &e), e);
    assert_ok(tokenizer_read_json(json_path, &back, &e), e);
    assert_string_equal(tokenizer_chat_template(back), text);
    tokenizer_set_chat_template(back, NULL);
    assert_null(tokenizer_chat_template(back));
    tokenizer_free(back);
    assert_string_equal(read_template("{\"chat_template\": [{\"name\": \"a\", \"template\": \"1\"}, "
                                      "{\"name\": \"default\", \"template\": \"2\"}]}", &back), "2");
    tokenizer_free(back);
    assert_string_equal(read_template("{\"chat_template\": [{\"name\": \"a\", \"template\": \"1\"}]}",
                                      &back), "1");
    tokenizer_free(back);
    static const char bad[] = "{\"chat_template\": [1]}";
    assert_ok(file_write(config_path, bad, sizeof bad - 1, &e), e);
    assert_int_equal(tokenizer_read_json(json_path, &back, &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, "\"chat_template\" must be"));
    tokenizer_free(t);
}

/* BOS before a text and EOS behind it survive as a template, whatever the components. */
static void the_template_drives_bos_and_eos(void **state)
{
    (void)state;
    struct tokenizer *t = read_seed("good-llama2"), *back;
    struct error e;
    static const char both[] = "{\"add_bos_token\": true, \"add_eos_token\": true}";
    assert_true(tokenizer_adds_bos(t) && !tokenizer_adds_eos(t));
    unlink(config_path);
    assert_ok(tokenizer_write_json(t, json_path, &e), e);
    tokenizer_free(t);
    assert_ok(file_write(config_path, both, sizeof both - 1, &e), e);
    assert_ok(tokenizer_read_json(json_path, &t, &e), e);
    assert_true(tokenizer_adds_bos(t) && tokenizer_adds_eos(t));
    unlink(config_path);
    assert_ok(tokenizer_write_json(t, json_path, &e), e);
    assert_ok(tokenizer_read_json(json_path, &back, &e), e);
    assert_true(tokenizer_adds_bos(back) && tokenizer_adds_eos(back));
    assert_int_equal(tokenizer_bos(back), 1);
    assert_int_equal(tokenizer_eos(back), 2);
    tokenizer_free(back);
    tokenizer_free(t);
}

static void errors_name_what_and_where(void **state)
{
    (void)state;
    static const struct {
        const char *seed, *message;
    } cases[] = {
        {"bad-merge-unknown", "model.merges[0]: \"\xC3\xA9\xC3\xA9\" is not in the vocabulary"},
        {"bad-normalizer", "normalizer: \"BertNormalizer\" is not supported"},
        {"bad-pattern", "pre_tokenizer: \"Split\": the pattern ab(c: missing closing parenthesis, offset 4"},
        {"bad-pattern-set", "sets inside sets and intersections (&&) are not supported, offset 4"},
        {"bad-unigram-unknown", "model.unk_id: must be the id of a piece"},
        {"bad-byte-level-first", "pre_tokenizer: \"ByteLevel\" is supported as the last step only"},
        {"bad-no-byte", "the vocabulary has no token for byte 0x21 (\"!\")"},
        {"bad-id-twice", "have the same id 3"},
        {"bad-merge-twice", "the merge of \"h\" and \"e\" is given twice"},
        {"bad-truncated", "line 1, column"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tokenizer *t;
        struct error e;
        char path[128];
        snprintf(path, sizeof path, "tests/fuzz/corpus/tokenizer_json/%s.json", cases[i].seed);
        assert_int_equal(tokenizer_read_json(path, &t, &e), ERR_FORMAT);
        if (!strstr(e.message, cases[i].message) || strncmp(e.message, path, strlen(path)) != 0)
            fail_msg("%s: message is \"%s\"", path, e.message);
    }
}

static void seeds_replay(void **state)
{
    (void)state;
    struct path_list list = {0};
    struct error e = {0};
    size_t good = 0, bad = 0;
    assert_ok(dir_list("tests/fuzz/corpus/tokenizer_json", &list, &e), e);
    for (size_t i = 0; i < list.count; i++) {
        struct buffer b = {0};
        struct tokenizer *t;
        assert_ok(file_read(list.paths[i], &b, 1 << 20, &e), e);
        char *exact = mem_alloc(b.size, 1); /* its own size, for AddressSanitizer to watch */
        if (b.size)
            memcpy(exact, b.data, b.size);
        LLVMFuzzerTestOneInput((uint8_t *)exact, b.size);
        int code = tokenizer_parse_json(exact, b.size, &t, &e);
        const char *name = path_basename(list.paths[i]);
        if (strncmp(name, "good-", 5) == 0) {
            good++;
            assert_ok(code, e);
        } else if (strncmp(name, "bad-", 4) == 0) {
            bad++;
            if (code != ERR_FORMAT)
                fail_msg("%s: accepted", list.paths[i]);
        }
        tokenizer_free(t);
        mem_free(exact);
        buffer_free(&b);
    }
    path_list_free(&list);
    assert_true(good >= 6 && bad >= 25);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writing_and_reading_keeps_everything),
        cmocka_unit_test(sentencepiece_merges_and_falls_back_to_bytes),
        cmocka_unit_test(added_tokens_keep_their_ids_and_flags),
        cmocka_unit_test(nfc_composes_before_splitting),
        cmocka_unit_test(a_bad_config_is_refused),
        cmocka_unit_test(the_chat_template_is_carried),
        cmocka_unit_test(the_template_drives_bos_and_eos),
        cmocka_unit_test(errors_name_what_and_where),
        cmocka_unit_test(seeds_replay),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
