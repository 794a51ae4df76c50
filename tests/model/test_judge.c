/* Every family of decoders against PyTorch in f64 (tests/fixtures/make_architectures.py): from the text of a
 * config.json and tensors under Hugging Face's names to logits, and back to the tensors' gradients. */
#include "tests/model/judged.h"

/* Relative to the largest logit, and to a tensor's largest gradient. Measured: 1.4e-6, and 1.5e-5, which is how
 * the file rounds gradients. */
static const double logit_bound = 5e-6, gradient_bound = 5e-5;

static const char *const cases[] = {
    "llama3.1",   "llama-linear", "llama-dynamic", "llama-yarn",   "llama-yarn-5", "llama-biases",
    "mistral",    "mixtral",      "mixtral-balance", "smollm3",    "granite",      "qwen2",
    "qwen3",      "phi3",         "phi3.5-long",   "phi3.5-short", "phi4-mini",    "gemma",
    "gemma2",     "gemma3",       "gemma3-5",      "stablelm",     "stablelm-12b", "openelm",
    "olmo2",      "olmoe",        "qwen2moe",      "qwen3moe",     "phimoe",
};
enum { N_CASES = sizeof cases / sizeof *cases };

/* --- verdicts --- */

static double logit_difference(struct judged *j)
{
    struct rig *r = &j->rig;
    struct output_layer head = decoder_output_layer(&r->model);
    size_t rows = r->batch.n_rows * r->batch.seq_len, n;
    double largest = 0;
    float *want = read_all(j, "logits", HDF5_F32, sizeof *want, &n), *got = mem_alloc(n, sizeof *got);
    const float *hidden = decoder_forward(&r->model, &r->activations, &r->batch, NULL, 0);
    assert_int_equal(n, rows * head.v);
    output_logits(&head, DTYPE_F32, hidden, got, rows);
    double difference = relative_difference(got, want, n, &largest) / largest;
    mem_free(want);
    mem_free(got);
    return difference;
}

/* The largest difference of a tensor's gradient relative to its largest. */
static double tensor_difference(const struct tensor *t, const struct held_tensor *held, const float *gradients)
{
    double worst = 0, largest = 0;
    assert_int_equal(t->rows * t->cols, held->count);
    for (size_t i = 0; i < t->n_pieces; i++) {
        const struct tensor_piece *piece = &t->pieces[i];
        const float *got = (const float *)piece->param->grad + piece->param_row * t->cols;
        const float *want = gradients + held->begin + piece->row * t->cols;
        worst = fmax(worst, relative_difference(got, want, piece->rows * t->cols, &largest));
    }
    return worst / fmax(largest, 1e-12); /* an expert that nothing was sent to has none */
}

/* The largest of all tensors', whose name it gives; all of them are among the parameters. */
static double gradient_difference(struct judged *j, const char *prefix, char worst_name[PARAM_NAME_SIZE])
{
    struct tensor_list list;
    size_t n, compared = 0;
    double worst = 0;
    float *gradients = read_all(j, "gradients", HDF5_F32, sizeof *gradients, &n);
    assert_int_equal(n, j->count);
    tensor_list_init(&list, &j->rig.model, CONTAINER_HF, false);
    assert_int_equal(list.n_tensors, j->n_tensors);
    for (size_t i = 0; i < list.n_tensors; i++) {
        const struct tensor *t = &list.tensors[i];
        if (strncmp(t->name, prefix, strlen(prefix)) != 0)
            continue;
        double difference = tensor_difference(t, find_held(j, t->name), gradients);
        compared++;
        if (!(difference <= worst)) {
            worst = difference;
            snprintf(worst_name, PARAM_NAME_SIZE, "%s", t->name);
        }
    }
    assert_true(compared > 0);
    tensor_list_free(&list);
    mem_free(gradients);
    return worst;
}

static void judge(const char *name)
{
    struct judged *j = judge_open(name, NULL);
    struct rig *r = &j->rig;
    char worst_name[PARAM_NAME_SIZE] = "";
    double logits = logit_difference(j);
    double loss = rig_step(r, 0) / (double)r->batch.n_targets / read_number(j, "loss", 0);
    double gradients = gradient_difference(j, "", worst_name);
    if (getenv("LINNET_JUDGE"))
        print_message("%-16s logits %.1e, loss %.1e, gradients %.1e (%s)\n", name, logits, fabs(loss - 1),
                      gradients, worst_name);
    if (!(logits < logit_bound))
        fail_msg("%s: logits are off by %g", name, logits);
    if (!(fabs(loss - 1) < 1e-5))
        fail_msg("%s: loss is PyTorch's times %.9g", name, loss);
    if (!(gradients < gradient_bound))
        fail_msg("%s: gradient of %s is off by %g", name, worst_name, gradients);
    if (r->model.config.num_experts &&
        !(fabs(r->activations.router_loss / read_number(j, "router_loss", 0) - 1) < 1e-5))
        fail_msg("%s: balancing loss %.9g, PyTorch says %.9g", name, r->activations.router_loss,
                 read_number(j, "router_loss", 0));
    judge_close(j);
}

static void equals_pytorch(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_CASES; i++)
        judge(cases[i]);
}

/* --- the judge notices --- */

static void other_magnitude(struct model_config *c) { c->rope_scaling.attention_factor *= 1.001; }
static void other_theta(struct model_config *c) { c->rope_theta *= 1.01; }
static void other_local_theta(struct model_config *c) { c->rope_local_base_freq *= 1.01; }
static void longer_window(struct model_config *c) { c->sliding_window++; }
static void all_rotate(struct model_config *c) { c->no_rope_layer_interval = 8; }
static void other_cap(struct model_config *c) { c->attn_logit_softcapping *= 1.001; }
static void other_scale(struct model_config *c) { c->query_pre_attn_scalar *= 1.001; }
static void other_residual(struct model_config *c) { c->residual_multiplier *= 1.001; }
static void other_epsilon(struct model_config *c) { c->rms_norm_eps *= 100; }
static void renormalised(struct model_config *c) { c->norm_topk_prob = true; }
static void short_context(struct model_config *c) { c->rope_scaling.original_max_position_embeddings = 30; }
static void less_rotated(struct model_config *c) { c->partial_rotary_factor = 0.5; }

static void a_wrong_forward_pass_is_noticed(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        void (*change)(struct model_config *c);
    } wrong[] = {
        {"llama-yarn-5", other_magnitude}, {"llama-dynamic", other_theta}, {"gemma3", other_local_theta},
        {"gemma3-5", other_theta}, {"mistral", longer_window}, {"phi3", longer_window},
        {"smollm3", all_rotate}, {"gemma2", other_cap}, {"gemma2", other_scale}, {"granite", other_residual},
        {"olmo2", other_epsilon}, {"openelm", other_epsilon}, {"qwen2moe", renormalised},
        {"llama3.1", short_context}, {"stablelm", less_rotated},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct judged *j = judge_open(wrong[i].name, wrong[i].change);
        double difference = logit_difference(j);
        if (!(difference > 2 * logit_bound))
            fail_msg("%s, wrong case %zu: logits are off by only %g", wrong[i].name, i, difference);
        judge_close(j);
    }
}

/* What a backward pass that forgets one factor, or the balancing loss, would give. */
static void a_wrong_gradient_is_noticed(void **state)
{
    (void)state;
    static const char fused[] = "model.layers.1.self_attn.qkv_proj.weight",
                      router[] = "model.layers.1.block_sparse_moe.gate.weight";
    char name[PARAM_NAME_SIZE];
    struct judged *j = judge_open("phi3", NULL);
    rig_step(&j->rig, 0);
    assert_true(gradient_difference(j, fused, name) < gradient_bound);
    struct param *p = model_find(&j->rig.model, "model.layers.1.self_attn.k_proj.weight");
    for (size_t i = 0; i < p->count; i++)
        ((float *)p->grad)[i] *= 1.002f;
    assert_true(gradient_difference(j, fused, name) > gradient_bound);
    judge_close(j);
    j = judge_open("mixtral-balance", NULL);
    j->rig.router_loss *= 1.002f;
    rig_step(&j->rig, 0);
    assert_true(gradient_difference(j, router, name) > gradient_bound);
    judge_close(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_pytorch),
        cmocka_unit_test(a_wrong_forward_pass_is_noticed),
        cmocka_unit_test(a_wrong_gradient_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
