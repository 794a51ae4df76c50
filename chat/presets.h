/* Chat templates for models that come without one. */
#ifndef LINNET_CHAT_PRESETS_H
#define LINNET_CHAT_PRESETS_H

/* The source of the template with that name, or NULL:
 *   chatml  <|im_start|>role, the text, <|im_end|>: what Qwen and SmolLM write, for vocabularies with these tokens
 *   plain   "User:" and "Assistant:" in words, each answer ended by the vocabulary's own EOS: for any other
 * Both refuse tools and calls of tools, for which they have no form. */
const char *chat_preset(const char *name);

extern const char *const chat_preset_names[]; /* NULL-terminated */

#endif
