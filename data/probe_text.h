/* A few paragraphs of general English, written for linnet: how well a model predicts them before and after it is
 * fine-tuned shows what it forgot. It never changes, so that runs can be compared. */
#ifndef LINNET_DATA_PROBE_TEXT_H
#define LINNET_DATA_PROBE_TEXT_H

extern const char probe_text[];

#endif
