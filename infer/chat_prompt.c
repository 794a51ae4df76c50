#include "infer/chat_prompt.h"

#include <string.h>
#include <time.h>

int chat_template_open(const struct tokenizer *t, const char *text, struct chat_template **template,
                       struct error *e)
{
    *template = NULL;
    if (!text)
        text = tokenizer_chat_template(t);
    if (!text)
        return error_set(e, ERR_USAGE,
                         "the model has no chat template: it was not made for conversations. linnet "
                         "generate continues a text; --chat-template gives a template");
    return chat_template_parse("the chat template", text, strlen(text), template, e);
}

static const char *token_text(const struct tokenizer *t, int32_t id)
{
    size_t n;
    return id == TOKEN_NONE ? NULL : tokenizer_token(t, id, &n);
}

/* A template writes BOS itself where it wants one. */
int chat_prompt_tokens(const struct chat_template *template, const struct tokenizer *t, const json_t *messages,
                       const json_t *tools, const json_t *variables, struct tokens *out, struct error *e)
{
    struct chat_input in = {
        .messages = messages, .tools = tools, .add_generation_prompt = true, .variables = variables,
        .bos_token = token_text(t, tokenizer_bos(t)), .eos_token = token_text(t, tokenizer_eos(t)),
        .now = (int64_t)time(NULL),
    };
    struct buffer text = {0};
    size_t before = out->count;
    int code = chat_template_render(template, &in, &text, NULL, e);
    if (!code)
        tokenizer_encode(t, text.data ? text.data : "", text.size, true, out);
    if (!code && out->count == before)
        code = error_set(e, ERR_FORMAT, "the chat template gives an empty text");
    buffer_free(&text);
    return code;
}
