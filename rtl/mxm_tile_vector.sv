// Tile vector Row of a load: which of the streams carries it, if any, and its weights as bytes.
`default_nettype none

module mxm_tile_vector #(
    parameter int unsigned Row = 0,
    parameter int unsigned Lanes = 16,
    parameter int unsigned Part = 4,  // lanes of bytes_i and vector_o
    parameter int unsigned LoadStreams = 4,
    localparam int unsigned PartW = Part * 8,
    localparam int unsigned LaneW = $clog2(Lanes),
    localparam int unsigned FromW = LoadStreams > 1 ? $clog2(LoadStreams) : 1
) (
    input wire logic [LoadStreams*PartW-1:0] bytes_i,
    input wire logic [1:0] format_i,
    input wire logic [LaneW-1:0] row_i,  // the vector that stream 0 begins with
    output logic carried_o,
    output logic [PartW-1:0] vector_o
);
  wire logic is_int4 = format_i == pianola_pkg::MxmLoadFormatInt4;
  wire logic is_ternary = format_i == pianola_pkg::MxmLoadFormatTernary;
  wire logic [LaneW:0] distance = (LaneW + 1)'(Row) - {1'b0, row_i};

  // The stream, and in its bytes the pair of bits that a weight begins with.
  logic [LaneW-1:0] from_stream;
  logic [1:0] pair;
  logic [PartW-1:0] bytes;
  always_comb begin
    from_stream = distance[LaneW-1:0];
    pair = 2'd0;
    if (is_int4) begin
      from_stream = distance[LaneW-1:0] >> 1;
      pair = {distance[0], 1'b0};
    end else if (is_ternary) begin
      from_stream = distance[LaneW-1:0] >> 2;
      pair = distance[1:0];
    end
    carried_o = !distance[LaneW] && 32'(from_stream) < LoadStreams;
    bytes = bytes_i[32'(FromW'(from_stream))*PartW+:PartW];
  end
  for (genvar i = 0; i < Part; i++) begin : gen_weight
    wire logic [7:0] weight = 8'(bytes[i*8+:8] >> {pair, 1'b0});
    assign vector_o[i*8+:8] = is_int4 ? {{4{weight[3]}}, weight[3:0]}
        : is_ternary ? {{7{weight[1] & weight[0]}}, weight[0]} : weight;
  end

endmodule

`default_nettype wire
