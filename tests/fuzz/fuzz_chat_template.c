/* Chat templates from anywhere, rendered with a fixed conversation under lower limits: whatever
 * parses must render or be refused with one line, within the limits, as well-formed UTF-8. */
#include "base/check.h"
#include "base/utf8.h"
#include "chat/template.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_line(const struct error *e)
{
    CHECK(e->code == ERR_FORMAT && e->message[0] && !memchr(e->message, '\n', strlen(e->message)) &&
          utf8_valid(e->message, strlen(e->message)));
}

static json_t *conversation(void)
{
    static const char text[] =
        "{\"messages\": [{\"role\": \"system\", \"content\": \" Be brief.\\n\"},"
        "{\"role\": \"user\", \"content\": \"What's <up>, \\u65e5\\u672c?\"},"
        "{\"role\": \"assistant\", \"content\": null, \"tool_calls\": [{\"id\": \"123456789\","
        "\"type\": \"function\", \"function\": {\"name\": \"add\", \"arguments\": {\"a\": 1,"
        "\"b\": [2.5, true]}}}]},"
        "{\"role\": \"tool\", \"name\": \"add\", \"content\": \"3.5\"},"
        "{\"role\": \"assistant\", \"content\": \"<think>\\nhm\\n</think>\\n\\nIt is 3.5.\"}],"
        "\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"add\", \"parameters\":"
        "{\"type\": \"object\", \"properties\": {\"a\": {\"type\": \"number\"}}}}}],"
        "\"variables\": {\"enable_thinking\": true, \"d\": {\"a\": 1, \"b\": {}}, \"n\": -7}}";
    static json_t *root;
    struct error e;
    if (!root)
        CHECK(json_parse(text, sizeof text - 1, &root, &e) == OK);
    return root;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct chat_template *t;
    struct error e = {0};
    if (chat_template_parse("fuzz", (const char *)data, size, &t, &e)) {
        CHECK(t == NULL);
        check_line(&e);
        return 0;
    }
    const json_t *root = conversation();
    for (int i = 0; i < 2; i++) {
        struct buffer out = {0};
        struct chat_spans spans = {0};
        struct chat_input in = {.messages = json_object_get(root, "messages"),
                                .tools = i ? json_object_get(root, "tools") : NULL,
                                .variables = json_object_get(root, "variables"),
                                .add_generation_prompt = i,
                                .bos_token = "<s>",
                                .now = 1760000000,
                                .output_most = 1 << 20,
                                .memory_most = 16 << 20,
                                .work_most = 1 << 20};
        e = (struct error){0};
        if (chat_template_render(t, &in, &out, i ? &spans : NULL, &e)) {
            CHECK(out.size == 0 && spans.count == 0);
            check_line(&e);
        } else {
            CHECK(out.size <= in.output_most && utf8_valid(out.data ? out.data : "", out.size));
        }
        size_t end = 0;
        for (size_t k = 0; k < spans.count; k++) {
            CHECK(spans.items[k].begin >= end && spans.items[k].begin < spans.items[k].end);
            end = spans.items[k].end;
            CHECK(end <= out.size);
        }
        buffer_free(&out);
        chat_spans_free(&spans);
    }
    chat_template_free(t);
    return 0;
}
