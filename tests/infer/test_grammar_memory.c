/* The same, with a memory that is full all the time. */
#define GRAMMAR_MOST_CONFIGS 3
#include "infer/grammar.c"
#include "tests/infer/test_grammar.c"
