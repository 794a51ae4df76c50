/* A dump for a student of another tokenizer: its texts in the student's tokens, and the teacher's distributions over
 * these, where both tokenizers begin a token at the same byte. Nothing is learned of how the vocabularies correspond (as
 * Boizard et al., "Towards Cross-Tokenizer Distillation: the Universal Logit Distillation Loss for LLMs", 2024, sidestep by
 * comparing sorted probabilities): a token is its bytes.
 *
 * Texts. Each sequence is spelled out and encoded anew, stretch by stretch between the teacher's special tokens. Such a one
 * becomes the student's special token of the same string; else BOS becomes the student's BOS, and a token that ends
 * generation its EOS; else nothing stands in its place, and it still parts the text. BOS is put in front where the
 * student's tokenizer adds one and the teacher's does not. A sequence that either tokenizer does not spell byte by byte
 * (normalised, unknown characters) is left out and counted.
 *
 * Targets. A token of the student is learned where it begins at a byte at which a supervised token of the teacher begins:
 * then both predict from the same text. Elsewhere it is no target, of the cross-entropy neither. Nor is it where one of the
 * two tokens stands there with other bytes than it has elsewhere (SentencePiece's first space of a text).
 *
 * Distributions. A token of the teacher whose bytes are exactly one of the student's becomes it; any other the first token of
 * what the student's tokenizer makes of its bytes; probabilities that meet are added. What has no place goes to the tail.
 * Where nothing of what is known has one, the token of the text takes all. Entries and tail sum to what they did.
 *
 * Limits. What a token of the teacher's spells beyond the student's first token is not learned there. Where the teacher's
 * tokens are the shorter ones, its probability falls on short tokens that the student's tokenizer would not have written:
 * alignment.n_same says how often they agree. Distributions are mapped at the dump's temperature. DUMP_SAMPLED is refused:
 * an estimate's expectation is that of the token, not of its logarithm's sum. A dense dump's rows are mapped one token at a
 * time: slow for large vocabularies. */
#ifndef LINNET_DISTILL_ALIGN_H
#define LINNET_DISTILL_ALIGN_H

#include "distill/dump.h"
#include "tokenizer/tokenizer.h"

enum token_match {
    MATCH_NONE,  /* no place */
    MATCH_FIRST, /* the first of several, or a longer token's beginning */
    MATCH_EXACT, /* the same bytes, or a special token's counterpart */
};

/* The teacher's vocabulary in the student's. */
struct token_map {
    size_t n;       /* the teacher's tokens, padding included */
    size_t v;       /* the student's, likewise */
    int32_t *ids;   /* (n) the student's token, or TOKEN_NONE */
    uint8_t *match; /* (n) enum token_match */
    size_t *teacher_bytes, *student_bytes; /* (n), (v) how long a token is behind other text; 0: special, or none */
    /* private: of a row */
    double *sums;   /* (v) */
    int32_t *found; /* (v) */
};

/* n and v: the models' vocabularies; tokens of either tokenizer beyond them have no place. Keeps nothing of the
 * tokenizers. */
void token_map_init(struct token_map *m, const struct tokenizer *teacher, size_t n, const struct tokenizer *student,
                    size_t v);
void token_map_free(struct token_map *m);

/* Makes n rows that dump_read gave, in *t and its memory `rows` (where a dense dump's ids have room too), the student's:
 * sparse, of v tokens, ids ascending. targets: the tokens of the text there. Not thread-safe. */
void token_map_rows(struct token_map *m, const int32_t *targets, size_t n, struct dump_rows *rows, struct soft_targets *t);

struct alignment {
    struct token_map *map;    /* borrowed */
    struct examples examples; /* as dump.examples, in the student's tokens; learned: those with a teacher */
    size_t n_positions;       /* the learned ones, which they number */
    size_t *positions;        /* (n_positions) of the dump */
    size_t n_tokens;          /* the student's, without the first of each sequence */
    size_t n_same;            /* positions where the teacher's token of the text becomes the student's */
    size_t n_left_out;        /* sequences that are not spelled */
};

/* The texts of a dump. ERR_USAGE for DUMP_SAMPLED, and where nothing is left to learn. alignment_free in any case. */
int alignment_init(struct alignment *a, const struct dump *d, struct token_map *map, const struct tokenizer *teacher,
                   const struct tokenizer *student, struct error *e);
void alignment_free(struct alignment *a);

/* Where the teacher's probability goes, by enum token_match, mean over some positions of the dump; what the dump does not
 * know (its tail) is MATCH_NONE's. */
struct alignment_shares {
    double match[MATCH_EXACT + 1];
};
/* Errors as dump_read. */
int alignment_measure(const struct alignment *a, struct dump *d, struct alignment_shares *s, struct error *e);

#endif
