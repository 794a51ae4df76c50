/* Schemas from anywhere: refused with one line, or their grammar is one, but for those that have no end. */
#include "base/check.h"
#include "base/utf8.h"
#include "grammar/grammar.h"
#include "grammar/json_schema.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is said of text that is no JSON may quote what is no UTF-8. */
static void check_line(const struct error *e)
{
    bool ours = strncmp(e->message, "JSON schema: #", 14) == 0;
    CHECK(e->code == ERR_FORMAT && e->message[0] && !strchr(e->message, '\n') &&
          (!ours || utf8_valid(e->message, strlen(e->message))));
}

/* The grammar's own limits; everything else it could find is a mistake in what was written. */
static bool is_limit(const char *message)
{
    static const char *const limits[] = {"left recursion", "never ends", "ambiguous", "grows beyond", "longer than",
                                         "parentheses within", "a repetition of more than"};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        if (strstr(message, limits[i]))
            return true;
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buffer gbnf = {0};
    struct grammar *g = NULL;
    struct error e = {0};
    if (json_schema_parse((const char *)data, size, &gbnf, &e)) {
        CHECK(gbnf.size == 0);
        check_line(&e);
    } else if (grammar_parse(gbnf.data, gbnf.size, &g, &e)) {
        check_line(&e);
        CHECK(is_limit(e.message));
    }
    grammar_free(g);
    buffer_free(&gbnf);
    return 0;
}
