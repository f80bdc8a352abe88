// One lane of a VXM chain, in the synthesis form: every stage is a cell with the stage's latency as
// registers behind it. The cells are combinational; a tool that retimes spreads them over these.
//
// Ports are named after what they belong to, and are valid in the cycle in which a pass enters it:
//   fetch (t), convert (t + 1), mul1, mul2, add, select, sfu, mul3, combine, acc, out.
// A pass waits in two places for a number of cycles that is its own: the operands of mul3 and
// combine, chosen at the start, in memories by pass; v in a memory by cycle, while the tree works.
// Every pass goes through all cells; a stage that it does not use passes v on.
// Where a machine cycle takes several clock edges (Beats), this is one of as few lanes as a beat has: each edge
// brings the next lane of the same pass, latencies are as many times longer in clock edges, and what is
// kept by pass or cycle is kept by beat as well. Control stands for the whole cycle. live_i takes the
// place of an enable.
// An accumulator is written when its result leaves the stage, as late as accumulator_hazard allows.
`default_nettype none

module vxm_lane #(
    parameter int unsigned Lanes = 16,  // of the chain, for the latencies
    parameter int unsigned Streams = 16,
    parameter int unsigned Accumulators = 32,
    parameter bit [10:0] Stages = 11'h7ff,
    parameter int unsigned IdW = 6,
    parameter int unsigned Beats = 1,
    localparam int unsigned BeatCountW = Beats > 1 ? $clog2(Beats) : 1,
    localparam int unsigned StreamW = $clog2(Streams),
    localparam int unsigned AccW = Accumulators > 1 ? $clog2(Accumulators) : 1
) (
    input wire logic clk_i,
    input wire logic [BeatCountW-1:0] beat_i,
    input wire logic live_i,
    input wire logic [IdW-1:0] now_i,  // the cycle, and the name of the pass that is issued in it
    input wire logic [31:0] lane_i,    // the lane's number as fp32

    // The streams of this lane, and where x, y and z are: {direction, stream} of each.
    input wire logic [Streams*8-1:0] east_i,
    input wire logic [Streams*8-1:0] west_i,
    input wire logic [3*(StreamW+1)-1:0] fetch_from_i,
    output logic [3*32-1:0] fetched_o,

    // Formats of x, y, z; what lane 0 fetched. Operands of mul1, mul2, add, mul3, combine: 0 y, 1 z,
    // 2 the lane number, 3 the constant.
    input wire logic [3*3-1:0] convert_format_i,
    input wire logic [3*32-1:0] convert_lane0_i,
    input wire logic [5*2-1:0] convert_operand_i,
    input wire logic [5*32-1:0] convert_constant_i,

    input wire logic mul1_i,
    input wire logic mul2_i,
    input wire logic [2:0] add_op_i,
    input wire logic select_keep_i,
    input wire logic [31:0] select_other_i,
    input wire logic [1:0] sfu_op_i,

    input wire logic mul3_i,
    input wire logic mul3_from_sfu_i,
    input wire logic [IdW-1:0] mul3_id_i,
    output logic [31:0] tree_v_o,

    input wire logic [2:0] combine_op_i,
    input wire logic [IdW-1:0] combine_id_i,
    input wire logic combine_tree_i,  // the pass has been through the tree; and the root
    input wire logic combine_root_i,
    input wire logic [31:0] combine_r_i,

    input wire logic [2:0] acc_op_i,
    input wire logic acc_source_i,
    input wire logic [31:0] acc_r_i,
    input wire logic [31:0] acc_k2_i,
    input wire logic [AccW-1:0] acc_read_i,
    input wire logic acc_write_i,  // what leaves the stage is written at the end of this cycle
    input wire logic [AccW-1:0] acc_written_i,

    input wire logic out_source_i,
    input wire logic [2:0] out_format_i,
    output logic [31:0] out_o
);
  localparam int unsigned LatIn = pianola_pkg::latency_vxm_in(Lanes);
  localparam int unsigned LatMul = pianola_pkg::latency_vxm_mul(Lanes);
  localparam int unsigned LatAdd = pianola_pkg::latency_vxm_add(Lanes);
  localparam int unsigned LatSelect = pianola_pkg::latency_vxm_select(Lanes);
  localparam int unsigned LatSfu = pianola_pkg::latency_vxm_sfu(Lanes);
  localparam int unsigned LatTree = pianola_pkg::latency_vxm_tree(Lanes);
  localparam int unsigned LatRoot = pianola_pkg::latency_vxm_root(Lanes);
  localparam int unsigned LatOut = pianola_pkg::latency_vxm_out(Lanes);
  localparam int unsigned LatMul3 = LatIn + 2 * LatMul + LatAdd + LatSelect + LatSfu;
  localparam int unsigned Mul3W = $clog2(LatMul3 + 1);
  localparam int unsigned WaitW = $clog2(LatTree + LatRoot + 1);
  localparam int unsigned PlaceW = $clog2(Beats);  // bits of a place beyond those of a number

  // With many beats what waits by pass or cycle lies in block RAM: it is read one edge late, and what meets
  // it is as late. The line behind them is an edge shorter.
  localparam bit          Late = Beats >= 8;
  localparam int unsigned LateEdges = Late ? 1 : 0;

  localparam int unsigned StageMul1 = 0, StageMul2 = 1, StageAdd = 2, StageSelect = 3, StageSfu = 4;
  localparam int unsigned StageMul3 = 5, StageTree = 6, StageRoot = 7, StageCombine = 8;
  localparam int unsigned StageAccumulate = 9, StageRound = 10;

  // The place in a memory of what belongs to a pass or cycle, in this beat.
  function automatic logic [31:0] place(input logic [31:0] number);
    place = number * Beats + 32'(beat_i);
  endfunction

  // ---------------------------------------------------------------- fetch
  // Values of two and four bytes begin at streams that are multiples of their size.
  logic [3*32-1:0] fetched_q;
  for (genvar o = 0; o < 3; o++) begin : gen_fetch
    wire logic [StreamW-1:0] stream = fetch_from_i[o*(StreamW+1)+:StreamW];
    wire logic [Streams*8-1:0] streams = fetch_from_i[o*(StreamW+1)+StreamW] ? west_i : east_i;
    for (genvar b = 0; b < 4; b++) begin : gen_byte
      localparam logic [StreamW-1:0] Mask = b == 0 ? '1 : b == 1 ? ~StreamW'(1) : ~StreamW'(3);
      wire logic [StreamW-1:0] from = (stream & Mask) | StreamW'(b);
      beat_line #(.Width(8), .Beats(Beats), .Edges(Beats)) u_fetched (
          .clk_i(clk_i), .beat_i(beat_i), .live_i(live_i), .data_i(streams[from*8+:8]), .data_o(fetched_q[o*32+b*8+:8])
      );
    end
  end
  assign fetched_o = fetched_q;

  // ---------------------------------------------------------------- convert
  logic [3*32-1:0] operands;
  for (genvar o = 0; o < 3; o++) begin : gen_convert
    wire logic [2:0] format = convert_format_i[o*3+:3];
    logic [1:0] op;
    logic [31:0] converted;
    logic [31:0] value;
    always_comb begin
      op = format == pianola_pkg::VxmFormatI8 ? 2'd1 : format == pianola_pkg::VxmFormatBf16 ? 2'd2
          : format == pianola_pkg::VxmFormatF16 ? 2'd3 : 2'd0;
      case (format)
        pianola_pkg::VxmFormatNone: value = 32'd0;
        pianola_pkg::VxmFormatF32, pianola_pkg::VxmFormatRaw: value = fetched_q[o*32+:32];
        pianola_pkg::VxmFormatF32Lane0: value = convert_lane0_i[o*32+:32];
        default: value = converted;
      endcase
    end
    fp_convert u_convert (.a_i(fetched_q[o*32+:32]), .op_i(op), .y_o(converted));
    assign operands[o*32+:32] = value;
  end

  logic [5*32-1:0] chosen;
  for (genvar s = 0; s < 5; s++) begin : gen_choose
    logic [31:0] operand;
    always_comb begin
      case (convert_operand_i[s*2+:2])
        2'd0: operand = operands[32+:32];
        2'd1: operand = operands[64+:32];
        2'd2: operand = lane_i;
        default: operand = convert_constant_i[s*32+:32];
      endcase
    end
    assign chosen[s*32+:32] = operand;
  end

  logic [31:0] x_at_mul1;
  beat_line #(.Width(32), .Beats(Beats), .Edges(Beats * (LatIn - 1))) u_x (
      .clk_i(clk_i), .beat_i(beat_i), .live_i(live_i), .data_i(operands[31:0]), .data_o(x_at_mul1)
  );

  // ---------------------------------------------------------------- mul1, mul2
  logic [31:0] x_after_mul1, x_at_mul2, x_after_mul2, x_at_add;
  if (Stages[StageMul1]) begin : gen_mul1
    logic [31:0] operand, product;
    beat_line #(.Width(32), .Beats(Beats), .Edges(Beats * (LatIn - 1))) u_operand (
        .clk_i(clk_i), .beat_i(beat_i), .live_i(live_i), .data_i(chosen[0+:32]), .data_o(operand)
    );
    fp_mul u_mul (.a_i(x_at_mul1), .b_i(operand), .y_o(product));
    assign x_after_mul1 = mul1_i ? product : x_at_mul1;
  end else begin : gen_no_mul1
    assign x_after_mul1 = x_at_mul1;
  end
  beat_line #(.Width(32), .Beats(Beats), .Edges(Beats * LatMul)) u_mul1 (
      .clk_i(clk_i), .beat_i(beat_i), .live_i(live_i), .data_i(x_after_mul1), .data_o(x_at_mul2)
  );
  if (Stages[StageMul2]) begin : gen_mul2
    logic [31:0] operand, product;
    beat_line #(.Width(32), .Beats(Beats), .Edges(Beats * (LatIn - 1 + LatMul))) u_operand (
        .clk_i(clk_i), .beat_i(beat_i), .live_i(live_i), .data_i(chosen[32+:32]), .data_o(operand)
    );
    fp_mul u_mul (.a_i(x_at_mul2), .b_i(operand), .y_o(product));
    assign x_after_mul2 = mul2_i ? product : x_at_mul2;
  end else begin : gen_no_mul2
    assign x_after_mul2 = x_at_mul2;
  end
  beat_line #(.Width(32), .Beats(Beats), .Edges(Beats * LatMul)) u_mul2 (
      .clk_i(clk_i), .beat_i(beat_i), .live_i(live_i), .data_i(x_after_mul2), .data_o(x_at_add)
  );

  // ---------------------------------------------------------------- add, select
  logic [31:0] x_after_add, x_at_select, x_after_select, front;
  if (Stages[StageAdd]) begin : gen_add
    logic [31:0] operand, sum, extreme;
    beat_line #(.Width(32), .Beats(Beats), .Edges(Beats * (LatIn - 1 + 2 * LatMul))) u_operand (
        .clk_i(clk_i), .beat_i(beat_i), .live_i(live_i), .data_i(chosen[64+:32]), .data_o(operand)
    );
    fp_add u_add (
        .a_i({x_at_add[31] ^ (add_op_i == pianola_pkg::VxmAddOpRsub), x_at_add[30:0]}),
        .b_i(operand), .subtract_i(add_op_i == pianola_pkg::VxmAddOpSub), .y_o(sum)
    );
    fp_minmax u_minmax (
        .a_i(x_at_add), .b_i(operand), .max_i(add_op_i == pianola_pkg::VxmAddOpMax), .y_o(extreme)
    );
    always_comb begin
      case (add_op_i)
        pianola_pkg::VxmAddOpNone: x_after_add = x_at_add;
        pianola_pkg::VxmAddOpIadd: x_after_add = x_at_add + operand;
        pianola_pkg::VxmAddOpMin, pianola_pkg::VxmAddOpMax: x_after_add = extreme;
        default: x_after_add = sum;
      endcase
    end
  end else begin : gen_no_add
    assign x_after_add = x_at_add;
  end
  beat_line #(.Width(32), .Beats(Beats), .Edges(Beats * LatAdd)) u_add (
      .clk_i(clk_i), .beat_i(beat_i), .live_i(live_i), .data_i(x_after_add), .data_o(x_at_select)
  );
  assign x_after_select = !Stages[StageSelect] || select_keep_i ? x_at_select : select_other_i;
  beat_line #(.Width(32), .Beats(Beats), .Edges(Beats * LatSelect)) u_select (
      .clk_i(clk_i), .beat_i(beat_i), .live_i(live_i), .data_i(x_after_select), .data_o(front)
  );

  // ---------------------------------------------------------------- sfu, mul3
  logic [31:0] x_at_mul3, x_after_mul3;
  if (Stages[StageSfu]) begin : gen_sfu
    logic [31:0] value, special;
    fp_special u_special (.a_i(front), .op_i(sfu_op_i), .y_o(value));
    beat_line #(.Width(32), .Beats(Beats), .Edges(Beats * LatSfu)) u_line (
        .clk_i(clk_i), .beat_i(beat_i), .live_i(live_i), .data_i(value), .data_o(special)
    );
    assign x_at_mul3 = mul3_from_sfu_i ? special : front;
  end else begin : gen_no_sfu
    assign x_at_mul3 = front;
  end
  logic [31:0] x_late3;
  logic mul3_late;
  latency_line #(.Width(33), .Depth(LateEdges)) u_late3 (
      .clk_i(clk_i), .en_i(live_i), .data_i({mul3_i, x_at_mul3}), .data_o({mul3_late, x_late3})
  );
  if (Stages[StageMul3]) begin : gen_mul3
    // Operands by pass; written in the second cycle of a pass.
    logic [31:0] operand, product;
    waiting_words #(.Words(Beats * (1 << Mul3W)), .Late(Late)) u_operands (
        .clk_i(clk_i), .en_i(live_i), .write_i(1'b1), .write_data_i(chosen[96+:32]),
        .write_place_i((Mul3W + PlaceW)'(place(32'(Mul3W'(now_i-IdW'(1)))))),
        .read_place_i((Mul3W + PlaceW)'(place(32'(mul3_id_i[Mul3W-1:0])))), .read_data_o(operand)
    );
    fp_mul u_mul (.a_i(x_late3), .b_i(operand), .y_o(product));
    assign x_after_mul3 = mul3_late ? product : x_late3;
  end else begin : gen_no_mul3
    assign x_after_mul3 = x_late3;
  end
  beat_line #(.Width(32), .Beats(Beats), .Edges(Beats * LatMul - LateEdges)) u_mul3 (
      .clk_i(clk_i), .beat_i(beat_i), .live_i(live_i), .data_i(x_after_mul3), .data_o(tree_v_o)
  );

  // ---------------------------------------------------------------- combine
  logic [31:0] v_at_combine, v_after_combine, v_at_acc, v_late, combine_r;
  logic [2:0] combine_op;
  logic combine_tree;
  latency_line #(.Width(68), .Depth(LateEdges)) u_late_combine (
      .clk_i(clk_i), .en_i(live_i),
      .data_i({combine_tree_i, combine_op_i, combine_r_i, tree_v_o}),
      .data_o({combine_tree, combine_op, combine_r, v_late})
  );
  if (Stages[StageTree]) begin : gen_wait
    wire logic [WaitW-1:0] from = WaitW'(now_i) - WaitW'(LatTree)
        - (Stages[StageRoot] && combine_root_i ? WaitW'(LatRoot) : '0);
    logic [31:0] waited;
    waiting_words #(.Words(Beats * (1 << WaitW)), .Late(Late)) u_waiting (
        .clk_i(clk_i), .en_i(live_i), .write_i(1'b1), .write_data_i(tree_v_o),
        .write_place_i((WaitW + PlaceW)'(place(32'(now_i[WaitW-1:0])))),
        .read_place_i((WaitW + PlaceW)'(place(32'(from)))), .read_data_o(waited)
    );
    assign v_at_combine = combine_tree ? waited : v_late;
  end else begin : gen_no_wait
    assign v_at_combine = v_late;
  end
  if (Stages[StageCombine]) begin : gen_combine
    wire logic takes_r = Stages[StageTree] && (combine_op == pianola_pkg::VxmCombineR
        || combine_op == pianola_pkg::VxmCombineReplace);
    logic [31:0] kept, product;
    wire logic [31:0] operand = takes_r ? combine_r : kept;
    waiting_words #(.Words(Beats * (1 << IdW)), .Late(Late)) u_operands (
        .clk_i(clk_i), .en_i(live_i), .write_i(1'b1), .write_data_i(chosen[128+:32]),
        .write_place_i((IdW + PlaceW)'(place(32'(IdW'(now_i-IdW'(1)))))),
        .read_place_i((IdW + PlaceW)'(place(32'(combine_id_i)))), .read_data_o(kept)
    );
    fp_mul u_mul (.a_i(v_at_combine), .b_i(operand), .y_o(product));
    always_comb begin
      case (combine_op)
        pianola_pkg::VxmCombineNone: v_after_combine = v_at_combine;
        pianola_pkg::VxmCombineReplace: v_after_combine = operand;
        default: v_after_combine = product;
      endcase
    end
  end else begin : gen_no_combine
    assign v_after_combine = v_at_combine;
  end
  beat_line #(.Width(32), .Beats(Beats), .Edges(Beats * LatMul - LateEdges)) u_combine (
      .clk_i(clk_i), .beat_i(beat_i), .live_i(live_i), .data_i(v_after_combine), .data_o(v_at_acc)
  );

  // ---------------------------------------------------------------- accumulate
  logic [31:0] v_at_out, w_at_out;
  beat_line #(.Width(32), .Beats(Beats), .Edges(Beats * LatAdd)) u_v (
      .clk_i(clk_i), .beat_i(beat_i), .live_i(live_i), .data_i(v_at_acc), .data_o(v_at_out)
  );
  if (Stages[StageAccumulate]) begin : gen_accumulate
    logic [31:0] previous, s, acc_k2;
    logic [2:0] acc_op;
    logic [31:0] sum, extreme, w, written;
    latency_line #(.Width(67), .Depth(LateEdges)) u_late (
        .clk_i(clk_i), .en_i(live_i),
        .data_i({acc_op_i, acc_k2_i, Stages[StageTree] && acc_source_i ? acc_r_i : v_at_acc}),
        .data_o({acc_op, acc_k2, s})
    );
    waiting_words #(.Words(Beats * (1 << AccW)), .Late(Late)) u_accumulators (
        .clk_i(clk_i), .en_i(live_i), .write_i(acc_write_i), .write_data_i(written),
        .write_place_i((AccW + PlaceW)'(place(32'(acc_written_i)))),
        .read_place_i((AccW + PlaceW)'(place(32'(acc_read_i)))), .read_data_o(previous)
    );
    fp_add u_add (
        .a_i(acc_op == pianola_pkg::VxmAccOpAddK2 ? acc_k2 : previous), .b_i(s),
        .subtract_i(1'b0), .y_o(sum)
    );
    fp_minmax u_minmax (
        .a_i(previous), .b_i(s), .max_i(acc_op == pianola_pkg::VxmAccOpMax), .y_o(extreme)
    );
    always_comb begin
      case (acc_op)
        pianola_pkg::VxmAccOpAdd, pianola_pkg::VxmAccOpAddK2: w = sum;
        pianola_pkg::VxmAccOpMax, pianola_pkg::VxmAccOpMin: w = extreme;
        pianola_pkg::VxmAccOpRead: w = previous;
        default: w = s;
      endcase
    end
    beat_line #(.Width(32), .Beats(Beats), .Edges(Beats * (LatAdd - 1) - LateEdges)) u_w (
        .clk_i(clk_i), .beat_i(beat_i), .live_i(live_i), .data_i(w), .data_o(written)
    );
    beat_line #(.Width(32), .Beats(Beats), .Edges(Beats)) u_w_last (
        .clk_i(clk_i), .beat_i(beat_i), .live_i(live_i), .data_i(written), .data_o(w_at_out)
    );
  end else begin : gen_no_accumulate
    assign w_at_out = v_at_out;
  end

  // ---------------------------------------------------------------- round
  wire logic [31:0] result = out_source_i ? w_at_out : v_at_out;
  logic [31:0] rounded;
  if (Stages[StageRound]) begin : gen_round
    logic [31:0] narrow;
    logic [1:0] op;
    always_comb begin
      op = out_format_i == pianola_pkg::VxmOutFormatI8 ? 2'd0
          : out_format_i == pianola_pkg::VxmOutFormatI32 ? 2'd1
          : out_format_i == pianola_pkg::VxmOutFormatBf16 ? 2'd2 : 2'd3;
    end
    fp_round u_round (.a_i(result), .op_i(op), .y_o(narrow));
    assign rounded = out_format_i == pianola_pkg::VxmOutFormatF32 ? result : narrow;
  end else begin : gen_no_round
    assign rounded = result;
  end
  beat_line #(.Width(32), .Beats(Beats), .Edges(Beats * LatOut)) u_out (
      .clk_i(clk_i), .beat_i(beat_i), .live_i(live_i), .data_i(rounded), .data_o(out_o)
  );

  // What the stages that are left out would take.
  logic unused;
  assign unused = &{1'b0, now_i, chosen, mul1_i, mul2_i, add_op_i, select_keep_i, select_other_i,
                    sfu_op_i, mul3_i, mul3_from_sfu_i, mul3_id_i, combine_op_i, combine_id_i,
                    combine_tree_i, combine_root_i, combine_r_i, acc_op_i, acc_source_i, acc_r_i,
                    acc_k2_i, acc_read_i, acc_write_i, acc_written_i, out_format_i};

endmodule

`default_nettype wire
