// One lane of conversion from fp32 to nearest even, by op_i: 0 int8 saturating at +-127,
// 1 int32 saturating, 2 bf16, 3 f16 (docs/arithmetic.md). An int8 is sign-extended to y_o, a bf16
// or f16 is zero-extended.
//
// Combinational. The latency of the instruction is a delay line behind this cell; synthesis
// retimes the cell into it. A new operand may be presented every cycle.
`default_nettype none

module fp_round (
    input  wire  [31:0] a_i,
    input  wire  [ 1:0] op_i,
    output logic [31:0] y_o
);

  // One right shifter serves all: it leaves the significand of the result (or the integer) above
  // the rounding bit. What is added to it is the exponent field less the hidden bit.
  logic        sign;
  logic [ 7:0] exponent;
  logic        f16_normal;
  logic [ 7:0] shift;
  logic [ 5:0] capped;
  logic [32:0] significand;
  logic [32:0] shifted;
  logic        sticky;
  logic [15:0] field;
  logic [31:0] magnitude;

  always_comb begin
    sign = a_i[31];
    exponent = a_i[30:23];
    f16_normal = exponent >= 8'd113;
    case (op_i)
      2'd2: shift = 8'd24;
      2'd3: shift = f16_normal ? 8'd21 : 8'd134 - exponent;
      default: shift = 8'd158 - exponent;
    endcase
    capped = (shift[7:6] != 2'd0) ? 6'd63 : shift[5:0];
    significand = {1'b1, a_i[22:0], 9'd0};
    shifted = significand >> capped;
    sticky = (significand & ~(33'h1ffffffff << capped)) != 33'd0;
    case (op_i)
      2'd2: field = {1'b0, exponent - 8'd1, 7'd0};
      2'd3: field = f16_normal ? {1'b0, exponent[4:0] - 5'd17, 10'd0} : 16'd0;
      default: field = 16'd0;
    endcase
    magnitude = shifted[32:1] + {16'd0, field} + {31'd0, shifted[0] & (sticky | shifted[1])};
  end

  logic        nan;
  logic [31:0] saturated;

  always_comb begin
    nan = a_i[30:0] > 31'h7f800000;
    saturated = magnitude;
    if (op_i == 2'd0 && (exponent >= 8'd134 || magnitude > 32'd127)) saturated = 32'd127;
    case (op_i)
      2'd2: begin
        y_o = {16'd0, sign, magnitude[14:0]};
        if (exponent == 8'd0) y_o = {16'd0, sign, 15'd0};
        if (exponent == 8'd255) y_o = {16'd0, sign, 15'h7f80};
        if (nan) y_o = 32'h00007fc0;
      end
      2'd3: begin
        y_o = {16'd0, sign, magnitude[14:0]};
        if (exponent >= 8'd143) y_o = {16'd0, sign, 15'h7c00};
        if (nan) y_o = 32'h00007e00;
      end
      default: begin
        y_o = (saturated ^ {32{sign}}) + {31'd0, sign};
        if (op_i == 2'd1 && exponent >= 8'd158) y_o = {sign, {31{~sign}}};
        if (nan) y_o = 32'd0;
      end
    endcase
  end

endmodule

`default_nettype wire
