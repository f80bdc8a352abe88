// The row between the other units: the stream registers of all positions, and the MEM positions.
//
// In each machine cycle E[p+1] takes E[p] with the east drives of position p put over it, W[p-1] takes
// W[p] with the west drives of position p. A position has up to Drivers drivers; the word of one is
// {count 4 bits, stream 6, dirs 2}: it drives count vectors on streams stream, stream + 1, ... in the
// directions of dirs (bit 0 east, bit 1 west). Vector w of driver d of position p is at number
// p * Vectors + d * width + w of data_i, where width is that of position p in Widths. MEM positions
// (IsMem) drive from their slices: queue k of FirstQueues[p] reads for slice k, queue Slices + k
// writes for it. What they do is said in sequencer.sv and mem_slice.sv.
//
// east_o and west_o hold rows of streams. A unit at position p finds stream s by east_at_o[p], which is
// {row, plane of each stream}, and east_def_o[p] says which streams hold something. Defined bits are
// shadow state for the checks; without Checks they are constants.
//
// Two forms, equal where a stream is defined for every program that breaks no rule (tests/rtl compares them):
// - synthesis: a stream_position between neighbours, a mem_position for each of MEM; row p is that of position
//   p, and there is one plane;
// - simulation (Verilator, unless PIANOLA_SYNTHESIS_FORM is defined), memory_row_simulation.svh: one process.
//   It names a fault one cycle later.
`default_nettype none

`ifdef VERILATOR
`ifndef PIANOLA_SYNTHESIS_FORM
`define PIANOLA_ROW_FAST
`endif
`endif

module memory_row #(
  parameter int unsigned Lanes = 16,
  parameter int unsigned Streams = 16,
  parameter int unsigned Positions = 4,
  parameter int unsigned Drivers = 4,
  parameter int unsigned Vectors = 12,
  parameter bit [Positions*8-1:0] DriverCounts = {Positions{8'd4}},
  parameter bit [Positions*8-1:0] Widths = {Positions{8'd1}},
  parameter bit [Positions-1:0] IsMem = '0,
  parameter bit [Positions*16-1:0] FirstQueues = '0,
  parameter int unsigned Queues = 8,   // of the whole machine
  parameter int unsigned Slices = 4,   // per MEM position
  parameter int unsigned Words = 4096,
  parameter int unsigned Depth = 16,
  parameter int unsigned Beats = 1,    // clock edges per machine cycle; the synthesis form only
  parameter bit          Checks = 1'b1,
  localparam int unsigned LanesW = Lanes * 8,
  localparam int unsigned V = LanesW / Beats,  // bits of a vector in a beat
`ifdef PIANOLA_ROW_FAST
  localparam int unsigned RowW = $clog2(Positions),
  localparam int unsigned StoreW = (2 << RowW) * Streams << $clog2(V),
`else
  localparam int unsigned StoreW = Positions * Streams * V,
`endif
  localparam int unsigned AtW = Streams + 8,
  localparam int unsigned BeatCountW = (Beats > 1) ? $clog2(Beats) : 1,
  localparam int unsigned PayloadW = pianola_pkg::MemPayloadW,
  localparam int unsigned EntryW = pianola_pkg::TimingW + PayloadW
) (
  input  wire logic                           clk_i,
  input  wire logic                           rst_ni,
  input  wire logic                           start_i,
  input  wire logic [BeatCountW-1:0]          beat_i,
  input  wire logic                           live_i,   // this machine cycle happens
  input  wire logic                           en_i,     // in its last beat
  input  wire logic [15:0]                    now_i,    // its number; 0 after start_i
  input  wire logic [Queues-1:0]              push_i,
  input  wire logic [EntryW-1:0]              entry_i,
  input  wire logic [32*32-1:0]               regs_i,
  input  wire logic [Positions*Drivers-1:0]   valid_i,  // of positions that are not MEM
  input  wire logic [Positions*Drivers*16-1:0] drive_i,
  input  wire logic [Positions*Vectors*V-1:0] data_i,
  output logic [StoreW-1:0]                   east_o,
  output logic [StoreW-1:0]                   west_o,
  output logic [Positions*AtW-1:0]            east_at_o,
  output logic [Positions*AtW-1:0]            west_at_o,
  output logic [Positions*Streams-1:0]        east_def_o,
  output logic [Positions*Streams-1:0]        west_def_o,
  output logic                                holds_o,  // a queue of MEM holds an instruction
  output logic                                busy_o,   // an access is on its way
  output logic [Positions*32-1:0]             fault_o   // of MEM positions
);

`ifdef PIANOLA_ROW_FAST
`include "memory_row_simulation.svh"
`else
  logic [Positions-1:0] position_holds, position_busy;
  assign holds_o = |position_holds;
  assign busy_o = |position_busy;

  // Here the harness sees what is driven, all_vectors where there are beats.
  logic [Positions*Drivers-1:0]    all_valid  /* verilator public_flat_rd */;
  logic [Positions*Drivers*16-1:0] all_drives /* verilator public_flat_rd */;
  logic [Positions*Vectors*V-1:0]  all_data   /* verilator public_flat_rd */;
  localparam int unsigned CollectW = (Checks && (Beats > 1)) ? Positions * Vectors * LanesW : 1;
  logic [CollectW-1:0]             all_vectors /* verilator public_flat_rd */;

  for (genvar p = 0; p < Positions; p++) begin : gen_position
    localparam int unsigned Count = 32'(DriverCounts[p*8 +: 8]);
    localparam int unsigned Width = 32'(Widths[p*8 +: 8]);
    logic [Count-1:0]           valid;
    logic [Count*2-1:0]         dirs;
    logic [Count*6-1:0]         stream;
    logic [Count*4-1:0]         count;
    logic [Count*Width*V-1:0]   data;

    if (IsMem[p]) begin : gen_mem
      logic        conflict;
      logic [31:0] fault;
      mem_position #(
        .Lanes(Lanes), .Streams(Streams), .Slices(Slices), .Words(Words), .Depth(Depth),
        .Beats(Beats), .Checks(Checks)
      ) u_mem (
        .clk_i(clk_i), .rst_ni(rst_ni), .start_i(start_i), .beat_i(beat_i), .live_i(live_i),
        .en_i(en_i), .now_i(now_i), .push_i(push_i[32'(FirstQueues[p*16 +: 16]) +: 2*Slices]),
        .entry_i(entry_i), .regs_i(regs_i), .east_i(east_o[p*Streams*V +: Streams*V]),
        .west_i(west_o[p*Streams*V +: Streams*V]),
        .east_def_i(east_def_o[p*Streams +: Streams]),
        .west_def_i(west_def_o[p*Streams +: Streams]), .out_valid_o(valid), .out_dirs_o(dirs),
        .out_stream_o(stream), .out_data_o(data), .holds_o(position_holds[p]),
        .busy_o(position_busy[p]), .fault_o(fault)
      );
      assign count = {Slices{4'd1}};
      if (Checks) begin : gen_drive_check
        drive_checker #(
          .Streams(Streams), .Drivers(Slices), .Width(1)
        ) u_drives (
          .drive_valid_i(valid), .drive_dirs_i(dirs), .drive_stream_i(stream),
          .drive_count_i(count), .conflict_o(conflict)
        );
      end else begin : gen_no_drive_check
        assign conflict = 1'b0;
      end
      assign fault_o[p*32 +: 32] =
          fault | (32'(conflict && en_i) << pianola_pkg::RuleStreamConflict);
    end else begin : gen_unit
      assign valid = valid_i[p*Drivers +: Count];
      assign data = data_i[p*Vectors*V +: Count*Width*V];
      for (genvar d = 0; d < Count; d++) begin : gen_driver
        assign {count[d*4 +: 4], stream[d*6 +: 6], dirs[d*2 +: 2]} =
            drive_i[(p*Drivers + d)*16 +: 12];
      end
      assign position_holds[p] = 1'b0;
      assign position_busy[p] = 1'b0;
      assign fault_o[p*32 +: 32] = '0;
    end

    assign all_valid[p*Drivers +: Drivers] = Drivers'(valid);
    assign all_data[p*Vectors*V +: Vectors*V] = (Vectors*V)'(data);
    for (genvar d = 0; d < Drivers; d++) begin : gen_word
      if (d < Count) begin : gen_used
        assign all_drives[(p*Drivers + d)*16 +: 16] =
            {4'd0, count[d*4 +: 4], stream[d*6 +: 6], dirs[d*2 +: 2]};
      end else begin : gen_unused
        assign all_drives[(p*Drivers + d)*16 +: 16] = '0;
      end
    end
    if (CollectW == 1) begin : gen_no_collect
      if (p == 0) assign all_vectors = 1'b0;
    end else begin : gen_collect
      for (genvar i = 0; i < Count * Width; i++) begin : gen_vector
        beat_collector #(.Width(V), .Beats(Beats)) u_vector (
          .clk_i(clk_i), .live_i(live_i), .data_i(data[i*V +: V]),
          .data_o(all_vectors[(p*Vectors + i)*LanesW +: LanesW])
        );
      end
    end

    assign east_at_o[p*AtW +: AtW] = '0;
    assign west_at_o[p*AtW +: AtW] = '0;
    if (p == 0) begin : gen_first
      assign east_o[0 +: Streams*V] = '0;
      assign east_def_o[0 +: Streams] = Checks ? '0 : '1;
    end
    if (p == Positions - 1) begin : gen_last
      assign west_o[p*Streams*V +: Streams*V] = '0;
      assign west_def_o[p*Streams +: Streams] = Checks ? '0 : '1;
    end else begin : gen_streams
      localparam int unsigned NextCount = 32'(DriverCounts[(p+1)*8 +: 8]);
      localparam int unsigned NextWidth = 32'(Widths[(p+1)*8 +: 8]);
      stream_position #(
        .Lanes(Lanes), .Streams(Streams), .WestDrivers(Count), .WestWidth(Width),
        .EastDrivers(NextCount), .EastWidth(NextWidth), .Beats(Beats), .Checks(Checks)
      ) u_streams (
        .clk_i(clk_i), .rst_ni(rst_ni), .start_i(start_i), .beat_i(beat_i), .live_i(live_i),
        .en_i(en_i), .east_i(east_o[p*Streams*V +: Streams*V]),
        .east_def_i(east_def_o[p*Streams +: Streams]),
        .p_valid_i(valid), .p_dirs_i(dirs), .p_stream_i(stream), .p_count_i(count), .p_data_i(data),
        .west_i(west_o[(p+1)*Streams*V +: Streams*V]),
        .west_def_i(west_def_o[(p+1)*Streams +: Streams]),
        .q_valid_i(gen_position[p+1].valid), .q_dirs_i(gen_position[p+1].dirs),
        .q_stream_i(gen_position[p+1].stream), .q_count_i(gen_position[p+1].count),
        .q_data_i(gen_position[p+1].data), .east_o(east_o[(p+1)*Streams*V +: Streams*V]),
        .east_def_o(east_def_o[(p+1)*Streams +: Streams]),
        .west_o(west_o[p*Streams*V +: Streams*V]), .west_def_o(west_def_o[p*Streams +: Streams])
      );
    end
  end
`endif
`undef PIANOLA_ROW_FAST

endmodule

`default_nettype wire
