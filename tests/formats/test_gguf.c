/* formats/gguf: what the writer writes, the reader reads; every malformed class has its message. */
#include "base/buffer.h"
#include "base/file.h"
#include "base/memory.h"
#include "formats/gguf.h"
#include "tests/test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
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

static int copy_floats(void *context, void *bytes, struct error *e)
{
    (void)e;
    memcpy(bytes, context, 3 * 5 * sizeof(float));
    return OK;
}

static int fill_block(void *context, void *bytes, struct error *e)
{
    (void)e;
    memset(bytes, *(int *)context, 36);
    return OK;
}

static int refuse(void *context, void *bytes, struct error *e)
{
    (void)context, (void)bytes;
    return error_set(e, ERR_IO, "the source is gone");
}

static float floats[15] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
static int fill = 0x5a;

static struct gguf_writer *sample_writer(void)
{
    struct gguf_writer *w = gguf_writer_new();
    gguf_put_string(w, "general.architecture", "llama");
    gguf_put_string(w, "empty", "");
    gguf_put_u16(w, "u16", 65535);
    gguf_put_u32(w, "u32", 4000000000u);
    gguf_put_u64(w, "u64", 1ull << 40);
    gguf_put_i32(w, "i32", -7);
    gguf_put_f32(w, "f32", 0.1f);
    gguf_put_bool(w, "yes", true);
    gguf_put_bool(w, "no", false);
    const struct gguf_string tokens[] = {{"<s>", 3}, {"", 0}, {"a\0b", 3}};
    gguf_put_strings(w, "tokens", tokens, 3);
    gguf_put_i32s(w, "types", (int32_t[]){3, -1}, 2);
    gguf_put_f32s(w, "scores", (float[]){-1.5f, 2, 0}, 3);
    gguf_put_i32s(w, "none", NULL, 0);
    gguf_put_tensor(w, "token_embd.weight", DTYPE_F32, 2, (size_t[]){5, 3}, copy_floats, floats);
    gguf_put_tensor(w, "blk.0.attn_q.weight", DTYPE_Q4_0, 3, (size_t[]){32, 1, 2}, fill_block,
                    &fill);
    return w;
}

static void what_was_written_is_read(void **state)
{
    (void)state;
    struct error e;
    struct gguf g;
    struct gguf_writer *w = sample_writer();
    assert_ok(gguf_writer_finish(w, path, &e), e);
    gguf_writer_free(w);
    assert_ok(gguf_open(path, &g, &e), e);
    assert_int_equal(g.version, 3);
    assert_int_equal(g.alignment, 32);
    assert_int_equal(g.n_kv, 13);
    char *s = NULL;
    size_t n = 1;
    double d = 7;
    bool yes = false, no = true;
    assert_ok(gguf_get_string(&g, "general.architecture", &s, &e), e);
    assert_string_equal(s, "llama");
    mem_free(s);
    assert_ok(gguf_get_string(&g, "empty", &s, &e), e);
    assert_string_equal(s, "");
    mem_free(s);
    assert_ok(gguf_get_size(&g, "u16", &n, &e), e);
    assert_int_equal(n, 65535);
    assert_ok(gguf_get_size(&g, "u32", &n, &e), e);
    assert_int_equal(n, 4000000000u);
    assert_ok(gguf_get_size(&g, "u64", &n, &e), e);
    assert_int_equal(n, 1ull << 40);
    assert_ok(gguf_get_size(&g, "absent", &n, &e), e);
    assert_int_equal(n, 1ull << 40);
    assert_ok(gguf_get_double(&g, "f32", &d, &e), e);
    assert_true(d == 0.1); /* its shortest decimal */
    assert_ok(gguf_get_bool(&g, "yes", &yes, &e), e);
    assert_ok(gguf_get_bool(&g, "no", &no, &e), e);
    assert_true(yes && !no);
    const struct gguf_kv *kv = gguf_find(&g, "tokens");
    assert_true(kv->type == GGUF_ARRAY && kv->item_type == GGUF_STRING && kv->count == 3);
    assert_int_equal(kv->strings[2].size, 3);
    assert_memory_equal(kv->strings[2].data, "a\0b", 3);
    kv = gguf_find(&g, "types");
    assert_true(gguf_array_int(kv, 0) == 3 && gguf_array_int(kv, 1) == -1);
    kv = gguf_find(&g, "scores");
    assert_true(gguf_array_f32(kv, 0) == -1.5f && kv->count == 3);
    assert_int_equal(gguf_find(&g, "none")->count, 0);
    assert_int_equal(gguf_array_int(gguf_find(&g, "i32"), 0), -7);

    const struct gguf_tensor *t = gguf_find_tensor(&g, "token_embd.weight");
    assert_true(t->type == DTYPE_F32 && t->n_dims == 2 && t->dims[0] == 5 && t->dims[1] == 3);
    assert_true(t->dims[2] == 1 && t->n_elements == 15 && t->n_bytes == 60);
    assert_int_equal((uintptr_t)t->data % 32, 0);
    assert_memory_equal(t->data, floats, sizeof floats);
    t = gguf_find_tensor(&g, "blk.0.attn_q.weight");
    assert_true(t->n_bytes == 36 && t->data[35] == 0x5a);
    assert_ptr_equal(t->data, gguf_find_tensor(&g, "token_embd.weight")->data + 64);
    assert_int_equal(g.maps[0].size % 32, 0); /* the last tensor is padded too */
    assert_null(gguf_find_tensor(&g, "blk.0.attn_q"));
    gguf_close(&g);
}

static void wrong_requests_are_named(void **state)
{
    (void)state;
    struct error e;
    struct gguf g;
    struct gguf_writer *w = sample_writer();
    assert_ok(gguf_writer_finish(w, path, &e), e);
    gguf_writer_free(w);
    assert_ok(gguf_open(path, &g, &e), e);
    size_t n;
    double d;
    bool b;
    char *s = NULL;
    assert_int_equal(gguf_get_size(&g, "i32", &n, &e), ERR_FORMAT);
    assert_string_equal(e.message, "key \"i32\" is out of range");
    assert_int_equal(gguf_get_size(&g, "f32", &n, &e), ERR_FORMAT);
    assert_string_equal(e.message, "key \"f32\" must be a whole number");
    assert_int_equal(gguf_get_size(&g, "types", &n, &e), ERR_FORMAT);
    assert_int_equal(gguf_get_size(&g, "yes", &n, &e), ERR_FORMAT);
    assert_int_equal(gguf_get_double(&g, "u32", &d, &e), ERR_FORMAT);
    assert_string_equal(e.message, "key \"u32\" must be a floating-point number");
    assert_int_equal(gguf_get_bool(&g, "u32", &b, &e), ERR_FORMAT);
    assert_int_equal(gguf_get_string(&g, "tokens", &s, &e), ERR_FORMAT);
    assert_string_equal(e.message, "key \"tokens\" must be a string");
    assert_null(s);
    gguf_close(&g);
}

static void a_failed_write_leaves_the_old_file(void **state)
{
    (void)state;
    struct error e;
    struct gguf g;
    struct gguf_writer *w = sample_writer();
    assert_ok(gguf_writer_finish(w, path, &e), e);
    gguf_put_tensor(w, "later", DTYPE_F16, 1, (size_t[]){4}, refuse, NULL);
    assert_int_equal(gguf_writer_finish(w, path, &e), ERR_IO);
    assert_string_equal(e.message, "the source is gone");
    assert_int_equal(gguf_writer_finish(w, "/nonexistent/x.gguf", &e), ERR_IO);
    assert_non_null(strstr(e.message, "/nonexistent/x.gguf"));
    gguf_writer_free(w);
    assert_ok(gguf_open(path, &g, &e), e);
    assert_int_equal(g.n_tensors, 2);
    gguf_close(&g);
    char *temporary = file_temporary(path);
    assert_false(file_exists(temporary));
    mem_free(temporary);
}

/* In a process of its own, whose files may not grow beyond 100 bytes. */
static void a_full_disk_is_an_error(void **state)
{
    (void)state;
    struct error e;
    struct gguf_writer *w = sample_writer();
    assert_ok(gguf_writer_finish(w, path, &e), e);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){100, 100});
        int code = gguf_writer_finish(w, path, &e);
        _exit(code == ERR_IO && strstr(e.message, path) && strstr(e.message, "too large") ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    gguf_writer_free(w);
    struct gguf s;
    assert_ok(gguf_open(path, &s, &e), e);
    gguf_close(&s);
}

/* A GGUF image built by hand, to be built wrongly. */
static void u32(struct buffer *b, uint32_t v)
{
    buffer_append(b, &v, 4);
}

static void u64(struct buffer *b, uint64_t v)
{
    buffer_append(b, &v, 8);
}

static void string(struct buffer *b, const char *s)
{
    u64(b, strlen(s));
    buffer_string(b, s);
}

static void header(struct buffer *b, uint64_t n_tensors, uint64_t n_kv)
{
    buffer_clear(b);
    buffer_string(b, "GGUF");
    u32(b, 3);
    u64(b, n_tensors);
    u64(b, n_kv);
}

static void tensor(struct buffer *b, const char *name, uint64_t ne0, uint64_t ne1, uint32_t type,
                   uint64_t offset)
{
    string(b, name);
    u32(b, 2);
    u64(b, ne0);
    u64(b, ne1);
    u32(b, type);
    u64(b, offset);
}

static void data(struct buffer *b, size_t n)
{
    while (b->size % 32)
        buffer_byte(b, 0);
    for (; n; n--)
        buffer_byte(b, 1);
}

/* Copied into an allocation of just its size, so that a sanitizer sees any read outside. */
static int parse(const struct buffer *b, struct gguf *g, struct error *e)
{
    static unsigned char *copy;
    free(copy);
    copy = malloc(b->size ? b->size : 1);
    memcpy(copy, b->data, b->size);
    int code = gguf_parse(copy, b->size, g, e);
    if (code) {
        assert_true(e->message[0] && e->code == ERR_FORMAT && !strchr(e->message, '\n'));
        assert_null(g->kv);
    }
    return code;
}

static void refused(const struct buffer *b, const char *part)
{
    struct gguf g;
    struct error e = {0};
    if (parse(b, &g, &e) == OK)
        fail_msg("accepted, though it should say \"%s\"", part);
    if (!strstr(e.message, part))
        fail_msg("\"%s\" should say \"%s\"", e.message, part);
}

static void bad_headers_are_refused(void **state)
{
    (void)state;
    struct buffer b = {0};
    buffer_string(&b, "");
    refused(&b, "empty");
    buffer_string(&b, "PK\3\4");
    refused(&b, "not a GGUF file");
    buffer_clear(&b);
    buffer_string(&b, "tjggxxxxxxxx");
    refused(&b, "before GGUF");
    header(&b, 0, 0);
    b.data[4] = 1;
    refused(&b, "version 1");
    memcpy(b.data + 4, "\0\0\0\3", 4);
    refused(&b, "big-endian");
    memcpy(b.data + 4, "\4\0\0\0", 4);
    refused(&b, "version 4");
    header(&b, 1 << 20, 0);
    refused(&b, "at most 1000000");
    header(&b, 1000, 0);
    refused(&b, "only 8 bytes follow");
    header(&b, 0, UINT64_MAX);
    refused(&b, "the number of keys is 18446744073709551615, at most 100000");
    header(&b, 0, 99999);
    refused(&b, "offset 16: the number of keys is 99999, but only 0 bytes follow");
    for (size_t n = 4; n < 24; n++) {
        header(&b, 0, 0);
        b.size = n;
        refused(&b, "cut short");
    }
    buffer_free(&b);
}

static void bad_keys_are_refused(void **state)
{
    (void)state;
    struct buffer b = {0};
    header(&b, 0, 1);
    u64(&b, 1ull << 63), buffer_string(&b, "abcdefgh");
    refused(&b, "offset 24: a key is 9223372036854775808 bytes long");
    header(&b, 0, 1);
    string(&b, ""), u32(&b, 4), u32(&b, 1);
    refused(&b, "an empty key");
    header(&b, 0, 1);
    string(&b, "kk"), u32(&b, 13), u32(&b, 1);
    refused(&b, "offset 34: key \"kk\": unknown value type 13");
    header(&b, 0, 2);
    for (int i = 0; i < 2; i++)
        string(&b, "twice"), u32(&b, 4), u32(&b, 1);
    refused(&b, "offset 45: key \"twice\" appears twice");
    header(&b, 0, 1);
    string(&b, "a\n\"\x80"), u32(&b, 99), u32(&b, 1);
    refused(&b, "key \"a???\"");
    header(&b, 0, 1);
    string(&b, "s"), u32(&b, 8), u64(&b, (16 << 20) + 1);
    refused(&b, "at most 16777216");
    header(&b, 0, 1);
    string(&b, "s"), u32(&b, 8), u64(&b, 3), buffer_string(&b, "ab");
    refused(&b, "offset 45: key \"s\" needs 3 bytes but the file ends after 2");
    header(&b, 0, 1);
    string(&b, "array"), u32(&b, 9), u32(&b, 9), u64(&b, 1);
    refused(&b, "arrays of arrays");
    header(&b, 0, 1);
    string(&b, "array"), u32(&b, 9), u32(&b, 77), u64(&b, 1);
    refused(&b, "unknown type of array items");
    header(&b, 0, 1);
    string(&b, "array"), u32(&b, 9), u32(&b, 0), u64(&b, (64 << 20) + 1);
    refused(&b, "at most 67108864");
    header(&b, 0, 1);
    string(&b, "array"), u32(&b, 9), u32(&b, 10), u64(&b, 2), u64(&b, 1);
    refused(&b, "needs 16 bytes");
    header(&b, 0, 1);
    string(&b, "array"), u32(&b, 9), u32(&b, 8), u64(&b, 3), u64(&b, 0), u64(&b, 0);
    refused(&b, "3 strings do not fit");
    header(&b, 0, 1);
    string(&b, "array"), u32(&b, 9), u32(&b, 8), u64(&b, 2), u64(&b, 0), u64(&b, 1);
    refused(&b, "needs 1 bytes");
    buffer_free(&b);
}

static void bad_alignment_is_refused(void **state)
{
    (void)state;
    struct buffer b = {0};
    const uint32_t bad[] = {0, 1, 4, 33, 48, 2 << 20, 0x80000000u};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        header(&b, 0, 1);
        string(&b, "general.alignment"), u32(&b, GGUF_U32), u32(&b, bad[i]);
        refused(&b, "general.alignment");
    }
    header(&b, 0, 1);
    string(&b, "general.alignment"), u32(&b, GGUF_U64), u64(&b, 32);
    refused(&b, "must be a u32");
    struct gguf g;
    struct error e;
    header(&b, 1, 1);
    string(&b, "general.alignment"), u32(&b, GGUF_U32), u32(&b, 64);
    tensor(&b, "t", 4, 1, DTYPE_F32, 0);
    while (b.size % 64)
        buffer_byte(&b, 0);
    buffer_append(&b, (float[]){1, 2, 3, 4}, 16);
    assert_ok(parse(&b, &g, &e), e);
    float f[4];
    memcpy(f, g.tensors[0].data, 16);
    assert_true(f[3] == 4 && g.alignment == 64);
    gguf_close(&g);
    buffer_free(&b);
}

static void bad_tensors_are_refused(void **state)
{
    (void)state;
    struct buffer b = {0};
    const struct {
        uint64_t ne0, ne1;
        uint32_t type;
        uint64_t offset;
        const char *part;
    } cases[] = {
        {0, 1, 0, 0, "tensor \"t\": dimension 0 is 0"},
        {4, 0, 0, 0, "dimension 1 is 0"},
        {1ull << 32, 1ull << 32, 0, 0, "dimension 1 is 4294967296"}, /* product wraps to 0 */
        {1ull << 62, 1, 0, 0, "does not fit memory"},                /* bytes wrap to 0 */
        {1ull << 61, 1, 0, 0, "reach past the end"},
        {UINT64_MAX, 1, DTYPE_I8, 0, "reach past the end"},
        {32, 1, 4, 0, "type 4, which linnet does not know"}, /* Q4_2, removed from ggml */
        {32, 1, 0xffffffff, 0, "does not know"},
        {33, 1, DTYPE_Q4_0, 0, "no multiple of the 32 elements in a block of q4_0"},
        {32, 8, DTYPE_Q4_K, 0, "no multiple of the 256"}, /* 256 elements, but not in a row */
        {4, 1, 0, 8, "no multiple of the alignment 32"},
        {4, 1, 0, 1ull << 40, "reach past the end of the file (64 bytes of data)"},
        {4, 1, 0, UINT64_MAX - 31, "reach past the end"}, /* offset + size wraps */
        {17, 1, 0, 0, "reach past the end"},
        {16, 1, 0, 32, "reach past the end"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        header(&b, 1, 0);
        tensor(&b, "t", cases[i].ne0, cases[i].ne1, cases[i].type, cases[i].offset);
        data(&b, 64);
        refused(&b, cases[i].part);
    }
    for (uint32_t n_dims = 0; n_dims <= 5; n_dims += 5) {
        header(&b, 1, 0);
        string(&b, "t"), u32(&b, n_dims);
        for (int i = 0; i < 5; i++)
            u64(&b, 1);
        u32(&b, 0), u64(&b, 0);
        data(&b, 64);
        refused(&b, "dimensions, 1 to 4 are allowed");
    }
    header(&b, 1, 0);
    tensor(&b, "", 4, 1, 0, 0), data(&b, 64);
    refused(&b, "without a name");
    header(&b, 1, 0);
    tensor(&b, "a name of sixty-four bytes is one more than llama.cpp can take..", 4, 1, 0, 0);
    refused(&b, "64 bytes long, at most 63");
    header(&b, 2, 0);
    tensor(&b, "t", 4, 1, 0, 0), tensor(&b, "t", 4, 1, 0, 32), data(&b, 64);
    refused(&b, "tensor \"t\" appears twice");
    header(&b, 2, 0);
    tensor(&b, "later", 4, 1, 0, 32), tensor(&b, "long", 9, 1, 0, 0), data(&b, 64);
    refused(&b, "tensors \"long\" and \"later\" overlap");
    header(&b, 1, 0);
    tensor(&b, "t", 4, 1, 0, 0);
    refused(&b, "tensor data needs");
    buffer_free(&b);
}

static void every_truncation_is_detected(void **state)
{
    (void)state;
    struct error e;
    struct gguf g;
    struct gguf_writer *w = sample_writer();
    assert_ok(gguf_writer_finish(w, path, &e), e);
    gguf_writer_free(w);
    struct buffer b = {0};
    assert_ok(file_read(path, &b, 1 << 20, &e), e);
    size_t last = b.size - 64 + 36; /* where the last tensor's data ends */
    for (b.size = last - 1; b.size > 4; b.size--)
        refused(&b, "cut short");
    b.size = last; /* only padding missing */
    assert_ok(parse(&b, &g, &e), e);
    gguf_close(&g);
    assert_int_equal(truncate(path, 100), 0);
    assert_int_equal(gguf_open(path, &g, &e), ERR_FORMAT);
    assert_true(strncmp(e.message, path, strlen(path)) == 0);
    buffer_free(&b);
}

static void many_names_stay_quick(void **state)
{
    (void)state;
    enum { N = 50000 };
    struct buffer b = {0};
    struct gguf g;
    struct error e;
    header(&b, N, N);
    char name[32];
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "key.%d", i);
        string(&b, name), u32(&b, GGUF_U8), buffer_byte(&b, (char)i);
    }
    for (int i = 0; i < N; i++) { /* stored in reverse */
        snprintf(name, sizeof name, "tensor.%d", i);
        tensor(&b, name, 8, 1, 0, (uint64_t)(N - 1 - i) * 32);
    }
    data(&b, N * 32);
    assert_ok(parse(&b, &g, &e), e);
    assert_int_equal(gguf_array_int(gguf_find(&g, "key.49999"), 0), 49999 & 255);
    assert_ptr_equal(gguf_find_tensor(&g, "tensor.0")->data,
                     gguf_find_tensor(&g, "tensor.49999")->data + (N - 1) * 32);
    gguf_close(&g);
    buffer_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(wrong_requests_are_named),
        cmocka_unit_test(a_failed_write_leaves_the_old_file),
        cmocka_unit_test(a_full_disk_is_an_error),
        cmocka_unit_test(bad_headers_are_refused),
        cmocka_unit_test(bad_keys_are_refused),
        cmocka_unit_test(bad_alignment_is_refused),
        cmocka_unit_test(bad_tensors_are_refused),
        cmocka_unit_test(every_truncation_is_detected),
        cmocka_unit_test(many_names_stay_quick),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
