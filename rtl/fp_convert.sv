// One lane of conversion to fp32, by op_i: 0 int32, 1 int8 (bits 7..0), 2 bf16 (bits 15..0),
// 3 f16 (bits 15..0). int32 rounds to nearest even, the others are exact (docs/arithmetic.md).
//
// Combinational. The latency of the instruction is a delay line behind this cell; synthesis
// retimes the cell into it. A new operand may be presented every cycle.
`default_nettype none

module fp_convert (
    input  wire  [31:0] a_i,
    input  wire  [ 1:0] op_i,
    output logic [31:0] y_o
);

  // Integers and f16 subnormals are a sign and a magnitude to normalize.
  logic        sign;
  logic [31:0] integer_value;
  logic [31:0] magnitude;
  logic [31:0] norm4;
  logic [31:0] norm3;
  logic [31:0] norm2;
  logic [31:0] norm1;
  logic [31:0] norm;
  logic [ 4:0] zeros;
  logic [ 7:0] exponent;
  logic        round_up;
  logic [30:0] normalized;

  always_comb begin
    sign = (op_i == 2'd0) ? a_i[31] : ((op_i == 2'd1) ? a_i[7] : a_i[15]);
    integer_value = (op_i == 2'd0) ? a_i : {{24{a_i[7]}}, a_i[7:0]};
    magnitude = (op_i == 2'd3) ? {22'd0, a_i[9:0]}
        : (integer_value ^ {32{sign}}) + {31'd0, sign};
    zeros[4] = magnitude[31:16] == 16'd0;
    norm4 = zeros[4] ? {magnitude[15:0], 16'd0} : magnitude;
    zeros[3] = norm4[31:24] == 8'd0;
    norm3 = zeros[3] ? {norm4[23:0], 8'd0} : norm4;
    zeros[2] = norm3[31:28] == 4'd0;
    norm2 = zeros[2] ? {norm3[27:0], 4'd0} : norm3;
    zeros[1] = norm2[31:30] == 2'd0;
    norm1 = zeros[1] ? {norm2[29:0], 2'd0} : norm2;
    zeros[0] = ~norm1[31];
    norm = zeros[0] ? {norm1[30:0], 1'd0} : norm1;
    // Bit 31 alone is 2^31, or 2^7 in units of 2^-24.
    exponent = ((op_i == 2'd3) ? 8'd134 : 8'd158) - {3'd0, zeros};
    round_up = norm[7] & (norm[8] | (norm[6:0] != 7'd0));
    normalized = {exponent, norm[30:8]} + {30'd0, round_up};
    if (!norm[31]) normalized = 31'd0;
  end

  always_comb begin
    y_o = {sign, normalized};
    if (op_i == 2'd2) begin
      y_o = {a_i[15:0], 16'd0};
      if (a_i[14:7] == 8'd0) y_o = {sign, 31'd0};
      if (a_i[14:0] > 15'h7f80) y_o = 32'h7fc00000;
    end else if (op_i == 2'd3) begin
      if (a_i[14:10] == 5'd31) begin
        y_o = (a_i[9:0] != 10'd0) ? 32'h7fc00000 : {sign, 8'd255, 23'd0};
      end else if (a_i[14:10] != 5'd0) begin
        y_o = {sign, {3'd0, a_i[14:10]} + 8'd112, a_i[9:0], 13'd0};
      end
    end
  end

endmodule

`default_nettype wire
