/* Speculative decoding: the same text as without it, whatever is guessed, and fewer passes where guesses are right. */
#include "infer/generate.h"

#include "tests/infer/util.h"

enum { CAPACITY = 120 };

struct rig {
    struct tokenizer *t;
    struct model m;
    struct generator g;
    struct generate_options o;
    struct generation r;
};

static void rig_init(struct rig *r, size_t window)
{
    struct error e;
    *r = (struct rig){.o = {.sampler = sampler_defaults(), .max_tokens = 90, .ignore_end = true}};
    assert_ok(tokenizer_new_bytes(NULL, 0, &r->t, &e), e);
    struct model_config c = small_config(256, ROPE_HALF);
    c.max_position_embeddings = 256;
    if (window) {
        c.architecture = (int)(architecture_by_name("mistral") - architectures);
        c.sliding_window = window;
    }
    r->m = make_model(&c, 21);
    for (size_t i = 0; i < r->m.head.weight->count; i++)
        r->m.head.weight->value[i] *= 8; /* sure of itself */
    struct generator_options o = {.capacity = CAPACITY, .chunk = 16, .cache_type = DTYPE_F32};
    assert_ok(generator_init(&r->g, &r->m, r->t, &o, &e), e);
}

static void rig_free(struct rig *r)
{
    generation_free(&r->r);
    generator_free(&r->g);
    model_free(&r->m);
    tokenizer_free(r->t);
}

/* Tokens of a continuation; the caller frees them. */
static int32_t *run(struct rig *r, struct drafter *d, size_t *n)
{
    static const char prompt[] = "one two three one two";
    struct tokens ids = {0};
    struct error e;
    r->g.drafter = d;
    generator_reset(&r->g);
    tokenizer_encode(r->t, prompt, sizeof prompt - 1, false, &ids);
    assert_ok(generate(&r->g, ids.ids, ids.count, &r->o, NULL, NULL, &r->r, &e), e);
    /* the sequence holds the prompt and all that was drawn but the last */
    assert_int_equal(r->g.cache.length, ids.count + r->r.tokens.count - 1);
    assert_int_equal(r->g.text.count, r->g.cache.length);
    assert_memory_equal(r->g.text.ids, ids.ids, ids.count * sizeof *ids.ids);
    assert_memory_equal(r->g.text.ids + ids.count, r->r.tokens.ids, (r->r.tokens.count - 1) * sizeof *ids.ids);
    assert_int_equal(r->r.n_decoded, r->r.tokens.count - 1);
    tokens_free(&ids);
    *n = r->r.tokens.count;
    int32_t *copy = mem_alloc(*n, sizeof *copy);
    memcpy(copy, r->r.tokens.ids, *n * sizeof *copy);
    return copy;
}

static void check_same(struct rig *r, struct drafter *d)
{
    size_t n, m;
    int32_t *want = run(r, NULL, &n), *got = run(r, d, &m);
    enum stop_reason reason = r->r.reason;
    assert_int_equal(m, n);
    assert_memory_equal(got, want, n * sizeof *got);
    mem_free(want);
    mem_free(got);
    assert_int_equal(reason, r->o.max_tokens ? STOPPED_LENGTH : STOPPED_CONTEXT);
}

/* With the model itself for a draft all guesses are right where it is sure; with another one hardly any; and with look-up
 * those of what repeats itself. Greedy and drawn, to a number of tokens and to a full context. */
static void guesses_change_nothing(void **state)
{
    (void)state;
    for (size_t window = 0; window <= 24; window += 24) {
        struct rig r;
        struct error e;
        rig_init(&r, window);
        struct model other = make_model(&r.m.config, 22);
        struct generator_options o = {.capacity = CAPACITY, .chunk = 16, .cache_type = DTYPE_F32};
        struct generator same, different;
        assert_ok(generator_init(&same, &r.m, r.t, &o, &e), e);
        assert_ok(generator_init(&different, &other, r.t, &o, &e), e);
        struct generator *models[] = {NULL, &same, &different};
        for (size_t i = 0; i < 3; i++)
            for (size_t most = 1; most <= DRAFT_MOST; most += 7)
                for (int way = 0; way < 4; way++) {
                    struct drafter d;
                    drafter_init(&d, models[i], most);
                    r.o.sampler.temperature = way % 2 ? 0.7 : 0;
                    r.o.sampler.seed = 5 + most;
                    r.o.max_tokens = way < 2 ? 90 : 0;
                    check_same(&r, &d);
                    assert_true(d.n_accepted <= d.n_drafted);
                    if (models[i] == &same && way == 0)
                        assert_int_equal(d.n_accepted, d.n_drafted);
                    if (models[i] == &same && way == 0)
                        assert_true(d.n_accepted > 10);
                }
        generator_free(&same);
        generator_free(&different);
        model_free(&other);
        rig_free(&r);
    }
}

static struct tokens tokens_of(const int32_t *ids, size_t n)
{
    struct tokens t = {0};
    for (size_t i = 0; i < n; i++)
        tokens_push(&t, ids[i]);
    return t;
}

static void look_up_finds_the_latest(void **state)
{
    (void)state;
    static const int32_t ids[] = {1, 2, 3, 4, 9, 2, 3, 5, 6, 7, 2, 3};
    struct tokens t = tokens_of(ids, 12);
    struct drafter d;
    int32_t out[DRAFT_MOST];
    drafter_init(&d, NULL, 6);
    assert_int_equal(drafter_propose(&d, &t, 15, out), 3); /* half of `most` to begin with */
    static const int32_t want[] = {5, 6, 7, 2, 3};
    assert_memory_equal(out, want, 3 * sizeof *out);
    drafter_learn(&d, 3, 3);
    assert_int_equal(drafter_propose(&d, &t, 15, out), 5); /* to the end of the text */
    assert_memory_equal(out, want, 5 * sizeof *out);
    assert_int_equal(drafter_propose(&d, &t, 2, out), 2); /* no more than there is room for */
    drafter_learn(&d, 5, 1);
    assert_int_equal(drafter_propose(&d, &t, 15, out), 2);
    assert_int_equal(d.n_drafted, 8);
    assert_int_equal(d.n_accepted, 4);
    t.count = 10; /* ends in 6, 7: stood nowhere before */
    assert_int_equal(drafter_propose(&d, &t, 15, out), 0);
    t.count = 1;
    assert_int_equal(drafter_propose(&d, &t, 15, out), 0);
    tokens_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(guesses_change_nothing),
        cmocka_unit_test(look_up_finds_the_latest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
