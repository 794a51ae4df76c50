#include "data/dataset_check.h"

#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "data/answers.h"
#include "data/corpus.h"
#include "data/hold_out.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BLOCK_BYTES = 16 << 20 };

/* ---- texts that count as equal ---- */

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Appends the text without blanks at its ends and with single ones within; `loose` also without case, and without
 * punctuation that ends a word ("1.5" keeps its point). */
static void append_normalised(struct buffer *out, const char *text, size_t n, bool loose)
{
    size_t start = out->size;
    for (size_t i = 0; i < n; i++) {
        size_t mark = i;
        while (loose && mark < n && text[mark] && strchr(".,;:?!", text[mark]))
            mark++;
        if (mark > i && (mark == n || is_blank(text[mark]))) {
            i = mark - 1;
            continue;
        }
        if (!is_blank(text[i]))
            buffer_byte(out, loose ? (char)tolower((unsigned char)text[i]) : text[i]);
        else if (out->size > start && out->data[out->size - 1] != ' ')
            buffer_byte(out, ' ');
    }
    while (out->size > start && out->data[out->size - 1] == ' ')
        out->size--;
}

static void append_json(struct buffer *out, const json_t *value)
{
    char *text = json_dumps(value, JSON_SORT_KEYS | JSON_COMPACT | JSON_ENCODE_ANY);
    buffer_string(out, text);
    free(text);
}

static bool is_assistant(const json_t *message)
{
    const char *role = json_string_value(json_object_get(message, "role"));
    return role && strcmp(role, "assistant") == 0;
}

/* Messages [from, to): each member by name, the content normalised. */
static void append_messages(struct buffer *out, const json_t *messages, size_t from, size_t to, bool loose)
{
    for (size_t i = from; i < to; i++) {
        json_t *message = json_array_get(messages, i), *content = json_object_get(message, "content");
        buffer_string(out, "\x1e");
        buffer_string(out, json_string_value(json_object_get(message, "role")));
        buffer_string(out, "\x1f");
        if (json_is_string(content))
            append_normalised(out, json_string_value(content), json_string_length(content), loose);
        if (json_object_get(message, "tool_calls"))
            append_json(out, json_object_get(message, "tool_calls"));
    }
}

static uint64_t text_hash(const struct buffer *b)
{
    uint64_t hash = b->size ? hash64(b->data, b->size, 0) : 0;
    return hash || !b->size ? hash : 1;
}

static void hash_row(const struct dataset_row *row, struct check_row *out)
{
    struct buffer text = {0};
    size_t n = json_array_size(row->messages), n_prompt = row->n_prompt;
    if (row->kind == ROW_TEXT) {
        append_normalised(&text, row->text, strlen(row->text), false);
        out->whole = text_hash(&text);
        buffer_free(&text);
        return;
    }
    while (!row->n_prompt && n_prompt < n && !is_assistant(json_array_get(row->messages, n_prompt)))
        n_prompt++;
    append_messages(&text, row->messages, 0, n_prompt, true);
    out->prompt = text_hash(&text);
    buffer_clear(&text);
    append_messages(&text, row->messages, n_prompt, n, false);
    if (row->rejected)
        append_messages(&text, row->rejected, n_prompt, json_array_size(row->rejected), false);
    if (row->kind == ROW_UNPAIRED)
        buffer_string(&text, row->label ? "\x1f+" : "\x1f-");
    out->answer = text_hash(&text);
    append_messages(&text, row->messages, 0, n_prompt, false);
    if (row->tools)
        append_json(&text, row->tools);
    out->whole = text_hash(&text);
    buffer_free(&text);
}

/* ---- reading ---- */

/* What was found out about one row, or what a piece of a .txt file is. */
struct finding {
    struct check_row row;
    char *reason; /* why it is bad, or NULL */
    char *unused[ROW_UNUSED_MOST];
    size_t n_unused;
    struct tokens tokens; /* of a piece, and its text, normalised */
    struct buffer normal;
    bool begins_blank, ends_blank;
};

/* The row's numbers, and what becomes of it when it is too long; x is truncated. */
static void find_length(const struct example_settings *s, struct example *x, struct check_row *row)
{
    size_t n = x->tokens.count;
    row->tokens = (uint32_t)n;
    row->learned = (uint32_t)x->n_learned;
    row->unfinished = (uint32_t)x->n_unfinished;
    if (row->unwanted || !s->max_tokens || n <= s->max_tokens)
        return;
    if (s->over_long == OVER_LONG_SPLIT && row->schema == SCHEMA_TEXT)
        row->windows = (uint32_t)example_windows(n, s->max_tokens);
    row->cut_off = !example_truncate(x, s->max_tokens);
}

/* A pair, or one answer that is judged (`rejected` NULL), and what training does with it; x may be shortened. */
static void find_answers(const struct example_settings *s, struct example *x, struct example *rejected,
                         struct check_row *row)
{
    bool too_long = s->max_tokens && answers_length(x, rejected) > s->max_tokens;
    row->answers++;
    row->learned += (uint32_t)(x->n_learned + (rejected ? rejected->n_learned : 0));
    row->unfinished += (uint32_t)(x->n_unfinished + (rejected ? rejected->n_unfinished : 0));
    row->too_long += too_long;
    if (!too_long || (s->over_long == OVER_LONG_TRUNCATE && answers_shorten(s->tokenizer, x, rejected, s->max_tokens)))
        row->kept++;
}

/* What answers_make made of the row. */
static void find_preference(const struct example_settings *s, bool wanted, struct example *x, struct example *rejected,
                            struct check_row *row)
{
    bool two = rejected->tokens.count > 0;
    row->prompt_text = x->prompt;
    *(wanted ? &row->chosen : &row->rejected) = (uint32_t)x->n_learned;
    if (two)
        row->rejected = (uint32_t)rejected->n_learned;
    if (s->answers == ANSWERS_COMPARED) {
        row->tokens = (uint32_t)answers_length(x, rejected);
        find_answers(s, x, rejected, row);
    } else {
        size_t a = x->tokens.count, b = rejected->tokens.count;
        row->tokens = (uint32_t)(a > b ? a : b);
        row->second = (uint32_t)(a > b ? b : a);
        find_answers(s, x, NULL, row);
        if (two)
            find_answers(s, rejected, NULL, row);
    }
    row->cut_off = row->kept < row->answers;
}

static void inspect(const struct example_settings *s, const char *line, size_t n, struct finding *f)
{
    struct dataset_row row;
    struct example x = {0}, rejected = {0};
    struct error e = {0};
    bool imitated = s->answers == ANSWERS_IMITATED, wanted = true;
    int code = dataset_row_parse(line, n, s->fields, &row, &e);
    if (!code) {
        f->row.schema = (uint8_t)row.schema;
        f->row.warnings = (uint8_t)row.warnings;
        wanted = row.kind != ROW_UNPAIRED || row.label;
        f->row.unwanted = imitated && !wanted;
        for (; f->n_unused < row.n_unused; f->n_unused++)
            f->unused[f->n_unused] = mem_string(row.unused[f->n_unused]);
        hash_row(&row, &f->row);
    }
    if (!code && !imitated)
        code = answers_make(&row, s, &x, &rejected, &e);
    else if (!code && !f->row.unwanted)
        code = example_make(&row, s, &x, &e);
    if (code) {
        f->row.bad = true;
        f->reason = mem_string(e.message);
    } else if (imitated) {
        find_length(s, &x, &f->row);
    } else {
        find_preference(s, wanted, &x, &rejected, &f->row);
    }
    example_free(&x);
    example_free(&rejected);
    dataset_row_free(&row);
}

static void inspect_piece(const struct example_settings *s, const char *text, size_t n, struct finding *f)
{
    tokenizer_encode(s->tokenizer, text, n, false, &f->tokens);
    append_normalised(&f->normal, text, n, false);
    f->begins_blank = is_blank(text[0]);
    f->ends_blank = is_blank(text[n - 1]);
}

static void note_field(struct dataset_check *c, const char *name, size_t row)
{
    size_t i = 0;
    while (i < c->n_fields && strcmp(c->fields[i].name, name) != 0)
        i++;
    if (i == CHECK_FIELDS_MOST)
        return;
    if (i == c->n_fields)
        c->fields[c->n_fields++] = (struct check_field){.name = mem_string(name), .first = row};
    c->fields[i].rows++;
}

static void take(struct dataset_check *c, const struct finding *f, bool keep_reason)
{
    void *rows = c->rows, *reasons = c->reasons;
    mem_grow(&rows, &c->capacity, c->count, sizeof *c->rows);
    c->rows = rows;
    c->rows[c->count] = f->row;
    if (f->row.bad && keep_reason) {
        mem_grow(&reasons, &c->reasons_capacity, c->n_reasons, sizeof *c->reasons);
        c->reasons = reasons;
        c->reasons[c->n_reasons++] = (struct check_reason){c->count, mem_string(f->reason)};
    }
    for (size_t i = 0; i < f->n_unused && !f->row.bad; i++)
        note_field(c, f->unused[i], c->count);
    c->count++;
}

static void finding_free(struct finding *f)
{
    mem_free(f->reason);
    for (size_t i = 0; i < f->n_unused; i++)
        mem_free(f->unused[i]);
    tokens_free(&f->tokens);
    buffer_free(&f->normal);
}

struct reading {
    const struct example_settings *s;
    size_t first_file;
    bool held;
    size_t most_reasons; /* still to be kept */
    /* What has been read of a .txt file that is not at its end, and the hash of its normalised text. */
    struct example text;
    struct hash64_state hash;
    bool blank; /* at its end */
};

static void take_row(struct dataset_check *c, struct reading *r, struct finding *f, const struct corpus_place *place)
{
    f->row.file = (uint32_t)(r->first_file + place->file);
    f->row.line = place->line;
    f->row.held = r->held;
    if (r->held && f->row.windows) {
        f->row.held_windows = f->row.windows;
        f->row.held_tokens = f->row.tokens + f->row.windows - 1;
    }
    take(c, f, r->most_reasons > 0);
    r->most_reasons -= f->row.bad && r->most_reasons > 0;
}

/* One blank where there are some between pieces, as within one. */
static void hash_piece(struct reading *r, const struct finding *piece)
{
    if (piece->normal.size) {
        if (r->hash.total && (r->blank || piece->begins_blank))
            hash64_update(&r->hash, " ", 1);
        hash64_update(&r->hash, piece->normal.data, piece->normal.size);
    }
    r->blank = piece->ends_blank;
}

static void take_piece(struct dataset_check *c, struct reading *r, const struct finding *piece, bool continues,
                       const struct corpus_place *place)
{
    example_add_piece(&r->text, &piece->tokens);
    hash_piece(r, piece);
    if (continues)
        return;
    struct finding whole = {.row = {.schema = SCHEMA_TEXT}};
    struct error e = {0};
    whole.row.bad = (r->s->answers == ANSWERS_IMITATED ? example_finish_text(&r->text, r->s->tokenizer, &e)
                                                       : answers_refuse_text(r->s, &e)) != OK;
    whole.row.whole = r->hash.total ? hash64_end(&r->hash) : 0;
    if (r->hash.total && !whole.row.whole)
        whole.row.whole = 1;
    if (whole.row.bad)
        whole.reason = mem_string(e.message);
    else
        find_length(r->s, &r->text, &whole.row);
    take_row(c, r, &whole, place);
    finding_free(&whole);
    r->text.tokens.count = 0;
    hash64_begin(&r->hash, 0);
    r->blank = false;
}

static void take_block(struct dataset_check *c, struct reading *r, const struct corpus_chunk *block)
{
    struct finding *findings = mem_zero(block->n, sizeof *findings);
#pragma omp parallel for schedule(dynamic)
    for (size_t i = 0; i < block->n; i++)
        (block->places[i].text ? inspect_piece : inspect)(r->s, block->text.data + block->offsets[i],
                                                          block->offsets[i + 1] - block->offsets[i], &findings[i]);
    for (size_t i = 0; i < block->n; i++) {
        if (block->places[i].text)
            take_piece(c, r, &findings[i], block->continues[i], &block->places[i]);
        else
            take_row(c, r, &findings[i], &block->places[i]);
        finding_free(&findings[i]);
    }
    mem_free(findings);
}

static void add_files(struct dataset_check *c, const struct corpus *corpus)
{
    size_t n = corpus_counts(corpus).files;
    c->files = mem_resize(c->files, c->n_files + n, sizeof *c->files);
    for (size_t i = 0; i < n; i++)
        c->files[c->n_files++] = mem_string(corpus_path(corpus, i));
}

int dataset_check_read(struct dataset_check *c, const char *const *paths, size_t n_paths, bool held,
                       const struct example_settings *s, size_t most_reasons, struct error *e)
{
    struct example_settings fixed = *s;
    struct reading r = {.s = &fixed, .first_file = c->n_files, .held = held, .most_reasons = most_reasons};
    struct corpus *corpus = NULL;
    struct corpus_chunk block = {0};
    struct progress p;
    if (!fixed.now) /* one date for all rows */
        fixed.now = (int64_t)time(NULL);
    hash64_begin(&r.hash, 0);
    int code = examples_check_settings(s, e);
    if (!code)
        code = corpus_open_rows(paths, n_paths, &corpus, e);
    if (code)
        return code;
    if (!tokenizer_cuts_safely(s->tokenizer))
        corpus_keep_whole(corpus);
    add_files(c, corpus);
    progress_start(&p, held ? "held out" : "data", (double)corpus_bytes_total(corpus));
    while (!(code = corpus_next(corpus, BLOCK_BYTES, &block, e)) && block.n > 0) {
        take_block(c, &r, &block);
        char detail[64];
        snprintf(detail, sizeof detail, "%zu rows", c->count);
        progress_update(&p, (double)corpus_bytes_read(corpus), detail);
    }
    if (!code)
        progress_finish(&p, "");
    example_free(&r.text);
    corpus_chunk_free(&block);
    corpus_close(corpus);
    return code;
}

void dataset_check_free(struct dataset_check *c)
{
    for (size_t i = 0; i < c->n_files; i++)
        mem_free(c->files[i]);
    for (size_t i = 0; i < c->n_reasons; i++)
        mem_free(c->reasons[i].text);
    for (size_t i = 0; i < c->n_fields; i++)
        mem_free(c->fields[i].name);
    mem_free(c->files);
    mem_free(c->reasons);
    mem_free(c->rows);
    *c = (struct dataset_check){0};
}

/* How many examples come of the row. */
static size_t examples_of(const struct check_row *row, size_t max_tokens, enum over_long over_long)
{
    if (row->bad || row->unwanted)
        return 0;
    if (row->windows)
        return row->windows;
    if (row->answers)
        return row->kept;
    return over_long == OVER_LONG_TRUNCATE ? !row->cut_off : row->tokens <= max_tokens;
}

/* `held`: of the row's examples, of which there are n. */
static void hold_out_row(struct check_row *row, const bool *held, size_t n, size_t max_tokens)
{
    size_t n_held = 0, n_tokens = 0;
    for (size_t w = 0; w < n; w++) {
        size_t left = row->tokens - w * (max_tokens - 1);
        n_held += held[w];
        n_tokens += !held[w] ? 0 : left < max_tokens ? left : max_tokens;
    }
    row->held = n_held == n;
    row->held_windows = row->windows ? (uint32_t)n_held : 0;
    row->held_tokens = row->windows ? (uint32_t)n_tokens : 0;
}

void dataset_check_hold_out(struct dataset_check *c, double fraction, uint64_t seed, size_t max_tokens,
                            enum over_long over_long)
{
    size_t n = 0, at = 0;
    for (size_t i = 0; i < c->count; i++)
        n += examples_of(&c->rows[i], max_tokens, over_long);
    uint64_t *draws = mem_alloc(n, sizeof *draws);
    bool *held = mem_zero(n, sizeof *held);
    for (size_t i = 0; i < c->count; i++) {
        const struct check_row *row = &c->rows[i];
        size_t n_examples = examples_of(row, max_tokens, over_long);
        for (size_t w = 0; w < n_examples; w++)
            draws[at++] = row->answers   ? hold_out_draw_prompt(seed, row->prompt_text)
                          : row->windows ? hold_out_draw_window(seed, row->file, row->line, (uint32_t)w)
                                         : hold_out_draw(seed, row->file, row->line);
    }
    hold_out_pick(draws, n, fraction, held);
    for (size_t i = 0, begin = 0; i < c->count; i++) {
        size_t n_examples = examples_of(&c->rows[i], max_tokens, over_long);
        if (n_examples)
            hold_out_row(&c->rows[i], held + begin, n_examples, max_tokens);
        begin += n_examples;
    }
    mem_free(draws);
    mem_free(held);
}
