#include "tokenizer/gguf_pre.h"

#include "base/check.h"

#include "tokenizer/pipeline.h"
#include "tokenizer/split.h"

#include <string.h>

#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define GPT2         "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define UPPER        "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER        "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define EDGE         "[^\\r\\n\\p{L}\\p{N}]?"
#define REST         "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define MANDARIN     "[一-龥ࠀ-一가-퟿]+"
#define NORDIC       " ?[^(\\s|.,!?…。，、।۔،)]+"

/* In the order in which they are applied, written as the models' own tokenizer.json files do. */
enum { MOST_PATTERNS = 6 };
static const char *const by_default[] = {"[\\p{P}\\$\\+<=>\\^~\\|]+", GPT2, "\\p{N}+",
                                         "[0-9][0-9][0-9]", NULL};
static const char *const falcon[] = {"[\\p{P}\\$\\+<=>\\^~\\|`]+", GPT2, "[0-9][0-9][0-9]", NULL};
static const char *const deepseek_coder[] = {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", MANDARIN,
                                             "\\p{N}", NULL};
static const char *const deepseek_llm[] = {
    "[\\r\\n]",
    "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\u1F7Dᾀ-ᾴ"
    "ᾶ-ᾼ\u1FBEῂ-ῄῆ-ῌῐ-\u1FD3ῖ-\u1FDBῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212A-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿ"
    "ﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+",
    "\\s?[!-/:-~！-／：-～‘-‟　-。]+",
    "\\s+$",
    MANDARIN,
    "\\p{N}+",
    NULL,
};
static const char *const deepseek_v3[] = {
    "\\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
    "| ?[\\p{P}\\p{S}]+[\\r\\n]*|" REST,
    NULL};
static const char *const qwen35[] = {CONTRACTIONS
                                     "|" EDGE "[\\p{L}\\p{M}]+|\\p{N}"
                                     "| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" REST,
                                     NULL};
static const char *const tekken[] = {EDGE UPPER "*" LOWER "+|" EDGE UPPER "+" LOWER "*|\\p{N}"
                                                "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" REST,
                                     NULL};
static const char *const gpt4o[] = {EDGE UPPER "*" LOWER "+" CONTRACTIONS "?|" EDGE UPPER "+" LOWER
                                               "*" CONTRACTIONS "?|\\p{N}{1,3}"
                                               "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" REST,
                                    NULL};
static const char *const bailing[] = {"'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}"
                                      "| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+",
                                      NULL};
static const char *const seed_coder[] = {CONTRACTIONS "|" EDGE "\\p{L}+|\\p{N}{1}"
                                                      "| ?[^\\s\\p{L}\\p{N}\\r\\n]+|" REST,
                                         NULL};
static const char *const poro[] = {NORDIC, NULL};
static const char *const viking[] = {NORDIC, "\\p{N}", NULL};

/* The first of a splitter, or of a list, is the name that is written. `whole_words` is llama.cpp's
 * ignore_merges; adds_bos holds where the file does not say. */
static const struct pre {
    const char *name;
    enum splitter splitter;
    const char *const *patterns; /* SPLITTER_GENERAL's */
    bool whole_words, adds_bos;
} known[] = {
    {"gpt-2", SPLITTER_GPT2, NULL, false, false},
    {"phi-2", SPLITTER_GPT2, NULL, false, false},
    {"mpt", SPLITTER_GPT2, NULL, false, false},
    {"olmo", SPLITTER_GPT2, NULL, false, false},
    {"roberta-bpe", SPLITTER_GPT2, NULL, false, false},
    {"jais", SPLITTER_GPT2, NULL, false, false},
    {"trillion", SPLITTER_GPT2, NULL, false, false},
    {"granite-docling", SPLITTER_GPT2, NULL, false, false},
    {"exaone4", SPLITTER_GPT2, NULL, false, false},
    {"gigachat", SPLITTER_GPT2, NULL, false, false},
    {"mellum", SPLITTER_GPT2, NULL, false, false},
    {"llama-bpe", SPLITTER_LLAMA3, NULL, true, true},
    {"llama3", SPLITTER_LLAMA3, NULL, true, true},
    {"llama-v3", SPLITTER_LLAMA3, NULL, true, true},
    {"falcon3", SPLITTER_LLAMA3, NULL, true, true},
    {"falcon-h1", SPLITTER_LLAMA3, NULL, true, true},
    {"pixtral", SPLITTER_LLAMA3, NULL, true, true},
    {"midm-2.0", SPLITTER_LLAMA3, NULL, true, true},
    {"lfm2", SPLITTER_LLAMA3, NULL, true, true},
    {"smaug-bpe", SPLITTER_LLAMA3, NULL, false, false},
    {"dbrx", SPLITTER_LLAMA3, NULL, false, false},
    {"chatglm-bpe", SPLITTER_LLAMA3, NULL, false, false},
    {"glm4", SPLITTER_LLAMA3, NULL, false, false},
    {"qwen2", SPLITTER_QWEN2, NULL, false, false},
    {"stablelm2", SPLITTER_QWEN2, NULL, false, false},
    {"deepseek-r1-qwen", SPLITTER_QWEN2, NULL, false, false},
    {"hunyuan", SPLITTER_QWEN2, NULL, false, false},
    {"megrez", SPLITTER_QWEN2, NULL, false, false},
    {"grok-2", SPLITTER_QWEN2, NULL, false, false},
    {"smollm", SPLITTER_SMOLLM, NULL, false, false},
    {"starcoder", SPLITTER_SMOLLM, NULL, false, false},
    {"refact", SPLITTER_SMOLLM, NULL, false, false},
    {"command-r", SPLITTER_SMOLLM, NULL, false, false},
    {"codeshell", SPLITTER_SMOLLM, NULL, false, false},
    {"exaone", SPLITTER_SMOLLM, NULL, false, false},
    {"minerva-7b", SPLITTER_SMOLLM, NULL, false, false},
    {"default", SPLITTER_GENERAL, by_default, false, false},
    {"falcon", SPLITTER_GENERAL, falcon, false, false},
    {"deepseek-coder", SPLITTER_GENERAL, deepseek_coder, false, false},
    {"deepseek-llm", SPLITTER_GENERAL, deepseek_llm, false, false},
    {"deepseek-v3", SPLITTER_GENERAL, deepseek_v3, false, false},
    {"hunyuan-dense", SPLITTER_GENERAL, deepseek_v3, false, false},
    {"qwen35", SPLITTER_GENERAL, qwen35, false, false},
    {"tekken", SPLITTER_GENERAL, tekken, true, true},
    {"gpt-4o", SPLITTER_GENERAL, gpt4o, false, false},
    {"llama4", SPLITTER_GENERAL, gpt4o, false, false},
    {"minimax-m2", SPLITTER_GENERAL, gpt4o, false, false},
    {"bailingmoe", SPLITTER_GENERAL, bailing, false, false},
    {"seed-coder", SPLITTER_GENERAL, seed_coder, false, false},
    {"poro-chat", SPLITTER_GENERAL, poro, false, false},
    {"bloom", SPLITTER_GENERAL, poro, false, false},
    {"gpt3-finnish", SPLITTER_GENERAL, poro, false, false},
    {"viking", SPLITTER_GENERAL, viking, false, false},
};
enum { N_KNOWN = sizeof known / sizeof *known };

/* As components of a tokenizer.json. */
static json_t *components(const char *const *patterns)
{
    json_t *steps = json_array();
    for (; *patterns; patterns++)
        json_array_append_new(steps, json_pack("{s:s, s:{s:s}, s:s, s:b}", "type", "Split", "pattern",
                                               "Regex", *patterns, "behavior", "Isolated", "invert",
                                               0));
    json_array_append_new(steps, json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel",
                                           "add_prefix_space", 0, "trim_offsets", 1, "use_regex", 0));
    return json_pack("{s:n, s:{s:s, s:o}, s:n, s:{s:s, s:b, s:b, s:b}}", "normalizer",
                     "pre_tokenizer", "type", "Sequence", "pretokenizers", steps, "post_processor",
                     "decoder", "type", "ByteLevel", "add_prefix_space", 1, "trim_offsets", 1,
                     "use_regex", 1);
}

bool gguf_pre_apply(const char *name, struct tokenizer *t)
{
    const struct pre *p = known;
    while (p < known + N_KNOWN && strcmp(p->name, name) != 0)
        p++;
    if (p == known + N_KNOWN)
        return false;
    t->splitter = p->splitter;
    t->char_level = t->byte_fallback = false;
    t->ignore_merges = p->whole_words;
    t->adds_bos = p->adds_bos;
    if (p->patterns) {
        struct error e;
        json_t *root = components(p->patterns);
        CHECK(pipeline_read(root, &t->pipeline, &e) == OK); /* they are our own */
        json_decref(root);
    }
    return true;
}

/* The patterns that a pipeline splits by, one after the other; false when it does more than that. */
static bool patterns_of(const struct pipeline *p, const char *found[MOST_PATTERNS + 1])
{
    size_t n = 0;
    for (size_t i = 0; i < p->splitters.count; i++) {
        const struct step *s = &p->splitters.items[i];
        const char *pattern = NULL;
        if (s->kind == STEP_BYTE_LEVEL && !s->split && !s->prefix)
            continue;
        if (s->kind == STEP_BYTE_LEVEL && !s->prefix)
            pattern = split_pattern(SPLITTER_GPT2);
        else if (s->kind == STEP_SPLIT && s->at == SPLIT_NUMBERS)
            pattern = s->behavior == ISOLATED ? "\\p{N}" : "\\p{N}+";
        else if (s->kind == STEP_SPLIT && s->at == SPLIT_PATTERN && !s->literal && !s->invert &&
                 s->behavior == ISOLATED)
            pattern = s->pattern;
        if (!pattern || n == MOST_PATTERNS)
            return false;
        found[n++] = pattern;
    }
    found[n] = NULL;
    return true;
}

/* Some files write [\r\n] with the characters themselves. */
static bool same_pattern(const char *a, const char *b)
{
    while (*a && *b) {
        char x = *a, y = *b;
        if (x == '\\' && (a[1] == 'r' || a[1] == 'n'))
            x = *++a == 'r' ? '\r' : '\n';
        if (y == '\\' && (b[1] == 'r' || b[1] == 'n'))
            y = *++b == 'r' ? '\r' : '\n';
        if (x != y)
            return false;
        a++;
        b++;
    }
    return *a == *b;
}

static bool same_patterns(const char *const *a, const char *const *b)
{
    for (; *a && *b; a++, b++)
        if (!same_pattern(*a, *b))
            return false;
    return !*a && !*b;
}

const char *gguf_pre_name(const struct tokenizer *t)
{
    const char *found[MOST_PATTERNS + 1];
    enum splitter splitter = t->splitter == SPLITTER_BYTES ? SPLITTER_GPT2 : t->splitter;
    if (t->pipeline && !patterns_of(t->pipeline, found))
        return NULL;
    /* Where each token is what merging its bytes gives, both kinds mean the same. */
    bool either = !t->ignore_merges && tokenizer_merges_suffice(t);
    const char *second = NULL;
    for (size_t i = 0; i < N_KNOWN; i++) {
        const struct pre *p = &known[i];
        if (p->splitter != splitter || (p->patterns && !same_patterns(p->patterns, found)))
            continue;
        if (either || p->whole_words == t->ignore_merges)
            return p->name;
        if (!second && t->ignore_merges)
            second = p->name; /* a few words differ: the caller warns */
    }
    return second;
}
