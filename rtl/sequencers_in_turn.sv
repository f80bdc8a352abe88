// The instruction queues of a MEM position where a machine cycle takes so many clock edges (beats) that one
// issue engine serves all of them in turn: queue q in beat q + 1. What a queue does in a machine cycle is
// said in sequencer.sv; here its state is a word of memories, which are read, stepped and written.
//
// In the beat in which turn_o is set: queue_o, and of that queue issue_o, its current instruction and the
// offsets of this machine cycle, as a sequencer has them in all of it. next_instr_o is what it has in
// the next one. live_i is set in all beats of a machine cycle that happens, push_i and entry_i are stable in
// them. Beats is at least Queues + 2.
`default_nettype none

module sequencers_in_turn #(
  parameter int unsigned Queues = 8,
  parameter int unsigned Depth = 16,
  parameter int unsigned Beats = 16,
  parameter bit          Checks = 1'b1,
  localparam int unsigned QueueW = (Queues > 1) ? $clog2(Queues) : 1,
  localparam int unsigned BeatCountW = $clog2(Beats),
  localparam int unsigned PayloadW = pianola_pkg::MemPayloadW,
  localparam int unsigned EntryW = pianola_pkg::TimingW + PayloadW
) (
  input  wire logic                  clk_i,
  input  wire logic                  rst_ni,
  input  wire logic                  start_i,  // launch start: empties the queues
  input  wire logic [BeatCountW-1:0] beat_i,
  input  wire logic                  live_i,
  input  wire logic                  en_i,     // in the last beat of a machine cycle
  input  wire logic [15:0]           now_i,    // low bits of its number
  input  wire logic [Queues-1:0]     push_i,
  input  wire logic [EntryW-1:0]     entry_i,
  output logic                       turn_o,
  output logic [QueueW-1:0]          queue_o,
  output logic                       issue_o,
  output logic [PayloadW-1:0]        instr_o,
  output logic [PayloadW-1:0]        next_instr_o,
  output logic [19:0]                offset_o,
  output logic [8:0]                 lane_offset_o,
  output logic                       holds_o,  // a queue holds an instruction
  output logic [31:0]                fault_o
);

  localparam int unsigned PointerW = (Depth > 1) ? $clog2(Depth) : 1;
  localparam int unsigned CountW = $clog2(Depth + 1);
  localparam int unsigned Base = pianola_pkg::TimingLsb;
  localparam int unsigned StartLsb = pianola_pkg::TimingStartLsb - Base;
  localparam int unsigned N1Lsb = pianola_pkg::TimingN1Lsb - Base;
  localparam int unsigned P1Lsb = pianola_pkg::TimingP1Lsb - Base;
  localparam int unsigned N2Lsb = pianola_pkg::TimingN2Lsb - Base;
  localparam int unsigned P2Lsb = pianola_pkg::TimingP2Lsb - Base;
  localparam int unsigned N3Lsb = pianola_pkg::TimingN3Lsb - Base;
  localparam int unsigned P3Lsb = pianola_pkg::TimingP3Lsb - Base;
  localparam int unsigned N1W = pianola_pkg::TimingN1W;
  localparam int unsigned N2W = pianola_pkg::TimingN2W;
  localparam int unsigned N3W = pianola_pkg::TimingN3W;
  localparam int unsigned OffsetW = 20;
  localparam int unsigned LaneW = 9;

  if (Beats < Queues + 2) begin : gen_too_few_beats
    $error("sequencers_in_turn: Beats must be at least Queues + 2");
  end

  // -- State: of each queue a word in each of four memories ----------------------------------------
  // Whether there is a current instruction, how many are stored behind it and where.
  localparam int unsigned PlaceW = 1 + CountW + 2 * PointerW;
  // Times, indices and offsets of the next issue, as in sequencer.sv.
  localparam int unsigned ProgressW = 3 * 16 + N1W + N2W + N3W + 3 * OffsetW + LaneW;
  localparam int unsigned WaitingW = QueueW + PointerW;
  (* ram_style = "distributed" *) logic [PlaceW-1:0]    places [0:(1<<QueueW)-1];
  (* ram_style = "distributed" *) logic [ProgressW-1:0] progress [0:(1<<QueueW)-1];
  (* ram_style = "distributed" *) logic [EntryW-1:0]    currents [0:(1<<QueueW)-1];
  logic [EntryW-1:0] next_entry;  // the first of those that are stored

  // A queue is as good as empty until its first turn of a launch.
  logic [Queues-1:0] fresh_q, holds_q;

  // -- Beat q: where the next instruction of queue q is stored; its word is there in beat q + 1 -----
  logic                looks, turn_q;
  logic [QueueW-1:0]   queue_q;
  logic                live_q;
  logic [CountW-1:0]   stored_q;
  logic [PointerW-1:0] read_q, write_q;
  wire logic [QueueW-1:0] looking = QueueW'(beat_i);
  wire logic [PlaceW-1:0] looked = fresh_q[looking] ? '0 : places[looking];
  assign looks = live_i && (32'(beat_i) < Queues);
  always_ff @(posedge clk_i) begin
    if (!rst_ni || start_i) turn_q <= 1'b0;
    else turn_q <= looks;
  end
  always_ff @(posedge clk_i) begin
    if (looks) begin
      queue_q <= looking;
      {write_q, read_q, stored_q, live_q} <= looked;
    end
  end

  // -- Beat q + 1: the step --------------------------------------------------------------------------
  logic [15:0]        time1, time2, time3, next1, next2, next3, sum_time, step_time;
  logic [N1W-1:0]     index1, index1_d;
  logic [N2W-1:0]     index2, index2_d;
  logic [N3W-1:0]     index3, index3_d;
  logic [OffsetW-1:0] a1, a2, a3, a1_d, a2_d, a3_d, sum_a, step_a;
  logic [LaneW-1:0]   lane, lane_d;
  logic [EntryW-1:0]  current;
  logic               want, last1, last2, last3, finish, take, push;
  assign {lane, a3, a2, a1, index3, index2, index1, time3, time2, time1} = progress[queue_q];
  assign current = currents[queue_q];
  assign last1 = index1 == current[N1Lsb +: N1W];
  assign last2 = index2 == current[N2Lsb +: N2W];
  assign last3 = index3 == current[N3Lsb +: N3W];
  assign want = live_q && (time1 == now_i);
  assign finish = want && last1 && last2 && last3;
  assign take = (stored_q != '0) && (!live_q || finish);
  assign push = push_i[queue_q];

  // One addition for the level that goes on: those within it restart from there.
  always_comb begin
    sum_time = time3;
    step_time = current[P3Lsb +: 16];
    sum_a = a3;
    step_a = OffsetW'($signed(
        current[pianola_pkg::TimingW + pianola_pkg::MemS3Lsb +: pianola_pkg::MemS3W]));
    if (!last1) begin
      sum_time = time1;
      step_time = 16'(current[P1Lsb +: pianola_pkg::TimingP1W]);
      sum_a = a1;
      step_a = OffsetW'($signed(
          current[pianola_pkg::TimingW + pianola_pkg::MemS1Lsb +: pianola_pkg::MemS1W]));
    end else if (!last2) begin
      sum_time = time2;
      step_time = 16'(current[P2Lsb +: pianola_pkg::TimingP2W]);
      sum_a = a2;
      step_a = OffsetW'($signed(
          current[pianola_pkg::TimingW + pianola_pkg::MemS2Lsb +: pianola_pkg::MemS2W]));
    end
    next1 = take ? next_entry[StartLsb +: 16] : sum_time + step_time;
    next2 = (take || last1) ? next1 : time2;
    next3 = (take || (last1 && last2)) ? next1 : time3;
    a1_d = take ? '0 : sum_a + step_a;
    a2_d = (take || last1) ? a1_d : a2;
    a3_d = (take || (last1 && last2)) ? a1_d : a3;
    index1_d = (take || last1) ? '0 : index1 + 1'b1;
    index2_d = (take || (last1 && last2)) ? '0 : last1 ? index2 + 1'b1 : index2;
    index3_d = take ? '0 : (last1 && last2) ? index3 + 1'b1 : index3;
    lane_d = (take || last1) ? '0 :
        lane + LaneW'(current[pianola_pkg::TimingW + pianola_pkg::MemLaneStepLsb]);
  end

  function automatic logic [PointerW-1:0] after(input logic [PointerW-1:0] pointer);
    after = (pointer == PointerW'(Depth - 1)) ? '0 : pointer + 1'b1;
  endfunction
  wire logic live_d = take || (live_q && !finish);
  wire logic [CountW-1:0] stored_d = stored_q + CountW'(push) - CountW'(take);
  always_ff @(posedge clk_i) begin
    if (turn_q) begin
      places[queue_q] <= {push ? after(write_q) : write_q, take ? after(read_q) : read_q, stored_d,
                          live_d};
    end
    if (turn_q && (take || want)) begin
      progress[queue_q] <= {lane_d, a3_d, a2_d, a1_d, index3_d, index2_d, index1_d, next3, next2,
                            next1};
    end
    if (turn_q && take) currents[queue_q] <= next_entry;
  end
  ram_1r1w #(.Words(1 << WaitingW), .Width(EntryW)) u_waiting (
    .clk_i(clk_i), .re_i(looks), .raddress_i({looking, looked[1+CountW +: PointerW]}),
    .rdata_o(next_entry), .we_i(turn_q && push), .waddress_i({queue_q, write_q}), .wdata_i(entry_i)
  );

  always_ff @(posedge clk_i) begin
    if (!rst_ni || start_i) begin
      fresh_q <= '1;
      holds_q <= '0;
      holds_o <= 1'b0;
    end else begin
      if (turn_q) begin
        fresh_q[queue_q] <= 1'b0;
        holds_q[queue_q] <= live_d || (stored_d != '0);
      end
      if (en_i) holds_o <= |holds_q;
    end
  end

  assign turn_o = turn_q;
  assign queue_o = queue_q;
  assign issue_o = turn_q && want;
  assign instr_o = current[pianola_pkg::TimingW +: PayloadW];
  assign next_instr_o = take ? next_entry[pianola_pkg::TimingW +: PayloadW] : instr_o;
  assign offset_o = a1;
  assign lane_offset_o = lane;

  // -- Faults, as in sequencer.sv --------------------------------------------------------------------
  function automatic logic is_illegal(input logic [pianola_pkg::TimingW-1:0] timing);
    logic [31:0] n1, p1, n2, p2, n3, p3;
    n1 = 32'(timing[N1Lsb +: N1W]);
    p1 = 32'(timing[P1Lsb +: pianola_pkg::TimingP1W]);
    n2 = 32'(timing[N2Lsb +: N2W]);
    p2 = 32'(timing[P2Lsb +: pianola_pkg::TimingP2W]);
    n3 = 32'(timing[N3Lsb +: N3W]);
    p3 = 32'(timing[P3Lsb +: pianola_pkg::TimingP3W]);
    is_illegal = ((n1 != '0) ? (p1 == '0) : (p1 != '0)) ||
                 ((n2 != '0) ? (p2 <= n1 * p1) : (p2 != '0)) ||
                 ((n3 != '0) ? (p3 <= n1 * p1 + n2 * p2) : (p3 != '0));
  endfunction
  wire logic [15:0] wait_cycles = next_entry[StartLsb +: 16] - now_i - 16'd1;
  always_comb begin
    fault_o = '0;
    if (turn_q) begin
      fault_o[pianola_pkg::RuleQueueOverrun] =
          push && ((stored_q + CountW'(live_q && !finish)) >= CountW'(Depth));
      if (take) begin
        fault_o[pianola_pkg::RuleQueueLate] = wait_cycles[15];
        fault_o[pianola_pkg::RuleIllegalEncoding] =
            Checks && is_illegal(next_entry[pianola_pkg::TimingW-1:0]);
      end
    end
  end

endmodule

`default_nettype wire
