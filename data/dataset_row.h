/* One row of a fine-tuning dataset: a line of .jsonl in any of the schemas in use, brought into one form.
 *
 * The schema is found for every row by itself, from the fields that it has (docs/datasets.md has the order). A field
 * that is null counts as absent. */
#ifndef LINNET_DATA_DATASET_ROW_H
#define LINNET_DATA_DATASET_ROW_H

#include "base/error.h"
#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>

enum row_kind {
    ROW_TEXT,       /* a text to continue learning on */
    ROW_COMPLETION, /* a prompt and its completion, both texts */
    ROW_CHAT,       /* a conversation */
    ROW_PREFERENCE, /* a prompt, the better and the worse completion */
    ROW_UNPAIRED,   /* a prompt, one completion and whether it is wanted (KTO) */
    ROW_KINDS,
};

enum row_schema {
    SCHEMA_TEXT,
    SCHEMA_COMPLETION,
    SCHEMA_COMPLETION_MESSAGES, /* prompt and completion, either of them a list of messages */
    SCHEMA_MESSAGES,
    SCHEMA_SHAREGPT,
    SCHEMA_ALPACA,
    SCHEMA_PREFERENCE,
    SCHEMA_PREFERENCE_MESSAGES,
    SCHEMA_PREFERENCE_IMPLICIT, /* the prompt is what both conversations begin with */
    SCHEMA_UNPAIRED,
    SCHEMA_UNPAIRED_MESSAGES,
    ROW_SCHEMAS,
};
/* For reports: "text", "prompt/completion", "messages", "ShareGPT", ... */
const char *row_schema_name(enum row_schema schema);

/* The names of fields where they are not the usual ones (in brackets); NULL: the usual one. A name that is given
 * decides: where `prompt` or `completion` is given, a row that has both fields is prompt and completion before
 * anything else is looked for; with one of them given the other one has its usual name. Likewise `text`, `messages`,
 * and `chosen` or `rejected`. */
struct dataset_fields {
    const char *text;       /* "text" */
    const char *prompt;     /* "prompt" */
    const char *completion; /* "completion" */
    const char *messages;   /* "messages", "conversations", "conversation" */
    const char *chosen, *rejected, *label, *tools, *system;
};

/* What is odd about a conversation that can be learned from all the same: a set of bits. */
enum row_warning {
    ROW_TWO_ASSISTANTS = 1,  /* two turns of the assistant in a row */
    ROW_TWO_USERS = 2,       /* two of the user: some templates refuse them */
    ROW_LATE_SYSTEM = 4,     /* a system message that is not the first one */
    ROW_UNANSWERED = 8,      /* the last message is not the assistant's */
    ROW_SAME_PREFERENCE = 16, /* chosen and rejected are equal */
    ROW_WARNINGS = 5,        /* how many bits there are */
};
const char *row_warning_text(enum row_warning one); /* "two assistant messages in a row", ... */

enum { ROW_UNUSED_MOST = 8 };

struct dataset_row {
    enum row_kind kind;
    enum row_schema schema;
    unsigned warnings; /* of enum row_warning */
    bool plain;        /* a .txt file's text: special tokens written in it are text */

    /* Texts, owned by `root`, NUL-terminated and without other NULs. NULL where the row has none or has messages. */
    const char *text;                         /* ROW_TEXT */
    const char *prompt, *completion, *rejected_text; /* COMPLETION, PREFERENCE (completion: the chosen one), UNPAIRED */

    /* Conversations in OpenAI's form: a list of objects with "role" (system, developer, user, assistant, tool),
     * "content" (a string, or null beside tool_calls), "tool_calls" (type, function.name, function.arguments as an
     * object), and whatever else the message had ("name", "reasoning_content", ...). `messages` is the whole
     * conversation of every kind but ROW_TEXT: of texts a user's and an assistant's message. The first n_prompt of
     * them are the prompt; 0 where no field says what is prompt (ROW_CHAT of SCHEMA_MESSAGES, SHAREGPT). */
    json_t *messages; /* with PREFERENCE: the prompt, then the chosen completion */
    json_t *rejected; /* PREFERENCE: the prompt, then the rejected completion */
    size_t n_prompt;
    json_t *tools;    /* a list of tools, or NULL */
    bool label;       /* UNPAIRED: the completion is wanted */

    /* Fields that were of no use, for a report: at most ROW_UNUSED_MOST names, owned by `root`. */
    const char *unused[ROW_UNUSED_MOST];
    size_t n_unused;
    json_t *root;
};

/* Parses one line of n bytes. `fields` may be NULL. dataset_row_free in any case.
 *
 * ERR_FORMAT with a line that names the field or message (from 1), but no file: malformed JSON (column), NUL
 * characters, no object, no known schema (what fields there are, what schemas exist), a wrong type, an unknown role
 * (the nearest one), a message without content and tool_calls, parts of content that are not text, a call's arguments
 * that are no JSON object, and a conversation without any message of the assistant. */
int dataset_row_parse(const char *line, size_t n, const struct dataset_fields *fields, struct dataset_row *row,
                      struct error *e);
/* What a row asks, whether it has an answer or not: `messages` are the prompt alone (n_prompt of them), up to the turn of
 * the assistant that is asked for: the one behind the row's prompt, of a conversation without one the last. `prompt` is set
 * where the prompt is a text and no conversation; there are no completions. Errors as dataset_row_parse, and where there is
 * no prompt: of a text alone, or where the assistant speaks first. dataset_row_free in any case. */
int dataset_prompt_parse(const char *line, size_t n, const struct dataset_fields *fields, struct dataset_row *row,
                         struct error *e);
/* The row that a whole .txt file is (corpus.h has checked it: UTF-8 without NULs, not empty): a ROW_TEXT, copied. */
void dataset_row_from_text(const char *text, size_t n, struct dataset_row *row);
void dataset_row_free(struct dataset_row *row);

#endif
