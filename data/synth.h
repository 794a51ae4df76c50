/* A deterministic generator of curated, textbook-like English: short stories with cause and effect,
 * questions with checkable answers, small arithmetic; by bytes about 60, 25 and 15 parts of 100.
 * The same arguments give the same bytes on every machine: all choices are made with integers.
 *
 * Held-out text is kept apart by content, not by number: a story belongs to the held-out share (one
 * in sixteen) by a hash of its plot, its protagonist and the word its plot turns on; a question by
 * all the words it is about; a calculation by its number family (3 + 4, 4 + 3, 7 - 3 and 7 - 4 are
 * one). So no held-out document occurs in any training text, whatever the seeds, and a model that
 * does well on it has learned more than sentences by heart. */
#ifndef LINNET_DATA_SYNTH_H
#define LINNET_DATA_SYNTH_H

#include "base/buffer.h"
#include "base/error.h"

#include <stdint.h>

enum synth_kind { SYNTH_STORY, SYNTH_QUESTION, SYNTH_ARITHMETIC, SYNTH_KINDS };
enum synth_split { SYNTH_TRAIN, SYNTH_HELD_OUT };

const char *synth_kind_name(enum synth_kind kind); /* "story", "question", "arithmetic" */

/* Document `index` of the corpus (seed, split): any index, in any order, from any thread. Appends
 * its text (ASCII, no blank line, no newline at the end) to `out`. A story has paragraphs of one
 * line each. The others consist of one or more pairs of lines
 *
 *   Question: Mia has 3 apples. ... How many apples does Mia have left?
 *   Answer: 2
 *
 * of which the last is also appended to `question` and `answer` (may be NULL; untouched by
 * stories), without the labels. A question holds everything its answer depends on. Returns the
 * kind. */
enum synth_kind synth_document(uint64_t seed, enum synth_split split, uint64_t index,
                               struct buffer *out, struct buffer *question, struct buffer *answer);

/* The kind that document is, without telling it. */
enum synth_kind synth_document_kind(uint64_t seed, enum synth_split split, uint64_t index);

/* Writes documents 0, 1, ... of (seed, split) to `path` until their texts reach target_bytes,
 * replacing a file only when all is written. By the suffix: .jsonl with members "text", "kind" and,
 * where they exist, "question" and "answer"; .txt with a blank line between documents (which
 * corpus.h reads as a single document). Another suffix is ERR_USAGE. *documents (may be NULL)
 * receives their number. */
int synth_write(const char *path, uint64_t seed, enum synth_split split, uint64_t target_bytes,
                uint64_t *documents, struct error *e);

/* The same of one kind, or until there are so many: the documents of that kind among those, in order. */
struct synth_corpus {
    uint64_t seed;
    enum synth_split split;
    enum synth_kind kind;      /* SYNTH_KINDS: all */
    uint64_t bytes, documents; /* it ends with the first that is reached; UINT64_MAX: not by this one, one of the two */
};
int synth_write_corpus(const char *path, const struct synth_corpus *c, uint64_t *documents, struct error *e);

#endif
