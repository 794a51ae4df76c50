/* formats/safetensors on directories: what is written in several files is read as one container,
 * nothing but what the index says is accepted, and other kinds of checkpoints are named. */
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

static char directory[] = "/tmp/linnet-shards-XXXXXX";

static int make_directory(void **state)
{
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static char *in_directory(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static int empty_directory(void **state)
{
    (void)state;
    struct path_list list;
    struct error e;
    if (dir_list(directory, &list, &e))
        return -1;
    for (size_t i = 0; i < list.count; i++)
        unlink(list.paths[i]);
    path_list_free(&list);
    return 0;
}

static int remove_directory(void **state)
{
    return empty_directory(state) ? -1 : rmdir(directory);
}

/* Tensor i: i + 1 floats, all of value i. */
enum { TENSORS = 7 };
static const char *const names[TENSORS] = {"e", "b", "g", "a", "f", "c", "d"};
static float offset;

static int fill(void *context, void *bytes, struct error *e)
{
    (void)e;
    size_t i = (size_t)((const char *const *)context - names);
    for (size_t k = 0; k <= i; k++)
        ((float *)bytes)[k] = (float)i + offset;
    return OK;
}

static int refuse(void *context, void *bytes, struct error *e)
{
    (void)context, (void)bytes;
    return error_set(e, ERR_IO, "the source is gone");
}

static struct safetensors_writer *sample_writer(void)
{
    struct safetensors_writer *w = safetensors_writer_new();
    for (size_t i = 0; i < TENSORS; i++)
        safetensors_put(w, names[i], DTYPE_F32, 1, (size_t[]){i + 1}, fill, (void *)&names[i]);
    return w;
}

static void assert_sample(const struct safetensors *s, float at_zero)
{
    assert_int_equal(s->n_tensors, TENSORS);
    for (size_t i = 1; i < TENSORS; i++)
        assert_true(strcmp(s->tensors[i - 1].name, s->tensors[i].name) < 0);
    for (size_t i = 0; i < TENSORS; i++) {
        const struct safetensors_tensor *t = safetensors_find(s, names[i]);
        assert_true(t && t->n_elements == i + 1);
        for (size_t k = 0; k <= i; k++) {
            float v;
            memcpy(&v, t->data + 4 * k, 4);
            assert_true(v == (float)i + at_zero);
        }
    }
    assert_null(safetensors_find(s, "h"));
}

static void write_sample(size_t max_bytes)
{
    struct error e;
    struct safetensors_writer *w = sample_writer();
    assert_ok(safetensors_writer_finish_directory(w, directory, max_bytes, &e), e);
    safetensors_writer_free(w);
}

/* The directory's files, without their folder, separated by spaces. */
static void assert_files(const char *expected)
{
    struct path_list list;
    struct error e;
    struct buffer b = {0};
    assert_ok(dir_list(directory, &list, &e), e);
    for (size_t i = 0; i < list.count; i++)
        buffer_printf(&b, "%s%s", i ? " " : "", path_basename(list.paths[i]));
    assert_string_equal(b.data ? b.data : "", expected);
    buffer_free(&b);
    path_list_free(&list);
}

static void assert_reads(size_t n_maps, float at_zero)
{
    struct safetensors s;
    struct error e;
    assert_ok(safetensors_open_directory(directory, &s, &e), e);
    assert_int_equal(s.n_maps, n_maps);
    assert_sample(&s, at_zero);
    safetensors_close(&s);
    assert_int_equal(s.n_maps, 0);
}

#define SHARD(i, n) "model-0000" #i "-of-0000" #n ".safetensors"

static void shards_are_as_full_as_they_may_be(void **state)
{
    (void)state;
    struct error e;
    struct buffer b = {0};
    write_sample(24); /* 4 + 8 + 12 bytes, then 16, 20, 24, and 28, which is too large for any */
    assert_files(SHARD(1, 5) " " SHARD(2, 5) " " SHARD(3, 5) " " SHARD(4, 5) " " SHARD(5, 5)
                 " model.safetensors.index.json");
    assert_reads(5, 0);
    assert_ok(file_read(in_directory(SAFETENSORS_INDEX), &b, 4096, &e), e);
    assert_string_equal(b.data, "{\n"
                                "  \"metadata\": {\n"
                                "    \"total_size\": 112\n"
                                "  },\n"
                                "  \"weight_map\": {\n"
                                "    \"a\": \"" SHARD(2, 5) "\",\n"
                                "    \"b\": \"" SHARD(1, 5) "\",\n"
                                "    \"c\": \"" SHARD(4, 5) "\",\n"
                                "    \"d\": \"" SHARD(5, 5) "\",\n"
                                "    \"e\": \"" SHARD(1, 5) "\",\n"
                                "    \"f\": \"" SHARD(3, 5) "\",\n"
                                "    \"g\": \"" SHARD(1, 5) "\"\n"
                                "  }\n"
                                "}\n");
    buffer_free(&b);
}

static void what_fits_one_file_is_in_one(void **state)
{
    (void)state;
    static const size_t limits[] = {0, 112, 5000000000};
    for (size_t i = 0; i < 3; i++) {
        write_sample(limits[i]);
        assert_files("model.safetensors");
        assert_reads(1, 0);
    }
    struct error e; /* and nothing at all */
    struct safetensors s;
    struct safetensors_writer *w = safetensors_writer_new();
    assert_ok(safetensors_writer_finish_directory(w, directory, 1, &e), e);
    safetensors_writer_free(w);
    assert_ok(safetensors_open_directory(directory, &s, &e), e);
    assert_int_equal(s.n_tensors, 0);
    safetensors_close(&s);
}

static void old_weights_are_replaced(void **state)
{
    (void)state;
    struct error e;
    assert_ok(file_write(in_directory("model-notes.safetensors"), "kept", 4, &e), e);
    for (int i = 0; i < 2; i++) {
        offset = (float)i;
        write_sample(0);
        assert_files("model-notes.safetensors model.safetensors");
        assert_reads(1, offset);
        offset += 10;
        write_sample(50);
        assert_files(SHARD(1, 3) " " SHARD(2, 3) " " SHARD(3, 3)
                     " model-notes.safetensors model.safetensors.index.json");
        assert_reads(3, offset);
        offset += 10;
        write_sample(100);
        assert_files(SHARD(1, 2) " " SHARD(2, 2)
                     " model-notes.safetensors model.safetensors.index.json");
        assert_reads(2, offset);
    }
    offset = 0;
}

static void a_failed_write_leaves_the_old_weights(void **state)
{
    (void)state;
    struct error e;
    write_sample(50);
    offset = 1;
    struct safetensors_writer *w = sample_writer();
    safetensors_put(w, "later", DTYPE_F32, 1, (size_t[]){4}, refuse, NULL);
    assert_int_equal(safetensors_writer_finish_directory(w, directory, 50, &e), ERR_IO);
    assert_string_equal(e.message, "the source is gone");
    assert_files(SHARD(1, 3) " " SHARD(2, 3) " " SHARD(3, 3) " model.safetensors.index.json");
    assert_reads(3, 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) { /* a full disk: no file may grow beyond 150 bytes */
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){150, 150});
        int code = safetensors_writer_finish_directory(w, directory, 50, &e);
        _exit(code == ERR_IO && strstr(e.message, "too large") ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    safetensors_writer_free(w);
    offset = 0;
    assert_files(SHARD(1, 3) " " SHARD(2, 3) " " SHARD(3, 3) " model.safetensors.index.json");
    assert_reads(3, 0);
}

static void refused(const char *part, const char *second)
{
    struct safetensors s;
    struct error e = {0};
    int code = safetensors_open_directory(directory, &s, &e);
    if (!code)
        fail_msg("accepted, though it should say \"%s\"", part);
    if (!strstr(e.message, part) || !strstr(e.message, second) || strchr(e.message, '\n') ||
        strncmp(e.message, directory, strlen(directory)) != 0)
        fail_msg("\"%s\" should say \"%s\" and \"%s\" in one line", e.message, part, second);
    assert_true(s.n_tensors == 0 && s.n_maps == 0 && !s.tensors && !s.maps);
}

static void write_text(const char *name, const char *text)
{
    struct error e;
    assert_ok(file_write(in_directory(name), text, strlen(text), &e), e);
}

/* Two shards of sample data (e b g a f c / d), and an index with one place changed. */
static void index_says(const char *tensor, const char *file)
{
    struct buffer b = {0};
    write_sample(84);
    buffer_string(&b, "{\"weight_map\":{");
    for (size_t i = 0; i < TENSORS; i++) {
        const char *right = i < 6 ? SHARD(1, 2) : SHARD(2, 2);
        bool changed = tensor && strcmp(tensor, names[i]) == 0;
        if (!changed || file)
            buffer_printf(&b, "\"%s\":\"%s\",", names[i], changed ? file : right);
    }
    if (tensor && strlen(tensor) > 1)
        buffer_printf(&b, "\"%s\":\"%s\",", tensor, file);
    b.data[b.size - 1] = '}';
    buffer_string(&b, "}");
    write_text(SAFETENSORS_INDEX, b.data);
    buffer_free(&b);
}

static void shards_must_be_as_the_index_says(void **state)
{
    (void)state;
    char copy[512];
    index_says(NULL, NULL);
    assert_reads(2, 0);
    index_says("d", SHARD(1, 2));
    refused(SHARD(1, 2), "lacks tensor \"d\", which the index places in it");
    index_says("g", SHARD(2, 2));
    refused(SHARD(1, 2) ": tensor \"g\" is here, but", "says that it is in " SHARD(2, 2));
    index_says("g", NULL);
    refused(SHARD(1, 2) ": tensor \"g\" is not in", "model.safetensors.index.json");
    index_says("new", SHARD(2, 2));
    refused(SHARD(2, 2) " lacks tensor \"new\"", "places in it");
    index_says("new", "absent.safetensors");
    refused("/absent.safetensors: this file is missing, though", "names it (1 of 3)");
    index_says("d", "../../x.safetensors");
    refused(SAFETENSORS_INDEX ": tensor \"d\": \"../../x.safetensors\" is a path", "");
    index_says(NULL, NULL);
    snprintf(copy, sizeof copy, "%s", in_directory(SHARD(2, 2)));
    assert_int_equal(truncate(copy, 90), 0);
    refused(SHARD(2, 2) ": ", "cut short or damaged");
    unlink(copy);
    refused(SHARD(2, 2) ": this file is missing", "(2 of 2); fetch it too");
    /* The same tensors in a second file, under a name of its own. */
    index_says("new", "copy.safetensors");
    snprintf(copy, sizeof copy, "%s", in_directory("copy.safetensors"));
    assert_int_equal(link(in_directory(SHARD(2, 2)), copy), 0);
    refused("copy.safetensors: tensor \"d\" is here, but", "says that it is in " SHARD(2, 2));
}

static void other_checkpoints_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *file, *part;
    } cases[] = {
        {"pytorch_model.bin", "save_pretrained('.', safe_serialization=True)"},
        {"weights.bin", "can run code when it is loaded"},
        {"model.pth", "PyTorch checkpoint"},
        {"consolidated.00.pth", "in Meta's own layout"},
        {"consolidated.safetensors", "in Mistral's own layout"},
        {"model-00001-of-00002.safetensors", "model.safetensors.index.json is missing"},
        {"adapter_model.safetensors", "an adapter, not a model"},
        {"weights.safetensors", "call it model.safetensors"},
        {"m.Q4_0.gguf", "a GGUF file; give its path"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_text(cases[i].file, "x");
        refused(cases[i].file, cases[i].part);
        unlink(in_directory(cases[i].file));
    }
    write_text("notes.txt", "x");
    refused("this directory holds no weights (model.safetensors or model.safetensors.index.json)",
            "");
    struct safetensors s;
    struct error e;
    assert_int_equal(safetensors_open_directory("/nonexistent", &s, &e), ERR_IO);
    assert_string_equal(e.message, "/nonexistent: No such file or directory");
    assert_int_equal(safetensors_open_directory(in_directory("notes.txt"), &s, &e), ERR_IO);
    assert_non_null(strstr(e.message, "notes.txt: Not a directory"));
}

/* Thousands of tensors: the search must not be linear. */
static void many_tensors_are_found(void **state)
{
    (void)state;
    enum { MANY = 3000 };
    static char many[MANY][24];
    struct error e;
    struct safetensors s;
    struct safetensors_writer *w = safetensors_writer_new();
    for (size_t i = 0; i < MANY; i++) {
        snprintf(many[i], sizeof many[i], "layer.%zu.weight", i * 7919 % MANY);
        safetensors_put(w, many[i], DTYPE_F32, 1, (size_t[]){1}, fill, (void *)&names[0]);
    }
    assert_ok(safetensors_writer_finish_directory(w, directory, 4 * 1000, &e), e);
    safetensors_writer_free(w);
    assert_ok(safetensors_open_directory(directory, &s, &e), e);
    assert_true(s.n_tensors == MANY && s.n_maps == 3);
    for (size_t i = 0; i < MANY; i++)
        assert_string_equal(safetensors_find(&s, many[i])->name, many[i]);
    safetensors_close(&s);
}

static void too_many_files_are_refused(void **state)
{
    (void)state;
    for (size_t n = 10000; n <= 10001; n++) {
        struct safetensors_index index;
        struct error e;
        struct buffer b = {0};
        buffer_string(&b, "{\"weight_map\":{");
        for (size_t i = 0; i < n; i++)
            buffer_printf(&b, "%s\"%zu\":\"%zu.safetensors\"", i ? "," : "", i, i);
        buffer_string(&b, "}}");
        int code = safetensors_index_parse(b.data, b.size, &index, &e);
        assert_int_equal(code, n == 10000 ? OK : ERR_FORMAT);
        assert_true(code || (index.n_files == n && index.n_tensors == n));
        safetensors_index_free(&index);
        buffer_free(&b);
    }
    struct safetensors_index index; /* too large: not even looked at */
    struct error e;
    assert_int_equal(safetensors_index_parse("{}", 100000001, &index, &e), ERR_FORMAT);
    assert_string_equal(e.message, "an index of 100000001 bytes, at most 100000000 are allowed");
}

#define IN_EMPTY_DIRECTORY(test) cmocka_unit_test_teardown(test, empty_directory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_EMPTY_DIRECTORY(shards_are_as_full_as_they_may_be),
        IN_EMPTY_DIRECTORY(what_fits_one_file_is_in_one),
        IN_EMPTY_DIRECTORY(old_weights_are_replaced),
        IN_EMPTY_DIRECTORY(a_failed_write_leaves_the_old_weights),
        IN_EMPTY_DIRECTORY(shards_must_be_as_the_index_says),
        IN_EMPTY_DIRECTORY(other_checkpoints_are_named),
        cmocka_unit_test(too_many_files_are_refused),
        IN_EMPTY_DIRECTORY(many_tensors_are_found),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
