// One output of a matrix unit that works beat by beat: its weights, shadow and installed, and its sum.
//
// The operand of one beat enters with its number x_part_i; two clock edges later its products are part
// of sum_o, which begins anew where first_i is set one edge after x_i.
`default_nettype none

module mxm_row_beats #(
    parameter int unsigned Lanes = 16,
    parameter int unsigned Beats = 4,
    localparam int unsigned Part = Lanes / Beats,
    localparam int unsigned PartW = Part * 8,
    localparam int unsigned BeatCountW = $clog2(Beats),
    localparam int unsigned SumW = 16 + $clog2(Lanes)
) (
    input wire logic clk_i,
    input wire logic live_i,
    input wire logic install_i,

    // Weights of the lanes of a beat from part_i, or of any lanes from lanes_i.
    input wire logic write_part_i,
    input wire logic [BeatCountW-1:0] beat_i,
    input wire logic [Lanes-1:0] write_lanes_i,
    input wire logic [PartW-1:0] part_i,
    input wire logic [Lanes*8-1:0] lanes_i,

    input wire logic [PartW-1:0] x_i,
    input wire logic [BeatCountW-1:0] x_part_i,
    input wire logic first_i,
    output logic [SumW-1:0] sum_o
);
  logic [Lanes*8-1:0] shadow_q, tile_q;
  for (genvar k = 0; k < Lanes; k++) begin : gen_weight
    wire logic by_part = write_part_i && beat_i == BeatCountW'(k / Part);
    always_ff @(posedge clk_i) begin
      if (by_part || write_lanes_i[k]) begin
        shadow_q[k*8+:8] <= by_part ? part_i[(k%Part)*8+:8] : lanes_i[k*8+:8];
      end
    end
  end
  always_ff @(posedge clk_i) begin
    if (install_i) tile_q <= shadow_q;
  end

  wire logic [PartW-1:0] weights = tile_q[x_part_i*PartW+:PartW];
  logic signed [15:0] product_q[0:Part-1];
  for (genvar j = 0; j < Part; j++) begin : gen_product
    always_ff @(posedge clk_i) begin
      if (live_i) product_q[j] <= $signed(weights[j*8+:8]) * $signed(x_i[j*8+:8]);
    end
  end
  logic signed [SumW-1:0] sum_q, added;
  always_comb begin
    added = first_i ? '0 : sum_q;
    for (int unsigned j = 0; j < Part; j++) added = added + SumW'(product_q[j]);
  end
  always_ff @(posedge clk_i) begin
    if (live_i) sum_q <= added;
  end
  assign sum_o = sum_q;

endmodule

`default_nettype wire
