#include "serve/http.h"

#include "base/check.h"

#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

void http_reply_header(struct http_reply *r, const char *name, const char *value)
{
    CHECK(r->n_headers < HTTP_HEADERS_MOST);
    r->headers[r->n_headers].name = name;
    r->headers[r->n_headers++].value = mem_string(value);
}

#ifdef LINNET_MHD

#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <time.h>

enum {
    THREADS = 4,           /* that read requests, make prompts' tokens and send answers */
    BLOCK = 16 << 10,      /* of a stream, at most this at a time */
    LOOK_MILLISECONDS = 200, /* how often it is asked whether those who wait are still there */
    DRAIN_TIMES = 8,       /* a body up to so many times too large is read to its end, so that the refusal arrives */
};

struct connection {
    struct http_server *http;
    struct MHD_Connection *mhd;
    struct http_request request;
    char *method, *path;
    struct buffer body;
    size_t n_received;
    bool too_large, answered;
    struct http_reply reply;
    atomic_bool gone;
    struct connection *next, **at; /* in the server's list */
};

struct http_server {
    struct http_options options;
    struct http_handler handler;
    struct MHD_Daemon *daemon;
    pthread_t watcher;
    pthread_mutex_t lock; /* of the list, and of its connections' exchanges appearing and going */
    pthread_cond_t stop;
    struct connection *connections;
    size_t n_connections;
    bool stopping;
};

bool http_available(void)
{
    return true;
}

/* Connections */

static struct connection *connection_new(struct http_server *h, struct MHD_Connection *mhd, const char *method,
                                         const char *path)
{
    struct connection *c = mem_zero(1, sizeof *c);
    c->http = h;
    c->mhd = mhd;
    c->method = mem_string(method);
    c->path = mem_string(path);
    c->request = (struct http_request){
        .method = c->method, .path = c->path,
        .host = MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, "Host"),
        .origin = MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, "Origin"),
        .authorization = MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, "Authorization"),
    };
    pthread_mutex_lock(&h->lock);
    c->next = h->connections;
    c->at = &h->connections;
    if (c->next)
        c->next->at = &c->next;
    h->connections = c;
    h->n_connections++;
    pthread_mutex_unlock(&h->lock);
    return c;
}

static void on_completed(void *context, struct MHD_Connection *mhd, void **slot, enum MHD_RequestTerminationCode why)
{
    struct http_server *h = context;
    struct connection *c = *slot;
    (void)mhd;
    if (!c)
        return;
    *slot = NULL;
    pthread_mutex_lock(&h->lock);
    *c->at = c->next;
    if (c->next)
        c->next->at = c->at;
    pthread_mutex_unlock(&h->lock);
    if (c->reply.exchange)
        exchange_close(c->reply.exchange);
    bool gone = atomic_load(&c->gone) || why != MHD_REQUEST_TERMINATED_COMPLETED_OK;
    h->handler.done(h->handler.context, c->path, gone ? 499 : c->reply.status);
    for (size_t i = 0; i < c->reply.n_headers; i++)
        mem_free(c->reply.headers[i].value);
    buffer_free(&c->reply.body);
    buffer_free(&c->body);
    mem_free(c->method);
    mem_free(c->path);
    mem_free(c);
    pthread_mutex_lock(&h->lock);
    h->n_connections--;
    pthread_mutex_unlock(&h->lock);
}

/* Of the exchange */

static void sleep_connection(void *context)
{
    struct connection *c = context;
    MHD_suspend_connection(c->mhd);
}

static void wake_connection(void *context)
{
    struct connection *c = context;
    MHD_resume_connection(c->mhd);
}

/* A connection that is set aside is not looked at by the library: nobody would notice that the client has gone
 * before there is something to send. */
static bool has_gone(void *context)
{
    struct connection *c = context;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c->mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct pollfd p = {.fd = info->connect_fd, .events = POLLRDHUP};
    if (poll(&p, 1, 0) <= 0 || !(p.revents & (POLLRDHUP | POLLHUP | POLLERR)))
        return false;
    atomic_store(&c->gone, true);
    return true;
}

static void *watch(void *context)
{
    struct http_server *h = context;
    pthread_mutex_lock(&h->lock);
    while (!h->stopping) {
        for (struct connection *c = h->connections; c; c = c->next)
            if (c->reply.exchange)
                exchange_look(c->reply.exchange, has_gone, c);
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += LOOK_MILLISECONDS * 1000000l;
        until.tv_sec += until.tv_nsec / 1000000000l;
        until.tv_nsec %= 1000000000l;
        pthread_cond_timedwait(&h->stop, &h->lock, &until);
    }
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

/* Replies */

static ssize_t read_stream(void *context, uint64_t position, char *bytes, size_t most)
{
    struct connection *c = context;
    bool over;
    (void)position;
    for (;;) {
        size_t n = exchange_read(c->reply.exchange, bytes, most, &over);
        if (n > 0)
            return (ssize_t)n;
        if (over)
            return MHD_CONTENT_READER_END_OF_STREAM;
        if (exchange_sleep(c->reply.exchange))
            return 0;
    }
}

static void read_whole(struct connection *c)
{
    char bytes[4096];
    bool over = false;
    while (!over) {
        size_t n = exchange_read(c->reply.exchange, bytes, sizeof bytes, &over);
        buffer_append(&c->reply.body, bytes, n);
    }
    c->reply.status = exchange_status(c->reply.exchange);
}

static enum MHD_Result send_reply(struct connection *c)
{
    struct http_reply *r = &c->reply;
    struct MHD_Response *response;
    bool stream = r->exchange && exchange_streams(r->exchange);
    if (stream)
        response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, read_stream, c, NULL);
    else
        response = MHD_create_response_from_buffer(r->body.size, r->body.size ? r->body.data : "",
                                                   MHD_RESPMEM_MUST_COPY);
    if (!response)
        return MHD_NO;
    c->http->handler.finish(c->http->handler.context, &c->request, r);
    for (size_t i = 0; i < r->n_headers; i++)
        MHD_add_response_header(response, r->headers[i].name, r->headers[i].value);
    enum MHD_Result result = MHD_queue_response(c->mhd, (unsigned)r->status, response);
    MHD_destroy_response(response);
    return result;
}

/* The request is complete, or the wait for its answer over. */
static enum MHD_Result go_on(struct connection *c)
{
    struct http_server *h = c->http;
    struct http_reply *r = &c->reply;
    if (!c->answered) {
        const struct exchange_listener listener = {sleep_connection, wake_connection, c};
        struct http_reply reply = *r;
        c->answered = true;
        c->request.body = c->body.data ? c->body.data : "";
        c->request.n_body = c->body.size;
        if (!reply.status)
            h->handler.answer(h->handler.context, &c->request, &listener, &reply);
        buffer_free(&c->body);
        c->request.body = NULL;
        pthread_mutex_lock(&h->lock);
        *r = reply;
        pthread_mutex_unlock(&h->lock);
    }
    if (r->exchange && !exchange_streams(r->exchange)) {
        if (exchange_sleep(r->exchange))
            return MHD_YES; /* called again when there is an answer */
        read_whole(c);
    }
    return send_reply(c);
}

/* Reading requests */

static bool declares_too_much(const struct connection *c, size_t most)
{
    const char *length = MHD_lookup_connection_value(c->mhd, MHD_HEADER_KIND, "Content-Length");
    return length && strtoull(length, NULL, 10) > most;
}

static enum MHD_Result on_headers(struct http_server *h, struct MHD_Connection *mhd, const char *method,
                                  const char *path, void **slot)
{
    struct connection *c = connection_new(h, mhd, method, path);
    *slot = c;
    h->handler.check(h->handler.context, &c->request, &c->reply);
    if (!declares_too_much(c, h->options.max_body * DRAIN_TIMES))
        return MHD_YES;
    if (!c->reply.status)
        h->handler.too_large(h->handler.context, &c->request, &c->reply);
    c->answered = true;
    return send_reply(c);
}

static enum MHD_Result on_body(struct connection *c, const char *bytes, size_t n)
{
    size_t most = c->http->options.max_body;
    c->n_received += n;
    if (c->n_received > most * DRAIN_TIMES)
        return MHD_NO; /* without a word: it had no length, and does not end */
    if (c->n_received > most && !c->reply.status)
        c->http->handler.too_large(c->http->handler.context, &c->request, &c->reply);
    if (c->reply.status)
        buffer_free(&c->body);
    else
        buffer_append(&c->body, bytes, n);
    return MHD_YES;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *mhd, const char *path, const char *method,
                                  const char *version, const char *bytes, size_t *n, void **slot)
{
    struct connection *c = *slot;
    (void)version;
    if (!c)
        return on_headers(context, mhd, method, path, slot);
    if (*n > 0) {
        enum MHD_Result result = c->answered ? MHD_YES : on_body(c, bytes, *n);
        *n = 0;
        return result;
    }
    return go_on(c);
}

/* Life */

int http_start(struct http_server **out, const struct http_options *o, const struct http_handler *handler,
               struct error *e)
{
    *out = NULL;
    struct http_server *h = mem_zero(1, sizeof *h);
    h->options = *o;
    h->handler = *handler;
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->stop, NULL);
    h->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_ITC | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
        on_request, h, MHD_OPTION_LISTEN_SOCKET, o->socket, MHD_OPTION_THREAD_POOL_SIZE, (unsigned)THREADS,
        MHD_OPTION_CONNECTION_LIMIT, o->max_connections, MHD_OPTION_CONNECTION_TIMEOUT, o->timeout,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, h, MHD_OPTION_END);
    if (!h->daemon)
        close(o->socket);
    else if (pthread_create(&h->watcher, NULL, watch, h) == 0) {
        *out = h;
        return OK;
    }
    if (h->daemon)
        MHD_stop_daemon(h->daemon);
    pthread_cond_destroy(&h->stop);
    pthread_mutex_destroy(&h->lock);
    mem_free(h);
    return error_set_errno(e, "cannot start the HTTP server");
}

void http_close(struct http_server *h)
{
    int fd = MHD_quiesce_daemon(h->daemon);
    if (fd >= 0)
        close(fd);
}

size_t http_active(struct http_server *h)
{
    pthread_mutex_lock(&h->lock);
    size_t n = h->n_connections;
    pthread_mutex_unlock(&h->lock);
    return n;
}

void http_free(struct http_server *h)
{
    if (!h)
        return;
    pthread_mutex_lock(&h->lock);
    h->stopping = true;
    pthread_cond_signal(&h->stop);
    pthread_mutex_unlock(&h->lock);
    pthread_join(h->watcher, NULL);
    MHD_stop_daemon(h->daemon);
    pthread_cond_destroy(&h->stop);
    pthread_mutex_destroy(&h->lock);
    mem_free(h);
}

#else

bool http_available(void)
{
    return false;
}

int http_start(struct http_server **h, const struct http_options *o, const struct http_handler *handler,
               struct error *e)
{
    (void)handler;
    *h = NULL;
    close(o->socket);
    return error_set(e, ERR_USAGE, "linnet was built without libmicrohttpd, which speaks HTTP");
}

void http_close(struct http_server *h)
{
    CHECK(!h);
}

size_t http_active(struct http_server *h)
{
    CHECK(!h);
    return 0;
}

void http_free(struct http_server *h)
{
    CHECK(!h);
}

#endif
