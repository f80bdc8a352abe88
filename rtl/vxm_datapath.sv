// What a VXM chain computes, in the synthesis form: the lanes, the tree with its root, and the delay
// lines of the control that all lanes share. vxm_chain keeps the rest of the control for both forms.
//
// Ports are named after what a pass enters in the cycle in which they are valid; see vxm_lane.
// out_data_o: byte b of lane i at bit (b * Lanes + i) * 8. With several beats per machine cycle there are
// Lanes / Beats lanes, and streams and out_data_o are those of a beat.
`default_nettype none

module vxm_datapath #(
    parameter int unsigned Lanes = 16,
    parameter int unsigned Streams = 16,
    parameter int unsigned Accumulators = 32,
    parameter bit [10:0] Stages = 11'h7ff,
    parameter int unsigned IdW = 6,
    parameter int unsigned Beats = 1,
    localparam int unsigned Part = Lanes / Beats,
    localparam int unsigned VectorW = Part * 8,
    localparam int unsigned BeatCountW = Beats > 1 ? $clog2(Beats) : 1,
    localparam int unsigned StreamW = $clog2(Streams),
    localparam int unsigned AccW = Accumulators > 1 ? $clog2(Accumulators) : 1
) (
    input wire logic clk_i,
    input wire logic rst_ni,
    input wire logic [BeatCountW-1:0] beat_i,
    input wire logic live_i,
    input wire logic en_i,
    input wire logic start_i,
    input wire logic [IdW-1:0] now_i,
    input wire logic [Streams*VectorW-1:0] east_i,
    input wire logic [Streams*VectorW-1:0] west_i,

    // Fields of x, y, z; codes of mul1, mul2, add, mul3, combine.
    input wire logic [3*(StreamW+1)-1:0] issue_from_i,  // {direction, stream} of each
    input wire logic [3*3-1:0] issue_format_i,
    input wire logic [5*3-1:0] issue_operand_i,
    input wire logic [2:0] issue_add_op_i,
    input wire logic [1:0] issue_select_i,
    input wire logic [31:0] issue_threshold_i,
    input wire logic [31:0] issue_k1_i,
    input wire logic [31:0] issue_k2_i,

    input wire logic [1:0] sfu_op_i,
    input wire logic mul3_i,
    input wire logic mul3_from_sfu_i,
    input wire logic [IdW-1:0] mul3_id_i,

    input wire logic [2:0] tree_op_i,
    input wire logic [2:0] tree_segment_i,
    input wire logic [1:0] tree_root_op_i,
    input wire logic [31:0] tree_k1_i,
    input wire logic [31:0] tree_k2_i,

    input wire logic [2:0] combine_op_i,
    input wire logic [IdW-1:0] combine_id_i,
    input wire logic combine_tree_i,
    input wire logic combine_root_i,
    input wire logic [2:0] combine_segment_i,

    input wire logic [2:0] acc_op_i,
    input wire logic acc_source_i,
    input wire logic [2:0] acc_segment_i,
    input wire logic [31:0] acc_k2_i,
    input wire logic [AccW-1:0] acc_i,
    input wire logic acc_write_i,
    input wire logic acc_out_source_i,
    input wire logic [2:0] acc_out_format_i,

    output logic [4*VectorW-1:0] out_data_o
);
  localparam int unsigned LatIn = pianola_pkg::latency_vxm_in(Lanes);
  localparam int unsigned LatMul = pianola_pkg::latency_vxm_mul(Lanes);
  localparam int unsigned LatAdd = pianola_pkg::latency_vxm_add(Lanes);
  localparam int unsigned Segments = Lanes >= 16 ? Lanes / 16 : 1;  // of the smallest size
  localparam int unsigned LevelsMin = 4;                            // log2 of their lanes
  localparam int unsigned StageSelect = 3, StageTree = 6, StageRoot = 7;

  // The lane number as fp32, exact.
  function automatic logic [31:0] lane_number(input integer lane);
    integer top;
    lane_number = 32'd0;
    for (top = 0; top < 16; top = top + 1) begin
      if ((lane >> top) == 1) lane_number = {1'b0, 8'(127 + top), 23'(lane << (23 - top))};
    end
  endfunction

  // ---------------------------------------------------------------- control on its way
  logic [3*3-1:0] format_q;
  logic [5*3-1:0] operand_q;
  logic [31:0] k1_q, k2_q;
  always_ff @(posedge clk_i) begin
    if (en_i) begin
      format_q <= issue_format_i;
      operand_q <= issue_operand_i;
      k1_q <= issue_k1_i;
      k2_q <= issue_k2_i;
    end
  end

  logic [5*2-1:0] convert_operand;
  logic [5*32-1:0] convert_constant;
  for (genvar s = 0; s < 5; s++) begin : gen_operand
    wire logic [2:0] code = operand_q[s*3+:3];
    assign convert_operand[s*2+:2] = code == pianola_pkg::VxmOperandY ? 2'd0
        : code == pianola_pkg::VxmOperandZ ? 2'd1 : code == pianola_pkg::VxmOperandLane ? 2'd2
        : 2'd3;
    assign convert_constant[s*32+:32] = code == pianola_pkg::VxmOperandK1 ? k1_q
        : code == pianola_pkg::VxmOperandK2 ? k2_q : 32'd0;
  end

  logic [Lanes-1:0] select_keep;
  logic [31:0] select_other;
  if (Stages[StageSelect]) begin : gen_select
    logic [31:0] threshold_q;
    logic [1:0] select_q;
    logic [Lanes-1:0] keep;
    always_ff @(posedge clk_i) begin
      if (en_i) begin
        threshold_q <= issue_threshold_i;
        select_q <= issue_select_i;
      end
    end
    for (genvar i = 0; i < Lanes; i++) begin : gen_keep
      wire logic below = $signed(32'(i)) < $signed(threshold_q);
      always_comb begin
        case (select_q)
          pianola_pkg::VxmSelectLt: keep[i] = below;
          pianola_pkg::VxmSelectGe: keep[i] = !below;
          pianola_pkg::VxmSelectEq: keep[i] = threshold_q == 32'(i);
          default: keep[i] = 1'b1;
        endcase
      end
    end
    latency_line #(.Width(Lanes + 32), .Depth(LatIn - 1 + 2 * LatMul + LatAdd)) u_line (
        .clk_i(clk_i), .en_i(en_i), .data_i({keep, k2_q}), .data_o({select_keep, select_other})
    );
  end else begin : gen_no_select
    assign select_keep = '1;
    assign select_other = '0;
    logic unused;
    assign unused = &{1'b0, issue_threshold_i, issue_select_i};
  end

  logic mul1_used, mul2_used;
  logic [2:0] add_op;
  latency_line #(.Width(1), .Depth(LatIn)) u_mul1 (
      .clk_i(clk_i), .en_i(en_i), .data_i(issue_operand_i[2:0] != pianola_pkg::VxmOperandNone),
      .data_o(mul1_used)
  );
  latency_line #(.Width(1), .Depth(LatIn + LatMul)) u_mul2 (
      .clk_i(clk_i), .en_i(en_i), .data_i(issue_operand_i[5:3] != pianola_pkg::VxmOperandNone),
      .data_o(mul2_used)
  );
  latency_line #(.Width(3), .Depth(LatIn + 2 * LatMul)) u_add_op (
      .clk_i(clk_i), .en_i(en_i), .data_i(issue_add_op_i), .data_o(add_op)
  );

  logic [AccW-1:0] acc_written;
  logic [LatAdd-2:0] acc_write_q;
  logic out_source;
  logic [2:0] out_format;
  latency_line #(.Width(AccW), .Depth(LatAdd - 1)) u_acc (
      .clk_i(clk_i), .en_i(en_i), .data_i(acc_i), .data_o(acc_written)
  );
  always_ff @(posedge clk_i) begin
    if (!rst_ni || start_i) acc_write_q <= '0;
    else if (en_i) acc_write_q <= {acc_write_q[LatAdd-3:0], acc_write_i};
  end
  latency_line #(.Width(4), .Depth(LatAdd)) u_out (
      .clk_i(clk_i), .en_i(en_i), .data_i({acc_out_source_i, acc_out_format_i}),
      .data_o({out_source, out_format})
  );

  // ---------------------------------------------------------------- tree, root
  logic [Part*32-1:0] tree_v;
  logic [Segments*32-1:0] combine_r, acc_r;  // by segment
  if (Stages[StageTree]) begin : gen_tree
    logic [Segments*32-1:0] tree_r, root_r;
    vxm_tree #(.Lanes(Lanes), .Root(Stages[StageRoot]), .Beats(Beats)) u_tree (
        .clk_i(clk_i), .beat_i(beat_i), .live_i(live_i), .en_i(en_i), .v_i(tree_v), .op_i(tree_op_i), .segment_i(tree_segment_i),
        .root_op_i(tree_root_op_i), .k1_i(tree_k1_i), .k2_i(tree_k2_i), .tree_o(tree_r),
        .root_o(root_r)
    );
    assign combine_r = Stages[StageRoot] && combine_root_i ? root_r : tree_r;
    latency_line #(.Width(Segments * 32), .Depth(LatMul)) u_r (
        .clk_i(clk_i), .en_i(en_i), .data_i(combine_r), .data_o(acc_r)
    );
  end else begin : gen_no_tree
    assign combine_r = '0;
    assign acc_r = '0;
    logic unused;
    assign unused = &{1'b0, tree_v, tree_op_i, tree_segment_i, tree_root_op_i, tree_k1_i, tree_k2_i};
  end

  // ---------------------------------------------------------------- lanes
  // Lane 0 passes in beat 0 and is kept for the others.
  logic [Part*3*32-1:0] fetched;
  logic [3*32-1:0] lane0;
  if (Beats > 1) begin : gen_lane0
    logic [3*32-1:0] lane0_q;
    always_ff @(posedge clk_i) begin
      if (live_i && beat_i == '0) lane0_q <= fetched[95:0];
    end
    assign lane0 = beat_i == '0 ? fetched[95:0] : lane0_q;
  end else begin : gen_lane0_now
    assign lane0 = fetched[95:0];
  end
  for (genvar i = 0; i < Part; i++) begin : gen_lane
    // The number of the lane of this beat.
    logic [31:0] number;
    logic keep;
    always_comb begin
      number = lane_number(i);
      keep = select_keep[i];
      for (int unsigned b = 1; b < Beats; b++) begin
        if (beat_i == BeatCountW'(b)) begin
          number = lane_number(b * Part + i);
          keep = select_keep[b*Part+i];
        end
      end
    end
    logic [Streams*8-1:0] east, west;
    for (genvar s = 0; s < Streams; s++) begin : gen_stream
      assign east[s*8+:8] = east_i[s*VectorW+i*8+:8];
      assign west[s*8+:8] = west_i[s*VectorW+i*8+:8];
    end
    // r of the segment of this lane.
    logic [31:0] lane_combine_r, lane_acc_r;
    if (Segments > 1) begin : gen_segments
      wire logic [31:0] combine_g = combine_segment_i == pianola_pkg::LaneSegmentAll ? 32'd0
          : (32'(beat_i) * Part + i) >> LevelsMin >> (combine_segment_i - 3'd1);
      wire logic [31:0] acc_g = acc_segment_i == pianola_pkg::LaneSegmentAll ? 32'd0
          : (32'(beat_i) * Part + i) >> LevelsMin >> (acc_segment_i - 3'd1);
      assign lane_combine_r = combine_r[combine_g*32+:32];
      assign lane_acc_r = acc_r[acc_g*32+:32];
    end else begin : gen_one_segment
      assign lane_combine_r = combine_r;
      assign lane_acc_r = acc_r;
    end
    logic [31:0] out;
    vxm_lane #(
        .Lanes(Lanes), .Streams(Streams), .Accumulators(Accumulators), .Stages(Stages), .IdW(IdW),
        .Beats(Beats)
    ) u_lane (
        .clk_i(clk_i), .beat_i(beat_i), .live_i(Beats > 1 ? live_i : en_i), .now_i(now_i),
        .lane_i(number), .east_i(east),
        .west_i(west), .fetch_from_i(issue_from_i), .fetched_o(fetched[i*96+:96]),
        .convert_format_i(format_q), .convert_lane0_i(lane0),
        .convert_operand_i(convert_operand), .convert_constant_i(convert_constant),
        .mul1_i(mul1_used), .mul2_i(mul2_used), .add_op_i(add_op), .select_keep_i(keep),
        .select_other_i(select_other), .sfu_op_i(sfu_op_i), .mul3_i(mul3_i),
        .mul3_from_sfu_i(mul3_from_sfu_i), .mul3_id_i(mul3_id_i), .tree_v_o(tree_v[i*32+:32]),
        .combine_op_i(combine_op_i), .combine_id_i(combine_id_i),
        .combine_tree_i(combine_tree_i), .combine_root_i(combine_root_i),
        .combine_r_i(lane_combine_r), .acc_op_i(acc_op_i), .acc_source_i(acc_source_i),
        .acc_r_i(lane_acc_r), .acc_k2_i(acc_k2_i), .acc_read_i(acc_i),
        .acc_write_i(acc_write_q[LatAdd-2]), .acc_written_i(acc_written),
        .out_source_i(out_source), .out_format_i(out_format), .out_o(out)
    );
    for (genvar b = 0; b < 4; b++) begin : gen_byte
      assign out_data_o[(b*Part+i)*8+:8] = out[b*8+:8];
    end
  end

  // Segments matter where there are several.
  logic unused_segments;
  assign unused_segments = &{1'b0, combine_segment_i, acc_segment_i, fetched};

endmodule

`default_nettype wire
