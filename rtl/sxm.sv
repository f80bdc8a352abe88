// The lane-moving unit: shift, rotate, permute, distribute, and a byte transpose (docs/isa.md,
// section 7).
//
// Every move but the two transposes is a gather: lane i takes lane source[i], or zero. One crossbar,
// which PERMUTE needs anyway, serves all of them. The result of a move that issues in cycle t is
// driven in cycle t + latency_sxm(Lanes); one may issue every enabled cycle.
// With several beats per machine cycle (the synthesis form only) sxm_beats moves the lanes of a beat at a
// time; streams and out_data_o are then those of a beat, issues come in the last one.
// Over 64 lanes the transposes work on segments of 16 lanes.
// fault_o names the rules broken in the previous enabled cycle. busy_o: something will be driven
// after this cycle. start_i (any clock edge) begins a launch. Lanes is a multiple of 4.
`default_nettype none

module sxm #(
    parameter int unsigned Lanes = 16,
    parameter int unsigned Streams = 16,
    parameter int unsigned Beats = 1,
    parameter bit Checks = 1'b1,
    parameter int unsigned StreamRows = 1,  // see memory_row; 1: only the position's own
    localparam int unsigned VectorW = Lanes * 8,
    localparam int unsigned BeatW = VectorW / Beats,
    localparam int unsigned StoreW = StreamRows == 1 ? Streams * BeatW
        : (2 * StreamRows * Streams) << $clog2(BeatW),
    localparam int unsigned AtW = Streams + 8,
    localparam int unsigned BeatCountW = Beats > 1 ? $clog2(Beats) : 1
) (
    input wire logic clk_i,
    input wire logic rst_ni,
    input wire logic [BeatCountW-1:0] beat_i,
    input wire logic live_i,
    input wire logic en_i,
    input wire logic start_i,

    input wire logic issue_i,
    input wire logic [156:0] instr_i,
    input wire logic signed [13:0] amount_offset_i,

    input wire logic [StoreW-1:0] east_i,
    input wire logic [StoreW-1:0] west_i,
    input wire logic [AtW-1:0] east_at_i,
    input wire logic [AtW-1:0] west_at_i,
    input wire logic [Streams-1:0] east_def_i,
    input wire logic [Streams-1:0] west_def_i,

    output logic out_valid_o,
    output logic [1:0] out_dirs_o,
    output logic [5:0] out_stream_o,
    output logic [2:0] out_count_o,
    output logic [4*BeatW-1:0] out_data_o,
    output logic [31:0] fault_o,
    output logic busy_o
);
  localparam int unsigned Latency = pianola_pkg::latency_sxm(Lanes);
  localparam int unsigned Depth = Latency - 1;
  localparam int unsigned SlotW = Depth > 1 ? $clog2(Depth) : 1;
  localparam int unsigned StreamW = $clog2(Streams);
  localparam int unsigned LaneW = $clog2(Lanes);
  localparam int unsigned Rows = Lanes > 64 ? 16 : Lanes;  // of the transpose buffer
  localparam int unsigned RowW = $clog2(Rows);
  localparam int unsigned Pitch = 1 << LaneW;  // a power of two of lanes, see mxm_array
  localparam bit PowerOfTwo = (Lanes & (Lanes - 1)) == 0;

  wire logic [2:0] op = instr_i[pianola_pkg::SxmOpLsb+:3];
  wire logic dir = instr_i[pianola_pkg::SxmDirLsb];
  wire logic [5:0] stream = instr_i[pianola_pkg::SxmStreamLsb+:6];
  wire logic [1:0] width = instr_i[pianola_pkg::SxmWidthLsb+:2];
  wire logic [9:0] amount_field = instr_i[pianola_pkg::SxmAmountLsb+:10];
  wire logic [2:0] segment = instr_i[pianola_pkg::SxmSegmentLsb+:3];
  wire logic index_dir = instr_i[pianola_pkg::SxmIndexDirLsb];
  wire logic [5:0] index_stream = instr_i[pianola_pkg::SxmIndexStreamLsb+:6];
  wire logic [1:0] out_dirs = instr_i[pianola_pkg::SxmOutDirsLsb+:2];
  wire logic [5:0] out_stream = instr_i[pianola_pkg::SxmOutStreamLsb+:6];

  wire logic signed [14:0] amount = 15'($signed(amount_field)) + 15'(amount_offset_i);
  wire logic [2:0] count = width == pianola_pkg::SxmWidthW4 ? 3'd4
      : width == pianola_pkg::SxmWidthW2 ? 3'd2 : 3'd1;
  wire logic [31:0] segment_lanes =
      segment == pianola_pkg::LaneSegmentAll ? Lanes : 32'd8 << segment;
  wire logic drives = op != pianola_pkg::SxmOpTransposeIn;

  localparam int unsigned OutW = 3 + 6 + 2;
  logic [OutW-1:0] out_q;
  logic [Latency-1:0] valid_q;
  logic unused_at;
  assign unused_at = &{1'b0, east_at_i, west_at_i};

  if (Beats > 1) begin : gen_beats
    latency_line #(.Width(OutW), .Depth(Latency)) u_out (
        .clk_i(clk_i), .en_i(en_i), .data_i({count, out_stream, out_dirs}), .data_o(out_q)
    );
    sxm_beats #(.Lanes(Lanes), .Streams(Streams), .Beats(Beats)) u_moves (
        .clk_i(clk_i), .rst_ni(rst_ni), .beat_i(beat_i), .live_i(live_i), .en_i(en_i),
        .start_i(start_i), .issue_i(issue_i), .op_i(op), .dir_i(dir),
        .stream_i(stream[StreamW-1:0]), .amount_i(amount), .segment_i(segment),
        .index_dir_i(index_dir), .index_stream_i(index_stream[StreamW-1:0]), .east_i(east_i),
        .west_i(west_i), .out_data_o(out_data_o)
    );
  end else begin : gen_whole
  // For every lane of the output the lane it takes, and whether it takes one.
  task automatic find_sources(input logic [2:0] op_i, input logic signed [14:0] amount_i,
                              input logic [31:0] segment_i, input logic [VectorW-1:0] index_i,
                              output logic [Pitch*16-1:0] source, output logic [Pitch-1:0] taken_o);
    /*verilator no_inline_task*/
    int unsigned i;
    logic [31:0] first;   // lane of the segment of lane i
    logic [31:0] place;   // in the segment
    logic [31:0] target;
    logic [31:0] step;
    logic hits;
    step = 32'(amount_i);
    for (i = 0; i < Lanes; i = i + 1) begin
      first = segment_i == Lanes ? 32'd0 : i & ~(segment_i - 32'd1);
      place = (i - first) + step;
      hits = place < segment_i;
      target = place;
      if (op_i == pianola_pkg::SxmOpRotate) begin
        if (place[31]) target = place + segment_i;
        else if (!hits) target = place - segment_i;
        hits = 1'b1;
      end
      target = target + first;
      if (op_i == pianola_pkg::SxmOpDistribute) begin
        target = step;
        hits = 1'b1;
      end else if (op_i == pianola_pkg::SxmOpPermute) begin
        target = PowerOfTwo ? {24'd0, index_i[i*8+:8]} & (Lanes - 1)
                            : {24'd0, index_i[i*8+:8]} % Lanes;
        hits = 1'b1;
      end
      source[i*16+:16] = 16'(target & ((32'd1 << LaneW) - 32'd1));
      taken_o[i] = hits;
    end
  endtask

  task automatic gather(input logic [VectorW-1:0] x, input logic [Pitch*16-1:0] source,
                        input logic [Pitch-1:0] taken_i, output logic [Pitch*8-1:0] y);
    /*verilator no_inline_task*/
    int unsigned j;
    logic [7:0] b0;
    logic [7:0] b1;
    logic [7:0] b2;
    logic [7:0] b3;
    for (j = 0; j < Lanes / 4; j = j + 1) begin
      b0 = taken_i[j*4] ? x[32'(source[j*64+:LaneW])*8+:8] : 8'd0;
      b1 = taken_i[j*4+1] ? x[32'(source[j*64+16+:LaneW])*8+:8] : 8'd0;
      b2 = taken_i[j*4+2] ? x[32'(source[j*64+32+:LaneW])*8+:8] : 8'd0;
      b3 = taken_i[j*4+3] ? x[32'(source[j*64+48+:LaneW])*8+:8] : 8'd0;
      y[j*32+:32] = {b3, b2, b1, b0};
    end
  endtask

  localparam int unsigned StreamVectorW = VectorW;
`include "stream_place.svh"

  function automatic logic [VectorW-1:0] fetch(input logic from_west,
                                               input logic [StreamW-1:0] number);
    fetch = from_west ? west_i[stream_place(west_at_i, number)+:VectorW]
                      : east_i[stream_place(east_at_i, number)+:VectorW];
  endfunction

  // The moves, in the cycle of issue; the results wait.
  logic [OutW+4*VectorW-1:0] waiting[0:Depth-1];
  logic [OutW+4*VectorW-1:0] whole_q;
  logic [SlotW-1:0] slot_q;
  logic [VectorW-1:0] rows[0:Rows-1] /* verilator public_flat_rd */;

  /* verilator lint_off BLKSEQ */  // temporaries of this process
  logic [Pitch*16-1:0] source;
  logic [Pitch-1:0] taken;
  logic [4*VectorW-1:0] moved;
  /* verilator lint_off UNUSEDSIGNAL */  // the lanes beyond Lanes
  logic [Pitch*8-1:0] piece;
  /* verilator lint_on UNUSEDSIGNAL */
  always_ff @(posedge clk_i) begin
    if (en_i && valid_q[Latency-2]) whole_q <= waiting[slot_q];
    if (en_i && issue_i) begin
      if (op == pianola_pkg::SxmOpTransposeIn) begin
        rows[amount[RowW-1:0]] <= fetch(dir, stream[StreamW-1:0]);
      end else begin
        moved = '0;
        if (op == pianola_pkg::SxmOpTransposeOut) begin
          for (int unsigned g = 0; g < Lanes / Rows; g = g + 1) begin
            for (int unsigned i = 0; i < Rows; i = i + 1) begin
              moved[(g*Rows+i)*8+:8] = rows[i][(g*Rows+32'(amount[RowW-1:0]))*8+:8];
            end
          end
        end else begin
          find_sources(op, amount, segment_lanes, fetch(index_dir, index_stream[StreamW-1:0]),
                       source, taken);
          gather(fetch(dir, stream[StreamW-1:0]), source, taken, piece);
          moved[VectorW-1:0] = piece[VectorW-1:0];
          if (width != pianola_pkg::SxmWidthW1) begin
            gather(fetch(dir, stream[StreamW-1:0] + StreamW'(1)), source, taken, piece);
            moved[VectorW+:VectorW] = piece[VectorW-1:0];
          end
          if (width == pianola_pkg::SxmWidthW4) begin
            gather(fetch(dir, stream[StreamW-1:0] + StreamW'(2)), source, taken, piece);
            moved[2*VectorW+:VectorW] = piece[VectorW-1:0];
            gather(fetch(dir, stream[StreamW-1:0] + StreamW'(3)), source, taken, piece);
            moved[3*VectorW+:VectorW] = piece[VectorW-1:0];
          end
        end
        waiting[slot_q] <= {count, out_stream, out_dirs, moved};
      end
    end
  end
  /* verilator lint_on BLKSEQ */

  always_ff @(posedge clk_i) begin
    if (!rst_ni || start_i) slot_q <= '0;
    else if (en_i) slot_q <= 32'(slot_q) == Depth - 1 ? '0 : slot_q + SlotW'(1);
  end
  assign {out_q, out_data_o} = whole_q;
  logic unused_beat;
  assign unused_beat = &{1'b0, beat_i, live_i};
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni || start_i) valid_q <= '0;
    else if (en_i) valid_q <= {valid_q[Latency-2:0], issue_i && drives};
  end

  assign out_valid_o = valid_q[Latency-1];
  assign out_dirs_o = out_q[1:0];
  assign out_stream_o = out_q[2+:6];
  assign out_count_o = out_q[8+:3];
  assign busy_o = |valid_q[Latency-2:0];

  if (Checks) begin : gen_checks
    logic [31:0] fault_d, fault_q;
    logic [Rows-1:0] written_q;
    logic [3:0] needed;
    wire logic is_transpose =
        op == pianola_pkg::SxmOpTransposeIn || op == pianola_pkg::SxmOpTransposeOut;
    wire logic has_segment = op == pianola_pkg::SxmOpShift || op == pianola_pkg::SxmOpRotate;
    wire logic [14:0] distance = amount[14] ? -amount : amount;
    wire logic [Streams-1:0] defined = dir ? west_def_i : east_def_i;
    /* verilator lint_off UNUSEDSIGNAL */  // the streams of one move
    wire logic [Streams-1:0] shifted = defined >> stream[StreamW-1:0];
    /* verilator lint_on UNUSEDSIGNAL */
    wire logic [Streams-1:0] index_defined = index_dir ? west_def_i : east_def_i;

    always_comb begin
      fault_d = '0;
      needed = width == pianola_pkg::SxmWidthW4 ? 4'hf
          : width == pianola_pkg::SxmWidthW2 ? 4'h3 : 4'h1;
      if (op == pianola_pkg::SxmOpTransposeOut) needed = 4'h0;
      if (issue_i) begin
        if (op > pianola_pkg::SxmOpTransposeOut || width == 2'd3
            || (is_transpose && width != pianola_pkg::SxmWidthW1)
            || instr_i[156:pianola_pkg::SxmPayloadW] != '0
            || 32'(stream) + 32'(count) > Streams
            || (stream[1:0] & 2'(count - 3'd1)) != '0
            || (op == pianola_pkg::SxmOpPermute
                && (32'(index_stream) >= Streams || instr_i[pianola_pkg::SxmAmountLsb+:20] != '0))
            || (op != pianola_pkg::SxmOpPermute && (index_dir || index_stream != '0))
            || (!has_segment && segment != '0) || segment > pianola_pkg::LaneSegmentS256
            || (segment != '0 && (Lanes & (segment_lanes - 32'd1)) != 32'd0)
            || (drives && (out_dirs == '0 || 32'(out_stream) + 32'(count) > Streams
                           || (out_stream[1:0] & 2'(count - 3'd1)) != '0))
            || (!drives && (out_dirs != '0 || out_stream != '0))) begin
          fault_d[pianola_pkg::RuleIllegalEncoding] = 1'b1;
        end
        if ((needed & ~shifted[3:0]) != 4'd0
            || (op == pianola_pkg::SxmOpPermute
                && !index_defined[index_stream[StreamW-1:0]])) begin
          fault_d[pianola_pkg::RuleStreamUndefined] = 1'b1;
        end
        if ((has_segment && 32'(distance) >= segment_lanes)
            || (op == pianola_pkg::SxmOpDistribute && (amount[14] || 32'(amount[13:0]) >= Lanes))
            || (is_transpose && (amount[14] || 32'(amount[13:0]) >= Rows))) begin
          fault_d[pianola_pkg::RuleAddressRange] = 1'b1;
        end
        if (op == pianola_pkg::SxmOpTransposeOut && !(&written_q)) begin
          fault_d[pianola_pkg::RuleAccumulatorUndefined] = 1'b1;
        end
      end
    end
    always_ff @(posedge clk_i) begin
      if (!rst_ni || start_i) begin
        fault_q <= '0;
        written_q <= '0;
      end else if (en_i) begin
        fault_q <= fault_d;
        if (issue_i && op == pianola_pkg::SxmOpTransposeIn) written_q[amount[RowW-1:0]] <= 1'b1;
      end
    end
    assign fault_o = fault_q;
  end else begin : gen_no_checks
    assign fault_o = '0;
  end

endmodule

`default_nettype wire
