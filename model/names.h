/* What parameters are called in the containers of others. */
#ifndef LINNET_MODEL_NAMES_H
#define LINNET_MODEL_NAMES_H

#include "model/architecture.h"

/* The pattern of a role's name in GGUF files or in Hugging Face's: "%d" stands for the layer, "%e" for the
 * expert. */
const char *role_name(const struct architecture *a, enum param_role role, bool gguf);
/* What linnet calls it itself: Hugging Face's name where that is of one parameter alone, else what most
 * families call it. */
const char *role_own_name(const struct architecture *a, enum param_role role);

/* The pattern with its numbers, into `out` of PARAM_NAME_SIZE bytes. */
void param_name(char *out, const char *pattern, int layer, int expert);

#endif
