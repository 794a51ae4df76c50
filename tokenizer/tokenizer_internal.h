/* The inside of struct tokenizer, shared by the files of this folder. */
#ifndef LINNET_TOKENIZER_TOKENIZER_INTERNAL_H
#define LINNET_TOKENIZER_TOKENIZER_INTERNAL_H

#include "tokenizer/tokenizer.h"
#include "tokenizer/trie.h"

#include <pthread.h>

enum token_kind { /* the numbers of GGUF's tokenizer.ggml.token_type */
                  TOKEN_NORMAL = 1,
                  TOKEN_UNKNOWN = 2,
                  TOKEN_CONTROL = 3, /* a special token: matched only where asked, hidden in text */
                  TOKEN_USER_DEFINED = 4, /* matched in every text before it is split */
                  TOKEN_UNUSED = 5,
                  TOKEN_BYTE = 6,
};

enum token_flag {
    STRIP_LEFT = 1, /* an added token swallows the blanks beside it */
    STRIP_RIGHT = 2,
    SINGLE_WORD = 4, /* it is none inside a word */
    NORMALIZED = 8,  /* looked for in the normalised text, normalised itself */
    OUTSIDE = 16,    /* only added: no part of the model's vocabulary */
    ENCODING_FLAGS = 15,
};

enum token_model { MODEL_BPE, MODEL_UNIGRAM };

struct token {
    size_t text, bytes; /* offsets into tokenizer.text and tokenizer.bytes */
    uint32_t n_text, n_bytes;
    uint8_t kind, flags;
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
    bool adds_bos, adds_eos;
    int32_t bos, eos, pad, unknown;
    enum token_model model;
    bool char_level;    /* symbols are characters, not bytes */
    bool byte_fallback; /* char_level: a character without a token becomes its bytes' tokens */
    bool one_precision; /* Unigram: sums in f32, as SentencePiece's */
    struct pipeline *pipeline; /* SPLITTER_GENERAL's; else NULL */
    struct tokens ends;        /* what else ends a text, from generation_config.json and GGUF */
    char *chat_template;       /* NULL for none */

    struct token *tokens;
    size_t n_tokens, tokens_capacity;
    struct buffer text, bytes;
    uint32_t *find; /* open addressing over tokens' texts: id + 1, 0 is free */
    size_t find_size, n_found;

    struct merge *merges; /* by rank */
    size_t n_merges, merges_capacity;
    double *scores; /* one a token where the file has them (Unigram, SentencePiece); else NULL */

    /* Made by tokenizer_ready. */
    int32_t byte_id[256];
    struct pair_slot *pairs;
    size_t pairs_size;
    struct trie added, added_normal; /* added tokens, and those looked for in normalised text */
    bool has_user_defined;
    struct trie pieces;        /* Unigram: the vocabulary */
    double *weights;           /* Unigram: scores as they are summed */
    double unknown_score;      /* Unigram: of a character without a token */
    struct buffer first_bytes; /* what tokens are at the start of a text, where that differs */
    size_t *first_ends;        /* one a token; NULL where nothing differs */
    struct sp_chars *chars;    /* char_level: characters to initial symbols, in sentencepiece.c */
    bool splits_at_spaces;     /* char_level: no token has U+2581 after another character */
    size_t longest_text;       /* in bytes, of any token */
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

static inline uint64_t pair_key(int32_t left, int32_t right)
{
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

static inline uint64_t pair_mix(uint64_t key)
{
    key *= 0x9E3779B97F4A7C15ull; /* 2^64 / golden ratio: Fibonacci hashing, high bits best */
    return key ^ key >> 32;
}

/* BOS, EOS and padding by the names in use, for want of a file that says. */
void tokenizer_guess_ends(struct tokenizer *t);
/* A tokenizer.model's vocabulary without the derived tables, and then with them. */
int tokenizer_draft_sentencepiece(const unsigned char *bytes, size_t n, struct tokenizer **t,
                                  struct error *e);
int tokenizer_finish_sentencepiece(struct tokenizer *t, struct error *e);
/* A token that the files beside a tokenizer.model add, before tokenizer_ready: the vocabulary's
 * next id or a few further, or a piece that is there already and gets kind and flags. */
int tokenizer_add_outside(struct tokenizer *t, long long id, const char *text, enum token_kind kind,
                          int flags, struct error *e);
/* One more token that generation stops at. */
void tokenizer_add_end(struct tokenizer *t, int32_t id);

/* The bytes of one token as decoding writes it. s->started says whether text came before in this stretch, from the
 * start of a text or from a special token on. */
const char *token_bytes(const struct tokenizer *t, int32_t id, bool with_special,
                        struct decode_stream *s, size_t *n);

/* Whether merging the bytes of each token gives that token, so that ignore_merges means nothing. */
bool tokenizer_merges_suffice(const struct tokenizer *t);

void encoder_pool_free(struct encoder_pool *p);

#endif
