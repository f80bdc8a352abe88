// One lane of fp32 multiplication: y = a * b to nearest even, subnormals flushed, NaN canonical
// (docs/arithmetic.md; isa/arithmetic.cc mul).
//
// Combinational. The latency of the instruction is a delay line behind this cell; synthesis
// retimes the cell into it. A new pair may be presented every cycle.
`default_nettype none

module fp_mul (
    input  wire  [31:0] a_i,
    input  wire  [31:0] b_i,
    output logic [31:0] y_o
);

  logic        sign;
  logic        a_zero;
  logic        b_zero;
  logic        a_special;
  logic        b_special;
  logic [47:0] product;
  logic [23:0] kept;
  logic        half;
  logic        rest;
  logic [ 9:0] exponent;
  logic [32:0] packed_result;

  always_comb begin
    sign = a_i[31] ^ b_i[31];
    a_zero = a_i[30:23] == 8'd0;
    b_zero = b_i[30:23] == 8'd0;
    a_special = a_i[30:23] == 8'd255;
    b_special = b_i[30:23] == 8'd255;
    product = {24'd0, 1'b1, a_i[22:0]} * {24'd0, 1'b1, b_i[22:0]};
    kept = product[47] ? product[47:24] : product[46:23];
    half = product[47] ? product[23] : product[22];
    rest = (product[21:0] != 22'd0) || (product[47] && product[22]);
    // Two's complement; the hidden bit of kept adds the one that makes it -127.
    exponent = {2'd0, a_i[30:23]} + {2'd0, b_i[30:23]} - 10'd128 + {9'd0, product[47]};
    packed_result = {exponent, 23'd0} + {9'd0, kept} + {32'd0, half & (rest | kept[0])};
  end

  always_comb begin
    if (a_special || b_special) begin
      if ((a_special && a_i[22:0] != 23'd0) || (b_special && b_i[22:0] != 23'd0) || a_zero
          || b_zero) begin
        y_o = 32'h7fc00000;
      end else begin
        y_o = {sign, 8'd255, 23'd0};
      end
    end else if (a_zero || b_zero || packed_result[32] || packed_result[31:23] == 9'd0) begin
      y_o = {sign, 31'd0};
    end else if (packed_result[31:23] >= 9'd255) begin
      y_o = {sign, 8'd255, 23'd0};
    end else begin
      y_o = {sign, packed_result[30:0]};
    end
  end

endmodule

`default_nettype wire
