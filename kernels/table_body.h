/* The one list of what a kernel level provides. Included last by the variant files. */
const struct kernel_table TABLE = {
    .dot = row_dot,
    .axpy = row_axpy,
    .scale = row_scale,
    .scale_to_bf16 = row_scale_to_bf16,
    .max = row_max,
    .exp = row_exp,
    .exp_sum = row_exp_sum,
    .swiglu_forward = row_swiglu_forward,
    .swiglu_backward = row_swiglu_backward,
    .residual_add = row_residual_add,
    .residual_add_backward = row_residual_add_backward,
    .adamw = row_adamw,
    .scale_add = row_scale_add,
    .apply_update = row_apply_update,
    .sum_of_squares = row_sum_of_squares,
    .rmsnorm_forward = row_rmsnorm_forward,
    .rmsnorm_backward = row_rmsnorm_backward,
    .rotate = row_rotate,
    .few_rows = SIMD_WIDTH == 16  ? 48
                : SIMD_WIDTH == 8 ? 24
                                  : 4,
    .product_few_rows = product_few_rows,
    .attention_forward = attention_forward_task,
    .attention_forward_scratch = attention_forward_scratch,
    .attention_backward = attention_backward_task,
    .attention_backward_scratch = attention_backward_scratch,
};
