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
    struct tokens fed;       /* the generator's sequence, and where its context was shifted what that dropped too */
};

/* o->capacity: tokens of the conversation. `template_text`: instead of the one that came with the tokenizer; NULL:
 * that. ERR_USAGE when there is none. */
int chat_session_init(struct chat_session *s, struct model *m, const struct tokenizer *t,
                      const char *template_text, const struct generator_options *o, struct error *e);
void chat_session_free(struct chat_session *s);
/* Forgets all messages. */
void chat_session_clear(struct chat_session *s);
/* Appends a message; `role` is "system", "user" or "assistant". */
void chat_session_say(struct chat_session *s, const char *role, const char *text, size_t n);

/* What the model is told before the conversation from now on; NULL: nothing. */
void chat_session_set_system(struct chat_session *s, const char *text);
/* Takes the last exchange back: the user's last message and all after it. False when there is none. */
bool chat_session_undo(struct chat_session *s);
/* Other messages instead: a list of {"role", "content"}, both text, as this header's `messages`. ERR_FORMAT says which
 * is none, with the session unchanged. */
int chat_session_set_messages(struct chat_session *s, const json_t *messages, struct error *e);
/* What was computed is of no use any more: the model's weights have changed. */
void chat_session_recompute(struct chat_session *s);

/* The model's turn: renders, generates as generate() does, and appends what the assistant said. On an error
 * the last message is taken back, so that the session goes on as if it had not been said. With o->context_shift a
 * conversation that outgrows the context goes on without its older parts. Where it was not only appended to (another
 * system message, an answer that is encoded otherwise when it is read again), its last part is computed anew. */
int chat_session_reply(struct chat_session *s, const struct generate_options *o, generate_emit *emit,
                       void *context, struct generation *r, struct error *e);
/* The same instead of the last answer, or of one to a last message that has none. On an error, and when it is interrupted
 * before its first token, all stays as it was. ERR_USAGE when there is no message to answer. */
int chat_session_reply_again(struct chat_session *s, const struct generate_options *o, generate_emit *emit,
                             void *context, struct generation *r, struct error *e);

#endif
