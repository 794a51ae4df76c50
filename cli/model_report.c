#include "cli/model_report.h"

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "model/load.h"

#include <math.h>
#include <sys/stat.h>

int check_not_itself(const char *out, const char *source, const char *what, struct error *e)
{
    struct stat from, to;
    if (stat(source, &from) == 0 && stat(out, &to) == 0 && from.st_dev == to.st_dev && from.st_ino == to.st_ino)
        return error_set(e, ERR_USAGE, "--out %s: is %s itself; write to another %s", out, what,
                         S_ISDIR(to.st_mode) ? "directory" : "file");
    return OK;
}

int check_not_a_run(const char *out, struct error *e)
{
    char *checkpoint = path_join(out, RUN_LAST);
    int code = file_exists(checkpoint)
                   ? error_set(e, ERR_USAGE, "%s: is a run directory; choose another", out)
                   : OK;
    mem_free(checkpoint);
    return code;
}

/* --- predictions --- */

enum { PIECE_BYTES = 1 << 16 }; /* of text between two looks at the progress */

static int compare_corpus(struct divergence *d, const struct tokenizer *t, struct corpus *corpus, struct error *e)
{
    struct corpus_chunk text = {0};
    struct tokens tokens = {0};
    struct progress progress;
    bool inside = false; /* a text that came in pieces */
    int code;
    progress_start(&progress, "compare", (double)corpus_bytes_total(corpus));
    while (!(code = corpus_next(corpus, PIECE_BYTES, &text, e)) && text.n > 0) {
        for (size_t i = 0; i < text.n && !code; i++) {
            if (!inside && tokenizer_adds_bos(t) && tokenizer_bos(t) != TOKEN_NONE)
                tokens_push(&tokens, tokenizer_bos(t));
            tokenizer_encode(t, text.text.data + text.offsets[i], text.offsets[i + 1] - text.offsets[i], false,
                             &tokens);
            inside = text.continues[i];
            if (inside)
                continue;
            code = divergence_add(d, tokens.ids, tokens.count, e);
            tokens.count = 0;
        }
        if (code)
            break;
        progress_update(&progress, (double)corpus_bytes_read(corpus), "");
    }
    if (!code && d->sums.n == 0)
        code = error_set(e, ERR_USAGE, "--eval: there is no text to predict (a text needs two tokens)");
    if (!code)
        progress_finish(&progress, "");
    corpus_chunk_free(&text);
    tokens_free(&tokens);
    return code;
}

int compare_models(struct model *original, struct model *other, const struct tokenizer *t, struct corpus *corpus,
                   struct divergence_sums *sums, struct error *e)
{
    struct divergence d = {0};
    const size_t context = original->config.max_position_embeddings;
    int code = divergence_init(&d, original, other, context < 2048 ? context : 2048, e);
    if (!tokenizer_cuts_safely(t))
        corpus_keep_whole(corpus);
    if (!code)
        code = compare_corpus(&d, t, corpus, e);
    *sums = d.sums;
    divergence_free(&d);
    return code;
}

double compared_perplexity(const struct divergence_sums *s, int which)
{
    return exp(s->nats[which] / (double)s->n);
}

/* --- sizes --- */

static double bits_per_weight(const struct export_report *r, size_t bytes)
{
    return 8 * (double)bytes / (double)r->n_weights;
}

json_t *export_report_json(const char *out, const char *type, const struct export_report *r, double seconds)
{
    json_t *tensors = json_object();
    for (size_t i = 0; i < r->n_types; i++)
        json_object_set_new(tensors, dtype_info(r->types[i].type)->name,
                            json_integer((json_int_t)r->types[i].n_tensors));
    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:f, s:f, s:o, s:I, s:f}", "out", out, "type", type, "weights",
                     (json_int_t)r->n_weights, "bytes_before", (json_int_t)r->bytes_before, "bytes",
                     (json_int_t)r->bytes_after, "bits_per_weight_before", bits_per_weight(r, r->bytes_before),
                     "bits_per_weight", bits_per_weight(r, r->bytes_after), "tensors", tensors, "fallbacks",
                     (json_int_t)r->n_fallbacks, "seconds", seconds);
}

void print_export_report(const struct export_report *r, double seconds)
{
    char before[32], after[32];
    printf("size             %s -> %s\n", format_bytes((double)r->bytes_before, before),
           format_bytes((double)r->bytes_after, after));
    printf("bits per weight  %.2f -> %.2f\ntensors         ", bits_per_weight(r, r->bytes_before),
           bits_per_weight(r, r->bytes_after));
    for (size_t i = 0; i < r->n_types; i++)
        printf("%s%zu %s", i ? ", " : " ", r->types[i].n_tensors, dtype_info(r->types[i].type)->name);
    printf("\nseconds          %.2f\n", seconds);
}
