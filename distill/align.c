/* Texts of a dump in another tokenizer's tokens. */
#include "distill/align.h"

#include "base/memory.h"

#include <math.h>
#include <string.h>

enum { AT_ONCE = 1024 }; /* sequences */

#define NOWHERE SIZE_MAX

struct aligning {
    const struct dump *dump;
    const struct token_map *map;
    const struct tokenizer *teacher, *student;
    size_t ids_capacity, learned_capacity, begin_capacity, positions_capacity;
};

/* What a sequence becomes. */
struct piece {
    struct tokens tokens;
    size_t *positions; /* one a token: the teacher's, counted within the sequence, or NOWHERE */
    size_t capacity;
    size_t n_same;
    bool spelled;
};

/* A sequence as the teacher has it. */
struct spelling {
    const int32_t *ids;
    const uint8_t *supervised;
    size_t n;
    struct buffer text;
    size_t *begins;  /* (n + 1) in the text */
    size_t *numbers; /* (n) supervised tokens before it */
};

static void piece_free(struct piece *p)
{
    tokens_free(&p->tokens);
    mem_free(p->positions);
}

/* The first token of an example has nothing before it. */
static void push(struct piece *p, int32_t id, size_t position)
{
    mem_grow((void **)&p->positions, &p->capacity, p->tokens.count, sizeof *p->positions);
    p->positions[p->tokens.count] = p->tokens.count ? position : NOWHERE;
    tokens_push(&p->tokens, id);
}

/* --- one sequence --- */

static bool is_special(const struct tokenizer *t, int32_t id)
{
    return tokenizer_is_special(t, id) || tokenizer_is_end(t, id);
}

/* BOS and EOS may be one token: in front it is BOS. */
static int32_t special_of(const struct aligning *a, int32_t id, bool in_front)
{
    if (in_front && id == tokenizer_bos(a->teacher) && id == tokenizer_eos(a->teacher) &&
        tokenizer_bos(a->student) != TOKEN_NONE && a->map->ids[id] == tokenizer_eos(a->student))
        return tokenizer_bos(a->student);
    return a->map->ids[id];
}

/* The text between special tokens, which the teacher's tokens [from, to) spell. */
static bool align_stretch(const struct aligning *a, const struct spelling *s, size_t from, size_t to, struct piece *p)
{
    const struct token_map *m = a->map;
    size_t first = s->begins[from], n = s->begins[to] - first, i = from;
    const char *text = s->text.data ? s->text.data + first : "";
    struct tokens ids = {0};
    tokenizer_encode(a->student, text, n, false, &ids);
    size_t *begins = mem_alloc(ids.count + 1, sizeof *begins);
    bool spelled = tokenizer_align(a->student, text, n, ids.ids, ids.count, begins);
    begins[ids.count] = n;
    for (size_t j = 0; spelled && j < ids.count; j++) {
        int32_t id = ids.ids[j];
        size_t at = first + begins[j];
        spelled = (size_t)id < m->v;
        while (i < to && s->begins[i + 1] <= at)
            i++;
        bool meet = spelled && i < to && s->begins[i] == at && s->supervised[i] &&
                    s->begins[i + 1] - at == m->teacher_bytes[s->ids[i]] && begins[j + 1] - begins[j] == m->student_bytes[id];
        p->n_same += meet && p->tokens.count && m->ids[s->ids[i]] == id;
        push(p, id, meet ? s->numbers[i] : NOWHERE);
    }
    mem_free(begins);
    tokens_free(&ids);
    return spelled;
}

static bool spell(const struct aligning *a, size_t sequence, struct spelling *s)
{
    const struct examples *x = &a->dump->examples;
    size_t first = x->begin[sequence], n = x->begin[sequence + 1] - first, number = 0;
    *s = (struct spelling){.ids = x->ids + first, .supervised = x->learned + first, .n = n};
    s->begins = mem_alloc(n + 1, sizeof *s->begins);
    s->numbers = mem_alloc(n, sizeof *s->numbers);
    for (size_t i = 0; i < n; i++) {
        s->numbers[i] = number;
        number += s->supervised[i];
    }
    tokenizer_decode(a->teacher, s->ids, n, true, &s->text);
    s->begins[n] = s->text.size;
    return tokenizer_align(a->teacher, s->text.data ? s->text.data : "", s->text.size, s->ids, n, s->begins);
}

static void align_sequence(const struct aligning *a, size_t sequence, struct piece *p)
{
    struct spelling s;
    p->spelled = spell(a, sequence, &s);
    bool adds_bos = tokenizer_adds_bos(a->student) && !tokenizer_adds_bos(a->teacher);
    int32_t bos = tokenizer_bos(a->student);
    if (adds_bos && bos != TOKEN_NONE && !(is_special(a->teacher, s.ids[0]) && special_of(a, s.ids[0], true) == bos))
        push(p, bos, NOWHERE);
    for (size_t i = 0, end; i < s.n && p->spelled; i = end) {
        for (end = i; end < s.n && !is_special(a->teacher, s.ids[end]); end++)
            ;
        if (end > i) {
            p->spelled = align_stretch(a, &s, i, end, p);
            continue;
        }
        end = i + 1;
        int32_t id = special_of(a, s.ids[i], i == 0);
        if (id == TOKEN_NONE)
            continue;
        p->n_same += s.supervised[i] && p->tokens.count && a->map->ids[s.ids[i]] == id;
        push(p, id, s.supervised[i] ? s.numbers[i] : NOWHERE);
    }
    buffer_free(&s.text);
    mem_free(s.begins);
    mem_free(s.numbers);
}

/* --- all of them --- */

/* first: the sequence's first position in the dump. */
static void append(struct aligning *g, struct alignment *a, const struct piece *p, size_t first)
{
    struct examples *x = &a->examples;
    size_t n = p->tokens.count, at = x->begin[x->count];
    a->n_left_out += !p->spelled;
    if (!p->spelled || n == 0)
        return;
    mem_grow((void **)&x->ids, &g->ids_capacity, at + n, sizeof *x->ids);
    mem_grow((void **)&x->learned, &g->learned_capacity, at + n, sizeof *x->learned);
    mem_grow((void **)&x->begin, &g->begin_capacity, x->count + 1, sizeof *x->begin);
    mem_grow((void **)&a->positions, &g->positions_capacity, a->n_positions + n, sizeof *a->positions);
    memcpy(x->ids + at, p->tokens.ids, n * sizeof *x->ids);
    for (size_t i = 0; i < n; i++) {
        x->learned[at + i] = p->positions[i] != NOWHERE;
        if (x->learned[at + i])
            a->positions[a->n_positions++] = first + p->positions[i];
    }
    x->begin[++x->count] = at + n;
    a->n_tokens += n - 1;
    a->n_same += p->n_same;
}

static size_t count_supervised(const struct examples *x, size_t sequence)
{
    size_t n = 0;
    for (size_t i = x->begin[sequence]; i < x->begin[sequence + 1]; i++)
        n += x->learned[i];
    return n;
}

int alignment_init(struct alignment *a, const struct dump *d, struct token_map *map, const struct tokenizer *teacher,
                   const struct tokenizer *student, struct error *e)
{
    struct aligning g = {.dump = d, .map = map, .teacher = teacher, .student = student};
    size_t first = 0, n = d->examples.count;
    *a = (struct alignment){.map = map};
    if (d->description.kind == DUMP_SAMPLED)
        return error_set(e, ERR_USAGE, "--align text needs a dump of the likeliest tokens: this one holds samples, whose weights "
                         "cannot be moved to other tokens");
    struct piece *pieces = mem_alloc(n < AT_ONCE ? n : AT_ONCE, sizeof *pieces);
    mem_grow((void **)&a->examples.begin, &g.begin_capacity, 0, sizeof *a->examples.begin);
    a->examples.begin[0] = 0;
    for (size_t begin = 0; begin < n; begin += AT_ONCE) {
        size_t count = n - begin < AT_ONCE ? n - begin : AT_ONCE;
        memset(pieces, 0, count * sizeof *pieces);
#pragma omp parallel for schedule(dynamic)
        for (size_t i = 0; i < count; i++)
            align_sequence(&g, begin + i, &pieces[i]);
        for (size_t i = 0; i < count; i++) {
            append(&g, a, &pieces[i], first);
            first += count_supervised(&d->examples, begin + i);
            piece_free(&pieces[i]);
        }
    }
    mem_free(pieces);
    if (a->n_positions > 0)
        return OK;
    return error_set(e, ERR_USAGE, "--align text: no token of the student's begins where a supervised one of the teacher's does; "
                     "of %zu sequences %zu are left out, as one of the tokenizers does not spell them byte by byte", n,
                     a->n_left_out);
}

void alignment_free(struct alignment *a)
{
    examples_free(&a->examples);
    mem_free(a->positions);
    *a = (struct alignment){0};
}

/* --- how well it goes --- */

enum { MEASURED_RUNS = 64, MEASURED_RUN = 16 }; /* positions of the sample, in runs of neighbours */

static void measure_row(const struct dump *d, const struct token_map *m, const struct soft_targets *t, size_t row,
                        struct alignment_shares *s)
{
    double known = 0;
    size_t n = t->logits ? t->v : t->begin[row + 1] - t->begin[row];
    for (size_t j = 0; j < n; j++) {
        size_t at = t->logits ? row * t->v + j : t->begin[row] + j, id = t->logits ? j : (size_t)t->ids[at];
        double p = exp(t->logits ? (double)t->logits[at] / d->description.temperature : (double)t->log_probs[at]);
        known += m->match[id] == MATCH_NONE ? 0 : p;
        s->match[m->match[id]] += m->match[id] == MATCH_NONE ? 0 : p;
    }
    s->match[MATCH_NONE] += fmax(1 - known, 0);
}

int alignment_measure(const struct alignment *a, struct dump *d, struct alignment_shares *s, struct error *e)
{
    size_t most = d->description.most, measured = 0, runs = MEASURED_RUNS;
    struct dump_rows rows = {MEASURED_RUN, most, mem_alloc(MEASURED_RUN + 1, sizeof *rows.begin),
                             mem_alloc(MEASURED_RUN * most, sizeof *rows.ids),
                             mem_alloc(MEASURED_RUN * most, sizeof *rows.log_probs),
                             mem_alloc(MEASURED_RUN, sizeof *rows.log_tail)};
    struct soft_targets t;
    int code = OK;
    *s = (struct alignment_shares){0};
    for (size_t run = 0; run < runs && !code; run++) {
        size_t first = a->n_positions / runs * run, n = a->n_positions - first;
        size_t room = run + 1 < runs ? a->n_positions / runs : n;
        n = room < MEASURED_RUN ? room : MEASURED_RUN;
        code = dump_read(d, a->positions + first, n, &rows, &t, e);
        for (size_t i = 0; i < n && !code; i++)
            measure_row(d, a->map, &t, i, s);
        measured += n;
    }
    for (int i = 0; i <= MATCH_EXACT; i++)
        s->match[i] /= (double)measured;
    mem_free(rows.begin);
    mem_free(rows.ids);
    mem_free(rows.log_probs);
    mem_free(rows.log_tail);
    return code;
}
