/* A dump as a teacher: of batches whose target numbers are the dump's positions. */
#ifndef LINNET_DISTILL_DUMP_TEACHER_H
#define LINNET_DISTILL_DUMP_TEACHER_H

#include "distill/dump.h"
#include "distill/teacher.h"

/* Borrows the dump, which nobody else may read meanwhile. */
struct teacher dump_teacher(struct dump *d);

#endif
