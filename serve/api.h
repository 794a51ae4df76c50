/* What a client of the HTTP server asks for, in the words of OpenAI's API
 * (https://platform.openai.com/docs/api-reference, "Completions" and "Chat"), and what it is told. Fields that are not known are ignored; fields that are known and
 * hold something else than they should are errors that name them. docs/serving.md lists them. */
#ifndef LINNET_SERVE_API_H
#define LINNET_SERVE_API_H

#include "base/json.h"
#include "infer/completion.h"
#include "infer/slots.h"

enum api_kind { API_COMPLETION, API_CHAT };

/* A refusal, as an HTTP status and the members of an error object. */
struct api_error {
    int status;
    char param[96];  /* the field; "" for none */
    const char *code; /* a word for programs; NULL: none */
    char message[1024];
};
/* Fills *e (may be NULL) and returns ERR_USAGE. `param` and `code` may be NULL; the code must be a literal. */
int api_refuse(struct api_error *e, int status, const char *param, const char *code, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

enum api_format { FORMAT_TEXT, FORMAT_JSON_OBJECT, FORMAT_JSON_SCHEMA, FORMAT_GRAMMAR };

enum {
    API_TEXTS_MOST = 128, /* prompts times `n` */
    API_STOPS_MOST = 16,
    API_BIASES_MOST = 1024,
    API_SCALES_MOST = 1024,
};
#define API_NOT_GIVEN SIZE_MAX

/* How strong the adapter of that number is to be. */
struct api_scale {
    size_t id;
    float scale; /* finite */
};

struct api_request {
    enum api_kind kind;
    json_t *body;      /* owns what the others point into */
    json_t *prompts;   /* completion: array of strings and of arrays of ids; owned */
    json_t *messages;  /* chat: each with a role, content as one string or null; owned */
    const json_t *tools, *variables; /* chat: of the template; NULL: none */
    size_t n;          /* texts for each prompt */
    size_t max_tokens; /* API_NOT_GIVEN */
    bool stream, include_usage, echo, has_seed;
    bool logprobs;
    size_t n_top;
    enum api_format format;
    const json_t *schema; /* FORMAT_JSON_SCHEMA */
    const char *grammar;  /* FORMAT_GRAMMAR */
    struct generate_options options; /* max_tokens is left to whoever knows the context; so is a repetition_window
                                        of API_NOT_GIVEN */
    const char *stops[API_STOPS_MOST];
    struct logit_bias *biases; /* owned */
    const char *model;         /* NULL: none is named */
    bool has_scales;           /* it says how strong each adapter is to be: those it does not name not at all */
    struct api_scale *scales;  /* (n_scales) owned */
    size_t n_scales;
};

/* Parses n bytes. On an error nothing is to be freed. options.stops and options.sampler.biases point into the
 * request, which must therefore stay where it is. */
int api_parse(enum api_kind kind, const char *text, size_t n, struct api_request *q, struct api_error *e);
void api_request_free(struct api_request *q);

/* api_adapters.c */

/* An adapter on the model that is served. */
struct api_adapter {
    const char *name, *path;
    float scale; /* where a request names the adapter as its model */
};

/* [{"id": 0, "scale": 0.5}, ...], each id once, whether there is such an adapter or not, as llama.cpp's server takes it. The
 * caller frees *scales. `field`: what is refused; NULL: the body. */
int api_read_scales(const json_t *list, const char *field, struct api_scale **scales, size_t *n, struct api_error *e);
/* The same of n_text bytes. */
int api_parse_scales(const char *text, size_t n_text, struct api_scale **scales, size_t *n, struct api_error *e);
/* strengths (n_adapters): of those that are named what is said, of the others none. Refuses an id that is no adapter's. */
int api_set_strengths(const struct api_scale *scales, size_t n, const char *field, float *strengths, size_t n_adapters,
                      struct api_error *e);
/* What a request says of the adapters, by "lora" or by naming one as its model, then also *model. The caller frees
 * *strengths, which is NULL where it says nothing. */
int api_choose_adapters(const struct api_request *q, const struct api_adapter *adapters, size_t n_adapters,
                        float **strengths, const char **model, struct api_error *e);
/* [{"id", "name", "path", "scale"}, ...] */
json_t *api_adapters_json(const struct api_adapter *adapters, const float *strengths, size_t n);

/* api_response.c. New references all. */

/* {"error": {"message", "type", "param", "code"}} */
json_t *api_error_json(const struct api_error *e);
/* The model, and each adapter as one made of it. */
json_t *api_models_json(const char *model, const struct api_adapter *adapters, size_t n_adapters, int64_t created,
                        size_t context);
json_t *api_usage_json(size_t prompt_tokens, size_t completion_tokens, size_t cached_tokens);
/* "stop" or "length". */
const char *api_finish_reason(enum stop_reason reason);

/* What all objects of one answer begin with. */
struct api_head {
    enum api_kind kind;
    const char *id, *model;
    int64_t created;
};
/* {"id", "object", "created", "model", "choices": choices}; takes the reference. `chunk`: of a stream. */
json_t *api_answer_json(const struct api_head *h, bool chunk, json_t *choices);
/* One of the choices. The text of a whole answer, or of a chunk: then `first` is where the role is told, and text
 * may be NULL. `logprobs` (its reference is taken) and `finish_reason` may be NULL. */
json_t *api_choice_json(enum api_kind kind, size_t index, const char *text, size_t n, json_t *logprobs,
                        const char *finish_reason);
json_t *api_chunk_choice_json(enum api_kind kind, size_t index, bool first, const char *text, size_t n,
                              json_t *logprobs, const char *finish_reason);

/* Log probabilities as the kind of request has them. */
json_t *api_logprobs_new(enum api_kind kind);
/* Adds the token of a step; *offset (characters from the beginning of the text) goes on by its length. */
void api_logprobs_add(json_t *list, enum api_kind kind, const struct tokenizer *t, const struct progress_step *step,
                      size_t *offset);
/* Moves all of `from`, which is empty then, behind those of `to`. */
void api_logprobs_move(json_t *to, json_t *from);

#endif
