/* Bodies of requests, of both kinds and of what sets adapters: what is accepted is within its limits, what is not is refused with one line and
 * an HTTP status, and can be written as JSON. */
#include "base/check.h"
#include "base/utf8.h"
#include "serve/api.h"

#include <math.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_refusal(const struct api_error *e)
{
    CHECK(e->status == 400 && e->message[0] && !strchr(e->message, '\n') &&
          utf8_valid(e->message, strlen(e->message)));
    json_t *o = api_error_json(e);
    CHECK(o && json_is_object(json_object_get(o, "error")));
    json_decref(o);
}

/* Each adapter once; told to a server that has three of them. */
static void check_scales(const struct api_scale *s, size_t n)
{
    float strengths[3];
    struct api_error e = {0};
    CHECK(n <= API_SCALES_MOST);
    bool known = true;
    for (size_t i = 0; i < n; i++) {
        CHECK(isfinite(s[i].scale));
        for (size_t k = 0; k < i; k++)
            CHECK(s[k].id != s[i].id);
        known &= s[i].id < 3;
    }
    int code = api_set_strengths(s, n, "lora", strengths, 3, &e);
    CHECK((code == OK) == known);
    if (code)
        check_refusal(&e);
}

static void check_request(const struct api_request *q)
{
    const struct sampler_options *s = &q->options.sampler;
    CHECK(q->n >= 1 && q->n <= API_TEXTS_MOST && q->n_top <= LOGPROBS_MOST);
    CHECK(s->temperature >= 0 && s->temperature <= 100 && s->top_p > 0 && s->top_p <= 1 && s->n_biases <= API_BIASES_MOST);
    CHECK(q->options.n_stops <= API_STOPS_MOST && (q->options.n_stops == 0 || q->options.stops == q->stops));
    for (size_t i = 0; i < q->options.n_stops; i++)
        CHECK(q->stops[i][0]);
    for (size_t i = 0; i < s->n_biases; i++)
        CHECK(s->biases[i].id >= 0 && s->biases[i].bias <= 100);
    check_scales(q->scales, q->n_scales);
    CHECK((q->format == FORMAT_GRAMMAR) == (q->grammar != NULL));
    if (q->kind == API_COMPLETION) {
        size_t n = json_array_size(q->prompts);
        CHECK(n > 0 && n * q->n <= API_TEXTS_MOST);
        return;
    }
    CHECK(json_array_size(q->messages) > 0);
    for (size_t i = 0; i < json_array_size(q->messages); i++) {
        const json_t *m = json_array_get(q->messages, i), *content = json_object_get(m, "content");
        CHECK(json_is_string(json_object_get(m, "role")));
        CHECK(!content || json_is_null(content) || json_is_string(content));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (enum api_kind kind = API_COMPLETION; kind <= API_CHAT; kind++) {
        struct api_request q;
        struct api_error e = {0};
        if (api_parse(kind, (const char *)data, size, &q, &e)) {
            check_refusal(&e);
        } else {
            check_request(&q);
            api_request_free(&q);
        }
    }
    struct api_scale *scales;
    size_t n;
    struct api_error e = {0};
    if (api_parse_scales((const char *)data, size, &scales, &n, &e))
        check_refusal(&e);
    else
        check_scales(scales, n);
    mem_free(scales);
    return 0;
}
