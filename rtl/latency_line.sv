// Delays data by Depth enabled cycles. Without a reset or a valid bit: synthesis may make shift
// register LUTs of it, or retime the logic in front of it into it. Depth 0 is a wire.
`default_nettype none

module latency_line #(
    parameter int unsigned Width = 32,
    parameter int unsigned Depth = 1
) (
    input wire logic clk_i,
    input wire logic en_i,
    input wire logic [Width-1:0] data_i,
    output logic [Width-1:0] data_o
);

  if (Depth == 0) begin : gen_wire
    logic unused;
    assign unused = &{1'b0, clk_i, en_i};
    assign data_o = data_i;
  end else begin : gen_line
    // Stage i in word i, the input below stage 0.
    logic [(Depth+1)*Width-1:0] line;
    assign line[Width-1:0] = data_i;
    for (genvar i = 0; i < Depth; i++) begin : gen_stage
      logic [Width-1:0] stage_q;
      always_ff @(posedge clk_i) begin
        if (en_i) stage_q <= line[i*Width+:Width];
      end
      assign line[(i+1)*Width+:Width] = stage_q;
    end
    assign data_o = line[Depth*Width+:Width];
  end

endmodule

`default_nettype wire
