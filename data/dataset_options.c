#include "data/dataset_options.h"

#include <stdio.h>
#include <time.h>

/* In the order of enum example_loss, enum over_long and enum bad_rows. */
static const char *const loss_names[] = {"completions", "all", "last-turn", NULL};
static const char *const over_long_names[] = {"drop", "truncate", "error", "split", NULL};
static const char *const bad_row_names[] = {"fail", "skip", "report", NULL};

#define FIELD(member) offsetof(struct dataset_options, member)
#define NAME_ROW(member, name, what)                                                                                  \
    {.key = #member, .flag = name, .type = OPTION_STRING, .offset = FIELD(member), .placeholder = "NAME", .help = what}

const struct option dataset_options[] = {
    {.key = "paths", .flag = "--data", .type = OPTION_STRINGS, .offset = FIELD(paths), .placeholder = "PATH...",
     .help = "examples to learn from: .jsonl and .txt files (a whole one is a text), also gzipped, or directories of them; "
             "of a directory with a train.jsonl that is learned and its valid.jsonl held out"},
    {.key = "validation_paths", .flag = "--validation-data", .type = OPTION_STRINGS, .offset = FIELD(validation_paths),
     .placeholder = "PATH...", .help = "held-out examples of their own, instead of a fraction"},
    {.key = "validation_fraction", .flag = "--validation-fraction", .type = OPTION_FLOAT,
     .offset = FIELD(validation_fraction), .default_value = "0.05", .minimum = 0, .maximum = 0.5,
     .help = "share of the examples held out for evaluation, picked at random; at least one, unless it is 0"},
    NAME_ROW(text_field, "--text-field", "member that holds a text (default: text)"),
    NAME_ROW(prompt_field, "--prompt-field", "member that holds a prompt (default: prompt)"),
    NAME_ROW(completion_field, "--completion-field", "member that holds what answers it (default: completion)"),
    NAME_ROW(messages_field, "--messages-field",
             "member that holds a conversation (default: messages, conversations or conversation)"),
    NAME_ROW(chosen_field, "--chosen-field", "member that holds the better of two answers (default: chosen)"),
    NAME_ROW(rejected_field, "--rejected-field", "member that holds the worse one (default: rejected)"),
    NAME_ROW(label_field, "--label-field", "member that says whether an answer is wanted (default: label)"),
    NAME_ROW(tools_field, "--tools-field", "member that lists the tools of a conversation (default: tools)"),
    NAME_ROW(system_field, "--system-field", "member that holds a system prompt (default: system)"),
    {.key = "chat_template", .flag = "--chat-template", .type = OPTION_STRING, .offset = FIELD(chat_template),
     .placeholder = "FILE",
     .help = "the form of conversations: a file, chatml, plain (for models without tokens for turns), or none (prompt "
             "and completion joined as they are); default: the model's own"},
    {.key = "template_date", .flag = "--template-date", .type = OPTION_STRING, .offset = FIELD(template_date),
     .placeholder = "YYYY-MM-DD", .help = "the day that templates with a date show (default: today)"},
    {.key = "loss", .flag = "--loss", .type = OPTION_ENUM, .offset = FIELD(loss), .default_value = "completions",
     .choices = loss_names,
     .help = "what is learned: the assistant's turns and completions, every token, or the assistant's last turn"},
    {.key = "over_long", .flag = "--over-long", .type = OPTION_ENUM, .offset = FIELD(over_long),
     .default_value = "drop", .choices = over_long_names,
     .help = "what to do with an example of more than train.max_seq_length tokens; split cuts a text into several, and "
             "drops what is no text"},
    {.key = "on_bad_row", .flag = "--on-bad-row", .type = OPTION_ENUM, .offset = FIELD(on_bad_row),
     .default_value = "fail", .choices = bad_row_names,
     .help = "what to do with a line that is no example: stop, leave it out, or leave it out and say why"},
    {.key = "packing", .flag = "--packing", .type = OPTION_BOOL, .offset = FIELD(packing), .default_value = "true",
     .help = "several examples in a row of max_seq_length tokens, none of which sees another; the same result as "
             "without, in less time"},
};
_Static_assert(sizeof dataset_options / sizeof *dataset_options == N_DATASET_OPTIONS, "count the rows");

struct dataset_fields dataset_options_fields(const struct dataset_options *o)
{
    return (struct dataset_fields){
        .text = o->text_field,
        .prompt = o->prompt_field,
        .completion = o->completion_field,
        .messages = o->messages_field,
        .chosen = o->chosen_field,
        .rejected = o->rejected_field,
        .label = o->label_field,
        .tools = o->tools_field,
        .system = o->system_field,
    };
}

int dataset_options_time(const struct dataset_options *o, int64_t *now, struct error *e)
{
    *now = (int64_t)time(NULL);
    if (!o->template_date)
        return OK;
    struct tm day = {.tm_hour = 12, .tm_isdst = -1};
    const char *end = strptime(o->template_date, "%Y-%m-%d", &day);
    int wanted = day.tm_mday;
    time_t noon = end && !*end ? mktime(&day) : -1;
    if (noon < 0 || day.tm_mday != wanted) /* 31 February */
        return error_set(e, ERR_USAGE, "dataset.template_date: expected a day as YYYY-MM-DD, found \"%.40s\"",
                         o->template_date);
    *now = (int64_t)noon;
    return OK;
}
