/* One request to a model and its answer, from JSON to JSON or to a stream of server-sent events. Knows nothing of
 * HTTP: whoever has the connection reads the answer piece by piece, and sleeps while there is none.
 *
 *     exchange_begin(&service, kind, body, n, &listener, &x, &refusal);
 *     ... exchange_read(x, bytes, most, &over); when 0 and not over: exchange_sleep(x) ...
 *     exchange_close(x);
 */
#ifndef LINNET_SERVE_EXCHANGE_H
#define LINNET_SERVE_EXCHANGE_H

#include "serve/api.h"
#include "infer/chat_prompt.h"
#include "infer/scheduler.h"

/* What requests are answered with; all of it safe from several threads at once. */
struct service {
    const char *model; /* name */
    int64_t created;
    const struct tokenizer *tokenizer;
    const struct chat_template *template; /* NULL: the model was not made for conversations */
    const struct token_trie *trie;        /* of all tokens that may be drawn, for grammars */
    struct scheduler *scheduler;
    size_t context;
    const struct api_adapter *adapters; /* (n_adapters) as the scheduler has them */
    size_t n_adapters;
};

/* Both are called with the exchange's lock held. */
struct exchange_listener {
    void (*sleep)(void *context); /* by exchange_sleep: nothing will be read until ... */
    void (*wake)(void *context);  /* ... this, by any thread */
    void *context;
};

struct exchange;

/* Parses n bytes and hands the work to the scheduler. On an error there is no exchange. */
int exchange_begin(const struct service *s, enum api_kind kind, const char *body, size_t n,
                   const struct exchange_listener *l, struct exchange **x, struct api_error *e);
/* The answer is a stream of events. */
bool exchange_streams(const struct exchange *x);
/* Takes up to `most` bytes of what is there; *over: that was all. */
size_t exchange_read(struct exchange *x, char *bytes, size_t most, bool *over);
/* False when there is something to read, or an end of it; else true, and the listener sleeps. */
bool exchange_sleep(struct exchange *x);
/* Of an answer that is no stream, when it is over: 200, or why there is none. */
int exchange_status(struct exchange *x);
/* Calls `look` if the listener sleeps, with the lock held; cancels the work when that says so. */
void exchange_look(struct exchange *x, bool (*look)(void *context), void *context);
/* Nobody wants the rest: what is still being computed is cancelled. The listener is not called any more. */
void exchange_close(struct exchange *x);

#endif
