// One lane of the special functions, by op_i: 0 exp2, 1 reciprocal, 2 rsqrt, 3 log2. A quadratic
// from a table of 640 rows, within 1 ulp (docs/arithmetic.md; isa/arithmetic.cc). The multipliers
// are 15 x 17 and 22 x 17 bits for all, and 24 x 28 for log2 alone.
//
// Combinational. The latency of the instruction is a delay line behind this cell; synthesis
// retimes the cell into it. A new operand may be presented every cycle.
`default_nettype none

module fp_special (
    input  wire  [31:0] a_i,
    input  wire  [ 1:0] op_i,
    output logic [31:0] y_o
);

  logic        sign;
  logic [ 7:0] exponent;
  logic [22:0] fraction;
  logic        is_exp2;

  always_comb begin
    sign = a_i[31];
    exponent = a_i[30:23];
    fraction = a_i[22:0];
    is_exp2 = op_i == 2'd0;
  end

  // exp2: a in units of 2^-24, two's complement. Meant for exponents 102 to 133.
  logic [ 4:0] fixed_shift;
  logic [31:0] fixed_full;
  logic [31:0] fixed_magnitude;
  logic [31:0] fixed;

  always_comb begin
    fixed_shift = 5'd5 - exponent[4:0];
    fixed_full = {1'b1, fraction, 8'd0} >> fixed_shift;
    fixed_magnitude = {1'b0, fixed_full[31:1]} + {31'd0, fixed_full[0]};
    fixed = (fixed_magnitude ^ {32{sign}}) + {31'd0, sign};
  end

  // The row and the quadratic.
  logic [ 9:0] row;
  logic [16:0] offset;
  logic [63:0] word;
  logic [14:0] bend;
  logic [21:0] slope;
  logic [21:0] step;
  logic [27:0] value;
  logic [24:0] rounded;

  always_comb begin
    offset = {fraction[15:0], 1'b0};
    case (op_i)
      2'd0: begin
        row = {3'd0, fixed[23:17]};
        offset = fixed[16:0];
      end
      2'd1: row = {3'd1, fraction[22:16]};
      2'd2: row = {2'd1, ~exponent[0], fraction[22:16]};
      default: row = {3'd4, fraction[22:16]};
    endcase
    word = special_function_pkg::special_row(row);
    bend = 15'(({17'd0, word[63:49]} * {15'd0, offset}) >> 17);
    slope = word[48:27] + ({7'd0, bend} ^ {22{~is_exp2}}) + {21'd0, ~is_exp2};
    step = 22'(({17'd0, slope} * {22'd0, offset}) >> 17);
    value = {1'b1, word[26:0]} + ({6'd0, step} ^ {28{~is_exp2}}) + {27'd0, ~is_exp2};
    rounded = {1'b0, value[27:4]} + {24'd0, value[3]};
  end

  // log2: whole + t * g, in units of 2^-51, as sign and magnitude.
  logic        upper;
  logic [23:0] t;
  logic [51:0] product;
  logic [ 8:0] whole;
  logic [ 7:0] whole_magnitude;
  logic        negative;
  logic        subtract;
  logic [58:0] sum;
  logic [55:0] norm5;
  logic [39:0] norm4;
  logic [31:0] norm3;
  logic [27:0] norm2;
  logic [25:0] norm1;
  logic [24:0] norm;
  logic [ 5:0] zeros;
  logic [30:0] log2_packed;

  always_comb begin
    upper = fraction[22];
    t = upper ? {1'b1, 23'd0} - {1'b0, fraction} : {fraction, 1'b0};
    product = {28'd0, t} * {24'd0, value};
    whole = {1'b0, exponent} - 9'd127 + {8'd0, upper};
    whole_magnitude = (whole[7:0] ^ {8{whole[8]}}) + {7'd0, whole[8]};
    negative = (whole == 9'd0) ? upper : whole[8];
    subtract = negative ^ upper;
    sum = {whole_magnitude, 51'd0} + ({7'd0, product} ^ {59{subtract}}) + {58'd0, subtract};
    // To the left until the top bit is set, dropping what cannot reach the 25 bits kept.
    zeros[5] = sum[58:27] == 32'd0;
    norm5 = zeros[5] ? {sum[26:0], 29'd0} : sum[58:3];
    zeros[4] = norm5[55:40] == 16'd0;
    norm4 = zeros[4] ? norm5[39:0] : norm5[55:16];
    zeros[3] = norm4[39:32] == 8'd0;
    norm3 = zeros[3] ? norm4[31:0] : norm4[39:8];
    zeros[2] = norm3[31:28] == 4'd0;
    norm2 = zeros[2] ? norm3[27:0] : norm3[31:4];
    zeros[1] = norm2[27:26] == 2'd0;
    norm1 = zeros[1] ? norm2[25:0] : norm2[27:2];
    zeros[0] = ~norm1[25];
    norm = zeros[0] ? norm1[24:0] : norm1[25:1];
    // Bit 58 alone is 2^7; the hidden bit adds one to the field.
    log2_packed = {8'd133 - {2'd0, zeros}, 23'd0} + {7'd0, norm[24:1]} + {30'd0, norm[0]};
  end

  // The exponent field of the three others, less the hidden bit.
  logic [ 7:0] field;
  logic [30:0] packed_result;
  logic        is_nan;
  logic        is_zero;
  logic        is_infinite;

  always_comb begin
    is_nan = exponent == 8'd255 && fraction != 23'd0;
    is_zero = exponent == 8'd0;
    is_infinite = exponent == 8'd255;
    case (op_i)
      2'd0: field = {~fixed[31], fixed[30:24]} - 8'd2;
      2'd1: field = 8'd252 - exponent;
      default: field = 8'd189 - {1'b0, exponent[7:1]} - {7'd0, exponent[0]};
    endcase
    packed_result = {field, 23'd0} + {6'd0, rounded};
    case (op_i)
      2'd0: begin
        y_o = {1'b0, packed_result};
        if (fixed[31:25] == 7'h40) y_o = 32'd0;
        if (exponent >= 8'd134) y_o = sign ? 32'd0 : 32'h7f800000;
        if (exponent < 8'd102) y_o = 32'h3f800000;
      end
      2'd1: begin
        y_o = {sign, packed_result};
        if (exponent >= 8'd253 && packed_result[30:23] != 8'd1) y_o = {sign, 31'd0};
        if (is_zero) y_o = {sign, 8'd255, 23'd0};
      end
      2'd2: begin
        y_o = {1'b0, packed_result};
        if (is_infinite) y_o = 32'd0;
        if (sign) y_o = 32'h7fc00000;
        if (is_zero) y_o = 32'h7f800000;
      end
      default: begin
        y_o = {negative, log2_packed};
        if (sum == 59'd0) y_o = 32'd0;
        if (is_infinite) y_o = 32'h7f800000;
        if (sign) y_o = 32'h7fc00000;
        if (is_zero) y_o = 32'hff800000;
      end
    endcase
    if (is_nan) y_o = 32'h7fc00000;
  end

endmodule

`default_nettype wire
