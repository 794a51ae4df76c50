#include "serve/chat_page.h"

#include <string.h>

/* The file as it is, put here by the assembler. */
__asm__(".pushsection .rodata\n"
        ".globl linnet_chat_page\n"
        "linnet_chat_page:\n"
        ".incbin \"serve/chat_page.html\"\n"
        ".byte 0\n"
        ".popsection\n");
extern const char linnet_chat_page[];

void chat_page_print(const char *nonce, struct buffer *out)
{
    static const char place[] = "@NONCE@";
    const char *rest = linnet_chat_page;
    for (const char *at; (at = strstr(rest, place)); rest = at + strlen(place)) {
        buffer_append(out, rest, (size_t)(at - rest));
        buffer_string(out, nonce);
    }
    buffer_string(out, rest);
}
