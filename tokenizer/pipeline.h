/* What tokenizer.json puts around its vocabulary, as lists of steps: normalizers (text to text),
 * pre-tokenizers (text to words) and decoders (tokens to text), with the behaviour of Hugging
 * Face's library (https://huggingface.co/docs/tokenizers/components). The common byte-level stacks
 * do not come here: split.h does them by hand, several times as fast. */
#ifndef LINNET_TOKENIZER_PIPELINE_H
#define LINNET_TOKENIZER_PIPELINE_H

#include "base/buffer.h"
#include "base/json.h"
#include "tokenizer/charsmap.h"
#include "tokenizer/regex.h"
#include "tokenizer/trie.h"
#include "tokenizer/unicode.h"

enum step_kind {
    STEP_FORM, /* normalizers */
    STEP_LOWER,
    STEP_STRIP,
    STEP_PREPEND,
    STEP_REPLACE, /* also a decoder */
    STEP_CHARSMAP,
    STEP_SENTENCEPIECE, /* the whole normalisation of a tokenizer.model */
    STEP_SPLIT,         /* pre-tokenizers */
    STEP_METASPACE,     /* also a decoder */
    STEP_BYTE_LEVEL,    /* also a decoder */
    STEP_BYTE_FALLBACK, /* decoders; STEP_STRIP too */
    STEP_FUSE,
    STEP_WORDPIECE,
};

enum split_at { SPLIT_PATTERN, SPLIT_NUMBERS, SPLIT_PUNCTUATION, SPLIT_SPACES };
enum behavior { ISOLATED, REMOVED, MERGED_WITH_PREVIOUS, MERGED_WITH_NEXT, CONTIGUOUS };
enum prepend { PREPEND_ALWAYS, PREPEND_FIRST, PREPEND_NEVER };

struct step {
    enum step_kind kind;
    enum normal_form form;
    struct regex *regex;
    char *pattern; /* regex's, as written */
    bool literal;  /* the pattern is a string */
    char *content; /* REPLACE, PREPEND, STRIP as a decoder, WORDPIECE: its text; METASPACE: its
                      space */
    size_t n_content;
    enum split_at at;
    enum behavior behavior;
    bool invert;
    enum prepend prepend; /* METASPACE */
    bool split;           /* METASPACE: a word for each space; BYTE_LEVEL: by GPT-2's pattern */
    bool prefix;          /* BYTE_LEVEL: a space before what has none; SENTENCEPIECE: before all */
    bool left, right;     /* STRIP as a normalizer */
    size_t start, stop;   /* STRIP as a decoder: at most so many characters */
    struct charsmap *map; /* CHARSMAP, and SENTENCEPIECE where it has rules */
    bool collapse;        /* SENTENCEPIECE: blanks at the ends and in a row go */
    bool escape;          /* SENTENCEPIECE: a space becomes U+2581 */
    const struct trie *protect; /* SENTENCEPIECE: what stays as it is; borrowed */
};

struct steps {
    struct step *items;
    size_t count, capacity;
};

struct pipeline {
    struct steps normalizers, splitters, decoders;
    json_t *components; /* normalizer, pre_tokenizer, post_processor, decoder as they were read */
};

/* Reads the components "normalizer", "pre_tokenizer" and "decoder" of a tokenizer.json; ERR_FORMAT
 * names the one that is not supported. */
int pipeline_read(const json_t *root, struct pipeline **p, struct error *e);
void pipeline_free(struct pipeline *p);
struct step *steps_add(struct steps *s);
void steps_clear(struct steps *s); /* frees what they hold */
/* The first normalizer or pre-tokenizer of a kind, or NULL. */
struct step *pipeline_step(const struct pipeline *p, enum step_kind kind);
/* Whether the words are byte strings (a ByteLevel step ends the pre-tokenizers). */
bool pipeline_is_byte_level(const struct pipeline *p);
/* Whether a space is put before every stretch of text, not only the first. */
bool pipeline_prefixes_all(const struct pipeline *p);

struct piece {
    size_t start, end; /* in scratch->text */
    bool first;        /* the text's very beginning */
};

struct pipeline_scratch { /* of one thread; zeroed at first */
    struct buffer text, other, shadow;
    struct piece *pieces, *spare;
    size_t n_pieces, capacity, spare_capacity;
    struct regex_scratch *regex;
};
void pipeline_scratch_free(struct pipeline_scratch *s);

/* Appends the n bytes normalised. */
void pipeline_normalize(const struct pipeline *p, struct pipeline_scratch *s, const char *text,
                        size_t n, struct buffer *out);
/* Cuts n >= 1 normalised bytes into words: s->pieces of s->text, none of them empty. */
void pipeline_split(const struct pipeline *p, struct pipeline_scratch *s, const char *text,
                    size_t n, bool first);

/* Decoding goes token by token. Appends what a token stands for; `first`: none came before. */
void pipeline_decode(const struct pipeline *p, struct pipeline_scratch *s, const char *token,
                     size_t n, bool first, struct buffer *out);
/* Whether the first token is decoded differently. */
bool pipeline_first_differs(const struct pipeline *p);
/* What is taken from the front of the whole decoded text: up to *most times the character. NULL for
 * nothing. */
const char *pipeline_strips(const struct pipeline *p, size_t *most);

/* For the three above: a step that replaces what its pattern matches. */
void step_replace(const struct step *step, struct pipeline_scratch *s, const char *text, size_t n,
                  struct buffer *out);

#endif
