// A MEM position: Slices slices, each with a queue of reads and one of writes.
//
// Queue k reads for slice k, queue Slices + k writes for it. What they do is said in sequencer.sv
// and mem_slice.sv. Two forms, equal at the ports for every program that breaks no rule:
// - synthesis: two sequencers and a mem_slice per slice, or with enough beats to a machine cycle
//   mem_position_beats;
// - simulation (Verilator, unless PIANOLA_SYNTHESIS_FORM is defined): one process over the state of
//   all slices, in loops that only queues and slices with something to do enter. The other form
//   costs the simulator some 400 instructions per slice and cycle even where nothing happens, and
//   the code of all slices of a core, which the first cache does not hold.
// The simulation form names a fault one cycle later.
`default_nettype none

`ifdef VERILATOR
`ifndef PIANOLA_SYNTHESIS_FORM
`define PIANOLA_MEM_FAST
`endif
`endif

module mem_position #(
  parameter int unsigned Lanes = 16,
  parameter int unsigned Streams = 16,
  parameter int unsigned Slices = 4,
  parameter int unsigned Words = 4096,
  parameter int unsigned Depth = 16,
  parameter int unsigned Beats = 1,  // clock edges per machine cycle; the synthesis form only
  parameter bit          Checks = 1'b1,
  parameter int unsigned StreamRows = 1,   // see stream_row; 1: only the position's own
  localparam int unsigned V = Lanes * 8,
  localparam int unsigned BeatW = V / Beats,
  localparam int unsigned StoreW =
      (StreamRows == 1) ? Streams * BeatW : (2 * StreamRows * Streams) << $clog2(BeatW),
  localparam int unsigned AtW = Streams + 8,
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
  input  wire logic [StoreW-1:0]    east_i,  // of this beat
  input  wire logic [StoreW-1:0]    west_i,
  input  wire logic [AtW-1:0]       east_at_i,
  input  wire logic [AtW-1:0]       west_at_i,
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

`ifdef PIANOLA_MEM_FAST
  localparam int unsigned Queues = 2 * Slices;
  localparam int unsigned PointerW = (Depth > 1) ? $clog2(Depth) : 1;
  localparam int unsigned Pitch = 1 << PointerW;  // entries of one queue
  localparam int unsigned CountW = $clog2(Depth + 1);
  localparam int unsigned Base = pianola_pkg::TimingLsb;
  localparam int unsigned StartLsb = pianola_pkg::TimingStartLsb - Base;
  localparam int unsigned N1Lsb = pianola_pkg::TimingN1Lsb - Base;
  localparam int unsigned P1Lsb = pianola_pkg::TimingP1Lsb - Base;
  localparam int unsigned N2Lsb = pianola_pkg::TimingN2Lsb - Base;
  localparam int unsigned P2Lsb = pianola_pkg::TimingP2Lsb - Base;
  localparam int unsigned N3Lsb = pianola_pkg::TimingN3Lsb - Base;
  localparam int unsigned P3Lsb = pianola_pkg::TimingP3Lsb - Base;
  localparam int unsigned Pay = pianola_pkg::TimingW;  // first bit of the payload in an entry

  localparam int unsigned AddressW = $clog2(Words);
  localparam int unsigned BankWords = Words / 2;
  localparam int unsigned BankW = (BankWords > 1) ? $clog2(BankWords) : 1;
  localparam int unsigned StreamW = $clog2(Streams);
  localparam int unsigned SliceW = (Slices > 1) ? $clog2(Slices) : 1;
  localparam int unsigned QueueW = $clog2(Queues);

  if (pianola_pkg::latency_mem_read(Lanes) != 2) begin : gen_read_latency_other
    $error("mem_position: mem_read must be 2");
  end
  if (pianola_pkg::latency_mem_write(Lanes) != 1) begin : gen_write_latency_other
    $error("mem_position: mem_write must be 1");
  end

  // All state but what leaves the module belongs to the one process below and is assigned at once.
  // Names that begin with queue_ are those of the sequencers.
  logic [EntryW-1:0]   queue_mem [0:Queues*Pitch-1]  /* verilator public_flat_rd */;
  logic [EntryW-1:0]   queue_current [0:Queues-1]    /* verilator public_flat_rd */;
  logic [15:0]         queue_time1 [0:Queues-1]      /* verilator public_flat_rd */;
  logic [Queues-1:0]   queue_live                    /* verilator public_flat_rd */;
  logic [Queues-1:0]   queue_waits;  // something is stored behind the current instruction
  logic [15:0]         queue_time2 [0:Queues-1];
  logic [15:0]         queue_time3 [0:Queues-1];
  logic [pianola_pkg::TimingN1W-1:0] queue_index1 [0:Queues-1];
  logic [pianola_pkg::TimingN2W-1:0] queue_index2 [0:Queues-1];
  logic [pianola_pkg::TimingN3W-1:0] queue_index3 [0:Queues-1];
  logic [PointerW-1:0] queue_read [0:Queues-1];
  logic [PointerW-1:0] queue_write [0:Queues-1];
  logic [CountW-1:0]   queue_stored [0:Queues-1];
  logic [19:0]         queue_offset1 [0:Queues-1];
  logic [19:0]         queue_offset2 [0:Queues-1];
  logic [19:0]         queue_offset3 [0:Queues-1];
  logic [8:0]          queue_lane [0:Queues-1];      // offset of the lane, of level 1

  // Banks 0 and 1 of slice 0, of slice 1, ..., each at a power of two, and which words are written.
  localparam int unsigned SlicePitch = 2 << BankW;
  logic [V-1:0]        banks [0:Slices*SlicePitch-1]    /* verilator public_flat_rd */;
  logic                written [0:Slices*SlicePitch-1]  /* verilator public_flat_rd */;

  // Accesses that reach their bank in this cycle.
  logic [Slices-1:0]   read_valid, write_valid, write_here, write_one_lane;
  logic [31:0]         read_at [0:Slices-1];
  logic [31:0]         write_at [0:Slices-1];
  logic [31:0]         write_lane [0:Slices-1];
  logic [V-1:0]        write_data [0:Slices-1];
  logic [7:0]          read_to [0:Slices-1];  // {stream, directions}

  /* verilator lint_off BLKSEQ */  // one process, and temporaries of it
  /* verilator lint_off UNUSEDSIGNAL */  // of an entry every part has its reader, of sums some bits
  // Loops end at a variable, so that Verilator keeps them.
  logic [31:0]         k, q, slices, queues, fault;
  logic [Queues-1:0]   want, active;
  logic [EntryW-1:0]   entry;
  logic                last1, last2, last3, finish, take, bank, read_bank, drives;
  logic [31:0]         sum, read_sum, lane;
  logic [15:0]         index;
  logic [2:0]          rows;
  logic [StreamW-1:0]  stream;
  logic [19:0]         step;
  logic [Slices*V-1:0] out_next;
  logic [Slices*8-1:0] out_to;
  // What is driven, in the word of a memory: no cost where nothing is read.
  logic [Slices*(V+8)-1:0] out [0:0];
  always_latch begin
    if (out_valid_o != '0) {out_stream_o, out_dirs_o, out_data_o} = out[0];
  end

  localparam int unsigned StreamVectorW = V;
`include "stream_place.svh"

  function automatic logic [31:0] place(input logic [31:0] slice, input logic [31:0] address);
    logic [31:0] in_slice;
    in_slice = address & ((32'd1 << AddressW) - 32'd1);
    place = slice * SlicePitch + ((in_slice >= BankWords) ?
        (32'd1 << BankW) + ((in_slice - BankWords) & ((32'd1 << BankW) - 32'd1)) : in_slice);
  endfunction

  // Levels must nest, and unused levels have no period.
  function automatic logic is_illegal(input logic [EntryW-1:0] timing);
    logic [31:0] n1, p1, n2, p2, n3, p3;
    n1 = 32'(timing[N1Lsb +: pianola_pkg::TimingN1W]);
    p1 = 32'(timing[P1Lsb +: pianola_pkg::TimingP1W]);
    n2 = 32'(timing[N2Lsb +: pianola_pkg::TimingN2W]);
    p2 = 32'(timing[P2Lsb +: pianola_pkg::TimingP2W]);
    n3 = 32'(timing[N3Lsb +: pianola_pkg::TimingN3W]);
    p3 = 32'(timing[P3Lsb +: pianola_pkg::TimingP3W]);
    is_illegal = ((n1 != '0) ? (p1 == '0) : (p1 != '0)) ||
                 ((n2 != '0) ? (p2 <= n1 * p1) : (p2 != '0)) ||
                 ((n3 != '0) ? (p3 <= n1 * p1 + n2 * p2) : (p3 != '0));
  endfunction

  always_ff @(posedge clk_i) begin
    fault = '0;
    if (!rst_ni || start_i) begin
      queue_live = '0;
      queue_waits = '0;
      read_valid = '0;
      write_valid = '0;
      for (int unsigned i = 0; i < Queues; i++) begin
        queue_stored[i] = '0;
        queue_read[i] = '0;
        queue_write[i] = '0;
      end
      out_valid_o <= '0;
      holds_o <= 1'b0;
      busy_o <= 1'b0;
    end else if (en_i) begin
      for (int unsigned i = 0; i < Queues; i++) begin
        want[i] = queue_live[i] && (queue_time1[i] == now_i);
      end

      // The banks, for accesses of the cycle before: reads see the words before these writes.
      out_valid_o <= read_valid;
      drives = read_valid != '0;
      if (read_valid != '0) begin
        slices = Slices;
        for (k = 0; k < slices; k = k + 1) begin
          if (read_valid[k[SliceW-1:0]]) begin
            out_next[k*V +: V] = banks[read_at[k]];
            out_to[k*2 +: 2] = read_to[k][1:0];
            out_to[2*Slices + k*6 +: 6] = read_to[k][7:2];
            if (Checks && !written[read_at[k]]) fault[pianola_pkg::RuleMemoryUndefined] = 1'b1;
          end
        end
        out[0] <= {out_to, out_next};
      end
      if (write_valid != '0) begin
        slices = Slices;
        for (k = 0; k < slices; k = k + 1) begin
          if (write_valid[k[SliceW-1:0]] && write_here[k[SliceW-1:0]]) begin
            if (!write_one_lane[k[SliceW-1:0]]) begin
              banks[write_at[k]] = write_data[k];
            end else begin
              banks[write_at[k]][write_lane[k]*8 +: 8] = write_data[k][write_lane[k]*8 +: 8];
            end
            if (Checks) written[write_at[k]] = 1'b1;
          end
        end
      end

      // The accesses that issue.
      read_valid = want[Slices-1:0];
      write_valid = want[Queues-1:Slices];
      if (want != '0) begin
        slices = Slices;
        for (k = 0; k < slices; k = k + 1) begin
          read_sum = '0;
          read_bank = 1'b0;
          if (read_valid[k[SliceW-1:0]]) begin
            entry = queue_current[k];
            read_sum = 32'(entry[Pay + pianola_pkg::MemAddressLsb +: pianola_pkg::MemAddressW]) +
                32'($signed(queue_offset1[k])) +
                regs_i[{entry[Pay + pianola_pkg::MemRegLsb +: pianola_pkg::MemRegW], 5'd0} +: 32];
            if (entry[Pay + pianola_pkg::MemOpLsb +: 2] == pianola_pkg::MemOpGather) begin
              // The index is a pair of streams.
              stream = entry[Pay + pianola_pkg::MemIndexStreamLsb +: StreamW] & ~StreamW'(1);
              if (entry[Pay + pianola_pkg::MemIndexDirLsb] == pianola_pkg::DirectionEast) begin
                index = {east_i[stream_place(east_at_i, stream | StreamW'(1)) +: 8],
                         east_i[stream_place(east_at_i, stream) +: 8]};
                if (!east_def_i[stream] || !east_def_i[stream | StreamW'(1)]) begin
                  fault[pianola_pkg::RuleStreamUndefined] = 1'b1;
                end
              end else begin
                index = {west_i[stream_place(west_at_i, stream | StreamW'(1)) +: 8],
                         west_i[stream_place(west_at_i, stream) +: 8]};
                if (!west_def_i[stream] || !west_def_i[stream | StreamW'(1)]) begin
                  fault[pianola_pkg::RuleStreamUndefined] = 1'b1;
                end
              end
              if (index > entry[Pay + pianola_pkg::MemLimitLsb +: 16]) begin
                index = entry[Pay + pianola_pkg::MemLimitLsb +: 16];
              end
              read_sum = read_sum + 32'(index);
              if (entry[Pay + pianola_pkg::MemIndexStreamLsb] ||
                  (32'(entry[Pay + pianola_pkg::MemIndexStreamLsb +: 6]) >= Streams)) begin
                fault[pianola_pkg::RuleIllegalEncoding] = 1'b1;
              end
            end
            if (entry[Pay + pianola_pkg::MemOpLsb] ||
                (32'(entry[Pay + pianola_pkg::MemStreamLsb +: 6]) >= Streams)) begin
              fault[pianola_pkg::RuleIllegalEncoding] = 1'b1;
            end
            if (read_sum >= Words) fault[pianola_pkg::RuleAddressRange] = 1'b1;
            read_bank = (read_sum & ((32'd1 << AddressW) - 32'd1)) >= BankWords;
            read_at[k] = place(k, read_sum);
            stream = StreamW'(32'(entry[Pay + pianola_pkg::MemStreamLsb +: 6]) + k);
            read_to[k] = {6'(stream), entry[Pay + pianola_pkg::MemDirLsb],
                          !entry[Pay + pianola_pkg::MemDirLsb]};
          end
          if (write_valid[k[SliceW-1:0]]) begin
            entry = queue_current[k + Slices];
            rows = '0;
            if (entry[Pay + pianola_pkg::MemOpLsb +: 2] == pianola_pkg::MemOpWrite) begin
              rows = 3'(entry[Pay + pianola_pkg::MemRowsLsb +: pianola_pkg::MemRowsW]);
            end
            sum = 32'($signed(queue_offset1[k + Slices])) +
                regs_i[{entry[Pay + pianola_pkg::MemRegLsb +: pianola_pkg::MemRegW], 5'd0} +: 32];
            stream = StreamW'(entry[Pay + pianola_pkg::MemStreamLsb +: 6]);
            write_here[k[SliceW-1:0]] = 1'b1;
            write_one_lane[k[SliceW-1:0]] = 1'b0;
            if (rows != '0) begin
              // All slices take the same stream, the one that the row belongs to keeps it.
              sum = sum + 32'(entry[Pay + pianola_pkg::MemRowLsb +: pianola_pkg::MemRowW]);
              if (sum[31]) fault[pianola_pkg::RuleAddressRange] = 1'b1;
              write_here[k[SliceW-1:0]] = ((sum[2:0] ^ k[2:0]) & ~(3'b111 << rows)) == '0;
              sum = sum >> rows;
            end else begin
              stream = StreamW'(32'(stream) + k);
              if (entry[Pay + pianola_pkg::MemRowLsb +: pianola_pkg::MemRowW] != '0) begin
                fault[pianola_pkg::RuleIllegalEncoding] = 1'b1;
              end
            end
            sum = sum + 32'(entry[Pay + pianola_pkg::MemAddressLsb +: pianola_pkg::MemAddressW]);
            if (entry[Pay + pianola_pkg::MemOpLsb +: 2] == pianola_pkg::MemOpWriteLane) begin
              lane = regs_i[{entry[Pay + pianola_pkg::MemLaneRegLsb +: 5], 5'd0} +: 32] +
                     32'(entry[Pay + pianola_pkg::MemLaneLsb +: 9]) + 32'(queue_lane[k + Slices]);
              if (lane >= Lanes) begin
                lane = lane - Lanes;
                sum = sum + 32'd1;
              end
              if (lane >= Lanes) fault[pianola_pkg::RuleAddressRange] = 1'b1;
              write_one_lane[k[SliceW-1:0]] = 1'b1;
              write_lane[k] = (lane >= Lanes) ? '0 : lane;
            end
            if (entry[Pay + pianola_pkg::MemDirLsb] == pianola_pkg::DirectionEast) begin
              write_data[k] = east_i[stream_place(east_at_i, stream) +: V];
              if (!east_def_i[stream]) fault[pianola_pkg::RuleStreamUndefined] = 1'b1;
            end else begin
              write_data[k] = west_i[stream_place(west_at_i, stream) +: V];
              if (!west_def_i[stream]) fault[pianola_pkg::RuleStreamUndefined] = 1'b1;
            end
            if (!entry[Pay + pianola_pkg::MemOpLsb] ||
                (32'(entry[Pay + pianola_pkg::MemStreamLsb +: 6]) >= Streams)) begin
              fault[pianola_pkg::RuleIllegalEncoding] = 1'b1;
            end
            if (sum >= Words) fault[pianola_pkg::RuleAddressRange] = 1'b1;
            write_at[k] = place(k, sum);
            if (read_valid[k[SliceW-1:0]]) begin
              bank = (sum & ((32'd1 << AddressW) - 32'd1)) >= BankWords;
              if (bank == read_bank) fault[pianola_pkg::RuleBankConflict] = 1'b1;
              // The writes that a read may not yet see are those of its own cycle.
              if (write_here[k[SliceW-1:0]] && (sum == read_sum)) begin
                fault[pianola_pkg::RuleMemoryHazard] = 1'b1;
              end
            end
          end
        end
      end

      // The queues, as sequencer.sv.
      active = push_i | want | (queue_waits & ~queue_live);
      if (active != '0) begin
        queues = Queues;
        for (q = 0; q < queues; q = q + 1) begin
          if (active[q[QueueW-1:0]]) begin
            finish = 1'b0;
            if (want[q[QueueW-1:0]]) begin
              entry = queue_current[q];
              last1 = queue_index1[q] == entry[N1Lsb +: pianola_pkg::TimingN1W];
              last2 = queue_index2[q] == entry[N2Lsb +: pianola_pkg::TimingN2W];
              last3 = queue_index3[q] == entry[N3Lsb +: pianola_pkg::TimingN3W];
              if (!last1) begin
                queue_index1[q] = queue_index1[q] + 1'b1;
                queue_time1[q] = queue_time1[q] + 16'(entry[P1Lsb +: pianola_pkg::TimingP1W]);
                step = 20'($signed(
                    entry[Pay + pianola_pkg::MemS1Lsb +: pianola_pkg::MemS1W]));
                queue_offset1[q] = queue_offset1[q] + step;
                queue_lane[q] = queue_lane[q] + 9'(entry[Pay + pianola_pkg::MemLaneStepLsb]);
              end else if (!last2) begin
                queue_index1[q] = '0;
                queue_index2[q] = queue_index2[q] + 1'b1;
                queue_time2[q] = queue_time2[q] + 16'(entry[P2Lsb +: pianola_pkg::TimingP2W]);
                queue_time1[q] = queue_time2[q];
                step = 20'($signed(
                    entry[Pay + pianola_pkg::MemS2Lsb +: pianola_pkg::MemS2W]));
                queue_offset2[q] = queue_offset2[q] + step;
                queue_offset1[q] = queue_offset2[q];
                queue_lane[q] = '0;
              end else begin
                finish = last3;
                queue_index1[q] = '0;
                queue_index2[q] = '0;
                queue_index3[q] = queue_index3[q] + 1'b1;
                queue_time3[q] = queue_time3[q] + entry[P3Lsb +: pianola_pkg::TimingP3W];
                queue_time2[q] = queue_time3[q];
                queue_time1[q] = queue_time3[q];
                step = 20'($signed(
                    entry[Pay + pianola_pkg::MemS3Lsb +: pianola_pkg::MemS3W]));
                queue_offset3[q] = queue_offset3[q] + step;
                queue_offset2[q] = queue_offset3[q];
                queue_offset1[q] = queue_offset3[q];
                queue_lane[q] = '0;
              end
            end
            take = queue_waits[q[QueueW-1:0]] && (!queue_live[q[QueueW-1:0]] || finish);
            if (finish) queue_live[q[QueueW-1:0]] = 1'b0;
            if (push_i[q[QueueW-1:0]] && ((queue_stored[q] +
                CountW'(queue_live[q[QueueW-1:0]])) >= CountW'(Depth))) begin
              fault[pianola_pkg::RuleQueueOverrun] = 1'b1;
            end
            if (take) begin
              entry = queue_mem[q*Pitch + 32'(queue_read[q])];
              queue_current[q] = entry;
              queue_live[q[QueueW-1:0]] = 1'b1;
              queue_read[q] =
                  (queue_read[q] == PointerW'(Depth - 1)) ? '0 : queue_read[q] + 1'b1;
              queue_stored[q] = queue_stored[q] - 1'b1;
              queue_time1[q] = entry[StartLsb +: 16];
              queue_time2[q] = entry[StartLsb +: 16];
              queue_time3[q] = entry[StartLsb +: 16];
              queue_index1[q] = '0;
              queue_index2[q] = '0;
              queue_index3[q] = '0;
              queue_offset1[q] = '0;
              queue_offset2[q] = '0;
              queue_offset3[q] = '0;
              queue_lane[q] = '0;
              // Late: 2^15 cycles or more to wait.
              index = entry[StartLsb +: 16] - now_i - 16'd1;
              if (index[15]) fault[pianola_pkg::RuleQueueLate] = 1'b1;
              if (Checks && is_illegal(entry)) fault[pianola_pkg::RuleIllegalEncoding] = 1'b1;
            end
            if (push_i[q[QueueW-1:0]]) begin
              queue_mem[q*Pitch + 32'(queue_write[q])] = entry_i;
              queue_write[q] =
                  (queue_write[q] == PointerW'(Depth - 1)) ? '0 : queue_write[q] + 1'b1;
              queue_stored[q] = queue_stored[q] + 1'b1;
            end
            queue_waits[q[QueueW-1:0]] = queue_stored[q] != '0;
          end
        end
      end
      holds_o <= (queue_live != '0) || (queue_waits != '0);
      busy_o <= (read_valid != '0) || (write_valid != '0) || drives;
    end
    fault_o <= fault;
  end
  /* verilator lint_on UNUSEDSIGNAL */
  /* verilator lint_on BLKSEQ */
  logic unused_beat;
  assign unused_beat = &{1'b0, beat_i, live_i, east_at_i, west_at_i};
`else
  logic unused_at;
  assign unused_at = &{1'b0, east_at_i, west_at_i};
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
`endif
`undef PIANOLA_MEM_FAST

endmodule

`default_nettype wire
