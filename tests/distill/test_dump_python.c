/* Dumps between linnet and Python: distill/dump.py, and the examples of docs/teacher-dumps.md, which use h5py alone. */
#include "base/file.h"
#include "base/memory.h"
#include "distill/dump.h"
#include "tests/distill/dump_sample.h"
#include "tests/directory.h"

#include <stdio.h>

static bool have_h5py(void)
{
    if (system("/usr/bin/python3 -c 'import h5py, numpy' >/dev/null 2>&1") == 0)
        return true;
    printf("skipped: dumps from and to Python (no h5py)\n");
    return false;
}

/* Runs `body` with dump, np, h5py, the folder as d, and a way to expect errors. */
static int python(const char *body)
{
    struct error e;
    char *script = mem_printf(
        "import sys, io, os\nsys.dont_write_bytecode = True\nsys.path.insert(0, 'distill')\nimport dump, h5py\nimport numpy as np\n"
        "d = '%s/'\nrng = np.random.default_rng(1)\n"
        "def refused(text, f):\n"
        "    try:\n        f()\n"
        "    except dump.DumpError as error:\n"
        "        assert text in str(error), '%%s instead of %%s' %% (error, text)\n"
        "        return\n"
        "    raise SystemExit('accepted, though: ' + text)\n%s",
        directory, body);
    char *path = path_join(directory, "script.py"), *command = mem_printf("/usr/bin/python3 %s", path);
    assert_ok(file_write(path, script, strlen(script), &e), e);
    int status = system(command);
    mem_free(command);
    mem_free(path);
    mem_free(script);
    return status;
}

static void expect_dump(const char *name, size_t sequences, size_t positions, struct dump *d)
{
    struct error e;
    char *path = path_join(directory, name);
    assert_ok(dump_open(path, d, &e), e);
    assert_ok(dump_verify(d, NULL, NULL, &e), e);
    assert_int_equal(d->examples.count, sequences);
    assert_int_equal(d->n_positions, positions);
    mem_free(path);
}

/* The entries of all positions, as text that Python writes too: rounded, so that both round alike. */
static void expect_values(struct dump *d, const char *name)
{
    struct error e;
    struct buffer wanted = {0}, is = {0};
    char *path = path_join(directory, name);
    size_t n = d->n_positions, most = d->description.most, *positions = mem_alloc(n, sizeof *positions);
    struct dump_rows rows = {n, most, mem_alloc(n + 1, sizeof(size_t)), mem_alloc(n, most * sizeof(int32_t)),
                             mem_alloc(n, most * sizeof(float)), mem_alloc(n, sizeof(float))};
    struct soft_targets t;
    for (size_t i = 0; i < n; i++)
        positions[i] = i;
    assert_ok(dump_read(d, positions, n, &rows, &t, &e), e);
    for (size_t i = 0; i < n; i++) {
        size_t begin = t.logits ? i * most : t.begin[i], end = t.logits ? begin + most : t.begin[i + 1];
        for (size_t j = begin; j < end; j++)
            buffer_printf(&is, "%d %.3f\n", t.logits ? (int)(j - begin) : (int)t.ids[j],
                          (double)(t.logits ? t.logits[j] : t.log_probs[j]));
        if (!t.logits)
            buffer_printf(&is, "%.3f\n", (double)t.log_tail[i]);
    }
    assert_ok(file_read(path, &wanted, 1 << 26, &e), e);
    assert_string_equal(is.data, wanted.data);
    buffer_free(&wanted);
    buffer_free(&is);
    mem_free(rows.begin);
    mem_free(rows.ids);
    mem_free(rows.log_probs);
    mem_free(rows.log_tail);
    mem_free(positions);
    mem_free(path);
}

static void python_writes_and_linnet_reads(void **state)
{
    (void)state;
    if (!have_h5py())
        skip();
    assert_int_equal(python(
        "V, k = 70000, 20\n"
        "def show(name, values):\n"
        "    open(d + name, 'w').write(''.join(values))\n"
        "lines = []\n"
        "with dump.Writer(d + 'top.h5', V, k=k, teacher='t', temperature=2, settings={'a': 1}, teacher_hash=2**64 - 1,\n"
        "                 tokenizer_hash=2**63 + 5) as w:\n"
        "    for n in (2, 5):\n"
        "        z = rng.normal(0, 6, (n, V)).astype(np.float32)\n"
        "        w.add(rng.integers(0, V, n), logits=z)\n"
        "        for row in z[:n - 1].astype(float) / 2:\n"
        "            lp = row - row.max() - np.log(np.exp(row - row.max()).sum())\n"
        "            ids = np.sort(np.argsort(lp)[-k:])\n"
        "            lines += ['%d %.3f\\n' % (i, np.float16(lp[i])) for i in ids]\n"
        "            lines.append('%.3f\\n' % np.float16(np.log1p(-np.exp(lp[ids]).sum())))\n"
        "show('top.txt', lines)\n"
        "with dump.Writer(d + 'top.h5', V, k=k, teacher='t', temperature=2, teacher_hash=2**64 - 1,\n"
        "                 tokenizer_hash=2**63 + 5) as w:\n"
        "    ids = np.argsort(rng.random((3, 500)), axis=1)[:, :k] * 100\n"
        "    p = rng.dirichlet(np.ones(k + 1), 3)\n"
        "    w.add([1, 2, 3, 4, 5], [0, 1, 0, 1, 1], ids=ids, log_probs=np.log(p[:, 1:]))\n"
        "    for i in range(3):\n"
        "        lines += ['%d %.3f\\n' % (ids[i, j], np.float16(np.log(p[i, 1 + j]))) for j in np.argsort(ids[i])]\n"
        "        lines.append('%.3f\\n' % np.float16(np.log(p[i, 0])))\n"
        "show('top.txt', lines)\n"
        "dump.verify(d + 'top.h5')\n"
        "lines = []\n"
        "j = b'{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1}, \"merges\": []}}'\n"
        "with dump.Writer(d + 'dense.h5', 50, kind='dense', teacher='t', tokenizer_json=j) as w:\n"
        "    z = rng.normal(0, 3, (4, 50)).astype(np.float32)\n"
        "    w.add([1, 2, 3, 4, 5], logits=z)\n"
        "    for row in z.astype(float):\n"
        "        lp = row - np.log(np.exp(row).sum())\n"
        "        lines += ['%d %.3f\\n' % (i, np.float16(lp[i])) for i in range(50)]\n"
        "show('dense.txt', lines)\n"
        "with dump.Writer(d + 'adaptive.h5', 500, k=30, cumulative=0.8, teacher='t') as w:\n"
        "    for n in range(1, 40):\n"
        "        w.add(rng.integers(0, 500, n), logits=rng.normal(0, 5, (n, 500)))\n"
        "counts = dump.parts(d + 'adaptive.h5')[0]\n"
        "begin, ids, lp, tail = counts.read(0, counts.n_positions)\n"
        "assert len(set(np.diff(begin))) > 5\n"
        "lines = []\n"
        "for i in range(counts.n_positions):\n"
        "    here = slice(begin[i], begin[i + 1])\n"
        "    lines += ['%d %.3f\\n' % x for x in zip(ids[here], lp[here])] + ['%.3f\\n' % tail[i]]\n"
        "    p = np.sort(np.exp(lp[here]))\n"
        "    assert len(p) == 30 or p.sum() > 0.79 and p[1:].sum() < 0.81\n"
        "show('adaptive.txt', lines)\n"
        "with dump.Writer(d + 'sampled.h5', 500, k=30, kind='sampled', teacher='t') as w:\n"
        "    w.add([1, 2, 3], ids=[4, 5, 3], log_probs=np.log([.5, .5, 1]), counts=[2, 1])\n"), 0);
    struct dump d;
    expect_dump("top.h5", 3, 8, &d);
    assert_true(d.description.temperature == 2 && d.description.most == 20);
    assert_true(d.description.teacher_hash == UINT64_MAX && d.description.tokenizer_hash == (1ull << 63) + 5);
    assert_string_equal(d.description.settings, "{\"a\": 1}");
    assert_int_equal(d.examples.ids[7], 1);
    expect_values(&d, "top.txt");
    dump_close(&d);
    expect_dump("dense.h5", 1, 4, &d);
    assert_true(d.description.tokenizer_hash != 0);
    expect_values(&d, "dense.txt");
    dump_close(&d);
    expect_dump("adaptive.h5", 39, 39 * 38 / 2, &d);
    expect_values(&d, "adaptive.txt");
    dump_close(&d);
    expect_dump("sampled.h5", 1, 2, &d);
    assert_int_equal(d.n_entries, 3);
    dump_close(&d);
}

static void linnet_writes_and_python_verifies(void **state)
{
    (void)state;
    if (!have_h5py())
        skip();
    static const struct {
        const char *name;
        enum dump_kind kind;
        double cumulative;
        size_t vocab;
    } cases[] = {{"a", DUMP_TOP, 0, 300}, {"b", DUMP_TOP, 0.7, 300}, {"c", DUMP_DENSE, 0, 300}, {"e", DUMP_SAMPLED, 0, 300},
                 {"f", DUMP_TOP, 0, 70000}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct dump_description description = {.kind = cases[i].kind, .vocab_size = cases[i].vocab, .temperature = 1,
                                               .cumulative = cases[i].cumulative, .teacher = "t", .tokenizer_hash = 9};
        description.most = cases[i].kind == DUMP_DENSE ? cases[i].vocab : 12;
        buffer_string(&description.tokenizer_json, "{}");
        char *path = path_join(directory, cases[i].name);
        struct dump_writer_options o = {.path = path, .compression = 6, .positions_per_part = 300};
        struct sample s;
        struct dump_writer *w;
        struct error e;
        size_t a, b;
        sample_init(&s, &description, cases[i].vocab > 1000 ? 2 : 30, i);
        assert_ok(dump_writer_open(&o, &description, &w, &a, &b, &e), e);
        sample_add(&s, w, 0, s.n_sequences);
        assert_ok(dump_writer_finish(w, &e), e);
        dump_writer_close(w);
        long long sum = 0;
        for (size_t j = 0; j < s.n_tokens; j++)
            sum += s.ids[j];
        char *body = mem_printf("ps = dump.verify(d + '%s')\nassert sum(p.n_positions for p in ps) == %zu\n"
                                "assert sum(p.tokens.astype(int).sum() for p in ps) == %lld\n"
                                "assert bytes(ps[0].file['tokenizer_json'][:]) == b'{}'\n",
                                cases[i].name, s.n_positions, sum);
        assert_int_equal(python(body), 0);
        mem_free(body);
        mem_free(path);
        buffer_free(&description.tokenizer_json);
        sample_free(&s);
    }
    /* h5py goes on writing what linnet began */
    assert_int_equal(python("p = d + 'a/part-00000.h5'\nn = dump.parts(p)[0].n_positions\n"
                            "with dump.Writer(p, 300, k=12, teacher='t', tokenizer_hash=9) as w:\n"
                            "    w.add([1, 2], logits=rng.normal(0, 2, (2, 300)))\n"
                            "assert dump.verify(p)[0].n_positions == n + 1\n"), 0);
    struct dump d;
    struct error e;
    char *path = path_join(directory, "a");
    assert_ok(dump_open(path, &d, &e), e);
    assert_ok(dump_verify(&d, NULL, NULL, &e), e);
    dump_close(&d);
    mem_free(path);
}

static void python_refuses_what_is_wrong(void **state)
{
    (void)state;
    if (!have_h5py())
        skip();
    assert_int_equal(python(
        "W = lambda **o: dump.Writer(d + 'bad.h5', **{**dict(vocab_size=10, k=2, teacher='t'), **o})\n"
        "refused('a name is needed', lambda: W(teacher=None))\n"
        "refused('k = 11 of vocab_size = 10', lambda: W(k=11))\n"
        "refused('kind is \"x\"', lambda: W(kind='x'))\n"
        "def add(text, *a, **o):\n"
        "    w = W()\n"
        "    refused(text, lambda: w.add(*a, **o))\n"
        "    w.abandon()\n"
        "    assert not any(n.startswith('bad.h5') for n in os.listdir(d))\n"
        "lp = np.log([[.5, .25]])\n"
        "add('must be a row of whole numbers', [1., 2.])\n"
        "add('a token is beyond', [1, 10], ids=[[1, 2]], log_probs=lp)\n"
        "add('nothing stands before it', [1, 2], [1, 1], ids=[[1, 2]], log_probs=lp)\n"
        "add('logits have the shape', [1, 2], logits=np.zeros((3, 10)))\n"
        "add('infinite or no number', [1, 2], logits=np.full((1, 10), np.nan))\n"
        "add('logits, or ids and log_probs', [1, 2])\n"
        "add('an id is beyond', [1, 2], ids=[[1, 10]], log_probs=lp)\n"
        "add('there twice', [1, 2], ids=[[1, 1]], log_probs=lp)\n"
        "add('1 to 1 entries, but k is 2', [1, 2], ids=[[1]], log_probs=lp[:, :1])\n"
        "add('1 supervised tokens, but 2 counts', [1, 2], ids=[[1, 2], [1, 2]], log_probs=np.repeat(lp, 2, 0))\n"
        "add('above 0, infinite or no number', [1, 2], ids=[[1, 2]], log_probs=[[0.5, -1]])\n"
        "add('add up to 1 but for 0.15', [1, 2], ids=[[1, 2]], log_probs=lp, log_tail=np.log([.1]))\n"
        "with W() as w:\n"
        "    w.add([1, 2], ids=[[1, 2]], log_probs=lp)\n"
        "refused('attribute \"temperature\" is 1.0 there, but 2.0 is to be appended', lambda: W(temperature=2))\n"
        "b = bytearray(open(d + 'bad.h5', 'rb').read())\n"
        "with h5py.File(d + 'bad.h5') as f:\n"
        "    at = f['log_probs'].id.get_chunk_info(0)\n"
        "b[at.byte_offset + at.size // 2] ^= 1\n"
        "open(d + 'bad.h5', 'wb').write(b)\n"
        "refused('dataset \"log_probs\", chunk 0 (rows 0 to 1)', lambda: dump.verify(d + 'bad.h5'))\n"
        "sys.stderr = io.StringIO()\n"
        "assert dump.main(['verify', d + 'bad.h5']) == 1 and sys.stderr.getvalue().count('\\n') == 1\n"
        "assert dump.main(['verify', d + 'none.h5']) == 1 and dump.main([]) == 2\n"), 0);
    struct dump d;
    struct error e;
    char *path = path_join(directory, "bad.h5");
    assert_ok(dump_open(path, &d, &e), e);
    assert_int_equal(dump_verify(&d, NULL, NULL, &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, "bad.h5: dataset \"log_probs\", chunk 0 (positions 0 to 0): checksum does not match"));
    dump_close(&d);
    mem_free(path);
}

/* The n-th block of Python in the document, into a file. */
static void extract(const char *document, int n, const char *name)
{
    static const char mark[] = "\n```python\n";
    struct error e;
    const char *begin = document;
    for (int i = 0; i <= n; i++) {
        begin = strstr(begin, mark);
        assert_non_null(begin);
        begin += sizeof mark - 1;
    }
    const char *end = strstr(begin, "```\n");
    assert_non_null(end);
    char *path = path_join(directory, name);
    assert_ok(file_write(path, begin, (size_t)(end - begin), &e), e);
    mem_free(path);
}

static void the_examples_of_the_document_run(void **state)
{
    (void)state;
    if (!have_h5py())
        skip();
    struct buffer document = {0}, out = {0};
    struct error e;
    assert_ok(file_read("docs/teacher-dumps.md", &document, 1 << 20, &e), e);
    extract(document.data, 0, "write.py");
    extract(document.data, 1, "read.py");
    char *command = mem_printf("cd %s && /usr/bin/python3 write.py example.h5 && /usr/bin/python3 read.py example.h5 >read.txt",
                               directory);
    assert_int_equal(system(command), 0);
    struct dump d;
    expect_dump("example.h5", 3, 59, &d);
    char *path = path_join(directory, "read.txt");
    assert_ok(file_read(path, &out, 1 << 20, &e), e);
    size_t lines = 0;
    for (size_t i = 0; i < out.size; i++)
        lines += out.data[i] == '\n';
    assert_int_equal(lines, 59);
    int token, top;
    assert_int_equal(sscanf(out.data, "%d %d", &token, &top), 2);
    assert_int_equal(token, d.examples.ids[1]);
    dump_close(&d);
    mem_free(path);
    mem_free(command);
    buffer_free(&document);
    buffer_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(python_writes_and_linnet_reads),
        cmocka_unit_test(linnet_writes_and_python_verifies),
        cmocka_unit_test(python_refuses_what_is_wrong),
        cmocka_unit_test(the_examples_of_the_document_run),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
