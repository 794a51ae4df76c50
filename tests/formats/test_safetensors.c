/* formats/safetensors: round trips in the reference writer's layout, every refusal with its
 * message. */
#include "base/buffer.h"
#include "base/file.h"
#include "base/memory.h"
#include "formats/safetensors.h"
#include "tests/test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static char path[] = "/tmp/linnet-safetensors-XXXXXX";

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

struct bytes {
    const void *data;
    size_t size;
};

static int copy(void *context, void *bytes, struct error *e)
{
    (void)e;
    const struct bytes *b = context;
    memcpy(bytes, b->data, b->size);
    return OK;
}

static int refuse(void *context, void *bytes, struct error *e)
{
    (void)context, (void)bytes;
    return error_set(e, ERR_IO, "the source is gone");
}

static const float f32[6] = {1, 2, 3, 4, 5, 6};
static const uint16_t f16[3] = {0x3c00, 0x4000, 0xc000};
static const int64_t i64[1] = {-5};

static struct safetensors_writer *sample_writer(void)
{
    static struct bytes a = {f32, sizeof f32}, b = {f16, sizeof f16}, c = {i64, sizeof i64};
    struct safetensors_writer *w = safetensors_writer_new();
    safetensors_put(w, "z.half", DTYPE_F16, 1, (size_t[]){3}, copy, &b);
    safetensors_put(w, "w", DTYPE_F32, 2, (size_t[]){2, 3}, copy, &a);
    safetensors_put(w, "a.brain", DTYPE_BF16, 1, (size_t[]){3}, copy, &b);
    safetensors_put(w, "quoted \"\xc3\xa9\"", DTYPE_F32, 2, (size_t[]){0, 4}, refuse, NULL);
    safetensors_put(w, "scalar", DTYPE_I64, 0, NULL, copy, &c);
    return w;
}

static void what_was_written_is_read(void **state)
{
    (void)state;
    struct error e;
    struct safetensors s;
    struct safetensors_writer *w = sample_writer();
    assert_ok(safetensors_writer_finish(w, path, &e), e);
    safetensors_writer_free(w);
    assert_ok(safetensors_open(path, &s, &e), e);
    assert_int_equal(s.n_tensors, 5);
    for (size_t i = 1; i < s.n_tensors; i++)
        assert_true(strcmp(s.tensors[i - 1].name, s.tensors[i].name) < 0);
    const struct safetensors_tensor *t = safetensors_find(&s, "w");
    assert_true(t->supported && t->type == DTYPE_F32 && t->n_dims == 2 && t->shape[0] == 2);
    assert_true(t->shape[1] == 3 && t->n_elements == 6 && t->n_bytes == 24);
    assert_string_equal(t->type_name, "F32");
    assert_int_equal((uintptr_t)t->data % 4, 0);
    assert_memory_equal(t->data, f32, sizeof f32);
    t = safetensors_find(&s, "z.half");
    assert_true(t->type == DTYPE_F16 && memcmp(t->data, f16, sizeof f16) == 0);
    t = safetensors_find(&s, "scalar");
    assert_true(t->n_dims == 0 && t->n_elements == 1 && memcmp(t->data, i64, 8) == 0);
    assert_int_equal(safetensors_find(&s, "quoted \"\xc3\xa9\"")->n_elements, 0);
    assert_null(safetensors_find(&s, "absent"));
    safetensors_close(&s);
}

static void the_layout_is_the_reference_writers(void **state)
{
    (void)state;
    struct error e;
    struct buffer b = {0};
    struct safetensors_writer *w = sample_writer();
    assert_ok(safetensors_writer_finish(w, path, &e), e);
    safetensors_writer_free(w);
    assert_ok(file_read(path, &b, 4096, &e), e);
    static const char expected[] =
        "{\"__metadata__\":{\"format\":\"pt\"},"
        "\"scalar\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]},"
        "\"quoted \\\"\xc3\xa9\\\"\":{\"dtype\":\"F32\",\"shape\":[0,4],\"data_offsets\":[8,8]},"
        "\"w\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[8,32]},"
        "\"a.brain\":{\"dtype\":\"BF16\",\"shape\":[3],\"data_offsets\":[32,38]},"
        "\"z.half\":{\"dtype\":\"F16\",\"shape\":[3],\"data_offsets\":[38,44]}}";
    size_t padded = (sizeof expected - 1 + 7) / 8 * 8;
    assert_int_equal((unsigned char)b.data[0] + 256 * b.data[1], padded);
    assert_memory_equal(b.data + 8, expected, sizeof expected - 1);
    for (size_t i = sizeof expected - 1; i < padded; i++)
        assert_int_equal(b.data[8 + i], ' ');
    assert_int_equal(b.size, 8 + padded + 44);
    buffer_free(&b);
}

static void a_failed_write_leaves_the_old_file(void **state)
{
    (void)state;
    struct error e;
    struct safetensors s;
    struct safetensors_writer *w = sample_writer();
    assert_ok(safetensors_writer_finish(w, path, &e), e);
    safetensors_put(w, "later", DTYPE_I32, 1, (size_t[]){4}, refuse, NULL);
    assert_int_equal(safetensors_writer_finish(w, path, &e), ERR_IO);
    assert_string_equal(e.message, "the source is gone");
    safetensors_writer_free(w);
    assert_ok(safetensors_open(path, &s, &e), e);
    assert_int_equal(s.n_tensors, 5);
    safetensors_close(&s);
    w = safetensors_writer_new(); /* a file without tensors is one too */
    assert_ok(safetensors_writer_finish(w, path, &e), e);
    safetensors_writer_free(w);
    assert_ok(safetensors_open(path, &s, &e), e);
    assert_int_equal(s.n_tensors, 0);
    assert_null(safetensors_find(&s, "w"));
    safetensors_close(&s);
}

/* In a process of its own, whose files may not grow beyond 100 bytes. */
static void a_full_disk_is_an_error(void **state)
{
    (void)state;
    struct error e;
    struct safetensors_writer *w = sample_writer();
    assert_ok(safetensors_writer_finish(w, path, &e), e);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){100, 100});
        int code = safetensors_writer_finish(w, path, &e);
        _exit(code == ERR_IO && strstr(e.message, path) && strstr(e.message, "too large") ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    safetensors_writer_free(w);
    struct safetensors s;
    assert_ok(safetensors_open(path, &s, &e), e);
    safetensors_close(&s);
}

/* An image with this header and n bytes of data, in an allocation of just its size. */
static int parse(const char *header, size_t n, struct safetensors *s, struct error *e)
{
    static unsigned char *image;
    free(image);
    size_t length = strlen(header);
    image = calloc(8 + length + n, 1);
    for (int i = 0; i < 8; i++)
        image[i] = (unsigned char)(length >> 8 * i);
    memcpy(image + 8, header, length);
    return safetensors_parse(image, 8 + length + n, s, e);
}

static void expect(int code, const struct error *e, const char *part)
{
    if (code != ERR_FORMAT)
        fail_msg("accepted, though it should say \"%s\"", part);
    if (!strstr(e->message, part) || strchr(e->message, '\n'))
        fail_msg("\"%s\" should say \"%s\" in one line", e->message, part);
}

#define ONE(dtype, shape, offsets)                                                                 \
    "{\"t\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static void bad_headers_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t n;
        const char *part;
    } cases[] = {
        {"[]", 0, "no JSON header"},
        {"{", 0, "not valid JSON"},
        {"{]", 0, "header: line 1, column 2: not valid JSON"},
        {"{} x", 0, "not valid JSON"},
        {"{\"a\xff\":1}", 0, "not valid JSON"},
        {"{\"t\":1,\"t\":2}", 0, "duplicate"},
        {"{\"a\\u0000\":1}", 0, "not valid JSON"},
        {"{\"t\":7}", 0, "tensor \"t\" must be an object"},
        {"{\"a\\nb\":7}", 0, "tensor \"a\\nb\" must be an object"},
        {"{\"__metadata__\":[]}", 0, "\"__metadata__\" must be an object"},
        {"{\"__metadata__\":{\"n\":1}}", 0, "\"n\" must be a string"},
        {"{\"t\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "\"dtype\" must be a string"},
        {ONE("\"F33\"", "[1]", "[0,4]"), 4, "unknown dtype \"F33\""},
        {ONE("\"f32\"", "[1]", "[0,4]"), 4, "unknown dtype \"f32\""},
        {ONE("\"F32\"", "1", "[0,4]"), 4, "\"shape\" must be an array"},
        {ONE("\"F32\"", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, "at most 8"},
        {ONE("\"F32\"", "[-1]", "[0,4]"), 4, "dimension 0 must be a whole number"},
        {ONE("\"F32\"", "[1.0]", "[0,4]"), 4, "dimension 0 must be"},
        {ONE("\"F32\"", "[9007199254740993]", "[0,4]"), 4, "dimension 0 must be"},
        {ONE("\"F32\"", "[99999999999999999999]", "[0,4]"), 4, "not valid JSON"},
        {ONE("\"F32\"", "[4294967296,4294967296]", "[0,0]"), 0, "too large"}, /* wraps to 0 */
        {ONE("\"F32\"", "[4503599627370496,4096]", "[0,0]"), 0, "too large"},
        {ONE("\"F32\"", "[4503599627370496,512]", "[0,0]"), 0, "do not take the 0 bytes"},
        {ONE("\"F32\"", "[1]", "[0]"), 4, "\"data_offsets\" must be"},
        {ONE("\"F32\"", "[1]", "[4,0]"), 4, "\"data_offsets\" must be"},
        {ONE("\"F32\"", "[1]", "[-4,0]"), 4, "\"data_offsets\" must be"},
        {ONE("\"F32\"", "[1]", "\"04\""), 4, "\"data_offsets\" must be"},
        {ONE("\"F32\"", "[2]", "[0,4]"), 4, "2 elements of F32 do not take the 4 bytes"},
        {ONE("\"F4\"", "[3]", "[0,1]"), 1, "do not take"},
        {ONE("\"F32\"", "[1]", "[0,4]"), 3,
         "ends at byte 4 of the data, but the file holds only 3"},
        {ONE("\"F32\"", "[1]", "[0,4]"), 5, "1 bytes follow the last tensor"},
        {ONE("\"F32\"", "[1]", "[4,8]"), 8, "starts at byte 4 of the data, after a gap"},
        {"{}", 3, "3 bytes follow"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[2,6]}}",
         6, "inside another tensor"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct safetensors s;
        struct error e = {0};
        expect(parse(cases[i].header, cases[i].n, &s, &e), &e, cases[i].part);
        assert_null(s.tensors);
    }
}

static void deep_json_is_refused(void **state)
{
    (void)state;
    enum { N = 100000 };
    char *deep = mem_alloc(N + 6, 1);
    memcpy(deep, "{\"t\":", 5);
    memset(deep + 5, '[', N);
    deep[N + 5] = 0;
    struct safetensors s;
    struct error e = {0};
    expect(parse(deep, 0, &s, &e), &e, "depth");
    mem_free(deep);
}

#define BYTES(text) text, sizeof text - 1

static void other_files_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *part;
    } cases[] = {
        {BYTES(""), "it is empty"},
        {BYTES("PK\3\4aaaaaaaaaaaaaaaaaa"), "PyTorch checkpoint (pickle)"},
        {BYTES("\x80\x02}q\0X\6\0\0\0"), "only safetensors are read"},
        {BYTES("GGUF\3\0\0\0\0\0\0\0\0\0\0\0"), "a GGUF file"},
        {BYTES("version https://git-lfs.github.com/spec/v1\noid sha256:"), "Git LFS pointer"},
        {BYTES("abc"), "not a safetensors file"},
        {BYTES("\x09\0\0\0\0\0\0\0{}"), "should be 9 bytes long but the file has only 2"},
        {BYTES("\xff\xff\xff\xff\xff\xff\xff\xff{}"), "cut short or damaged"},
        {BYTES("\xf9\xff\xff\xff\xff\xff\xff\xff{}"), "cut short or damaged"}, /* N + 8 wraps */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error e = {0};
        struct safetensors s;
        assert_ok(file_write(path, cases[i].bytes, cases[i].size, &e), e);
        expect(safetensors_open(path, &s, &e), &e, cases[i].part);
        assert_true(strncmp(e.message, path, strlen(path)) == 0);
    }
    struct safetensors s;
    struct error e;
    assert_int_equal(safetensors_open("/nonexistent/x", &s, &e), ERR_IO);
    assert_string_equal(e.message, "/nonexistent/x: No such file or directory");
}

static void odd_but_valid_files_are_read(void **state)
{
    (void)state;
    struct safetensors s;
    struct error e;
    /* A header of 128 bytes starts with 0x80 like a pickle; types we only carry; a shared place. */
    char header[129];
    snprintf(header, sizeof header, "%-128s",
             "{\"q\":{\"dtype\":\"F8_E4M3\",\"shape\":[3],\"data_offsets\":[0,3]},"
             "\"e\":{\"dtype\":\"F64\",\"shape\":[0],\"data_offsets\":[3,3]}}");
    assert_ok(parse(header, 3, &s, &e), e);
    const struct safetensors_tensor *t = safetensors_find(&s, "q");
    assert_true(!t->supported && t->n_bytes == 3);
    assert_string_equal(t->type_name, "F8_E4M3");
    safetensors_close(&s);
    /* Entries in any order, unknown members, half-byte elements. */
    assert_ok(parse("{\"b\":{\"dtype\":\"BOOL\",\"shape\":[2],\"data_offsets\":[2,4],\"x\":null},"
                    "\"a\":{\"data_offsets\":[0,2],\"shape\":[2,2],\"dtype\":\"F4\"}}   ",
                    4, &s, &e),
              e);
    assert_int_equal(safetensors_find(&s, "b")->data - safetensors_find(&s, "a")->data, 2);
    safetensors_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(the_layout_is_the_reference_writers),
        cmocka_unit_test(a_failed_write_leaves_the_old_file),
        cmocka_unit_test(a_full_disk_is_an_error),
        cmocka_unit_test(bad_headers_are_refused),
        cmocka_unit_test(deep_json_is_refused),
        cmocka_unit_test(other_files_are_named),
        cmocka_unit_test(odd_but_valid_files_are_read),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
