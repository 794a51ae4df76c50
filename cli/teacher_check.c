/* linnet teacher check: whether a dump is whole, and what is in it. */
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "cli/command.h"
#include "cli/shared.h"
#include "cli/teacher.h"
#include "tokenizer/compare.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct {
    char *model, *tokenizer;
    size_t show;
    bool json, hash;
} flags;

#define FIELD(member) offsetof(__typeof__(flags), member)

static const struct option rows[] = {
    {.key = "tokenizer", .flag = "--tokenizer", .type = OPTION_STRING, .offset = FIELD(tokenizer), .placeholder = "PATH",
     .help = "whether its tokens are these: tokenizer.json, a GGUF file, or a directory with one"},
    {.key = "model", .flag = "--model", .type = OPTION_STRING, .offset = FIELD(model), .placeholder = "PATH",
     .help = "the same of a model: a student that is to learn from it"},
    {.key = "show", .flag = "--show", .type = OPTION_SIZE, .offset = FIELD(show), .default_value = "3", .maximum = 1000,
     .help = "so many positions as examples: the text before, and what is likely there"},
    {.key = "hash", .flag = "--hash", .type = OPTION_BOOL, .offset = FIELD(hash),
     .help = "a hash of the content: the same of equal dumps, whatever parts they are in"},
    {.key = "json", .flag = "--json", .type = OPTION_BOOL, .offset = FIELD(json), .help = "print one JSON object"},
};
static struct option_section sections[] = {
    {.name = "", .rows = rows, .n_rows = COUNT(rows), .object = &flags, .help = "Flags"},
};

struct check {
    struct dump dump;
    struct dump_statistics statistics;
    struct tokenizer *own, *other; /* the dump's, and the one it is compared with; NULL: none */
    const char *other_path;
    bool same_hash;
    bool unknown;             /* the dump does not say whose its tokens are */
    size_t n_tokens, n_different; /* of the dump; those that the other one does not have as they are */
    int32_t first_different;
    uint64_t hash;
};

static void check_free(struct check *c)
{
    dump_close(&c->dump);
    tokenizer_free(c->own);
    tokenizer_free(c->other);
}

/* --- rows --- */

static void rows_init(struct dump_rows *r, const struct dump *d, size_t n)
{
    size_t most = d->description.most;
    *r = (struct dump_rows){.capacity = n, .most = most};
    r->begin = mem_alloc(n + 1, sizeof *r->begin);
    r->ids = mem_alloc(n * most, sizeof *r->ids);
    r->log_probs = mem_alloc(n * most, sizeof *r->log_probs);
    r->log_tail = mem_alloc(n, sizeof *r->log_tail);
}

static void rows_free(struct dump_rows *r)
{
    mem_free(r->begin);
    mem_free(r->ids);
    mem_free(r->log_probs);
    mem_free(r->log_tail);
}

static uint64_t hash_rows(const struct soft_targets *t, size_t n, uint64_t h)
{
    if (t->logits)
        return hash64(t->logits, n * t->v * sizeof *t->logits, h);
    for (size_t i = 0; i < n; i++) {
        size_t from = t->begin[i], entries = t->begin[i + 1] - from;
        h = hash64(t->ids + from, entries * sizeof *t->ids, h);
        h = hash64(t->log_probs + from, entries * sizeof *t->log_probs, h);
    }
    return hash64(t->log_tail, n * sizeof *t->log_tail, h);
}

static int hash_content(struct check *c, struct error *e)
{
    size_t n = (size_t)1 << 22, positions[256];
    struct dump_rows rows_memory;
    struct soft_targets t;
    int code = OK;
    n = n / c->dump.description.most < COUNT(positions) ? n / c->dump.description.most : COUNT(positions);
    n = n ? n : 1;
    rows_init(&rows_memory, &c->dump, n);
    c->hash = examples_hash(&c->dump.examples);
    for (size_t at = 0, now; at < c->dump.n_positions && !code; at += now) {
        now = c->dump.n_positions - at < n ? c->dump.n_positions - at : n;
        for (size_t i = 0; i < now; i++)
            positions[i] = at + i;
        code = dump_read(&c->dump, positions, now, &rows_memory, &t, e);
        if (!code)
            c->hash = hash_rows(&t, now, c->hash);
    }
    rows_free(&rows_memory);
    return code;
}

/* --- tokenizers --- */

/* More tokens than the dump's are no difference: nothing in it speaks of them. */
static void compare_tokens(struct check *c)
{
    struct tokenizer_difference d = tokenizer_compare(c->own, c->other);
    size_t missing = d.sizes[0] > d.sizes[1] ? d.sizes[0] - d.sizes[1] : 0;
    c->n_tokens = d.sizes[0];
    c->n_different = d.n_different + missing;
    c->first_different = d.n_different ? d.first : (int32_t)d.sizes[1];
}

static int open_tokenizers(struct check *c, struct error *e)
{
    const struct dump_description *d = &c->dump.description;
    const char *path = flags.tokenizer ? flags.tokenizer : flags.model;
    int code = OK;
    if (d->tokenizer_json.size) {
        code = tokenizer_parse_json(d->tokenizer_json.data, d->tokenizer_json.size, &c->own, e);
        if (code)
            error_prefix(e, "the tokenizer in the dump");
    }
    if (!code && path)
        code = load_tokenizer(path, &c->other, e);
    if (code || !path)
        return code;
    c->other_path = path;
    uint64_t hash = d->tokenizer_hash ? d->tokenizer_hash : c->own ? tokenizer_hash(c->own) : 0;
    c->unknown = !hash;
    c->same_hash = tokenizer_hash(c->other) == hash;
    if (c->own && !c->same_hash)
        compare_tokens(c);
    return OK;
}

static bool tokens_agree(const struct check *c)
{
    return !c->other || c->same_hash || c->unknown || (c->own && c->n_different == 0);
}

static void token_text(const struct tokenizer *t, int32_t id, struct buffer *out)
{
    struct buffer text = {0};
    if (t && (size_t)id < tokenizer_vocab_size(t))
        tokenizer_decode(t, &id, 1, true, &text);
    else
        buffer_printf(&text, "<%d>", (int)id);
    buffer_byte(out, '"');
    if (text.size)
        append_visible(out, text.data, text.size, 60);
    buffer_byte(out, '"');
    buffer_free(&text);
}

/* "12 of 400 tokens differ, the first is 7: "a" there, "b" here" */
static void describe_difference(const struct check *c, struct buffer *out)
{
    if (!c->own) {
        buffer_printf(out, "%s has another tokenizer than the dump, which does not hold its own", c->other_path);
        return;
    }
    buffer_printf(out, "%zu of the dump's %zu tokens are others in %s; the first is %d: ", c->n_different, c->n_tokens,
                  c->other_path, (int)c->first_different);
    token_text(c->own, c->first_different, out);
    buffer_string(out, " in the dump, ");
    token_text(c->other, c->first_different, out);
    buffer_string(out, " there");
}

/* --- examples of positions --- */

enum { SHOWN_TOKENS = 5, SHOWN_BEFORE = 24 };

struct shown {
    size_t sequence, token; /* its place: of that sequence */
    size_t position;
    size_t n;
    int32_t ids[SHOWN_TOKENS]; /* likeliest first */
    float log_probs[SHOWN_TOKENS];
};

/* The place of a position. */
static void find_place(const struct examples *x, struct shown *s)
{
    size_t left = s->position;
    for (size_t i = 0; i < x->count; i++)
        for (size_t k = x->begin[i] + 1; k < x->begin[i + 1]; k++)
            if (x->learned[k] && left-- == 0) {
                s->sequence = i;
                s->token = k - x->begin[i];
                return;
            }
}

static void keep_likeliest(const struct soft_targets *t, struct shown *s)
{
    size_t n = t->logits ? t->v : t->begin[1] - t->begin[0];
    const float *p = t->logits ? t->logits : t->log_probs + t->begin[0];
    for (size_t i = 0; i < n; i++) {
        if (s->n == SHOWN_TOKENS && p[i] <= s->log_probs[s->n - 1])
            continue;
        size_t at = s->n < SHOWN_TOKENS ? s->n++ : s->n - 1;
        for (; at > 0 && s->log_probs[at - 1] < p[i]; at--) {
            s->log_probs[at] = s->log_probs[at - 1];
            s->ids[at] = s->ids[at - 1];
        }
        s->log_probs[at] = p[i];
        s->ids[at] = t->logits ? (int32_t)i : t->ids[t->begin[0] + i];
    }
}

/* Number i of n positions, spread over the dump. */
static int show_position(struct check *c, size_t i, size_t n, struct dump_rows *memory, struct shown *s, struct error *e)
{
    struct soft_targets t;
    *s = (struct shown){.position = (2 * i + 1) * c->dump.n_positions / (2 * n)};
    find_place(&c->dump.examples, s);
    int code = dump_read(&c->dump, &s->position, 1, memory, &t, e);
    if (!code)
        keep_likeliest(&t, s);
    return code;
}

static void before_text(const struct check *c, const struct shown *s, struct buffer *out)
{
    const struct examples *x = &c->dump.examples;
    size_t from = s->token < SHOWN_BEFORE ? 0 : s->token - SHOWN_BEFORE;
    struct buffer text = {0};
    if (c->own)
        tokenizer_decode(c->own, x->ids + x->begin[s->sequence] + from, s->token - from, true, &text);
    for (size_t i = from; !c->own && i < s->token; i++)
        buffer_printf(&text, "%s%d", i > from ? " " : "", (int)x->ids[x->begin[s->sequence] + i]);
    buffer_string(out, from ? "..." : "");
    if (text.size)
        append_visible(out, text.data, text.size, 400);
    buffer_free(&text);
}

static int32_t stands_there(const struct check *c, const struct shown *s)
{
    const struct examples *x = &c->dump.examples;
    return x->ids[x->begin[s->sequence] + s->token];
}

static void print_shown(const struct check *c, const struct shown *s)
{
    struct buffer line = {0};
    printf("\nsequence %zu, token %zu: what comes after\n", s->sequence, s->token);
    before_text(c, s, &line);
    printf("  %s\n", line.data ? line.data : "");
    for (size_t i = 0; i < s->n; i++) {
        buffer_clear(&line);
        token_text(c->own, s->ids[i], &line);
        printf("  %8.4f%%  %6d %s\n", 100 * exp((double)s->log_probs[i]), (int)s->ids[i], line.data);
    }
    buffer_clear(&line);
    token_text(c->own, stands_there(c, s), &line);
    printf("  in the text %6d %s\n", (int)stands_there(c, s), line.data);
    buffer_free(&line);
}

static json_t *shown_json(const struct check *c, const struct shown *s)
{
    json_t *likeliest = json_array();
    struct buffer text = {0};
    before_text(c, s, &text);
    for (size_t i = 0; i < s->n; i++)
        json_array_append_new(likeliest, json_pack("[i, f]", s->ids[i], exp((double)s->log_probs[i])));
    json_t *all = json_pack("{s:I, s:I, s:I, s:o, s:i, s:o}", "sequence", (json_int_t)s->sequence, "token",
                            (json_int_t)s->token, "position", (json_int_t)s->position, "before",
                            json_text(text.data ? text.data : "", text.size), "target", (int)stands_there(c, s),
                            "likeliest", likeliest);
    buffer_free(&text);
    return all;
}

static int show_all(struct check *c, json_t *list, struct error *e)
{
    struct dump_rows memory;
    struct shown s;
    size_t n = flags.show < c->dump.n_positions ? flags.show : c->dump.n_positions;
    int code = OK;
    rows_init(&memory, &c->dump, 1);
    for (size_t i = 0; i < n && !code; i++) {
        code = show_position(c, i, n, &memory, &s, e);
        if (!code && list)
            json_array_append_new(list, shown_json(c, &s));
        else if (!code)
            print_shown(c, &s);
    }
    rows_free(&memory);
    return code;
}

/* --- the report --- */

static size_t n_tokens(const struct check *c)
{
    return c->dump.examples.count ? c->dump.examples.begin[c->dump.examples.count] : 0;
}

static const char *const kinds[] = {"top-k", "dense", "sampled"};

static void print_report(const struct check *c, const char *path)
{
    const struct dump *d = &c->dump;
    const struct dump_statistics *s = &c->statistics;
    char a[32];
    printf("dump           %s: %s, %s in %zu part%s\n", path, kinds[d->description.kind],
           format_bytes((double)d->n_bytes, a), d->n_parts, d->n_parts == 1 ? "" : "s");
    printf("teacher        %s\n", d->description.teacher ? d->description.teacher : "not said");
    printf("temperature    %g\n", d->description.temperature);
    printf("vocabulary     %zu tokens\n", d->description.vocab_size);
    printf("sequences      %zu of %zu tokens, %zu of which are supervised\n", d->examples.count, n_tokens(c), d->n_positions);
    printf("size           %.2f bytes a token, %.2f a position\n", (double)d->n_bytes / (double)n_tokens(c),
           (double)d->n_bytes / (double)d->n_positions);
    printf("entries        %.2f of a position, at most %zu\n", s->entries, d->description.most);
    printf("coverage       %.4f%% of the probability, the tail %.4f%%\n", 100 * s->covered, 100 * s->tail);
    printf("entropy        %.4f nats%s\n", s->entropy, s->tail > 0 ? ", the tail as one outcome" : "");
    printf("likeliest      %.4f%% likely, and %.2f%% of them stand there\n", 100 * s->top, 100 * s->agreement);
    printf("text           cross-entropy %.4f nats, perplexity %.3f, of the %.2f%% of its tokens that are entries\n",
           s->cross_entropy, exp(s->cross_entropy), 100 * s->target_covered);
    if (flags.hash)
        printf("hash           %016" PRIx64 "\n", c->hash);
}

static void print_tokenizer(const struct check *c)
{
    struct buffer text = {0};
    if (c->own)
        buffer_printf(&text, "%zu tokens, in the dump", tokenizer_vocab_size(c->own));
    else if (!c->dump.description.tokenizer_hash)
        buffer_string(&text, "not in the dump, which does not say which it is");
    else
        buffer_printf(&text, "not in the dump; its hash is %016" PRIx64, c->dump.description.tokenizer_hash);
    if (c->other && c->same_hash)
        buffer_printf(&text, "; %s has the same", c->other_path);
    else if (c->other && !c->unknown && tokens_agree(c))
        buffer_printf(&text, "; %s has the same tokens, but cuts text into others", c->other_path);
    printf("tokenizer      %s\n", text.data);
    buffer_free(&text);
}

static json_t *statistics_json(const struct dump_statistics *s)
{
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "entries", s->entries, "covered", s->covered, "tail",
                     s->tail, "entropy", s->entropy, "top", s->top, "agreement", s->agreement, "cross_entropy",
                     s->cross_entropy, "target_covered", s->target_covered);
}

static json_t *report_json(const struct check *c, const char *path)
{
    const struct dump *d = &c->dump;
    const struct dump_description *x = &d->description;
    json_t *settings = NULL;
    if (x->settings)
        json_parse(x->settings, strlen(x->settings), &settings, NULL);
    json_t *all = json_pack(
        "{s:o, s:s, s:I, s:I, s:o?, s:o?, s:I, s:I, s:f, s:f}", "path", json_text(path, strlen(path)), "kind", kinds[x->kind],
        "parts", (json_int_t)d->n_parts, "bytes", (json_int_t)d->n_bytes, "teacher",
        x->teacher ? json_text(x->teacher, strlen(x->teacher)) : NULL, "settings", settings,
        "vocab_size", (json_int_t)x->vocab_size, "most", (json_int_t)x->most, "temperature", x->temperature, "cumulative",
        x->cumulative);
    json_object_set_new(all, "sequences", json_integer((json_int_t)d->examples.count));
    json_object_set_new(all, "tokens", json_integer((json_int_t)n_tokens(c)));
    json_object_set_new(all, "positions", json_integer((json_int_t)d->n_positions));
    json_object_set_new(all, "entries", json_integer((json_int_t)d->n_entries));
    json_object_set_new(all, "statistics", statistics_json(&c->statistics));
    if (flags.hash)
        json_object_set_new(all, "hash", json_sprintf("%016" PRIx64, c->hash));
    json_t *tokenizer = json_pack("{s:o, s:b}", "hash", json_sprintf("%016" PRIx64, x->tokenizer_hash), "in_dump",
                                  c->own != NULL);
    if (c->other && !c->unknown)
        json_object_set_new(tokenizer, "agrees", json_boolean(tokens_agree(c)));
    if (c->other && c->own)
        json_object_set_new(tokenizer, "different", json_integer((json_int_t)c->n_different));
    json_object_set_new(all, "tokenizer", tokenizer);
    return all;
}

static int report(struct check *c, const char *path, struct error *e)
{
    json_t *all = flags.json ? report_json(c, path) : NULL, *list = flags.json ? json_array() : NULL;
    if (!flags.json) {
        print_report(c, path);
        print_tokenizer(c);
    }
    int code = show_all(c, list, e);
    if (!code && flags.json) {
        json_object_set_new(all, "shown", list);
        print_json(all);
    } else {
        json_decref(all);
        json_decref(list);
    }
    return code;
}

static int run(const struct command_input *in, struct error *e)
{
    struct check c = {0};
    if (in->positionals.count != 1)
        return error_set(e, ERR_USAGE, in->positionals.count ? "one dump at a time" : "missing the dump to check");
    if (flags.tokenizer && flags.model)
        return error_set(e, ERR_USAGE, "--tokenizer and --model: one of them");
    const char *path = in->positionals.items[0];
    int code = dump_open(path, &c.dump, e);
    if (!code)
        code = open_tokenizers(&c, e);
    if (!code)
        code = dump_verify(&c.dump, "verify", &c.statistics, e);
    if (!code && flags.hash)
        code = hash_content(&c, e);
    if (!code)
        code = report(&c, path, e);
    if (!code && !tokens_agree(&c)) {
        struct buffer text = {0};
        describe_difference(&c, &text);
        code = error_set(e, ERR_FORMAT, "%s", text.data);
        buffer_free(&text);
    }
    check_free(&c);
    return code;
}

const struct command command_teacher_check = {
    .name = "teacher check",
    .group = "Distil",
    .summary = "whether a dump is whole, and what is in it",
    .usage = "DUMP [FLAGS]",
    .notes = "Reads everything once: checksums, ids, probabilities and their sums. Coverage is what the kept tokens hold "
             "of the probability; what they do not is the tail. The status is 1 when something is wrong.\n"
             "\n"
             "  linnet teacher check dump --model student.gguf\n",
    .takes_positionals = true,
    .sections = sections,
    .n_sections = COUNT(sections),
    .run = run,
};
