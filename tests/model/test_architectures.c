/* Every family of decoders: gradients through all its features, one pass against token by token, and its files
 * there and back. */
#include "base/file.h"
#include "export/gguf.h"
#include "export/hf.h"
#include "kernels/gemm.h"
#include "tests/directory.h"
#include "tests/model/architectures.h"
#include "tests/model/rig.h"
#include "tokenizer/train.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { VOCABULARY = 256, FEW_TOKENS = 40, SEQUENCE = 11 };

static struct model_config config_of(const struct example *x)
{
    struct model_config c;
    struct error e;
    assert_ok(example_config(x, VOCABULARY, &c, &e), e);
    return c;
}

/* Small enough that a short text is longer than the window. */
static struct model_config short_config(const struct example *x)
{
    struct model_config c = config_of(x);
    if (c.sliding_window)
        c.sliding_window = 4;
    c.vocab_size = FEW_TOKENS;
    c.hidden_size = 16;
    c.intermediate_size = 24;
    return c;
}

static bool has_experts(const struct model_config *c)
{
    return model_architecture(c)->has_experts;
}

/* --- gradients --- */

/* Experts are chosen: a step may lead to where another is, a smaller one drowns in rounding. One of several must
 * see the slope. Where the gradient is large, steps are smaller: the loss is no other function there. */
static double least_error(struct rig *r, struct param *p, double gradient)
{
    static const double dense[] = {0.02, 0.008, 0.003}, sparse[] = {0.004, 0.001, 0.0003};
    bool experts = has_experts(&r->model.config);
    double least = INFINITY;
    for (size_t i = 0; i < 3 && !(least < 4e-3); i++)
        least = fmin(least, slope_error(r, p, 0, (experts ? sparse : dense)[i] / fmax(1, gradient)));
    return least;
}

static void check_gradients(const struct example *x)
{
    struct model_config c = short_config(x);
    struct rig r = {.router_loss = has_experts(&c) ? 0.05f : 0};
    rig_init(&r, &c, 2, SEQUENCE);
    example_weights(&r.model, 3);
    random_batch(&r.batch, FEW_TOKENS, 4);
    rig_step(&r, 0);
    for (size_t i = 0; i < r.model.n_params; i++) {
        struct param *p = &r.model.params[i];
        double squares = 0;
        for (size_t j = 0; j < p->count; j++)
            squares += pow((double)((float *)p->grad)[j], 2);
        if (p->role == PARAM_ATTN_K_BIAS || squares == 0)
            continue; /* adds the same to all scores of a query but for rotation; an expert not chosen */
        double error = least_error(&r, p, sqrt(squares));
        if (!(error < 4e-3))
            fail_msg("%s: %s: slope off by %g (gradient %g)", x->name, p->name, error, sqrt(squares));
    }
    rig_free(&r);
}

static void gradients_equal_finite_differences(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_EXAMPLES; i++)
        check_gradients(&examples[i]);
}

/* An expert that no token goes to has a gradient of 0, whatever an earlier step left there. */
static void experts_without_tokens(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_EXAMPLES; i++) {
        for (int bf16 = 0; bf16 <= 1; bf16++) {
            struct model_config c = short_config(&examples[i]);
            struct rig r = {.type = bf16 ? DTYPE_BF16 : DTYPE_F32};
            if (!has_experts(&c))
                continue;
            rig_init(&r, &c, 2, SEQUENCE);
            example_weights(&r.model, 3);
            random_batch(&r.batch, FEW_TOKENS, 4);
            rig_step(&r, 0);
            r.batch.n_rows = r.batch.seq_len = r.batch.n_targets = 1;
            r.batch.targets[0] = 5;
            rig_step(&r, 0);
            size_t used = 0;
            for (size_t j = 0; j < r.model.n_params; j++) {
                const struct param *p = &r.model.params[j];
                const unsigned char *bytes = p->grad;
                bool zero = true;
                for (size_t k = 0; k < p->count * dtype_info(p->grad_type)->block_bytes; k++)
                    zero &= bytes[k] == 0;
                used += p->role == PARAM_EXPERT_DOWN && !zero;
            }
            assert_int_equal(used, c.num_experts_per_tok * c.num_hidden_layers);
            rig_free(&r);
        }
    }
}

/* Computing blocks again gives the same bits. */
static void checkpointing_changes_no_bit(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_EXAMPLES; i++) {
        for (int bf16 = 0; bf16 <= 1; bf16++) {
            struct model_config c = short_config(&examples[i]);
            struct rig rigs[2] = {{.checkpoint = false}, {.checkpoint = true}};
            double loss[2], router_loss[2];
            for (int k = 0; k < 2; k++) {
                rigs[k].type = bf16 ? DTYPE_BF16 : DTYPE_F32;
                rig_init(&rigs[k], &c, 2, SEQUENCE);
                example_weights(&rigs[k].model, 3);
                random_batch(&rigs[k].batch, FEW_TOKENS, 4);
                loss[k] = rig_step(&rigs[k], 0);
                router_loss[k] = rigs[k].activations.router_loss;
            }
            assert_true(loss[0] == loss[1] && isfinite(loss[0]));
            assert_true(router_loss[0] == router_loss[1]);
            assert_true((router_loss[0] > 0) == has_experts(&c));
            for (size_t j = 0; j < rigs[0].model.n_params; j++) {
                const struct param *p = &rigs[0].model.params[j];
                size_t size = dtype_info(p->grad_type)->block_bytes;
                if (memcmp(p->grad, rigs[1].model.params[j].grad, p->count * size) != 0)
                    fail_msg("%s: %s", examples[i].name, p->name);
            }
            rig_free(&rigs[0]);
            rig_free(&rigs[1]);
        }
    }
}

/* Products in bf16 give what those in f32 do, to within what rounding does. */
static void bf16_follows_f32(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_EXAMPLES; i++) {
        struct model_config c = short_config(&examples[i]);
        double loss[2];
        for (int bf16 = 0; bf16 <= 1; bf16++) {
            struct rig r = {.type = bf16 ? DTYPE_BF16 : DTYPE_F32};
            rig_init(&r, &c, 2, SEQUENCE);
            example_weights(&r.model, 3);
            random_batch(&r.batch, FEW_TOKENS, 4);
            loss[bf16] = rig_step(&r, 0);
            rig_free(&r);
        }
        if (!(fabs(loss[1] / loss[0] - 1) < 0.02))
            fail_msg("%s: loss %g in f32, %g in bf16", examples[i].name, loss[0], loss[1]);
    }
}

/* --- inference --- */

/* Logits (n, vocabulary) of the whole text at once, or with the keys and values of what came before
 * cached, in pieces of the sizes given. */
static float *logits_of(struct model *m, size_t n, const size_t *pieces)
{
    struct activations a;
    struct batch b;
    struct arena plan = {0}, arena;
    struct kv_cache cache;
    struct rng rng;
    struct error e;
    activations_init(&a, m, DTYPE_F32, 1, n, KEEP_NOTHING, &plan);
    activations_free(&a);
    batch_init(&b, 1, n, &plan);
    assert_ok(arena_init(&arena, plan.used, "test", &e), e);
    activations_init(&a, m, DTYPE_F32, 1, n, KEEP_NOTHING, &arena);
    batch_init(&b, 1, n, &arena);
    assert_ok(kv_cache_init(&cache, m, DTYPE_F32, n, n, &e), e);
    model_reserve_positions(m, n);
    float *logits = mem_alloc(n * m->config.vocab_size, sizeof *logits);
    struct output_layer head = decoder_output_layer(m);
    b.first_key = NULL;
    rng_init(&rng, 8, 8);
    for (size_t done = 0, piece = 0; done < n; done += b.seq_len, piece++) {
        b.seq_len = pieces ? pieces[piece] : n;
        for (size_t i = 0; i < b.seq_len; i++) {
            b.input_ids[i] = (int32_t)rng_below(&rng, m->config.vocab_size);
            b.positions[i] = (int32_t)(done + i);
        }
        const float *hidden = decoder_forward(
            m, &a, &b, pieces ? &(struct kv_spans){&(struct kv_span){&cache, b.seq_len}, 1} : NULL, 0);
        output_logits(&head, DTYPE_F32, hidden, logits + done * head.v, b.seq_len);
    }
    kv_cache_free(&cache);
    activations_free(&a);
    arena_free(&arena);
    return logits;
}

static void assert_near(const struct example *x, const float *a, const float *b, size_t n, float bound)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(a[i] - b[i]) < bound))
            fail_msg("%s: logit %zu is %g and %g", x->name, i, a[i], b[i]);
}

static void a_cache_changes_nothing(void **state)
{
    (void)state;
    static const size_t pieces[] = {7, 1, 1, 20, 1, 3, 1, 6};
    const size_t n = 40;
    for (size_t i = 0; i < N_EXAMPLES; i++) {
        struct model_config c = config_of(&examples[i]);
        struct model m;
        struct error e;
        assert_ok(model_init(&m, &c, &e), e);
        assert_ok(model_allocate(&m, &e), e);
        example_weights(&m, 5);
        float *whole = logits_of(&m, n, NULL), *parts = logits_of(&m, n, pieces);
        assert_near(&examples[i], whole, parts, n * VOCABULARY, 2e-4f);
        mem_free(whole);
        mem_free(parts);
        model_free(&m);
    }
}

/* --- files --- */

static void assert_same_weights(const struct example *x, const struct model *a, const struct model *b)
{
    assert_int_equal(a->n_params, b->n_params);
    for (size_t i = 0; i < a->n_params; i++) {
        const struct param *p = &a->params[i], *q = &b->params[i];
        assert_string_equal(p->name, q->name);
        for (size_t j = 0; j < p->count; j++)
            if (p->value[j] != q->value[j])
                fail_msg("%s: %s[%zu] is %g and %g", x->name, p->name, j, p->value[j], q->value[j]);
    }
}

/* What files keep of a configuration is all that computes. */
static void assert_same_config(const struct example *x, struct model_config a, struct model_config b)
{
    a.resid_dropout = b.resid_dropout = a.initializer_range = b.initializer_range = 0;
    a.router_aux_loss_coef = b.router_aux_loss_coef = 0;
    for (size_t i = 0; i < N_MODEL_OPTIONS; i++) {
        struct buffer one = {0}, two = {0};
        option_print_value(&model_options[i], &a, &one);
        option_print_value(&model_options[i], &b, &two);
        if (strcmp(one.data, two.data) != 0)
            fail_msg("%s: %s is %s and %s", x->name, model_options[i].key, one.data, two.data);
        buffer_free(&one);
        buffer_free(&two);
    }
}

/* Weights that bf16 holds, and whose sum with 1 f32 does: what a published model has. */
static void round_weights(struct model *m)
{
    for (size_t i = 0; i < m->n_params; i++)
        for (size_t j = 0; j < m->params[i].count; j++) {
            float *w = m->params[i].value + j;
            uint16_t bits;
            bf16_from_f32(w, &bits, 1);
            f32_from_bf16(&bits, w, 1);
            if (fabsf(*w) < 1.0f / 65536)
                *w = 0;
        }
}

struct loaded {
    struct model model;
    struct tokenizer *tokenizer;
};

static struct loaded load(const char *path, enum weights weights)
{
    struct loaded l;
    struct error e;
    assert_ok(model_load(path, weights, &l.model, &l.tokenizer, &e), e);
    return l;
}

static void unload(struct loaded *l)
{
    model_free(&l->model);
    tokenizer_free(l->tokenizer);
}

static void assert_same_file(const char *a, const char *b)
{
    struct buffer one = {0}, two = {0};
    struct error e;
    assert_ok(file_read(a, &one, 1 << 26, &e), e);
    assert_ok(file_read(b, &two, 1 << 26, &e), e);
    if (one.size != two.size || memcmp(one.data, two.data, one.size) != 0)
        fail_msg("%s and %s differ", a, b);
    buffer_free(&one);
    buffer_free(&two);
}

/* A model written in both containers, and converted from each to the other and back: the same bits, mapped or
 * not, in f32 or as bf16. */
static void check_files(const struct example *x, const struct tokenizer *t, bool keep)
{
    struct model_config c = config_of(x);
    struct model m;
    struct error e;
    struct export_options o = {.type = DTYPE_BF16, .name = x->name, .force = true}, again = o;
    char *paths[5];
    static const char *const names[] = {"a-hf", "b.gguf", "c-hf", "d.gguf", "e-hf"};
    again.keep_types = keep;
    for (size_t i = 0; i < 5; i++)
        paths[i] = mem_printf("%s/%s-%d-%s", directory, x->name, keep, names[i]);
    assert_ok(model_init(&m, &c, &e), e);
    assert_ok(model_allocate(&m, &e), e);
    example_weights(&m, 5);
    round_weights(&m);
    assert_ok(export_hf(&m, t, &o, paths[0], &e), e);
    struct loaded hf = load(paths[0], WEIGHTS_MAPPED);
    assert_ok(export_gguf(&hf.model, hf.tokenizer, &again, paths[1], &e), e);
    struct loaded gguf = load(paths[1], WEIGHTS_MAPPED);
    assert_ok(export_hf(&gguf.model, gguf.tokenizer, &again, paths[2], &e), e);
    assert_ok(export_gguf(&m, t, &o, paths[3], &e), e);
    struct loaded own = load(paths[3], WEIGHTS_F32), whole = load(paths[2], WEIGHTS_F32);
    assert_ok(export_hf(&own.model, own.tokenizer, &o, paths[4], &e), e);
    assert_same_weights(x, &m, &own.model);
    assert_same_weights(x, &m, &whole.model);
    assert_same_config(x, m.config, hf.model.config);
    assert_same_config(x, m.config, gguf.model.config);
    assert_same_config(x, m.config, whole.model.config);
    for (size_t i = 2; i <= 4; i += 2) {
        char *a = path_join(paths[0], SAFETENSORS_FILE), *b = path_join(paths[i], SAFETENSORS_FILE);
        assert_same_file(a, b);
        mem_free(a);
        mem_free(b);
    }
    const size_t n = 12;
    float *want = logits_of(&m, n, NULL), *one = logits_of(&hf.model, n, NULL),
          *two = logits_of(&gguf.model, n, NULL);
    assert_near(x, want, one, n * VOCABULARY, 1e-4f);
    assert_near(x, want, two, n * VOCABULARY, 1e-4f);
    mem_free(want), mem_free(one), mem_free(two);
    unload(&hf), unload(&gguf), unload(&own), unload(&whole);
    model_free(&m);
    for (size_t i = 0; i < 5; i++)
        mem_free(paths[i]);
}

static void files_there_and_back(void **state)
{
    (void)state;
    struct tokenizer *t;
    struct error e;
    assert_ok(tokenizer_new_bytes(NULL, 0, &t, &e), e);
    for (size_t i = 0; i < N_EXAMPLES; i++)
        for (int keep = 0; keep <= 1; keep++)
            check_files(&examples[i], t, keep);
    tokenizer_free(t);
}

int main(void)
{
    kernels_set_threads(2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_equal_finite_differences),
        cmocka_unit_test(experts_without_tokens),
        cmocka_unit_test(checkpointing_changes_no_bit),
        cmocka_unit_test(bf16_follows_f32),
        cmocka_unit_test(a_cache_changes_nothing),
        cmocka_unit_test(files_there_and_back),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
