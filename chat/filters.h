/* The two tables of filters, and what both need. */
#ifndef LINNET_CHAT_FILTERS_H
#define LINNET_CHAT_FILTERS_H

#include "chat/render.h"

#define FILTER(name)                                                                               \
    static struct value name(struct render *r, struct value self, const struct value *a,           \
                             const struct arguments *all)
/* Parameters that a filter does not look at. */
#define UNUSED (void)r, (void)self, (void)a, (void)all

extern const struct builtin text_filters[]; /* of text and numbers */
extern const size_t text_filter_count;
extern const struct builtin list_filters[]; /* of lists and dicts */
extern const size_t list_filter_count;

static inline bool filter_given(struct value v)
{
    return v.kind != V_ABSENT && v.kind != V_NONE;
}
int64_t filter_number(struct render *r, struct value v, int64_t otherwise, const char *what);

#endif
