// A vector from its beats: data_o is the whole vector in the last beat of a machine cycle, with the
// part of beat 0 lowest. live_i: this beat belongs to a machine cycle that happens.
`default_nettype none

module beat_collector #(
  parameter int unsigned Width = 32,  // of one beat
  parameter int unsigned Beats = 4,
  localparam int unsigned WholeW = Width * Beats
) (
  input  wire logic              clk_i,
  input  wire logic              live_i,
  input  wire logic [Width-1:0]  data_i,
  output logic [WholeW-1:0]      data_o
);

  if (Beats == 1) begin : gen_wire
    logic unused;
    assign unused = &{1'b0, clk_i, live_i};
    assign data_o = data_i;
  end else begin : gen_collect
    logic [WholeW-Width-1:0] earlier_q;
    assign data_o = {data_i, earlier_q};
    always_ff @(posedge clk_i) begin
      if (live_i) earlier_q <= data_o[WholeW-1:Width];
    end
  end

endmodule

`default_nettype wire
