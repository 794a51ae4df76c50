#include "data/vocabulary.h"

#include "base/log.h"
#include "data/corpus.h"

enum { CHUNK_BYTES = 2 << 20 }; /* of text, per round of the threads; more is not faster */

static int feed(struct tokenizer_trainer *trainer, struct corpus *corpus, bool show,
                struct error *e)
{
    struct corpus_chunk chunk = {0};
    struct progress progress;
    if (show)
        progress_start(&progress, "read", (double)corpus_bytes_total(corpus));
    int code;
    while (!(code = corpus_next(corpus, CHUNK_BYTES, &chunk, e)) && chunk.n > 0) {
        tokenizer_trainer_feed(trainer, chunk.text.data, chunk.offsets, chunk.n);
        if (show)
            progress_update(&progress, (double)corpus_bytes_read(corpus), "");
    }
    if (show && !code)
        progress_finish(&progress, "");
    corpus_chunk_free(&chunk);
    return code;
}

int vocabulary_train(const char *const *paths, size_t n_paths, const char *text_field,
                     const struct tokenizer_settings *settings, struct tokenizer **tokenizer,
                     struct error *e)
{
    struct corpus *corpus = NULL;
    struct tokenizer_trainer *trainer = NULL;
    int code = tokenizer_trainer_new(settings, &trainer, e);
    if (code)
        return code;
    code = corpus_open(paths, n_paths, text_field, &corpus, e);
    if (!code)
        code = feed(trainer, corpus, settings->progress, e);
    corpus_close(corpus); /* first: merging needs the memory */
    if (!code)
        code = tokenizer_trainer_finish(trainer, tokenizer, e);
    tokenizer_trainer_free(trainer);
    return code;
}
