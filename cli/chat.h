/* linnet chat: what its conversation (chat.c) and the commands in it (chat_commands.c) share. */
#ifndef LINNET_CLI_CHAT_H
#define LINNET_CLI_CHAT_H

#include "cli/inference.h"
#include "cli/sampling.h"
#include "infer/chat.h"

enum { CHAT_SETTINGS = SAMPLING_ROWS + 1 };

struct chat {
    struct inference *model;
    struct chat_session session;
    struct chat_setting {
        const struct option *row;
        void *object;
    } settings[CHAT_SETTINGS];         /* what /set sets */
    char *system;                      /* what a new conversation begins with, owned; NULL: nothing */
    bool ended;
    size_t n_again;                    /* answers to the last message before the present one */
    struct {
        bool any;
        size_t n_prompt, n_tokens, n_decoded;
        double prefill_seconds, decode_seconds;
    } last;                            /* answer */
};

/* A new conversation: only what the model is told before it. */
void chat_begin(struct chat *c);
/* The model's answer to the last message, or with `again` another one, printed as it comes. */
int chat_answer(struct chat *c, bool again, struct error *e);

/* Says which adapters there are, and how strong each is now; nothing where there is none. */
void chat_show_adapters(const struct chat *c);

/* Runs a line "/command argument". ERR_USAGE for an unknown one and for a wrong argument. */
int chat_command(struct chat *c, const char *line, struct error *e);
/* A line_completer: names of commands, of what /set sets, and of adapters. */
void chat_complete(void *chat, const char *text, size_t n, struct option_strings *out);

#endif
