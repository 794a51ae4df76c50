/* The inside of struct tokenizer, shared by the files of this folder. */
#ifndef LINNET_TOKENIZER_TOKENIZER_INTERNAL_H
#define LINNET_TOKENIZER_TOKENIZER_INTERNAL_H

#include "tokenizer/tokenizer.h"

#include <pthread.h>

enum token_kind { /* the numbers of GGUF's tokenizer.ggml.token_type */
                  TOKEN_NORMAL = 1,
                  TOKEN_UNKNOWN = 2,
                  TOKEN_CONTROL = 3, /* a special token: matched only where asked, hidden in text */
                  TOKEN_USER_DEFINED = 4, /* matched in every text before it is split */
                  TOKEN_UNUSED = 5,
                  TOKEN_BYTE = 6,
};

enum { STRIP_LEFT = 1, STRIP_RIGHT = 2 }; /* an added token swallows the blanks beside it */

struct token {
    size_t text, bytes; /* offsets into tokenizer.text and tokenizer.bytes */
    uint32_t n_text, n_bytes;
    uint8_t kind, strip;
};

/* Two neighbours that become one. Of all candidates the lowest rank is merged first, among equal
 * ranks the leftmost. Byte-level merges all have ranks of their own; SentencePiece scores may tie.
 */
struct merge {
    int32_t left, right, id;
    uint32_t rank;
};

struct pair_slot { /* open addressing, key = left << 32 | right */
    uint64_t key;
    uint32_t rank;
    int32_t id;
};
#define PAIR_EMPTY UINT64_MAX

struct encoder; /* scratch memory and word cache of one thread, in encode.c */

struct encoder_pool { /* idle encoders; grows to the number of threads that encode at once */
    pthread_mutex_t lock;
    struct encoder *idle;
};

struct tokenizer {
    enum splitter splitter;
    bool nfc;           /* text is composed first (Qwen) */
    bool ignore_merges; /* a word that is a token is that token, whatever the merges (Llama 3) */
    bool space_prefix;  /* SentencePiece: a text starts with a space of its own */
    bool fuse_unknown;  /* SentencePiece: unknown characters in a row are one token */
    bool adds_bos;
    int32_t bos, eos, pad, unknown;

    struct token *tokens;
    size_t n_tokens, tokens_capacity;
    struct buffer text, bytes;
    uint32_t *find; /* open addressing over tokens' texts: id + 1, 0 is free */
    size_t find_size, n_found;

    struct merge *merges; /* by rank */
    size_t n_merges, merges_capacity;
    float *scores; /* SentencePiece from GGUF: one a token; else NULL */

    /* Made by tokenizer_ready. */
    int32_t byte_id[256];
    struct pair_slot *pairs;
    size_t pairs_size;
    int32_t *matched; /* added tokens by first byte, longest first */
    size_t n_matched;
    bool has_user_defined;
    uint32_t matched_from[257]; /* where in `matched` a first byte's tokens begin */
    struct sp_chars *chars; /* SentencePiece: characters to initial symbols, in sentencepiece.c */
    bool splits_at_spaces;  /* SentencePiece: no token has a space after another character */
    size_t longest_bytes;   /* of any token */
    uint64_t hash;
    struct encoder_pool *pool;
};

struct tokenizer *tokenizer_new(enum splitter splitter);

/* The new token's id, or TOKEN_NONE when its text is taken. */
int32_t tokenizer_add(struct tokenizer *t, const char *text, size_t n, enum token_kind kind);
void tokenizer_add_merge(struct tokenizer *t, int32_t left, int32_t right, int32_t id,
                         uint32_t rank);
/* Fills byte_id; part of tokenizer_ready, and of use before it. */
int tokenizer_byte_ids(struct tokenizer *t, struct error *e);
/* Completes the derived tables once tokens and merges are in. Fails when the vocabulary cannot
 * encode: a byte without a token. */
int tokenizer_ready(struct tokenizer *t, struct error *e);

/* The merge of two tokens, or NULL. */
const struct pair_slot *tokenizer_pair(const struct tokenizer *t, int32_t left, int32_t right);

/* Messages quote what a file holds, which may be line ends: makes the message one line again.
 * Returns code. */
int tokenizer_error_line(struct error *e, int code);

static inline uint64_t pair_key(int32_t left, int32_t right)
{
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

static inline uint64_t pair_mix(uint64_t key)
{
    key *= 0x9E3779B97F4A7C15ull; /* 2^64 / golden ratio: Fibonacci hashing, high bits best */
    return key ^ key >> 32;
}

/* Whether merging the bytes of each token gives that token, so that ignore_merges means nothing. */
bool tokenizer_merges_suffice(const struct tokenizer *t);

void encoder_pool_free(struct encoder_pool *p);

#endif
