/* tokenizer.model: SentencePiece's ids, folders that hold one, refusals, and the fuzzer's seeds. */
#include "base/file.h"
#include "base/memory.h"
#include "tests/test.h"
#include "tokenizer/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
#include "tests/fuzz/fuzz_tokenizer_model.c"

static void encodes(const struct tokenizer *t, const char *text, size_t n, const int32_t *expected)
{
    struct tokens ids = {0};
    tokenizer_encode(t, text, strlen(text), true, &ids);
    assert_int_equal(ids.count, n);
    assert_memory_equal(ids.ids, expected, n * sizeof *expected);
    tokens_free(&ids);
}

static struct tokenizer *read_seed(const char *name)
{
    struct tokenizer *t;
    struct error e;
    char path[128];
    snprintf(path, sizeof path, "tests/fuzz/corpus/tokenizer_model/%s.model", name);
    assert_ok(tokenizer_read_sentencepiece(path, &t, &e), e);
    return t;
}

static void decodes(const struct tokenizer *t, size_t n, const int32_t *ids, const char *expected)
{
    struct buffer out = {0};
    buffer_append(&out, "", 0);
    tokenizer_decode(t, ids, n, false, &out);
    assert_string_equal(out.data, expected);
    buffer_free(&out);
}

/* Pieces: 0 <unk>, 1 <s>, 2 </s>, then with user-defined ones 3 <sep>, 4 aal, 5 "not used"; " a", ll,
 * lla, aa, ba; a space, a, l, e with an acute. Ids are SentencePiece's. */
static void bpe_merges_by_score(void **state)
{
    (void)state;
    struct tokenizer *t = read_seed("good-bpe"); /* bytes from 3, words from 259, letters from 264 */
    assert_int_equal(tokenizer_bos(t), 1);
    assert_int_equal(tokenizer_eos(t), 2);
    assert_true(tokenizer_adds_bos(t));
    encodes(t, "a lla  ab", 6, (int32_t[]){259, 264, 261, 264, 259, 3 + 'b'});
    encodes(t, "\xC3\xA9</s>", 3, (int32_t[]){264, 267, 2});
    decodes(t, 4, (int32_t[]){1, 259, 261, 3 + 'b'}, "allab");
    tokenizer_free(t);
}

static void user_defined_pieces_and_rules_hold(void **state)
{
    (void)state;
    struct tokenizer *t = read_seed("good-bpe-user"); /* A becomes a, B becomes bb */
    encodes(t, "  A<sep>aal  l ", 5, (int32_t[]){6, 3, 4, 11, 13});
    encodes(t, "B", 2, (int32_t[]){11, 0});
    encodes(t, "   ", 0, (int32_t[]){0});
    tokenizer_free(t);
}

static void unigram_takes_the_best_path(void **state)
{
    (void)state;
    struct tokenizer *t = read_seed("good-unigram"); /* words from 3, letters from 8 */
    assert_false(tokenizer_adds_bos(t));
    encodes(t, "a llaa", 4, (int32_t[]){3, 8, 4, 6});
    encodes(t, "qqa", 3, (int32_t[]){8, 0, 9}); /* unknown ones in a row are one */
    tokenizer_free(t);
    t = read_seed("good-unigram-bytes");
    encodes(t, "q", 2, (int32_t[]){264, 3 + 'q'});
    tokenizer_free(t);
}

static char folder[] = "/tmp/linnet-model-XXXXXX";

static void put(const char *name, const char *text, size_t n)
{
    struct error e;
    char *path = path_join(folder, name);
    assert_ok(file_write(path, text, n, &e), e);
    mem_free(path);
}

static void take_away(void)
{
    static const char *const names[] = {"tokenizer.model", "tokenizer.json", "tokenizer_config.json",
                                        "added_tokens.json", "special_tokens_map.json",
                                        "generation_config.json", "chat_template.jinja"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = path_join(folder, names[i]);
        unlink(path);
        mem_free(path);
    }
}

static void put_model(void)
{
    struct buffer b = {0};
    struct error e;
    assert_ok(file_read("tests/fuzz/corpus/tokenizer_model/good-bpe.model", &b, 1 << 20, &e), e);
    put("tokenizer.model", b.data, b.size);
    buffer_free(&b);
}

#define PUT(name, text) put(name, text, sizeof text - 1)

static void a_folder_adds_tokens_ends_and_a_template(void **state)
{
    (void)state;
    struct tokenizer *t;
    struct error e;
    put_model();
    PUT("added_tokens.json", "{\"<x>\": 268, \"<|im_end|>\": 270}");
    PUT("tokenizer_config.json", "{\"add_bos_token\": false, \"add_eos_token\": true, \"eos_token\": "
        "\"</s>\", \"added_tokens_decoder\": {\"270\": {\"content\": \"<|im_end|>\", \"special\": true, "
        "\"lstrip\": true}}, \"chat_template\": [{\"name\": \"tool\", \"template\": \"t\"}, "
        "{\"name\": \"default\", \"template\": \"{{ x }}\"}]}");
    PUT("special_tokens_map.json", "{\"pad_token\": {\"content\": \"<x>\"}}");
    PUT("generation_config.json", "{\"eos_token_id\": [2, 268, 99999]}");
    PUT("chat_template.jinja", "not this one");
    assert_ok(tokenizer_read_folder(folder, &t, &e), e);
    assert_int_equal(tokenizer_vocab_size(t), 271);
    assert_false(tokenizer_adds_bos(t));
    assert_true(tokenizer_adds_eos(t));
    assert_int_equal(tokenizer_pad(t), 268);
    assert_true(tokenizer_is_end(t, 2) && tokenizer_is_end(t, 268) && tokenizer_is_end(t, 270));
    assert_false(tokenizer_is_end(t, 1));
    assert_string_equal(tokenizer_chat_template(t), "{{ x }}");
    encodes(t, "a<x>a  <|im_end|>", 4, (int32_t[]){259, 268, 259, 270});
    tokenizer_free(t);
    PUT("tokenizer_config.json", "{}");
    assert_ok(tokenizer_read_folder(folder, &t, &e), e);
    assert_string_equal(tokenizer_chat_template(t), "not this one");
    tokenizer_free(t);
    PUT("added_tokens.json", "{\"<x>\": 5}");
    assert_int_equal(tokenizer_read_folder(folder, &t, &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, "\"<x>\" has the id 5, which is not the vocabulary's next"));
    take_away();
    assert_int_equal(tokenizer_read_folder(folder, &t, &e), ERR_IO);
    assert_non_null(strstr(e.message, "neither tokenizer.json nor tokenizer.model"));
}

/* Written as tokenizer.json, a model keeps its ids. */
static void writing_as_json_keeps_the_ids(void **state)
{
    (void)state;
    static const char *const names[] = {"good-bpe", "good-bpe-user", "good-bpe-no-prefix",
                                        "good-unigram", "good-unigram-bytes"};
    static const char text[] = " a lla  aab\xC3\xA9 qqAB <sep>\nll ";
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct tokenizer *t = read_seed(names[i]), *back;
        struct error e;
        struct tokens x = {0}, y = {0};
        char *path = path_join(folder, "tokenizer.json");
        int code = tokenizer_write_json(t, path, &e);
        if (code) { /* "ba" is made of a "b" that is no piece: no merge can say that */
            assert_non_null(strstr(e.message, "character that is no token"));
        } else {
            assert_ok(tokenizer_read_json(path, &back, &e), e);
            bool user = i == 1 || i == 4; /* behind <sep> the written one puts a space */
            size_t n = user ? 18 : sizeof text - 1;
            tokenizer_encode(t, text, n, false, &x);
            tokenizer_encode(back, text, n, false, &y);
            assert_int_equal(x.count, y.count);
            assert_memory_equal(x.ids, y.ids, x.count * sizeof *x.ids);
            if (i != 1 && i != 4) /* a piece that is not used is a token like others there */
                assert_int_equal(tokenizer_hash(back), tokenizer_hash(t));
            tokenizer_free(back);
        }
        tokens_free(&x);
        tokens_free(&y);
        mem_free(path);
        tokenizer_free(t);
    }
    take_away();
}

static void seeds_replay(void **state)
{
    (void)state;
    struct path_list list = {0};
    struct error e = {0};
    size_t good = 0, bad = 0;
    assert_ok(dir_list("tests/fuzz/corpus/tokenizer_model", &list, &e), e);
    for (size_t i = 0; i < list.count; i++) {
        struct buffer b = {0};
        struct tokenizer *t;
        assert_ok(file_read(list.paths[i], &b, 1 << 20, &e), e);
        unsigned char *exact = mem_alloc(b.size, 1); /* its own size, for AddressSanitizer */
        if (b.size)
            memcpy(exact, b.data, b.size);
        LLVMFuzzerTestOneInput(exact, b.size);
        int code = tokenizer_parse_sentencepiece(exact, b.size, &t, &e);
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
    assert_true(good >= 5 && bad >= 15);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bpe_merges_by_score),
        cmocka_unit_test(user_defined_pieces_and_rules_hold),
        cmocka_unit_test(unigram_takes_the_best_path),
        cmocka_unit_test(a_folder_adds_tokens_ends_and_a_template),
        cmocka_unit_test(writing_as_json_keeps_the_ids),
        cmocka_unit_test(seeds_replay),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
