/* Rows of a dataset that are like others. */
#include "base/memory.h"
#include "data/dataset_check.h"

#include <stdlib.h>

struct key {
    uint64_t hash;
    size_t row;
};

static int compare_keys(const void *a, const void *b)
{
    const struct key *x = a, *y = b;
    return x->hash != y->hash ? (x->hash > y->hash) - (x->hash < y->hash) : (x->row > y->row) - (x->row < y->row);
}

static int compare_pairs(const void *a, const void *b)
{
    const struct check_pair *x = a, *y = b;
    return (x->row > y->row) - (x->row < y->row);
}

static bool by_prompt(enum check_kind kind)
{
    return kind == CHECK_OTHER_ANSWER || kind == CHECK_LEAKED_PROMPT;
}

/* The rows that are examples with that hash, and of them all to train on, sorted. */
static size_t sort_keys(const struct dataset_check *c, enum check_kind kind, struct key *keys)
{
    size_t n = 0;
    for (size_t i = 0; i < c->count; i++) {
        const struct check_row *row = &c->rows[i];
        uint64_t hash = by_prompt(kind) ? row->prompt : row->whole;
        bool unpaired = row->schema == SCHEMA_UNPAIRED || row->schema == SCHEMA_UNPAIRED_MESSAGES;
        bool dropped = row->answers && !row->kept;
        if (!row->bad && hash && !dropped && !(unpaired && kind == CHECK_OTHER_ANSWER))
            keys[n++] = (struct key){hash, i};
    }
    qsort(keys, n, sizeof *keys, compare_keys);
    return n;
}

/* Whether `row` and the first row to train on of its group are a pair of the kind. `same`: some row of the group that is
 * trained on is wholly like it. */
static bool is_pair(const struct check_row *row, const struct check_row *other, enum check_kind kind, bool same)
{
    bool held_out = kind == CHECK_LEAKED || kind == CHECK_LEAKED_PROMPT;
    if (row->held != held_out || row == other)
        return false;
    return kind == CHECK_OTHER_ANSWER ? row->answer != other->answer : kind == CHECK_LEAKED_PROMPT ? !same : true;
}

/* Whether a row to train on before keys[i] of the group has the same answer: then it is no further answer. */
static bool has_like(const struct dataset_check *c, const struct key *group, size_t n, size_t row)
{
    enum { LOOKED_AT = 1000 }; /* so that a dataset of one prompt does not take forever */
    for (size_t i = 0; i < n && i < LOOKED_AT; i++)
        if (group[i].row != row && !c->rows[group[i].row].held && c->rows[group[i].row].answer == c->rows[row].answer)
            return true;
    return false;
}

size_t dataset_check_pairs(const struct dataset_check *c, enum check_kind kind, struct check_pair **pairs)
{
    struct key *keys = mem_alloc(c->count, sizeof *keys);
    struct check_pair *found = mem_alloc(c->count, sizeof *found);
    size_t n = sort_keys(c, kind, keys), n_found = 0;
    for (size_t begin = 0, end; begin < n; begin = end) {
        size_t first = SIZE_MAX;
        for (end = begin; end < n && keys[end].hash == keys[begin].hash; end++)
            if (first == SIZE_MAX && !c->rows[keys[end].row].held)
                first = keys[end].row;
        for (size_t i = begin; i < end && first != SIZE_MAX; i++) {
            size_t row = keys[i].row;
            bool same = kind == CHECK_LEAKED_PROMPT && has_like(c, keys + begin, end - begin, row);
            if (is_pair(&c->rows[row], &c->rows[first], kind, same))
                found[n_found++] = (struct check_pair){row, first};
        }
    }
    qsort(found, n_found, sizeof *found, compare_pairs);
    mem_free(keys);
    *pairs = found;
    return n_found;
}
