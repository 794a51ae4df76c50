/* question_parse in every style on arbitrary bytes: what is accepted can be asked. */
#include "data/question.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    for (int style = QUESTION_AUTO; style <= QUESTION_HELLASWAG; style++) {
        struct question q;
        struct error e = {0};
        if (question_parse((const char *)bytes, n, (enum question_style)style, &q, &e) != OK) {
            if (!e.message[0] || strchr(e.message, '\n') || e.code != ERR_FORMAT)
                abort();
        } else if (q.n_choices < 2 || q.n_choices > QUESTION_MOST_CHOICES || !q.context ||
                   q.answer >= q.n_choices) {
            abort();
        }
        for (size_t i = 0; i < q.n_choices; i++)
            if (e.code == OK && !q.choices[i][0])
                abort();
        question_free(&q);
    }
    return 0;
}
