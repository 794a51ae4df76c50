#include "serve/server.h"

#include "base/log.h"
#include "serve/chat_page.h"
#include "serve/http.h"
#include "serve/listen.h"
#include "serve/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST_CONNECTIONS = 512 };

struct server {
    struct server_options options;
    struct service service;
    struct chat_template *template;
    struct token_trie *trie;
    struct scheduler *scheduler;
    struct http_server *http;
    struct metrics metrics;
    int port, socket;
    bool local; /* bound to this machine alone */
    atomic_bool stopping;
    char *url;
};

bool server_available(void)
{
    return http_available();
}

/* Replies */

static void reply_json(struct http_reply *r, int status, json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(7)); /* those there are come from floats */
    json_decref(value);
    r->status = status;
    buffer_string(&r->body, text);
    free(text);
    http_reply_header(r, "Content-Type", "application/json");
}

static void reply_error(struct http_reply *r, const struct api_error *e)
{
    reply_json(r, e->status, api_error_json(e));
    if (e->status == 401)
        http_reply_header(r, "WWW-Authenticate", "Bearer");
    if (e->status == 429 || e->status == 503)
        http_reply_header(r, "Retry-After", "1");
}

/* Endpoints */

typedef void endpoint(struct server *s, const struct http_request *q, const struct exchange_listener *l,
                      struct http_reply *r);

static void answer(struct server *s, enum api_kind kind, const struct http_request *q,
                   const struct exchange_listener *l, struct http_reply *r)
{
    struct api_error e;
    if (exchange_begin(&s->service, kind, q->body, q->n_body, l, &r->exchange, &e)) {
        reply_error(r, &e);
        return;
    }
    r->status = 200; /* of an answer that is no stream: known when it is there */
    http_reply_header(r, "Content-Type", exchange_streams(r->exchange) ? "text/event-stream" : "application/json");
    if (exchange_streams(r->exchange))
        http_reply_header(r, "X-Accel-Buffering", "no"); /* proxies pass each token on */
}

static void on_completions(struct server *s, const struct http_request *q, const struct exchange_listener *l,
                           struct http_reply *r)
{
    answer(s, API_COMPLETION, q, l, r);
}

static void on_chat(struct server *s, const struct http_request *q, const struct exchange_listener *l,
                    struct http_reply *r)
{
    answer(s, API_CHAT, q, l, r);
}

static void on_embeddings(struct server *s, const struct http_request *q, const struct exchange_listener *l,
                          struct http_reply *r)
{
    struct api_error e;
    (void)s, (void)q, (void)l;
    api_refuse(&e, 501, NULL, "unsupported", "the model writes text; it was not made for embeddings");
    reply_error(r, &e);
}

static void on_models(struct server *s, const struct http_request *q, const struct exchange_listener *l,
                      struct http_reply *r)
{
    (void)q, (void)l;
    reply_json(r, 200, api_models_json(s->service.model, s->service.adapters, s->service.n_adapters, s->service.created,
                                       s->service.context));
}

/* As llama.cpp's server: which there are and how strong they are for requests that say nothing, or that anew. */
static void on_adapters(struct server *s, const struct http_request *q, const struct exchange_listener *l,
                        struct http_reply *r)
{
    size_t n = s->service.n_adapters, n_scales = 0;
    float *strengths = mem_zero(n, sizeof *strengths);
    struct api_scale *scales = NULL;
    struct api_error e;
    (void)l;
    if (strcmp(q->method, "POST") != 0) {
        scheduler_get_strengths(s->scheduler, strengths);
        reply_json(r, 200, api_adapters_json(s->service.adapters, strengths, n));
    } else if (api_parse_scales(q->body, q->n_body, &scales, &n_scales, &e) ||
               api_set_strengths(scales, n_scales, NULL, strengths, n, &e)) {
        reply_error(r, &e);
    } else {
        scheduler_set_strengths(s->scheduler, strengths);
        reply_json(r, 200, json_pack("{s:b}", "success", 1));
    }
    mem_free(scales);
    mem_free(strengths);
}

static void on_health(struct server *s, const struct http_request *q, const struct exchange_listener *l,
                      struct http_reply *r)
{
    struct api_error e;
    (void)q, (void)l;
    if (!atomic_load(&s->stopping)) {
        reply_json(r, 200, json_pack("{s:s}", "status", "ok"));
        return;
    }
    api_refuse(&e, 503, NULL, "shutting_down", "the server is shutting down");
    reply_error(r, &e);
}

static void on_page(struct server *s, const struct http_request *q, const struct exchange_listener *l,
                    struct http_reply *r)
{
    unsigned char random[16];
    char nonce[2 * sizeof random + 1];
    (void)s, (void)q, (void)l;
    while (getrandom(random, sizeof random, 0) != sizeof random)
        continue;
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(nonce + 2 * i, 3, "%02x", random[i]);
    chat_page_print(nonce, &r->body);
    r->status = 200;
    char *policy = mem_printf("default-src 'none'; script-src 'nonce-%s'; style-src 'nonce-%s'; connect-src 'self'; "
                              "base-uri 'none'; form-action 'none'; frame-ancestors 'none'", nonce, nonce);
    http_reply_header(r, "Content-Type", "text/html; charset=utf-8");
    http_reply_header(r, "Content-Security-Policy", policy);
    http_reply_header(r, "Referrer-Policy", "no-referrer");
    mem_free(policy);
}

static endpoint on_metrics;

enum { NO_KEY = 1 };
static const struct route {
    const char *path, *methods; /* separated by a comma and a space */
    endpoint *answer;
    int flags;
} routes[] = {
    {"/v1/chat/completions", "POST", on_chat, 0},     {"/v1/completions", "POST", on_completions, 0},
    {"/v1/models", "GET", on_models, 0},              {"/v1/embeddings", "POST", on_embeddings, 0},
    {"/health", "GET", on_health, NO_KEY},            {"/metrics", "GET", on_metrics, 0},
    {"/lora-adapters", "GET, POST", on_adapters, 0},  {"/", "GET", on_page, NO_KEY},
};
enum { ROUTES = sizeof routes / sizeof *routes };
_Static_assert(ROUTES < (int)METRICS_ENDPOINTS, "a counter for each and one for all others");

static size_t find_route(const char *path)
{
    size_t i = 0;
    while (i < ROUTES && strcmp(routes[i].path, path) != 0)
        i++;
    return i;
}

static void on_metrics(struct server *s, const struct http_request *q, const struct exchange_listener *l,
                       struct http_reply *r)
{
    const char *names[METRICS_ENDPOINTS] = {0};
    struct scheduler_stats stats = scheduler_stats(s->scheduler);
    (void)q, (void)l;
    for (size_t i = 0; i < ROUTES; i++)
        names[i] = routes[i].path;
    names[ROUTES] = "other";
    r->status = 200;
    metrics_print(&s->metrics, names, &stats, &r->body);
    http_reply_header(r, "Content-Type", "text/plain; version=0.0.4; charset=utf-8");
}

/* Who is let in */

/* The time does not depend on how much of the key is right. */
static bool same_secret(const char *given, const char *key)
{
    size_t n = strlen(given), m = strlen(key);
    unsigned char different = n != m;
    for (size_t i = 0; i < n; i++)
        different |= (unsigned char)(given[i] ^ key[m ? i % m : 0]);
    return !different;
}

static bool has_key(const struct server *s, const char *authorization)
{
    static const char scheme[] = "Bearer ";
    bool found = false;
    if (s->options.n_keys == 0)
        return true;
    if (!authorization || strncasecmp(authorization, scheme, strlen(scheme)) != 0)
        return false;
    for (size_t i = 0; i < s->options.n_keys; i++)
        found |= same_secret(authorization + strlen(scheme), s->options.keys[i]);
    return found;
}

/* A page of another site can make a browser ask a server on the user's own machine, under a name of that site which
 * it lets point here (DNS rebinding); the name stands in the Host header. */
static bool host_is_ours(const struct server *s, const char *host)
{
    const char *names[] = {"localhost", "127.0.0.1", "[::1]", s->options.host};
    if (!s->local || !host || s->options.n_keys > 0) /* no foreign page knows the key */
        return true;
    const char *end = strrchr(host, ':');
    size_t n = end && !strchr(end, ']') ? (size_t)(end - host) : strlen(host);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i]) == n && strncasecmp(host, names[i], n) == 0)
            return true;
    return false;
}

/* What asks in the name of a page says so; it must be one of our own or of the origin that is allowed. */
static bool origin_is_ours(const struct server *s, const struct http_request *q)
{
    const char *cors = s->options.cors;
    if (!q->origin || s->options.n_keys > 0 || (cors && (strcmp(cors, "*") == 0 || strcmp(cors, q->origin) == 0)))
        return true;
    const char *name = strstr(q->origin, "://");
    return name && q->host && strcasecmp(name + 3, q->host) == 0;
}

static bool is_preflight(const struct server *s, const struct http_request *q)
{
    return s->options.cors && strcmp(q->method, "OPTIONS") == 0;
}

static bool takes_method(const char *methods, const char *method)
{
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
    size_t n = strlen(wanted);
    for (const char *at = methods; *at; at += strcspn(at, ","), at += strspn(at, ", "))
        if (strcspn(at, ",") == n && strncmp(at, wanted, n) == 0)
            return true;
    return false;
}

static int refuse(const struct server *s, const struct http_request *q, struct api_error *e)
{
    size_t i = find_route(q->path);
    if (!host_is_ours(s, q->host))
        return api_refuse(e, 403, NULL, "wrong_host", "the Host header names another machine: %s", q->host);
    if (!origin_is_ours(s, q))
        return api_refuse(e, 403, NULL, "wrong_origin", "pages of %s may not use this server (--cors ORIGIN lets them)",
                          q->origin);
    if (is_preflight(s, q))
        return OK;
    if (i == ROUTES)
        return api_refuse(e, 404, NULL, "unknown_url", "there is nothing at %s", q->path);
    if (!takes_method(routes[i].methods, q->method))
        return api_refuse(e, 405, NULL, "method_not_allowed", "%s takes %s, not %s", q->path, routes[i].methods,
                          q->method);
    if (!(routes[i].flags & NO_KEY) && !has_key(s, q->authorization))
        return api_refuse(e, 401, NULL, "invalid_api_key", "a valid API key is needed: Authorization: Bearer KEY");
    return OK;
}

static void on_check(void *context, const struct http_request *q, struct http_reply *r)
{
    struct server *s = context;
    struct api_error e;
    if (refuse(s, q, &e)) {
        reply_error(r, &e);
        if (e.status == 405)
            http_reply_header(r, "Allow", routes[find_route(q->path)].methods);
    } else if (is_preflight(s, q)) {
        r->status = 204;
        http_reply_header(r, "Access-Control-Allow-Methods", "GET, POST");
        http_reply_header(r, "Access-Control-Allow-Headers", "Authorization, Content-Type");
        http_reply_header(r, "Access-Control-Max-Age", "600");
    }
}

static void on_answer(void *context, const struct http_request *q, const struct exchange_listener *l,
                      struct http_reply *r)
{
    routes[find_route(q->path)].answer(context, q, l, r);
}

static void on_too_large(void *context, const struct http_request *q, struct http_reply *r)
{
    struct server *s = context;
    struct api_error e;
    (void)q;
    api_refuse(&e, 413, NULL, "body_too_large", "the body is larger than %zu bytes (--max-body)", s->options.max_body);
    reply_error(r, &e);
}

static void on_finish(void *context, const struct http_request *q, struct http_reply *r)
{
    const struct server *s = context;
    (void)q;
    http_reply_header(r, "X-Content-Type-Options", "nosniff");
    http_reply_header(r, "Cache-Control", "no-store");
    if (!s->options.cors)
        return;
    http_reply_header(r, "Access-Control-Allow-Origin", s->options.cors);
    http_reply_header(r, "Vary", "Origin");
}

static void on_done(void *context, const char *path, int status)
{
    struct server *s = context;
    metrics_count(&s->metrics, find_route(path), status);
}

/* Life */

int server_bind(struct server **out, const struct server_options *o, struct error *e)
{
    struct server *s = mem_zero(1, sizeof *s);
    *out = NULL;
    s->options = *o;
    s->port = o->port;
    s->local = listen_is_local(o->host);
    int code = listen_bind(o->host, &s->port, &s->socket, e);
    if (code) {
        mem_free(s);
        return code;
    }
    bool v6 = strchr(o->host, ':') != NULL;
    s->url = mem_printf("http://%s%s%s:%d", v6 ? "[" : "", o->host, v6 ? "]" : "", s->port);
    *out = s;
    return OK;
}

static int open_template(struct server *s, const struct tokenizer *t, struct error *e)
{
    if (!s->options.chat_template && !tokenizer_chat_template(t)) {
        log_warn("the model has no chat template: /v1/completions alone answers");
        return OK;
    }
    return chat_template_open(t, s->options.chat_template, &s->template, e);
}

int server_start(struct server *s, struct model *m, const struct tokenizer *t,
                 const struct scheduler_options *o, const struct api_adapter *adapters, struct error *e)
{
    int code = open_template(s, t, e);
    if (!code)
        code = scheduler_start(&s->scheduler, m, t, o, e);
    if (code)
        return code;
    s->trie = token_trie_new(t, m->config.vocab_size);
    s->service = (struct service){.model = s->options.model_name, .created = (int64_t)time(NULL), .tokenizer = t,
                                  .template = s->template, .trie = s->trie, .scheduler = s->scheduler,
                                  .context = o->context, .adapters = adapters,
                                  .n_adapters = o->n_adapters};
    if (listen(s->socket, SOMAXCONN) != 0)
        return error_set_errno(e, "cannot listen on %s, port %d", s->options.host, s->port);
    const struct http_options http = {s->socket, s->options.max_body, s->options.timeout, MOST_CONNECTIONS};
    const struct http_handler handler = {on_check, on_answer, on_too_large, on_finish, on_done, s};
    s->socket = -1;
    return http_start(&s->http, &http, &handler, e);
}

const char *server_url(const struct server *s)
{
    return s->url;
}

static void wait_until_idle(struct server *s, double seconds)
{
    const struct timespec pause = {.tv_nsec = 10000000};
    for (double end = clock_seconds() + seconds; http_active(s->http) > 0 && clock_seconds() < end;)
        nanosleep(&pause, NULL);
}

void server_stop(struct server *s, double grace)
{
    enum { LAST_WORDS = 1 }; /* seconds to send what there is */
    if (!s)
        return;
    atomic_store(&s->stopping, true);
    if (s->http) {
        scheduler_close(s->scheduler);
        http_close(s->http);
        wait_until_idle(s, grace);
        scheduler_stop(s->scheduler);
        wait_until_idle(s, LAST_WORDS);
        http_free(s->http);
    }
    scheduler_free(s->scheduler);
    chat_template_free(s->template);
    token_trie_free(s->trie);
    if (s->socket >= 0)
        close(s->socket);
    mem_free(s->url);
    mem_free(s);
}
