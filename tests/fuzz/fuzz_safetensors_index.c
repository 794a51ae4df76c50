/* safetensors_index_parse on arbitrary bytes: what it accepts is sorted, unique, bare. */
#include "formats/safetensors.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check(const struct safetensors_index *index)
{
    if (index->n_files == 0 || index->n_files > index->n_tensors)
        abort();
    for (size_t i = 0; i < index->n_files; i++) {
        const char *file = index->files[i];
        if (strchr(file, '/') || strcmp(file, "..") == 0 || strlen(file) > 255 ||
            (i && strcmp(index->files[i - 1], file) >= 0))
            abort();
    }
    for (size_t i = 0; i < index->n_tensors; i++) {
        const struct safetensors_place *t = &index->tensors[i];
        if (t->file >= index->n_files || (i && strcmp(t[-1].name, t->name) >= 0))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct safetensors_index index;
    struct error e = {0};
    if (safetensors_index_parse((const char *)bytes, n, &index, &e) == OK)
        check(&index);
    else if (!e.message[0] || strchr(e.message, '\n') || e.code != ERR_FORMAT)
        abort();
    safetensors_index_free(&index);
    return 0;
}
