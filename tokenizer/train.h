/* Training a byte-level BPE vocabulary (Sennrich et al., 2016; byte level as GPT-2), with merges
 * and tie-breaking equal to Hugging Face's BpeTrainer for the same settings (initial_alphabet = the
 * byte alphabet). Ids: special tokens, 256 bytes in the order of their characters, merges. The
 * result does not depend on the number of threads. */
#ifndef LINNET_TOKENIZER_TRAIN_H
#define LINNET_TOKENIZER_TRAIN_H

#include "tokenizer/tokenizer.h"

struct tokenizer_settings {
    enum splitter splitter;
    size_t vocab_size;    /* special tokens, 256 bytes and merges together, at most; may be
                           * 0 for SPLITTER_BYTES, where it only bounds */
    size_t min_frequency; /* a pair seen less often is not merged */
    const char *const *special_tokens; /* the first is the end of a text (EOS and BOS) */
    size_t n_special_tokens;
    int threads;
    bool progress;
};

/* Trains in two phases: feed text (splits it and counts distinct words; memory grows with those,
 * not with the text), then finish. Each `feed` is a whole text: words do not cross from one to the
 * next. Feeding is parallel inside. */
struct tokenizer_trainer;
/* Copies what it needs of the settings. ERR_USAGE: vocab_size too small, SPLITTER_NONE, a special
 * token that is empty, not UTF-8, given twice or a single character of the byte alphabet. */
int tokenizer_trainer_new(const struct tokenizer_settings *s, struct tokenizer_trainer **t,
                          struct error *e);
/* Texts back to back: text i is bytes[offsets[i]..offsets[i+1]), n_texts + 1 offsets. */
void tokenizer_trainer_feed(struct tokenizer_trainer *t, const char *bytes, const size_t *offsets,
                            size_t n_texts);
/* Merges and hands out the tokenizer; call once, then free the trainer. It has fewer than
 * vocab_size tokens when no pair is left that occurs min_frequency times. ERR_FORMAT: no text was
 * fed. */
int tokenizer_trainer_finish(struct tokenizer_trainer *t, struct tokenizer **out, struct error *e);
void tokenizer_trainer_free(struct tokenizer_trainer *t);

#endif
