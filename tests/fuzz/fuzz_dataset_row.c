/* dataset_row_parse and dataset_prompt_parse with the usual and with other names on arbitrary bytes: what is accepted has the
 * form that the header promises, and becomes an example through a template, or is refused with one line. */
#include "base/memory.h"
#include "data/example.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#define MUST(condition)   \
    do {                  \
        if (!(condition)) \
            abort();      \
    } while (0)

static void check_messages(const json_t *messages)
{
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *m = json_array_get(messages, i), *calls = json_object_get(m, "tool_calls");
        MUST(json_is_string(json_object_get(m, "role")) && json_is_string(json_object_get(m, "content")));
        MUST(!calls || json_array_size(calls) > 0);
        for (size_t j = 0; j < json_array_size(calls); j++) {
            const json_t *function = json_object_get(json_array_get(calls, j), "function");
            MUST(json_is_string(json_object_get(function, "name")));
            MUST(json_is_object(json_object_get(function, "arguments")));
        }
    }
}

static void check_row(const struct dataset_row *row)
{
    MUST(row->schema < ROW_SCHEMAS && row->kind < ROW_KINDS);
    MUST((row->kind == ROW_TEXT) == (row->text != NULL) && (row->text != NULL) == (row->messages == NULL));
    MUST((row->kind == ROW_PREFERENCE) == (row->rejected != NULL));
    MUST(!row->prompt == !row->completion && (!row->prompt || row->n_prompt == 1));
    MUST(row->kind == ROW_TEXT || row->n_prompt < json_array_size(row->messages));
    check_messages(row->messages);
    check_messages(row->rejected);
}

static void make(const struct dataset_row *row, enum example_loss loss)
{
    static struct tokenizer *tokenizer;
    static struct chat_template *chatml;
    static const char source[] = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
                                 "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
    static const char *const special[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
    struct error e = {0};
    if (!tokenizer)
        MUST(!tokenizer_new_bytes(special, 3, &tokenizer, &e) &&
             !chat_template_parse("chatml", source, sizeof source - 1, &chatml, &e));
    struct example_settings s = {.tokenizer = tokenizer, .chat_template = chatml, .loss = loss, .now = 1};
    struct example x = {0};
    if (example_make(row, &s, &x, &e))
        MUST(e.message[0] && !strchr(e.message, '\n') && e.code == ERR_FORMAT);
    else
        MUST(x.n_learned > 0 && x.n_learned < x.tokens.count && !x.learned[0]);
    example_free(&x);
}

static void ask(const uint8_t *bytes, size_t n, const struct dataset_fields *fields)
{
    struct dataset_row row;
    struct error e = {0};
    if (dataset_prompt_parse((const char *)bytes, n, fields, &row, &e) != OK) {
        MUST(e.message[0] && !strchr(e.message, '\n') && e.code == ERR_FORMAT);
    } else {
        MUST(row.n_prompt > 0 && row.n_prompt == json_array_size(row.messages));
        MUST(!row.text && !row.completion && !row.rejected_text && !row.rejected && (!row.prompt || row.n_prompt == 1));
        check_messages(row.messages);
    }
    dataset_row_free(&row);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static const struct dataset_fields fields[2] = {
        {0}, {.prompt = "messages", .completion = "text", .messages = "chosen", .label = "system"}};
    for (int i = 0; i < 2; i++) {
        struct dataset_row row;
        struct error e = {0};
        if (dataset_row_parse((const char *)bytes, n, &fields[i], &row, &e) != OK) {
            MUST(e.message[0] && !strchr(e.message, '\n') && e.code == ERR_FORMAT);
        } else {
            check_row(&row);
            for (int loss = LOSS_COMPLETIONS; loss <= LOSS_LAST_TURN; loss++)
                make(&row, (enum example_loss)loss);
        }
        dataset_row_free(&row);
        ask(bytes, n, &fields[i]);
    }
    return 0;
}
