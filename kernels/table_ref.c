/* The kernel table in portable C. */
#define SIMD_WIDTH 4
#include "kernels/table.h"

#include "kernels/rows_body.h"
#include "kernels/soft_targets_body.h"
#include "kernels/tile_body.h"
#include "kernels/widen_body.h"

#include "kernels/product_body.h"
#include "kernels/moments_body.h"
#include "kernels/update_body.h"

#include "kernels/attention_body.h"

#define TABLE kernel_table_ref
#include "kernels/table_body.h"
