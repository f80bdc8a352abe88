// One VXM chain: a fixed-order pipeline of fp32 stages per lane, one pass per cycle (docs/isa.md,
// section 6).
//
// A pass that issues in cycle t enters mul3 in cycle M, combine in cycle C, the accumulators in
// A = C + mul, and drives in cycle A + add + out; M and C follow from its own fields, so a pass is
// written at issue into two wheels: the cycles in which some pass enters mul3, and combine. A second
// pass in one slot of a wheel is the rule stage_conflict.
//
// Two forms of what is computed, with the control in common, equal at the ports for every sequence
// that raises no fault (tests/rtl runs the same bench over both):
// - synthesis: vxm_datapath, a pipeline of the cells fp_*.sv;
// - simulation (Verilator, unless PIANOLA_SYNTHESIS_FORM is defined): every segment (front, sfu,
//   mul3, tree and root, combine, accumulate and round) is computed in the cycle in which a pass
//   enters it (vxm_lane_functions.svh); its result waits in a small memory until the pass enters the next
//   segment. That costs nothing in cycles without a pass.
//
// Issue pattern: one pass per enabled cycle, short of stage_conflict and accumulator_hazard.
// fault_o names the rules broken in the previous enabled cycle; stage_conflict is named at issue,
// the accumulator rules when the pass enters the accumulators. busy_o: something will be driven
// after this cycle. start_i (any clock edge) begins a launch.
// Stages is a mask of the stages that exist, bits as in isa/target.h; using another one is
// illegal_encoding. Lanes is a multiple of 4.
// With several beats per machine cycle (the synthesis form only) Lanes / Beats lanes are computed at each
// clock edge; streams and out_data_o are those of a beat, issues come in the last one.
`default_nettype none

module vxm_chain #(
    parameter int unsigned Lanes = 16,
    parameter int unsigned Streams = 16,
    parameter int unsigned Accumulators = 32,
    parameter bit [10:0] Stages = 11'h7ff,
    parameter int unsigned Beats = 1,
    parameter bit Checks = 1'b1,
    parameter int unsigned StreamRows = 1,  // see memory_row; 1: only the position's own
    localparam int unsigned VectorW = Lanes * 8 / Beats,  // of a beat
    localparam int unsigned StoreW = StreamRows == 1 ? Streams * VectorW
        : (2 * StreamRows * Streams) << $clog2(VectorW),
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
    input wire logic first1_i,
    input wire logic last1_i,
    input wire logic first2_i,
    input wire logic last2_i,
    input wire logic first3_i,
    input wire logic last3_i,
    input wire logic signed [8:0] acc_offset_i,
    input wire logic signed [19:0] select_offset_i,
    input wire logic [32*32-1:0] regs_i,

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
    output logic [4*VectorW-1:0] out_data_o,
    output logic [31:0] fault_o,
    output logic busy_o
);
`ifdef VERILATOR
`ifndef PIANOLA_SYNTHESIS_FORM
`define PIANOLA_VXM_FAST
`endif
`endif

  localparam int unsigned LatMul = pianola_pkg::latency_vxm_mul(Lanes);
  localparam int unsigned LatFront = pianola_pkg::latency_vxm_in(Lanes) + 2 * LatMul
      + pianola_pkg::latency_vxm_add(Lanes) + pianola_pkg::latency_vxm_select(Lanes);
  localparam int unsigned LatSfu = pianola_pkg::latency_vxm_sfu(Lanes);
  localparam int unsigned LatTree = pianola_pkg::latency_vxm_tree(Lanes);
  localparam int unsigned LatRoot = pianola_pkg::latency_vxm_root(Lanes);
  localparam int unsigned LatAdd = pianola_pkg::latency_vxm_add(Lanes);
  localparam int unsigned LatOut = LatAdd + pianola_pkg::latency_vxm_out(Lanes);
  // The longest way to combine, and the size of what is indexed by a cycle number.
  localparam int unsigned LatCombineMax = LatFront + LatSfu + LatMul + LatTree + LatRoot;
  localparam int unsigned IdW = $clog2(LatCombineMax + LatMul + 1);
  localparam int unsigned Slots = 1 << IdW;
  localparam int unsigned FrontW = $clog2(LatFront + 1);
  localparam int unsigned StreamW = $clog2(Streams);
  localparam int unsigned AccW = Accumulators > 1 ? $clog2(Accumulators) : 1;

  localparam int unsigned StageMul1 = 0, StageMul2 = 1, StageAdd = 2, StageSelect = 3, StageSfu = 4;
  localparam int unsigned StageMul3 = 5, StageTree = 6, StageRoot = 7, StageCombine = 8;
  localparam int unsigned StageAccumulate = 9, StageRound = 10;

  // ---------------------------------------------------------------- fields
  wire logic x_dir = instr_i[pianola_pkg::VxmXDirLsb];
  wire logic [5:0] x_stream = instr_i[pianola_pkg::VxmXStreamLsb+:6];
  wire logic [2:0] x_format = instr_i[pianola_pkg::VxmXFormatLsb+:3];
  wire logic y_dir = instr_i[pianola_pkg::VxmYDirLsb];
  wire logic [5:0] y_stream = instr_i[pianola_pkg::VxmYStreamLsb+:6];
  wire logic [2:0] y_format = instr_i[pianola_pkg::VxmYFormatLsb+:3];
  wire logic z_dir = instr_i[pianola_pkg::VxmZDirLsb];
  wire logic [5:0] z_stream = instr_i[pianola_pkg::VxmZStreamLsb+:6];
  wire logic [2:0] z_format = instr_i[pianola_pkg::VxmZFormatLsb+:3];
  wire logic [2:0] mul1 = instr_i[pianola_pkg::VxmMul1Lsb+:3];
  wire logic [2:0] mul2 = instr_i[pianola_pkg::VxmMul2Lsb+:3];
  wire logic [2:0] add_op = instr_i[pianola_pkg::VxmAddOpLsb+:3];
  wire logic [2:0] add_operand = instr_i[pianola_pkg::VxmAddOperandLsb+:3];
  wire logic [1:0] select = instr_i[pianola_pkg::VxmSelectLsb+:2];
  wire logic [4:0] select_reg = instr_i[pianola_pkg::VxmSelectRegLsb+:5];
  wire logic [15:0] select_imm = instr_i[pianola_pkg::VxmSelectImmLsb+:16];
  wire logic [2:0] sfu = instr_i[pianola_pkg::VxmSfuLsb+:3];
  wire logic [2:0] mul3 = instr_i[pianola_pkg::VxmMul3Lsb+:3];
  wire logic [2:0] tree = instr_i[pianola_pkg::VxmTreeLsb+:3];
  wire logic [2:0] segment = instr_i[pianola_pkg::VxmSegmentLsb+:3];
  wire logic [1:0] root = instr_i[pianola_pkg::VxmRootLsb+:2];
  wire logic [2:0] combine = instr_i[pianola_pkg::VxmCombineLsb+:3];
  wire logic acc_source = instr_i[pianola_pkg::VxmAccSourceLsb];
  wire logic [2:0] acc_op = instr_i[pianola_pkg::VxmAccOpLsb+:3];
  wire logic [5:0] acc_field = instr_i[pianola_pkg::VxmAccLsb+:6];
  wire logic [1:0] first = instr_i[pianola_pkg::VxmFirstLsb+:2];
  wire logic [1:0] emit = instr_i[pianola_pkg::VxmEmitLsb+:2];
  wire logic [4:0] k1_reg = instr_i[pianola_pkg::VxmK1Lsb+:5];
  wire logic [4:0] k2_reg = instr_i[pianola_pkg::VxmK2Lsb+:5];
  wire logic out_source = instr_i[pianola_pkg::VxmOutSourceLsb];
  wire logic [2:0] out_format = instr_i[pianola_pkg::VxmOutFormatLsb+:3];
  wire logic [1:0] out_dirs = instr_i[pianola_pkg::VxmOutDirsLsb+:2];
  wire logic [5:0] out_stream = instr_i[pianola_pkg::VxmOutStreamLsb+:6];

  wire logic signed [9:0] acc_sum = $signed({4'd0, acc_field}) + 10'(acc_offset_i);
  wire logic acc_in_range = !acc_sum[9] && 32'(acc_sum[8:0]) < Accumulators;
  wire logic acc_used = acc_op != pianola_pkg::VxmAccOpNone && acc_op != pianola_pkg::VxmAccOpAddK2;
  wire logic is_first = (first == pianola_pkg::VxmFirstLevel1 && first1_i)
      || (first == pianola_pkg::VxmFirstLevel2 && first2_i)
      || (first == pianola_pkg::VxmFirstLevel3 && first3_i);
  wire logic acts_as_load = is_first && (acc_op == pianola_pkg::VxmAccOpAdd
      || acc_op == pianola_pkg::VxmAccOpMax || acc_op == pianola_pkg::VxmAccOpMin);
  wire logic emits = out_format != pianola_pkg::VxmOutFormatNone
      && (emit == pianola_pkg::VxmEmitAlways || (emit == pianola_pkg::VxmEmitLevel1 && last1_i)
          || (emit == pianola_pkg::VxmEmitLevel2 && last2_i)
          || (emit == pianola_pkg::VxmEmitLevel3 && last3_i));

  // What later segments need to know of a pass.
  localparam int unsigned ControlMul3 = 0, ControlTree = 3, ControlSegment = 6, ControlRoot = 9;
  localparam int unsigned ControlCombine = 11, ControlAccSource = 14, ControlAccOp = 15;
  localparam int unsigned ControlAcc = 18, ControlAccBad = 24, ControlEmits = 25;
  localparam int unsigned ControlOutSource = 26, ControlOutFormat = 27, ControlOut = 30;
  localparam int unsigned ControlK1 = 38, ControlK2 = 70, ControlW = 102;

`ifdef PIANOLA_VXM_FAST
`include "vxm_lane_functions.svh"
`endif

  // ---------------------------------------------------------------- where the passes are
  // A pass is named by the low bits of the cycle of its issue.
  logic [IdW-1:0] now_q;
  logic [Slots-1:0] mul3_wheel_q;       // by cycle: a pass enters mul3
  logic [Slots-1:0] combine_wheel_q;    // by cycle: a pass enters combine
  logic [IdW-1:0] mul3_id[0:Slots-1];
  logic [IdW-1:0] combine_id[0:Slots-1];
  logic [2:0] sfu_op[0:(1<<FrontW)-1];
  logic [ControlW-1:0] control[0:Slots-1];
  logic [LatMul-1:0] combine_q;         // bit i: a pass entered combine i + 1 cycles ago
  logic [LatMul*IdW-1:0] combine_id_q;

  wire logic [31:0] k1_value = k1_reg == 5'd0 ? 32'd0 : regs_i[32'(k1_reg)*32+:32];
  wire logic [31:0] k2_value = k2_reg == 5'd0 ? 32'd0 : regs_i[32'(k2_reg)*32+:32];

  wire logic issues = issue_i && en_i;
  wire logic has_sfu = sfu != pianola_pkg::VxmSfuNone;
  wire logic has_tree = tree != pianola_pkg::VxmTreeNone;
  wire logic has_root = root != pianola_pkg::VxmRootNone;
  wire logic [IdW-1:0] mul3_at = now_q + IdW'(LatFront) + (has_sfu ? IdW'(LatSfu) : '0);
  wire logic [IdW-1:0] combine_at = mul3_at + IdW'(LatMul)
      + (has_tree ? IdW'(LatTree) + (has_root ? IdW'(LatRoot) : '0) : '0);

  wire logic [IdW-1:0] front_id = now_q - IdW'(LatFront);
  wire logic [IdW-1:0] sfu_id = front_id - IdW'(LatSfu);
  wire logic enters_mul3 = mul3_wheel_q[now_q];
  wire logic enters_combine = combine_wheel_q[now_q];
  wire logic enters_acc = combine_q[LatMul-1];
  wire logic [IdW-1:0] tree_slot = now_q - IdW'(LatMul);

  always_ff @(posedge clk_i) begin
    if (issues) begin
      sfu_op[now_q[FrontW-1:0]] <= sfu;
      control[now_q] <= {
        k2_value, k1_value, out_stream, out_dirs, out_format, out_source, emits,
        acc_used && !acc_in_range, acc_sum[5:0],
        acts_as_load ? pianola_pkg::VxmAccOpLoad : acc_op,
        acc_source, combine, root, segment, tree, mul3
      };
      mul3_id[mul3_at] <= now_q;
      combine_id[combine_at] <= now_q;
    end
  end

  wire logic [IdW-1:0] acc_id = combine_id_q[(LatMul-1)*IdW+:IdW];
  wire logic acc_emits = enters_acc && control[acc_id][ControlEmits];

  // What is driven: {format, stream, directions}, data.
  localparam int unsigned OutControlW = 3 + 6 + 2;
  logic [LatOut-1:0] out_valid_q;
  logic [OutControlW-1:0] driven;
  logic [4*VectorW-1:0] driven_data;

  // ---------------------------------------------------------------- the segments
`ifdef PIANOLA_VXM_FAST
  // Vectors that wait for their next segment.
  logic [WideW-1:0] front_v[0:(1<<FrontW)-1];
  logic [WideW-1:0] sfu_v[0:(1<<SfuW)-1];
  logic [WideW-1:0] mul3_v[0:Slots-1];
  logic [WideW-1:0] combine_v[0:(1<<CombineW)-1];
  logic [WideW-1:0] pass_y[0:Slots-1];
  logic [WideW-1:0] pass_z[0:Slots-1];
  logic [ResultW-1:0] tree_r[0:Slots-1];
  logic [ResultW-1:0] combine_r[0:(1<<CombineW)-1];
  logic [WideW-1:0] accumulators[0:Accumulators-1] /* verilator public_flat_rd */;
  logic [IdW-1:0] combine_slot[0:Slots-1];  // the cycle of mul3 of the pass that enters combine

  logic [LatFront-1:0] front_q;         // bit i: a pass issued i + 1 cycles ago
  logic [LatMul-1:0] mul3_q;            // bit i: a pass entered mul3 i + 1 cycles ago
  always_ff @(posedge clk_i) begin
    if (!rst_ni || start_i) begin
      front_q <= '0;
      mul3_q <= '0;
    end else if (en_i) begin
      front_q <= {front_q[LatFront-2:0], issue_i};
      mul3_q <= {mul3_q[LatMul-2:0], enters_mul3};
    end
  end

  /* verilator lint_off BLKSEQ */  // temporaries of one process each

  // Front: operands, mul1, mul2, add, select.
  localparam int unsigned StreamVectorW = VectorW;
`include "stream_place.svh"
  function automatic logic [VectorW-1:0] fetch(input logic dir, input logic [StreamW-1:0] stream);
    fetch = dir ? west_i[stream_place(west_at_i, stream)+:VectorW]
                : east_i[stream_place(east_at_i, stream)+:VectorW];
  endfunction

  logic [WideW-1:0] front_x, front_y, front_z, front_operand, front_t;
  always_ff @(posedge clk_i) begin
    if (issues) begin
      front_x = '0;
      front_y = '0;
      front_z = '0;
      if (x_format != pianola_pkg::VxmFormatNone) begin
        convert_lanes(x_format, fetch(x_dir, x_stream[StreamW-1:0]),
                      fetch(x_dir, x_stream[StreamW-1:0] + StreamW'(1)),
                      fetch(x_dir, x_stream[StreamW-1:0] + StreamW'(2)),
                      fetch(x_dir, x_stream[StreamW-1:0] + StreamW'(3)), front_x);
      end
      if (y_format != pianola_pkg::VxmFormatNone) begin
        convert_lanes(y_format, fetch(y_dir, y_stream[StreamW-1:0]),
                      fetch(y_dir, y_stream[StreamW-1:0] + StreamW'(1)),
                      fetch(y_dir, y_stream[StreamW-1:0] + StreamW'(2)),
                      fetch(y_dir, y_stream[StreamW-1:0] + StreamW'(3)), front_y);
      end
      if (z_format != pianola_pkg::VxmFormatNone) begin
        convert_lanes(z_format, fetch(z_dir, z_stream[StreamW-1:0]),
                      fetch(z_dir, z_stream[StreamW-1:0] + StreamW'(1)),
                      fetch(z_dir, z_stream[StreamW-1:0] + StreamW'(2)),
                      fetch(z_dir, z_stream[StreamW-1:0] + StreamW'(3)), front_z);
      end
      if (Stages[StageMul1] && mul1 != pianola_pkg::VxmOperandNone) begin
        select_operand(mul1, front_y, front_z, k1_value, k2_value, front_operand);
        front_t = front_x;
        multiply_lanes(front_t, front_operand, front_x);
      end
      if (Stages[StageMul2] && mul2 != pianola_pkg::VxmOperandNone) begin
        select_operand(mul2, front_y, front_z, k1_value, k2_value, front_operand);
        front_t = front_x;
        multiply_lanes(front_t, front_operand, front_x);
      end
      if (Stages[StageAdd] && add_op != pianola_pkg::VxmAddOpNone) begin
        select_operand(add_operand, front_y, front_z, k1_value, k2_value, front_operand);
        front_t = front_x;
        if (add_op == pianola_pkg::VxmAddOpIadd) begin
          add_integer_lanes(front_t, front_operand, front_x);
        end else if (add_op == pianola_pkg::VxmAddOpMin || add_op == pianola_pkg::VxmAddOpMax) begin
          minmax_lanes(front_t, front_operand, add_op == pianola_pkg::VxmAddOpMax, front_x);
        end else begin
          add_lanes(front_t, front_operand, add_op == pianola_pkg::VxmAddOpRsub,
                    add_op == pianola_pkg::VxmAddOpSub, front_x);
        end
      end
      if (Stages[StageSelect] && select != pianola_pkg::VxmSelectNone) begin
        front_t = front_x;
        select_lanes(front_t, select, (select_reg == 5'd0 ? 32'd0 : regs_i[32'(select_reg)*32+:32])
                     + 32'($signed(select_imm)) + 32'(select_offset_i), k2_value, front_x);
      end
      front_v[now_q[FrontW-1:0]] <= front_x;
      // y and z travel on only if a later stage takes them.
      if (mul3 == pianola_pkg::VxmOperandY || combine == pianola_pkg::VxmCombineY) begin
        pass_y[now_q] <= front_y;
      end
      if (mul3 == pianola_pkg::VxmOperandZ || combine == pianola_pkg::VxmCombineZ) begin
        pass_z[now_q] <= front_z;
      end
      combine_slot[combine_at] <= mul3_at;
    end
  end

  // Special function unit.
  wire logic enters_sfu = front_q[LatFront-1] && sfu_op[front_id[FrontW-1:0]] != 3'd0;
  logic [WideW-1:0] sfu_t;
  wire logic [1:0] sfu_code = 2'(sfu_op[front_id[FrontW-1:0]] - 3'd1);
  always_ff @(posedge clk_i) begin
    if (en_i && enters_sfu && Stages[StageSfu]) begin
      special_lanes(front_v[front_id[FrontW-1:0]], sfu_code, sfu_t);
      sfu_v[now_q[SfuW-1:0]] <= sfu_t;
    end
  end

  // mul3. A pass comes from the front or from the special function unit; its age tells.
  /* verilator lint_off UNUSEDSIGNAL */  // each segment takes its part of the control
  logic [ControlW-1:0] mul3_control;
  logic [WideW-1:0] mul3_x, mul3_operand, mul3_t;
  always_ff @(posedge clk_i) begin
    if (en_i && enters_mul3) begin
      mul3_control = control[mul3_id[now_q]];
      if (mul3_id[now_q] == sfu_id) mul3_x = sfu_v[SfuW'(now_q - IdW'(LatSfu))];
      else mul3_x = front_v[front_id[FrontW-1:0]];
      if (Stages[StageMul3] && mul3_control[ControlMul3+:3] != pianola_pkg::VxmOperandNone) begin
        select_operand(mul3_control[ControlMul3+:3], pass_y[mul3_id[now_q]], pass_z[mul3_id[now_q]],
                       mul3_control[ControlK1+:32], mul3_control[ControlK2+:32], mul3_operand);
        mul3_t = mul3_x;
        multiply_lanes(mul3_t, mul3_operand, mul3_x);
      end
      mul3_v[now_q] <= mul3_x;
    end
  end

  // Tree and root.
  wire logic enters_tree = mul3_q[LatMul-1];
  logic [ControlW-1:0] tree_control;
  logic [ResultW-1:0] tree_t, tree_y;
  always_ff @(posedge clk_i) begin
    if (en_i && enters_tree && Stages[StageTree]) begin
      tree_control = control[mul3_id[tree_slot]];
      if (tree_control[ControlTree+:3] != pianola_pkg::VxmTreeNone) begin
        reduce_lanes(mul3_v[tree_slot], tree_control[ControlTree+:3],
                     tree_control[ControlSegment+:3], tree_y);
        if (Stages[StageRoot] && tree_control[ControlRoot+:2] != pianola_pkg::VxmRootNone) begin
          tree_t = tree_y;
          apply_root(tree_t, tree_control[ControlRoot+:2], tree_control[ControlK1+:32],
                     tree_control[ControlK2+:32], tree_y);
        end
        tree_r[tree_slot] <= tree_y;
      end
    end
  end

  // Combine.
  logic [ControlW-1:0] combine_control;
  logic [WideW-1:0] combine_x, combine_operand, combine_t;
  always_ff @(posedge clk_i) begin
    if (en_i && enters_combine) begin
      combine_control = control[combine_id[now_q]];
      combine_x = mul3_v[combine_slot[now_q]];
      if (Stages[StageCombine]
          && combine_control[ControlCombine+:3] != pianola_pkg::VxmCombineNone) begin
        if (combine_control[ControlCombine+:3] == pianola_pkg::VxmCombineR
            || combine_control[ControlCombine+:3] == pianola_pkg::VxmCombineReplace) begin
          broadcast_lanes(tree_r[combine_slot[now_q]], combine_control[ControlSegment+:3],
                          combine_operand);
        end else begin
          select_operand(combine_control[ControlCombine+:3], pass_y[combine_id[now_q]],
                         pass_z[combine_id[now_q]], combine_control[ControlK1+:32],
                         combine_control[ControlK2+:32], combine_operand);
        end
        if (combine_control[ControlCombine+:3] == pianola_pkg::VxmCombineReplace) begin
          combine_x = combine_operand;
        end else begin
          combine_t = combine_x;
          multiply_lanes(combine_t, combine_operand, combine_x);
        end
      end
      combine_v[now_q[CombineW-1:0]] <= combine_x;
      if (combine_control[ControlAccSource]) begin
        combine_r[now_q[CombineW-1:0]] <= tree_r[combine_slot[now_q]];
      end
    end
  end

  // Accumulate and round. The pass entered combine LatMul cycles ago.
  /* verilator lint_on UNUSEDSIGNAL */

  localparam int unsigned OutSlots = LatOut - 1;
  localparam int unsigned OutSlotW = $clog2(OutSlots);
  logic [4*VectorW+OutControlW-1:0] out_wait[0:OutSlots-1];
  logic [4*VectorW+OutControlW-1:0] out_q;
  logic [OutSlotW-1:0] out_slot_q;
  wire logic [CombineW-1:0] acc_slot = CombineW'(now_q - IdW'(LatMul));
  logic [ControlW-1:0] acc_control;
  logic [AccW-1:0] acc_index;
  logic [2:0] acc_code;
  logic [WideW-1:0] acc_v, acc_s, acc_w, acc_k2;
  /* verilator lint_off UNUSEDSIGNAL */  // the lanes beyond Lanes
  logic [ByteW-1:0] out_byte0, out_byte1, out_byte2, out_byte3;
  /* verilator lint_on UNUSEDSIGNAL */
  always_ff @(posedge clk_i) begin
    if (en_i && out_valid_q[LatOut-2]) out_q <= out_wait[out_slot_q];
    if (en_i && enters_acc) begin
      acc_control = control[acc_id];
      acc_code = acc_control[ControlAccOp+:3];
      acc_index = acc_control[ControlAcc+:AccW];
      acc_v = combine_v[acc_slot];
      acc_w = acc_v;
      if (Stages[StageAccumulate] && (acc_code != pianola_pkg::VxmAccOpNone
                                      || acc_control[ControlAccSource])) begin
        if (acc_control[ControlAccSource]) begin
          broadcast_lanes(combine_r[acc_slot], acc_control[ControlSegment+:3], acc_s);
        end else begin
          acc_s = acc_v;
        end
        acc_w = acc_s;
        if (acc_code == pianola_pkg::VxmAccOpAdd) begin
          add_lanes(accumulators[acc_index], acc_s, 1'b0, 1'b0, acc_w);
        end else if (acc_code == pianola_pkg::VxmAccOpMax
                     || acc_code == pianola_pkg::VxmAccOpMin) begin
          minmax_lanes(accumulators[acc_index], acc_s, acc_code == pianola_pkg::VxmAccOpMax, acc_w);
        end else if (acc_code == pianola_pkg::VxmAccOpAddK2) begin
          select_operand(pianola_pkg::VxmOperandK2, '0, '0, 32'd0, acc_control[ControlK2+:32],
                         acc_k2);
          add_lanes(acc_s, acc_k2, 1'b0, 1'b0, acc_w);
        end else if (acc_code == pianola_pkg::VxmAccOpRead) begin
          acc_w = accumulators[acc_index];
        end
        if (!acc_control[ControlAccBad]
            && (acc_code == pianola_pkg::VxmAccOpLoad || acc_code == pianola_pkg::VxmAccOpAdd
                || acc_code == pianola_pkg::VxmAccOpMax || acc_code == pianola_pkg::VxmAccOpMin)) begin
          accumulators[acc_index] <= acc_w;
        end
      end
      if (acc_control[ControlEmits]) begin
        round_lanes(acc_control[ControlOutSource] ? acc_w : acc_v,
                    Stages[StageRound] ? acc_control[ControlOutFormat+:3]
                                       : pianola_pkg::VxmOutFormatF32,
                    out_byte0, out_byte1, out_byte2, out_byte3);
        out_wait[out_slot_q] <= {
          acc_control[ControlOutFormat+:3], acc_control[ControlOut+:8], out_byte3[VectorW-1:0],
          out_byte2[VectorW-1:0], out_byte1[VectorW-1:0], out_byte0[VectorW-1:0]
        };
      end
    end
  end
  /* verilator lint_on BLKSEQ */

  assign driven = out_q[4*VectorW+:OutControlW];
  assign driven_data = out_q[4*VectorW-1:0];
  always_ff @(posedge clk_i) begin
    if (!rst_ni || start_i) out_slot_q <= '0;
    else if (en_i) out_slot_q <= 32'(out_slot_q) == OutSlots - 1 ? '0 : out_slot_q + OutSlotW'(1);
  end

`else
  // Synthesis form.
  wire logic [31:0] select_base = select_reg == 5'd0 ? 32'd0 : regs_i[32'(select_reg)*32+:32];
  /* verilator lint_off UNUSEDSIGNAL */  // each segment takes its part of the control
  wire logic [IdW-1:0] mul3_now = mul3_id[now_q];
  wire logic [IdW-1:0] combine_now = combine_id[now_q];
  wire logic [ControlW-1:0] mul3_control = control[mul3_now];
  wire logic [ControlW-1:0] tree_control = control[mul3_id[tree_slot]];
  wire logic [ControlW-1:0] combine_control = control[combine_now];
  wire logic [ControlW-1:0] acc_control = control[acc_id];
  /* verilator lint_on UNUSEDSIGNAL */
  wire logic [2:0] acc_code = acc_control[ControlAccOp+:3];
  vxm_datapath #(
      .Lanes(Lanes),
      .Streams(Streams),
      .Accumulators(Accumulators),
      .Stages(Stages),
      .IdW(IdW),
      .Beats(Beats)
  ) u_datapath (
      .clk_i(clk_i),
      .rst_ni(rst_ni),
      .beat_i(beat_i),
      .live_i(live_i),
      .en_i(en_i),
      .start_i(start_i),
      .now_i(now_q),
      .east_i(east_i),
      .west_i(west_i),
      .issue_from_i({z_dir, z_stream[StreamW-1:0], y_dir, y_stream[StreamW-1:0], x_dir,
                     x_stream[StreamW-1:0]}),
      .issue_format_i({z_format, y_format, x_format}),
      .issue_operand_i({combine, mul3, add_operand, mul2, mul1}),
      .issue_add_op_i(add_op),
      .issue_select_i(select),
      .issue_threshold_i(select_base + 32'($signed(select_imm)) + 32'(select_offset_i)),
      .issue_k1_i(k1_value),
      .issue_k2_i(k2_value),
      .sfu_op_i(2'(sfu_op[front_id[FrontW-1:0]] - 3'd1)),
      .mul3_i(mul3_control[ControlMul3+:3] != pianola_pkg::VxmOperandNone),
      .mul3_from_sfu_i(mul3_now == sfu_id),
      .mul3_id_i(mul3_now),
      .tree_op_i(tree_control[ControlTree+:3]),
      .tree_segment_i(tree_control[ControlSegment+:3]),
      .tree_root_op_i(tree_control[ControlRoot+:2]),
      .tree_k1_i(tree_control[ControlK1+:32]),
      .tree_k2_i(tree_control[ControlK2+:32]),
      .combine_op_i(combine_control[ControlCombine+:3]),
      .combine_id_i(combine_now),
      .combine_tree_i(combine_control[ControlTree+:3] != pianola_pkg::VxmTreeNone),
      .combine_root_i(combine_control[ControlRoot+:2] != pianola_pkg::VxmRootNone),
      .combine_segment_i(combine_control[ControlSegment+:3]),
      .acc_op_i(acc_code),
      .acc_source_i(acc_control[ControlAccSource]),
      .acc_segment_i(acc_control[ControlSegment+:3]),
      .acc_k2_i(acc_control[ControlK2+:32]),
      .acc_i(acc_control[ControlAcc+:AccW]),
      .acc_write_i(enters_acc && !acc_control[ControlAccBad]
                   && (acc_code == pianola_pkg::VxmAccOpLoad || acc_code == pianola_pkg::VxmAccOpAdd
                       || acc_code == pianola_pkg::VxmAccOpMax
                       || acc_code == pianola_pkg::VxmAccOpMin)),
      .acc_out_source_i(acc_control[ControlOutSource]),
      .acc_out_format_i(acc_control[ControlOutFormat+:3]),
      .out_data_o(driven_data)
  );
  latency_line #(
      .Width(OutControlW),
      .Depth(LatOut)
  ) u_driven (
      .clk_i(clk_i),
      .en_i(en_i),
      .data_i({acc_control[ControlOutFormat+:3], acc_control[ControlOut+:8]}),
      .data_o(driven)
  );
`endif

  // There are beats in the synthesis form.
  logic unused_beat;
  assign unused_beat = &{1'b0, beat_i, live_i, east_at_i, west_at_i};

  wire logic [2:0] driven_format = driven[8+:3];
  assign out_valid_o = out_valid_q[LatOut-1];
  assign out_dirs_o = driven[1:0];
  assign out_stream_o = driven[2+:6];
  assign out_count_o = driven_format == pianola_pkg::VxmOutFormatI8 ? 3'd1
      : driven_format == pianola_pkg::VxmOutFormatBf16
        || driven_format == pianola_pkg::VxmOutFormatF16 ? 3'd2 : 3'd4;
  assign out_data_o = driven_data;

  // ---------------------------------------------------------------- time
  logic [IdW-1:0] pending_q;  // passes issued that will drive, and have not
  assign busy_o = pending_q != IdW'(out_valid_o);

  always_ff @(posedge clk_i) begin
    if (!rst_ni || start_i) begin
      now_q <= '0;
      mul3_wheel_q <= '0;
      combine_wheel_q <= '0;
      combine_q <= '0;
      out_valid_q <= '0;
      pending_q <= '0;
    end else if (en_i) begin
      now_q <= now_q + IdW'(1);
      if (enters_mul3) mul3_wheel_q[now_q] <= 1'b0;
      if (enters_combine) combine_wheel_q[now_q] <= 1'b0;
      if (issue_i) begin
        mul3_wheel_q[mul3_at] <= 1'b1;
        combine_wheel_q[combine_at] <= 1'b1;
      end
      combine_q <= {combine_q[LatMul-2:0], enters_combine};
      if (enters_combine || combine_q != '0) begin
        combine_id_q <= {combine_id_q[(LatMul-1)*IdW-1:0], combine_id[now_q]};
      end
      out_valid_q <= {out_valid_q[LatOut-2:0], acc_emits};
      pending_q <= pending_q + IdW'(issue_i && emits) - IdW'(out_valid_o);
    end
  end

  // ---------------------------------------------------------------- rules
  if (Checks) begin : gen_checks
    logic [31:0] fault_d, fault_q;
    logic [Accumulators-1:0] loaded_q;
    logic [LatAdd-2:0] used_q;                // accumulators in use, the last cycle in bit 0
    logic [(LatAdd-1)*AccW-1:0] used_acc_q;

    // 32-bit and 16-bit values are aligned; count of streams of a format of an operand.
    function automatic logic [2:0] operand_count(input logic [2:0] format);
      operand_count = format == pianola_pkg::VxmFormatNone ? 3'd0
          : format == pianola_pkg::VxmFormatI8 ? 3'd1
          : format == pianola_pkg::VxmFormatBf16 || format == pianola_pkg::VxmFormatF16 ? 3'd2
          : 3'd4;
    endfunction
    function automatic logic misplaced(input logic [2:0] count, input logic [5:0] stream);
      misplaced = 32'(stream) + 32'(count) > Streams || (count == 3'd4 && stream[1:0] != 2'd0)
          || (count == 3'd2 && stream[0]);
    endfunction
    function automatic logic undefined(input logic [2:0] count, input logic [Streams-1:0] defined,
                                       input logic [StreamW-1:0] stream);
      logic [3:0] read;
      logic [3:0] present;
      read = count == 3'd4 ? 4'hf : count == 3'd2 ? 4'h3 : count == 3'd1 ? 4'h1 : 4'h0;
      present = {defined[stream+StreamW'(3)], defined[stream+StreamW'(2)],
                 defined[stream+StreamW'(1)], defined[stream]};
      undefined = (read & ~present) != 4'd0;
    endfunction

    wire logic [2:0] acc_op_now = control[acc_id][ControlAccOp+:3];
    wire logic [AccW-1:0] acc_now = control[acc_id][ControlAcc+:AccW];
    wire logic acc_bad_now = control[acc_id][ControlAccBad];
    wire logic acc_file_used = enters_acc && acc_op_now != pianola_pkg::VxmAccOpNone
        && acc_op_now != pianola_pkg::VxmAccOpAddK2;

    wire logic [2:0] x_count = operand_count(x_format);
    wire logic [2:0] y_count = operand_count(y_format);
    wire logic [2:0] z_count = operand_count(z_format);
    wire logic [2:0] out_count = out_format == pianola_pkg::VxmOutFormatI8 ? 3'd1
        : out_format == pianola_pkg::VxmOutFormatBf16
          || out_format == pianola_pkg::VxmOutFormatF16 ? 3'd2 : 3'd4;
    wire logic [31:0] segment_lanes = 32'd8 << segment;

    always_comb begin
      fault_d = '0;
      if (issue_i) begin
        if (instr_i[156:pianola_pkg::VxmPayloadW] != '0
            || misplaced(x_count, x_stream) || misplaced(y_count, y_stream)
            || misplaced(z_count, z_stream)
            || (x_count == 3'd0 && (x_dir || x_stream != '0))
            || (y_count == 3'd0 && (y_dir || y_stream != '0))
            || (z_count == 3'd0 && (z_dir || z_stream != '0))
            || mul1 > pianola_pkg::VxmOperandLane || mul2 > pianola_pkg::VxmOperandLane
            || mul3 > pianola_pkg::VxmOperandLane || add_operand > pianola_pkg::VxmOperandLane
            || add_op > pianola_pkg::VxmAddOpIadd || sfu > pianola_pkg::VxmSfuLog2
            || tree > pianola_pkg::VxmTreeArgmax || acc_op > pianola_pkg::VxmAccOpRead
            || out_format > pianola_pkg::VxmOutFormatF16
            // Fields that nothing uses.
            || (select == pianola_pkg::VxmSelectNone
                && instr_i[pianola_pkg::VxmSelectRegLsb+:41] != '0)
            || (!has_tree && (segment != '0 || has_root))
            || (!acc_used && instr_i[pianola_pkg::VxmAccLsb+:24] != '0)
            || (first != '0 && acc_op != pianola_pkg::VxmAccOpAdd
                && acc_op != pianola_pkg::VxmAccOpMax && acc_op != pianola_pkg::VxmAccOpMin)) begin
          fault_d[pianola_pkg::RuleIllegalEncoding] = 1'b1;
        end
        if (out_format == pianola_pkg::VxmOutFormatNone) begin
          if (emit != '0 || out_source || out_dirs != '0 || out_stream != '0) begin
            fault_d[pianola_pkg::RuleIllegalEncoding] = 1'b1;
          end
        end else if (out_dirs == '0 || misplaced(out_count, out_stream)) begin
          fault_d[pianola_pkg::RuleIllegalEncoding] = 1'b1;
        end
        // The segment divides the lanes.
        if (segment > pianola_pkg::LaneSegmentS256
            || (segment != pianola_pkg::LaneSegmentAll
                && (Lanes & (segment_lanes - 32'd1)) != 32'd0)) begin
          fault_d[pianola_pkg::RuleIllegalEncoding] = 1'b1;
        end
        if (!has_tree && (combine == pianola_pkg::VxmCombineR
                          || combine == pianola_pkg::VxmCombineReplace || acc_source)) begin
          fault_d[pianola_pkg::RuleIllegalEncoding] = 1'b1;
        end
        // Stages that this target leaves out.
        if ((!Stages[StageMul1] && mul1 != '0) || (!Stages[StageMul2] && mul2 != '0)
            || (!Stages[StageAdd] && add_op != '0) || (!Stages[StageSelect] && select != '0)
            || (!Stages[StageSfu] && has_sfu) || (!Stages[StageMul3] && mul3 != '0)
            || (!Stages[StageTree] && has_tree) || (!Stages[StageRoot] && has_root)
            || (!Stages[StageCombine] && combine != '0)
            || (!Stages[StageAccumulate] && (acc_op != '0 || acc_source))
            || (!Stages[StageRound] && out_format != pianola_pkg::VxmOutFormatNone
                && out_format != pianola_pkg::VxmOutFormatF32)) begin
          fault_d[pianola_pkg::RuleIllegalEncoding] = 1'b1;
        end
        if (undefined(x_count, x_dir ? west_def_i : east_def_i, x_stream[StreamW-1:0])
            || undefined(y_count, y_dir ? west_def_i : east_def_i, y_stream[StreamW-1:0])
            || undefined(z_count, z_dir ? west_def_i : east_def_i, z_stream[StreamW-1:0])) begin
          fault_d[pianola_pkg::RuleStreamUndefined] = 1'b1;
        end
        if (acc_used && !acc_in_range) fault_d[pianola_pkg::RuleAddressRange] = 1'b1;
        if (mul3_wheel_q[mul3_at] || combine_wheel_q[combine_at]) begin
          fault_d[pianola_pkg::RuleStageConflict] = 1'b1;
        end
      end
      if (acc_file_used && !acc_bad_now) begin
        if (acc_op_now != pianola_pkg::VxmAccOpLoad && !loaded_q[acc_now]) begin
          fault_d[pianola_pkg::RuleAccumulatorUndefined] = 1'b1;
        end
        for (int i = 0; i < LatAdd - 1; i++) begin
          if (used_q[i] && used_acc_q[i*AccW+:AccW] == acc_now) begin
            fault_d[pianola_pkg::RuleAccumulatorHazard] = 1'b1;
          end
        end
      end
    end

    always_ff @(posedge clk_i) begin
      if (!rst_ni || start_i) begin
        fault_q <= '0;
        loaded_q <= '0;
        used_q <= '0;
      end else if (en_i) begin
        fault_q <= fault_d;
        used_q <= {used_q[LatAdd-3:0], acc_file_used && !acc_bad_now};
        used_acc_q <= {used_acc_q[(LatAdd-2)*AccW-1:0], acc_now};
        if (acc_file_used && !acc_bad_now && acc_op_now == pianola_pkg::VxmAccOpLoad) begin
          loaded_q[acc_now] <= 1'b1;
        end
      end
    end
    assign fault_o = fault_q;
  end else begin : gen_no_checks
    assign fault_o = '0;
  end

`undef PIANOLA_VXM_FAST

endmodule

`default_nettype wire
