/* The form of a dataset's conversations. */
#include "base/file.h"
#include "base/memory.h"
#include "chat/presets.h"
#include "cli/dataset.h"

#include <string.h>

static int read_source(const char *asked, struct dataset_template *out, struct error *e)
{
    const char *preset = chat_preset(asked);
    size_t n_presets = 0;
    while (chat_preset_names[n_presets])
        n_presets++;
    if (preset) {
        out->text = mem_string(preset);
        return OK;
    }
    if (!file_exists(asked)) {
        const char *near = nearest_name(asked, chat_preset_names, n_presets);
        return error_set(e, ERR_USAGE, "--chat-template %s: there is no such file%s%s%s", asked,
                         near ? "; did you mean \"" : ", and it is none of chatml, plain and none", near ? near : "",
                         near ? "\"?" : "");
    }
    struct buffer text = {0};
    int code = file_read(asked, &text, CHAT_TEMPLATE_MOST, e);
    if (code)
        buffer_free(&text);
    else
        out->text = text.data ? text.data : mem_string("");
    return code;
}

int dataset_template_open(const char *asked, const struct tokenizer *t, struct dataset_template *out, struct error *e)
{
    *out = (struct dataset_template){0};
    const char *own = tokenizer_chat_template(t);
    bool none = asked ? strcmp(asked, "none") == 0 : !own;
    int code = OK;
    out->name = mem_string(none ? "none" : asked ? asked : "the model's own");
    if (none)
        return OK;
    if (asked)
        code = read_source(asked, out, e);
    else
        out->text = mem_string(own);
    if (!code)
        code = chat_template_parse(asked ? asked : "the model's chat template", out->text, strlen(out->text), &out->parsed,
                                   e);
    return code;
}

void dataset_template_free(struct dataset_template *t)
{
    chat_template_free(t->parsed);
    mem_free(t->text);
    mem_free(t->name);
    *t = (struct dataset_template){0};
}
