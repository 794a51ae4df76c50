/* The fuzzers' seeds again: which are adapters, and which are refused with one line. */
#include "lora/load.h"
#include "lora/peft.h"
#include "tests/fuzz/adapter_base.h"
#include "tests/test.h"

#include "base/file.h"

#include <string.h>

/* OK when it is an adapter of one of the models at least. */
static int read_adapter(const struct buffer *b, struct error *e)
{
    struct gguf g;
    int code = gguf_parse((const unsigned char *)b->data, b->size, &g, e);
    bool good = false;
    if (code)
        return code;
    for (size_t i = 0; i < ADAPTER_BASES; i++) {
        struct model m;
        struct lora_adapter a;
        struct error own;
        assert_ok(adapter_base(i, &m, &own), own);
        code = lora_read_gguf(&g, &m, &a, e);
        good |= code == OK;
        if (!code)
            lora_free(&a);
        model_free(&m);
    }
    gguf_close(&g);
    return good ? OK : code;
}

/* A line of configuration, then safetensors. */
static int read_peft(const struct buffer *b, struct error *e)
{
    const char *end = memchr(b->data, '\n', b->size);
    struct safetensors s;
    json_t *config = NULL;
    bool good = false;
    assert_non_null(end);
    assert_ok(json_parse(b->data, (size_t)(end - b->data), &config, e), *e);
    int code = safetensors_parse((const unsigned char *)end + 1, b->size - (size_t)(end + 1 - b->data), &s, e);
    for (size_t i = 0; i < ADAPTER_BASES && !code; i++) {
        struct model m;
        struct lora_adapter a;
        struct error own, why = {0};
        assert_ok(adapter_base(i, &m, &own), own);
        if (!lora_read_peft(config, &s, &m, &a, &why)) {
            good = true;
            lora_free(&a);
        } else {
            *e = why;
        }
        model_free(&m);
    }
    if (!code)
        safetensors_close(&s);
    json_decref(config);
    return good ? OK : e->code;
}

static int read_config(const struct buffer *b, struct error *e)
{
    struct peft_config c;
    json_t *root = NULL;
    int code = json_parse(b->data, b->size, &root, e);
    if (code)
        return code;
    code = peft_config_read(root, &c, e);
    peft_config_free(&c);
    json_decref(root);
    return code;
}

static void replay(const char *folder, int (*read)(const struct buffer *, struct error *), size_t at_least)
{
    struct path_list list = {0};
    struct error e = {0};
    assert_ok(dir_list(folder, &list, &e), e);
    assert_true(list.count >= at_least);
    for (size_t i = 0; i < list.count; i++) {
        struct buffer b = {0};
        assert_ok(file_read(list.paths[i], &b, 1 << 24, &e), e);
        bool good = strncmp(path_basename(list.paths[i]), "good-", 5) == 0;
        int code = read(&b, &e);
        if ((code == OK) != good || (code && (!e.message[0] || strchr(e.message, '\n'))))
            fail_msg("%s: %s", list.paths[i], code ? e.message : "was accepted");
        buffer_free(&b);
    }
    path_list_free(&list);
}

static void seeds(void **state)
{
    (void)state;
    replay("tests/fuzz/corpus/adapter", read_adapter, 12);
    replay("tests/fuzz/corpus/adapter_config", read_config, 16);
    replay("tests/fuzz/corpus/adapter_peft", read_peft, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(seeds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
