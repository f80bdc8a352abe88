// One lane of fp32 addition and subtraction: y = a + b, or a - b where subtract_i is high, to
// nearest even, subnormals flushed, NaN canonical (docs/arithmetic.md; isa/arithmetic.cc add, sub).
//
// Combinational. The latency of the instruction is a delay line behind this cell; synthesis
// retimes the cell into it. A new pair may be presented every cycle.
`default_nettype none

module fp_add (
    input  wire  [31:0] a_i,
    input  wire  [31:0] b_i,
    input  wire         subtract_i,
    output logic [31:0] y_o
);

  // The operand of larger magnitude keeps its place, the other is shifted right behind it.
  logic        b_sign;
  logic        swap;
  logic [31:0] greater;
  logic [31:0] lesser;
  logic [ 7:0] distance;
  logic [ 4:0] align;
  logic [26:0] lesser_full;
  logic [26:0] lesser_kept;
  logic        sticky;
  logic        opposite;
  logic [27:0] sum;

  always_comb begin
    b_sign = b_i[31] ^ subtract_i;
    swap = a_i[30:0] < b_i[30:0];
    greater = swap ? {b_sign, b_i[30:0]} : a_i;
    lesser = swap ? a_i : {b_sign, b_i[30:0]};
    distance = greater[30:23] - lesser[30:23];
    align = (distance[7:5] != 3'd0) ? 5'd31 : distance[4:0];
    lesser_full = (lesser[30:23] == 8'd0) ? 27'd0 : {1'b1, lesser[22:0], 3'd0};
    lesser_kept = lesser_full >> align;
    sticky = (lesser_full & ~(27'h7ffffff << align)) != 27'd0;
    opposite = greater[31] ^ lesser[31];
    // One adder: subtracting is adding the complement and a one.
    sum = {2'd1, greater[22:0], 3'd0}
        + ({1'b0, lesser_kept[26:1], lesser_kept[0] | sticky} ^ {28{opposite}})
        + {27'd0, opposite};
  end

  // To the left until bit 27 is set; bit 27 is a carry out of the significand.
  logic [27:0] norm4;
  logic [27:0] norm3;
  logic [27:0] norm2;
  logic [27:0] norm1;
  logic [27:0] norm;
  logic [ 4:0] zeros;

  always_comb begin
    zeros[4] = sum[27:12] == 16'd0;
    norm4 = zeros[4] ? {sum[11:0], 16'd0} : sum;
    zeros[3] = norm4[27:20] == 8'd0;
    norm3 = zeros[3] ? {norm4[19:0], 8'd0} : norm4;
    zeros[2] = norm3[27:24] == 4'd0;
    norm2 = zeros[2] ? {norm3[23:0], 4'd0} : norm3;
    zeros[1] = norm2[27:26] == 2'd0;
    norm1 = zeros[1] ? {norm2[25:0], 2'd0} : norm2;
    zeros[0] = ~norm1[27];
    norm = zeros[0] ? {norm1[26:0], 1'd0} : norm1;
  end

  logic [ 9:0] exponent;
  logic        round_up;
  logic [31:0] packed_result;

  always_comb begin
    exponent = {2'd0, greater[30:23]} + 10'd1 - {5'd0, zeros};
    round_up = norm[3] & (norm[4] | (norm[2:0] != 3'd0));
    packed_result = {exponent[8:0], norm[26:4]} + {31'd0, round_up};
    if (greater[30:23] == 8'd255) begin
      if (greater[22:0] != 23'd0 || (opposite && lesser[30:23] == 8'd255)) begin
        y_o = 32'h7fc00000;
      end else begin
        y_o = greater;
      end
    end else if (greater[30:23] == 8'd0) begin
      y_o = {greater[31] & lesser[31], 31'd0};
    end else if (!norm[27]) begin
      y_o = 32'd0;
    end else if (exponent[9] || exponent == 10'd0) begin
      y_o = {greater[31], 31'd0};
    end else if (packed_result[31:23] >= 9'd255) begin
      y_o = {greater[31], 8'd255, 23'd0};
    end else begin
      y_o = {greater[31], packed_result[30:0]};
    end
  end

endmodule

`default_nettype wire
