/* Multiple-choice questions, a line of .jsonl each, as the datasets have them:
 *
 *   {"question": "...", "choices": ["...", ...], "answer": 2}
 *   ARC:        {"question": "...", "choices": {"text": [...], "label": ["A", ...]}, "answerKey":
 * "C"} HellaSwag:  {"activity_label": "...", "ctx_a": "...", "ctx_b": "...", "endings": [...],
 * "label": "3"}
 *
 * The context is "question", "query", "prompt" or "ctx"; the choices are "choices" or "endings";
 * the answer is "answer", "gold", "label", "answerKey" or "target": the place of a choice from 0 (a
 * number, or one in a string), a label, a letter from A, or a choice itself. */
#ifndef LINNET_DATA_QUESTION_H
#define LINNET_DATA_QUESTION_H

#include "base/error.h"

#include <stddef.h>

/* What becomes the context; as in EleutherAI's lm-evaluation-harness (its task definitions). */
enum question_style {
    QUESTION_AUTO,      /* HellaSwag's or ARC's where a line has all their members, else plain */
    QUESTION_PLAIN,     /* the texts as they are */
    QUESTION_ARC,       /* "Question: ...\nAnswer:" */
    QUESTION_HELLASWAG, /* "activity: ctx_a Ctx_b"; marks such as [step] are taken out */
};

enum { QUESTION_MOST_CHOICES = 100 };

struct question {
    char *context; /* may be empty */
    char **choices;
    size_t n_choices; /* 2 to QUESTION_MOST_CHOICES, none of them empty */
    size_t answer;
};

/* Parses one line of n bytes; question_free in any case. ERR_FORMAT says what is missing or wrong
 * in the line. HellaSwag's ctx_b is capitalised as far as ASCII goes. */
int question_parse(const char *line, size_t n, enum question_style style, struct question *q,
                   struct error *e);
void question_free(struct question *q);

#endif
