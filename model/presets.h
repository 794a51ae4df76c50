/* Shapes of published models by name, as configurations: to measure with, to start from. */
#ifndef LINNET_MODEL_PRESETS_H
#define LINNET_MODEL_PRESETS_H

#include "base/options.h"

enum { MODEL_PRESET_NONE, N_MODEL_PRESETS = 14 };
/* An option's choices, NULL-terminated: "none" and the names. */
extern const char *const model_preset_names[N_MODEL_PRESETS + 1];

/* Sets the keys of `model:` that a preset (index into the names) gives, where nothing but a default has spoken so far:
 * a file, --set and flags are stronger. The options must have that section. */
void model_preset_apply(int preset, struct options *o);

#endif
