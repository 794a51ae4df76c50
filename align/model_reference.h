/* A reference that costs no memory: the very model that trains, with its adapter off. */
#ifndef LINNET_ALIGN_MODEL_REFERENCE_H
#define LINNET_ALIGN_MODEL_REFERENCE_H

#include "align/reference.h"
#include "lora/adapter.h"

/* Must not move once model_reference_init has filled it. */
struct model_reference {
    struct reference reference;
    struct lora_adapter *adapter;
};

/* The adapter is attached, and is the last that was: it is detached for the time of each pass. */
void model_reference_init(struct model_reference *r, struct lora_adapter *adapter);

#endif
