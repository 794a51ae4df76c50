/* Models with adapters merged on their way into a file: against the base with its adapters attached, against weights
 * merged in memory, and what the report says of types that lose them. */
#include "export/gguf.h"
#include "export/hf.h"
#include "export/quantize.h"
#include "base/file.h"
#include "model/load.h"
#include "tests/directory.h"
#include "tests/infer/util.h"
#include "tests/lora/random.h"
#include "tests/model/example_model.h"

#include <unistd.h>

enum { TOKENS = 20, VOCAB = 256 };
static int32_t ids[TOKENS];

static float *adapted_logits(struct model *m, struct lora_adapter *adapters, size_t n)
{
    for (size_t i = 0; i < n; i++)
        lora_attach(&adapters[i]);
    float *logits = full_logits(m, ids, TOKENS);
    while (n-- > 0)
        lora_detach(&adapters[n]);
    return logits;
}

static double distance_of_file(const char *path, const float *want)
{
    struct model m;
    struct error e;
    assert_ok(model_load(path, WEIGHTS_MAPPED, &m, NULL, &e), e);
    float *got = full_logits(&m, ids, TOKENS);
    double d = logit_distance(got, want, TOKENS * VOCAB);
    mem_free(got);
    model_free(&m);
    return d;
}

static struct export_options options(enum dtype type, struct merge *g)
{
    return (struct export_options){.type = type, .name = "merged", .force = true, .merge = g};
}

static void expect(const char *name, const char *what, double distance, double bound)
{
    if (!(distance < bound))
        fail_msg("%s: %s is off by %g", name, what, distance);
}

static void expect_all_kept(const struct merge *g, size_t n)
{
    const struct merged_matrix total = merge_total(g);
    assert_int_equal(g->n_matrices, n);
    assert_true(merged_kept(&total) == 1 && merged_noise(&total) == 0); /* the delta is what f32 has of it */
    assert_true(merged_size(&total) > 0.01);
    assert_int_equal(merge_judge(&total), MERGE_FINE);
}

static size_t changed_tensors(const struct model *m, const struct lora_adapter *a, enum container container)
{
    const struct merge g = {.adapters = a, .n_adapters = 1};
    struct tensor_list list;
    size_t n = 0;
    tensor_list_init(&list, m, container, false);
    for (size_t i = 0; i < list.n_tensors; i++)
        for (size_t j = 0; j < list.tensors[i].n_pieces; j++)
            if (merge_changes(&g, m, &list.tensors[i], j)) {
                n++;
                break;
            }
    tensor_list_free(&list);
    return n;
}

/* From f32 memory and from a mapped GGUF file, whose rows of q and k may lie otherwise, into both containers. */
static void check_family(const struct example *x, const struct tokenizer *t, bool shared)
{
    struct model m = example_model(x, VOCAB), mapped;
    struct lora_adapter a;
    struct merge g = {.adapters = &a, .n_adapters = 1};
    struct export_options plain = options(DTYPE_F32, NULL), o = options(DTYPE_F32, &g);
    struct error e = {0};
    char *base = path_join(directory, "base.gguf"), *gguf = path_join(directory, "m.gguf"),
         *hf = path_join(directory, "m");
    assert_ok(export_gguf(&m, t, &plain, base, &e), e);
    assert_ok(model_load(base, WEIGHTS_MAPPED, &mapped, NULL, &e), e);
    float *without = full_logits(&m, ids, TOKENS);
    for (int i = 0; i < 2; i++) {
        struct model *from = i ? &mapped : &m;
        assert_ok(random_adapter(from, true, shared, 3, &a, &e), e);
        float *want = adapted_logits(from, &a, 1);
        assert_true(logit_distance(want, without, TOKENS * VOCAB) > 0.02);
        assert_ok(export_gguf(from, t, &o, gguf, &e), e);
        expect(x->name, "the merged GGUF file", distance_of_file(gguf, want), 2e-5);
        expect_all_kept(&g, changed_tensors(from, &a, CONTAINER_GGUF));
        assert_ok(export_hf(from, t, &o, hf, &e), e);
        expect(x->name, "the merged directory", distance_of_file(hf, want), 2e-5);
        expect_all_kept(&g, changed_tensors(from, &a, CONTAINER_HF));
        mem_free(want);
        merge_free(&g);
        lora_free(&a);
    }
    model_free(&m), model_free(&mapped);
    mem_free(without), mem_free(base), mem_free(gguf), mem_free(hf);
}

static void families(void **state)
{
    (void)state;
    struct tokenizer *t = make_tokenizer(NULL);
    for (size_t i = 0; i < N_EXAMPLES; i++)
        check_family(&examples[i], t, i % 2);
    tokenizer_free(t);
}

static void assert_same_files(const char *a, const char *b)
{
    struct buffer one = {0}, two = {0};
    struct error e;
    assert_ok(file_read(a, &one, 1 << 26, &e), e);
    assert_ok(file_read(b, &two, 1 << 26, &e), e);
    assert_int_equal(one.size, two.size);
    assert_memory_equal(one.data, two.data, one.size);
    buffer_free(&one), buffer_free(&two);
}

/* Wide enough for blocks. */
static struct model wide_model(uint64_t seed)
{
    struct model_config c = small_config(VOCAB, ROPE_HALF);
    c.hidden_size = 256;
    c.intermediate_size = 256;
    c.num_hidden_layers = 2;
    return make_model(&c, seed);
}

/* Two adapters with strengths of their own: in every type the file of a model into whose weights they were merged
 * beforehand. */
static void every_type(void **state)
{
    (void)state;
    static const enum dtype plain[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16};
    static const char *const mixes[] = {"Q8_0", "Q4_0", "Q4_K_M"};
    struct tokenizer *t = make_tokenizer(NULL);
    struct model m = wide_model(41), merged = wide_model(41);
    struct lora_adapter a[2];
    struct merge g = {.adapters = a, .n_adapters = 2};
    struct export_report report;
    struct error e;
    char *here = path_join(directory, "here.gguf"), *there = path_join(directory, "there.gguf");
    assert_ok(random_adapter(&m, false, false, 5, &a[0], &e), e);
    assert_ok(random_adapter(&m, false, false, 6, &a[1], &e), e);
    a[1].strength = -0.5f;
    float *want = adapted_logits(&m, a, 2);
    for (size_t i = 0; i < 2; i++) { /* the same adapters of the other model */
        struct lora_adapter other;
        assert_ok(random_adapter(&merged, false, false, 5 + i, &other, &e), e);
        other.strength = a[i].strength;
        merge_in_memory(&merged, &other, 1);
        lora_free(&other);
    }
    for (size_t i = 0; i < 3; i++) {
        struct export_options into = options(plain[i], &g), from = options(plain[i], NULL);
        assert_ok(export_gguf(&m, t, &into, here, &e), e);
        assert_ok(export_gguf(&merged, t, &from, there, &e), e);
        assert_same_files(here, there);
        expect(dtype_info(plain[i])->name, "the file", distance_of_file(here, want), i == 0 ? 2e-5 : i == 1 ? 3e-3 : 3e-2);
    }
    for (size_t i = 0; i < 3; i++) {
        struct quantize_options o = {.types = {.output_type = NO_TYPE, .embedding_type = NO_TYPE}, .name = "tiny"};
        assert_ok(mix_find("--type", mixes[i], &o.types.mix, &e), e);
        assert_ok(quantize_model(&merged, t, &o, there, &report, &e), e);
        o.merge = &g;
        assert_ok(quantize_model(&m, t, &o, here, &report, &e), e);
        assert_same_files(here, there);
        if (i == 0)
            expect(mixes[i], "the file", distance_of_file(here, want), 0.1);
    }
    merge_free(&g);
    lora_free(&a[0]), lora_free(&a[1]);
    model_free(&m), model_free(&merged);
    tokenizer_free(t);
    mem_free(want), mem_free(here), mem_free(there);
}

/* --- a tied output layer --- */

static void head_adapter(struct model *m, struct lora_adapter *a)
{
    struct lora_want want = {.linear = &m->head, .rank = 2, .scale = 3};
    struct error e;
    struct rng r;
    assert_true(m->config.tie_word_embeddings);
    assert_ok(lora_init(a, m, &want, 1, &e), e);
    lora_initialize(a, 3);
    rng_init(&r, 4, 4);
    rng_fill_normal(&r, a->pairs->b->value, 2 * VOCAB, 0.1f);
}

static void untied(const char *name, bool gguf_too)
{
    struct tokenizer *t = make_tokenizer(NULL);
    struct model m = example_model(example_named(name), VOCAB), back;
    struct lora_adapter a;
    struct merge g = {.adapters = &a, .n_adapters = 1};
    struct export_options o = options(DTYPE_F32, &g);
    struct error e;
    char *paths[] = {path_join(directory, "untied"), path_join(directory, "untied.gguf")};
    head_adapter(&m, &a);
    float *want = adapted_logits(&m, &a, 1);
    for (int i = 0; i < 2; i++) {
        unlink(paths[i]);
        int code = i ? export_gguf(&m, t, &o, paths[i], &e) : export_hf(&m, t, &o, paths[i], &e);
        if (i && !gguf_too) {
            assert_int_equal(code, ERR_USAGE);
            assert_non_null(strstr(e.message, "is the embedding too, and a GGUF file of a"));
            assert_false(file_exists(paths[i]));
            continue;
        }
        assert_ok(code, e);
        assert_int_equal(g.n_matrices, 1);
        expect(name, "an output layer of its own", distance_of_file(paths[i], want), 2e-5);
        assert_ok(model_load(paths[i], WEIGHTS_F32, &back, NULL, &e), e);
        assert_false(back.config.tie_word_embeddings);
        assert_memory_equal(back.token_embd->value, m.token_embd->value, m.token_embd->count * sizeof(float));
        model_free(&back);
    }
    merge_free(&g);
    lora_free(&a);
    model_free(&m);
    tokenizer_free(t);
    mem_free(want), mem_free(paths[0]), mem_free(paths[1]);
}

static void a_tied_output_layer(void **state)
{
    (void)state;
    untied("llama", true);
    untied("gemma", false);
}

/* --- what is kept --- */

static struct param *first_q(struct model *m)
{
    return m->layers[0].q.weight;
}

/* W, or what a file of that type has of it. */
static float *weights_of(const char *path, size_t *n)
{
    struct model m;
    struct error e;
    assert_ok(model_load(path, WEIGHTS_F32, &m, NULL, &e), e);
    struct param *p = first_q(&m);
    float *copy = mem_alloc(p->count, sizeof *copy);
    memcpy(copy, p->value, p->count * sizeof *copy);
    *n = p->count;
    model_free(&m);
    return copy;
}

static int write_as(struct model *m, const struct tokenizer *t, const char *type, struct merge *g, const char *path,
                    struct error *e)
{
    struct quantize_options o = {.types = {.output_type = NO_TYPE, .embedding_type = NO_TYPE}, .name = "tiny", .merge = g,
                                 .requantize = true};
    struct export_options f32 = options(DTYPE_F32, g);
    struct export_report report;
    if (strcmp(type, "F32") == 0)
        return export_gguf(m, t, &f32, path, e);
    int code = mix_find("--type", type, &o.types.mix, e);
    return code ? code : quantize_model(m, t, &o, path, &report, e);
}

static void q_adapter(struct model *m, float size, struct lora_adapter *a)
{
    struct lora_want want = {.linear = &m->layers[0].q, .rank = 4, .scale = size};
    struct error e;
    struct rng r;
    assert_ok(lora_init(a, m, &want, 1, &e), e);
    lora_initialize(a, 3);
    rng_init(&r, 9, 9);
    rng_fill_normal(&r, a->pairs->b->value, 4 * want.linear->weight->rows, 1);
}

/* The report's numbers from the four files that it speaks of. */
static void numbers_are_those_of_the_files(void **state)
{
    (void)state;
    static const char *const types[] = {"Q4_0", "BF16"};
    struct tokenizer *t = make_tokenizer(NULL);
    struct model m = wide_model(43);
    struct lora_adapter a;
    struct merge g = {.adapters = &a, .n_adapters = 1};
    struct error e;
    char *paths[4] = {path_join(directory, "w"), path_join(directory, "wd"), path_join(directory, "s"),
                      path_join(directory, "sd")};
    q_adapter(&m, 0.02f, &a);
    for (size_t i = 0; i < 2; i++) {
        float *x[4];
        size_t n;
        double weight = 0, delta = 0, moved = 0, error = 0;
        for (int k = 0; k < 4; k++) {
            assert_ok(write_as(&m, t, k < 2 ? "F32" : types[i], k % 2 ? &g : NULL, paths[k], &e), e);
            x[k] = weights_of(paths[k], &n);
        }
        for (size_t j = 0; j < n; j++) {
            const double d = (double)x[1][j] - x[0][j], r = (double)x[3][j] - x[2][j];
            weight += (double)x[0][j] * x[0][j];
            delta += d * d;
            moved += r * d;
            error += (r - d) * (r - d);
        }
        assert_int_equal(g.n_matrices, 1);
        assert_string_equal(g.matrices->name, "blk.0.attn_q.weight");
        assert_string_equal(dtype_info(g.matrices->type)->name, i ? "bf16" : "q4_0");
        assert_true(fabs(merged_size(g.matrices) / sqrt(delta / weight) - 1) < 1e-6);
        assert_true(fabs(merged_kept(g.matrices) / (moved / delta) - 1) < 1e-6);
        assert_true(fabs(merged_noise(g.matrices) / sqrt(error / delta) - 1) < 1e-6);
        assert_true(merged_noise(g.matrices) > (i ? 0.01 : 0.5)); /* it is not the f32 that is looked at */
        for (int k = 0; k < 4; k++)
            mem_free(x[k]);
    }
    for (int k = 0; k < 4; k++)
        mem_free(paths[k]);
    merge_free(&g);
    lora_free(&a);
    model_free(&m);
    tokenizer_free(t);
}

/* What becomes of a change of that size, from a base of one type to another. */
static enum merge_verdict verdict(const char *base, const char *type, float size)
{
    struct tokenizer *t = make_tokenizer(NULL);
    struct model m = wide_model(44), from;
    struct lora_adapter a;
    struct merge g = {.adapters = &a, .n_adapters = 1};
    struct error e;
    char *path = path_join(directory, "from.gguf"), *to = path_join(directory, "to.gguf");
    assert_ok(write_as(&m, t, base, NULL, path, &e), e);
    assert_ok(model_load(path, WEIGHTS_MAPPED, &from, NULL, &e), e);
    q_adapter(&from, size, &a);
    assert_ok(write_as(&from, t, type, &g, to, &e), e);
    const struct merged_matrix total = merge_total(&g);
    size_t n_erased;
    const enum merge_verdict outcome = merge_outcome(&g, &n_erased);
    assert_int_equal(n_erased, outcome == MERGE_ERASED);
    if (getenv("LINNET_MERGE"))
        print_message("%-6s -> %-6s delta %.1e: kept %.3f, noise %.2f\n", base, type, merged_size(&total),
                      merged_kept(&total), merged_noise(&total));
    merge_free(&g);
    lora_free(&a);
    model_free(&m), model_free(&from);
    tokenizer_free(t);
    mem_free(path), mem_free(to);
    return outcome;
}

static void what_is_lost_is_said(void **state)
{
    (void)state;
    static const struct {
        const char *base, *type;
        float size;
        enum merge_verdict verdict;
    } cases[] = {
        {"BF16", "F32", 1e-4f, MERGE_FINE},
        {"BF16", "BF16", 1e-2f, MERGE_FINE},
        {"BF16", "BF16", 1e-5f, MERGE_ERASED}, /* the base stands on the steps, and none is taken */
        {"F32", "BF16", 1e-6f, MERGE_DROWNED},
        {"F16", "F16", 1e-2f, MERGE_FINE},
        {"F16", "F16", 1e-6f, MERGE_ERASED},
        {"Q8_0", "Q8_0", 3e-2f, MERGE_FINE},
        {"Q4_0", "Q4_0", 1e-4f, MERGE_ERASED},
        {"F32", "Q4_0", 1e-1f, MERGE_FINE},
        {"F32", "Q4_0", 1e-5f, MERGE_DROWNED},
        {"F32", "F32", 0, MERGE_FINE}, /* nothing to lose */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        enum merge_verdict got = verdict(cases[i].base, cases[i].type, cases[i].size);
        if (got != cases[i].verdict)
            fail_msg("%s to %s, %g: %s instead of %s", cases[i].base, cases[i].type, (double)cases[i].size,
                     merge_verdict_name(got), merge_verdict_name(cases[i].verdict));
    }
}

static int start(void **state)
{
    random_ids(ids, TOKENS, VOCAB, 5);
    return make_directory(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families),
        cmocka_unit_test(every_type),
        cmocka_unit_test(a_tied_output_layer),
        cmocka_unit_test(numbers_are_those_of_the_files),
        cmocka_unit_test(what_is_lost_is_said),
    };
    return cmocka_run_group_tests(tests, start, remove_directory);
}
