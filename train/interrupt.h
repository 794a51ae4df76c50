/* SIGINT, SIGTERM and SIGHUP as a request: the loop finishes its step, saves and returns. A second signal
 * ends the process. */
#ifndef LINNET_TRAIN_INTERRUPT_H
#define LINNET_TRAIN_INTERRUPT_H

#include <stdbool.h>

void interrupt_install(void);
void interrupt_restore(void);
bool interrupt_requested(void);

#endif
