/* What the facts about an exported file mean, and what to do. */
#include "cli/export_check.h"

#include "base/memory.h"
#include "cli/shared.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static void set(struct export_finding *f, enum check_status status, const char *advice)
{
    if (f->status == CHECK_DIFFERS) /* the first of the worst speaks */
        return;
    f->status = status;
    f->advice = advice;
}

/* "; " between two sentences. */
static struct buffer *more(struct export_finding *f)
{
    if (f->said.size)
        buffer_string(&f->said, "; ");
    return &f->said;
}

static void quote(struct buffer *out, const char *text, size_t n)
{
    buffer_byte(out, '"');
    append_visible(out, text, n, 80);
    buffer_byte(out, '"');
}

/* 2 "</s>", or none */
static void say_token(struct buffer *out, const struct tokenizer *t, int32_t id)
{
    size_t n;
    if (id == TOKEN_NONE) {
        buffer_string(out, "none");
        return;
    }
    const char *text = tokenizer_token(t, id, &n);
    buffer_printf(out, "%d ", (int)id);
    quote(out, text, n);
}

static void say_others(struct buffer *out, size_t n)
{
    if (n > 1)
        buffer_printf(out, ", and %zu more", n - 1);
}

static const char *plural(size_t n)
{
    return n == 1 ? "" : "s";
}

static void say_place(struct buffer *out, const struct checked_place *p)
{
    append_visible(out, p->path, strlen(p->path), 200);
    buffer_printf(out, ":%" PRIu64, p->line);
}

/* ---- the tokenizer ---- */

static void judge_vocabulary(const struct export_check_facts *x, struct export_finding *f)
{
    static const char other[] = "the file has another tokenizer than the model: export again, with the model's own";
    const struct checked_vocabulary *v = &x->vocabulary;
    const struct tokenizer *t = x->sides[0].tokenizer, *u = x->sides[1].tokenizer;
    size_t n;
    if (v->n[1] < v->n[0]) {
        buffer_printf(more(f), "%zu tokens, the original has %zu", v->n[1], v->n[0]);
        set(f, CHECK_DIFFERS, other);
    }
    if (v->texts.n) {
        const char *text = tokenizer_token(u, v->texts.first, &n);
        buffer_string(more(f), "token ");
        say_token(&f->said, t, v->texts.first);
        buffer_string(&f->said, " is ");
        quote(&f->said, text, n);
        say_others(&f->said, v->texts.n);
        set(f, CHECK_DIFFERS, other);
    }
    if (v->kinds.n) {
        buffer_string(more(f), "token ");
        say_token(&f->said, t, v->kinds.first);
        buffer_printf(&f->said, " is %s, in the original %s", tokenizer_kind(u, v->kinds.first),
                      tokenizer_kind(t, v->kinds.first));
        say_others(&f->said, v->kinds.n);
        set(f, CHECK_DIFFERS,
            "a special token must be of the kind \"control\", or programs read and write it as plain text");
    }
    if (v->more.n) {
        buffer_printf(more(f), "%zu token%s more than the original, ", v->more.n, plural(v->more.n));
        say_token(&f->said, u, v->more.first);
        say_others(&f->said, v->more.n);
        set(f, CHECK_DIFFERS, other);
    }
    if (f->status != CHECK_FINE)
        return;
    buffer_printf(&f->said, "%zu tokens, the same texts and kinds", v->n[0]);
    if (v->n[1] > v->n[0])
        buffer_printf(&f->said, ", and %zu unused behind them", v->n[1] - v->n[0]);
}

static void compare_id(const struct export_check_facts *x, struct export_finding *f, const char *name,
                       int32_t (*get)(const struct tokenizer *), enum check_status status, const char *advice)
{
    const struct tokenizer *t = x->sides[0].tokenizer, *u = x->sides[1].tokenizer;
    if (get(t) == get(u))
        return;
    buffer_printf(more(f), "%s is ", name);
    say_token(&f->said, u, get(u));
    buffer_string(&f->said, ", in the original ");
    say_token(&f->said, t, get(t));
    set(f, status, advice);
}

static void compare_habit(const struct export_check_facts *x, struct export_finding *f, const char *what,
                          bool (*get)(const struct tokenizer *), const char *advice)
{
    const struct tokenizer *t = x->sides[0].tokenizer, *u = x->sides[1].tokenizer;
    if (get(t) == get(u))
        return;
    buffer_printf(more(f), "%s %s every text, in the original %s", what, get(u) ? "is put to" : "is not put to",
                  get(t) ? "it is" : "it is not");
    set(f, CHECK_DIFFERS, advice);
}

static void say_ends(const struct export_check_facts *x, struct export_finding *f,
                     const struct checked_tokens *ends, const char *what)
{
    if (!ends->n)
        return;
    buffer_string(more(f), "generation stops ");
    buffer_printf(&f->said, "%s at ", what);
    say_token(&f->said, x->sides[0].tokenizer, ends->first);
    say_others(&f->said, ends->n);
    if (f->status == CHECK_FINE)
        set(f, CHECK_NOTE, NULL);
}

static void judge_special(const struct export_check_facts *x, struct export_finding *f)
{
    const struct tokenizer *t = x->sides[0].tokenizer;
    compare_id(x, f, "EOS", tokenizer_eos, CHECK_DIFFERS,
               "set the file's EOS (tokenizer.ggml.eos_token_id): programs stop at it");
    compare_id(x, f, "BOS", tokenizer_bos, CHECK_DIFFERS, "set the file's BOS (tokenizer.ggml.bos_token_id)");
    compare_habit(x, f, "BOS", tokenizer_adds_bos,
                  "set tokenizer.ggml.add_bos_token to what the model was trained with");
    compare_habit(x, f, "EOS", tokenizer_adds_eos,
                  "set tokenizer.ggml.add_eos_token to what the model was trained with");
    compare_id(x, f, "padding", tokenizer_pad, CHECK_NOTE, NULL);
    say_ends(x, f, &x->vocabulary.ends_lost, "in the original alone");
    say_ends(x, f, &x->vocabulary.ends_new, "in the file alone");
    if (f->status != CHECK_FINE)
        return;
    buffer_string(&f->said, "BOS ");
    say_token(&f->said, t, tokenizer_bos(t));
    buffer_string(&f->said, ", EOS ");
    say_token(&f->said, t, tokenizer_eos(t));
    buffer_printf(&f->said, "; BOS is %s before every text", tokenizer_adds_bos(t) ? "put" : "not put");
}

/* ---- rows ---- */

static void say_rendering(struct export_finding *f, const struct checked_place *p, const char *what, size_t n)
{
    buffer_printf(more(f), "%zu of %zu %s: ", p->n, n, what);
    say_place(&f->said, p);
    if (p->reason) {
        buffer_string(&f->said, ": ");
        append_visible(&f->said, p->reason, strlen(p->reason), 300);
        return;
    }
    buffer_printf(&f->said, " at byte %zu: ", p->at + 1);
    quote(&f->said, p->around[1], strlen(p->around[1]));
    buffer_string(&f->said, ", as trained ");
    quote(&f->said, p->around[0], strlen(p->around[0]));
}

static void judge_template(const struct export_check_facts *x, struct export_finding *f)
{
    const struct checked_rows *r = &x->rows;
    const char *own = tokenizer_chat_template(x->sides[1].tokenizer);
    if (!r->chats) {
        f->status = CHECK_LEFT_OUT;
        buffer_string(&f->said, "the rows are texts, which no template writes");
        return;
    }
    if (!own) {
        buffer_printf(&f->said, "none, for %zu conversation%s", r->chats, plural(r->chats));
        set(f, CHECK_DIFFERS,
            "programs guess one where the file has none, and the model was trained with another: export from the "
            "run that trained it, which has it");
        return;
    }
    const bool own_source = strcmp(own, x->template_text) == 0;
    if (r->rendered.n)
        say_rendering(f, &r->rendered, "conversations are written differently", r->chats);
    else if (r->opened.n)
        say_rendering(f, &r->opened, "prompts are opened differently", r->chats);
    if (r->rendered.n || r->opened.n) {
        set(f, CHECK_DIFFERS,
            own_source ? "the template is the same, and what it writes for bos_token or eos_token is not"
                       : "programs will talk to the model in a form that it was not trained on: export with the "
                         "template of "
                         "its training (a run has it; --chat-template says here what that was)");
        return;
    }
    buffer_printf(&f->said, "%zu conversation%s, the same texts as by %s", r->chats, plural(r->chats),
                  x->template_name);
    if (own_source)
        return;
    buffer_string(&f->said, ", though the template is another one");
    set(f, CHECK_NOTE, "look at what conversations of other kinds become (tools, system messages)");
}

static void judge_ids(const struct export_check_facts *x, struct export_finding *f)
{
    const struct checked_place *p = &x->rows.ids;
    if (!p->n) {
        buffer_printf(&f->said, "%zu row%s, %zu tokens, the same", x->rows.rows, plural(x->rows.rows),
                      x->rows.tokens);
        return;
    }
    buffer_printf(&f->said, "%zu of %zu rows: ", p->n, x->rows.rows);
    say_place(&f->said, p);
    buffer_printf(&f->said, " at byte %zu, ", p->at + 1);
    quote(&f->said, p->reason, strlen(p->reason));
    buffer_string(&f->said, ": ");
    append_visible(&f->said, p->around[1], strlen(p->around[1]), 200);
    buffer_string(&f->said, "; in the original ");
    append_visible(&f->said, p->around[0], strlen(p->around[0]), 200);
    set(f, CHECK_DIFFERS,
        "the file cuts text into other tokens: another vocabulary, other merges or another pre-tokenizer "
        "(tokenizer.ggml.pre)");
}

static void judge_begin(const struct export_check_facts *x, struct export_finding *f)
{
    const struct checked_rows *r = &x->rows;
    const struct tokenizer *t = x->sides[0].tokenizer;
    const size_t known = r->none[1] + r->once[1] + r->more[1];
    if (!known) {
        f->status = CHECK_LEFT_OUT;
        buffer_string(&f->said, "the file's template writes no row");
        return;
    }
    if (r->more[1]) {
        buffer_printf(more(f), "%zu of %zu rows begin with BOS more than once", r->more[1], known);
        set(f, CHECK_DIFFERS,
            "the chat template writes BOS twice, or once with the rows' text having it too: take one away");
    }
    if (r->none[1] > r->none[0]) {
        buffer_printf(more(f), "%zu of %zu rows were trained with BOS and will be without", r->none[1] - r->none[0],
                      known);
        set(f, CHECK_DIFFERS, "the file's template must write BOS, or tokenizer.ggml.add_bos_token be true");
    } else if (r->none[1] < r->none[0]) {
        const bool as_before = tokenizer_adds_bos(t);
        buffer_printf(
            more(f), "%zu of %zu rows were trained without BOS, which programs that follow the file will put there",
            r->none[0] - r->none[1], known);
        set(f, as_before ? CHECK_NOTE : CHECK_DIFFERS,
            as_before ? "the original says so too: train with a template that writes BOS (linnet's own programs "
                        "leave chats as "
                        "the template writes them)"
                      : "the file's template writes BOS, or tokenizer.ggml.add_bos_token asks for it: neither may");
    }
    if (f->status != CHECK_FINE)
        return;
    if (r->once[1]) {
        buffer_printf(&f->said, "%zu of %zu rows begin with BOS, once, as trained", r->once[1], known);
    } else {
        buffer_string(&f->said, "no row begins with BOS, as trained");
    }
}

static void judge_end(const struct export_check_facts *x, struct export_finding *f)
{
    const struct checked_rows *r = &x->rows;
    f->numbers = json_pack("{s:I, s:I, s:I}", "answers", (json_int_t)r->turns, "end_as_trained",
                           (json_int_t)r->ended[0], "end_in_the_file", (json_int_t)r->ended[1]);
    if (r->ended[1] < r->ended[0]) {
        buffer_printf(&f->said, "%zu of %zu answers end with a token that stops nothing, ", r->turns - r->ended[1],
                      r->turns);
        say_token(&f->said, x->sides[0].tokenizer, r->open[1]);
        buffer_string(&f->said, ", which stops the original");
        set(f, CHECK_DIFFERS,
            "the model will not stop: make it the file's EOS or end of turn (tokenizer.ggml.eos_token_id, "
            "tokenizer.ggml.eot_token_id)");
    } else if (r->ended[1] < r->turns) {
        buffer_printf(&f->said, "%zu of %zu answers end with no token that stops generation but with ",
                      r->turns - r->ended[1], r->turns);
        say_token(&f->said, x->sides[0].tokenizer, r->open[1]);
        set(f, r->ended[1] ? CHECK_NOTE : CHECK_DIFFERS,
            "the model was not taught to stop: train with a template that ends answers with EOS (--chat-template "
            "plain is one)");
    } else {
        buffer_printf(&f->said, "%zu answer%s, each ends with a token that stops generation", r->turns,
                      plural(r->turns));
    }
}

/* ---- the model ---- */

static void judge_shape(const struct export_check_facts *x, struct export_finding *f)
{
    static const char advice[] = "the file computes something else: export again, or correct its metadata";
    const struct checked_shape *s = &x->shape;
    for (size_t i = 0; i < s->n_numbers; i++) {
        buffer_printf(more(f), "%s is %g, in the original %g", s->numbers[i].name, s->numbers[i].values[1],
                      s->numbers[i].values[0]);
        set(f, CHECK_DIFFERS, advice);
    }
    if (s->layers) {
        buffer_printf(more(f), "%zu layers have other heads, sizes, windows or rotation", s->layers);
        set(f, CHECK_DIFFERS, advice);
    }
    if (s->rotation > 1e-4) {
        buffer_printf(more(f), "rotary frequencies are up to %.2g%% apart", 100 * s->rotation);
        set(f, CHECK_DIFFERS,
            "rope_theta or the scaling of rotary frequencies is another (rope.freq_base, rope.scaling)");
    }
    if (s->context[0] != s->context[1]) {
        buffer_printf(more(f), "a context of %zu tokens, in the original %zu", s->context[1], s->context[0]);
        set(f, CHECK_NOTE,
            s->context[1] > s->context[0] ? "beyond its own context the model was not trained" : NULL);
    }
    if (f->status == CHECK_FINE)
        buffer_printf(&f->said, "a context of %zu tokens, the same sizes, scales and rotary frequencies",
                      s->context[0]);
}

/* What rounding to a type may change: the mean divergence in nats, and how much likelier than the file's token the
 * original may hold its own where greedy answers part. By far more than what published models lose
 * (docs/quantisation.md), and by far less than what a wrong weight costs. */
static const struct allowance {
    double bits; /* of a weight, at least */
    double divergence, lead;
} allowances[] = {
    {32, 1e-5, 1e-3},   {16, 0.01, 0.05}, {8, 0.05, INFINITY},     {5, 0.2, INFINITY},
    {4, 0.5, INFINITY}, {3, 1, INFINITY}, {0, INFINITY, INFINITY},
};

static const struct allowance *find_allowance(double bits)
{
    const struct allowance *a = allowances;
    while (bits < a->bits)
        a++;
    return a;
}

static void say_unpredicted(const struct export_check_facts *x, struct export_finding *f)
{
    f->status = CHECK_LEFT_OUT;
    buffer_string(&f->said,
                  x->rows.n_samples ? "the models have vocabularies of different sizes" : "no rows were asked for");
}

static void judge_predictions(const struct export_check_facts *x, struct export_finding *f)
{
    const struct divergence_sums *s = &x->predictions.sums;
    const char *type = "f32";
    if (!x->predicted) {
        say_unpredicted(x, f);
        return;
    }
    const double n = (double)s->n, bits = check_coarsest(&x->sides[1].model, &type),
                 divergence = fmax(0, s->kl / n);
    const struct allowance *a = find_allowance(bits);
    f->numbers = json_pack("{s:s, s:I, s:f, s:f, s:f, s:f, s:f}", "type", type, "tokens", (json_int_t)s->n,
                           "kl_divergence", divergence, "same_top", (double)s->same_top / n, "largest_change",
                           s->change, "perplexity_before", exp(s->nats[0] / n), "perplexity", exp(s->nats[1] / n));
    buffer_printf(&f->said,
                  "%zu tokens of %zu rows, %s: KL divergence %.2g, the likeliest token the same at %.2f%%, "
                  "probabilities up to %.2g apart, perplexity %.4f -> %.4f",
                  s->n, x->rows.n_samples, type, divergence, 100 * (double)s->same_top / n, s->change,
                  exp(s->nats[0] / n), exp(s->nats[1] / n));
    if (x->base_divergence < divergence) {
        buffer_printf(&f->said, ", from the base without its adapters %.2g", fmax(0, x->base_divergence));
        set(f, CHECK_DIFFERS, "the adapters are not in the file: linnet merge puts them there");
    }
    if (divergence > a->divergence)
        set(f, CHECK_DIFFERS,
            bits < 16 ? "far more than rounding to this type costs: other weights, or a type that this model "
                        "does not bear; try a larger one"
                      : "far more than rounding: the file has other weights, or an adapter is missing");
}

static void say_answer(struct buffer *out, const struct export_check_facts *x, const struct checked_parting *p,
                       int which)
{
    if (p->ids[which] == TOKEN_NONE) {
        buffer_string(out, "an end");
        return;
    }
    struct buffer text = {0};
    tokenizer_decode(x->sides[which].tokenizer, &p->ids[which], 1, true, &text);
    quote(out, text.data ? text.data : "", text.size);
    buffer_printf(out, " (p %.3f, for the other %.3f)", p->p[which][which], p->p[!which][which]);
    buffer_free(&text);
}

static void say_parting(const struct export_check_facts *x, struct export_finding *f)
{
    const struct checked_parting *p = &x->predictions.parting;
    buffer_string(more(f), "at ");
    append_visible(&f->said, p->row->path, strlen(p->row->path), 200);
    buffer_printf(&f->said, ":%" PRIu64 " after %zu token%s ", p->row->line, p->at, plural(p->at));
    say_answer(&f->said, x, p, 1);
    buffer_string(&f->said, " instead of ");
    say_answer(&f->said, x, p, 0);
}

static void judge_answers(const struct export_check_facts *x, struct export_finding *f)
{
    const struct checked_predictions *p = &x->predictions;
    const char *type = "f32";
    if (!x->predicted || !p->answers) {
        if (x->predicted) {
            f->status = CHECK_LEFT_OUT;
            buffer_string(&f->said, "no answers were asked for");
        } else {
            say_unpredicted(x, f);
        }
        return;
    }
    const struct allowance *a = find_allowance(check_coarsest(&x->sides[1].model, &type));
    f->numbers = json_pack("{s:I, s:I, s:I, s:I, s:I}", "answers", (json_int_t)p->answers, "same",
                           (json_int_t)p->same, "tokens", (json_int_t)p->tokens, "ended", (json_int_t)p->ended[1],
                           "ended_before", (json_int_t)p->ended[0]);
    buffer_printf(&f->said, "%zu of %zu greedy answers are the same to their end (%zu tokens)", p->same, p->answers,
                  p->tokens);
    buffer_printf(&f->said, "; %zu ended by themselves, of the original's %zu", p->ended[1], p->ended[0]);
    if (!p->parting.row)
        return;
    say_parting(x, f);
    const bool only_end = p->parting.ids[0] == TOKEN_NONE || p->parting.ids[1] == TOKEN_NONE;
    const double lead = p->parting.p[0][0] - p->parting.p[0][1];
    if (only_end)
        set(f, CHECK_DIFFERS, "the same token ends an answer in one and not in the other");
    else if (lead > a->lead)
        set(f, CHECK_DIFFERS,
            "the original is sure of its token there, so that rounding does not explain the other one");
    else
        buffer_string(&f->said,
                      isinf(a->lead) ? ", as rounding to few bits does" : ", which were all but equally likely");
}

/* ---- */

void export_check_judge(const struct export_check_facts *x, struct export_findings *f)
{
    static const struct {
        const char *name;
        void (*judge)(const struct export_check_facts *x, struct export_finding *f);
    } judges[EXPORT_FINDINGS] = {
        [FINDING_VOCABULARY] = {"vocabulary", judge_vocabulary},
        [FINDING_SPECIAL] = {"special tokens", judge_special},
        [FINDING_TEMPLATE] = {"chat template", judge_template},
        [FINDING_IDS] = {"token ids", judge_ids},
        [FINDING_BEGIN] = {"BOS", judge_begin},
        [FINDING_END] = {"end of answers", judge_end},
        [FINDING_SHAPE] = {"shape", judge_shape},
        [FINDING_PREDICTIONS] = {"predictions", judge_predictions},
        [FINDING_ANSWERS] = {"greedy answers", judge_answers},
    };
    for (size_t i = 0; i < EXPORT_FINDINGS; i++) {
        f->items[i] = (struct export_finding){.name = judges[i].name};
        judges[i].judge(x, &f->items[i]);
    }
    const struct checked_place *bad = &x->rows.bad;
    if (bad->n) {
        struct export_finding *ids = &f->items[FINDING_IDS];
        buffer_printf(more(ids), "%zu bad row%s left out, ", bad->n, plural(bad->n));
        say_place(&ids->said, bad);
        buffer_string(&ids->said, ": ");
        append_visible(&ids->said, bad->reason, strlen(bad->reason), 100);
    }
}
