/* A whole dataset as examples: lines and pieces of .txt files are read in blocks, a block's rows become examples and its
 * pieces tokens in parallel, and these are gathered in order. */
#include "base/check.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "data/answers.h"
#include "data/corpus.h"
#include "data/example.h"

#include <string.h>
#include <time.h>

enum { BLOCK_BYTES = 16 << 20, SHOWN_REASONS = 5 };

/* What became of one row. Of a piece of a .txt file there are only the tokens. */
struct outcome {
    struct example example, rejected; /* the second only of a preference whose answers are both wanted here */
    char *reason; /* why it is bad, or NULL */
    enum error_code code;
    enum row_schema schema;
    unsigned warnings;
    bool wanted;   /* false: a completion that nobody wants imitated */
    bool too_long; /* with OVER_LONG_ERROR: the end, whatever becomes of bad rows */
    char *unused;  /* names of fields, each ended by a NUL, and one more at the end; NULL for none */
};

struct gathering {
    const struct example_settings *s;
    struct corpus *corpus;
    struct examples *all;
    struct example text; /* what has been read of a .txt file that is not at its end */
    size_t ids_capacity, begin_capacity, origins_capacity, learned_capacity;
};

static char *copy_names(const struct dataset_row *row)
{
    if (!row->n_unused)
        return NULL;
    struct buffer names = {0};
    for (size_t i = 0; i < row->n_unused; i++)
        buffer_append(&names, row->unused[i], strlen(row->unused[i]) + 1);
    buffer_byte(&names, 0);
    return names.data;
}

/* The tokens that count against max_tokens: of a row with two answers to be judged those of the longer one. */
static size_t length_of(const struct example_settings *s, const struct outcome *o)
{
    if (s->answers == ANSWERS_IMITATED)
        return o->example.tokens.count;
    if (s->answers == ANSWERS_COMPARED)
        return answers_length(&o->example, &o->rejected);
    size_t a = answers_length(&o->example, NULL), b = o->rejected.tokens.count ? answers_length(&o->rejected, NULL) : 0;
    return a > b ? a : b;
}

/* Whether it is too long, and why it is bad. */
static void judge(const struct example_settings *s, struct outcome *o, struct error *e)
{
    o->too_long = !o->code && s->over_long == OVER_LONG_ERROR && s->max_tokens && length_of(s, o) > s->max_tokens;
    if (o->too_long)
        o->code = error_set(e, ERR_FORMAT, "%zu tokens%s, and at most %zu are allowed; --over-long drop or truncate "
                            "goes on without", length_of(s, o), s->answers == ANSWERS_COMPARED ? " with both answers" : "",
                            s->max_tokens);
    if (o->code)
        o->reason = mem_string(e->message);
}

static void make_outcome(const struct example_settings *s, const char *line, size_t n, struct outcome *o)
{
    struct dataset_row row;
    struct error e = {0};
    *o = (struct outcome){.wanted = true};
    o->code = dataset_row_parse(line, n, s->fields, &row, &e);
    if (!o->code) {
        o->schema = row.schema;
        o->warnings = row.warnings;
        o->wanted = row.kind != ROW_UNPAIRED || row.label;
        o->unused = copy_names(&row);
    }
    if (!o->code && s->answers != ANSWERS_IMITATED)
        o->code = answers_make(&row, s, &o->example, &o->rejected, &e);
    else if (!o->code && o->wanted)
        o->code = example_make(&row, s, &o->example, &e);
    judge(s, o, &e);
    dataset_row_free(&row);
}

static void outcome_free(struct outcome *o)
{
    example_free(&o->example);
    example_free(&o->rejected);
    mem_free(o->reason);
    mem_free(o->unused);
}

/* ---- gathering ---- */

static void note_names(struct example_report *report, const char *names)
{
    for (; names && *names; names += strlen(names) + 1) {
        size_t i = 0;
        while (i < report->n_unused && strcmp(report->unused[i], names) != 0)
            i++;
        if (i == report->n_unused && i < ROW_UNUSED_MOST)
            report->unused[report->n_unused++] = mem_string(names);
    }
}

/* n tokens of which n_learned are learned. */
static void append_example(struct gathering *g, const int32_t *from, const uint8_t *mask, size_t n, size_t n_learned,
                           struct example_origin origin)
{
    struct examples *all = g->all;
    size_t at = all->begin[all->count];
    void *ids = all->ids, *learned = all->learned, *begin = all->begin, *origins = all->origins;
    mem_grow(&ids, &g->ids_capacity, at + n, sizeof *all->ids);
    mem_grow(&learned, &g->learned_capacity, at + n, sizeof *all->learned);
    mem_grow(&begin, &g->begin_capacity, all->count + 1, sizeof *all->begin);
    mem_grow(&origins, &g->origins_capacity, all->count, sizeof *all->origins);
    all->ids = ids;
    all->learned = learned;
    all->begin = begin;
    all->origins = origins;
    memcpy(all->ids + at, from, n * sizeof *all->ids);
    memcpy(all->learned + at, mask, n);
    all->origins[all->count++] = origin;
    all->begin[all->count] = at + n;
    struct example_report *r = &all->report;
    r->tokens += n;
    r->learned_tokens += n_learned;
    r->longest = n > r->longest ? n : r->longest;
    r->truncated += origin.truncated && (all->answers != ANSWERS_COMPARED || all->count % 2);
}

static void append_answer(struct gathering *g, const struct example *x, struct example_origin origin)
{
    append_example(g, x->tokens.ids, x->learned, x->tokens.count, x->n_learned, origin);
}

/* A text's windows, in all of which everything but the first token is learned. */
static void append_windows(struct gathering *g, struct example *x, struct example_origin origin)
{
    size_t most = g->s->max_tokens, n = x->tokens.count, n_windows = example_windows(n, most);
    CHECK(n_windows <= UINT32_MAX);
    origin.split = true;
    for (size_t w = 0; w < n_windows; w++) {
        size_t begin = w * (most - 1), length = n - begin < most ? n - begin : most;
        uint8_t first = x->learned[begin];
        x->learned[begin] = 0;
        origin.window = (uint32_t)w;
        append_example(g, x->tokens.ids + begin, x->learned + begin, length, length - 1, origin);
        x->learned[begin] = first;
    }
    g->all->report.split++;
    g->all->report.windows += n_windows;
}

/* A bad row: the error, a warning, or the caller's. */
static int take_bad(struct gathering *g, const struct outcome *o, const struct corpus_place *place, struct error *e)
{
    const char *path = corpus_path(g->corpus, place->file);
    if (g->s->bad_rows == BAD_ROWS_FAIL || o->too_long)
        return error_set(e, o->code, "%s:%zu: %s", path, place->line, o->reason);
    size_t n = ++g->all->report.bad;
    if (g->s->bad_rows == BAD_ROWS_REPORT && g->s->report)
        g->s->report(g->s->context, path, place->line, o->reason);
    else if (g->s->bad_rows == BAD_ROWS_SKIP && n <= SHOWN_REASONS)
        log_warn("left out %s:%zu: %s", path, place->line, o->reason);
    return OK;
}

/* An example that is imitated. */
static void take_example(struct gathering *g, struct outcome *o, struct example_origin origin)
{
    struct example_report *r = &g->all->report;
    size_t most = g->s->max_tokens, n = o->example.tokens.count;
    if (!o->wanted) {
        r->unwanted++;
        return;
    }
    bool split = most && n > most && g->s->over_long == OVER_LONG_SPLIT && o->schema == SCHEMA_TEXT;
    if (most && n > most && !split) {
        origin.truncated = true;
        if (g->s->over_long != OVER_LONG_TRUNCATE || !example_truncate(&o->example, most)) {
            r->dropped++;
            return;
        }
    }
    if (split)
        append_windows(g, &o->example, origin);
    else
        append_answer(g, &o->example, origin);
    r->turns += o->example.n_turns;
    r->unfinished += o->example.n_unfinished;
}

/* A pair, or one answer that is judged (`rejected` NULL). */
static void take_answers(struct gathering *g, struct example *x, struct example *rejected, struct example_origin origin)
{
    struct example_report *r = &g->all->report;
    size_t most = g->s->max_tokens;
    origin.prompt = x->prompt;
    if (most && answers_length(x, rejected) > most) {
        origin.truncated = true;
        if (g->s->over_long != OVER_LONG_TRUNCATE || !answers_shorten(g->s->tokenizer, x, rejected, most)) {
            r->dropped++;
            return;
        }
    }
    append_answer(g, x, origin);
    r->turns += x->n_turns + (rejected ? rejected->n_turns : 0);
    r->unfinished += x->n_unfinished + (rejected ? rejected->n_unfinished : 0);
    origin.wanted = false;
    if (rejected)
        append_answer(g, rejected, origin);
}

static int take_outcome(struct gathering *g, struct outcome *o, const struct corpus_place *place, struct error *e)
{
    struct example_report *r = &g->all->report;
    r->rows++;
    if (o->code)
        return take_bad(g, o, place, e);
    r->by_schema[o->schema]++;
    for (size_t i = 0; i < ROW_WARNINGS; i++)
        r->by_warning[i] += o->warnings >> i & 1;
    note_names(r, o->unused);
    size_t n = length_of(g->s, o);
    r->longest_row = n > r->longest_row ? n : r->longest_row;
    struct example_origin origin = {.file = (uint32_t)place->file, .line = place->line, .schema = o->schema,
                                    .wanted = o->wanted, .prompt = o->example.prompt};
    if (g->s->answers == ANSWERS_IMITATED) {
        take_example(g, o, origin);
    } else if (g->s->answers == ANSWERS_COMPARED) {
        take_answers(g, &o->example, &o->rejected, origin);
    } else {
        take_answers(g, &o->example, NULL, origin);
        origin.wanted = false;
        if (o->rejected.tokens.count)
            take_answers(g, &o->rejected, NULL, origin);
    }
    return OK;
}

/* The tokens of a piece of a .txt file, behind the last of which the row is whole. */
static int take_piece(struct gathering *g, const struct outcome *piece, bool continues, const struct corpus_place *place,
                      struct error *e)
{
    example_add_piece(&g->text, &piece->example.tokens);
    if (continues)
        return OK;
    struct outcome whole = {.example = g->text, .schema = SCHEMA_TEXT, .wanted = true};
    struct error why = {0};
    g->text = (struct example){0};
    whole.code = g->s->answers == ANSWERS_IMITATED ? example_finish_text(&whole.example, g->s->tokenizer, &why)
                                                   : answers_refuse_text(g->s, &why);
    judge(g->s, &whole, &why);
    int code = take_outcome(g, &whole, place, e);
    outcome_free(&whole);
    return code;
}

static int take_block(struct gathering *g, const struct corpus_chunk *block, struct error *e)
{
    struct outcome *outcomes = mem_zero(block->n, sizeof *outcomes);
#pragma omp parallel for schedule(dynamic)
    for (size_t i = 0; i < block->n; i++) {
        const char *text = block->text.data + block->offsets[i];
        size_t n = block->offsets[i + 1] - block->offsets[i];
        if (block->places[i].text)
            tokenizer_encode(g->s->tokenizer, text, n, false, &outcomes[i].example.tokens);
        else
            make_outcome(g->s, text, n, &outcomes[i]);
    }
    int code = OK;
    for (size_t i = 0; i < block->n; i++) {
        const struct corpus_place *place = &block->places[i];
        if (!code && place->text)
            code = take_piece(g, &outcomes[i], block->continues[i], place, e);
        else if (!code)
            code = take_outcome(g, &outcomes[i], place, e);
        outcome_free(&outcomes[i]);
    }
    mem_free(outcomes);
    return code;
}

/* ---- */

static void copy_files(struct examples *all, const struct corpus *c)
{
    all->n_files = corpus_counts(c).files;
    all->files = mem_zero(all->n_files, sizeof *all->files);
    for (size_t i = 0; i < all->n_files; i++)
        all->files[i] = mem_string(corpus_path(c, i));
}

static int check_any(const struct examples *all, const struct example_settings *s, struct error *e)
{
    const struct example_report *r = &all->report;
    if (s->bad_rows == BAD_ROWS_SKIP && r->bad > SHOWN_REASONS)
        log_warn("left out %zu bad rows in all", r->bad);
    if (all->count)
        return OK;
    return error_set(e, ERR_FORMAT, "nothing to train on: of %zu rows %zu are bad, %zu longer than %zu tokens, %zu "
                     "not wanted (label false)", r->rows, r->bad, r->dropped, s->max_tokens, r->unwanted);
}

int examples_check_settings(const struct example_settings *s, struct error *e)
{
    if (s->over_long == OVER_LONG_SPLIT && s->max_tokens == 1)
        return error_set(e, ERR_USAGE, "texts cannot be split into examples of 1 token: at least 2 are needed, the first "
                                       "of which is not learned");
    if (s->answers != ANSWERS_IMITATED && s->loss == LOSS_ALL)
        return error_set(e, ERR_USAGE, "what is compared or judged is an answer: its prompt cannot be learned (--loss all)");
    return OK;
}

int examples_read(const char *const *paths, size_t n_paths, const struct example_settings *s, struct examples *all,
                  struct error *e)
{
    struct example_settings fixed = *s;
    struct gathering g = {.s = &fixed, .all = all};
    struct corpus_chunk block = {0};
    if (!fixed.now) /* one date for all rows */
        fixed.now = (int64_t)time(NULL);
    *all = (struct examples){.answers = s->answers};
    all->begin = mem_zero(1, sizeof *all->begin);
    g.begin_capacity = 1;
    int code = examples_check_settings(s, e);
    if (!code)
        code = corpus_open_rows(paths, n_paths, &g.corpus, e);
    if (!code)
        copy_files(all, g.corpus);
    if (!code && !tokenizer_cuts_safely(s->tokenizer))
        corpus_keep_whole(g.corpus);
    while (!code) {
        code = corpus_next(g.corpus, BLOCK_BYTES, &block, e);
        if (code || block.n == 0)
            break;
        code = take_block(&g, &block, e);
    }
    if (!code)
        code = check_any(all, s, e);
    if (!code && s->answers == ANSWERS_JUDGED)
        answers_borrow(all, s->max_tokens);
    example_free(&g.text);
    corpus_chunk_free(&block);
    corpus_close(g.corpus);
    return code;
}

void examples_free(struct examples *all)
{
    for (size_t i = 0; i < all->n_files; i++)
        mem_free(all->files[i]);
    for (size_t i = 0; i < all->report.n_unused; i++)
        mem_free(all->report.unused[i]);
    mem_free(all->files);
    mem_free(all->begin);
    mem_free(all->ids);
    mem_free(all->learned);
    mem_free(all->origins);
    *all = (struct examples){0};
}

size_t example_targets(const struct examples *all, size_t i)
{
    size_t n = 0;
    for (size_t k = all->begin[i] + 1; k < all->begin[i + 1]; k++)
        n += all->learned[k] != 0;
    return n;
}

uint64_t examples_hash(const struct examples *all)
{
    size_t n = all->count ? all->begin[all->count] : 0;
    uint64_t hash = hash64(all->begin, all->count ? (all->count + 1) * sizeof *all->begin : 0, all->count);
    hash = hash64_combine(hash, hash64(all->ids, n * sizeof *all->ids, 0));
    hash = hash64_combine(hash, hash64(all->learned, n, 0));
    if (all->answers != ANSWERS_IMITATED)
        hash = hash64_combine(hash, all->answers);
    for (size_t i = 0; all->answers != ANSWERS_IMITATED && i < all->count; i++)
        hash = hash64_combine(hash, all->origins[i].wanted);
    return hash;
}

uint64_t example_key(const struct examples *all, size_t i)
{
    size_t begin = all->begin[i], n = all->begin[i + 1] - begin;
    struct hash64_state state;
    hash64_begin(&state, 0);
    hash64_update(&state, all->ids + begin, n * sizeof *all->ids);
    hash64_update(&state, all->learned + begin, n * sizeof *all->learned);
    return hash64_end(&state);
}
