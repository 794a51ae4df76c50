/* Colours of results on a terminal. */
#ifndef LINNET_CLI_COLOUR_H
#define LINNET_CLI_COLOUR_H

#include <stdbool.h>
#include <stdio.h>

#define COLOUR_NONE "\033[0m"
#define COLOUR_BOLD "\033[1m"
#define COLOUR_DIM "\033[2m"
#define COLOUR_RED "\033[31m"
#define COLOUR_GREEN "\033[32m"
#define COLOUR_YELLOW "\033[33m"

/* Whether `out` is a terminal that shows them: not with TERM=dumb, nor where NO_COLOR is set to anything
 * (https://no-color.org). */
bool colour_wanted(FILE *out);

#endif
