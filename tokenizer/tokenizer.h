/* Text to token ids and back.
 *
 * One struct serves every kind of vocabulary: byte-level BPE (GPT-2, Llama 3, Qwen), the plain
 * 256-byte vocabulary, and SentencePiece-style BPE with byte fallback (Llama 2). Encoding and
 * decoding only read it, so one tokenizer may be used by many threads at once. */
#ifndef LINNET_TOKENIZER_TOKENIZER_H
#define LINNET_TOKENIZER_TOKENIZER_H

#include "base/buffer.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum splitter {
    SPLITTER_GPT2,
    SPLITTER_LLAMA3,
    SPLITTER_QWEN2,
    SPLITTER_BYTES,  /* 256 ids, one a byte, no merges */
    SPLITTER_SMOLLM, /* every digit alone, then as gpt2 (SmolLM, StarCoder) */
    SPLITTER_NONE,   /* SentencePiece: no pre-splitting */
    SPLITTER_GENERAL, /* the steps of a tokenizer.json (pipeline.h), or of a tokenizer.model */
};

enum { TOKEN_NONE = -1 };

struct tokenizer; /* private, in tokenizer_internal.h */

struct tokens { /* a growable list of ids */
    int32_t *ids;
    size_t count, capacity;
};
void tokens_push(struct tokens *t, int32_t id);
void tokens_free(struct tokens *t);

/* The vocabulary of the 256 bytes: id == byte, then the special tokens (n may be 0; the first is
 * BOS and EOS) from 256 up. ERR_USAGE for a special token that is empty, not UTF-8, given twice or
 * a single character of the byte alphabet. */
int tokenizer_new_bytes(const char *const *special_tokens, size_t n, struct tokenizer **t,
                        struct error *e);
void tokenizer_free(struct tokenizer *t);

size_t tokenizer_vocab_size(const struct tokenizer *t);
enum splitter tokenizer_splitter(const struct tokenizer *t);
/* TOKEN_NONE where the vocabulary has none. */
int32_t tokenizer_bos(const struct tokenizer *t);
int32_t tokenizer_eos(const struct tokenizer *t);
int32_t tokenizer_pad(const struct tokenizer *t);
bool tokenizer_adds_bos(const struct tokenizer *t); /* the model expects BOS before a text */
bool tokenizer_adds_eos(const struct tokenizer *t); /* and EOS behind it */
/* Whether a text may be cut at split_safe_cut's places (split.h) and its parts encoded one by one. Only
 * the hand-written splitters promise that. */
bool tokenizer_cuts_safely(const struct tokenizer *t);
/* The chat template (Jinja), or NULL. It lives until it is set again; set copies, NULL takes it away.
 * Of templates with names the one called "default" is kept. */
const char *tokenizer_chat_template(const struct tokenizer *t);
void tokenizer_set_chat_template(struct tokenizer *t, const char *text);
/* A control or unknown token, BOS or EOS: no part of a text. False for ids beyond the vocabulary.
 */
bool tokenizer_is_special(const struct tokenizer *t, int32_t id);
bool tokenizer_is_end(const struct tokenizer *t, int32_t id); /* generation stops here */
/* The id of an exact token string (as stored: byte-level alphabet), or TOKEN_NONE. */
int32_t tokenizer_find(const struct tokenizer *t, const char *token, size_t n);
/* The stored string of a token, NUL-terminated; *n its length. It lives as long as the tokenizer.
 * The id must be in the vocabulary (CHECK). */
const char *tokenizer_token(const struct tokenizer *t, int32_t id, size_t *n);
/* What a token is, in GGUF's words: "normal", "unknown", "control" (a special token), "user-defined" (matched in every text),
 * "unused" or "byte". The id must be in the vocabulary (CHECK). */
const char *tokenizer_kind(const struct tokenizer *t, int32_t id);
/* A hash of everything that decides encoding (tokens, merges, splitter; not BOS, EOS and padding,
 * which encoding never adds); equal for equal behaviour after write and read. */
uint64_t tokenizer_hash(const struct tokenizer *t);

/* Appends the ids of n bytes of text (any bytes, valid UTF-8 or not: a byte that is not is a
 * character of no class). With `parse_special`, special tokens written in the text become their
 * ids; without, they are plain text. Added tokens that are not special become their ids either way.
 * Adds neither BOS nor EOS. Time n log n at worst, whatever the text; safe from several threads at
 * once (each borrows a word cache of half a megabyte from the tokenizer, which keeps it for the
 * next). */
void tokenizer_encode(const struct tokenizer *t, const char *text, size_t n, bool parse_special,
                      struct tokens *out);

/* Where in the text the tokens begin that tokenizer_encode made of it: begins[i] is the byte at which token i does
 * (ascending; what is put before a text and has no place in it begins where the text does). Blanks that a token
 * swallows behind it belong to it. False where the tokens do not spell the text byte by byte, because it was normalised
 * or holds what the vocabulary does not know. */
bool tokenizer_align(const struct tokenizer *t, const char *text, size_t n, const int32_t *ids, size_t n_ids,
                     size_t *begins);

/* Appends the bytes of n tokens. Special tokens are skipped unless `with_special`; ids beyond the
 * vocabulary (models pad their embeddings) have no bytes. Undoes encoding exactly for byte-level
 * vocabularies that do not normalise; SentencePiece loses the first space of a text, which encoding
 * put there. */
void tokenizer_decode(const struct tokenizer *t, const int32_t *ids, size_t n, bool with_special,
                      struct buffer *out);

/* Streaming: feed ids one by one; what is appended to `out` is always whole UTF-8 characters (an
 * incomplete tail is held back; flush emits it as U+FFFD). */
struct decode_stream {
    unsigned char held[8];
    size_t n_held;
    bool started; /* SentencePiece drops the first space of a text */
    size_t n_stripped;
};
void decode_stream_push(struct decode_stream *s, const struct tokenizer *t, int32_t id,
                        bool with_special, struct buffer *out);
void decode_stream_flush(struct decode_stream *s, struct buffer *out);

/* tokenizer.json in Hugging Face's format, with BPE and Unigram models. Known stacks around them
 * (Llama 2 and 3, Qwen, GPT-2, SmolLM, Gemma, Phi-3) are encoded by hand-written code, all others of
 * the components in pipeline.h by the general one; ids are those of Hugging Face's library. An
 * unsupported component is an error that names it. Ids without a token become unused tokens
 * "[PAD<id>]".
 *
 * The file does not say which tokens are BOS, EOS and padding: tokenizer_read_json takes them from
 * tokenizer_config.json in the same folder where there is one, and from there or chat_template.jinja
 * the chat template, and from generation_config.json what else ends a text. Else, and in
 * tokenizer_parse_json, they are the special tokens with the names in use (<s>, </s>, <|endoftext|>,
 * ...) or the first special token; padding is none.
 *
 * Writing fails only on the file, and for a SentencePiece vocabulary with a token made of a character
 * that is no token. */
int tokenizer_parse_json(const char *text, size_t n, struct tokenizer **t, struct error *e);
int tokenizer_read_json(const char *path, struct tokenizer **t, struct error *e);
int tokenizer_write_json(const struct tokenizer *t, const char *path, struct error *e);
/* The same, appended to `out`; on failure that holds nothing new. */
int tokenizer_print_json(const struct tokenizer *t, struct buffer *out, struct error *e);

/* tokenizer.model, SentencePiece's own file (BPE and Unigram), with SentencePiece's ids. Reading also
 * looks into tokenizer_config.json, added_tokens.json, special_tokens_map.json and
 * generation_config.json in the same folder. Bytes that are not UTF-8 count as U+FFFD unless the rules
 * are those of Llama 2. */
int tokenizer_parse_sentencepiece(const unsigned char *bytes, size_t n, struct tokenizer **t,
                                  struct error *e);
int tokenizer_read_sentencepiece(const char *path, struct tokenizer **t, struct error *e);
/* A directory's tokenizer.json, else its tokenizer.model. ERR_IO when it has neither. */
int tokenizer_read_folder(const char *folder, struct tokenizer **t, struct error *e);

/* tokenizer_config.json beside it (special token strings, add_bos_token, class name). */
int tokenizer_write_config_json(const struct tokenizer *t, size_t max_length, const char *path,
                                struct error *e);

/* GGUF metadata (tokenizer.ggml.*; models `gpt2` with a `pre` that gguf_pre.c knows, and `llama`), with
 * llama.cpp's ids, and the chat template. Reading also serves files whose vocabulary is none of
 * linnet's making; errors name the key. The result does not refer to the gguf. */
struct gguf;
struct gguf_writer;
int tokenizer_from_gguf(const struct gguf *g, struct tokenizer **t, struct error *e);
/* Writes n_tokens tokens, at least the vocabulary's: llama.cpp wants one for every row of the
 * embedding, so what the tokenizer lacks is filled up with unused ones. ERR_FORMAT when llama.cpp knows
 * no splitter that is this tokenizer's, or its model (Unigram). What is lost beside that (NFC and other
 * normalisation, blanks swallowed beside added tokens) is warned of where it changes more than rare
 * texts. A bytes vocabulary is named gpt-2 without merges, which is the same. */
int tokenizer_to_gguf(const struct tokenizer *t, size_t n_tokens, struct gguf_writer *w,
                      struct error *e);

#endif
