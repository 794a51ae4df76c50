#include "chat/presets.h"

#include <string.h>

#define NO_TOOLS(name)                                                                                                \
    "{%- if tools %}{{ raise_exception('the template " name " has no form for tools') }}{% endif -%}\n"               \
    "{%- for message in messages -%}\n"                                                                               \
    "{%- if message.tool_calls or message.role == 'tool' -%}\n"                                                       \
    "{{ raise_exception('the template " name " has no form for calls of tools') }}\n"                                 \
    "{%- endif -%}\n"

/* An answer begins with the blank behind "Assistant:", which byte-level vocabularies and SentencePiece's alike have in one
 * token with the word. */
static const char *const sources[] = {
    NO_TOOLS("chatml")
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' -}}\n"
    "{%- endfor -%}\n"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}",

    "{{- bos_token -}}\n"
    NO_TOOLS("plain")
    "{%- if message.role == 'assistant' -%}\n"
    "{{- 'Assistant: ' + message.content -}}{{- eos_token -}}{{- '\\n' -}}\n"
    "{%- elif message.role == 'user' -%}\n"
    "{{- 'User: ' + message.content + '\\n' -}}\n"
    "{%- else -%}\n"
    "{{- message.content + '\\n' -}}\n"
    "{%- endif -%}\n"
    "{%- endfor -%}\n"
    "{%- if add_generation_prompt -%}{{- 'Assistant:' -}}{%- endif -%}",
};

const char *const chat_preset_names[] = {"chatml", "plain", NULL};

const char *chat_preset(const char *name)
{
    for (size_t i = 0; chat_preset_names[i]; i++)
        if (strcmp(chat_preset_names[i], name) == 0)
            return sources[i];
    return NULL;
}
