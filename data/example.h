/* Fine-tuning datasets as tokens: what a row becomes through tokenizer and chat template, and which of its tokens are
 * learned.
 *
 * A text is tokenised as it is, special tokens written in it recognised; BOS comes first where the tokenizer adds it, EOS
 * last (once). Everything of a ROW_TEXT is learned. A .txt file is one such text, whole; but special tokens written in it
 * are plain text, so that its ids are those that shards have (data/shard.h): a book that quotes a special token does not
 * speak it.
 *
 * A conversation is rendered and tokenised as a whole, special tokens recognised, so its ids are those that the model
 * meets in a chat. A token is learned when it begins within a span of bytes that is learned. The token that ends an
 * assistant's turn belongs to it (or the model would never stop), white space that the template puts behind that token
 * does not. The first token of an example has nothing before it that could predict it and is never learned.
 *
 * Where the assistant's turns are: within {% generation %} where the template marks them, and the token behind that
 * when it ends a turn and was left out. Otherwise a turn is what the
 * template adds to the conversation before it (with the opening of the assistant's turn) when the turn is there; both
 * must be the beginning of the whole. Templates that rewrite earlier turns break that (Qwen 3 takes out <think>): then
 * ERR_FORMAT says so, nothing is guessed. A message of the assistant with "weight": 0 is not learned. */
#ifndef LINNET_DATA_EXAMPLE_H
#define LINNET_DATA_EXAMPLE_H

#include "base/buffer.h"
#include "chat/template.h"
#include "data/dataset_row.h"
#include "tokenizer/tokenizer.h"

enum example_loss {
    LOSS_COMPLETIONS, /* the assistant's turns; of a row with a prompt those behind it */
    LOSS_ALL,         /* every token */
    LOSS_LAST_TURN,   /* the assistant's last turn */
};

/* What becomes of a row with answers that were compared or judged. */
enum example_answers {
    /* One example a row, of what is to be learned: of a preference the chosen answer, of unpaired rows those with the
     * label true. */
    ANSWERS_IMITATED,
    /* Pairs (data/pair.h): of every preference example 2i has the chosen answer, 2i+1 the rejected one. */
    ANSWERS_COMPARED,
    /* Answers with a label (Ethayarajh et al., "KTO", 2024, arXiv:2402.01306): 2i is the answer, 2i+1 the same prompt with
     * the answer to another one, from which a divergence is estimated: that of the next row, of the last row that of the
     * first. Of a preference both answers are judged, the chosen one being wanted and the rejected one not. Of answers in
     * a row that have the same prompt each borrows from those that have the next one: the first from the first and so
     * on, from the beginning again where these are fewer. (Where all have one prompt, from the next answer; a single one
     * from itself.) A borrowed answer goes from its first learned token to its end; where a pair would be too long the end
     * of what is borrowed is cut. */
    ANSWERS_JUDGED,
};

/* With answers that are compared or judged, what is too long is a pair in a row with its prompt once (answers_length). */
enum over_long {
    OVER_LONG_DROP,
    OVER_LONG_TRUNCATE, /* the end of an example; of answers that are compared or judged the front of the prompt, and
                           dropped where the answers alone are too long (answers_shorten) */
    OVER_LONG_ERROR,
    OVER_LONG_SPLIT, /* a ROW_TEXT becomes windows (example_windows); of other rows as with DROP */
};

enum bad_rows {
    BAD_ROWS_FAIL,   /* the first one is the error */
    BAD_ROWS_SKIP,   /* left out and counted, the first few said in warnings */
    BAD_ROWS_REPORT, /* left out, counted and given to `report` */
};

struct example_settings {
    const struct tokenizer *tokenizer;
    /* NULL: none. Then prompt and completion are joined as they are, EOS behind them; conversations are refused. */
    const struct chat_template *chat_template;
    const json_t *variables; /* for the template (struct chat_input), or NULL */
    int64_t now;             /* for templates with a date, in seconds since 1970; 0: the time of the call */
    const struct dataset_fields *fields; /* NULL: the usual names */
    enum example_loss loss; /* not LOSS_ALL where answers are compared or judged */
    enum example_answers answers;
    size_t max_tokens; /* of an example, or of a pair; 0: any; with OVER_LONG_SPLIT not 1 */
    enum over_long over_long;
    enum bad_rows bad_rows;
    /* BAD_ROWS_REPORT: called for every bad row in order, by one thread. `path` is the file's, lines count from 1. */
    void (*report)(void *context, const char *path, uint64_t line, const char *reason);
    void *context;
};

/* One example. Zero it before first use; example_make clears it and keeps the memory. */
struct example {
    struct tokens tokens;
    uint8_t *learned; /* tokens.count */
    size_t learned_capacity;
    size_t n_learned;
    size_t n_turns;      /* learned turns of the assistant (1 of a row without conversation) */
    size_t n_unfinished; /* those of them that do not end with a token that ends generation (tokenizer_is_end) */
    uint64_t prompt;     /* a hash of the text before what is learned first; 0 where every token is learned */
};
void example_free(struct example *x);

/* Makes the example of a row, whatever its length. A preference becomes prompt and chosen completion. ERR_FORMAT when
 * the template refuses the conversation, is missing, or rewrites turns; or when no token is learned. Safe from several
 * threads at once (each with its own example). */
int example_make(const struct dataset_row *row, const struct example_settings *s, struct example *x, struct error *e);
/* Any conversation (of dataset_row's form) the same way; the first n_prompt messages are the prompt. For what is not
 * in a row's `messages`: a rejected completion. */
int example_make_chat(const json_t *messages, size_t n_prompt, const json_t *tools, const struct example_settings *s,
                      struct example *x, struct error *e);
/* The tokens that are continued to have what the row's prompt (dataset_prompt_parse) asks for: those that the example of the
 * prompt and an answer begins with, before the first learned one. Unless a token there spans the bound between the two,
 * which the prompt alone cannot have. Replaces what is in `out`. Errors as example_make. */
int example_make_prompt(const struct dataset_row *row, const struct example_settings *s, struct tokens *out,
                        struct error *e);
/* Appends what the template writes between the opening of the assistant's turn and the answer, for most nothing, for some a
 * space: what a model that continues the opening writes before the answer itself. An answer that is kept as a row must not
 * have it, or the template would write it twice. Nothing without a template, and where it is not known because an answer is
 * refused or the beginning rewritten; such a row cannot be trained on (example_make). */
void example_answer_lead(const struct dataset_row *row, const struct example_settings *s, struct buffer *out);
/* The same from a .txt file's text in pieces (corpus_next): x begins without tokens, the ids of one piece after the other
 * (tokenizer_encode without special tokens) are added, and then BOS and EOS come around them. Errors as example_make of
 * the whole (dataset_row_from_text). */
void example_add_piece(struct example *x, const struct tokens *piece);
int example_finish_text(struct example *x, const struct tokenizer *t, struct error *e);
/* Into how many windows OVER_LONG_SPLIT cuts a text of n tokens (2 or more; max_tokens likewise): window w is tokens
 * w * (max_tokens - 1) and following, at most max_tokens of them and at least 2. The last token of a window is also the
 * first of the next one, so that every token but the text's first is learned once: the first of an example never is. */
size_t example_windows(size_t n, size_t max_tokens);
/* Keeps the first max_tokens tokens; false when nothing learned is left. n_turns and n_unfinished stay. */
bool example_truncate(struct example *x, size_t max_tokens);

struct examples { /* all in memory */
    size_t count;
    enum example_answers answers; /* not IMITATED: they are pairs */
    size_t *begin;    /* (count + 1): example i is tokens begin[i] to begin[i + 1] */
    int32_t *ids;
    uint8_t *learned; /* 1: this token is a target, predicted from the one before it */
    struct example_origin {
        uint32_t file; /* of `files` */
        uint64_t line; /* from 1; of a .txt file 1 */
        enum row_schema schema;
        bool truncated;
        bool split;      /* a window of a text that was split; */
        uint32_t window; /* its number there, from 0 */
        bool wanted;     /* imitated or chosen, or labelled so; a borrowed answer has the label of the one before it */
        uint64_t prompt; /* as struct example's, whatever was taken off its front: equal for equal prompts */
    } *origins; /* (count) */
    char **files;
    size_t n_files;

    struct example_report {
        size_t rows;    /* lines that are not blank, and .txt files that are not empty */
        size_t bad;     /* left out as bad */
        size_t dropped; /* over-long, or nothing learned left of them after truncation; pairs, or answers judged */
        size_t unwanted; /* completions with the label false: nobody wants them imitated; left out */
        size_t truncated; /* shortened and kept; likewise */
        size_t split, windows; /* texts that were split, and the examples they became */
        size_t tokens, learned_tokens, longest; /* of the examples that are kept; longest in tokens */
        size_t longest_row;                     /* in tokens, before dropping and truncating (answers_length) */
        size_t turns, unfinished;               /* sums of n_turns and n_unfinished, without borrowed answers */
        size_t by_schema[ROW_SCHEMAS];          /* rows that are not bad */
        size_t by_warning[ROW_WARNINGS];        /* rows with that warning (bit number) */
        char *unused[ROW_UNUSED_MOST];          /* fields of no use in some row */
        size_t n_unused;
    } report;
};

static inline size_t example_length(const struct examples *x, size_t i)
{
    return x->begin[i + 1] - x->begin[i];
}

/* Reads every row of files and directories (.jsonl and .txt, either gzipped; of a directory those below it, in byte order
 * of their paths) before anything is trained. Order of examples: that of the rows, and of a text's windows. Blank lines
 * and empty files are passed over. Parallel, a long .txt file in pieces; the result does not depend on the number of
 * threads. Besides the examples there is at most one whole text in memory, as tokens. examples_free in any case.
 *
 * Errors: files as corpus_open; a bad row as "path:line: reason" with BAD_ROWS_FAIL; an over-long one with
 * OVER_LONG_ERROR; a damaged file, also a .txt file that is not UTF-8, whatever bad_rows says; settings that
 * examples_check_settings refuses; and a dataset without any example (with the counts). Where answers are compared or
 * judged, rows are also bad for the reasons of answers_make (data/answers.h). */
int examples_read(const char *const *paths, size_t n_paths, const struct example_settings *s, struct examples *all,
                  struct error *e);
void examples_free(struct examples *all);
/* What examples_read says of settings before it reads: ERR_USAGE for OVER_LONG_SPLIT with max_tokens 1, and for LOSS_ALL
 * where answers are compared or judged (their prompts would count as answers). */
int examples_check_settings(const struct example_settings *s, struct error *e);

/* The targets of one example: its learned tokens but for the first, which nothing predicts. */
size_t example_targets(const struct examples *all, size_t i);

/* A hash of ids, learned masks and the examples' bounds; of pairs also of what they are and which are wanted. */
uint64_t examples_hash(const struct examples *all);
/* A key of one example, the same wherever it stands: XXH64 (seed 0) of its ids, 4 little-endian bytes each, followed by its
 * learned mask, a byte each. */
uint64_t example_key(const struct examples *all, size_t i);

#endif
