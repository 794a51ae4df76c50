/* A model behind OpenAI's HTTP API: which requests are let in, and where they go. docs/serving.md describes it from
 * outside. */
#ifndef LINNET_SERVE_SERVER_H
#define LINNET_SERVE_SERVER_H

#include "infer/scheduler.h"
#include "serve/api.h"

struct server_options {
    const char *host;          /* name or address to listen on */
    int port;                  /* 0: one that is free */
    const char *model_name;
    const char *chat_template; /* instead of the model's own; NULL: that */
    const char *const *keys;   /* (n_keys) one of them must be sent; none: everyone is let in */
    size_t n_keys;
    const char *cors;          /* the origin whose pages may use it, or "*"; NULL: its own alone */
    size_t max_body;           /* bytes of a request */
    unsigned timeout;          /* seconds; http.h */
};

struct server;

/* Binds the port at once, so that nothing is loaded in vain; refuses connections until server_start. The options'
 * strings must outlive the server. ERR_IO: the port is taken. */
int server_bind(struct server **s, const struct server_options *o, struct error *e);
/* Reserves memory and serves. Model, tokenizer and adapters (o->n_adapters, called as no other and not as the model) must
 * outlive the server. */
int server_start(struct server *s, struct model *m, const struct tokenizer *t,
                 const struct scheduler_options *o, const struct api_adapter *adapters, struct error *e);
/* "http://127.0.0.1:8080", as long as the server lives. */
const char *server_url(const struct server *s);
/* Takes no more requests, lets those there come to their end for `grace` seconds, then cuts them off. NULL is fine. */
void server_stop(struct server *s, double grace);

/* Whether linnet was built with what speaks HTTP. */
bool server_available(void);

#endif
