/* Small arithmetic. A problem belongs to the held-out text by its number family: 3 + 4, 4 + 3, 7 -
 * 3 and 7 - 4 are one family, 3 x 4 and 12 : 4 another, so no held-out fact is told by a training
 * text in another order. */
#include "data/synth_internal.h"

#include "base/check.h"

#include <string.h>

enum { ADD, SUBTRACT, MULTIPLY, DIVIDE, OPERATIONS };
enum { FAMILY_SUM = 1000, FAMILY_PRODUCT, FAMILY_SEQUENCE, FAMILY_COMPARE };

struct problem {
    int operation;
    unsigned a, b, result; /* a op b = result */
};

static uint64_t family_key(uint64_t family, unsigned a, unsigned b)
{
    unsigned low = a < b ? a : b, high = a < b ? b : a;
    return rng_at(rng_at(family, low), high);
}

/* Small numbers come up more often, as in a schoolbook. */
static unsigned draw_term(struct rng *r)
{
    static const unsigned limits[] = {10, 10, 10, 20, 20, 50, 50, 99};
    return 1 + (unsigned)rng_below(r, limits[rng_below(r, 8)]);
}

static struct problem draw_problem(struct rng *r, enum synth_split split)
{
    for (;;) {
        static const int mix[] = {ADD,      ADD,      ADD,      SUBTRACT, SUBTRACT,
                                  SUBTRACT, MULTIPLY, MULTIPLY, MULTIPLY, DIVIDE};
        struct problem p = {.operation = mix[rng_below(r, sizeof mix / sizeof *mix)]};
        bool product = p.operation == MULTIPLY || p.operation == DIVIDE;
        unsigned x = product ? 1 + (unsigned)rng_below(r, 12) : draw_term(r);
        unsigned y = product ? 1 + (unsigned)rng_below(r, 12) : draw_term(r);
        if (!synth_key_in(family_key(product ? FAMILY_PRODUCT : FAMILY_SUM, x, y), split))
            continue;
        unsigned whole = product ? x * y : x + y;
        bool forward = p.operation == ADD || p.operation == MULTIPLY;
        p.a = forward ? x : whole;
        p.b = y;
        p.result = forward ? whole : x;
        return p;
    }
}

/* "#1", "#2", "#3" in a template stand for the problem's numbers; "#w1" for a number in words. */
static const char *number_word(unsigned n)
{
    static const char *const words[] = {
        "zero",     "one",     "two",     "three",     "four",     "five",     "six",
        "seven",    "eight",   "nine",    "ten",       "eleven",   "twelve",   "thirteen",
        "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"};
    return n < sizeof words / sizeof *words ? words[n] : NULL;
}

static void append_number(unsigned n, bool in_words, struct buffer *out)
{
    const char *word = in_words ? number_word(n) : NULL;
    if (word)
        buffer_string(out, word);
    else
        buffer_printf(out, "%u", n);
}

static void fill_numbers(const char *text, const unsigned numbers[3], struct buffer *out)
{
    for (const char *p = text; *p; p++) {
        if (*p != '#') {
            buffer_byte(out, *p);
            continue;
        }
        bool in_words = p[1] == 'w';
        p += in_words ? 2 : 1;
        CHECK(*p >= '1' && *p <= '3');
        append_number(numbers[*p - '1'], in_words, out);
    }
}

static const char *const plain[OPERATIONS] = {
    [ADD] = "[What is #1 + #2?|#1 + #2 = ?|What is #1 plus #2?|Add #1 and #2.|How much is #1 + "
            "#2?|What is the sum of #1 and #2?|What is #w1 plus #w2?]",
    [SUBTRACT] = "[What is #1 - #2?|#1 - #2 = ?|What is #1 minus #2?|Take #2 away from #1.|How "
                 "much is #1 - #2?|What is the difference between #1 and #2?|What is #w1 minus "
                 "#w2?]",
    [MULTIPLY] = "[What is #1 x #2?|#1 x #2 = ?|What is #1 times #2?|Multiply #1 by #2.|How much "
                 "is #1 x #2?|What is the product of #1 and #2?|What is #w1 times #w2?]",
    [DIVIDE] = "[What is #1 / #2?|#1 / #2 = ?|What is #1 divided by #2?|Divide #1 by #2.|How "
               "often does #2 go into #1?]",
};

/* The last sentence of each says which operation is asked for: "altogether" adds, "left" and "more
 * than" subtract, "in all" multiplies, "each" divides. Numbers are at least 2, for the plural. */
static const char *const told[OPERATIONS] = {
    [ADD] = "[{A} has #1 {c.plural}. {B} has #2 {c.plural}. How many {c.plural} do they have "
            "altogether?|{A} had #1 {c.plural}. Then {A.he} found #2 more. How many {c.plural} "
            "does {A} have altogether?|There are #1 {h.plural} in the field and #2 {h.plural} in "
            "the barn. How many {h.plural} are there altogether?|{A} read #1 pages on Monday and "
            "#2 pages on Tuesday. How many pages did {A.he} read altogether?|{B} gave {A} #2 "
            "{c.plural}. {A} already had #1 {c.plural}. How many {c.plural} does {A} have "
            "altogether?|In the morning, {A} picked #1 {c.plural}. In the evening, {A.he} picked "
            "#2 {c.plural}. How many {c.plural} did {A.he} pick altogether?|#1 boys and #2 girls "
            "are on the bus. How many children are there altogether?]",
    [SUBTRACT] = "[{A} had #1 {c.plural}. {A.he} gave #2 of them to {B}. How many {c.plural} does "
                 "{A} have left?|There were #1 {h.plural} in the field. #2 of them ran away. How "
                 "many {h.plural} were left?|{A} had #1 coins and spent #2 coins on a cake. How "
                 "many coins were left?|{A} has #1 {c.plural}, and {B} has #2 {c.plural}. How "
                 "many more {c.plural} does {A} have than {B}?|#1 birds sat on the roof. #2 of "
                 "them flew away. How many birds were left?|A book has #1 pages. {A} has read #2 "
                 "of them. How many pages are left?]",
    [MULTIPLY] = "[There are #1 {j.plural}. In every {j} there are #2 {c.plural}. How many "
                 "{c.plural} are there in all?|{A} buys #1 {c.plural}. One {c} costs #2 coins. "
                 "How many coins does {A.he} pay in all?|{A} walks #2 miles every day. How many "
                 "miles does {A.he} walk in #1 days in all?|There are #1 rows with #2 chairs in "
                 "every row. How many chairs are there in all?|#1 children have #2 {c.plural} "
                 "each. How many {c.plural} do they have in all?]",
    [DIVIDE] = "[{A} shares #1 {c.plural} fairly among #2 children. How many {c.plural} does each "
               "child get?|#1 {c.plural} are put into #2 {j.plural}, the same number in each. How "
               "many {c.plural} are in each {j}?|#1 chairs stand in #2 equal rows. How many "
               "chairs are in each row?]",
};

static void tell_problem(struct synth_scene *s, const char *text, const unsigned numbers[3],
                         struct buffer *question)
{
    struct buffer filled = {0};
    fill_numbers(text, numbers, &filled);
    synth_scene_tell(s, filled.data, true, question);
    buffer_free(&filled);
}

static void operation_pair(struct synth_scene *s, enum synth_split split, struct buffer *question,
                           struct buffer *answer)
{
    bool in_words = rng_below(&s->rng, 5) < 2;
    struct problem p;
    do
        p = draw_problem(&s->rng, split);
    while (in_words && (p.a < 2 || p.b < 2 || p.a == p.b));
    const unsigned numbers[3] = {p.a, p.b, p.result};
    tell_problem(s, in_words ? told[p.operation] : plain[p.operation], numbers, question);
    buffer_printf(answer, "%u", p.result);
}

static void double_pair(struct synth_scene *s, enum synth_split split, struct buffer *question,
                        struct buffer *answer)
{
    unsigned n;
    do
        n = 1 + (unsigned)rng_below(&s->rng, 50);
    while (!synth_key_in(family_key(FAMILY_SUM, n, n), split));
    bool half = rng_below(&s->rng, 2);
    const unsigned numbers[3] = {n, 2 * n, 0};
    tell_problem(s,
                 half ? "[What is half of #2?|Find half of #2.]"
                      : "[What is double #1?|Double the number #1.]",
                 numbers, question);
    buffer_printf(answer, "%u", half ? n : 2 * n);
}

static void sequence_pair(struct synth_scene *s, enum synth_split split, struct buffer *question,
                          struct buffer *answer)
{
    unsigned first, step;
    do {
        first = (unsigned)rng_below(&s->rng, 41);
        step = 1 + (unsigned)rng_below(&s->rng, 12);
    } while (!synth_key_in(rng_at(rng_at(FAMILY_SEQUENCE, first), step), split));
    synth_scene_tell(s, "[What comes next:|Which number comes next:]", true, question);
    bool down = rng_below(&s->rng, 3) == 0;
    for (unsigned i = 0; i < 4; i++)
        buffer_printf(question, "%s%u", i ? ", " : " ", first + step * (down ? 4 - i : i));
    buffer_byte(question, '?');
    buffer_printf(answer, "%u", down ? first : first + 4 * step);
}

static void compare_pair(struct synth_scene *s, enum synth_split split, struct buffer *question,
                         struct buffer *answer)
{
    unsigned n[3];
    do {
        for (size_t i = 0; i < 3; i++)
            n[i] = draw_term(&s->rng);
    } while (n[0] == n[1] || n[1] == n[2] || n[0] == n[2] ||
             !synth_key_in(rng_at(family_key(FAMILY_COMPARE, n[0], n[1]), n[2]), split));
    unsigned low = n[0], high = n[0];
    for (size_t i = 1; i < 3; i++) {
        low = n[i] < low ? n[i] : low;
        high = n[i] > high ? n[i] : high;
    }
    unsigned middle = n[0] + n[1] + n[2] - low - high;
    switch (rng_below(&s->rng, 3)) {
    case 0:
        tell_problem(s,
                     "[Which number is the largest: #1, #2 or #3?|Find the largest number: #1, "
                     "#2, #3.]",
                     n, question);
        buffer_printf(answer, "%u", high);
        break;
    case 1:
        tell_problem(s,
                     "[Which number is the smallest: #1, #2 or #3?|Find the smallest number: "
                     "#1, #2, #3.]",
                     n, question);
        buffer_printf(answer, "%u", low);
        break;
    default:
        tell_problem(s,
                     "[Put these numbers in order from small to large: #1, #2, #3.|Sort the "
                     "numbers #1, #2 and #3, the smallest first.]",
                     n, question);
        buffer_printf(answer, "%u, %u, %u", low, middle, high);
    }
}

void synth_arithmetic_pair(uint64_t seed, enum synth_split split, struct buffer *question,
                           struct buffer *answer)
{
    struct synth_scene s;
    synth_scene_begin(&s, seed, "A:child B:child c:count h:herd j:holder");
    switch (rng_below(&s.rng, 10)) {
    case 0:
        double_pair(&s, split, question, answer);
        break;
    case 1:
        sequence_pair(&s, split, question, answer);
        break;
    case 2:
        compare_pair(&s, split, question, answer);
        break;
    default:
        operation_pair(&s, split, question, answer);
    }
}
