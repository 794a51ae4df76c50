/* The page at "/": a conversation with the model in a browser, chat_page.html. */
#ifndef LINNET_SERVE_CHAT_PAGE_H
#define LINNET_SERVE_CHAT_PAGE_H

#include "base/buffer.h"

/* Appends the page, whose script and style carry `nonce`, a word of letters and digits. */
void chat_page_print(const char *nonce, struct buffer *out);

#endif
