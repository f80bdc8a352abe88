// A node of the tree of a VXM chain: two neighbours combined, or what stands in its place where segments
// are so short that this level combines nothing. Nodes are {NaN seen, lane within the node, value or key}.
`default_nettype none

module vxm_tree_node #(
    parameter int unsigned Level = 0,
    parameter int unsigned Levels = 4,
    localparam int unsigned NodeW = 33 + Levels
) (
    input wire logic [NodeW-1:0] left_i,
    input wire logic [NodeW-1:0] right_i,
    input wire logic [NodeW-1:0] alone_i,
    input wire logic [2:0] op_i,
    input wire logic combines_i,
    output logic [NodeW-1:0] node_o
);
  wire logic takes_right = right_i[31:0] > left_i[31:0];
  logic [31:0] sum;
  fp_add u_add (.a_i(left_i[31:0]), .b_i(right_i[31:0]), .subtract_i(1'b0), .y_o(sum));
  always_comb begin
    node_o = takes_right ? right_i : left_i;
    node_o[32+Level] = takes_right;
    node_o[NodeW-1] = left_i[NodeW-1] | right_i[NodeW-1];
    if (op_i == pianola_pkg::VxmTreeSum) node_o[31:0] = sum;
    if (!combines_i) node_o = alone_i;
  end

endmodule

`default_nettype wire
