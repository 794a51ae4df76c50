#include "cli/chunks.h"

#include "base/log.h"
#include "data/corpus.h"

int choose_chunk(const struct model_config *c, size_t given, const char *flag, size_t *context, struct error *e)
{
    const size_t trained = c->max_position_embeddings;
    *context = given ? given : trained && trained < 512 ? trained : 512;
    if (*context < 4)
        return error_set(e, ERR_USAGE, "%s: a chunk needs at least 4 tokens", flag);
    if (trained && *context > trained)
        log_warn("chunks are %zu tokens long, more than the %zu the model was made for", *context, trained);
    return OK;
}

enum { PIECE_BYTES = 1 << 16 };

static int encode_corpus(const struct chunk_options *o, const struct tokenizer *t, struct corpus *corpus, int32_t bos,
                         struct tokens *out, struct error *e)
{
    struct corpus_chunk text = {0};
    bool inside = false; /* a text that came in pieces */
    int code = OK;
    while (out->count < o->most && !(code = corpus_next(corpus, PIECE_BYTES, &text, e)) && text.n > 0)
        for (size_t i = 0; i < text.n && out->count < o->most; i++) {
            if (!inside && bos != TOKEN_NONE)
                tokens_push(out, bos);
            tokenizer_encode(t, text.text.data + text.offsets[i], text.offsets[i + 1] - text.offsets[i], false, out);
            inside = text.continues[i];
        }
    corpus_chunk_free(&text);
    return code;
}

int read_chunks(const struct chunk_options *o, const struct tokenizer *t, struct tokens *out, struct error *e)
{
    const int32_t bos = tokenizer_adds_bos(t) ? tokenizer_bos(t) : TOKEN_NONE;
    struct corpus *corpus = NULL;
    int code = corpus_open((const char *const *)o->paths->items, o->paths->count, o->text_field, &corpus, e);
    if (code)
        return code;
    if (!tokenizer_cuts_safely(t))
        corpus_keep_whole(corpus);
    code = encode_corpus(o, t, corpus, bos, out, e);
    corpus_close(corpus);
    if (code)
        return code;
    if (out->count < o->context)
        return error_set(e, ERR_USAGE, "%s: the text has %zu tokens, less than one chunk of %zu: give more text, or a "
                         "smaller %s", o->paths_flag, out->count, o->context, o->context_flag);
    if (out->count > o->most)
        out->count = o->most;
    out->count -= out->count % o->context;
    for (size_t i = 0; bos != TOKEN_NONE && i < out->count; i += o->context)
        out->ids[i] = bos;
    return OK;
}
