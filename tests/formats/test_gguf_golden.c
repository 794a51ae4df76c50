/* formats/gguf on files that llama.cpp wrote (the golden models; skipped where they are missing).
 */
#include "base/file.h"
#include "base/memory.h"
#include "formats/gguf.h"
#include "tests/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[] = "/tmp/linnet-gguf-XXXXXX";

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

static const char *shared(void)
{
    const char *s = getenv("LINNET_SHARED");
    return s && *s ? s : "../shared";
}

static void golden_models_parse(void **state)
{
    (void)state;
    static const struct {
        const char *name, *tensor;
        enum dtype type;
    } models[] = {
        {"stories260K-f32", "token_embd.weight", DTYPE_F32},
        {"babyllama-Q4_0", "blk.0.ffn_up.weight", DTYPE_Q4_0},
        {"babyllama-Q8_0", "blk.0.ffn_up.weight", DTYPE_Q8_0},
        {"random256-BF16", "blk.0.ffn_up.weight", DTYPE_BF16},
        {"random256-Q4_K_M", "blk.0.ffn_up.weight", DTYPE_Q4_K},
        {"random256-Q6_K", "blk.0.ffn_up.weight", DTYPE_Q6_K},
    };
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        char *file = mem_printf("%s/golden/%s.gguf", shared(), models[i].name);
        struct gguf g;
        struct error e;
        if (!file_exists(file)) {
            printf("skipped: golden models parse (%s is missing)\n", file);
            mem_free(file);
            skip();
        }
        assert_ok(gguf_open(file, &g, &e), e);
        char *architecture = NULL;
        assert_ok(gguf_get_string(&g, "general.architecture", &architecture, &e), e);
        assert_string_equal(architecture, "llama");
        assert_int_equal(gguf_find_tensor(&g, models[i].tensor)->type, models[i].type);
        const struct gguf_kv *tokens = gguf_find(&g, "tokenizer.ggml.tokens");
        assert_int_equal(tokens->count, gguf_find_tensor(&g, "token_embd.weight")->dims[1]);
        mem_free(architecture);
        mem_free(file);
        gguf_close(&g);
    }
}

/* Values in a file may lie at any address. */
static void put_i32s(struct gguf_writer *w, const char *key, const struct gguf_kv *kv)
{
    int32_t *v = mem_alloc(kv->count, sizeof *v);
    memcpy(v, kv->data, kv->count * sizeof *v);
    gguf_put_i32s(w, key, v, kv->count);
    mem_free(v);
}

static void put_f32s(struct gguf_writer *w, const char *key, const struct gguf_kv *kv)
{
    float *v = mem_alloc(kv->count, sizeof *v);
    memcpy(v, kv->data, kv->count * sizeof *v);
    gguf_put_f32s(w, key, v, kv->count);
    mem_free(v);
}

static void put_again(struct gguf_writer *w, const struct gguf *g, const struct gguf_kv *kv)
{
    char *key = mem_string_n(kv->key.data, kv->key.size), *text = NULL;
    struct error e;
    bool flag = false;
    if (kv->type == GGUF_U32)
        gguf_put_u32(w, key, (uint32_t)gguf_array_int(kv, 0));
    else if (kv->type == GGUF_F32)
        gguf_put_f32(w, key, gguf_array_f32(kv, 0));
    else if (kv->type == GGUF_BOOL && gguf_get_bool(g, key, &flag, &e) == OK)
        gguf_put_bool(w, key, flag);
    else if (kv->type == GGUF_STRING && gguf_get_string(g, key, &text, &e) == OK)
        gguf_put_string(w, key, text);
    else if (kv->type == GGUF_ARRAY && kv->item_type == GGUF_STRING)
        gguf_put_strings(w, key, kv->strings, kv->count);
    else if (kv->type == GGUF_ARRAY && kv->item_type == GGUF_I32)
        put_i32s(w, key, kv);
    else if (kv->type == GGUF_ARRAY && kv->item_type == GGUF_F32)
        put_f32s(w, key, kv);
    else
        fail_msg("%s: type %d is not expected here", key, kv->type);
    mem_free(text);
    mem_free(key);
}

static int copy_tensor(void *context, void *bytes, struct error *e)
{
    (void)e;
    const struct gguf_tensor *t = context;
    memcpy(bytes, t->data, t->n_bytes);
    return OK;
}

/* llama.cpp's own files, read and written again, are the same to the last byte. */
static void a_golden_model_survives_rewriting(void **state)
{
    (void)state;
    char *file = mem_printf("%s/golden/random256-Q4_K_M.gguf", shared());
    struct gguf g;
    struct error e;
    if (!file_exists(file)) {
        printf("skipped: a golden model survives rewriting (%s is missing)\n", file);
        mem_free(file);
        skip();
    }
    assert_ok(gguf_open(file, &g, &e), e);
    struct gguf_writer *w = gguf_writer_new();
    for (size_t i = 0; i < g.n_kv; i++)
        put_again(w, &g, &g.kv[i]);
    for (size_t i = 0; i < g.n_tensors; i++) {
        const struct gguf_tensor *t = &g.tensors[i];
        char *name = mem_string_n(t->name.data, t->name.size);
        gguf_put_tensor(w, name, t->type, t->n_dims, t->dims, copy_tensor, (void *)t);
        mem_free(name);
    }
    assert_ok(gguf_writer_finish(w, path, &e), e);
    gguf_writer_free(w);
    struct file_map again;
    assert_ok(file_map(path, &again, &e), e);
    assert_int_equal(again.size, g.maps[0].size);
    assert_memory_equal(again.data, g.maps[0].data, again.size);
    file_unmap(&again);
    gguf_close(&g);
    mem_free(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_models_parse),
        cmocka_unit_test(a_golden_model_survives_rewriting),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
