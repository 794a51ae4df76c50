/* The same, with a memory that is full all the time. */
#define GRAMMAR_MOST_CONFIGS 3
#include "grammar/grammar.c"
#include "tests/grammar/test_grammar.c"
