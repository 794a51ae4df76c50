#include "cli/colour.h"
#include "cli/data_check.h"
#include "cli/shared.h"

#include <inttypes.h>
#include <string.h>

/* ---- for people ---- */

static bool colours;

static const char *colour(const char *code)
{
    return colours ? code : "";
}

static double percent(size_t part, size_t whole)
{
    return whole ? 100.0 * (double)part / (double)whole : 0;
}

static void print_cells(const char *label, const char *train, const char *held, bool has_held)
{
    printf("%-36s %12s", label, train);
    if (has_held)
        printf(" %12s", held);
    putchar('\n');
}

static void print_counts(const struct check_summary *s, const char *label, size_t train, size_t held)
{
    char a[32], b[32];
    snprintf(a, sizeof a, "%zu", train);
    snprintf(b, sizeof b, "%zu", held);
    print_cells(label, a, b, s->has_held);
}

static void print_counts_if(const struct check_summary *s, const char *label, size_t train, size_t held)
{
    if (train || held)
        print_counts(s, label, train, held);
}

static double mean(size_t sum, size_t n)
{
    return n ? (double)sum / (double)n : 0;
}

/* What is counted of answers that are compared or judged. A wanted one that is mostly longer teaches length. */
static void print_answers(const struct check_summary *s)
{
    const struct check_totals *t = s->totals;
    bool pairs = s->objective == ANSWERS_COMPARED;
    char cells[3][2][32];
    print_counts(s, pairs ? "pairs" : "answers", t[0].examples, t[1].examples);
    print_counts(s, "  prompts", t[0].prompts, t[1].prompts);
    if (!pairs) {
        print_counts(s, "  wanted", t[0].chosen, t[1].chosen);
        print_counts(s, "  not wanted", t[0].rejected, t[1].rejected);
    }
    for (int i = 0; i < 2; i++) {
        snprintf(cells[0][i], sizeof cells[0][i], "%.1f", mean(t[i].chosen_tokens, t[i].chosen));
        snprintf(cells[1][i], sizeof cells[1][i], "%.1f", mean(t[i].rejected_tokens, t[i].rejected));
        snprintf(cells[2][i], sizeof cells[2][i], "%.1f%%", percent(t[i].chosen_longer, t[i].both));
    }
    print_cells(pairs ? "  chosen answer, mean tokens" : "  wanted, mean tokens", cells[0][0], cells[0][1], s->has_held);
    print_cells(pairs ? "  rejected answer, mean tokens" : "  not wanted, mean tokens", cells[1][0], cells[1][1],
                s->has_held);
    if (t[0].both || t[1].both)
        print_cells("  chosen is the longer one", cells[2][0], cells[2][1], s->has_held);
}

static void print_totals(const struct check_summary *s)
{
    static const char *const over_long[] = {"dropped", "truncated", "refused", "dropped"}; /* enum over_long */
    const struct check_totals *a = &s->totals[0], *b = &s->totals[1];
    char label[96], share[2][32];
    fputs(colour(COLOUR_BOLD), stdout);
    print_cells("", "to train on", "held out", s->has_held);
    fputs(colour(COLOUR_NONE), stdout);
    print_counts(s, "rows", a->rows, b->rows);
    for (size_t i = 0; i < ROW_SCHEMAS; i++) {
        snprintf(label, sizeof label, "  %s", row_schema_name((enum row_schema)i));
        print_counts_if(s, label, a->by_schema[i], b->by_schema[i]);
    }
    print_counts_if(s, "  bad", a->bad, b->bad);
    print_counts_if(s, "  not wanted (label false)", a->unwanted, b->unwanted);
    if (s->objective != ANSWERS_IMITATED)
        print_answers(s);
    print_counts(s, s->objective == ANSWERS_COMPARED ? "tokens, prompts once a pair" : "tokens", a->tokens, b->tokens);
    for (int i = 0; i < 2; i++)
        snprintf(share[i], sizeof share[i], "%.1f%%", percent(s->totals[i].learned, s->totals[i].tokens));
    print_cells("  supervised", share[0], share[1], s->has_held);
    print_counts(s, s->objective == ANSWERS_COMPARED ? "shortest pair, in tokens" : "shortest row, in tokens", a->shortest, b->shortest);
    print_counts(s, "  median", a->median, b->median);
    print_counts(s, "  95% have at most", a->most_of_them, b->most_of_them);
    print_counts(s, "  longest", a->longest, b->longest);
    snprintf(label, sizeof label, "  more than %zu: %s", s->max_tokens, over_long[s->over_long]);
    if (s->over_long != OVER_LONG_SPLIT || a->over_long || b->over_long)
        print_counts(s, label, a->over_long, b->over_long);
    if (s->over_long == OVER_LONG_SPLIT) {
        snprintf(label, sizeof label, "  texts of more than %zu: split", s->max_tokens);
        print_counts(s, label, a->split, b->split);
        print_counts(s, "    into examples", a->windows, b->windows);
    }
    printf("chat template: %s\n", s->template_name);
}

static void print_lengths(const struct check_summary *s)
{
    enum { WIDTH = 40 };
    size_t counts[LENGTH_BUCKETS], most = 0, first = LENGTH_BUCKETS, last = 0;
    for (size_t i = 0; i < LENGTH_BUCKETS; i++) {
        counts[i] = s->totals[0].lengths[i] + s->totals[1].lengths[i];
        most = counts[i] > most ? counts[i] : most;
        if (counts[i] && first == LENGTH_BUCKETS)
            first = i;
        if (counts[i])
            last = i;
    }
    if (!most)
        return;
    printf("\n%slength in tokens%s\n", colour(COLOUR_BOLD), colour(COLOUR_NONE));
    for (size_t i = first; i <= last; i++) {
        size_t low = i ? (size_t)1 << (i - 1) : 0, high = ((size_t)1 << i) - 1;
        size_t cells = (counts[i] * WIDTH + most - 1) / most;
        bool too_long = low > s->max_tokens;
        printf("%9zu to %-9zu %9zu%s%s", low, high, counts[i], cells ? "  " : "",
               colour(too_long ? COLOUR_YELLOW : COLOUR_GREEN));
        for (size_t k = 0; k < cells; k++)
            fputs(colours ? "█" : "#", stdout);
        printf("%s\n", colour(COLOUR_NONE));
    }
}

static void print_finding(const struct check_finding *f)
{
    printf("\n%s%s%s\n", colour(f->refused ? COLOUR_RED : COLOUR_YELLOW), f->title, colour(COLOUR_NONE));
    size_t i, n = json_array_size(f->rows);
    for (i = 0; i < n; i++) {
        const json_t *row = json_array_get(f->rows, i);
        struct buffer line = {0};
        const char *path = json_string_value(json_object_get(row, "path"));
        const char *reason = json_string_value(json_object_get(row, "reason"));
        append_visible(&line, path, strlen(path), SIZE_MAX);
        buffer_printf(&line, ":%lld: ", (long long)json_integer_value(json_object_get(row, "line")));
        append_visible(&line, reason, strlen(reason), SIZE_MAX);
        printf("  %s\n", line.data);
        buffer_free(&line);
    }
    if (n < f->count && n)
        printf("  %s... and %zu more (--list 0 lists all)%s\n", colour(COLOUR_DIM), f->count - n, colour(COLOUR_NONE));
}

void check_print_text(const struct check_summary *s)
{
    colours = colour_wanted(stdout);
    print_totals(s);
    print_lengths(s);
    for (size_t i = 0; i < s->n_findings; i++)
        print_finding(&s->findings[i]);
    if (!s->n_findings)
        printf("\n%snothing is wrong with it%s\n", colour(COLOUR_GREEN), colour(COLOUR_NONE));
}

/* ---- for machines ---- */

static json_t *count_json(size_t n)
{
    return json_integer((json_int_t)n);
}

static json_t *totals_json(const struct check_totals *t, bool with_answers)
{
    json_t *schemas = json_object(), *lengths = json_array();
    for (size_t i = 0; i < ROW_SCHEMAS; i++)
        if (t->by_schema[i])
            json_object_set_new(schemas, row_schema_name((enum row_schema)i), count_json(t->by_schema[i]));
    for (size_t i = 0; i < LENGTH_BUCKETS; i++)
        if (t->lengths[i])
            json_array_append_new(lengths, json_pack("{s:o, s:o, s:o}", "from", count_json(i ? (size_t)1 << (i - 1) : 0),
                                                     "to", count_json(((size_t)1 << i) - 1), "rows",
                                                     count_json(t->lengths[i])));
    const struct {
        const char *name;
        size_t value;
    } counts[] = {
        {"rows", t->rows}, {"bad", t->bad}, {"unwanted", t->unwanted}, {"examples", t->examples},
        {"over_long", t->over_long}, {"split", t->split}, {"windows", t->windows}, {"tokens", t->tokens}, {"learned_tokens", t->learned},
        {"unfinished_turns", t->turns_unfinished}, {"shortest", t->shortest}, {"median", t->median},
        {"percentile_95", t->most_of_them}, {"longest", t->longest},
    };
    json_t *object = json_object();
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        json_object_set_new(object, counts[i].name, count_json(counts[i].value));
    const struct {
        const char *name;
        size_t value;
    } answers[] = {
        {"prompts", t->prompts}, {"chosen", t->chosen}, {"rejected", t->rejected}, {"chosen_tokens", t->chosen_tokens},
        {"rejected_tokens", t->rejected_tokens}, {"both", t->both}, {"chosen_longer", t->chosen_longer},
    };
    for (size_t i = 0; with_answers && i < sizeof answers / sizeof *answers; i++)
        json_object_set_new(object, answers[i].name, count_json(answers[i].value));
    json_object_set_new(object, "schemas", schemas);
    json_object_set_new(object, "lengths", lengths);
    return object;
}

void check_print_json(const struct check_summary *s)
{
    json_t *findings = json_array();
    bool refused = false, answers = s->objective != ANSWERS_IMITATED;
    for (size_t i = 0; i < s->n_findings; i++) {
        const struct check_finding *f = &s->findings[i];
        refused |= f->refused;
        json_array_append_new(findings, json_pack("{s:s, s:s, s:o, s:b, s:O}", "finding", f->key, "title", f->title,
                                                  "count", count_json(f->count), "refused", f->refused, "rows",
                                                  f->rows));
    }
    print_json(json_pack("{s:s, s:o, s:o, s:s, s:o, s:b, s:o}", "objective", dataset_objectives[s->objective], "train",
                         totals_json(&s->totals[0], answers), "held_out",
                         s->has_held ? totals_json(&s->totals[1], answers) : json_null(), "chat_template",
                         s->template_name, "max_seq_length", count_json(s->max_tokens), "refused", refused, "findings",
                         findings));
}
