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
//
// Two forms, equal at the ports where a stream is defined (tests/rtl compares them):
// - synthesis: every stream has one multiplexer over what may be driven on it (stream_choice);
// - simulation (Verilator, unless PIANOLA_SYNTHESIS_FORM is defined): the rising edge takes the
//   groups of streams in which something is defined and writes each vector that is driven to its
//   place, a variable part select, of which a synthesizer makes a shifter of all streams. The falling
//   edge shows what was taken: so positions may be evaluated in any order, and nothing else is copied.
`default_nettype none

`ifdef VERILATOR
`ifndef PIANOLA_SYNTHESIS_FORM
`define PIANOLA_STREAM_FAST
`endif
`endif

module stream_position #(
  parameter int unsigned Lanes = 16,
  parameter int unsigned Streams = 16,
  parameter int unsigned WestDrivers = 4,  // of position p
  parameter int unsigned WestWidth = 1,    // most vectors that one of them drives
  parameter int unsigned EastDrivers = 1,  // of position p + 1
  parameter int unsigned EastWidth = 4,
  parameter int unsigned Beats = 1,
  parameter bit          Checks = 1'b1,
  localparam int unsigned V = Lanes * 8 / Beats  // bits of a vector in a beat
) (
  input  wire logic                           clk_i,
  input  wire logic                           rst_ni,
  input  wire logic                           start_i,
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

  // Beat by beat, the one that is read now lowest.
  logic [Beats*Streams*V-1:0] east_q /* verilator public_flat_rd */;
  logic [Beats*Streams*V-1:0] west_q /* verilator public_flat_rd */;
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

`ifdef PIANOLA_STREAM_FAST
  localparam int unsigned Group = 4;  // streams
  localparam int unsigned Groups = Streams / Group;

  /* verilator lint_off BLKSEQ */  // *_next and *_moves belong to the two processes below
  logic [Streams*V-1:0] east_next, west_next;
  logic [Groups-1:0]    east_moves, west_moves;
  logic [StreamW-1:0]   stream;
  always_ff @(posedge clk_i) begin
    east_moves = '0;
    west_moves = '0;
    if (en_i) begin
      for (int unsigned g = 0; g < Groups; g++) begin
        if (east_def_i[g*Group +: Group] != '0) begin
          east_next[g*Group*V +: Group*V] = east_i[g*Group*V +: Group*V];
          east_moves[g] = 1'b1;
        end
        if (west_def_i[g*Group +: Group] != '0) begin
          west_next[g*Group*V +: Group*V] = west_i[g*Group*V +: Group*V];
          west_moves[g] = 1'b1;
        end
      end
      if (p_valid_i != '0) begin
        for (int unsigned d = 0; d < WestDrivers; d++) begin
          if (p_valid_i[d] && p_dirs_i[d*2]) begin
            for (int unsigned w = 0; w < WestWidth; w++) begin
              stream = p_stream_i[d*6 +: StreamW] + StreamW'(w);
              if (w < 32'(p_count_i[d*4 +: 4])) begin
                east_next[32'(stream)*V +: V] = p_data_i[(d*WestWidth + w)*V +: V];
                east_moves[stream[StreamW-1:2]] = 1'b1;
              end
            end
          end
        end
      end
      if (q_valid_i != '0) begin
        for (int unsigned d = 0; d < EastDrivers; d++) begin
          if (q_valid_i[d] && q_dirs_i[d*2+1]) begin
            for (int unsigned w = 0; w < EastWidth; w++) begin
              stream = q_stream_i[d*6 +: StreamW] + StreamW'(w);
              if (w < 32'(q_count_i[d*4 +: 4])) begin
                west_next[32'(stream)*V +: V] = q_data_i[(d*EastWidth + w)*V +: V];
                west_moves[stream[StreamW-1:2]] = 1'b1;
              end
            end
          end
        end
      end
    end
  end
  always_ff @(negedge clk_i) begin
    for (int unsigned g = 0; g < Groups; g++) begin
      if (east_moves[g]) begin
        east_q[g*Group*V +: Group*V] = east_next[g*Group*V +: Group*V];
      end
      if (west_moves[g]) begin
        west_q[g*Group*V +: Group*V] = west_next[g*Group*V +: Group*V];
      end
    end
  end
  /* verilator lint_on BLKSEQ */
  logic unused_live;
  assign unused_live = live_i;
`else
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
  wire logic moves = (Beats > 1) ? live_i : en_i;
  always_ff @(posedge clk_i) begin
    if (moves && (!Checks || (|east_def_i) || (|p_valid_i) || Beats > 1)) begin
      east_q <= (Beats*Streams*V)'({east_d, east_q} >> (Streams*V));
    end
    if (moves && (!Checks || (|west_def_i) || (|q_valid_i) || Beats > 1)) begin
      west_q <= (Beats*Streams*V)'({west_d, west_q} >> (Streams*V));
    end
  end
`endif
`undef PIANOLA_STREAM_FAST

  assign east_o = east_q[Streams*V-1:0];
  assign west_o = west_q[Streams*V-1:0];

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
