// A MEM position: Slices slices, each with a queue of reads and one of writes.
//
// Queue k reads for slice k, queue Slices + k writes for it. What they do is said in sequencer.sv
// and mem_slice.sv: two sequencers and a mem_slice per slice, or with enough beats to a machine cycle
// mem_position_beats. For hardware; a simulation has all positions in one process, see memory_row.sv.
`default_nettype none

module mem_position #(
  parameter int unsigned Lanes = 16,
  parameter int unsigned Streams = 16,
  parameter int unsigned Slices = 4,
  parameter int unsigned Words = 4096,
  parameter int unsigned Depth = 16,
  parameter int unsigned Beats = 1,  // clock edges per machine cycle
  parameter bit          Checks = 1'b1,
  localparam int unsigned V = Lanes * 8,
  localparam int unsigned BeatW = V / Beats,
  localparam int unsigned BeatCountW = (Beats > 1) ? $clog2(Beats) : 1,
  localparam int unsigned PayloadW = pianola_pkg::MemPayloadW,
  localparam int unsigned EntryW = pianola_pkg::TimingW + PayloadW
) (
  input  wire logic                 clk_i,
  input  wire logic                 rst_ni,
  input  wire logic                 start_i,
  input  wire logic [BeatCountW-1:0] beat_i,
  input  wire logic                 live_i,
  input  wire logic                 en_i,
  input  wire logic [15:0]          now_i,
  input  wire logic [2*Slices-1:0]  push_i,
  input  wire logic [EntryW-1:0]    entry_i,
  input  wire logic [32*32-1:0]     regs_i,
  input  wire logic [Streams*BeatW-1:0] east_i,  // of this beat
  input  wire logic [Streams*BeatW-1:0] west_i,
  input  wire logic [Streams-1:0]   east_def_i,
  input  wire logic [Streams-1:0]   west_def_i,
  output logic [Slices-1:0]         out_valid_o,
  output logic [Slices*2-1:0]       out_dirs_o,
  output logic [Slices*6-1:0]       out_stream_o,
  output logic [Slices*BeatW-1:0]   out_data_o,
  output logic                      holds_o,   // a queue holds an instruction
  output logic                      busy_o,    // an access is on its way
  output logic [31:0]               fault_o
);

  if (Beats >= 2 * Slices + 2) begin : gen_in_turn
    mem_position_beats #(
      .Lanes(Lanes), .Streams(Streams), .Slices(Slices), .Words(Words), .Depth(Depth),
      .Beats(Beats), .Checks(Checks)
    ) u_position (
      .clk_i(clk_i), .rst_ni(rst_ni), .start_i(start_i), .beat_i(beat_i), .live_i(live_i),
      .en_i(en_i), .now_i(now_i), .push_i(push_i), .entry_i(entry_i), .regs_i(regs_i),
      .east_i(east_i), .west_i(west_i), .east_def_i(east_def_i), .west_def_i(west_def_i),
      .out_valid_o(out_valid_o), .out_dirs_o(out_dirs_o), .out_stream_o(out_stream_o),
      .out_data_o(out_data_o), .holds_o(holds_o), .busy_o(busy_o), .fault_o(fault_o)
    );
  end else begin : gen_at_once
    logic [2*Slices-1:0]  queue_holds;
    logic [Slices-1:0]    slice_busy;
    logic [Slices*32-1:0] slice_fault;
    for (genvar k = 0; k < Slices; k++) begin : gen_slice
      logic                read_issue, write_issue;
      logic [PayloadW-1:0] read_instr, write_instr;
      logic [19:0]         read_offset, write_offset;
      logic [8:0]          lane_offset;
      logic [31:0]         read_fault, write_fault, access_fault;
      sequencer #(
        .Depth(Depth), .PayloadW(PayloadW), .OffsetAW(20),
        .A1Lsb(pianola_pkg::MemS1Lsb), .A1W(pianola_pkg::MemS1W),
        .A2Lsb(pianola_pkg::MemS2Lsb), .A2W(pianola_pkg::MemS2W),
        .A3Lsb(pianola_pkg::MemS3Lsb), .A3W(pianola_pkg::MemS3W), .OffsetBW(1), .Checks(Checks)
      ) u_read_queue (
        .clk_i(clk_i), .rst_ni(rst_ni), .start_i(start_i), .en_i(en_i), .now_i(now_i),
        .push_i(push_i[k]), .entry_i(entry_i), .want_o(), .issue_o(read_issue),
        .instr_o(read_instr), .first1_o(), .last1_o(), .first2_o(), .last2_o(), .first3_o(),
        .last3_o(), .a_offset_o(read_offset), .b_offset_o(), .holds_o(queue_holds[k]),
        .fault_o(read_fault)
      );
      sequencer #(
        .Depth(Depth), .PayloadW(PayloadW), .OffsetAW(20),
        .A1Lsb(pianola_pkg::MemS1Lsb), .A1W(pianola_pkg::MemS1W),
        .A2Lsb(pianola_pkg::MemS2Lsb), .A2W(pianola_pkg::MemS2W),
        .A3Lsb(pianola_pkg::MemS3Lsb), .A3W(pianola_pkg::MemS3W), .OffsetBW(9),
        .B1Lsb(pianola_pkg::MemLaneStepLsb), .B1W(pianola_pkg::MemLaneStepW),
        .BUnsigned(1'b1), .Checks(Checks)
      ) u_write_queue (
        .clk_i(clk_i), .rst_ni(rst_ni), .start_i(start_i), .en_i(en_i), .now_i(now_i),
        .push_i(push_i[Slices + k]), .entry_i(entry_i), .want_o(), .issue_o(write_issue),
        .instr_o(write_instr), .first1_o(), .last1_o(), .first2_o(), .last2_o(), .first3_o(),
        .last3_o(), .a_offset_o(write_offset), .b_offset_o(lane_offset),
        .holds_o(queue_holds[Slices + k]), .fault_o(write_fault)
      );
      mem_slice #(
        .Lanes(Lanes), .Streams(Streams), .Words(Words), .Slice(k), .Beats(Beats),
        .Checks(Checks)
      ) u_slice (
        .clk_i(clk_i), .rst_ni(rst_ni), .start_i(start_i), .beat_i(beat_i), .live_i(live_i),
        .en_i(en_i),
        .read_issue_i(read_issue), .read_instr_i(157'(read_instr)), .read_offset_i(read_offset),
        .write_issue_i(write_issue), .write_instr_i(157'(write_instr)),
        .write_offset_i(write_offset), .write_lane_offset_i(lane_offset), .regs_i(regs_i),
        .east_i(east_i), .west_i(west_i), .east_def_i(east_def_i), .west_def_i(west_def_i),
        .out_valid_o(out_valid_o[k]), .out_dirs_o(out_dirs_o[k*2 +: 2]),
        .out_stream_o(out_stream_o[k*6 +: 6]), .out_data_o(out_data_o[k*BeatW +: BeatW]),
        .busy_o(slice_busy[k]), .fault_o(access_fault)
      );
      assign slice_fault[k*32 +: 32] = read_fault | write_fault | access_fault;
    end
    always_comb begin
      fault_o = '0;
      for (int unsigned k = 0; k < Slices; k++) begin
        fault_o = fault_o | slice_fault[k*32 +: 32];
      end
    end
    assign holds_o = |queue_holds;
    assign busy_o = |slice_busy;
  end

endmodule

`default_nettype wire
