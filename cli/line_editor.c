#include "cli/line_editor.h"

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "cli/shared.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *state_file(const char *name)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (state && *state == '/') /* others are to be ignored */
        return mem_printf("%s/linnet/%s", state, name);
    return home && *home ? mem_printf("%s/.local/state/linnet/%s", home, name) : NULL;
}

#ifdef LINNET_EDIT

#include <errno.h>
#include <fcntl.h>
#include <histedit.h>
#include <locale.h>
#include <signal.h>
#include <wchar.h>

enum { MOST_LINES = 1000 };

struct line_editor {
    bool interactive;
    EditLine *edit; /* NULL: plain lines */
    History *history;
    char *path;     /* of the history; NULL: none, or none any more */
    const char *prompt;
    line_completer *complete;
    void *context;
    bool cancelled;
};

static struct line_editor *own(EditLine *edit)
{
    void *l = NULL;
    el_get(edit, EL_CLIENTDATA, &l);
    return l;
}

static char *prompt_of(EditLine *edit)
{
    return (char *)own(edit)->prompt;
}

/* Ctrl-C: the line is forgotten. */
static unsigned char cancel(EditLine *edit, wint_t key)
{
    (void)key;
    own(edit)->cancelled = true;
    fputs("^C", stderr);
    return CC_NEWLINE;
}

/* Ctrl-Z, which as a key stops nothing by itself. */
static unsigned char stop(EditLine *edit, wint_t key)
{
    (void)key;
    el_set(edit, EL_PREP_TERM, 0);
    raise(SIGTSTP);
    el_set(edit, EL_PREP_TERM, 1);
    return CC_REDISPLAY;
}

static size_t common_length(const struct option_strings *s)
{
    size_t n = strlen(s->items[0]);
    for (size_t i = 1; i < s->count; i++) {
        size_t same = 0;
        while (same < n && s->items[i][same] == s->items[0][same])
            same++;
        n = same;
    }
    return n;
}

/* As far as there is no choice; the choices, where there is no further. */
static unsigned char complete(EditLine *edit, wint_t key)
{
    (void)key;
    struct line_editor *l = own(edit);
    const LineInfo *line = el_line(edit);
    struct option_strings found = {0};
    size_t n = (size_t)(line->cursor - line->buffer);
    unsigned char result = CC_ERROR;
    l->complete(l->context, line->buffer, n, &found);
    size_t common = found.count ? common_length(&found) : 0;
    if (common > n) {
        char *rest = mem_printf("%.*s%s", (int)(common - n), found.items[0] + n, found.count == 1 ? " " : "");
        result = el_insertstr(edit, rest) == 0 ? CC_REFRESH : CC_ERROR;
        mem_free(rest);
    } else if (found.count > 1) {
        fputc('\n', stderr);
        for (size_t i = 0; i < found.count; i++)
            fprintf(stderr, "%s  ", found.items[i]);
        fputc('\n', stderr);
        result = CC_REDISPLAY;
    }
    option_strings_free(&found);
    return result;
}

static void forget_history(struct line_editor *l, const char *why)
{
    log_warn("%s: %s; lines are not kept", l->path, why);
    mem_free(l->path);
    l->path = NULL;
}

/* The file is there afterwards, and its owner's alone. */
static void load_history(struct line_editor *l)
{
    struct error e;
    HistEvent event;
    char *folder = mem_string_n(l->path, (size_t)(path_basename(l->path) - l->path));
    int code = dir_make(folder, &e);
    mem_free(folder);
    if (code) {
        forget_history(l, e.message);
        return;
    }
    int fd = open(l->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    off_t size = fd >= 0 ? lseek(fd, 0, SEEK_END) : -1;
    const char *why = strerror(errno);
    if (fd >= 0)
        close(fd);
    if (size < 0)
        forget_history(l, why);
    else if (size > 0 && history(l->history, &event, H_LOAD, l->path) < 0)
        forget_history(l, "no history of lines");
}

static void open_history(struct line_editor *l, const char *path)
{
    HistEvent event;
    l->history = history_init();
    if (!l->history)
        return;
    history(l->history, &event, H_SETSIZE, MOST_LINES);
    history(l->history, &event, H_SETUNIQUE, 1);
    el_set(l->edit, EL_HIST, history, l->history);
    l->path = mem_string(path);
    if (l->path)
        load_history(l);
}

/* Characters are those of the user's language; they are UTF-8 in any case here. */
static void set_locale(void)
{
    const char *set = setlocale(LC_CTYPE, "");
    if (!set || strcmp(set, "C") == 0 || strcmp(set, "POSIX") == 0)
        setlocale(LC_CTYPE, "C.UTF-8");
}

static void start_editing(struct line_editor *l, const char *path)
{
    static const struct {
        const wchar_t *name, *key;
        unsigned char (*function)(EditLine *edit, wint_t key);
    } keys[] = {{L"cancel-line", L"^C", cancel}, {L"stop-here", L"^Z", stop}, {L"complete-line", L"^I", complete}};
    set_locale();
    l->edit = el_init("linnet", stdin, stderr, stderr);
    if (!l->edit)
        return;
    el_set(l->edit, EL_CLIENTDATA, l);
    el_set(l->edit, EL_PROMPT, prompt_of);
    el_set(l->edit, EL_EDITOR, "emacs");
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        el_wset(l->edit, EL_ADDFN, keys[i].name, L"", keys[i].function); /* el_set would leak copies of both */
        el_wset(l->edit, EL_BIND, keys[i].key, keys[i].name, NULL);
    }
    el_set(l->edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_set(l->edit, EL_SETTY, "-d", "-isig", NULL); /* Ctrl-C and Ctrl-Z are keys while a line is typed */
    el_source(l->edit, NULL); /* ~/.editrc */
    open_history(l, path);
}

struct line_editor *line_editor_new(const char *path, line_completer *completer, void *context)
{
    struct line_editor *l = mem_zero(1, sizeof *l);
    l->complete = completer;
    l->context = context;
    l->interactive = isatty(STDIN_FILENO);
    if (l->interactive && isatty(STDERR_FILENO))
        start_editing(l, path);
    return l;
}

void line_editor_free(struct line_editor *l)
{
    if (l->edit)
        el_end(l->edit);
    if (l->history)
        history_end(l->history);
    mem_free(l->path);
    mem_free(l);
}

/* At once: a terminal that is closed ends the program. */
static void keep_line(struct line_editor *l, const char *text)
{
    HistEvent event;
    if (!l->history)
        return;
    history(l->history, &event, H_ENTER, text);
    if (l->path && history(l->history, &event, H_SAVE, l->path) < 0)
        forget_history(l, strerror(errno));
}

static bool edit_line(struct line_editor *l, const char *prompt, struct buffer *line, bool *cancelled)
{
    int n = 0;
    l->prompt = prompt;
    l->cancelled = false;
    const char *text = el_gets(l->edit, &n);
    *cancelled = l->cancelled;
    if (l->cancelled) {
        fputc('\n', stderr);
        return true;
    }
    if (!text || n <= 0)
        return false;
    if (strspn(text, " \t\n") < (size_t)n)
        keep_line(l, text);
    buffer_append(line, text, (size_t)n - (text[n - 1] == '\n'));
    return true;
}

#else

struct line_editor {
    bool interactive;
};

struct line_editor *line_editor_new(const char *path, line_completer *completer, void *context)
{
    struct line_editor *l = mem_zero(1, sizeof *l);
    (void)path, (void)completer, (void)context;
    l->interactive = isatty(STDIN_FILENO);
    return l;
}

void line_editor_free(struct line_editor *l)
{
    mem_free(l);
}

#endif

bool line_editor_is_interactive(const struct line_editor *l)
{
    return l->interactive;
}

bool line_editor_read(struct line_editor *l, const char *prompt, struct buffer *line, bool *cancelled)
{
    *cancelled = false;
    buffer_clear(line);
    buffer_append(line, "", 0);
#ifdef LINNET_EDIT
    if (l->edit)
        return edit_line(l, prompt, line, cancelled);
#endif
    if (l->interactive)
        fputs(prompt, stderr);
    return read_line(stdin, line);
}
