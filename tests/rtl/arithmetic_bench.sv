// All arithmetic cells side by side on one pair of operands, for arithmetic_cells_test.cc.
`default_nettype none

module arithmetic_bench (
    input  wire  [31:0] a_i,
    input  wire  [31:0] b_i,
    output logic [31:0] add_o,
    output logic [31:0] sub_o,
    output logic [31:0] mul_o,
    output logic [31:0] min_o,
    output logic [31:0] max_o,
    output logic [31:0] convert_int32_o,
    output logic [31:0] convert_int8_o,
    output logic [31:0] convert_bf16_o,
    output logic [31:0] convert_f16_o,
    output logic [31:0] round_int8_o,
    output logic [31:0] round_int32_o,
    output logic [31:0] round_bf16_o,
    output logic [31:0] round_f16_o,
    output logic [31:0] exp2_o,
    output logic [31:0] reciprocal_o,
    output logic [31:0] rsqrt_o,
    output logic [31:0] log2_o
);

  fp_add u_add (.a_i(a_i), .b_i(b_i), .subtract_i(1'b0), .y_o(add_o));
  fp_add u_sub (.a_i(a_i), .b_i(b_i), .subtract_i(1'b1), .y_o(sub_o));
  fp_mul u_mul (.a_i(a_i), .b_i(b_i), .y_o(mul_o));
  fp_minmax u_min (.a_i(a_i), .b_i(b_i), .max_i(1'b0), .y_o(min_o));
  fp_minmax u_max (.a_i(a_i), .b_i(b_i), .max_i(1'b1), .y_o(max_o));

  fp_convert u_convert_int32 (.a_i(a_i), .op_i(2'd0), .y_o(convert_int32_o));
  fp_convert u_convert_int8 (.a_i(a_i), .op_i(2'd1), .y_o(convert_int8_o));
  fp_convert u_convert_bf16 (.a_i(a_i), .op_i(2'd2), .y_o(convert_bf16_o));
  fp_convert u_convert_f16 (.a_i(a_i), .op_i(2'd3), .y_o(convert_f16_o));

  fp_round u_round_int8 (.a_i(a_i), .op_i(2'd0), .y_o(round_int8_o));
  fp_round u_round_int32 (.a_i(a_i), .op_i(2'd1), .y_o(round_int32_o));
  fp_round u_round_bf16 (.a_i(a_i), .op_i(2'd2), .y_o(round_bf16_o));
  fp_round u_round_f16 (.a_i(a_i), .op_i(2'd3), .y_o(round_f16_o));

  fp_special u_exp2 (.a_i(a_i), .op_i(2'd0), .y_o(exp2_o));
  fp_special u_reciprocal (.a_i(a_i), .op_i(2'd1), .y_o(reciprocal_o));
  fp_special u_rsqrt (.a_i(a_i), .op_i(2'd2), .y_o(rsqrt_o));
  fp_special u_log2 (.a_i(a_i), .op_i(2'd3), .y_o(log2_o));

endmodule

`default_nettype wire
