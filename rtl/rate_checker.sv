// The bucket of one port (rule port_rate), in bytes: starts full, loses what an operation of the
// cycle takes, gains BytesPerCycle each machine cycle, holds at most BytesMax. Taking more than it
// holds is the fault. Simulation only: real FIFOs freeze the core instead.
`default_nettype none

module rate_checker #(
  parameter int unsigned BytesMax = 8192,
  parameter int unsigned BytesPerCycle = 32
) (
  input  wire logic        clk_i,
  input  wire logic        rst_ni,
  input  wire logic        start_i,
  input  wire logic        en_i,
  input  wire logic [15:0] take_bytes_i,
  output logic             fault_o
);

  localparam int unsigned W = $clog2(BytesMax + BytesPerCycle + 65536);
  logic [W-1:0] missing_q;  // BytesMax minus the bucket
  logic [W-1:0] missing;
  assign missing = missing_q + W'(take_bytes_i);
  assign fault_o = en_i && (missing > W'(BytesMax));

  always_ff @(posedge clk_i) begin
    if (!rst_ni || start_i) begin
      missing_q <= '0;
    end else if (en_i) begin
      if (missing <= W'(BytesPerCycle)) missing_q <= '0;
      else if (missing > W'(BytesMax)) missing_q <= W'(BytesMax - BytesPerCycle);
      else missing_q <= missing - W'(BytesPerCycle);
    end
  end

endmodule

`default_nettype wire
