/* Pruned models: what was made dead is what goes, and going changes nothing; in every family, and into both containers. */
#include "export/prune.h"
#include "base/file.h"
#include "export/gguf.h"
#include "export/hf.h"
#include "export/quantize.h"
#include "model/load.h"
#include "tests/folder.h"
#include "tests/infer/util.h"
#include "tests/model/example_model.h"

#include <unistd.h>

enum { VOCAB = 256, CONTEXT = 32, CHUNKS = 6, MOST_LAYERS = 8 };
static char directory[] = "/tmp/linnet-prune-XXXXXX";
static int32_t ids[CHUNKS * CONTEXT];

static void expect_near(const char *name, const char *what, struct model *m, const float *want, double bound)
{
    float *got = full_logits(m, ids, CONTEXT);
    double d = logit_distance(got, want, CONTEXT * VOCAB);
    if (!(d <= bound))
        fail_msg("%s: %s is off by %g", name, what, d);
    mem_free(got);
}

static struct prune_importance measured(struct model *m)
{
    const struct importance_options o = {.context = CONTEXT, .n_rows = 2, .similarity = true};
    struct importance im;
    struct prune_importance p;
    struct error e;
    assert_ok(importance_init(&im, m, &o, &e), e);
    for (size_t i = 0; i < CHUNKS; i++)
        assert_ok(importance_add(&im, ids + i * CONTEXT, &e), e);
    assert_ok(importance_finish(&im, &e), e);
    prune_importance_collect(&p, &im);
    importance_free(&im);
    return p;
}

static struct prune_plan plan_of(const struct model *m, struct prune_target t, const struct prune_importance *importance)
{
    struct prune_plan p;
    struct error e;
    assert_ok(prune_target_check(&t, &m->config, &e), e);
    prune_plan_init(&p, &m->config, &t, importance);
    return p;
}

/* Measures, chooses, and prunes. */
static struct prune_plan prune(struct model *m, struct prune_target t, struct model *pruned)
{
    struct prune_importance importance = measured(m);
    struct prune_plan plan = plan_of(m, t, &importance);
    struct error e;
    assert_int_equal(importance.n_unseen, 0);
    assert_ok(prune_model(&plan, m, pruned, &e), e);
    prune_importance_free(&importance);
    return plan;
}

static bool is_among(size_t x, const size_t *items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (items[i] == x)
            return true;
    return false;
}

/* --- weights that say nothing --- */

static struct param *role_of(struct model *m, enum param_role role, size_t layer, int expert)
{
    for (size_t i = 0; i < m->n_params; i++) {
        struct param *p = &m->params[i];
        if (p->role == role && p->layer == (int)layer && p->expert == expert)
            return p;
    }
    return NULL;
}

static void zero(struct param *p, bool by_rows, size_t first, size_t n)
{
    for (size_t i = 0; p && i < p->rows; i++)
        for (size_t j = 0; j < p->cols; j++)
            if ((by_rows ? i : j) >= first && (by_rows ? i : j) < first + n)
                p->value[i * p->cols + j] = 0;
}

/* The layer adds nothing. */
static void kill_layer(struct model *m, size_t layer)
{
    static const enum param_role roles[] = {PARAM_ATTN_OUTPUT, PARAM_ATTN_OUTPUT_BIAS, PARAM_FFN_DOWN,
                                            PARAM_FFN_DOWN_BIAS, PARAM_EXPERT_DOWN, PARAM_SHARED_DOWN};
    for (size_t i = 0; i < m->n_params; i++)
        for (size_t j = 0; j < sizeof roles / sizeof *roles; j++)
            if (m->params[i].layer == (int)layer && m->params[i].role == roles[j])
                zero(&m->params[i], true, 0, m->params[i].rows);
}

/* One channel's activations are 0; in an expert or, -1, in the dense feed-forward. */
static void kill_channel(struct model *m, size_t layer, int expert, size_t channel)
{
    const bool experts = expert >= 0;
    zero(role_of(m, experts ? PARAM_EXPERT_GATE : PARAM_FFN_GATE, layer, expert), true, channel, 1);
    zero(role_of(m, experts ? PARAM_EXPERT_UP : PARAM_FFN_UP, layer, expert), true, channel, 1);
    zero(role_of(m, PARAM_FFN_GATE_BIAS, layer, -1), false, channel, 1);
    zero(role_of(m, PARAM_FFN_UP_BIAS, layer, -1), false, channel, 1);
}

/* `n` units of `size` rows from `from` on are copied to `to`: of a matrix and of vectors beside it. */
static void copy_units(struct model *m, size_t layer, enum param_role matrix, enum param_role bias, size_t to, size_t from,
                       size_t n)
{
    struct param *w = role_of(m, matrix, layer, -1), *b = role_of(m, bias, layer, -1);
    memcpy(w->value + to * w->cols, w->value + from * w->cols, n * w->cols * sizeof(float));
    if (b)
        memcpy(b->value + to, b->value + from, n * sizeof(float));
}

/* Key/value head `dead` gives nothing. Where all heads are normalised together, their mean square must stay when it goes:
 * its queries and keys are those of head `twin`. */
static void kill_kv_head(struct model *m, size_t layer, size_t dead, size_t twin)
{
    const struct layer_shape s = m->layers[layer].shape;
    const size_t d = m->config.head_dim, group = s.n_heads / s.n_kv_heads;
    zero(role_of(m, PARAM_ATTN_V, layer, -1), true, dead * d, d);
    zero(role_of(m, PARAM_ATTN_V_BIAS, layer, -1), false, dead * d, d);
    copy_units(m, layer, PARAM_ATTN_K, PARAM_ATTN_K_BIAS, dead * d, twin * d, d);
    copy_units(m, layer, PARAM_ATTN_Q, PARAM_ATTN_Q_BIAS, dead * group * d, twin * group * d, group * d);
}

/* --- layers --- */

/* Layers that can go without breaking the family's order, as a set of bits. */
static unsigned dead_layers(const struct example *x)
{
    if (strcmp(x->name, "gemma3") == 0)
        return 1 << 6; /* without a window: layer 5 of 0 to 6 */
    if (strcmp(x->name, "smollm3") == 0)
        return 1 << 4; /* without rotation: 3 of 0 to 4 */
    return strcmp(x->name, "gemma2") == 0 ? 1 << 1 | 1 << 2 : 1 << 0 | 1 << 2;
}

static void layers_that_add_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_EXAMPLES; i++) {
        struct model m = example_model(&examples[i], VOCAB), pruned;
        const size_t n = m.config.num_hidden_layers;
        const unsigned dead = dead_layers(&examples[i]);
        for (size_t j = 0; j < n; j++)
            if (dead >> j & 1)
                kill_layer(&m, j);
        float *want = full_logits(&m, ids, CONTEXT);
        const size_t n_kept = n - (size_t)__builtin_popcount(dead);
        struct prune_plan plan = prune(&m, (struct prune_target){.layers = n_kept}, &pruned);
        assert_int_equal(plan.config.num_hidden_layers, n_kept);
        for (size_t j = 0; j < n_kept; j++) {
            const struct layer_shape is = model_layer_shape(&plan.config, j),
                                     was = model_layer_shape(&m.config, plan.layers[j].layer);
            assert_false(dead >> plan.layers[j].layer & 1);
            assert_true(is.n_heads == was.n_heads && is.n_kv_heads == was.n_kv_heads && is.window == was.window &&
                        is.intermediate_size == was.intermediate_size && is.rotates == was.rotates &&
                        is.local_rope == was.local_rope);
        }
        expect_near(examples[i].name, "a model without dead layers", &pruned, want, 0);
        assert_true(pruned.config.tie_word_embeddings == m.config.tie_word_embeddings);
        prune_plan_free(&plan);
        model_free(&pruned), model_free(&m);
        mem_free(want);
    }
}

/* 1 - cosine from all activations of a pass, against what is measured. */
static void influence(void **state)
{
    (void)state;
    struct model m = example_model(example_named("llama"), VOCAB);
    struct prune_importance p = measured(&m);
    struct activations a;
    struct batch b;
    struct arena arena = {0};
    struct error e;
    for (int i = 0; i < 2; i++) {
        if (i) {
            activations_free(&a);
            assert_ok(arena_init(&arena, arena.used, "test", &e), e);
        }
        activations_init(&a, &m, DTYPE_F32, CHUNKS, CONTEXT, KEEP_ALL, &arena);
        batch_init(&b, CHUNKS, CONTEXT, &arena);
    }
    for (size_t i = 0; i < CHUNKS * CONTEXT; i++) {
        b.input_ids[i] = ids[i];
        b.positions[i] = (int32_t)(i % CONTEXT);
        b.first_key[i] = 0;
    }
    decoder_forward(&m, &a, &b, NULL, 0);
    const size_t n = m.config.num_hidden_layers, width = m.config.hidden_size;
    for (size_t i = 0; i < n; i++) {
        const float *in = a.layers[i].input, *out = i + 1 < n ? a.layers[i + 1].input : a.last;
        double sum = 0;
        for (size_t t = 0; t < CHUNKS * CONTEXT; t++) {
            double xy = 0, xx = 0, yy = 0;
            for (size_t k = t * width; k < (t + 1) * width; k++) {
                xy += (double)in[k] * out[k];
                xx += (double)in[k] * in[k];
                yy += (double)out[k] * out[k];
            }
            sum += xy / sqrt(xx) / sqrt(yy);
        }
        assert_true(p.influence[i] > 0.01 && p.influence[i] < 1.99);
        assert_true(fabs(p.influence[i] - (1 - sum / (CHUNKS * CONTEXT))) < 1e-6);
    }
    prune_importance_free(&p);
    activations_free(&a);
    arena_free(&arena);
    model_free(&m);
}

/* A number that is none after the last matrix, which no other matrix reads. */
static void what_is_no_number(void **state)
{
    (void)state;
    const struct importance_options o = {.context = CONTEXT, .n_rows = 1, .similarity = true};
    struct model m = example_model(example_named("llama"), VOCAB);
    struct importance im;
    struct error e;
    role_of(&m, PARAM_FFN_DOWN, 3, -1)->value[5] = NAN;
    assert_ok(importance_init(&im, &m, &o, &e), e);
    assert_int_equal(importance_add(&im, ids, &e), ERR_FORMAT);
    assert_string_equal(e.message, "what layer 3 gives is not finite numbers: the model is damaged");
    importance_free(&im);
    model_free(&m);
}

static bool same_kind(const struct model_config *c, size_t i, size_t at)
{
    const struct layer_shape is = model_layer_shape(c, i), wanted = model_layer_shape(c, at);
    return is.window == wanted.window && is.rotates == wanted.rotates;
}

/* Of all sets of so many layers in which the family's order holds, the largest sum. */
static double best_sum(const struct model_config *c, const double *influence, size_t n_kept)
{
    double best = -INFINITY;
    for (unsigned set = 0; set < 1u << c->num_hidden_layers; set++) {
        double sum = 0;
        size_t at = 0;
        bool possible = (size_t)__builtin_popcount(set) == n_kept;
        for (size_t i = 0; i < c->num_hidden_layers && possible; i++)
            if (set >> i & 1) {
                sum += influence[i];
                possible = same_kind(c, i, at++);
            }
        best = possible ? fmax(best, sum) : best;
    }
    return best;
}

/* How many of 50 choices, with influences at random, the family's order makes worse. */
static size_t constrained_choices(const char *name, struct rng *r)
{
    struct model m = example_model(example_named(name), VOCAB);
    const size_t n = m.config.num_hidden_layers;
    struct prune_importance p = measured(&m);
    struct model_config free_config = m.config;
    size_t n_constrained = 0;
    free_config.sliding_window = free_config.no_rope_layer_interval = 0;
    for (size_t i = 0; i < 50; i++) {
        const size_t n_kept = 1 + rng_below(r, n - 1);
        double sum = 0;
        for (size_t j = 0; j < n; j++)
            p.influence[j] = rng_uniform(r);
        struct prune_plan plan = plan_of(&m, (struct prune_target){.layers = n_kept}, &p);
        for (size_t j = 0; j < n_kept; j++) {
            sum += p.influence[plan.layers[j].layer];
            assert_true(j == 0 || plan.layers[j].layer > plan.layers[j - 1].layer);
            assert_true(same_kind(&m.config, plan.layers[j].layer, j));
        }
        assert_true(fabs(sum - best_sum(&m.config, p.influence, n_kept)) < 1e-12);
        n_constrained += best_sum(&free_config, p.influence, n_kept) > sum + 1e-12;
        prune_plan_free(&plan);
    }
    prune_importance_free(&p);
    model_free(&m);
    return n_constrained;
}

/* Against all choices there are: windows, rotations, and neither. */
static void layers_keep_their_order(void **state)
{
    (void)state;
    struct rng r;
    rng_init(&r, 3, 3);
    assert_true(constrained_choices("gemma2", &r) > 10);
    assert_true(constrained_choices("gemma3", &r) > 10);
    assert_true(constrained_choices("smollm3", &r) > 10);
    assert_int_equal(constrained_choices("llama", &r), 0);
}

/* --- heads and channels --- */

static bool differs_by_layer(const struct model *m)
{
    return m->config.num_query_heads.count > 0;
}

/* Which of the pair (2 i, 2 i + 1) of heads is dead in a layer. */
static size_t dead_of_pair(size_t layer, size_t pair)
{
    return 2 * pair + (layer + pair) % 2;
}

static size_t dead_channel(size_t layer, int expert, size_t i)
{
    return 3 * i + (layer + (size_t)(expert + 1)) % 3;
}

enum { DEAD_CHANNELS = 7 };

/* Half of the key/value heads and some channels. */
static void kill_parts(struct model *m)
{
    const int n_experts = (int)m->config.num_experts;
    for (size_t i = 0; i < m->config.num_hidden_layers; i++) {
        for (size_t j = 0; j < m->layers[i].shape.n_kv_heads / 2 && !differs_by_layer(m); j++)
            kill_kv_head(m, i, dead_of_pair(i, j), 4 * j + 1 - dead_of_pair(i, j));
        for (int x = n_experts ? 0 : -1; x < (n_experts ? n_experts : 0); x++)
            for (size_t j = 0; j < DEAD_CHANNELS; j++)
                kill_channel(m, i, x, dead_channel(i, x, j));
    }
}

static void expect_dead_ones_gone(const struct model *m, const struct prune_plan *p)
{
    const int n_experts = (int)m->config.num_experts;
    const bool lists = differs_by_layer(m);
    for (size_t i = 0; i < p->config.num_hidden_layers; i++) {
        const struct prune_layer *l = &p->layers[i];
        const struct layer_shape s = model_layer_shape(&p->config, i);
        const size_t n = prune_channels(&p->config, i), group = s.n_heads / s.n_kv_heads;
        for (size_t j = 0; j < s.n_kv_heads && !lists; j++) {
            assert_false(is_among(dead_of_pair(l->layer, j), l->kv_heads, s.n_kv_heads));
            for (size_t k = 0; k < group; k++)
                assert_false(is_among(dead_of_pair(l->layer, j) * group + k, l->heads, s.n_heads));
        }
        for (int x = n_experts ? 0 : -1; x < (n_experts ? n_experts : 0); x++)
            for (size_t j = 0; j < DEAD_CHANNELS && n < prune_channels(&m->config, l->layer); j++)
                assert_false(is_among(dead_channel(l->layer, x, j), l->channels + (x > 0 ? (size_t)x * n : 0), n));
        assert_true(l->heads_lost < 1e-9 && l->channels_lost < 1e-9);
    }
}

static struct prune_target without_dead_parts(const struct model *m)
{
    struct prune_target t = {0};
    size_t widest = 0;
    for (size_t i = 0; i < m->config.num_hidden_layers; i++)
        widest = prune_channels(&m->config, i) > widest ? prune_channels(&m->config, i) : widest;
    t.channels = widest - DEAD_CHANNELS;
    t.kv_heads = differs_by_layer(m) ? 0 : m->config.num_key_value_heads / 2;
    return t;
}

/* There and back again, through a file of either kind. */
static void expect_same_in_files(const char *name, struct model *m, const struct tokenizer *t, const float *want)
{
    const struct export_options o = {.type = DTYPE_F32, .name = "pruned", .force = true};
    char *paths[] = {path_join(directory, "p"), path_join(directory, "p.gguf")};
    struct error e;
    for (int i = 0; i < 2; i++) {
        struct model back;
        assert_ok(i ? export_gguf(m, t, &o, paths[i], &e) : export_hf(m, t, &o, paths[i], &e), e);
        assert_ok(model_load(paths[i], WEIGHTS_F32, &back, NULL, &e), e);
        assert_int_equal(back.n_weights, m->n_weights);
        assert_true(back.config.tie_word_embeddings == m->config.tie_word_embeddings);
        expect_near(name, i ? "the GGUF file" : "the directory", &back, want, 2e-5);
        model_free(&back);
        mem_free(paths[i]);
    }
}

static void parts_that_give_nothing(void **state)
{
    (void)state;
    struct tokenizer *t = make_tokenizer(NULL);
    for (size_t i = 0; i < N_EXAMPLES; i++) {
        struct model m = example_model(&examples[i], VOCAB), pruned;
        kill_parts(&m);
        float *want = full_logits(&m, ids, CONTEXT);
        struct prune_plan plan = prune(&m, without_dead_parts(&m), &pruned);
        expect_dead_ones_gone(&m, &plan);
        assert_true(pruned.n_weights < m.n_weights);
        expect_near(examples[i].name, "a model without dead parts", &pruned, want, 2e-5);
        expect_same_in_files(examples[i].name, &pruned, t, want);
        prune_plan_free(&plan);
        model_free(&pruned), model_free(&m);
        mem_free(want);
    }
    tokenizer_free(t);
}

/* As many query heads of each key/value head: those whose output nobody reads, and which the importances say are least.
 * Where all are normalised together, a dead head's queries are its neighbour's. */
static void query_heads(void **state)
{
    (void)state;
    size_t n_checked = 0;
    for (size_t i = 0; i < N_EXAMPLES; i++) {
        struct model m = example_model(&examples[i], VOCAB), pruned;
        const size_t d = m.config.head_dim, kv_heads = m.config.num_key_value_heads;
        struct error e;
        struct prune_importance p = measured(&m);
        if (m.config.num_attention_heads != 2 * kv_heads || differs_by_layer(&m)) {
            prune_importance_free(&p);
            model_free(&m);
            continue;
        }
        for (size_t j = 0; j < m.config.num_hidden_layers; j++)
            for (size_t k = 0; k < kv_heads; k++) {
                const size_t dead = dead_of_pair(j, k), twin = 4 * k + 1 - dead;
                zero(role_of(&m, PARAM_ATTN_OUTPUT, j, -1), false, dead * d, d);
                copy_units(&m, j, PARAM_ATTN_Q, PARAM_ATTN_Q_BIAS, dead * d, twin * d, d);
                p.layers[j].heads[dead] = p.layers[j].heads[twin] / 3;
            }
        float *want = full_logits(&m, ids, CONTEXT);
        struct prune_plan plan = plan_of(&m, (struct prune_target){.heads = kv_heads}, &p);
        assert_int_equal(plan.config.num_attention_heads, kv_heads);
        assert_int_equal(plan.config.num_key_value_heads, kv_heads);
        assert_true(fabs(plan.layers[0].heads_lost - 0.25) < 1e-12);
        assert_ok(prune_model(&plan, &m, &pruned, &e), e);
        expect_near(examples[i].name, "a model of half its heads", &pruned, want, 2e-5);
        n_checked++;
        prune_plan_free(&plan);
        prune_importance_free(&p);
        model_free(&pruned), model_free(&m);
        mem_free(want);
    }
    assert_true(n_checked > 20);
}

/* Everything at once, from weights as they lie in a GGUF file: q and k in its order, matrices in f32 or in blocks. */
static void from_mapped_files(void **state)
{
    (void)state;
    static const struct mix f32 = {"F32", DTYPE_F32, 0};
    struct tokenizer *t = make_tokenizer(NULL);
    char *path = path_join(directory, "source.gguf");
    for (int i = 0; i < 2; i++) {
        struct model m = example_model(example_named("llama"), VOCAB), mapped, own, pruned[2];
        struct quantize_options o = {.types = {.output_type = NO_TYPE, .embedding_type = NO_TYPE, .mix = &f32,
                                               .pure = i == 0}, .name = "x"};
        struct export_report report;
        struct error e;
        if (i)
            assert_ok(mix_find("--type", "Q8_0", &o.types.mix, &e), e);
        assert_ok(quantize_model(&m, t, &o, path, &report, &e), e);
        assert_ok(model_load(path, WEIGHTS_MAPPED, &mapped, NULL, &e), e);
        assert_ok(model_load(path, WEIGHTS_F32, &own, NULL, &e), e);
        assert_true(mapped.config.rope_style == ROPE_INTERLEAVED && own.config.rope_style == ROPE_HALF);
        struct prune_importance p = measured(&mapped);
        struct prune_plan plan =
            plan_of(&own, (struct prune_target){.layers = 3, .kv_heads = 1, .heads = 1, .channels = 33}, &p);
        assert_ok(prune_model(&plan, &own, &pruned[0], &e), e);
        prune_plan_free(&plan);
        plan = plan_of(&mapped, (struct prune_target){.layers = 3, .kv_heads = 1, .heads = 1, .channels = 33}, &p);
        assert_ok(prune_model(&plan, &mapped, &pruned[1], &e), e);
        float *want = full_logits(&pruned[0], ids, CONTEXT);
        expect_near("llama", "the mapped model", &pruned[1], want, 2e-5);
        expect_same_in_files("llama", &pruned[1], t, want);
        prune_plan_free(&plan);
        prune_importance_free(&p);
        model_free(&pruned[0]), model_free(&pruned[1]), model_free(&own), model_free(&mapped), model_free(&m);
        mem_free(want);
    }
    mem_free(path);
    tokenizer_free(t);
}

/* --- what is asked for --- */

static void targets(void **state)
{
    (void)state;
    static const size_t backwards[] = {2, 1}, beyond[] = {0, 4}, broken[] = {0, 2}, kept[] = {1, 3};
    static const struct {
        const char *family;
        struct prune_target target;
        const char *message; /* NULL: fine */
    } cases[] = {
        {"llama", {0}, "nothing would go: the model has 4 layers, 4 heads, 2 key/value heads and 80"},
        {"llama", {4, 4, 2, 80, NULL}, "nothing would go"},
        {"llama", {.layers = 5}, "--layers 5: the model has 4"},
        {"llama", {.heads = 5}, "--heads 5: the model has 4"},
        {"llama", {.kv_heads = 3}, "--kv-heads 3: the model has 2"},
        {"llama", {.heads = 3}, "--heads 3: no multiple of the 2 key/value heads that stay"},
        {"llama", {.heads = 4, .kv_heads = 1}, "--heads 4: 4 for each of 1 key/value heads; in the model 2 share one"},
        {"llama", {.channels = 81}, "--intermediate-size 81: the model has 80"},
        {"mixtral", {.channels = 81}, "--intermediate-size 81: the model has 80 in each expert"},
        {"openelm", {.channels = 97}, "--intermediate-size 97: the model has 96"},
        {"openelm", {.heads = 2}, "the layers of openelm models have different numbers of heads"},
        {"llama", {.layers = 2, .keep_layers = backwards}, "--keep-layers: 1 after 2"},
        {"llama", {.layers = 2, .keep_layers = beyond}, "--keep-layers: there is no layer 4; the model has 0 to 3"},
        {"gemma2", {.layers = 2, .keep_layers = broken},
         "--keep-layers: layer 2 cannot become layer 1: in gemma2 models the last of every 2 layers has no window"},
        {"llama", {.layers = 2, .keep_layers = kept}, NULL},
        {"olmoe", {.heads = 2}, NULL},
        {"llama", {.heads = 1, .kv_heads = 1}, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct prune_target t = cases[i].target;
        struct model m = example_model(example_named(cases[i].family), VOCAB);
        struct error e = {0};
        const int code = prune_target_check(&t, &m.config, &e);
        assert_int_equal(code, cases[i].message ? ERR_USAGE : OK);
        if (cases[i].message && !strstr(e.message, cases[i].message))
            fail_msg("\"%s\", not \"%s\"", e.message, cases[i].message);
        if (!code)
            assert_true(t.layers > 0 && t.heads > 0 && t.kv_heads > 0 && t.channels > 0);
        model_free(&m);
    }
}

int main(void)
{
    if (!mkdtemp(directory))
        return 1;
    random_ids(ids, CHUNKS * CONTEXT, VOCAB, 5);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_that_add_nothing),
        cmocka_unit_test(influence),
        cmocka_unit_test(what_is_no_number),
        cmocka_unit_test(layers_keep_their_order),
        cmocka_unit_test(parts_that_give_nothing),
        cmocka_unit_test(query_heads),
        cmocka_unit_test(from_mapped_files),
        cmocka_unit_test(targets),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    remove_files(directory);
    return failed;
}
