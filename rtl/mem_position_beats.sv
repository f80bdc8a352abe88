// A MEM position where a machine cycle takes so many clock edges (beats) that one issue engine and one
// address unit serve all queues in turn, and a slice is a memory of parts of words. Ports as of
// mem_position, whose synthesis form it is where Beats is at least 2 * Slices + 2.
//
// The turn of queue q is beat q + 1 of each machine cycle (sequencers_in_turn): there an access that issues
// in this cycle gets its address, which waits for the slice (mem_slice_beats). Only what a write takes from
// the streams must be known from the first beat on: it is found in the turn of the cycle before.
`default_nettype none

module mem_position_beats #(
  parameter int unsigned Lanes = 16,
  parameter int unsigned Streams = 16,
  parameter int unsigned Slices = 4,
  parameter int unsigned Words = 4096,
  parameter int unsigned Depth = 16,
  parameter int unsigned Beats = 16,
  parameter bit          Checks = 1'b1,
  localparam int unsigned PartW = Lanes * 8 / Beats,
  localparam int unsigned BeatCountW = $clog2(Beats),
  localparam int unsigned PayloadW = pianola_pkg::MemPayloadW,
  localparam int unsigned EntryW = pianola_pkg::TimingW + PayloadW
) (
  input  wire logic                    clk_i,
  input  wire logic                    rst_ni,
  input  wire logic                    start_i,
  input  wire logic [BeatCountW-1:0]   beat_i,
  input  wire logic                    live_i,
  input  wire logic                    en_i,
  input  wire logic [15:0]             now_i,
  input  wire logic [2*Slices-1:0]     push_i,
  input  wire logic [EntryW-1:0]       entry_i,
  input  wire logic [32*32-1:0]        regs_i,
  input  wire logic [Streams*PartW-1:0] east_i,  // of this beat
  input  wire logic [Streams*PartW-1:0] west_i,
  input  wire logic [Streams-1:0]      east_def_i,
  input  wire logic [Streams-1:0]      west_def_i,
  output logic [Slices-1:0]            out_valid_o,
  output logic [Slices*2-1:0]          out_dirs_o,
  output logic [Slices*6-1:0]          out_stream_o,
  output logic [Slices*PartW-1:0]      out_data_o,
  output logic                         holds_o,
  output logic                         busy_o,
  output logic [31:0]                  fault_o
);

  localparam int unsigned AddressW = $clog2(Words);
  localparam int unsigned StreamW = $clog2(Streams);
  localparam int unsigned QueueW = $clog2(2 * Slices);
  localparam int unsigned SliceW = (Slices > 1) ? $clog2(Slices) : 1;
  // Sums as in mem_slice: without checks only the bits that can matter, of a row 3 more.
  localparam int unsigned SumW = Checks ? 32 : AddressW + 3;
  localparam int unsigned LaneW = Checks ? 32 : $clog2(Lanes) + 2;

  if (pianola_pkg::latency_mem_read(Lanes) != 2) begin : gen_read_latency_other
    $error("mem_position_beats: mem_read must be 2");
  end
  if (pianola_pkg::latency_mem_write(Lanes) != 1) begin : gen_write_latency_other
    $error("mem_position_beats: mem_write must be 1");
  end

  // -- The queue whose turn it is --------------------------------------------------------------------
  logic                turn, issue;
  logic [QueueW-1:0]   queue;
  logic [PayloadW-1:0] instr;
  /* verilator lint_off UNUSEDSIGNAL */  // of the next one only the stream matters
  logic [PayloadW-1:0] next_instr;
  /* verilator lint_on UNUSEDSIGNAL */
  logic [19:0]         offset;
  logic [8:0]          lane_offset;
  logic [31:0]         queue_fault, access_fault, word_fault;
  sequencers_in_turn #(
    .Queues(2 * Slices), .Depth(Depth), .Beats(Beats), .Checks(Checks)
  ) u_queues (
    .clk_i(clk_i), .rst_ni(rst_ni), .start_i(start_i), .beat_i(beat_i), .live_i(live_i),
    .en_i(en_i), .now_i(now_i), .push_i(push_i), .entry_i(entry_i), .turn_o(turn),
    .queue_o(queue), .issue_o(issue), .instr_o(instr), .next_instr_o(next_instr),
    .offset_o(offset), .lane_offset_o(lane_offset), .holds_o(holds_o), .fault_o(queue_fault)
  );

  // The index of a GATHER is in lane 0, which passes in beat 0.
  logic [Streams*8-1:0] east_lane0_q, west_lane0_q;
  for (genvar s = 0; s < Streams; s++) begin : gen_lane0
    always_ff @(posedge clk_i) begin
      if (live_i && (beat_i == '0)) begin
        east_lane0_q[s*8 +: 8] <= east_i[s*PartW +: 8];
        west_lane0_q[s*8 +: 8] <= west_i[s*PartW +: 8];
      end
    end
  end

  // -- The accesses of all slices: found in their turns, those of the cycle before, drives -------------
  logic [Slices-1:0]          turned_read_q, turned_write_q, read_q, write_q, drive_q;
  logic [Slices*AddressW-1:0] turned_read_address_q, read_address_q, reading_address_q;
  logic [Slices*AddressW-1:0] turned_write_address_q, write_address_q;
  logic [Slices*(StreamW+1)-1:0] turned_read_to_q, read_to_q, drive_to_q;   // {stream, west}
  logic [Slices*(StreamW+1)-1:0] turned_write_from_q, write_from_q;
  logic [Slices*Lanes-1:0]    turned_enable_q, enable_q;
  logic [Slices-1:0]          reading_q;

  // -- Its access ------------------------------------------------------------------------------------
  wire logic                writes = queue >= QueueW'(Slices);
  wire logic [SliceW-1:0]   slice = SliceW'(writes ? queue - QueueW'(Slices) : queue);
  wire logic [1:0]          op = instr[pianola_pkg::MemOpLsb +: 2];
  wire logic                west = instr[pianola_pkg::MemDirLsb];
  wire logic [5:0]          stream = instr[pianola_pkg::MemStreamLsb +: 6];
  wire logic [5:0]          index_stream = instr[pianola_pkg::MemIndexStreamLsb +: 6];
  wire logic [15:0]         address = instr[pianola_pkg::MemAddressLsb +: pianola_pkg::MemAddressW];
  wire logic [pianola_pkg::MemRowW-1:0] row =
      instr[pianola_pkg::MemRowLsb +: pianola_pkg::MemRowW];
  wire logic                gathers = !writes && (op == pianola_pkg::MemOpGather);
  wire logic                one_lane = writes && (op == pianola_pkg::MemOpWriteLane);
  wire logic [pianola_pkg::MemRowsW-1:0] rows = (writes && (op == pianola_pkg::MemOpWrite)) ?
      instr[pianola_pkg::MemRowsLsb +: pianola_pkg::MemRowsW] : '0;
  wire logic                in_rows = rows != '0;

  function automatic logic [StreamW-1:0] own_stream(input logic [5:0] named,
                                                    input logic [SliceW-1:0] number);
    own_stream = StreamW'(named) + StreamW'(number);
  endfunction

  // The read that issues beside a write: it had its turn before.
  logic                beside;
  logic [AddressW-1:0] beside_address;
  always_comb begin
    beside = 1'b0;
    beside_address = '0;
    for (int unsigned k = 0; k < Slices; k++) begin
      if (slice == SliceW'(k)) begin
        beside = turned_read_q[k];
        beside_address = turned_read_address_q[k*AddressW +: AddressW];
      end
    end
  end

  logic [SumW-1:0]  first_sum, sum;
  logic [15:0]      first, index, addend;
  logic [LaneW-1:0] lane_sum, lane;
  logic             next_word, here;
  always_comb begin
    // Field, steps and launch register.
    first = in_rows ? 16'(row) : address;
    first_sum = SumW'(first) + SumW'($signed(offset)) +
        SumW'(regs_i[{instr[pianola_pkg::MemRegLsb +: pianola_pkg::MemRegW], 5'd0} +: 32]);
    index = instr[pianola_pkg::MemIndexDirLsb] ?
        west_lane0_q[{index_stream[StreamW-1:1], 4'd0} +: 16] :
        east_lane0_q[{index_stream[StreamW-1:1], 4'd0} +: 16];
    if (index > instr[pianola_pkg::MemLimitLsb +: 16]) begin
      index = instr[pianola_pkg::MemLimitLsb +: 16];
    end
    lane_sum = LaneW'(regs_i[{instr[pianola_pkg::MemLaneRegLsb +: 5], 5'd0} +: 32]) +
        LaneW'(instr[pianola_pkg::MemLaneLsb +: 9]) + LaneW'(lane_offset);
    next_word = one_lane && (lane_sum >= LaneW'(Lanes));
    lane = next_word ? lane_sum - LaneW'(Lanes) : lane_sum;
    // The index, the address behind a row, or the word of a lane that is in the next one.
    addend = gathers ? index : in_rows ? address : 16'(next_word);
    sum = (first_sum >> rows) + SumW'(addend);
    here = !in_rows || (((first_sum[2:0] ^ 3'(slice)) & ~(3'b111 << rows)) == '0);
  end

  always_comb begin
    access_fault = '0;
    if (issue) begin
      access_fault[pianola_pkg::RuleAddressRange] = (32'(sum) >= Words) ||
          (in_rows && first_sum[SumW-1]) || (one_lane && (lane >= LaneW'(Lanes)));
      // Reads use an even opcode, writes an odd one; the index is a pair of streams.
      access_fault[pianola_pkg::RuleIllegalEncoding] = (op[0] != writes) ||
          (32'(stream) >= Streams) ||
          (gathers && (index_stream[0] || (32'(index_stream) >= Streams))) ||
          (writes && !in_rows && (row != '0));
      if (writes) begin
        access_fault[pianola_pkg::RuleStreamUndefined] = west ?
            !west_def_i[in_rows ? StreamW'(stream) : own_stream(stream, slice)] :
            !east_def_i[in_rows ? StreamW'(stream) : own_stream(stream, slice)];
        access_fault[pianola_pkg::RuleBankConflict] = beside &&
            ((beside_address >= AddressW'(Words / 2)) ==
             (sum[AddressW-1:0] >= AddressW'(Words / 2)));
        access_fault[pianola_pkg::RuleMemoryHazard] =
            beside && here && (beside_address == sum[AddressW-1:0]);
      end else if (gathers) begin
        access_fault[pianola_pkg::RuleStreamUndefined] =
            instr[pianola_pkg::MemIndexDirLsb] ?
            !(&west_def_i[{index_stream[StreamW-1:1], 1'b0} +: 2]) :
            !(&east_def_i[{index_stream[StreamW-1:1], 1'b0} +: 2]);
      end
    end
  end

  // -- On its way ------------------------------------------------------------------------------------
  always_ff @(posedge clk_i) begin
    if (!rst_ni || start_i) begin
      turned_read_q <= '0;
      turned_write_q <= '0;
      read_q <= '0;
      write_q <= '0;
      drive_q <= '0;
    end else begin
      if (turn && !writes) turned_read_q[slice] <= issue;
      if (turn && writes) turned_write_q[slice] <= issue;
      if (en_i) begin
        read_q <= turned_read_q;
        write_q <= turned_write_q;
        drive_q <= read_q;
      end
    end
  end
  for (genvar k = 0; k < Slices; k++) begin : gen_access
    always_ff @(posedge clk_i) begin
      if (turn && !writes && (slice == SliceW'(k))) begin
        turned_read_address_q[k*AddressW +: AddressW] <= sum[AddressW-1:0];
        turned_read_to_q[k*(StreamW+1) +: StreamW+1] <= {own_stream(stream, slice), west};
      end
      if (turn && writes && (slice == SliceW'(k))) begin
        turned_write_address_q[k*AddressW +: AddressW] <= sum[AddressW-1:0];
        turned_enable_q[k*Lanes +: Lanes] <=
            !here ? '0 : one_lane ? (Lanes'(1) << lane) : '1;
        turned_write_from_q[k*(StreamW+1) +: StreamW+1] <= {
            ((next_instr[pianola_pkg::MemOpLsb +: 2] == pianola_pkg::MemOpWrite) &&
             (next_instr[pianola_pkg::MemRowsLsb +: pianola_pkg::MemRowsW] != '0)) ?
            StreamW'(next_instr[pianola_pkg::MemStreamLsb +: 6]) :
            own_stream(next_instr[pianola_pkg::MemStreamLsb +: 6], slice),
            next_instr[pianola_pkg::MemDirLsb]};
      end
    end
  end
  always_ff @(posedge clk_i) begin
    if (en_i) begin
      read_address_q <= turned_read_address_q;
      read_to_q <= turned_read_to_q;
      drive_to_q <= read_to_q;
      write_address_q <= turned_write_address_q;
      write_from_q <= turned_write_from_q;
      enable_q <= turned_enable_q;
    end
    // A read begins one beat before its cycle.
    if (live_i && (beat_i == BeatCountW'(Beats - 2))) begin
      reading_address_q <= read_address_q;
      reading_q <= read_q;
    end
  end

  for (genvar k = 0; k < Slices; k++) begin : gen_slice
    wire logic [StreamW-1:0] from = write_from_q[k*(StreamW+1)+1 +: StreamW];
    mem_slice_beats #(.Lanes(Lanes), .Words(Words), .Beats(Beats)) u_slice (
      .clk_i(clk_i), .beat_i(beat_i), .live_i(live_i), .read_i(reading_q[k]),
      .read_address_i(reading_address_q[k*AddressW +: AddressW]), .write_i(write_q[k]),
      .write_address_i(write_address_q[k*AddressW +: AddressW]),
      .write_enable_i(enable_q[k*Lanes +: Lanes]),
      .data_i(write_from_q[k*(StreamW+1)] ? west_i[32'(from)*PartW +: PartW] :
              east_i[32'(from)*PartW +: PartW]),
      .out_data_o(out_data_o[k*PartW +: PartW])
    );
    assign out_dirs_o[k*2 +: 2] =
        {drive_to_q[k*(StreamW+1)], !drive_to_q[k*(StreamW+1)]};
    assign out_stream_o[k*6 +: 6] = 6'(drive_to_q[k*(StreamW+1)+1 +: StreamW]);
  end
  assign out_valid_o = drive_q;
  assign busy_o = (|read_q) || (|write_q) || (|drive_q);

  // Words that nothing has written.
  if (Checks) begin : gen_checks
    logic [Slices-1:0] undefined;
    for (genvar k = 0; k < Slices; k++) begin : gen_written
      logic written [0:(1<<AddressW)-1]  /* verilator public_flat_rd */;
      always_ff @(posedge clk_i) begin
        if (live_i && (beat_i == '0) && write_q[k] && (|enable_q[k*Lanes +: Lanes])) begin
          written[write_address_q[k*AddressW +: AddressW]] <= 1'b1;
        end
      end
      assign undefined[k] =
          en_i && read_q[k] && !written[read_address_q[k*AddressW +: AddressW]];
    end
    always_comb begin
      word_fault = '0;
      word_fault[pianola_pkg::RuleMemoryUndefined] = |undefined;
    end
  end else begin : gen_no_checks
    assign word_fault = '0;
  end
  assign fault_o = queue_fault | access_fault | word_fault;

endmodule

`default_nettype wire
