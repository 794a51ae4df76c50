/* From a conversation to the tokens that a model continues as its assistant. */
#ifndef LINNET_INFER_CHAT_PROMPT_H
#define LINNET_INFER_CHAT_PROMPT_H

#include "chat/template.h"
#include "tokenizer/tokenizer.h"

/* `text`: instead of the template that came with the tokenizer; NULL: that. ERR_USAGE when there is none. */
int chat_template_open(const struct tokenizer *t, const char *text, struct chat_template **template,
                       struct error *e);

/* Appends the conversation's tokens, the opening of the assistant's turn at their end. `tools` and `variables` may
 * be NULL (struct chat_input). ERR_FORMAT as from chat_template_render, and when there are none. Safe from several
 * threads at once. */
int chat_prompt_tokens(const struct chat_template *template, const struct tokenizer *t, const json_t *messages,
                       const json_t *tools, const json_t *variables, struct tokens *out, struct error *e);

#endif
