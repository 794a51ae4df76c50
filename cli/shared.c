#include "cli/shared.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "formats/gguf.h"
#include "kernels/profile.h"

#include <string.h>
#include <sys/stat.h>

static int load_gguf_tokenizer(const char *path, struct tokenizer **t, struct error *e)
{
    struct gguf g;
    int code = gguf_open(path, &g, e);
    if (code)
        return code;
    code = tokenizer_from_gguf(&g, t, e);
    if (code)
        error_prefix(e, "%s", path);
    gguf_close(&g);
    return code;
}

static bool is_gguf(const char *path)
{
    char magic[4] = "";
    FILE *f = fopen(path, "rbe");
    if (!f)
        return false; /* whoever opens it next says why */
    size_t n = fread(magic, 1, sizeof magic, f);
    fclose(f);
    return n == sizeof magic && memcmp(magic, "GGUF", 4) == 0;
}

int load_tokenizer(const char *path, struct tokenizer **t, struct error *e)
{
    *t = NULL;
    if (!file_is_directory(path))
        return is_gguf(path)                        ? load_gguf_tokenizer(path, t, e)
               : path_has_suffix(path, ".model") ? tokenizer_read_sentencepiece(path, t, e)
                                                    : tokenizer_read_json(path, t, e);
    return tokenizer_read_folder(path, t, e);
}

int check_output(const char *path, struct error *e)
{
    static const char *const corpus[] = {".txt", ".jsonl", ".gz"};
    for (size_t i = 0; i < sizeof corpus / sizeof *corpus; i++)
        if (path_has_suffix(path, corpus[i]))
            return error_set(e, ERR_USAGE,
                             "--out %s: the name of a text file; a tokenizer's ends in .json, a "
                             "shard's in .h5", path);
    return file_check_target(path, e);
}

bool read_line(FILE *f, struct buffer *line)
{
    buffer_clear(line);
    int c;
    bool any = false;
    while ((c = getc_unlocked(f)) != EOF && c != '\n') {
        buffer_byte(line, (char)c);
        any = true;
    }
    if (!line->data)
        buffer_append(line, "", 0);
    return any || c == '\n';
}

void print_json(json_t *value)
{
    json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
    putchar('\n');
    json_decref(value);
}

void print_json_line(json_t *value)
{
    json_dumpf(value, stdout, JSON_ENCODE_ANY);
    putchar('\n');
    json_decref(value);
}

void append_visible(struct buffer *out, const char *text, size_t n, size_t limit)
{
    size_t i = 0;
    while (i < n && i < limit) {
        uint32_t c = 0;
        size_t size = utf8_decode(text + i, n - i, &c);
        bool control = c < 0x20 || (c >= 0x7F && c < 0xA0);
        if (c == '\n')
            buffer_string(out, "\\n");
        else if (c == '\t')
            buffer_string(out, "\\t");
        else if (size == 0 || control)
            for (size_t j = 0; j < (size ? size : 1); j++)
                buffer_printf(out, "\\x%02x", (unsigned char)text[i + j]);
        else
            buffer_append(out, text + i, size);
        i += size ? size : 1;
    }
    if (i < n)
        buffer_string(out, "...");
}

void print_profile(FILE *out, const double *seconds, size_t steps)
{
    double sum = 0;
    for (int i = 0; i < PROFILE_KINDS; i++)
        sum += seconds[i];
    fprintf(out, "%-20s %10s %7s\n", "kind of operation", "ms a step", "share");
    for (int i = 1; i <= PROFILE_KINDS; i++) { /* what is not a kernel comes last */
        enum profile_kind kind = (enum profile_kind)(i % PROFILE_KINDS);
        fprintf(out, "%-20s %10.2f %6.1f%%\n", profile_name(kind),
                1e3 * seconds[kind] / (double)steps, 100 * seconds[kind] / sum);
    }
}

json_t *ids_json(const struct tokens *t)
{
    json_t *list = json_array();
    for (size_t i = 0; i < t->count; i++)
        json_array_append_new(list, json_integer(t->ids[i]));
    return list;
}

void print_text(void *context, const char *text, size_t n)
{
    (void)context;
    fwrite(text, 1, n, stdout);
    fflush(stdout);
}

char *name_from_path(const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    char *whole = mem_string_n(path, n);
    const char *base = path_basename(whole);
    size_t size = strlen(base);
    if (size > 5 && path_has_suffix(base, ".gguf"))
        size -= 5;
    char *name = mem_string_n(base, size);
    mem_free(whole);
    return name;
}

void print_profile_so_far(FILE *out, size_t steps)
{
    double seconds[PROFILE_KINDS];
    for (int i = 0; i < PROFILE_KINDS; i++)
        seconds[i] = profile_seconds((enum profile_kind)i);
    print_profile(out, seconds, steps);
}

int check_out_is_not(const char *out, const char *in, struct error *e)
{
    struct stat a, b;
    if (stat(out, &a) != 0 || stat(in, &b) != 0 || a.st_dev != b.st_dev || a.st_ino != b.st_ino)
        return OK;
    return error_set(e, ERR_USAGE, "--out %s: is a file that is read", out);
}
