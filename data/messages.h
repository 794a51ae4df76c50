/* Messages of conversations as datasets write them, brought into OpenAI's form
 * (https://platform.openai.com/docs/api-reference/chat), which chat templates take.
 *
 * Read: role and content (OpenAI, Hugging Face) or from and value (ShareGPT), with the roles human, gpt, observation
 * and function_call among others; content as a text or as parts of the type "text"; tool calls with or without
 * {"type": "function", "function": ...} around them, their arguments as an object or as a text that holds one. */
#ifndef LINNET_DATA_MESSAGES_H
#define LINNET_DATA_MESSAGES_H

#include "base/error.h"
#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>

/* Appends the messages of a field's value (a list) to the list `out`. `field` is what errors call it. ERR_FORMAT:
 * "\"messages\", message 2: ..." names the message from 1; `out` may then have some of them. */
int messages_normalise(const json_t *value, const char *field, json_t *out, struct error *e);
/* *tools becomes a new list of {"type": "function", "function": {...}}, or NULL where the value is null, an empty list
 * or an empty text. A text must hold a list (ShareGPT). */
int tools_normalise(const json_t *value, const char *field, json_t **tools, struct error *e);

/* A new message with a role and n bytes of content (UTF-8). */
json_t *message_new(const char *role, const char *content, size_t n);
/* Whether message i has this role; false beyond the last one. */
bool message_has_role(const json_t *messages, size_t i, const char *role);
/* Whether one of the messages from number `from` (counted from 0) is the assistant's. */
bool messages_have_assistant(const json_t *messages, size_t from);
/* What is odd about a conversation: bits of enum row_warning. */
unsigned messages_warnings(const json_t *messages);

#endif
