/* An importance matrix (qat/imatrix.h) of what was measured while text ran through a model. */
#ifndef LINNET_EXPORT_IMATRIX_COLLECT_H
#define LINNET_EXPORT_IMATRIX_COLLECT_H

#include "infer/importance.h"
#include "qat/imatrix.h"

/* The means of what was collected (at least a chunk: CHECK). `dataset` is copied. */
void imatrix_collect(struct imatrix *im, const struct importance *from, const char *dataset);

#endif
