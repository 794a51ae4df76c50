/* formats/hdf5_file: round trips, every class of refusal, damage, full disks, h5py as witness. */
#include "base/buffer.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "formats/hdf5_file.h"
#include "tests/test.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[] = "/tmp/linnet-hdf5-XXXXXX";
static char path[256], other[256];

static int make_directory(void **state)
{
    (void)state;
    if (!mkdtemp(directory))
        return -1;
    snprintf(path, sizeof path, "%s/a.h5", directory);
    snprintf(other, sizeof other, "%s/b.h5", directory);
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    unlink(path);
    unlink(other);
    return rmdir(directory); /* fails when a temporary file was left behind */
}

static const float weights[6] = {1.5f, -2, 0, 3.25f, 1e-30f, 7};
static const uint16_t tokens[5] = {1, 65535, 3, 4, 5};

static const uint16_t halves[3] = {0x3c00, 0xc100, 0x7bff}; /* 1, -2.5, 65504 */

static void write_sample(const char *where)
{
    struct error e;
    struct hdf5_file *f;
    struct hdf5_stream *s;
    assert_ok(hdf5_create(where, &f, &e), e);
    assert_ok(hdf5_put_string(f, "config", "hidden_size: 64\nname: \xc3\xa9t\xc3\xa9\n", &e), e);
    assert_ok(hdf5_put_u64(f, "step", 1, &e), e);
    assert_ok(hdf5_put_u64(f, "step", UINT64_MAX, &e), e);
    assert_ok(hdf5_put_f64(f, "loss", 0.1, &e), e);
    assert_ok(hdf5_write(f, "model/layer/w", HDF5_F32, 2, (size_t[]){2, 3}, weights, &e), e);
    assert_ok(hdf5_write(f, "model/one", HDF5_F64, 0, NULL, &(double){2.5}, &e), e);
    assert_ok(hdf5_write(f, "model/none", HDF5_I32, 1, (size_t[]){0}, NULL, &e), e);
    assert_ok(hdf5_write(f, "wide", HDF5_I64, 1, (size_t[]){2}, (int64_t[]){-1, 1ll << 40}, &e), e);
    assert_ok(hdf5_write(f, "half", HDF5_F16, 1, (size_t[]){3}, halves, &e), e);
    assert_ok(hdf5_stream_open(f, "tokens", HDF5_U16, 5, &s, &e), e);
    assert_ok(hdf5_stream_append(s, tokens, 2, &e), e);
    assert_ok(hdf5_stream_append(s, tokens + 2, 0, &e), e);
    assert_ok(hdf5_stream_append(s, tokens + 2, 3, &e), e);
    assert_ok(hdf5_stream_finish(s, &e), e);
    assert_ok(hdf5_commit(f, &e), e);
}

static void what_was_written_is_read(void **state)
{
    (void)state;
    write_sample(path);
    struct error e;
    struct hdf5_file *f;
    assert_ok(hdf5_open(path, &f, &e), e);
    char *text;
    uint64_t step;
    double loss, one;
    assert_ok(hdf5_get_string(f, "config", &text, &e), e);
    assert_string_equal(text, "hidden_size: 64\nname: \xc3\xa9t\xc3\xa9\n");
    mem_free(text);
    assert_ok(hdf5_get_u64(f, "step", &step, &e), e);
    assert_true(step == UINT64_MAX);
    assert_ok(hdf5_get_f64(f, "loss", &loss, &e), e);
    assert_true(loss == 0.1);
    assert_true(hdf5_has_attribute(f, "loss") && !hdf5_has_attribute(f, "gain"));

    int n_dims;
    size_t dims[8];
    assert_ok(hdf5_dims(f, "model/layer/w", &n_dims, dims, &e), e);
    assert_true(n_dims == 2 && dims[0] == 2 && dims[1] == 3);
    float w[6];
    assert_ok(hdf5_read(f, "model/layer/w", HDF5_F32, 6, w, &e), e);
    assert_memory_equal(w, weights, sizeof w);
    assert_ok(hdf5_read(f, "model/one", HDF5_F64, 1, &one, &e), e);
    assert_true(one == 2.5);
    assert_ok(hdf5_read(f, "model/none", HDF5_I32, 0, NULL, &e), e);
    uint32_t t[5];
    assert_ok(hdf5_read(f, "tokens", HDF5_U32, 5, t, &e), e); /* widened */
    assert_int_equal(t[1], 65535);
    float h[3];
    assert_ok(hdf5_read(f, "half", HDF5_F32, 3, h, &e), e);
    assert_true(h[0] == 1 && h[1] == -2.5f && h[2] == 65504);
    assert_ok(hdf5_read_range(f, "half", HDF5_F32, 1, 2, h, &e), e);
    assert_true(h[0] == -2.5f && h[1] == 65504);
    uint16_t stored[3];
    assert_ok(hdf5_read(f, "half", HDF5_F16, 3, stored, &e), e);
    assert_memory_equal(stored, halves, sizeof stored);
    uint16_t range[2];
    assert_ok(hdf5_read_range(f, "tokens", HDF5_U16, 3, 2, range, &e), e);
    assert_memory_equal(range, tokens + 3, sizeof range);
    assert_ok(hdf5_read_range(f, "tokens", HDF5_U16, 5, 0, range, &e), e);
    assert_true(hdf5_has(f, "tokens") && !hdf5_has(f, "model") && !hdf5_has(f, "model/x/y"));
    const char *all[] = {"model/layer/w", "model/one", "model/none", "wide", "tokens", "half"};
    for (size_t i = 0; i < 6; i++) {
        assert_true(hdf5_has_checksum(f, all[i]));
        assert_ok(hdf5_verify(f, all[i], &e), e);
    }
    hdf5_close(f);
}

static void collect(void *context, const char *name, const char *type, int n_dims,
                    const size_t dims[])
{
    buffer_printf(context, "%s:%s:%d:%zu ", name, type, n_dims, n_dims ? dims[0] : 1);
}

static void datasets_are_listed_in_order(void **state)
{
    (void)state;
    write_sample(path);
    struct error e;
    struct hdf5_file *f;
    assert_ok(hdf5_open(path, &f, &e), e);
    struct buffer list = {0};
    assert_ok(hdf5_each(f, collect, &list, &e), e);
    assert_string_equal(list.data,
                        "half:f16:1:3 model/layer/w:f32:2:2 model/none:i32:1:0 model/one:f64:0:1 "
                        "tokens:u16:1:5 wide:i64:1:2 ");
    buffer_free(&list);
    hdf5_close(f);
}

static void located_bytes_can_be_mapped(void **state)
{
    (void)state;
    write_sample(path);
    struct error e;
    struct hdf5_file *f;
    assert_ok(hdf5_open(path, &f, &e), e);
    uint64_t at;
    size_t n;
    struct file_map map;
    assert_ok(file_map(path, &map, &e), e);
    assert_ok(hdf5_locate(f, "tokens", HDF5_U16, &at, &n, &e), e);
    assert_true(n == 5 && at % 64 == 0);
    assert_memory_equal(map.data + at, tokens, sizeof tokens);
    assert_ok(hdf5_locate(f, "model/layer/w", HDF5_F32, &at, &n, &e), e);
    assert_true(n == 6 && at % 64 == 0);
    assert_memory_equal(map.data + at, weights, sizeof weights);
    assert_ok(hdf5_locate(f, "model/none", HDF5_I32, &at, &n, &e), e);
    assert_int_equal(n, 0);
    assert_int_equal(hdf5_locate(f, "tokens", HDF5_U32, &at, &n, &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, "dataset \"tokens\" is not of type u32"));
    file_unmap(&map);
    hdf5_close(f);
}

static void same_content_gives_the_same_bytes(void **state)
{
    (void)state;
    write_sample(path);
    sleep(1); /* HDF5 would record the time */
    write_sample(other);
    struct error e;
    struct file_map a, b;
    assert_ok(file_map(path, &a, &e), e);
    assert_ok(file_map(other, &b, &e), e);
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.data, b.data, a.size);
    file_unmap(&a);
    file_unmap(&b);
}

static void expect(int code, int wanted, const struct error *e, const char *part)
{
    assert_int_equal(code, wanted);
    if (!strstr(e->message, part) || strchr(e->message, '\n'))
        fail_msg("message \"%s\" should say \"%s\" in one line", e->message, part);
}

/* A string longer than the heap it lies in: HDF5 1.10 copies it and crashes. */
static void what_crashes_the_library_is_refused(void **state)
{
    (void)state;
    write_sample(path);
    struct error e;
    struct buffer bytes = {0};
    assert_ok(file_read(path, &bytes, 1 << 24, &e), e);
    char *heap = memmem(bytes.data, bytes.size, "GCOL", 4);
    assert_non_null(heap);
    memset(heap + 24, 0xFF, 8); /* the size of the heap's first object */
    assert_ok(file_write(path, bytes.data, bytes.size, &e), e);
    buffer_free(&bytes);
    struct hdf5_file *f;
    expect(hdf5_open(path, &f, &e), ERR_FORMAT, &e, "this HDF5 file is damaged");
    assert_null(f);
}

static void wrong_requests_are_named(void **state)
{
    (void)state;
    write_sample(path);
    struct error e;
    struct hdf5_file *f;
    assert_ok(hdf5_open(path, &f, &e), e);
    uint64_t u;
    double d;
    char *s = NULL;
    float w[8];
    uint16_t t[8];
    int n_dims;
    size_t dims[8];
    expect(hdf5_get_u64(f, "gain", &u, &e), ERR_FORMAT, &e, "attribute \"gain\" is missing");
    assert_non_null(strstr(e.message, path));
    expect(hdf5_get_u64(f, "loss", &u, &e), ERR_FORMAT, &e, "must be a whole number");
    expect(hdf5_get_u64(f, "config", &u, &e), ERR_FORMAT, &e, "must be a whole number");
    expect(hdf5_get_f64(f, "config", &d, &e), ERR_FORMAT, &e, "must be a number");
    expect(hdf5_get_string(f, "step", &s, &e), ERR_FORMAT, &e, "must be a string");
    assert_null(s);
    expect(hdf5_dims(f, "absent", &n_dims, dims, &e), ERR_FORMAT, &e, "\"absent\" is missing");
    expect(hdf5_dims(f, "model", &n_dims, dims, &e), ERR_FORMAT, &e, "\"model\" is missing");
    expect(hdf5_read(f, "model/layer/w", HDF5_F32, 7, w, &e), ERR_FORMAT, &e,
           "has 6 elements, expected 7");
    expect(hdf5_read(f, "wide", HDF5_U16, 2, t, &e), ERR_FORMAT, &e, "a value does not fit u16");
    expect(hdf5_read(f, "model/layer/w", HDF5_U16, 6, t, &e), ERR_FORMAT, &e,
           "a value does not fit u16");
    expect(hdf5_read_range(f, "tokens", HDF5_U16, 4, 2, t, &e), ERR_FORMAT, &e, "2 from 4 on");
    expect(hdf5_read_range(f, "tokens", HDF5_U16, SIZE_MAX, 2, t, &e), ERR_FORMAT, &e, "asked for");
    expect(hdf5_read_range(f, "model/layer/w", HDF5_F32, 0, 1, w, &e), ERR_FORMAT, &e,
           "has 2 dimensions");
    hdf5_close(f);
}

static void bad_files_are_refused(void **state)
{
    (void)state;
    struct error e;
    struct hdf5_file *f;
    expect(hdf5_open("/nonexistent/x.h5", &f, &e), ERR_IO, &e,
           "/nonexistent/x.h5: No such file or directory");
    expect(hdf5_open(directory, &f, &e), ERR_IO, &e, "is a directory");
    expect(hdf5_create("/nonexistent/x.h5", &f, &e), ERR_IO, &e,
           "/nonexistent/x.h5: cannot create: No such file or directory");
    assert_ok(file_write(path, "", 0, &e), e);
    expect(hdf5_open(path, &f, &e), ERR_FORMAT, &e, "not an HDF5 file");
    assert_ok(file_write(path, "PK 1234567890 this is no HDF5", 28, &e), e);
    expect(hdf5_open(path, &f, &e), ERR_FORMAT, &e, "not an HDF5 file");

    write_sample(path);
    struct buffer whole = {0};
    assert_ok(file_read(path, &whole, 1 << 20, &e), e);
    for (size_t cut = 9; cut < whole.size; cut += whole.size / 7) {
        assert_ok(file_write(path, whole.data, cut, &e), e);
        expect(hdf5_open(path, &f, &e), ERR_FORMAT, &e, "damaged or cut short");
        assert_null(f);
    }
    buffer_free(&whole);
}

/* Flips one byte of a dataset and of nothing else. */
static void damage_is_detected(void **state)
{
    (void)state;
    write_sample(path);
    struct error e;
    struct hdf5_file *f;
    uint64_t at;
    size_t n;
    assert_ok(hdf5_open(path, &f, &e), e);
    assert_ok(hdf5_locate(f, "model/layer/w", HDF5_F32, &at, &n, &e), e);
    hdf5_close(f);
    struct buffer whole = {0};
    assert_ok(file_read(path, &whole, 1 << 20, &e), e);
    whole.data[at + 9] ^= 4;
    assert_ok(file_write(path, whole.data, whole.size, &e), e);
    buffer_free(&whole);
    float w[6];
    uint16_t t[5];
    assert_ok(hdf5_open(path, &f, &e), e);
    expect(hdf5_read(f, "model/layer/w", HDF5_F32, 6, w, &e), ERR_FORMAT, &e,
           "the file is damaged");
    expect(hdf5_verify(f, "model/layer/w", &e), ERR_FORMAT, &e, "dataset \"model/layer/w\"");
    assert_ok(hdf5_read(f, "tokens", HDF5_U16, 5, t, &e), e);
    assert_ok(hdf5_verify(f, "tokens", &e), e);
    hdf5_close(f);
}

static void files_do_not_disturb_each_other(void **state)
{
    (void)state;
    write_sample(path);
    unlink(other);
    struct error e;
    struct hdf5_file *a, *b, *c;
    float w[6];
    assert_ok(hdf5_open(path, &a, &e), e);
    assert_ok(hdf5_create(path, &b, &e), e); /* replaces what is being read */
    assert_ok(hdf5_create(other, &c, &e), e);
    assert_ok(hdf5_write(b, "x", HDF5_F32, 1, (size_t[]){6}, weights, &e), e);
    assert_ok(hdf5_write(c, "y", HDF5_F32, 1, (size_t[]){6}, weights, &e), e);
    assert_ok(hdf5_read(b, "x", HDF5_F32, 6, w, &e), e); /* a file being created can be read */
    assert_memory_equal(w, weights, sizeof w);
    assert_ok(hdf5_commit(b, &e), e);
    assert_ok(hdf5_verify(a, "model/layer/w", &e), e);
    hdf5_close(c);
    assert_false(file_exists(other));
    assert_ok(hdf5_open(path, &b, &e), e);
    assert_true(hdf5_has(b, "x") && !hdf5_has(b, "tokens") && hdf5_has(a, "tokens"));
    hdf5_close(b);
    hdf5_close(a);
}

static void unfinished_files_leave_no_trace(void **state)
{
    (void)state;
    write_sample(path);
    struct error e;
    struct hdf5_file *f;
    struct hdf5_stream *s;
    assert_ok(hdf5_create(path, &f, &e), e);
    assert_ok(hdf5_write(f, "x", HDF5_F32, 1, (size_t[]){6}, weights, &e), e);
    hdf5_close(f);
    assert_ok(hdf5_create(path, &f, &e), e);
    assert_ok(hdf5_stream_open(f, "x", HDF5_F32, 6, &s, &e), e);
    assert_ok(hdf5_stream_append(s, weights, 5, &e), e);
    expect(hdf5_stream_finish(s, &e), ERR_FORMAT, &e, "only 5 of 6 elements");
    expect(hdf5_commit(f, &e), ERR_FORMAT, &e, "incomplete");
    assert_ok(hdf5_create(path, &f, &e), e);
    assert_ok(hdf5_write(f, "x", HDF5_F32, 1, (size_t[]){6}, weights, &e), e);
    expect(hdf5_write(f, "x", HDF5_F32, 1, (size_t[]){6}, weights, &e), ERR_FORMAT, &e,
           "dataset \"x\": cannot create");
    hdf5_close(f);
    assert_ok(hdf5_open(path, &f, &e), e); /* the sample is still there */
    assert_ok(hdf5_verify(f, "tokens", &e), e);
    hdf5_close(f);
}

/* A long text and many bytes: beyond the 64 KB of an object header, and across blocks. */
static void large_contents_survive(void **state)
{
    (void)state;
    enum { N = 3000001, TEXT = 300000 };
    struct error e;
    struct hdf5_file *f;
    uint32_t *x = mem_alloc(N, sizeof *x);
    char *text = mem_zero(TEXT + 1, 1), *back;
    memset(text, 'y', TEXT);
    for (uint32_t i = 0; i < N; i++)
        x[i] = i * 2654435761u;
    assert_ok(hdf5_create(path, &f, &e), e);
    assert_ok(hdf5_put_string(f, "text", text, &e), e);
    assert_ok(hdf5_write(f, "x", HDF5_U32, 2, (size_t[]){N / 3, 3}, x, &e), e);
    assert_ok(hdf5_commit(f, &e), e);
    assert_ok(hdf5_open(path, &f, &e), e);
    assert_ok(hdf5_get_string(f, "text", &back, &e), e);
    assert_string_equal(back, text);
    assert_ok(hdf5_verify(f, "x", &e), e);
    uint32_t *y = mem_alloc(N / 3 * 3, sizeof *y);
    assert_ok(hdf5_read(f, "x", HDF5_U32, N / 3 * 3, y, &e), e);
    assert_memory_equal(x, y, N / 3 * 3 * sizeof *y);
    hdf5_close(f);
    mem_free(x), mem_free(y), mem_free(text), mem_free(back);
}

/* Writes until the disk is full, in a process of its own: whatever HDF5 does at exit must be quiet
 * and orderly. Exits 0 when the error was clear and the old file stands. */
static int fill(const char *target, bool stream)
{
    enum { N = 100000 };
    static float x[N];
    struct error e = {0};
    struct hdf5_file *f;
    struct hdf5_stream *s;
    int code = hdf5_create(target, &f, &e);
    if (!code && stream) {
        code = hdf5_stream_open(f, "x", HDF5_F32, 20 * N, &s, &e);
        for (int i = 0; !code && i < 20; i++)
            code = hdf5_stream_append(s, x, N, &e);
        if (hdf5_stream_finish(s, code ? NULL : &e) == OK)
            return 2;
    } else if (!code) {
        for (int i = 0; !code && i < 400; i++) {
            char name[32];
            snprintf(name, sizeof name, "group%d/x", i);
            code = hdf5_write(f, name, HDF5_F32, 1, (size_t[]){N / 20}, x, &e);
        }
        if (code && hdf5_write(f, "later", HDF5_F32, 1, (size_t[]){1}, x, NULL) == OK)
            return 3;
    }
    struct error at_commit = {0};
    if (hdf5_commit(f, &at_commit) == OK)
        return 4;
    if (at_commit.code != ERR_IO || strchr(at_commit.message, '\n'))
        return 5;
    if (!strstr(at_commit.message, "No space left") && !strstr(at_commit.message, "too large"))
        return 6;
    if (hdf5_open(target, &f, &e) || hdf5_verify(f, "tokens", &e))
        return 7;
    hdf5_close(f);
    write_sample(target); /* the library still works */
    return 0;
}

static void in_a_process(const char *target, bool stream, rlim_t limit)
{
    char said[300];
    snprintf(said, sizeof said, "%s/said", directory);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        if (limit) {
            signal(SIGXFSZ, SIG_IGN);
            setrlimit(RLIMIT_FSIZE, &(struct rlimit){limit, limit});
        }
        if (!freopen(said, "w", stderr))
            _exit(99);
        exit(fill(target, stream));
    }
    int status;
    waitpid(child, &status, 0);
    struct error e;
    uint64_t bytes;
    assert_ok(file_size(said, &bytes, &e), e);
    unlink(said);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(bytes, 0); /* nothing on stderr */
}

static void a_full_disk_is_one_clear_error(void **state)
{
    (void)state;
    write_sample(path);
    in_a_process(path, false, 1000000);
    in_a_process(path, true, 1000000);
    char disk[256], target[300];
    snprintf(disk, sizeof disk, "%s/disk", directory);
    mkdir(disk, 0700);
    if (mount("tmpfs", disk, "tmpfs", 0, "size=1m") != 0) {
        rmdir(disk);
        printf("skipped: a full file system (mounting one needs root)\n");
        return;
    }
    snprintf(target, sizeof target, "%s/a.h5", disk);
    write_sample(target);
    in_a_process(target, false, 0);
    in_a_process(target, true, 0);
    umount(disk);
    rmdir(disk);
}

static bool have_h5py(void)
{
    return system("/usr/bin/python3 -c 'import h5py' >/dev/null 2>&1") == 0;
}

static void h5py_reads_our_files(void **state)
{
    (void)state;
    if (!have_h5py()) {
        printf("skipped: h5py reads our files (no h5py)\n");
        skip();
    }
    write_sample(path);
    char *command = mem_printf(
        "/usr/bin/python3 -c \"import h5py, numpy as np; f = h5py.File('%s')\n"
        "assert f.attrs['config'] == 'hidden_size: 64\\nname: \\u00e9t\\u00e9\\n'\n"
        "assert f.attrs['step'] == 2**64 - 1 and f.attrs['loss'] == 0.1\n"
        "w = f['model/layer/w'][...]\n"
        "assert w.dtype == np.float32 and w.shape == (2, 3) and w[1, 0] == 3.25\n"
        "assert f['model/one'][()] == 2.5 and f['model/none'].shape == (0,)\n"
        "assert f['half'].dtype == np.float16 and list(f['half']) == [1, -2.5, 65504]\n"
        "assert list(f['tokens']) == [1, 65535, 3, 4, 5] and f['tokens'].dtype == np.uint16\n"
        "assert f['tokens'].attrs['xxh64'] == 0x%016llx\n\"",
        path, (unsigned long long)hash64(tokens, sizeof tokens, 0));
    int status = system(command);
    mem_free(command);
    assert_int_equal(status, 0);
}

static void we_read_h5py_files(void **state)
{
    (void)state;
    if (!have_h5py()) {
        printf("skipped: we read h5py's files (no h5py)\n");
        skip();
    }
    char *command =
        mem_printf("/usr/bin/python3 -c \"import h5py, numpy as np; f = h5py.File('%s', 'w')\n"
                   "f['ids'] = [1, 2, 300]\n" /* int64 */
                   "f['half'] = np.array([1, -np.inf, np.nan, 0.5], np.float16)\n"
                   "f['big'] = np.array([1, 2], '>f4')\n"
                   "f.create_dataset('zip', data=np.zeros((64, 1000), 'f4'), compression='gzip')\n"
                   "f.create_dataset('sparse', shape=(1 << 50,), chunks=(1024,), dtype='f4')\n"
                   "f.create_dataset('empty', shape=(1 << 40,), dtype='f4')\n"
                   "f['text'] = 'hello'; f['flag'] = np.array([True, False])\n"
                   "f['elsewhere'] = h5py.ExternalLink('other.h5', 'x'); f['ring'] = f\n"
                   "f.attrs['fixed'] = np.bytes_(b'abc'); f.attrs['vlen'] = 'xyz'\n"
                   "f.attrs['n'] = 5; f.attrs['minus'] = -5; f.attrs['many'] = [1, 2]\n\"",
                   path);
    assert_int_equal(system(command), 0);
    mem_free(command);
    struct error e;
    struct hdf5_file *f;
    assert_ok(hdf5_open(path, &f, &e), e);
    uint32_t ids[3];
    uint8_t small[3];
    float x[4];
    assert_ok(hdf5_read(f, "ids", HDF5_U32, 3, ids, &e), e);
    assert_int_equal(ids[2], 300);
    expect(hdf5_read(f, "ids", HDF5_U8, 3, small, &e), ERR_FORMAT, &e, "does not fit u8");
    assert_ok(hdf5_read(f, "half", HDF5_F32, 4, x, &e), e);
    assert_true(x[0] == 1 && isinf(x[1]) && isnan(x[2]) && x[3] == 0.5f);
    assert_ok(hdf5_read(f, "big", HDF5_F32, 2, x, &e), e);
    assert_true(x[1] == 2);
    float *zip = mem_alloc(64000, sizeof *zip);
    assert_ok(hdf5_read(f, "zip", HDF5_F32, 64000, zip, &e), e);
    assert_true(zip[63999] == 0);
    mem_free(zip);
    int n_dims;
    size_t dims[8], n;
    uint64_t at, u;
    expect(hdf5_locate(f, "zip", HDF5_F32, &at, &n, &e), ERR_FORMAT, &e, "contiguous");
    expect(hdf5_verify(f, "ids", &e), ERR_FORMAT, &e, "has no checksum");
    expect(hdf5_dims(f, "sparse", &n_dims, dims, &e), ERR_FORMAT, &e, "are stored");
    expect(hdf5_dims(f, "empty", &n_dims, dims, &e), ERR_FORMAT, &e, "but only 0 are stored");
    expect(hdf5_read(f, "text", HDF5_F32, 1, x, &e), ERR_FORMAT, &e, "does not hold numbers");
    expect(hdf5_read(f, "flag", HDF5_F32, 2, x, &e), ERR_FORMAT, &e, "does not hold numbers");
    assert_false(hdf5_has(f, "elsewhere"));
    char *s;
    assert_ok(hdf5_get_string(f, "fixed", &s, &e), e);
    assert_string_equal(s, "abc");
    mem_free(s);
    assert_ok(hdf5_get_string(f, "vlen", &s, &e), e);
    assert_string_equal(s, "xyz");
    mem_free(s);
    assert_ok(hdf5_get_u64(f, "n", &u, &e), e);
    assert_int_equal(u, 5);
    expect(hdf5_get_u64(f, "minus", &u, &e), ERR_FORMAT, &e, "must not be negative");
    expect(hdf5_get_u64(f, "many", &u, &e), ERR_FORMAT, &e, "a single value");
    hdf5_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(datasets_are_listed_in_order),
        cmocka_unit_test(located_bytes_can_be_mapped),
        cmocka_unit_test(same_content_gives_the_same_bytes),
        cmocka_unit_test(what_crashes_the_library_is_refused),
        cmocka_unit_test(wrong_requests_are_named),
        cmocka_unit_test(bad_files_are_refused),
        cmocka_unit_test(damage_is_detected),
        cmocka_unit_test(files_do_not_disturb_each_other),
        cmocka_unit_test(unfinished_files_leave_no_trace),
        cmocka_unit_test(large_contents_survive),
        cmocka_unit_test(a_full_disk_is_one_clear_error),
        cmocka_unit_test(h5py_reads_our_files),
        cmocka_unit_test(we_read_h5py_files),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
