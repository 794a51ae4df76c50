/* Generation with a cache against passes without one; and every way to stop. */
#include "infer/generate.h"

#include "tests/infer/util.h"

#include <stdio.h>

static struct generator make_generator(struct model *m, const struct tokenizer *t, size_t capacity,
                                       size_t chunk)
{
    struct generator g;
    struct error e;
    assert_ok(generator_init(&g, m, t, &(struct generator_options){capacity, chunk, DTYPE_F32}, &e), e);
    return g;
}

static void assert_close(const float *a, const float *b, size_t n, const char *what)
{
    float size = 1;
    for (size_t i = 0; i < n; i++)
        size = fmaxf(size, fabsf(b[i]));
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(a[i] - b[i]) < 1e-5f * size))
            fail_msg("%s: logit %zu is %.8g, expected %.8g", what, i, (double)a[i], (double)b[i]);
}

/* One token at a time, and the prompt in chunks of any size, give the logits of a full pass. */
static void the_cache_changes_nothing(void **state)
{
    (void)state;
    enum { N = 37, V = 61 };
    static const size_t chunks[] = {1, 2, 5, 16, 36, 37, 64};
    int32_t ids[N];
    random_ids(ids, N, V, 5);
    for (int style = ROPE_HALF; style <= ROPE_INTERLEAVED; style++) {
        for (int tied = 0; tied < 2; tied++) {
            struct error e;
            struct model_config c = small_config(V, (enum rope_style)style);
            c.tie_word_embeddings = tied;
            struct model m = make_model(&c, 3);
            float *want = full_logits(&m, ids, N);
            struct generator one = make_generator(&m, NULL, N, 8);
            for (size_t i = 0; i < N; i++) {
                assert_ok(generator_feed(&one, ids + i, 1, NULL, &e), e);
                assert_close(one.logits, want + i * V, V, "token by token");
            }
            generator_free(&one);
            for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
                struct generator g = make_generator(&m, NULL, N, chunks[i]);
                assert_ok(generator_feed(&g, ids, N, NULL, &e), e);
                assert_close(g.logits, want + (N - 1) * V, V, "in chunks");
                generator_rewind(&g, 20); /* another road to the same place */
                assert_ok(generator_feed(&g, ids + 20, 5, NULL, &e), e);
                assert_close(g.logits, want + 24 * V, V, "after going back");
                generator_reset(&g);
                assert_ok(generator_feed(&g, ids, 3, NULL, &e), e);
                assert_close(g.logits, want + 2 * V, V, "after a reset");
                generator_free(&g);
            }
            mem_free(want);
            model_free(&m);
        }
    }
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    struct error e;
    struct model_config c = small_config(61, ROPE_HALF);
    struct model m = make_model(&c, 3);
    struct generator g = make_generator(&m, NULL, 10, 4);
    const int32_t ids[12] = {0}, bad[] = {3, 61}, negative[] = {-1};
    assert_int_equal(generator_feed(&g, ids, 12, NULL, &e), ERR_USAGE);
    assert_ok(generator_feed(&g, ids, 7, NULL, &e), e);
    assert_int_equal(generator_feed(&g, ids, 4, NULL, &e), ERR_USAGE);
    assert_string_equal(e.message,
                        "4 tokens do not fit: the context is 10 tokens, of which 7 are taken");
    assert_int_equal(generator_feed(&g, bad, 2, NULL, &e), ERR_USAGE);
    assert_string_equal(e.message, "token 61 is none of the model's 61");
    assert_int_equal(generator_feed(&g, negative, 1, NULL, &e), ERR_USAGE);
    assert_int_equal(g.cache.length, 7);
    generator_free(&g);
    model_free(&m);
}

/* A model and a tokenizer; of its greedy text every character is one of a..z. */
struct rig {
    struct tokenizer *t;
    struct model m;
    struct generator g;
    struct generation r;
    struct buffer streamed;
    struct generate_options o;
};

static void collect(void *context, const char *text, size_t n)
{
    assert_true(n > 0);
    buffer_append(context, text, n);
}

static void rig_init(struct rig *r, const char *special, size_t capacity)
{
    *r = (struct rig){.t = make_tokenizer(special), .o = {.sampler = sampler_defaults()}};
    struct model_config c = small_config(tokenizer_vocab_size(r->t) + 7, ROPE_HALF);
    r->m = make_model(&c, 12);
    struct param *head = r->m.head.weight;
    for (size_t i = 0; i < head->rows; i++) {
        char letter = (char)i;
        struct buffer text = {0};
        if (i < tokenizer_vocab_size(r->t)) {
            int32_t id = (int32_t)i;
            tokenizer_decode(r->t, &id, 1, true, &text);
        }
        if (text.size == 1)
            letter = text.data[0];
        /* rows of no token are the likeliest of all, and must never come */
        float scale = i >= tokenizer_vocab_size(r->t)                          ? 1000
                      : text.size == 1 && letter >= 'a' && letter <= 'z' ? 1
                                                                               : 0;
        for (size_t j = 0; j < head->cols; j++)
            head->value[i * head->cols + j] *= scale;
        buffer_free(&text);
    }
    r->g = make_generator(&r->m, r->t, capacity, 8);
    r->o.sampler.temperature = 0;
}

static void rig_free(struct rig *r)
{
    generation_free(&r->r);
    generator_free(&r->g);
    model_free(&r->m);
    tokenizer_free(r->t);
    buffer_free(&r->streamed);
}

static int rig_run(struct rig *r, const char *prompt, struct error *e)
{
    struct tokens ids = {0};
    generator_reset(&r->g);
    buffer_clear(&r->streamed);
    int code = prompt_tokens(r->t, prompt, strlen(prompt), false, &ids, e);
    if (!code)
        code = generate(&r->g, ids.ids, ids.count, &r->o, collect, &r->streamed, &r->r, e);
    tokens_free(&ids);
    buffer_append(&r->streamed, "", 0);
    buffer_append(&r->r.text, "", 0);
    if (!code)
        assert_string_equal(r->streamed.data, r->r.text.data);
    return code;
}

static void it_stops_at_a_length_or_a_full_context(void **state)
{
    (void)state;
    struct rig r;
    struct error e;
    rig_init(&r, NULL, 30);
    r.o.max_tokens = 12;
    assert_ok(rig_run(&r, "hello", &e), e);
    assert_int_equal(r.r.reason, STOPPED_LENGTH);
    assert_int_equal(r.r.tokens.count, 12);
    assert_int_equal(r.r.n_decoded, 11);
    assert_int_equal(r.r.text.size, 12);
    for (size_t i = 0; i < 12; i++)
        assert_in_range(r.r.text.data[i], 'a', 'z');
    r.o.max_tokens = 0;
    assert_ok(rig_run(&r, "hello", &e), e);
    assert_int_equal(r.r.reason, STOPPED_CONTEXT);
    assert_int_equal(r.r.tokens.count, 26); /* 5 + 25 were fed, and one more is known */
    char prompt[40];
    memset(prompt, 'x', sizeof prompt);
    prompt[30] = 0;
    assert_ok(rig_run(&r, prompt, &e), e); /* the prompt just fits */
    assert_int_equal(r.r.tokens.count, 1);
    assert_int_equal(r.r.reason, STOPPED_CONTEXT);
    prompt[30] = 'x', prompt[33] = 0;
    assert_int_equal(rig_run(&r, prompt, &e), ERR_USAGE);
    assert_string_equal(e.message, "the prompt is 33 tokens long, 3 more than the context of 30 "
                                   "tokens has room for; shorten the prompt or raise the context");
    rig_free(&r);
}

/* Every byte is a token here, so a stop string is split over as many tokens as it is long. */
static void it_stops_at_a_string_over_several_tokens(void **state)
{
    (void)state;
    struct rig r;
    struct error e;
    char whole[64], stop[16];
    rig_init(&r, NULL, 60);
    r.o.max_tokens = 40;
    assert_ok(rig_run(&r, "hello", &e), e);
    strcpy(whole, r.r.text.data);
    const char *const stops[] = {"NOT THERE", stop};
    r.o.stops = stops, r.o.n_stops = 2;
    for (size_t from = 0; from < 30; from += 7) {
        for (size_t n = 1; n < 10; n += 3) {
            memcpy(stop, whole + from, n);
            stop[n] = 0;
            size_t first = (size_t)(strstr(whole, stop) - whole);
            assert_ok(rig_run(&r, "hello", &e), e);
            assert_int_equal(r.r.reason, STOPPED_STRING);
            assert_int_equal(r.r.text.size, first);
            assert_memory_equal(r.r.text.data, whole, first);
            assert_int_equal(r.r.tokens.count, first + n);
        }
    }
    /* what was held back at the end is let through when it did not become a stop string */
    memcpy(stop, whole + 36, 4);
    strcpy(stop + 4, "!");
    assert_ok(rig_run(&r, "hello", &e), e);
    assert_int_equal(r.r.reason, STOPPED_LENGTH);
    assert_string_equal(r.r.text.data, whole);
    rig_free(&r);
}

static void the_same_seed_gives_the_same_text(void **state)
{
    (void)state;
    struct rig r;
    struct error e;
    char first[64];
    rig_init(&r, NULL, 60);
    r.o.max_tokens = 40;
    r.o.sampler.temperature = 0.7, r.o.sampler.top_k = 20, r.o.sampler.seed = 8;
    assert_ok(rig_run(&r, "hello", &e), e);
    size_t n = r.r.text.size;
    assert_true(n < sizeof first);
    memcpy(first, r.r.text.data, n + 1);
    assert_ok(rig_run(&r, "hello", &e), e);
    assert_string_equal(r.r.text.data, first);
    r.o.sampler.seed = 9;
    assert_ok(rig_run(&r, "hello", &e), e);
    assert_string_not_equal(r.r.text.data, first);
    rig_free(&r);
}

static void end_tokens_and_empty_prompts(void **state)
{
    (void)state;
    struct rig r;
    struct error e;
    rig_init(&r, "<|endoftext|>", 40);
    int32_t eos = tokenizer_eos(r.t);
    assert_true(eos != TOKEN_NONE);
    r.o.max_tokens = 10;
    assert_ok(rig_run(&r, "", &e), e); /* begins after the end of another text */
    assert_int_equal(r.r.n_prompt, 1);
    assert_int_equal(r.r.text.size, 10);
    /* the end token becomes the likeliest: component 0 of the final state is made positive */
    for (size_t i = 0; i < r.m.token_embd->rows; i++)
        r.m.token_embd->value[i * r.m.token_embd->cols] = 100;
    r.m.head.weight->value[(size_t)eos * r.m.head.weight->cols] = 1000;
    assert_ok(rig_run(&r, "the cat", &e), e);
    assert_int_equal(r.r.reason, STOPPED_END);
    assert_int_equal(r.r.tokens.count, 1);
    assert_int_equal(r.r.tokens.ids[0], eos);
    assert_int_equal(r.r.text.size, 0);
    r.o.ignore_end = true;
    assert_ok(rig_run(&r, "the cat", &e), e);
    assert_int_equal(r.r.reason, STOPPED_LENGTH);
    assert_int_equal(r.r.tokens.count, 10);
    assert_int_equal(r.r.text.size, 0);
    r.o.show_special = true, r.o.max_tokens = 2;
    assert_ok(rig_run(&r, "the cat", &e), e);
    assert_string_equal(r.r.text.data, "<|endoftext|><|endoftext|>");
    rig_free(&r);

    rig_init(&r, NULL, 40); /* 256 bytes have no such token */
    assert_int_equal(rig_run(&r, "", &e), ERR_USAGE);
    assert_non_null(strstr(e.message, "the prompt is empty"));
    rig_free(&r);
}

static int calls_until_interruption;
static bool interrupted(void)
{
    return --calls_until_interruption < 0;
}

static void it_can_be_interrupted(void **state)
{
    (void)state;
    struct rig r;
    struct error e;
    rig_init(&r, NULL, 60);
    r.o.interrupted = interrupted;
    calls_until_interruption = 4;
    assert_ok(rig_run(&r, "hello", &e), e);
    assert_int_equal(r.r.reason, STOPPED_INTERRUPTED);
    assert_int_equal(r.r.tokens.count, 5);
    assert_int_equal(r.r.text.size, 5);
    calls_until_interruption = 1; /* in the middle of a prompt of three chunks */
    assert_ok(rig_run(&r, "a prompt of three chunks", &e), e);
    assert_int_equal(r.r.reason, STOPPED_INTERRUPTED);
    assert_int_equal(r.r.tokens.count, 0);
    assert_int_equal(r.g.cache.length, 0);
    rig_free(&r);
}

static int32_t likeliest(const float *logits, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        best = logits[i] > logits[best] ? i : best;
    return (int32_t)best;
}

/* With one layer, whose keys and values do not depend on other tokens, a shifted context is that of the tokens left:
 * each token is the likeliest of a whole pass over them. */
static void a_full_context_is_shifted(void **state)
{
    (void)state;
    enum { V = 61, CAPACITY = 24, PROMPT = 9, N = 70 };
    for (size_t keep = 0; keep < 4; keep += 3) {
        struct model_config c = small_config(V, ROPE_HALF);
        c.num_hidden_layers = 1;
        struct model m = make_model(&c, 14);
        struct generator g = make_generator(&m, NULL, CAPACITY, 8);
        int32_t list[CAPACITY + 1], made[N];
        struct error e;
        size_t n = PROMPT, shifts = 0;
        random_ids(list, PROMPT, V, 15);
        assert_ok(generator_feed(&g, list, PROMPT, NULL, &e), e);
        for (size_t i = 0; i < N; i++) {
            made[i] = likeliest(g.logits, V);
            float *want = full_logits(&m, list, n);
            assert_close(g.logits, want + (n - 1) * V, V, "shifted");
            mem_free(want);
            if (n == CAPACITY) { /* half of what is not kept */
                size_t discard = (n - keep + 1) / 2;
                memmove(list + keep, list + keep + discard, (n - keep - discard) * sizeof *list);
                n -= discard, shifts++;
            }
            assert_true(generator_make_room(&g, 1, keep));
            assert_ok(generator_feed(&g, made + i, 1, NULL, &e), e);
            list[n++] = made[i];
            assert_int_equal(g.cache.length, n);
            assert_int_equal(g.n_discarded + n, PROMPT + i + 1);
        }
        assert_true(shifts >= 4);
        assert_false(generator_make_room(&g, CAPACITY, keep + 1)); /* that much is never free */
        generator_free(&g);
        model_free(&m);
    }
}

static void a_shifted_text_ends_for_other_reasons(void **state)
{
    (void)state;
    struct rig r;
    struct error e;
    rig_init(&r, NULL, 30);
    r.o.max_tokens = 200;
    r.o.context_shift = true;
    assert_ok(rig_run(&r, "hello", &e), e);
    assert_int_equal(r.r.reason, STOPPED_LENGTH);
    assert_int_equal(r.r.tokens.count, 200);
    assert_int_equal(r.g.cache.length + r.g.n_discarded, 5 + 199);
    assert_true(r.g.n_discarded >= 174);
    char first[201];
    memcpy(first, r.r.text.data, sizeof first);
    r.o.context_shift = false; /* the same until the context is full */
    assert_ok(rig_run(&r, "hello", &e), e);
    assert_int_equal(r.r.reason, STOPPED_CONTEXT);
    assert_int_equal(r.g.n_discarded, 0);
    assert_memory_equal(first, r.r.text.data, r.r.text.size);
    r.o.context_shift = true, r.o.keep = 30; /* nothing may go */
    assert_ok(rig_run(&r, "hello", &e), e);
    assert_int_equal(r.r.reason, STOPPED_CONTEXT);
    rig_free(&r);
}

/* The model would write letters without an end; the grammar wants digits and blanks, too, and ends. */
static void a_grammar_is_followed(void **state)
{
    (void)state;
    static const char text[] = "root ::= [a-c]{3} \" 1\" [^x]{2} \"!\"?";
    struct rig r;
    struct error e;
    struct grammar *g;
    size_t n_closed = 0;
    rig_init(&r, "<end>", 60);
    assert_ok(grammar_parse(text, sizeof text - 1, &g, &e), e);
    r.o.grammar = g;
    r.o.trie = token_trie_new(r.t, r.g.n_choices);
    for (size_t i = 0; i < 20; i++) {
        r.o.sampler.temperature = i ? 3 : 0;
        r.o.sampler.seed = i;
        assert_ok(rig_run(&r, "hello", &e), e);
        assert_int_equal(r.r.reason, STOPPED_END);
        struct grammar_state s;
        grammar_state_init(&s, g);
        /* a random model also writes parts of characters, which the text shows as U+FFFD */
        if (!strstr(r.r.text.data, "\xef\xbf\xbd"))
            assert_ok(grammar_accept(&s, r.r.text.data, r.r.text.size, &e), e);
        assert_true(strspn(r.r.text.data, "abc") == 3 && memcmp(r.r.text.data + 3, " 1", 2) == 0);
        grammar_state_free(&s);
        /* behind "!" nothing can follow: no end token is asked for */
        int32_t last = r.r.tokens.ids[r.r.tokens.count - 1];
        bool closed = r.r.text.data[r.r.text.size - 1] == '!' && r.r.text.size > 7;
        assert_true(!closed || !tokenizer_is_end(r.t, last));
        n_closed += closed;
    }
    assert_true(n_closed > 0);
    r.o.max_tokens = 2; /* the beginning of one */
    assert_ok(rig_run(&r, "hello", &e), e);
    assert_int_equal(r.r.reason, STOPPED_LENGTH);
    struct logit_bias *none = mem_alloc(r.g.n_choices, sizeof *none);
    for (size_t i = 0; i < r.g.n_choices; i++)
        none[i] = (struct logit_bias){(int32_t)i, -INFINITY};
    r.o.sampler.biases = none, r.o.sampler.n_biases = r.g.n_choices;
    assert_int_equal(rig_run(&r, "hello", &e), ERR_USAGE);
    assert_non_null(strstr(e.message, "that the grammar allows"));
    mem_free(none);
    token_trie_free((struct token_trie *)r.o.trie);
    grammar_free(g);
    rig_free(&r);
}

static void broken_weights_are_reported(void **state)
{
    (void)state;
    struct rig r;
    struct error e;
    rig_init(&r, NULL, 60);
    r.m.output_norm.weight->value[3] = NAN;
    assert_int_equal(rig_run(&r, "hello", &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, "not a number"));
    rig_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cache_changes_nothing),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(it_stops_at_a_length_or_a_full_context),
        cmocka_unit_test(it_stops_at_a_string_over_several_tokens),
        cmocka_unit_test(the_same_seed_gives_the_same_text),
        cmocka_unit_test(end_tokens_and_empty_prompts),
        cmocka_unit_test(it_can_be_interrupted),
        cmocka_unit_test(a_full_context_is_shifted),
        cmocka_unit_test(a_shifted_text_ends_for_other_reasons),
        cmocka_unit_test(a_grammar_is_followed),
        cmocka_unit_test(broken_weights_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
