#include "export/imatrix_collect.h"

#include "base/check.h"
#include "base/memory.h"

#include <string.h>

static struct imatrix_entry mean_squares(const struct importance_input *input)
{
    struct imatrix_entry entry = {.name = mem_string(input->name), .n = input->n_experts * input->n_cols,
                                  .n_experts = input->n_experts};
    entry.values = mem_alloc(entry.n, sizeof *entry.values);
    entry.counts = mem_alloc(entry.n_experts, sizeof *entry.counts);
    memcpy(entry.counts, input->counts, entry.n_experts * sizeof *entry.counts);
    for (size_t i = 0; i < entry.n; i++) {
        size_t count = entry.counts[i / input->n_cols];
        entry.values[i] = count ? (float)(input->sums[i] / (double)count) : 1;
    }
    for (size_t i = 0; i < entry.n_experts; i++)
        if (entry.counts[i] > entry.count)
            entry.count = entry.counts[i];
    return entry;
}

void imatrix_collect(struct imatrix *im, const struct importance *from, const char *dataset)
{
    CHECK(from->n_chunks > 0);
    *im = (struct imatrix){.entries = mem_alloc(from->n_inputs, sizeof *im->entries),
                           .dataset = mem_string(dataset), .n_chunks = from->n_chunks,
                           .chunk_size = from->context};
    for (size_t i = 0; i < from->n_inputs; i++)
        im->entries[im->n_entries++] = mean_squares(&from->inputs[i]);
    CHECK(imatrix_put_in_order(im, NULL) == OK);
}
