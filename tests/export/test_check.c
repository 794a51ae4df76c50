/* What is found about an exported model: nothing in every family's own files, and each thing that is another one. */
#include "export/check.h"
#include "export/gguf.h"
#include "export/hf.h"
#include "model/load.h"
#include "tests/directory.h"
#include "tests/infer/util.h"

#define example family /* data/example.h has one, too */
#include "tests/model/architectures.h"
#undef example

#include <math.h>
#include <unistd.h>

enum { VOCAB = 256, TOKENS = 20 };

static struct model family_model(const struct family *x)
{
    struct model_config c;
    struct model m;
    struct error e;
    assert_ok(example_config(x, VOCAB, &c, &e), e);
    assert_ok(model_init(&m, &c, &e), e);
    assert_ok(model_allocate(&m, &e), e);
    example_weights(&m, 7);
    return m;
}

/* Predictions of rows, without greedy answers: their tokens are random. */
static void expect_same(const char *name, struct model *m, const struct tokenizer *t, const char *path)
{
    struct model other;
    struct tokenizer *u;
    struct error e = {0};
    struct checked_shape shape;
    struct checked_predictions p;
    int32_t ids[TOKENS];
    struct checked_row row = {.ids = ids, .n = TOKENS, .n_prompt = 4};
    const struct checked_rows rows = {.rows = 1, .samples = &row, .n_samples = 1};
    random_ids(ids, TOKENS, VOCAB, 5);
    assert_ok(model_load(path, WEIGHTS_MAPPED, &other, &u, &e), e);
    check_shape(&m->config, &other.config, &shape);
    if (shape.n_numbers || shape.layers || shape.rotation > 1e-5 || shape.context[0] != shape.context[1])
        fail_msg("%s, %s: %zu numbers (%s), %zu layers, rotation %g", name, path, shape.n_numbers,
                 shape.n_numbers ? shape.numbers[0].name : "", shape.layers, shape.rotation);
    struct model *const models[] = {m, &other};
    const struct tokenizer *const tokenizers[] = {t, u};
    assert_ok(check_predictions((struct model **)models, tokenizers, &rows, 6, &p, &e), e);
    if (!(fabs(p.sums.kl / (double)p.sums.n) < 1e-7 && p.sums.change < 1e-3))
        fail_msg("%s, %s: divergence %g, change %g", name, path, p.sums.kl / (double)p.sums.n, p.sums.change);
    assert_true(p.sums.n == TOKENS - 1 && p.answers == 1 && p.same == 1 && !p.parting.row);
    model_free(&other);
    tokenizer_free(u);
}

static void families(void **state)
{
    (void)state;
    struct tokenizer *t = make_tokenizer(NULL);
    char *gguf = path_join(directory, "m.gguf"), *hf = path_join(directory, "m");
    for (size_t i = 0; i < N_EXAMPLES; i++) {
        const struct export_options o = {.type = DTYPE_F32, .name = "m", .force = true};
        struct model m = family_model(&examples[i]);
        struct error e = {0};
        assert_ok(export_gguf(&m, t, &o, gguf, &e), e);
        expect_same(examples[i].name, &m, t, gguf);
        assert_ok(export_hf(&m, t, &o, hf, &e), e);
        expect_same(examples[i].name, &m, t, hf);
        model_free(&m);
    }
    mem_free(gguf), mem_free(hf);
    tokenizer_free(t);
}

static const struct family *find_family(const char *name)
{
    for (size_t i = 0; i < N_EXAMPLES; i++)
        if (strcmp(examples[i].name, name) == 0)
            return &examples[i];
    fail_msg("no family %s", name);
    return NULL;
}

static void other_shapes(void **state)
{
    (void)state;
    static const struct {
        const char *one, *other;
        size_t numbers, layers;
        bool rotation;
    } cases[] = {
        {"llama", "llama", 0, 0, false},
        {"llama", "llama-linear", 0, 0, true},
        {"llama", "llama-yarn", 1, 0, true}, /* and the factor of cosines */
        {"llama", "llama3.1", 0, 0, true},
        {"mistral", "mistral-window", 0, 4, false},
        {"llama", "granite", 4, 0, false},
        {"llama", "qwen3", 2, 0, true}, /* another head_dim: the scale of attention, the angles */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct model_config a, b;
        struct error e;
        struct checked_shape s;
        assert_ok(example_config(find_family(cases[i].one), VOCAB, &a, &e), e);
        assert_ok(example_config(find_family(cases[i].other), VOCAB, &b, &e), e);
        check_shape(&a, &b, &s);
        if (s.n_numbers != cases[i].numbers || s.layers != cases[i].layers || (s.rotation > 1e-4) != cases[i].rotation)
            fail_msg("%s and %s: %zu numbers, %zu layers, rotation %g", cases[i].one, cases[i].other, s.n_numbers, s.layers,
                     s.rotation);
    }
}

static struct tokenizer *bytes_and(const char *const *special, size_t n)
{
    struct tokenizer *t;
    struct error e;
    assert_ok(tokenizer_new_bytes(special, n, &t, &e), e);
    return t;
}

static void vocabularies(void **state)
{
    (void)state;
    struct tokenizer *one = bytes_and((const char *const[]){"<a>", "<b>", "<|im_end|>"}, 3),
                     *other = bytes_and((const char *const[]){"<a>", "<c>"}, 2),
                     *longer = bytes_and((const char *const[]){"<a>", "<b>", "<|im_end|>", "<d>", "<e>"}, 5);
    struct checked_vocabulary v;
    check_vocabulary(one, one, &v);
    assert_true(v.n[0] == 259 && v.n[1] == 259 && !v.texts.n && !v.kinds.n && !v.more.n && !v.ends_lost.n && !v.ends_new.n);
    assert_int_equal(v.texts.first, TOKEN_NONE);
    check_vocabulary(one, other, &v);
    assert_true(v.n[1] == 258 && v.texts.n == 1 && v.texts.first == 257 && !v.more.n);
    check_vocabulary(one, longer, &v);
    assert_true(!v.texts.n && v.more.n == 2 && v.more.first == 259);
    tokenizer_free(one), tokenizer_free(other), tokenizer_free(longer);
}

/* Samples of 100 rows: as many as asked for, in order, from all over the file; their prompts end where learning begins. */
static void samples(void **state)
{
    (void)state;
    char *path = path_join(directory, "rows.jsonl");
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (int i = 0; i < 100; i++)
        fprintf(f, "{\"prompt\": \"number %02d:\", \"completion\": \" yes\"}\n", i);
    fclose(f);
    struct tokenizer *t = bytes_and((const char *const[]){"<s>"}, 1);
    for (size_t n = 0; n <= 9; n += 3) {
        const struct checking c = {.tokenizers = {t, t}, .settings = {.tokenizer = t}, .n_samples = n, .sample_tokens = 12};
        struct checked_rows r;
        struct error e = {0};
        assert_ok(check_rows(&c, (const char *const *)&path, 1, &r, &e), e);
        assert_true(r.rows == 100 && r.n_samples == n && r.turns == 100 && r.ended[0] == 100 && r.ended[1] == 100);
        assert_true(!r.ids.n && !r.begins.n && !r.bad.n && !r.chats && r.none[0] == 100 && r.none[1] == 100);
        for (size_t i = 0; i < n; i++) {
            assert_true(i == 0 || r.samples[i].line > r.samples[i - 1].line + 50 / n);
            assert_true(r.samples[i].n == 12 && r.samples[i].n_prompt == 10);
        }
        assert_true(n == 0 || r.samples[n - 1].line > 60);
        checked_rows_free(&r);
    }
    tokenizer_free(t);
    mem_free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families),
        cmocka_unit_test(other_shapes),
        cmocka_unit_test(vocabularies),
        cmocka_unit_test(samples),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
