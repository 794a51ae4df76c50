/* type_overrides_parse on arbitrary bytes: what is accepted keeps its promises. */
#include "qat/types.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct parsed_wishes p = {0};
    struct error e = {0};
    const int code = type_overrides_parse((const char *)bytes, n, "file", &p, &e);
    if (code != OK && (!e.message[0] || strchr(e.message, '\n') || e.code != ERR_USAGE))
        abort();
    if (code == OK && p.wishes.n_overrides == 0)
        abort();
    for (size_t i = 0; i < p.wishes.n_overrides; i++) {
        const struct type_override *o = &p.wishes.overrides[i];
        if (!o->pattern[0] || strchr(o->pattern, '\n') || !dtype_info(o->type) || strncmp(o->where, "file:", 5) != 0)
            abort();
    }
    type_wishes_free(&p);
    return 0;
}
