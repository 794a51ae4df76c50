/* imatrix_parse on arbitrary bytes, of either form: what is accepted keeps its promises. */
#include "qat/imatrix.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check_entry(const struct imatrix *im, const struct imatrix_entry *entry)
{
    size_t most = 0;
    if (imatrix_find(im, entry->name) != entry || entry->n == 0 || entry->n % entry->n_experts != 0)
        abort();
    for (size_t i = 0; i < entry->n; i++)
        if (!(entry->values[i] >= 0) || !isfinite(entry->values[i]))
            abort();
    for (size_t i = 0; i < entry->n_experts; i++)
        most = entry->counts[i] > most ? entry->counts[i] : most;
    if (most == 0 || most != entry->count)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct imatrix im;
    struct error e = {0};
    if (imatrix_parse(bytes, n, &im, &e) != OK) {
        if (!e.message[0] || strchr(e.message, '\n') || e.code != ERR_FORMAT || im.entries)
            abort();
        return 0;
    }
    if (im.n_entries == 0)
        abort();
    for (size_t i = 0; i < im.n_entries; i++)
        check_entry(&im, &im.entries[i]);
    imatrix_free(&im);
    return 0;
}
