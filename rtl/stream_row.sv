// The stream registers of the whole row: E[p] and W[p] of every position.
//
// In each machine cycle E[p+1] takes E[p] with the east drives of position p put over it, W[p-1] takes
// W[p] with the west drives of position p. A position has up to Drivers drivers; the word of one is
// {count 4 bits, stream 6, dirs 2}: it drives count vectors on streams stream, stream + 1, ... in the
// directions of dirs (bit 0 east, bit 1 west). Vector w of driver d of position p is at number
// p * Vectors + d * width + w of data_i, where width is that of position p in Widths.
//
// east_o and west_o hold Rows rows. A reader of position p finds stream s by east_at_o[p], which is
// {row, plane of each stream}, and east_def_o[p] says which streams hold something. Defined bits are
// shadow state for the checks; without Checks they are constants.
//
// Two forms, equal where a stream is defined (tests/rtl compares them):
// - synthesis: a stream_position between neighbours, row p is that of position p, and there is one plane;
// - simulation (Verilator, unless PIANOLA_SYNTHESIS_FORM is defined): nothing moves. A value stays in the
//   row in which it was driven and the rows change positions. A drive goes into the plane of its stream that
//   nobody reads in this cycle: so positions may be evaluated in any order. One loop serves all positions.
`default_nettype none

`ifdef VERILATOR
`ifndef PIANOLA_SYNTHESIS_FORM
`define PIANOLA_ROW_FAST
`endif
`endif

module stream_row #(
  parameter int unsigned Lanes = 16,
  parameter int unsigned Streams = 16,
  parameter int unsigned Positions = 4,
  parameter int unsigned Drivers = 4,
  parameter int unsigned Vectors = 12,
  parameter bit [Positions*8-1:0] DriverCounts = {Positions{8'd4}},
  parameter bit [Positions*8-1:0] Widths = {Positions{8'd1}},
  parameter int unsigned Beats = 1,
  parameter bit          Checks = 1'b1,
  localparam int unsigned V = Lanes * 8 / Beats,  // bits of a vector in a beat
`ifdef PIANOLA_ROW_FAST
  localparam int unsigned RowW = $clog2(Positions),
  localparam int unsigned StoreW = (2 << RowW) * Streams << $clog2(V),
`else
  localparam int unsigned StoreW = Positions * Streams * V,
`endif
  localparam int unsigned BeatCountW = (Beats > 1) ? $clog2(Beats) : 1,
  localparam int unsigned AtW = Streams + 8
) (
  input  wire logic                           clk_i,
  input  wire logic                           rst_ni,
  input  wire logic                           start_i,
  input  wire logic [BeatCountW-1:0]          beat_i,
  input  wire logic                           live_i,   // this machine cycle happens
  input  wire logic                           en_i,     // in its last beat
  input  wire logic [Positions*Drivers-1:0]   valid_i,
  input  wire logic [Positions*Drivers*16-1:0] drive_i,
  input  wire logic [Positions*Vectors*V-1:0] data_i,
  output logic [StoreW-1:0]                   east_o,
  output logic [StoreW-1:0]                   west_o,
  output logic [Positions*AtW-1:0]            east_at_o,
  output logic [Positions*AtW-1:0]            west_at_o,
  output logic [Positions*Streams-1:0]        east_def_o,
  output logic [Positions*Streams-1:0]        west_def_o
);

`ifdef PIANOLA_ROW_FAST
  localparam int unsigned StreamW = $clog2(Streams);
  localparam int unsigned PitchW = $clog2(V);
  localparam int unsigned MarksW = Positions * 2 * Streams;  // {planes, defined} of each position

  logic [StoreW-1:0] east_q           /* verilator public_flat_rd */;
  logic [StoreW-1:0] west_q           /* verilator public_flat_rd */;
  logic [MarksW-1:0] east_marks [0:0] /* verilator public_flat_rd */;
  logic [MarksW-1:0] west_marks [0:0] /* verilator public_flat_rd */;
  logic [RowW-1:0]   now_q            /* verilator public_flat_rd */;

  /* verilator lint_off BLKSEQ */  // state of this process, and temporaries of it
  logic [31:0]         positions, drivers, p, d, w, width, driver, from, mark;
  logic [15:0]         drive;
  logic [RowW-1:0]     row;
  logic [StreamW-1:0]  stream;
  logic [V-1:0]        vector;
  logic [MarksW-1:0]   east_next, west_next;
  always_ff @(posedge clk_i) begin
    if (!rst_ni || start_i) begin
      now_q <= '0;
      east_marks[0] <= '0;
      west_marks[0] <= '0;
    end else if (en_i) begin
      now_q <= now_q + 1'b1;
      east_next = east_marks[0];
      west_next = west_marks[0];
      if (valid_i != '0) begin
        positions = Positions;
        drivers = Drivers;
        for (p = 0; p < positions; p = p + 1) begin
          if (valid_i[p*Drivers +: Drivers] != '0) begin
            for (d = 0; d < drivers; d = d + 1) begin
              driver = p * Drivers + d;
              if (valid_i[driver]) begin
                drive = drive_i[driver*16 +: 16];
                width = 32'(Widths[p*8 +: 8]);
                for (w = 0; w < 32'(drive[11:8]) && w < width; w = w + 1) begin
                  stream = StreamW'(drive[7:2]) + StreamW'(w);
                  from = p * Vectors + d * width + w;
                  vector = data_i[from*V +: V];
                  mark = p * 2 * Streams + 32'(stream);
                  if (drive[0]) begin
                    row = RowW'(p) - now_q;
                    east_next[mark] = 1'b1;
                    east_next[mark + Streams] = !east_marks[0][mark + Streams];
                    east_q[{row, stream, !east_marks[0][mark + Streams], PitchW'(0)} +: V] = vector;
                  end
                  if (drive[1]) begin
                    row = RowW'(p) + now_q;
                    west_next[mark] = 1'b1;
                    west_next[mark + Streams] = !west_marks[0][mark + Streams];
                    west_q[{row, stream, !west_marks[0][mark + Streams], PitchW'(0)} +: V] = vector;
                  end
                end
              end
            end
          end
        end
      end
      east_marks[0] <= east_next << (2 * Streams);
      west_marks[0] <= west_next >> (2 * Streams);
    end
  end
  /* verilator lint_on BLKSEQ */

  assign east_o = east_q;
  assign west_o = west_q;
  for (genvar i = 0; i < Positions; i++) begin : gen_position
    logic [RowW-1:0] east_row, west_row;
    assign east_row = RowW'(i) - now_q;
    assign west_row = RowW'(i) + now_q;
    assign east_at_o[i*AtW +: AtW] =
        {8'(east_row), east_marks[0][(2*i+1)*Streams +: Streams]};
    assign west_at_o[i*AtW +: AtW] =
        {8'(west_row), west_marks[0][(2*i+1)*Streams +: Streams]};
    assign east_def_o[i*Streams +: Streams] =
        Checks ? east_marks[0][2*i*Streams +: Streams] : '1;
    assign west_def_o[i*Streams +: Streams] =
        Checks ? west_marks[0][2*i*Streams +: Streams] : '1;
  end
  logic unused_live;
  assign unused_live = &{1'b0, beat_i, live_i, DriverCounts};
`else
  for (genvar p = 0; p < Positions; p++) begin : gen_position
    localparam int unsigned Count = 32'(DriverCounts[p*8 +: 8]);
    localparam int unsigned Width = 32'(Widths[p*8 +: 8]);
    logic [Count-1:0]           valid;
    logic [Count*2-1:0]         dirs;
    logic [Count*6-1:0]         stream;
    logic [Count*4-1:0]         count;
    logic [Count*Width*V-1:0]   data;
    assign valid = valid_i[p*Drivers +: Count];
    assign data = data_i[p*Vectors*V +: Count*Width*V];
    for (genvar d = 0; d < Count; d++) begin : gen_driver
      assign {count[d*4 +: 4], stream[d*6 +: 6], dirs[d*2 +: 2]} =
          drive_i[(p*Drivers + d)*16 +: 12];
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
        .clk_i(clk_i), .rst_ni(rst_ni), .start_i(start_i), .beat_i(beat_i),
        .live_i(live_i), .en_i(en_i), .east_i(east_o[p*Streams*V +: Streams*V]), .east_def_i(east_def_o[p*Streams +: Streams]),
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
