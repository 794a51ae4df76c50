/* Conversations: a session that keeps what it computed answers as one that begins anew. */
#include "infer/chat.h"

#include "tests/infer/util.h"

static const char TEMPLATE[] =
    "{% for m in messages %}{% if m.role == 'tool' %}{{ raise_exception('no tools here') }}{% endif %}"
    "<{{ m.role }}>{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";

static struct generate_options options(size_t max_tokens)
{
    struct generate_options o = {.sampler = sampler_defaults(), .max_tokens = max_tokens};
    o.sampler.temperature = 0;
    return o;
}

static void say(struct chat_session *s, const char *role, const char *text)
{
    chat_session_say(s, role, text, strlen(text));
}

static char *reply(struct chat_session *s, size_t *n_prompt)
{
    struct generation r = {0};
    struct generate_options o = options(12);
    struct error e;
    assert_ok(chat_session_reply(s, &o, NULL, NULL, &r, &e), e);
    char *text = mem_string_n(r.text.data ? r.text.data : "", r.text.size);
    *n_prompt = r.n_prompt;
    generation_free(&r);
    return text;
}

static void what_was_computed_is_kept(void **state)
{
    (void)state;
    struct model_config c = small_config(256, ROPE_HALF);
    c.max_position_embeddings = 512;
    struct model m = make_model(&c, 9);
    struct tokenizer *t;
    struct chat_session one, two;
    struct error e;
    size_t fed[3];
    assert_ok(tokenizer_new_bytes(NULL, 0, &t, &e), e);
    assert_ok(chat_session_init(&one, &m, t, TEMPLATE, &(struct generator_options){.capacity = 512}, &e), e);
    say(&one, "system", "be brief");
    say(&one, "user", "hello");
    char *first = reply(&one, &fed[0]);
    say(&one, "user", "and now?");
    char *second = reply(&one, &fed[1]);
    assert_int_equal(fed[0], strlen("<system>be brief\n<user>hello\n<assistant>"));
    /* the answer was drawn and fed but for its last token, if bytes are whole characters */
    assert_true(fed[1] <= strlen("\n<user>and now?\n<assistant>") + strlen(first));
    assert_true(fed[1] < one.fed.count);

    assert_ok(chat_session_init(&two, &m, t, TEMPLATE, &(struct generator_options){.capacity = 512}, &e), e);
    say(&two, "system", "be brief");
    say(&two, "user", "hello");
    say(&two, "assistant", first);
    say(&two, "user", "and now?");
    char *same = reply(&two, &fed[2]);
    assert_true(fed[2] > fed[1]);
    assert_string_equal(second, same);
    assert_int_equal(json_array_size(one.messages), 5);
    assert_true(json_equal(one.messages, two.messages));
    mem_free(first), mem_free(second), mem_free(same);
    chat_session_free(&one);
    chat_session_free(&two);
    tokenizer_free(t);
    model_free(&m);
}

/* Without a shift a conversation ends where the context does. With it each turn feeds what is new, and the session
 * knows what the generator holds. */
static void a_long_conversation_is_shifted(void **state)
{
    (void)state;
    enum { CAPACITY = 100, TURNS = 20 };
    struct model_config c = small_config(256, ROPE_HALF);
    struct model m = make_model(&c, 9);
    struct tokenizer *t;
    struct chat_session s;
    struct error e;
    assert_ok(tokenizer_new_bytes(NULL, 0, &t, &e), e);
    for (int shift = 0; shift <= 1; shift++) {
        struct generation r = {0};
        struct generate_options o = options(12);
        o.context_shift = shift, o.keep = 4;
        assert_ok(chat_session_init(&s, &m, t, TEMPLATE, &(struct generator_options){.capacity = CAPACITY}, &e), e);
        int turn = 0, code = OK;
        for (; turn < TURNS && !code; turn++) {
            say(&s, "user", "tell me more");
            code = chat_session_reply(&s, &o, NULL, NULL, &r, &e);
            const struct generator *g = &s.generator;
            assert_int_equal(s.fed.count, g->cache.length + g->n_discarded);
            /* new is what was said and at most the answer before it, where that reads otherwise than it was drawn */
            assert_true(code || r.n_prompt <= strlen("<user>tell me more\n<assistant>\n") + 3 * 13);
        }
        assert_int_equal(code, shift ? OK : ERR_USAGE);
        assert_true(shift ? turn == TURNS && s.generator.n_discarded > 300 : turn < 5);
        if (shift) /* what stands first is another: nothing of the sequence is of use, and all of it does not fit */
            chat_session_set_system(&s, "be brief");
        for (turn = 0; shift && turn < 3; turn++) {
            say(&s, "user", "tell me more");
            assert_ok(chat_session_reply(&s, &o, NULL, NULL, &r, &e), e);
            assert_int_equal(s.fed.count, s.generator.cache.length + s.generator.n_discarded);
            assert_memory_equal(s.generator.text.ids, s.fed.ids, 4 * sizeof *s.fed.ids); /* o.keep */
            assert_true(turn > 0 ? r.n_prompt < 80 : r.n_prompt == (CAPACITY - 4) / 2);
        }
        generation_free(&r);
        chat_session_free(&s);
    }
    tokenizer_free(t);
    model_free(&m);
}

static void a_refused_message_is_taken_back(void **state)
{
    (void)state;
    struct model_config c = small_config(256, ROPE_HALF);
    struct model m = make_model(&c, 9);
    struct tokenizer *t;
    struct chat_session s;
    struct generation r = {0};
    struct generate_options o = options(4);
    struct error e;
    size_t fed;
    assert_ok(tokenizer_new_bytes(NULL, 0, &t, &e), e);
    assert_int_equal(chat_session_init(&s, &m, t, NULL, &(struct generator_options){.capacity = 64}, &e), ERR_USAGE);
    assert_non_null(strstr(e.message, "the model has no chat template"));
    assert_int_equal(chat_session_init(&s, &m, t, "{% if %}", &(struct generator_options){.capacity = 64}, &e), ERR_FORMAT);
    assert_ok(chat_session_init(&s, &m, t, TEMPLATE, &(struct generator_options){.capacity = 64}, &e), e);
    say(&s, "tool", "x");
    assert_int_equal(chat_session_reply(&s, &o, NULL, NULL, &r, &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, "no tools here"));
    assert_int_equal(json_array_size(s.messages), 0);
    char *text = mem_zero(100, 1);
    memset(text, 'a', 99);
    say(&s, "user", text); /* more than the context has room for */
    assert_int_equal(chat_session_reply(&s, &o, NULL, NULL, &r, &e), ERR_USAGE);
    assert_int_equal(json_array_size(s.messages), 0);
    say(&s, "user", "a\xFFz");
    mem_free(text);
    text = reply(&s, &fed);
    assert_string_equal(json_string_value(json_object_get(json_array_get(s.messages, 0), "content")),
                        "a\xEF\xBF\xBDz");
    mem_free(text);
    text = mem_zero(100, 1);
    memset(text, 'a', 99);
    say(&s, "user", text);
    assert_int_equal(chat_session_reply(&s, &o, NULL, NULL, &r, &e), ERR_USAGE);
    assert_non_null(strstr(e.message, " tokens are to follow the ")); /* not that the message alone were too long */
    mem_free(text);
    generation_free(&r);
    chat_session_free(&s);
    tokenizer_free(t);
    model_free(&m);
}

static void undo_system_and_another_answer(void **state)
{
    (void)state;
    struct model_config c = small_config(256, ROPE_HALF);
    c.max_position_embeddings = 512;
    struct model m = make_model(&c, 9);
    struct tokenizer *t;
    struct chat_session s;
    struct generation r = {0};
    struct generate_options o = options(12);
    struct error e;
    size_t fed;
    assert_ok(tokenizer_new_bytes(NULL, 0, &t, &e), e);
    assert_ok(chat_session_init(&s, &m, t, TEMPLATE, &(struct generator_options){.capacity = 512}, &e), e);
    assert_int_equal(chat_session_reply_again(&s, &o, NULL, NULL, &r, &e), ERR_USAGE);
    assert_false(chat_session_undo(&s));
    chat_session_set_system(&s, "be brief");
    assert_false(chat_session_undo(&s));
    say(&s, "user", "hello");
    char *first = reply(&s, &fed);
    json_t *before = json_deep_copy(s.messages);
    say(&s, "user", "and now?");
    mem_free(reply(&s, &fed));
    assert_true(chat_session_undo(&s));
    assert_true(json_equal(s.messages, before));

    /* Of the same messages the same answer, however it was come to; of others another. */
    assert_ok(chat_session_reply_again(&s, &o, NULL, NULL, &r, &e), e);
    assert_true(json_equal(s.messages, before));
    chat_session_recompute(&s);
    assert_ok(chat_session_reply_again(&s, &o, NULL, NULL, &r, &e), e);
    assert_int_equal(r.n_prompt, strlen("<system>be brief\n<user>hello\n<assistant>"));
    assert_true(json_equal(s.messages, before));
    chat_session_set_system(&s, "be long");
    assert_int_equal(json_array_size(s.messages), 3);
    chat_session_set_system(&s, NULL);
    assert_int_equal(json_array_size(s.messages), 2);
    assert_ok(chat_session_reply_again(&s, &o, NULL, NULL, &r, &e), e);
    assert_true(r.text.size != strlen(first) || memcmp(r.text.data, first, r.text.size) != 0);

    /* What fails leaves all as it was. */
    json_decref(before);
    before = json_deep_copy(s.messages);
    o.sampler.top_p = 2;
    assert_int_equal(chat_session_reply_again(&s, &o, NULL, NULL, &r, &e), ERR_USAGE);
    assert_true(json_equal(s.messages, before));
    json_t *wrong = json_pack("[{s:s, s:s}, {s:s}]", "role", "user", "content", "x", "role", "user");
    assert_int_equal(chat_session_set_messages(&s, wrong, &e), ERR_FORMAT);
    assert_string_equal(e.message, "message 1 is no {\"role\": \"...\", \"content\": \"...\"}");
    assert_true(json_equal(s.messages, before));
    json_array_remove(wrong, 1);
    assert_ok(chat_session_set_messages(&s, wrong, &e), e);
    assert_true(json_equal(s.messages, wrong));
    json_decref(wrong);
    json_decref(before);
    mem_free(first);
    generation_free(&r);
    chat_session_free(&s);
    tokenizer_free(t);
    model_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_computed_is_kept),
        cmocka_unit_test(a_long_conversation_is_shifted),
        cmocka_unit_test(a_refused_message_is_taken_back),
        cmocka_unit_test(undo_system_and_another_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
