// One lane of minimum and maximum by ordered key: -0 below +0, subnormals in their place and
// passed as they are, canonical NaN if either operand is NaN (docs/arithmetic.md).
//
// Combinational. The latency of the instruction is a delay line behind this cell; synthesis
// retimes the cell into it. A new pair may be presented every cycle.
`default_nettype none

module fp_minmax (
    input  wire  [31:0] a_i,
    input  wire  [31:0] b_i,
    input  wire         max_i,
    output logic [31:0] y_o
);

  logic [31:0] a_key;
  logic [31:0] b_key;
  logic        nan;

  always_comb begin
    a_key = a_i[31] ? ~a_i : {1'b1, a_i[30:0]};
    b_key = b_i[31] ? ~b_i : {1'b1, b_i[30:0]};
    nan = (a_i[30:0] > 31'h7f800000) || (b_i[30:0] > 31'h7f800000);
    // Equal keys are equal bits, so it does not matter which is taken.
    y_o = nan ? 32'h7fc00000 : (((b_key < a_key) ^ max_i) ? b_i : a_i);
  end

endmodule

`default_nettype wire
