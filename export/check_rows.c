/* Every row of a dataset as it was trained on, and as a program has it that reads the exported file. */
#include "export/check.h"

#include "base/memory.h"
#include "data/corpus.h"
#include "data/messages.h"

#include <string.h>
#include <time.h>

enum { BLOCK_BYTES = 4 << 20, AROUND = 24 };

/* ---- two texts, and where they part ---- */

struct parting {
    bool differs;
    size_t at;
    char *around[2], *reason;
};

static void parting_free(struct parting *p)
{
    mem_free(p->around[0]);
    mem_free(p->around[1]);
    mem_free(p->reason);
}

static bool inside_character(const struct buffer *b, size_t at)
{
    return at < b->size && ((unsigned char)b->data[at] & 0xC0) == 0x80;
}

/* A few characters on both sides of a byte. */
static char *text_around(const struct buffer *b, size_t at)
{
    size_t from = at > AROUND ? at - AROUND : 0, to = b->size - at > AROUND ? at + AROUND : b->size;
    while (from > 0 && inside_character(b, from))
        from--;
    while (to < b->size && inside_character(b, to))
        to++;
    return mem_string_n(b->size ? b->data + from : "", to - from);
}

static void compare_texts(const struct buffer *a, const struct buffer *b, struct parting *p)
{
    size_t least = a->size < b->size ? a->size : b->size, at = 0;
    while (at < least && a->data[at] == b->data[at])
        at++;
    if (at == a->size && at == b->size)
        return;
    while (at > 0 && (inside_character(a, at) || inside_character(b, at)))
        at--;
    *p = (struct parting){.differs = true, .at = at, .around = {text_around(a, at), text_around(b, at)}};
}

/* Tokens as "17 \"the\"": up to three from number `from` on. */
static char *some_tokens(const struct tokenizer *t, const struct tokens *ids, size_t from)
{
    struct buffer out = {0};
    for (size_t i = from; i < ids->count && i < from + 3; i++) {
        size_t n;
        const char *text = tokenizer_token(t, ids->ids[i], &n);
        buffer_printf(&out, "%s%d \"%.*s\"", out.size ? ", " : "", (int)ids->ids[i], (int)(n < 40 ? n : 40), text);
    }
    return out.data ? out.data : mem_string("");
}

/* `at` becomes the byte of the text where the first token begins that differs. */
static void compare_ids(const struct checking *c, const struct buffer *text, struct parting *p)
{
    struct tokens ids[2] = {{0}};
    size_t i = 0;
    for (int k = 0; k < 2; k++)
        tokenizer_encode(c->tokenizers[k], text->data ? text->data : "", text->size, true, &ids[k]);
    while (i < ids[0].count && i < ids[1].count && ids[0].ids[i] == ids[1].ids[i])
        i++;
    if (i < ids[0].count || i < ids[1].count) {
        struct buffer before = {0};
        tokenizer_decode(c->tokenizers[0], ids[0].ids, i, true, &before);
        *p = (struct parting){.differs = true, .at = before.size < text->size ? before.size : text->size,
                              .around = {some_tokens(c->tokenizers[0], &ids[0], i),
                                         some_tokens(c->tokenizers[1], &ids[1], i)}};
        p->reason = text_around(text, p->at);
        buffer_free(&before);
    }
    tokens_free(&ids[0]);
    tokens_free(&ids[1]);
}

/* ---- one row ---- */

struct row_facts {
    struct example example;
    char *bad; /* the reason; then nothing else is there */
    bool unwanted, chat;
    struct parting rendered, opened, ids;
    size_t begins[2];
    bool has_begin; /* begins[1] is known */
};

static void facts_free(struct row_facts *f)
{
    example_free(&f->example);
    mem_free(f->bad);
    parting_free(&f->rendered);
    parting_free(&f->opened);
    parting_free(&f->ids);
}

static const char *token_text(const struct tokenizer *t, int32_t id)
{
    size_t n;
    return id == TOKEN_NONE ? NULL : tokenizer_token(t, id, &n);
}

static int render(const struct checking *c, int which, const json_t *messages, const json_t *tools, bool opening,
                  struct buffer *out, struct error *e)
{
    const struct tokenizer *t = c->tokenizers[which];
    const struct chat_input in = {
        .messages = messages, .tools = tools, .add_generation_prompt = opening, .variables = c->settings.variables,
        .bos_token = token_text(t, tokenizer_bos(t)), .eos_token = token_text(t, tokenizer_eos(t)), .now = c->settings.now,
    };
    if (!c->templates[which])
        return error_set(e, ERR_FORMAT, "there is no chat template");
    return chat_template_render(c->templates[which], &in, out, NULL, e);
}

/* Both renderings, of which the original's is what the row's example was made of. */
static void compare_renderings(const struct checking *c, const json_t *messages, const json_t *tools, bool opening,
                               struct buffer texts[2], struct parting *p)
{
    struct error e;
    if (render(c, 0, messages, tools, opening, &texts[0], &e)) /* a conversation cut short may be refused */
        return;
    if (render(c, 1, messages, tools, opening, &texts[1], &e))
        *p = (struct parting){.differs = true, .reason = mem_string(e.message)};
    else
        compare_texts(&texts[0], &texts[1], p);
}

/* What a chat program renders for the last answer: the messages before it, and its opening. */
static void compare_opening(const struct checking *c, const struct dataset_row *row, struct row_facts *f)
{
    size_t last = json_array_size(row->messages);
    while (last > 0 && !message_has_role(row->messages, last - 1, "assistant"))
        last--;
    if (last < 2)
        return;
    json_t *before = json_array();
    for (size_t i = 0; i + 1 < last; i++)
        json_array_append(before, json_array_get(row->messages, i));
    struct buffer texts[2] = {{0}};
    compare_renderings(c, before, row->tools, true, texts, &f->opened);
    buffer_free(&texts[0]);
    buffer_free(&texts[1]);
    json_decref(before);
}

static size_t count_begins(const struct tokenizer *t, const int32_t *ids, size_t n)
{
    size_t begins = 0;
    while (begins < n && tokenizer_bos(t) != TOKEN_NONE && ids[begins] == tokenizer_bos(t))
        begins++;
    return begins;
}

static void count_row_begins(const struct checking *c, const struct buffer *text, struct row_facts *f)
{
    const struct tokenizer *t = c->tokenizers[1];
    struct tokens ids = {0};
    f->begins[0] = count_begins(c->tokenizers[0], f->example.tokens.ids, f->example.tokens.count);
    f->has_begin = !f->rendered.reason;
    tokenizer_encode(t, text->data ? text->data : "", text->size, true, &ids);
    f->begins[1] = count_begins(t, ids.ids, ids.count);
    if (f->begins[1] == 0 && tokenizer_adds_bos(t))
        f->begins[1] = 1;
    tokens_free(&ids);
}

static void examine_row(const struct checking *c, const struct dataset_row *row, struct row_facts *f)
{
    struct buffer texts[2] = {{0}};
    f->chat = row->kind != ROW_TEXT && !(row->completion && !c->settings.chat_template);
    if (f->chat) {
        compare_renderings(c, row->messages, row->tools, false, texts, &f->rendered);
        compare_opening(c, row, f);
    } else {
        buffer_string(&texts[0], row->text ? row->text : row->prompt);
        buffer_string(&texts[0], row->text ? "" : row->completion);
    }
    compare_ids(c, &texts[0], &f->ids);
    count_row_begins(c, f->chat ? &texts[1] : &texts[0], f);
    buffer_free(&texts[0]);
    buffer_free(&texts[1]);
}

/* A line of .jsonl, or the text of a .txt file. */
static void find_facts(const struct checking *c, const char *line, size_t n, bool is_text, struct row_facts *f)
{
    struct dataset_row row;
    struct error e;
    int code = OK;
    *f = (struct row_facts){0};
    if (is_text)
        dataset_row_from_text(line, n, &row);
    else
        code = dataset_row_parse(line, n, c->settings.fields, &row, &e);
    if (!code) {
        f->unwanted = row.kind == ROW_UNPAIRED && !row.label;
        code = f->unwanted ? OK : example_make(&row, &c->settings, &f->example, &e);
    }
    if (!code && !f->unwanted)
        examine_row(c, &row, f);
    if (code)
        f->bad = mem_string(e.message);
    dataset_row_free(&row);
}

/* ---- all rows ---- */

struct gathering {
    const struct checking *c;
    struct checked_rows *r;
    size_t stride; /* every so many rows are samples */
    const char *path;
    uint64_t line;
};

static void note_place(const struct gathering *g, struct checked_place *place)
{
    if (place->n++)
        return;
    place->path = mem_string(g->path);
    place->line = g->line;
}

static void note_parting(const struct gathering *g, struct parting *p, struct checked_place *place)
{
    if (!p->differs)
        return;
    note_place(g, place);
    if (place->n > 1)
        return;
    place->at = p->at;
    for (int i = 0; i < 2; i++) {
        place->around[i] = p->around[i] ? p->around[i] : mem_string("");
        p->around[i] = NULL;
    }
    place->reason = p->reason;
    p->reason = NULL;
}

static bool is_blank(const struct tokenizer *t, int32_t id)
{
    struct buffer text = {0};
    tokenizer_decode(t, &id, 1, true, &text);
    bool blank = strspn(text.data ? text.data : "", " \t\r\n") == text.size;
    buffer_free(&text);
    return blank;
}

/* Answers are stretches of learned tokens. */
static void count_ends(struct gathering *g, const struct example *x)
{
    struct checked_rows *r = g->r;
    for (size_t i = 1, from = 1; i <= x->tokens.count; i++) {
        const bool inside = i < x->tokens.count && x->learned[i];
        if (inside || !x->learned[i - 1]) {
            from = inside && !x->learned[i - 1] ? i : from;
            continue;
        }
        size_t last = i;
        while (last > from + 1 && !tokenizer_is_end(g->c->tokenizers[0], x->tokens.ids[last - 1]) &&
               is_blank(g->c->tokenizers[0], x->tokens.ids[last - 1]))
            last--;
        const int32_t id = x->tokens.ids[last - 1];
        r->turns++;
        for (int k = 0; k < 2; k++) {
            const bool ends = tokenizer_is_end(g->c->tokenizers[k], id);
            r->ended[k] += ends;
            if (!ends && r->open[k] == TOKEN_NONE)
                r->open[k] = id;
        }
    }
}

static void count_begin(struct gathering *g, const struct row_facts *f)
{
    struct checked_rows *r = g->r;
    for (int k = 0; k < 2 && f->has_begin; k++) {
        size_t *counts[] = {&r->none[k], &r->once[k], &r->more[k]};
        ++*counts[f->begins[k] < 2 ? f->begins[k] : 2];
    }
    if (f->has_begin && f->begins[0] != f->begins[1])
        note_place(g, &r->begins);
}

static void sample_free(struct checked_row *s)
{
    mem_free(s->path);
    mem_free(s->ids);
}

/* Every `stride`-th row; when there are twice as many as wanted every second one goes, and rows come half as often. */
static void keep_sample(struct gathering *g, const struct example *x, bool chat)
{
    struct checked_rows *r = g->r;
    const size_t wanted = g->c->n_samples, most = g->c->sample_tokens;
    if (!wanted || r->rows % g->stride || x->tokens.count < 2 || most < 2)
        return;
    if (r->n_samples == 2 * wanted) {
        for (size_t i = 0; i < r->n_samples; i++) {
            if (i % 2)
                sample_free(&r->samples[i]);
            else
                r->samples[i / 2] = r->samples[i];
        }
        r->n_samples = wanted;
        g->stride *= 2;
        if (r->rows % g->stride)
            return;
    }
    size_t n = x->tokens.count < most ? x->tokens.count : most, prompt = 1;
    while (prompt < n && !x->learned[prompt])
        prompt++;
    if (prompt == n || (prompt == 1 && !chat)) /* cut off before the answer; a text that is learned from its start */
        prompt = prompt == n ? n : (n + 3) / 4;
    struct checked_row s = {.path = mem_string(g->path), .line = g->line, .n = n, .n_prompt = prompt,
                            .ids = mem_alloc(n, sizeof *s.ids)};
    memcpy(s.ids, x->tokens.ids, n * sizeof *s.ids);
    r->samples = mem_resize(r->samples, r->n_samples + 1, sizeof *r->samples);
    r->samples[r->n_samples++] = s;
}

static void take_row(struct gathering *g, struct row_facts *f)
{
    struct checked_rows *r = g->r;
    if (f->bad) {
        note_place(g, &r->bad);
        if (r->bad.n == 1)
            r->bad.reason = mem_string(f->bad);
        return;
    }
    if (f->unwanted) {
        r->unwanted++;
        return;
    }
    note_parting(g, &f->rendered, &r->rendered);
    note_parting(g, &f->opened, &r->opened);
    note_parting(g, &f->ids, &r->ids);
    count_ends(g, &f->example);
    count_begin(g, f);
    keep_sample(g, &f->example, f->chat);
    r->rows++;
    r->chats += f->chat;
    r->tokens += f->example.tokens.count;
}

static void take_block(struct gathering *g, const struct corpus *corpus, const struct corpus_chunk *block)
{
    struct row_facts *facts = mem_zero(block->n, sizeof *facts);
#pragma omp parallel for schedule(dynamic, 8)
    for (size_t i = 0; i < block->n; i++)
        find_facts(g->c, block->text.data + block->offsets[i], block->offsets[i + 1] - block->offsets[i],
                   block->places[i].text, &facts[i]);
    for (size_t i = 0; i < block->n; i++) {
        g->path = corpus_path(corpus, block->places[i].file);
        g->line = block->places[i].line;
        take_row(g, &facts[i]);
        facts_free(&facts[i]);
    }
    mem_free(facts);
}

/* At most as many samples as wanted, still spread evenly. */
static void thin_samples(const struct checking *c, struct checked_rows *r)
{
    const size_t n = r->n_samples;
    size_t kept = 0;
    for (size_t i = 0; i < n && n > c->n_samples; i++) {
        if (i == kept * n / c->n_samples && kept < c->n_samples)
            r->samples[kept++] = r->samples[i];
        else
            sample_free(&r->samples[i]);
    }
    r->n_samples = n > c->n_samples ? kept : n;
}

int check_rows(const struct checking *c, const char *const *paths, size_t n_paths, struct checked_rows *r,
               struct error *e)
{
    struct checking fixed = *c;
    struct gathering g = {.c = &fixed, .r = r, .stride = 1};
    struct corpus *corpus = NULL;
    struct corpus_chunk block = {0};
    if (!fixed.settings.now) /* one date for all renderings */
        fixed.settings.now = (int64_t)time(NULL);
    *r = (struct checked_rows){.open = {TOKEN_NONE, TOKEN_NONE}};
    int code = corpus_open_rows(paths, n_paths, &corpus, e);
    if (!code)
        corpus_keep_whole(corpus);
    while (!code && !(code = corpus_next(corpus, BLOCK_BYTES, &block, e)) && block.n > 0)
        take_block(&g, corpus, &block);
    thin_samples(c, r);
    if (!code && !r->rows && r->bad.n)
        code = error_set(e, ERR_FORMAT, "none of the rows is an example: %s:%llu: %s", r->bad.path,
                         (unsigned long long)r->bad.line, r->bad.reason);
    else if (!code && !r->rows)
        code = error_set(e, ERR_FORMAT, "there is no row to check with");
    corpus_chunk_free(&block);
    corpus_close(corpus);
    return code;
}

static void place_free(struct checked_place *p)
{
    mem_free(p->path);
    mem_free(p->around[0]);
    mem_free(p->around[1]);
    mem_free(p->reason);
}

void checked_rows_free(struct checked_rows *r)
{
    struct checked_place *places[] = {&r->bad, &r->rendered, &r->opened, &r->ids, &r->begins};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        place_free(places[i]);
    for (size_t i = 0; i < r->n_samples; i++)
        sample_free(&r->samples[i]);
    mem_free(r->samples);
    *r = (struct checked_rows){0};
}
