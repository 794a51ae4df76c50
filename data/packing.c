#include "data/packing.h"

#include "base/check.h"
#include "base/memory.h"

#include <stdint.h>
#include <string.h>

/* Rows by the room that is left in them, 0 to capacity. Rows with the same room are a list, the youngest first; a binary
 * tree over the rooms says where lists are not empty. Its root is node 1, the children of node i are 2 i and 2 i + 1, and
 * room r is leaf n_leaves + r. */
struct rooms {
    size_t n_leaves;
    unsigned char *any; /* (2 * n_leaves) whether there is a row below this node */
    size_t *newest;     /* (capacity + 1) the first row of a list, or NONE */
    size_t *next;       /* (rows) the one behind it, or NONE */
};
static const size_t NONE = (size_t)-1;

static void rooms_init(struct rooms *r, size_t capacity, size_t most_rows)
{
    r->n_leaves = 1;
    while (r->n_leaves <= capacity)
        r->n_leaves *= 2;
    r->any = mem_zero(2 * r->n_leaves, sizeof *r->any);
    r->newest = mem_alloc(capacity + 1, sizeof *r->newest);
    for (size_t i = 0; i <= capacity; i++)
        r->newest[i] = NONE;
    r->next = mem_alloc(most_rows, sizeof *r->next);
}

static void rooms_free(struct rooms *r)
{
    mem_free(r->any);
    mem_free(r->newest);
    mem_free(r->next);
}

static void rooms_add(struct rooms *r, size_t room, size_t row)
{
    r->next[row] = r->newest[room];
    r->newest[room] = row;
    for (size_t node = r->n_leaves + room; node > 0 && !r->any[node]; node /= 2)
        r->any[node] = 1;
}

/* Takes out a row with at least `room`, of those one with the least; NONE if there is none. *found: its room. */
static size_t rooms_take(struct rooms *r, size_t room, size_t *found)
{
    size_t node = r->n_leaves + room;
    if (!r->any[node]) { /* up to the first subtree of larger rooms that is not empty, and to its smallest */
        while (node > 1 && (node % 2 == 1 || !r->any[node + 1]))
            node /= 2;
        if (node <= 1)
            return NONE;
        for (node++; node < r->n_leaves;)
            node = r->any[2 * node] ? 2 * node : 2 * node + 1;
    }
    *found = node - r->n_leaves;
    size_t row = r->newest[*found];
    r->newest[*found] = r->next[row];
    if (r->newest[*found] == NONE)
        for (r->any[node] = 0; node > 1 && !r->any[node ^ 1]; r->any[node] = 0)
            node /= 2;
    return row;
}

/* Numbers of examples, the longest first, equal ones in their order: by counting. */
static size_t *longest_first(const size_t *lengths, size_t n, size_t capacity)
{
    size_t *order = mem_alloc(n, sizeof *order), *at = mem_zero(capacity + 2, sizeof *at);
    for (size_t i = 0; i < n; i++)
        at[capacity - lengths[i] + 1]++;
    for (size_t i = 0; i < capacity; i++)
        at[i + 1] += at[i];
    for (size_t i = 0; i < n; i++)
        order[at[capacity - lengths[i]]++] = i;
    mem_free(at);
    return order;
}

/* Chooses a row for each example and counts those of row r in p->begin[r + 1]. */
static void choose_rows(struct packing *p, const size_t *lengths, const size_t *order, size_t n, size_t *row_of)
{
    struct rooms rooms;
    rooms_init(&rooms, p->capacity, n);
    for (size_t i = 0; i < n; i++) {
        size_t length = lengths[order[i]], room;
        size_t row = rooms_take(&rooms, length, &room);
        if (row == NONE) {
            row = p->n_rows++;
            room = p->capacity;
        }
        row_of[order[i]] = row;
        p->begin[row + 1]++;
        rooms_add(&rooms, room - length, row);
    }
    rooms_free(&rooms);
}

static void packing_init(struct packing *p, const size_t *lengths, size_t n, size_t capacity)
{
    CHECK(capacity > 0 && capacity <= INT32_MAX);
    *p = (struct packing){.capacity = capacity};
    for (size_t i = 0; i < n; i++) {
        CHECK(lengths[i] <= capacity);
        p->used += lengths[i];
    }
    p->begin = mem_zero(n + 1, sizeof *p->begin);
    p->items = mem_alloc(n, sizeof *p->items);
}

void packing_best_fit(struct packing *p, const size_t *lengths, size_t n, size_t capacity)
{
    packing_init(p, lengths, n, capacity);
    size_t *order = longest_first(lengths, n, capacity), *row_of = mem_alloc(n, sizeof *row_of);
    choose_rows(p, lengths, order, n, row_of);
    for (size_t r = 0; r < p->n_rows; r++)
        p->begin[r + 1] += p->begin[r];
    for (size_t i = 0; i < n; i++)
        p->items[p->begin[row_of[order[i]]]++] = order[i];
    memmove(p->begin + 1, p->begin, p->n_rows * sizeof *p->begin); /* each had moved to the next one's */
    p->begin[0] = 0;
    mem_free(order);
    mem_free(row_of);
}

void packing_one_each(struct packing *p, const size_t *lengths, size_t n, size_t capacity)
{
    packing_init(p, lengths, n, capacity);
    p->n_rows = n;
    for (size_t i = 0; i < n; i++) {
        p->items[i] = i;
        p->begin[i + 1] = i + 1;
    }
}

void packing_free(struct packing *p)
{
    mem_free(p->begin);
    mem_free(p->items);
    *p = (struct packing){0};
}

double packing_share(const struct packing *p)
{
    return p->n_rows ? (double)p->used / ((double)p->n_rows * (double)p->capacity) : 1;
}
