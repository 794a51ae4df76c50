/* Pre-tokenisation: cutting text into words that merges never cross.
 *
 * The three patterns, written by hand instead of through a regular expression engine:
 *   gpt2    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 *   llama3  (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}
 *           | ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
 *   qwen2   the same with \p{N} for \p{N}{1,3}
 *   smollm  each \p{N} alone, then gpt2 on what lies between
 * Each covers every character, so words follow each other without gaps. */
#ifndef LINNET_TOKENIZER_SPLIT_H
#define LINNET_TOKENIZER_SPLIT_H

#include "tokenizer/tokenizer.h"

/* The length of the word at p, where n >= 1 bytes are left of the text. Call unicode_init first.
 * SPLITTER_BYTES and SPLITTER_NONE do not split: n. */
size_t split_next(enum splitter splitter, const unsigned char *p, size_t n);

/* The pattern above as Hugging Face writes it, in Oniguruma's syntax; NULL where it is not one. */
const char *split_pattern(enum splitter splitter);
/* The splitter of a pattern; false when it is none of ours. */
bool split_from_pattern(const char *pattern, enum splitter *splitter);

/* The first position >= at where every splitter is sure to start a word, or n. Lets one text be
 * split by several threads: from such a position splitting goes on as if from the start. */
size_t split_safe_cut(const unsigned char *text, size_t n, size_t at);

#endif
