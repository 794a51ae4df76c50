/* linnet tokenizer encode and linnet tokenizer decode */
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "cli/command.h"
#include "cli/shared.h"

#include <ctype.h>
#include <string.h>

static struct {
    char *tokenizer, *file;
    bool whole, special, bos, json;
} encode, decode;

#define FIELD(member) offsetof(__typeof__(encode), member)
#define TOKENIZER_ROW                                                                              \
    {                                                                                              \
        .key = "tokenizer", .flag = "--tokenizer", .type = OPTION_STRING,                          \
        .offset = FIELD(tokenizer), .placeholder = "PATH",                                         \
        .help = "a tokenizer.json, a GGUF file, or a directory that holds tokenizer.json"          \
    }

static const struct option encode_rows[] = {
    TOKENIZER_ROW,
    {.key = "file",
     .flag = "--file",
     .type = OPTION_STRING,
     .offset = FIELD(file),
     .placeholder = "FILE",
     .help = "read the text from here"},
    {.key = "whole",
     .flag = "--whole",
     .type = OPTION_BOOL,
     .offset = FIELD(whole),
     .help = "the input is one text, newlines and all, instead of one text a line"},
    {.key = "special",
     .flag = "--special",
     .type = OPTION_BOOL,
     .offset = FIELD(special),
     .default_value = "true",
     .help = "special tokens written in the text become their ids"},
    {.key = "bos",
     .flag = "--bos",
     .type = OPTION_BOOL,
     .offset = FIELD(bos),
     .help = "begin each text with the token for that"},
    {.key = "json",
     .flag = "--json",
     .type = OPTION_BOOL,
     .offset = FIELD(json),
     .help = "print ids and tokens of each text as one JSON object a line"},
};
static struct option_section encode_sections[] = {
    {.name = "",
     .rows = encode_rows,
     .n_rows = COUNT(encode_rows),
     .object = &encode,
     .help = "Flags"},
};

static const struct option decode_rows[] = {
    TOKENIZER_ROW,
    {.key = "file",
     .flag = "--file",
     .type = OPTION_STRING,
     .offset = FIELD(file),
     .placeholder = "FILE",
     .help = "read the ids from here, one text a line"},
    {.key = "special",
     .flag = "--special",
     .type = OPTION_BOOL,
     .offset = FIELD(special),
     .default_value = "true",
     .help = "print special tokens instead of leaving them out"},
    {.key = "json",
     .flag = "--json",
     .type = OPTION_BOOL,
     .offset = FIELD(json),
     .help = "print each text as one JSON object a line"},
};
static struct option_section decode_sections[] = {
    {.name = "",
     .rows = decode_rows,
     .n_rows = COUNT(decode_rows),
     .object = &decode,
     .help = "Flags"},
};

typedef int text_handler(const struct tokenizer *t, const char *text, size_t n, struct error *e);

/* Every positional, or every line of the file or of stdin, goes through `handle`. */
static int each_text(const struct command_input *in, const char *file, const struct tokenizer *t,
                     text_handler *handle, struct error *e)
{
    int code = OK;
    if (in->positionals.count && file)
        return error_set(e, ERR_USAGE, "--file and \"%.100s\": one of them, not both",
                         in->positionals.items[0]);
    for (size_t i = 0; i < in->positionals.count && !code; i++)
        code = handle(t, in->positionals.items[i], strlen(in->positionals.items[i]), e);
    if (in->positionals.count || code)
        return code;
    bool standard = !file || strcmp(file, "-") == 0;
    const char *name = standard ? "standard input" : file;
    FILE *f = standard ? stdin : fopen(file, "rbe");
    if (!f)
        return error_set_errno(e, "%s", file);
    struct buffer line = {0};
    for (size_t number = 1; !code && read_line(f, &line); number++)
        if ((code = handle(t, line.data, line.size, e))) {
            error_prefix(e, "%s:%zu", name, number);
            code = e->code = ERR_FORMAT; /* a file is at fault, not the command line */
        }
    if (!code && ferror(f))
        code = error_set_errno(e, "%s", name);
    buffer_free(&line);
    if (!standard)
        fclose(f);
    return code;
}

static json_t *tokens_to_json(const struct tokenizer *t, const struct tokens *tokens)
{
    json_t *ids = json_array(), *strings = json_array();
    for (size_t i = 0; i < tokens->count; i++) {
        size_t n;
        const char *token = tokenizer_token(t, tokens->ids[i], &n);
        json_array_append_new(ids, json_integer(tokens->ids[i]));
        json_array_append_new(strings, json_text(token, n));
    }
    return json_pack("{s:o, s:o}", "ids", ids, "tokens", strings);
}

static int encode_text(const struct tokenizer *t, const char *text, size_t n, struct error *e)
{
    (void)e;
    struct tokens tokens = {0};
    if (encode.bos)
        tokens_push(&tokens, tokenizer_bos(t));
    tokenizer_encode(t, text, n, encode.special, &tokens);
    if (encode.json) {
        print_json_line(tokens_to_json(t, &tokens));
    } else {
        for (size_t i = 0; i < tokens.count; i++)
            printf("%s%d", i ? " " : "", (int)tokens.ids[i]);
        putchar('\n');
    }
    tokens_free(&tokens);
    return OK;
}

static int encode_whole(const char *file, const struct tokenizer *t, struct error *e)
{
    struct buffer text = {0};
    int code = file_read(file ? file : "/dev/stdin", &text, (size_t)1 << 30, e);
    if (!code)
        code = encode_text(t, text.data, text.size, e);
    buffer_free(&text);
    return code;
}

static int run_encode(const struct command_input *in, struct error *e)
{
    struct tokenizer *t = NULL;
    int code = option_require(in->options, "", "tokenizer", e);
    if (!code)
        code = load_tokenizer(encode.tokenizer, &t, e);
    if (!code && encode.bos && tokenizer_bos(t) == TOKEN_NONE)
        code =
            error_set(e, ERR_USAGE, "--bos: %s has no token that begins a text", encode.tokenizer);
    if (!code && encode.whole && !in->positionals.count)
        code = encode_whole(encode.file, t, e);
    else if (!code)
        code = each_text(in, encode.file, t, encode_text, e);
    tokenizer_free(t);
    return code;
}

/* Ids as `encode` prints them; commas and brackets between them are fine too. */
static int parse_ids(const struct tokenizer *t, const char *text, size_t n, struct tokens *ids,
                     struct error *e)
{
    size_t vocab = tokenizer_vocab_size(t);
    for (size_t i = 0; i < n;) {
        if (isspace((unsigned char)text[i]) || strchr(",[]", text[i])) {
            i++;
            continue;
        }
        size_t begin = i, id = 0;
        while (i < n && isdigit((unsigned char)text[i]) && id < vocab)
            id = id * 10 + (size_t)(text[i++] - '0');
        bool ends = i == n || isspace((unsigned char)text[i]) || strchr(",]", text[i]);
        if (i == begin || !ends || id >= vocab) {
            size_t end = begin;
            while (end < n && end < begin + 40 && !isspace((unsigned char)text[end]))
                end++;
            return error_set(e, ERR_USAGE, "\"%.*s\" is no token id; expected 0 to %zu",
                             (int)(end - begin), text + begin, vocab - 1);
        }
        tokens_push(ids, (int32_t)id);
    }
    return OK;
}

static void print_decoded(const struct tokenizer *t, const struct tokens *ids)
{
    struct buffer text = {0};
    tokenizer_decode(t, ids->ids, ids->count, decode.special, &text);
    if (decode.json) {
        print_json_line(
            json_pack("{s:o}", "text", json_text(text.data ? text.data : "", text.size)));
    } else {
        if (text.size)
            fwrite(text.data, 1, text.size, stdout);
        putchar('\n');
    }
    buffer_free(&text);
}

static int decode_line(const struct tokenizer *t, const char *text, size_t n, struct error *e)
{
    struct tokens ids = {0};
    int code = parse_ids(t, text, n, &ids, e);
    if (!code)
        print_decoded(t, &ids);
    tokens_free(&ids);
    return code;
}

static int run_decode(const struct command_input *in, struct error *e)
{
    struct tokenizer *t = NULL;
    struct tokens ids = {0};
    int code = option_require(in->options, "", "tokenizer", e);
    if (!code)
        code = load_tokenizer(decode.tokenizer, &t, e);
    if (!code && in->positionals.count && !decode.file) { /* all together are one text */
        for (size_t i = 0; i < in->positionals.count && !code; i++)
            code =
                parse_ids(t, in->positionals.items[i], strlen(in->positionals.items[i]), &ids, e);
        if (!code)
            print_decoded(t, &ids);
    } else if (!code) {
        code = each_text(in, decode.file, t, decode_line, e);
    }
    tokens_free(&ids);
    tokenizer_free(t);
    return code;
}

const struct command command_tokenizer_encode = {
    .name = "tokenizer encode",
    .group = "Data",
    .summary = "turn text into token ids",
    .usage = "--tokenizer PATH [TEXT...] [FLAGS]",
    .notes = "Without TEXT and --file it reads standard input. Each text gives one line.\n"
             "\n"
             "Examples:\n"
             "  linnet tokenizer encode --tokenizer tokenizer.json \"Once upon a time\"\n"
             "  linnet tokenizer encode --tokenizer model.gguf --file story.txt --whole\n",
    .takes_positionals = true,
    .sections = encode_sections,
    .n_sections = COUNT(encode_sections),
    .run = run_encode,
};

const struct command command_tokenizer_decode = {
    .name = "tokenizer decode",
    .group = "Data",
    .summary = "turn token ids back into text",
    .usage = "--tokenizer PATH [ID...] [FLAGS]",
    .notes =
        "Without ids and --file it reads standard input: one text a line, as encode writes it.\n"
        "\n"
        "Example:\n"
        "  linnet tokenizer decode --tokenizer tokenizer.json 421 17 9\n",
    .takes_positionals = true,
    .sections = decode_sections,
    .n_sections = COUNT(decode_sections),
    .run = run_decode,
};
