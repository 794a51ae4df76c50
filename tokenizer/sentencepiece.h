/* What SentencePiece-style vocabularies (Llama 2, Phi-3) do differently: text is merged from whole
 * characters, U+2581 stands for a space, and a character without a token falls back to the tokens
 * <0x00> to <0xFF> of its bytes. Behaviour follows llama.cpp's SPM tokenizer. */
#ifndef LINNET_TOKENIZER_SENTENCEPIECE_H
#define LINNET_TOKENIZER_SENTENCEPIECE_H

#include "tokenizer/tokenizer_internal.h"

/* An initial symbol that is no part of any token. Symbols from tokenizer_vocab_size up are
 * characters that tokens contain but that are not tokens themselves. */
enum { SYMBOL_UNKNOWN = -2 };

struct sp_chars;
void sp_chars_free(struct sp_chars *c);

/* The length of the character at p, by its first byte alone and at most n. */
size_t sp_char_size(const char *p, size_t n);
int32_t sp_symbol(const struct tokenizer *t, const char *p, size_t size);

/* Fills the table of characters; part of tokenizer_ready, and callable before it. */
void sp_prepare(struct tokenizer *t);

/* Makes the merges that scores imply: any two pieces whose concatenation is a token, the highest
 * score first. */
void sp_merges_from_scores(struct tokenizer *t);

/* Appends the bytes that a token stands for. */
void sp_token_bytes(const char *text, size_t n, enum token_kind kind, struct buffer *out);

/* Appends text with every space written as U+2581. */
void sp_escape(const char *text, size_t n, struct buffer *out);

/* The length of the next run that merges cannot cross, of n >= 1 escaped bytes. */
size_t sp_next(const struct tokenizer *t, const char *p, size_t n);

#endif
