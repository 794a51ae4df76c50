/* Losses and gradients of adapters against PyTorch in f64 (tests/fixtures/make_adapters.py): LoRA, rsLoRA and DoRA with
 * output layers of both kinds, on weights in f32, bf16, q8_0 and q4_0. */
#include "lora/load.h"

#define FIXTURE "tests/fixtures/adapters.h5"
#include "tests/model/judged.h"

static const double loss_bound = 1e-6, gradient_bound = 3e-5; /* relative; measured: 1e-7 and 1.2e-5 */

static const struct {
    const char *name;
    enum dtype base;
} cases[] = {
    {"train-lora", DTYPE_F32},       {"train-rslora", DTYPE_F32}, {"train-tied", DTYPE_F32}, {"train-dora", DTYPE_F32},
    {"train-dora-biases", DTYPE_F32}, {"train-bf16", DTYPE_BF16}, {"train-q8_0", DTYPE_Q8_0}, {"train-dora-q4_0", DTYPE_Q4_0},
};

/* The blocks' matrices become the stored ones, which the caller frees. */
static void *take_blocks(struct judged *j, enum dtype type)
{
    char *blocks = read_all(j, "blocks", HDF5_U8, 1, NULL), *at = blocks;
    for (size_t i = 0; i < j->n_tensors; i++) {
        struct param *p = model_find(&j->rig.model, j->tensors[i].name);
        size_t bytes = 0;
        if (!strstr(p->name, "proj.weight"))
            continue;
        assert_true(dtype_bytes(type, p->count, &bytes));
        p->data = at, p->type = type, p->value = NULL;
        at += bytes;
    }
    return blocks;
}

/* The adapter's parameter that a tensor of its file is. */
static const struct param *trained(const struct lora_adapter *a, const char *tensor)
{
    static const char head[] = "base_model.model.", tied[] = "lm_head.";
    const char *name = tensor + sizeof head - 1;
    for (size_t i = 0; i < a->all.count; i++) {
        const char *own = a->all.items[i]->name, *end = strstr(own, ".lora_");
        bool is_tied = strncmp(own, "model.embed_tokens.", 19) == 0 && strncmp(name, tied, sizeof tied - 1) == 0;
        if (strcmp(own, name) == 0 || (is_tied && strcmp(end, strstr(name, ".lora_")) == 0))
            return a->all.items[i];
    }
    fail_msg("no %s", tensor);
    return NULL;
}

/* The largest difference of a tensor's gradient, relative to its largest number. */
static double worst_gradient(const struct lora_adapter *a, const struct safetensors *s, const float *want, size_t n)
{
    double worst = 0;
    size_t at = 0;
    for (size_t i = 0; i < s->n_tensors; i++) { /* in the order of their names, as they are in the file */
        const struct param *p = trained(a, s->tensors[i].name);
        double largest = 0, difference = relative_difference(p->grad, want + at, p->count, &largest);
        if (getenv("LINNET_JUDGE"))
            print_message("    %-60s %.1e of %.1e\n", s->tensors[i].name, difference, largest);
        worst = fmax(worst, difference / largest);
        at += p->count;
    }
    assert_true(at == n && s->n_tensors == a->all.count);
    return worst;
}

static void judge(const char *name, enum dtype base)
{
    struct judged *j = judge_open(name, NULL);
    struct arena plan = {0}, arena;
    struct safetensors s;
    struct lora_adapter a;
    struct error e;
    json_t *config;
    size_t n, n_bytes;
    void *blocks = base == DTYPE_F32 ? NULL : take_blocks(j, base);
    char *text = read_all(j, "adapter", HDF5_U8, 1, &n);
    unsigned char *bytes = read_all(j, "safetensors", HDF5_U8, 1, &n_bytes);
    assert_ok(json_parse(text, n, &config, &e), e);
    assert_ok(safetensors_parse(bytes, n_bytes, &s, &e), e);
    assert_ok(lora_read_peft(config, &s, &j->rig.model, &a, &e), e);
    for (size_t i = 0; i < j->rig.model.n_params; i++)
        j->rig.model.params[i].grad = NULL; /* the model is frozen */
    params_attach_gradients(&a.all, DTYPE_F32, &plan);
    assert_ok(arena_init(&arena, plan.used, "test", &e), e);
    params_attach_gradients(&a.all, DTYPE_F32, &arena);
    lora_attach(&a);
    double loss = rig_step(&j->rig, 0) / (double)j->rig.batch.n_targets, want = read_number(j, "loss", 0);
    float *gradients = read_all(j, "gradients", HDF5_F32, sizeof *gradients, &n);
    double worst = worst_gradient(&a, &s, gradients, n), off = fabs(loss / want - 1);
    if (getenv("LINNET_JUDGE"))
        print_message("%-20s loss %.1e, gradients %.1e\n", name, off, worst);
    if (!(off < loss_bound) || !(worst < gradient_bound))
        fail_msg("%s: the loss is off by %g, gradients by %g", name, off, worst);
    a.strength = 0.99f; /* the judge notices */
    params_clear_gradients(&a.all);
    rig_step(&j->rig, 0);
    assert_true(worst_gradient(&a, &s, gradients, n) > 10 * gradient_bound);
    lora_detach(&a);
    lora_free(&a);
    safetensors_close(&s);
    json_decref(config);
    arena_free(&arena);
    judge_close(j);
    mem_free(blocks), mem_free(text), mem_free(bytes), mem_free(gradients);
}

static void equals_pytorch(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        judge(cases[i].name, cases[i].base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(equals_pytorch)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
