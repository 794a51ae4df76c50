/* The text engine behind synth.h: word lists, and templates told with words from them.
 *
 * A list is an array of items; an item is a string of fields separated by ';' in the order its list
 * names them; the first is the word itself. A field is itself a template.
 *
 * Templates:
 *   [a|b|c]     one alternative, chosen anew each time; may be empty; may nest
 *   [1:a|b|c]   a linked choice: every group of the document with this digit (and this many
 *               alternatives) takes the same one
 *   {o}         the word bound to the variable o; {o.look} another field of it, the same each time
 *   {A.he}      for a person: he, him, his, himself, boy, ... in the right gender
 *   <rule>      the template of that name in synth_rules
 *   `           a double quotation mark
 * Afterwards spaces are collapsed, sentences and speeches capitalised, and "a" becomes "an" where
 * the next word wants it. */
#ifndef LINNET_DATA_SYNTH_INTERNAL_H
#define LINNET_DATA_SYNTH_INTERNAL_H

#include "base/buffer.h"
#include "base/rng.h"
#include "data/synth.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct synth_list {
    const char *name;   /* "toy" */
    const char *fields; /* "name;look;use" */
    const char *const *items;
    size_t count;
};
/* One list's row in a table of lists. */
#define SYNTH_LIST(name, fields, items)                                                            \
    {                                                                                              \
        name, fields, items, sizeof(items) / sizeof *(items)                                       \
    }

/* Tables of lists, by theme. */
extern const struct synth_list synth_people_lists[], synth_thing_lists[], synth_fact_lists[];
extern const size_t synth_people_count, synth_thing_count, synth_fact_count;

struct synth_rule {
    const char *name, *text;
};
extern const struct synth_rule synth_rules[];
extern const size_t synth_rule_count;

struct synth_plot {
    const char *name;
    const char *bindings; /* "A:child o:toy": variable and list; A is the protagonist */
    const char *text;
};
extern const struct synth_plot synth_daily_plots[], synth_outdoor_plots[], synth_kindness_plots[],
    synth_fable_plots[];
extern const size_t synth_daily_count, synth_outdoor_count, synth_kindness_count, synth_fable_count;

struct synth_question {
    unsigned weight;      /* how often, relative to the others */
    const char *bindings; /* before a '|' those whose words always appear in the question */
    const char *question, *answer;
};
extern const struct synth_question synth_questions[];
extern const size_t synth_question_count;

enum { SYNTH_MAX_VARIABLES = 12 };

struct synth_scene {
    struct rng rng; /* free choices */
    uint64_t seed;  /* linked choices and fields are functions of it */
    size_t n_variables;
    size_t n_always; /* variables bound before a '|' in the bindings; all of them without one */
    struct {
        char name;
        const struct synth_list *list;
        size_t item;
    } variables[SYNTH_MAX_VARIABLES];
};

/* Binds every variable to an item of its list. Variables of one list get different items; a second
 * or later person (an upper-case variable) is of the other sex than the first, so that "he" and
 * "she" are never in doubt. */
void synth_scene_begin(struct synth_scene *s, uint64_t seed, const char *bindings);

/* A hash of `id` and the words bound to the first n variables. For content to be held out, these
 * words must be visible in the text: else another key could tell the same text. */
uint64_t synth_scene_key(const struct synth_scene *s, uint64_t id, size_t n);

/* Appends the told template to `out`; `sentences` capitalises the beginnings. */
void synth_scene_tell(struct synth_scene *s, const char *text, bool sentences, struct buffer *out);

/* True when content with this key belongs to `split`. */
bool synth_key_in(uint64_t key, enum synth_split split);

/* One question and its answer, of the split by its operands. */
void synth_arithmetic_pair(uint64_t seed, enum synth_split split, struct buffer *question,
                           struct buffer *answer);

#endif
