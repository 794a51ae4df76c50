#include "cli/reference_making.h"

#include "align/reference_measure.h"
#include "cli/command.h"
#include "model/fingerprint.h"
#include "train/interrupt.h"

struct reference_description reference_describe(struct tuned *t, const struct train_settings *s)
{
    static char producer[] = "linnet " LINNET_VERSION;
    bool attached = t->adapter.attached;
    if (attached)
        lora_detach(&t->adapter);
    const struct reference_description d = {
        .model = t->options->model,
        .model_hash = model_weights_hash(&t->model),
        .tokenizer_hash = tokenizer_hash(t->tokenizer),
        .products = (char *)reference_products(&t->model, train_product_type(s)),
        .producer = producer,
    };
    if (attached)
        lora_attach(&t->adapter);
    return d;
}

int reference_make(struct tuned *t, const struct dataset *d, const struct train_settings *s, const char *path,
                   struct reference_table *table, struct error *e)
{
    const struct reference_description made_with = reference_describe(t, s);
    enum dtype type = train_product_type(s);
    interrupt_install();
    int code = reference_measure(&t->model, type, &d->train, s->batch_size, s->max_seq_length, "reference", table, e);
    if (!code)
        code = reference_measure(&t->model, type, &d->validation, s->batch_size, s->max_seq_length, "reference, held out",
                                 table, e);
    interrupt_restore();
    reference_table_sort(table);
    if (code == ERR_INTERRUPTED)
        error_set(e, code, "interrupted: %s was not written", path);
    return code ? code : reference_file_write(path, table, &made_with, e);
}
