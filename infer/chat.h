/* A conversation of several turns with a model, in the words of its own chat template. Each turn renders the
 * whole conversation; what the sequence holds already is not computed again. */
#ifndef LINNET_INFER_CHAT_H
#define LINNET_INFER_CHAT_H

#include "infer/chat_prompt.h"
#include "infer/generate.h"

struct chat_session {
    struct generator generator;
    struct chat_template *template;
    json_t *messages;        /* [{"role", "content"}, ...] */
    const json_t *variables; /* of the template beside those; NULL: none. Must outlive the session */
    struct tokens fed;       /* the generator's sequence */
};

/* `template_text`: instead of the one that came with the tokenizer; NULL: that. ERR_USAGE when there is none.
 * `capacity`: tokens of the conversation. */
int chat_session_init(struct chat_session *s, struct model *m, const struct tokenizer *t,
                      const char *template_text, size_t capacity, struct error *e);
void chat_session_free(struct chat_session *s);
/* Forgets all messages. */
void chat_session_clear(struct chat_session *s);
/* Appends a message; `role` is "system", "user" or "assistant". */
void chat_session_say(struct chat_session *s, const char *role, const char *text, size_t n);

/* The model's turn: renders, generates as generate() does, and appends what the assistant said. On an error
 * the last message is taken back, so that the session goes on as if it had not been said. */
int chat_session_reply(struct chat_session *s, const struct generate_options *o, generate_emit *emit,
                       void *context, struct generation *r, struct error *e);

#endif
