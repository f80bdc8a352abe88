// One instruction queue and its issue engine: three nested levels of repetition, no stall.
//
// An entry is the timing fields (low) and the fields of the unit (PayloadW bits). An entry pushed in
// machine cycle c may issue from c + 2 on (dispatch): it is written at the end of c, becomes the
// current instruction at the end of c + 1. The next instruction may issue in the cycle after the
// last issue of the one before it. The offsets are sums of (index x step) of each level, kept
// incrementally; step fields lie in the payload at the given places, width 0 means no step.
//
// want_o: the current instruction issues in this cycle, if the cycle is enabled; issue_o: it does.
//
// Two forms, equal at the ports (tests/rtl compares them):
// - synthesis: a register per field;
// - simulation (Verilator, unless PIANOLA_SYNTHESIS_FORM is defined): all registers in the one word of a
//   memory. A word that nothing writes costs the simulator one comparison, a register two copies.
`default_nettype none

`ifdef VERILATOR
`ifndef PIANOLA_SYNTHESIS_FORM
`define PIANOLA_SEQUENCER_FAST
`endif
`endif

module sequencer #(
  parameter int unsigned Depth = 16,
  parameter int unsigned PayloadW = 157,
  parameter int unsigned OffsetAW = 20,  // width of the first offset
  parameter int unsigned A1Lsb = 0,
  parameter int unsigned A1W = 0,
  parameter int unsigned A2Lsb = 0,
  parameter int unsigned A2W = 0,
  parameter int unsigned A3Lsb = 0,
  parameter int unsigned A3W = 0,
  parameter int unsigned OffsetBW = 9,   // width of the second offset
  parameter int unsigned B1Lsb = 0,
  parameter int unsigned B1W = 0,
  parameter bit          BUnsigned = 1'b0,
  parameter int unsigned B2Lsb = 0,
  parameter int unsigned B2W = 0,
  parameter bit          Checks = 1'b1,
  parameter int unsigned EntryW = pianola_pkg::TimingW + PayloadW
) (
  input  wire logic                clk_i,
  input  wire logic                rst_ni,
  input  wire logic                start_i,  // launch start: empties the queue
  input  wire logic                en_i,     // machine cycle
  input  wire logic [15:0]         now_i,    // low bits of the number of this machine cycle
  input  wire logic                push_i,
  input  wire logic [EntryW-1:0]   entry_i,
  output logic                     want_o,
  output logic                     issue_o,
  output logic [PayloadW-1:0]      instr_o,
  output logic                     first1_o,
  output logic                     last1_o,
  output logic                     first2_o,
  output logic                     last2_o,
  output logic                     first3_o,
  output logic                     last3_o,
  output logic [OffsetAW-1:0]      a_offset_o,
  output logic [OffsetBW-1:0]      b_offset_o,
  output logic                     holds_o,  // holds an instruction
  output logic [31:0]              fault_o
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

`ifdef PIANOLA_SEQUENCER_FAST
  // The fields of the state, lowest first.
  localparam int unsigned LiveLsb = 0;
  localparam int unsigned StoredLsb = 1;
  localparam int unsigned ReadLsb = StoredLsb + CountW;
  localparam int unsigned WriteLsb = ReadLsb + PointerW;
  localparam int unsigned Time1Lsb = WriteLsb + PointerW;
  localparam int unsigned Time2Lsb = Time1Lsb + 16;
  localparam int unsigned Time3Lsb = Time2Lsb + 16;
  localparam int unsigned Index1Lsb = Time3Lsb + 16;
  localparam int unsigned Index2Lsb = Index1Lsb + pianola_pkg::TimingN1W;
  localparam int unsigned Index3Lsb = Index2Lsb + pianola_pkg::TimingN2W;
  localparam int unsigned OffsetALsb = Index3Lsb + pianola_pkg::TimingN3W;
  localparam int unsigned OffsetBLsb = OffsetALsb + 3 * OffsetAW;
  localparam int unsigned CurrentLsb = OffsetBLsb + 2 * OffsetBW;
  localparam int unsigned StateW = CurrentLsb + EntryW;

  logic [EntryW-1:0] mem [0:(1<<PointerW)-1] /* verilator public_flat_rd */;
  logic [StateW-1:0] state [0:0]             /* verilator public_flat_rd */;

  logic                live_q, last1, last2, last3, finish, take;
  logic [CountW-1:0]   stored_q;
  logic [PointerW-1:0] read_q;
  logic [15:0]         time1_q;
  assign live_q = state[0][LiveLsb];
  assign stored_q = state[0][StoredLsb +: CountW];
  assign read_q = state[0][ReadLsb +: PointerW];
  assign time1_q = state[0][Time1Lsb +: 16];
  assign last1 = state[0][Index1Lsb +: pianola_pkg::TimingN1W] ==
                 state[0][CurrentLsb + N1Lsb +: pianola_pkg::TimingN1W];
  assign last2 = state[0][Index2Lsb +: pianola_pkg::TimingN2W] ==
                 state[0][CurrentLsb + N2Lsb +: pianola_pkg::TimingN2W];
  assign last3 = state[0][Index3Lsb +: pianola_pkg::TimingN3W] ==
                 state[0][CurrentLsb + N3Lsb +: pianola_pkg::TimingN3W];
  assign want_o = live_q && (time1_q == now_i);
  assign issue_o = en_i && want_o;
  assign finish = want_o && last1 && last2 && last3;
  assign take = (stored_q != '0) && (!live_q || finish);

  // Widths of steps that there are; of others the bit is not used.
  localparam int unsigned A1Some = (A1W == 0) ? 1 : A1W;
  localparam int unsigned A2Some = (A2W == 0) ? 1 : A2W;
  localparam int unsigned A3Some = (A3W == 0) ? 1 : A3W;
  localparam int unsigned B1Some = (B1W == 0) ? 1 : B1W;
  localparam int unsigned B2Some = (B2W == 0) ? 1 : B2W;

  /* verilator lint_off BLKSEQ */  // temporaries of this process
  logic [StateW-1:0]   next;
  /* verilator lint_off UNUSEDSIGNAL */  // its steps
  logic [PayloadW-1:0] instr;
  /* verilator lint_on UNUSEDSIGNAL */
  logic [15:0]         time_next;
  logic [OffsetAW-1:0] a_next;
  logic [OffsetBW-1:0] b_next;
  always_ff @(posedge clk_i) begin
    if (!rst_ni || start_i) begin
      next = state[0];
      next[Time1Lsb-1:0] = '0;
      state[0] <= next;
    end else if (en_i && (push_i || take || want_o)) begin
      next = state[0];
      if (push_i) begin
        mem[next[WriteLsb +: PointerW]] <= entry_i;
        next[WriteLsb +: PointerW] = (next[WriteLsb +: PointerW] == PointerW'(Depth - 1)) ? '0 :
            next[WriteLsb +: PointerW] + 1'b1;
      end
      next[StoredLsb +: CountW] = stored_q + CountW'(push_i) - CountW'(take);
      next[LiveLsb] = take || (live_q && !finish);
      if (take) begin
        next[ReadLsb +: PointerW] = (read_q == PointerW'(Depth - 1)) ? '0 : read_q + 1'b1;
        next[CurrentLsb +: EntryW] = mem[read_q];
        next[Time1Lsb +: 48] = {3{mem[read_q][StartLsb +: 16]}};
        next[CurrentLsb-1:Index1Lsb] = '0;
      end else if (want_o) begin
        instr = next[CurrentLsb + pianola_pkg::TimingW +: PayloadW];
        if (!last1) begin
          next[Index1Lsb +: pianola_pkg::TimingN1W] =
              next[Index1Lsb +: pianola_pkg::TimingN1W] + 1'b1;
          next[Time1Lsb +: 16] =
              time1_q + 16'(next[CurrentLsb + P1Lsb +: pianola_pkg::TimingP1W]);
          next[OffsetALsb +: OffsetAW] =
              next[OffsetALsb +: OffsetAW] + ((A1W == 0) ? '0 : OffsetAW'($signed(instr[A1Lsb +: A1Some])));
          next[OffsetBLsb +: OffsetBW] =
              next[OffsetBLsb +: OffsetBW] + ((B1W == 0) ? '0 :
               BUnsigned ? OffsetBW'(instr[B1Lsb +: B1Some]) : OffsetBW'($signed(instr[B1Lsb +: B1Some])));
        end else if (!last2) begin
          next[Index1Lsb +: pianola_pkg::TimingN1W] = '0;
          next[Index2Lsb +: pianola_pkg::TimingN2W] =
              next[Index2Lsb +: pianola_pkg::TimingN2W] + 1'b1;
          time_next = next[Time2Lsb +: 16] +
              16'(next[CurrentLsb + P2Lsb +: pianola_pkg::TimingP2W]);
          next[Time1Lsb +: 32] = {2{time_next}};
          a_next = next[OffsetALsb + OffsetAW +: OffsetAW] +
              ((A2W == 0) ? '0 : OffsetAW'($signed(instr[A2Lsb +: A2Some])));
          next[OffsetALsb +: 2*OffsetAW] = {2{a_next}};
          b_next = next[OffsetBLsb + OffsetBW +: OffsetBW] +
              ((B2W == 0) ? '0 : OffsetBW'($signed(instr[B2Lsb +: B2Some])));
          next[OffsetBLsb +: 2*OffsetBW] = {2{b_next}};
        end else begin
          next[Index1Lsb +: pianola_pkg::TimingN1W] = '0;
          next[Index3Lsb +: pianola_pkg::TimingN3W] =
              next[Index3Lsb +: pianola_pkg::TimingN3W] + 1'b1;
          next[Index2Lsb +: pianola_pkg::TimingN2W] = '0;
          time_next = next[Time3Lsb +: 16] + next[CurrentLsb + P3Lsb +: pianola_pkg::TimingP3W];
          next[Time1Lsb +: 48] = {3{time_next}};
          a_next = next[OffsetALsb + 2*OffsetAW +: OffsetAW] +
              ((A3W == 0) ? '0 : OffsetAW'($signed(instr[A3Lsb +: A3Some])));
          next[OffsetALsb +: 3*OffsetAW] = {3{a_next}};
          next[OffsetBLsb +: 2*OffsetBW] = '0;
        end
      end
      state[0] <= next;
    end
  end
  /* verilator lint_on BLKSEQ */

  assign instr_o = state[0][CurrentLsb + pianola_pkg::TimingW +: PayloadW];
  assign first1_o = state[0][Index1Lsb +: pianola_pkg::TimingN1W] == '0;
  assign first2_o = state[0][Index2Lsb +: pianola_pkg::TimingN2W] == '0;
  assign first3_o = state[0][Index3Lsb +: pianola_pkg::TimingN3W] == '0;
  assign last1_o = last1;
  assign last2_o = last2;
  assign last3_o = last3;
  assign holds_o = live_q || (stored_q != '0);
  assign a_offset_o = state[0][OffsetALsb +: OffsetAW];
  assign b_offset_o = state[0][OffsetBLsb +: OffsetBW];

`else
  logic [EntryW-1:0]   mem [0:Depth-1] /* verilator public_flat_rd */;
  logic [PointerW-1:0] read_q, write_q;
  logic [CountW-1:0]   stored_q;  // entries in mem: those behind the current instruction
  logic                live_q     /* verilator public_flat_rd */;
  logic [EntryW-1:0]   current_q /* verilator public_flat_rd */;

  // Cycle and indices of the next issue; time2_q and time3_q are the cycles in which the running
  // iteration of level 2 and level 3 began. The same for the offsets.
  logic [15:0] time1_q /* verilator public_flat_rd */;
  logic [15:0] time2_q, time3_q;
  logic [pianola_pkg::TimingN1W-1:0] index1_q;
  logic [pianola_pkg::TimingN2W-1:0] index2_q;
  logic [pianola_pkg::TimingN3W-1:0] index3_q;

  // What only an issue needs is computed in an issue: most queues are idle most of the time.
  logic last1, last2, last3, finish, take;
  assign last1 = index1_q == current_q[N1Lsb +: pianola_pkg::TimingN1W];
  assign last2 = index2_q == current_q[N2Lsb +: pianola_pkg::TimingN2W];
  assign last3 = index3_q == current_q[N3Lsb +: pianola_pkg::TimingN3W];
  assign want_o = live_q && (time1_q == now_i);
  assign issue_o = en_i && want_o;
  always_comb begin
    finish = 1'b0;
    if (want_o) finish = last1 && last2 && last3;
  end
  assign take = (stored_q != '0) && (!live_q || finish);

  always_ff @(posedge clk_i) begin
    if (!rst_ni || start_i) begin
      live_q <= 1'b0;
      stored_q <= '0;
      read_q <= '0;
      write_q <= '0;
    end else if (en_i && (push_i || take || want_o)) begin
      if (push_i) begin
        mem[write_q] <= entry_i;
        write_q <= (write_q == PointerW'(Depth - 1)) ? '0 : write_q + 1'b1;
      end
      stored_q <= stored_q + CountW'(push_i) - CountW'(take);
      live_q <= take || (live_q && !finish);
      if (take) begin
        read_q <= (read_q == PointerW'(Depth - 1)) ? '0 : read_q + 1'b1;
        current_q <= mem[read_q];
        time1_q <= mem[read_q][StartLsb +: 16];
        time2_q <= mem[read_q][StartLsb +: 16];
        time3_q <= mem[read_q][StartLsb +: 16];
        index1_q <= '0;
        index2_q <= '0;
        index3_q <= '0;
      end else if (want_o) begin
        if (!last1) begin
          index1_q <= index1_q + 1'b1;
          time1_q <= time1_q + 16'(current_q[P1Lsb +: pianola_pkg::TimingP1W]);
        end else if (!last2) begin
          index1_q <= '0;
          index2_q <= index2_q + 1'b1;
          time1_q <= time2_q + 16'(current_q[P2Lsb +: pianola_pkg::TimingP2W]);
          time2_q <= time2_q + 16'(current_q[P2Lsb +: pianola_pkg::TimingP2W]);
        end else begin
          index1_q <= '0;
          index2_q <= '0;
          index3_q <= index3_q + 1'b1;
          time1_q <= time3_q + current_q[P3Lsb +: pianola_pkg::TimingP3W];
          time2_q <= time3_q + current_q[P3Lsb +: pianola_pkg::TimingP3W];
          time3_q <= time3_q + current_q[P3Lsb +: pianola_pkg::TimingP3W];
        end
      end
    end
  end

  assign instr_o = current_q[pianola_pkg::TimingW +: PayloadW];
  assign first1_o = index1_q == '0;
  assign first2_o = index2_q == '0;
  assign first3_o = index3_q == '0;
  assign last1_o = last1;
  assign last2_o = last2;
  assign last3_o = last3;
  assign holds_o = live_q || (stored_q != '0);

  // First offset.
  if (A1W + A2W + A3W == 0) begin : gen_no_a
    assign a_offset_o = '0;
  end else begin : gen_a
    logic [OffsetAW-1:0] a1_q, a2_q, a3_q;
    logic [OffsetAW-1:0] step1, step2, step3;
    if (A1W == 0) begin : gen_a1_none
      assign step1 = '0;
    end else begin : gen_a1
      assign step1 = OffsetAW'($signed(instr_o[A1Lsb +: A1W]));
    end
    if (A2W == 0) begin : gen_a2_none
      assign step2 = '0;
    end else begin : gen_a2
      assign step2 = OffsetAW'($signed(instr_o[A2Lsb +: A2W]));
    end
    if (A3W == 0) begin : gen_a3_none
      assign step3 = '0;
    end else begin : gen_a3
      assign step3 = OffsetAW'($signed(instr_o[A3Lsb +: A3W]));
    end
    always_ff @(posedge clk_i) begin
      if (en_i && (take || want_o)) begin
        if (take) begin
          a1_q <= '0;
          a2_q <= '0;
          a3_q <= '0;
        end else begin
          if (!last1) begin
            a1_q <= a1_q + step1;
          end else if (!last2) begin
            a1_q <= a2_q + step2;
            a2_q <= a2_q + step2;
          end else begin
            a1_q <= a3_q + step3;
            a2_q <= a3_q + step3;
            a3_q <= a3_q + step3;
          end
        end
      end
    end
    assign a_offset_o = a1_q;
  end

  // Second offset: levels 1 and 2 only.
  if (B1W + B2W == 0) begin : gen_no_b
    assign b_offset_o = '0;
  end else begin : gen_b
    logic [OffsetBW-1:0] b1_q, b2_q;
    logic [OffsetBW-1:0] step1, step2;
    if (B1W == 0) begin : gen_b1_none
      assign step1 = '0;
    end else if (BUnsigned) begin : gen_b1_unsigned
      assign step1 = OffsetBW'(instr_o[B1Lsb +: B1W]);
    end else begin : gen_b1
      assign step1 = OffsetBW'($signed(instr_o[B1Lsb +: B1W]));
    end
    if (B2W == 0) begin : gen_b2_none
      assign step2 = '0;
    end else begin : gen_b2
      assign step2 = OffsetBW'($signed(instr_o[B2Lsb +: B2W]));
    end
    always_ff @(posedge clk_i) begin
      if (en_i && (take || want_o)) begin
        if (take) begin
          b1_q <= '0;
          b2_q <= '0;
        end else begin
          if (!last1) begin
            b1_q <= b1_q + step1;
          end else if (!last2) begin
            b1_q <= b2_q + step2;
            b2_q <= b2_q + step2;
          end else begin
            b1_q <= '0;
            b2_q <= '0;
          end
        end
      end
    end
    assign b_offset_o = b1_q;
  end
`endif
`undef PIANOLA_SEQUENCER_FAST

  // Faults. An instruction is late if it has 2^15 cycles or more to wait when it may first issue.
  function automatic logic is_late(input logic [EntryW-1:0] entry, input logic [15:0] now);
    logic [15:0] wait_cycles;
    wait_cycles = entry[StartLsb +: 16] - now - 16'd1;
    is_late = wait_cycles[15];
  endfunction

  // Levels must nest, and unused levels have no period.
  function automatic logic is_illegal(input logic [EntryW-1:0] entry);
    logic [31:0] n1, p1, n2, p2, n3, p3;
    n1 = 32'(entry[N1Lsb +: pianola_pkg::TimingN1W]);
    p1 = 32'(entry[P1Lsb +: pianola_pkg::TimingP1W]);
    n2 = 32'(entry[N2Lsb +: pianola_pkg::TimingN2W]);
    p2 = 32'(entry[P2Lsb +: pianola_pkg::TimingP2W]);
    n3 = 32'(entry[N3Lsb +: pianola_pkg::TimingN3W]);
    p3 = 32'(entry[P3Lsb +: pianola_pkg::TimingP3W]);
    is_illegal = ((n1 != '0) ? (p1 == '0) : (p1 != '0)) ||
                 ((n2 != '0) ? (p2 <= n1 * p1) : (p2 != '0)) ||
                 ((n3 != '0) ? (p3 <= n1 * p1 + n2 * p2) : (p3 != '0));
  endfunction

  always_comb begin
    fault_o = '0;
    if (en_i && (push_i || take)) begin
      fault_o[pianola_pkg::RuleQueueOverrun] =
          push_i && ((stored_q + CountW'(live_q && !finish)) >= CountW'(Depth));
      if (take) begin
        fault_o[pianola_pkg::RuleQueueLate] = is_late(mem[read_q], now_i);
        fault_o[pianola_pkg::RuleIllegalEncoding] = Checks && is_illegal(mem[read_q]);
      end
    end
  end

endmodule

`default_nettype wire
