// Tree and root of a VXM chain, in the synthesis form: per level a row of nodes with the latency of
// an addition behind it, then wires and the root's own pipeline, one per smallest segment.
//
// tree_o belongs to the pass that entered latency_vxm_tree cycles ago, root_o to the one that entered
// latency_vxm_root before that. A pass may enter every enabled cycle. Segment g is in word g; of a
// longer segment the first word.
// With several beats per machine cycle the lanes of a beat arrive at each clock edge. They are collected,
// which is one of the cycles of wires; then the nodes of a level share as few adders as finish all of
// them in a machine cycle. Lanes is then a power of two.
// MAX, ABSMAX and ARGMAX compare keys, unsigned numbers in the order of the values, so that a node
// is one adder and one comparator. The key becomes a value again behind the last level.
`default_nettype none

module vxm_tree #(
    parameter int unsigned Lanes = 16,
    parameter bit Root = 1'b1,
    parameter int unsigned Beats = 1,
    localparam int unsigned Part = Lanes / Beats,
    localparam int unsigned BeatCountW = Beats > 1 ? $clog2(Beats) : 1,
    localparam int unsigned Segments = Lanes >= 16 ? Lanes / 16 : 1
) (
    input wire logic clk_i,
    input wire logic [BeatCountW-1:0] beat_i,
    input wire logic live_i,
    input wire logic en_i,
    input wire logic [Part*32-1:0] v_i,
    input wire logic [2:0] op_i,
    input wire logic [2:0] segment_i,
    input wire logic [1:0] root_op_i,
    input wire logic [31:0] k1_i,
    input wire logic [31:0] k2_i,
    output logic [Segments*32-1:0] tree_o,
    output logic [Segments*32-1:0] root_o
);
  localparam int unsigned LatMul = pianola_pkg::latency_vxm_mul(Lanes);
  localparam int unsigned LatAdd = pianola_pkg::latency_vxm_add(Lanes);
  localparam int unsigned LatTree = pianola_pkg::latency_vxm_tree(Lanes);
  localparam int unsigned LatRoot = pianola_pkg::latency_vxm_root(Lanes);
  localparam int unsigned Levels = $clog2(Lanes);
  localparam int unsigned LevelsMin = 4;  // of the smallest segment
  // A node: {NaN seen, lane within the node, value or key}.
  localparam int unsigned NodeW = 33 + Levels;

  // Row l holds the nodes that enter level l, row Levels those that leave the last.
  /* verilator lint_off UNUSEDSIGNAL */  // a row has fewer nodes than the one before
  logic [(Levels+1)*Lanes*NodeW-1:0] rows;
  logic [(Levels+1)*3-1:0] ops, segments;
  /* verilator lint_on UNUSEDSIGNAL */
  localparam int unsigned Collect = Beats > 1 ? 1 : 0;  // cycles
  latency_line #(.Width(6), .Depth(Collect)) u_op (
      .clk_i(clk_i), .en_i(en_i), .data_i({op_i, segment_i}), .data_o({ops[2:0], segments[2:0]})
  );

  logic [Part*NodeW-1:0] leaves;
  for (genvar i = 0; i < Part; i++) begin : gen_leaf
    wire logic [31:0] v = v_i[i*32+:32];
    wire logic nan = v[30:0] > 31'h7f800000;
    wire logic sign = v[31] && op_i != pianola_pkg::VxmTreeAbsmax;
    logic [31:0] word;
    always_comb begin
      word = sign ? {1'b0, ~v[30:0]} : {1'b1, v[30:0]};
      if (op_i == pianola_pkg::VxmTreeArgmax && nan) word = 32'd0;
      if (op_i == pianola_pkg::VxmTreeSum) word = v;
    end
    assign leaves[i*NodeW+:NodeW] = {nan, {Levels{1'b0}}, word};
  end
  logic [Lanes*NodeW-1:0] whole;
  beat_collector #(.Width(Part * NodeW), .Beats(Beats)) u_leaves (
      .clk_i(clk_i), .live_i(live_i), .data_i(leaves), .data_o(whole)
  );
  latency_line #(.Width(Lanes * NodeW), .Depth(Collect)) u_whole (
      .clk_i(clk_i), .en_i(en_i), .data_i(whole), .data_o(rows[Lanes*NodeW-1:0])
  );

  for (genvar l = 0; l < Levels; l++) begin : gen_level
    localparam int unsigned Entering = (Lanes + (1 << l) - 1) >> l;
    localparam int unsigned Leaving = (Lanes + (2 << l) - 1) >> (l + 1);
    wire logic [2:0] op = ops[l*3+:3];
    wire logic [2:0] segment = segments[l*3+:3];
    // Segments of fewer levels pass the rest.
    wire logic combines = l < LevelsMin || segment == pianola_pkg::LaneSegmentAll
        || 32'(segment) + 3 > l;
    latency_line #(.Width(6), .Depth(LatAdd)) u_control (
        .clk_i(clk_i), .en_i(en_i), .data_i({op, segment}),
        .data_o({ops[(l+1)*3+:3], segments[(l+1)*3+:3]})
    );
    // Pairs (2n, 2n + 1) for the numbers n of a beat; Shared of them at a time.
    localparam int unsigned Shared = (Leaving + Beats - 1) / Beats;
    logic [Shared*NodeW-1:0] pairs;     // of this beat
    /* verilator lint_off UNUSEDSIGNAL */  // of beats without a pair
    logic [Shared*Beats*NodeW-1:0] all_pairs;
    /* verilator lint_on UNUSEDSIGNAL */
    if (Beats > 1) begin : gen_shared
      for (genvar a = 0; a < Shared; a++) begin : gen_adder
        // Beats without a pair of their own repeat others.
        logic [NodeW-1:0] left, right, alone;
        always_comb begin
          left = rows[(l*Lanes+2*a)*NodeW+:NodeW];
          right = rows[(l*Lanes+2*a+1)*NodeW+:NodeW];
          alone = rows[(l*Lanes+a)*NodeW+:NodeW];
          for (int unsigned b = 1; b * Shared < Leaving; b++) begin
            if ((32'(beat_i) & (Leaving / Shared - 1)) == b) begin
              left = rows[(l*Lanes+2*(b*Shared+a))*NodeW+:NodeW];
              right = rows[(l*Lanes+2*(b*Shared+a)+1)*NodeW+:NodeW];
              alone = rows[(l*Lanes+b*Shared+a)*NodeW+:NodeW];
            end
          end
        end
        vxm_tree_node #(.Level(l), .Levels(Levels)) u_node (
            .left_i(left), .right_i(right), .alone_i(alone), .op_i(op), .combines_i(combines),
            .node_o(pairs[a*NodeW+:NodeW])
        );
      end
      beat_collector #(.Width(Shared * NodeW), .Beats(Beats)) u_pairs (
          .clk_i(clk_i), .live_i(live_i), .data_i(pairs), .data_o(all_pairs)
      );
    end else begin : gen_separate
      for (genvar n = 0; n < Leaving; n++) begin : gen_pair
        if (2 * n + 1 < Entering) begin : gen_both
          vxm_tree_node #(.Level(l), .Levels(Levels)) u_node (
              .left_i(rows[(l*Lanes+2*n)*NodeW+:NodeW]),
              .right_i(rows[(l*Lanes+2*n+1)*NodeW+:NodeW]),
              .alone_i(rows[(l*Lanes+n)*NodeW+:NodeW]), .op_i(op), .combines_i(combines),
              .node_o(pairs[n*NodeW+:NodeW])
          );
        end else begin : gen_left
          assign pairs[n*NodeW+:NodeW] = '0;
        end
      end
      assign all_pairs = pairs;
      logic unused_beat;
      assign unused_beat = &{1'b0, beat_i};
    end
    for (genvar n = 0; n < Lanes; n++) begin : gen_node
      if (n < Leaving && 2 * n + 1 < Entering) begin : gen_pair
        latency_line #(.Width(NodeW), .Depth(LatAdd)) u_line (
            .clk_i(clk_i), .en_i(en_i), .data_i(all_pairs[n*NodeW+:NodeW]),
            .data_o(rows[((l+1)*Lanes+n)*NodeW+:NodeW])
        );
      end else if (n < Leaving || n < Segments) begin : gen_single
        // Without a partner, or beyond the nodes of a tree of all lanes.
        localparam int unsigned From = n < Leaving ? 2 * n : n;
        latency_line #(.Width(NodeW), .Depth(LatAdd)) u_line (
            .clk_i(clk_i), .en_i(en_i),
            .data_i(combines ? rows[(l*Lanes+From)*NodeW+:NodeW] : rows[(l*Lanes+n)*NodeW+:NodeW]),
            .data_o(rows[((l+1)*Lanes+n)*NodeW+:NodeW])
        );
      end else begin : gen_none
        assign rows[((l+1)*Lanes+n)*NodeW+:NodeW] = '0;
      end
    end
  end

  // Values, and the wires to the root.
  for (genvar g = 0; g < Segments; g++) begin : gen_value
    wire logic [NodeW-1:0] node = rows[(Levels*Lanes+g)*NodeW+:NodeW];
    wire logic [2:0] op = ops[Levels*3+:3];
    logic [31:0] lane, value;
    fp_convert u_lane (.a_i(32'(node[32+:Levels])), .op_i(2'd0), .y_o(lane));
    always_comb begin
      value = node[31] ? {1'b0, node[30:0]} : {1'b1, ~node[30:0]};
      if (node[NodeW-1]) value = 32'h7fc00000;
      if (op == pianola_pkg::VxmTreeArgmax) value = lane;
      if (op == pianola_pkg::VxmTreeSum) value = node[31:0];
    end
    latency_line #(.Width(32), .Depth(LatTree - Levels * LatAdd - Collect)) u_wires (
        .clk_i(clk_i), .en_i(en_i), .data_i(value), .data_o(tree_o[g*32+:32])
    );
  end

  if (Root) begin : gen_root
    // Control at the scale, at the addition, at the special function.
    logic [1:0] scale_op, add_op, special_op;
    logic [31:0] scale_k1, scale_k2, add_k2;
    latency_line #(.Width(66), .Depth(LatTree)) u_scale (
        .clk_i(clk_i), .en_i(en_i), .data_i({root_op_i, k1_i, k2_i}),
        .data_o({scale_op, scale_k1, scale_k2})
    );
    latency_line #(.Width(34), .Depth(LatMul)) u_add (
        .clk_i(clk_i), .en_i(en_i), .data_i({scale_op, scale_k2}), .data_o({add_op, add_k2})
    );
    latency_line #(.Width(2), .Depth(LatAdd)) u_special (
        .clk_i(clk_i), .en_i(en_i), .data_i(add_op), .data_o(special_op)
    );
    for (genvar g = 0; g < Segments; g++) begin : gen_segment
      logic [31:0] product, scaled, sum, shifted, special;
      fp_mul u_mul (.a_i(tree_o[g*32+:32]), .b_i(scale_k1), .y_o(product));
      latency_line #(.Width(32), .Depth(LatMul)) u_scaled (
          .clk_i(clk_i), .en_i(en_i), .data_i(product), .data_o(scaled)
      );
      fp_add u_sum (.a_i(scaled), .b_i(add_k2), .subtract_i(1'b0), .y_o(sum));
      latency_line #(.Width(32), .Depth(LatAdd)) u_shifted (
          .clk_i(clk_i), .en_i(en_i), .data_i(add_op == pianola_pkg::VxmRootRsqrt ? sum : scaled),
          .data_o(shifted)
      );
      fp_special u_function (
          .a_i(shifted), .op_i(special_op == pianola_pkg::VxmRootRsqrt ? 2'd2 : 2'd1),
          .y_o(special)
      );
      latency_line #(.Width(32), .Depth(LatRoot - LatMul - LatAdd)) u_root (
          .clk_i(clk_i), .en_i(en_i),
          .data_i(special_op == pianola_pkg::VxmRootScale ? shifted : special),
          .data_o(root_o[g*32+:32])
      );
    end
  end else begin : gen_no_root
    assign root_o = '0;
    logic unused;
    assign unused = &{1'b0, root_op_i, k1_i, k2_i};
  end

endmodule

`default_nettype wire
