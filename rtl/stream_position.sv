// The stream registers between a position p and its eastern neighbour: E[p+1] and W[p].
//
// In each machine cycle E[p+1] takes E[p] with the east drives of position p put over it, W[p]
// takes W[p+1] with the west drives of position p+1. A driver drives count vectors on streams
// stream, stream + 1, ... in the directions of dirs (bit 0 east, bit 1 west). Defined bits are
// shadow state for the checks; without Checks they are constants. Where nothing is defined and
// nothing is driven, nothing moves.
//
// With several beats per machine cycle (the synthesis form only) Lanes / Beats lanes pass at each clock
// edge of a machine cycle, lane 0 first: inputs and outputs are those of this beat.
// Every stream has one multiplexer over what may be driven on it (stream_choice).
`default_nettype none

module stream_position #(
  parameter int unsigned Lanes = 16,
  parameter int unsigned Streams = 16,
  parameter int unsigned WestDrivers = 4,  // of position p
  parameter int unsigned WestWidth = 1,    // most vectors that one of them drives
  parameter int unsigned EastDrivers = 1,  // of position p + 1
  parameter int unsigned EastWidth = 4,
  parameter int unsigned Beats = 1,
  parameter bit          Checks = 1'b1,
  localparam int unsigned V = Lanes * 8 / Beats,  // bits of a vector in a beat
  localparam int unsigned BeatCountW = (Beats > 1) ? $clog2(Beats) : 1
) (
  input  wire logic                           clk_i,
  input  wire logic                           rst_ni,
  input  wire logic                           start_i,
  input  wire logic [BeatCountW-1:0]          beat_i,
  input  wire logic                           live_i,      // this machine cycle happens
  input  wire logic                           en_i,        // in its last beat
  // Position p
  input  wire logic [Streams*V-1:0]           east_i,      // E[p]
  input  wire logic [Streams-1:0]             east_def_i,
  input  wire logic [WestDrivers-1:0]         p_valid_i,
  input  wire logic [WestDrivers*2-1:0]       p_dirs_i,
  input  wire logic [WestDrivers*6-1:0]       p_stream_i,
  input  wire logic [WestDrivers*4-1:0]       p_count_i,
  input  wire logic [WestDrivers*WestWidth*V-1:0] p_data_i,
  // Position p + 1
  input  wire logic [Streams*V-1:0]           west_i,      // W[p+1]
  input  wire logic [Streams-1:0]             west_def_i,
  input  wire logic [EastDrivers-1:0]         q_valid_i,
  input  wire logic [EastDrivers*2-1:0]       q_dirs_i,
  input  wire logic [EastDrivers*6-1:0]       q_stream_i,
  input  wire logic [EastDrivers*4-1:0]       q_count_i,
  input  wire logic [EastDrivers*EastWidth*V-1:0] q_data_i,
  output logic [Streams*V-1:0]                east_o,      // E[p+1]
  output logic [Streams-1:0]                  east_def_o,
  output logic [Streams*V-1:0]                west_o,      // W[p]
  output logic [Streams-1:0]                  west_def_o
);

  localparam int unsigned StreamW = $clog2(Streams);

  logic [Streams-1:0]   east_driven, west_driven;

  always_comb begin
    east_driven = '0;
    for (int unsigned d = 0; d < WestDrivers; d++) begin
      if (p_valid_i[d] && p_dirs_i[d*2]) begin
        for (int unsigned w = 0; w < WestWidth; w++) begin
          if (w < 32'(p_count_i[d*4 +: 4])) begin
            east_driven[p_stream_i[d*6 +: StreamW] + StreamW'(w)] = 1'b1;
          end
        end
      end
    end
    west_driven = '0;
    for (int unsigned d = 0; d < EastDrivers; d++) begin
      if (q_valid_i[d] && q_dirs_i[d*2+1]) begin
        for (int unsigned w = 0; w < EastWidth; w++) begin
          if (w < 32'(q_count_i[d*4 +: 4])) begin
            west_driven[q_stream_i[d*6 +: StreamW] + StreamW'(w)] = 1'b1;
          end
        end
      end
    end
  end

  logic [Streams*V-1:0] east_d, west_d;
  logic [WestDrivers-1:0] east_drivers;
  logic [EastDrivers-1:0] west_drivers;
  stream_choice #(
    .Streams(Streams), .V(V), .Drivers(WestDrivers), .Width(WestWidth)
  ) u_east (
    .pass_i(east_i), .valid_i(p_valid_i & east_drivers), .stream_i(p_stream_i),
    .count_i(p_count_i), .data_i(p_data_i), .streams_o(east_d)
  );
  stream_choice #(
    .Streams(Streams), .V(V), .Drivers(EastDrivers), .Width(EastWidth)
  ) u_west (
    .pass_i(west_i), .valid_i(q_valid_i & west_drivers), .stream_i(q_stream_i),
    .count_i(q_count_i), .data_i(q_data_i), .streams_o(west_d)
  );
  for (genvar d = 0; d < WestDrivers; d++) begin : gen_east_driver
    assign east_drivers[d] = p_dirs_i[d*2];
  end
  for (genvar d = 0; d < EastDrivers; d++) begin : gen_west_driver
    assign west_drivers[d] = q_dirs_i[d*2+1];
  end
  if (Beats > 1) begin : gen_beats
    beat_line #(.Width(Streams * V), .Beats(Beats), .Edges(Beats)) u_east_line (
      .clk_i(clk_i), .beat_i(beat_i), .live_i(live_i), .data_i(east_d), .data_o(east_o)
    );
    beat_line #(.Width(Streams * V), .Beats(Beats), .Edges(Beats)) u_west_line (
      .clk_i(clk_i), .beat_i(beat_i), .live_i(live_i), .data_i(west_d), .data_o(west_o)
    );
    logic unused_en;
    assign unused_en = &{1'b0, en_i};
  end else begin : gen_whole
    logic [Streams*V-1:0] east_q /* verilator public_flat_rd */;
    logic [Streams*V-1:0] west_q /* verilator public_flat_rd */;
    always_ff @(posedge clk_i) begin
      if (en_i && (!Checks || (|east_def_i) || (|p_valid_i))) east_q <= east_d;
      if (en_i && (!Checks || (|west_def_i) || (|q_valid_i))) west_q <= west_d;
    end
    assign east_o = east_q;
    assign west_o = west_q;
    logic unused_live;
    assign unused_live = &{1'b0, live_i, beat_i};
  end

  if (Checks) begin : gen_def
    logic [Streams-1:0] east_def_q, west_def_q;
    always_ff @(posedge clk_i) begin
      if (!rst_ni || start_i) begin
        east_def_q <= '0;
        west_def_q <= '0;
      end else if (en_i) begin
        east_def_q <= east_def_i | east_driven;
        west_def_q <= west_def_i | west_driven;
      end
    end
    assign east_def_o = east_def_q;
    assign west_def_o = west_def_q;
  end else begin : gen_no_def
    logic unused;
    assign unused = &{1'b0, rst_ni, start_i, east_def_i, west_def_i, east_driven, west_driven};
    assign east_def_o = '1;
    assign west_def_o = '1;
  end

endmodule

`default_nettype wire
