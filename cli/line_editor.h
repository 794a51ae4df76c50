/* Lines that a person types. At a terminal, and where libedit was there when linnet was built, with editing, a history
 * that outlives the program, and completion; else plain lines of standard input. */
#ifndef LINNET_CLI_LINE_EDITOR_H
#define LINNET_CLI_LINE_EDITOR_H

#include "base/buffer.h"
#include "base/options.h"

/* Appends what the n bytes before the cursor could become, each as the whole of them and more. */
typedef void line_completer(void *context, const char *text, size_t n, struct option_strings *out);

struct line_editor;

/* `history`: the file to keep lines in, made on demand and readable by its owner alone; NULL: none. A history that cannot
 * be read or written is a warning. */
struct line_editor *line_editor_new(const char *history, line_completer *complete, void *context);
void line_editor_free(struct line_editor *l);

/* Whether somebody is there: standard input is a terminal. */
bool line_editor_is_interactive(const struct line_editor *l);

/* The next line without its newline; false at the end of input. The prompt is shown on stderr where somebody is there.
 * *cancelled: Ctrl-C was pressed, and the line is nothing. */
bool line_editor_read(struct line_editor *l, const char *prompt, struct buffer *line, bool *cancelled);

/* "~/.local/state/linnet/NAME", or below $XDG_STATE_HOME (XDG Base Directory Specification); NULL where neither is known.
 * The caller frees. */
char *state_file(const char *name);

#endif
