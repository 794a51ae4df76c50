#include "formats/hdf5_private.h"

struct each_attribute {
    void (*visit)(void *, const char *);
    void *context;
};

static herr_t visit_attribute(hid_t group, const char *name, const H5A_info_t *info, void *context)
{
    (void)group;
    (void)info;
    struct each_attribute *each = context;
    each->visit(each->context, name);
    return 0;
}

int hdf5_each_attribute(struct hdf5_file *f, void (*visit)(void *context, const char *name),
                        void *context, struct error *e)
{
    struct each_attribute each = {visit, context};
    hsize_t at = 0;
    if (H5Aiterate2(f->id, H5_INDEX_NAME, H5_ITER_INC, &at, visit_attribute, &each) < 0)
        return hdf5_error(f, e, "attributes: cannot list");
    return OK;
}
