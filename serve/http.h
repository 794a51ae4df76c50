/* HTTP, which libmicrohttpd speaks (the one file that includes it is http.c). A few threads wait for all connections
 * together; a connection whose answer is still being computed is set aside and costs nothing. */
#ifndef LINNET_SERVE_HTTP_H
#define LINNET_SERVE_HTTP_H

#include "serve/exchange.h"

/* Whether linnet was built with libmicrohttpd. */
bool http_available(void);

/* Borrowed, for the time of a call; NULL where the client sent none. */
struct http_request {
    const char *method, *path, *host, *origin, *authorization;
    const char *body; /* (n_body), followed by a NUL */
    size_t n_body;
};

enum { HTTP_HEADERS_MOST = 12 };
struct http_reply {
    int status;         /* 0: none yet */
    struct buffer body; /* its content, where that is known at once ... */
    struct exchange *exchange; /* ... else who gives it */
    struct {
        const char *name; /* a literal */
        char *value;
    } headers[HTTP_HEADERS_MOST];
    size_t n_headers;
};
void http_reply_header(struct http_reply *r, const char *name, const char *value); /* copies the value */

/* Called by several threads at once. */
struct http_handler {
    /* Fills the reply when the headers are enough to refuse; the body is not there yet. */
    void (*check)(void *context, const struct http_request *q, struct http_reply *r);
    /* Fills the reply. An exchange is to use the listener. */
    void (*answer)(void *context, const struct http_request *q, const struct exchange_listener *l,
                   struct http_reply *r);
    /* The body is larger than allowed. */
    void (*too_large)(void *context, const struct http_request *q, struct http_reply *r);
    /* Headers that all replies have. */
    void (*finish)(void *context, const struct http_request *q, struct http_reply *r);
    /* It is over; 499: the client went away before. */
    void (*done)(void *context, const char *path, int status);
    void *context;
};

struct http_options {
    int socket; /* listening; http_start takes it, also when it fails */
    size_t max_body; /* bytes */
    unsigned timeout; /* seconds a client may be silent, or not read what it is sent; 0: any time */
    unsigned max_connections;
};

struct http_server;
int http_start(struct http_server **h, const struct http_options *o, const struct http_handler *handler,
               struct error *e);
/* Takes no more connections. */
void http_close(struct http_server *h);
/* Requests that are being read or answered. */
size_t http_active(struct http_server *h);
/* No exchange may be at work any more (scheduler_stop). NULL is fine. */
void http_free(struct http_server *h);

#endif
