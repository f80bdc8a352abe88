// The way from the front to the back: FreezeDepth registers between the grant of a front cycle and
// the enable of the machine cycle of the same number, with what the dispatcher pushes in it.
//
// Front cycle c happens at the clock edge where grant_i is set. FreezeDepth edges later en_o is set
// for machine cycle c; push_set_o (one bit per queue) and entry_o are the push of that cycle, end_o
// marks the last one. No path leads from front to back but through these registers. The entry moves
// only with a push.
//
// Where a machine cycle takes several clock edges (beats), step_i marks the last one of each: the
// front acts there, the registers step there, live_o is set in all beats of a machine cycle that
// happens, and en_o in the last of them.
`default_nettype none

module freeze_pipeline #(
  parameter int unsigned Queues = 41,
  parameter int unsigned EntryW = 235,
  parameter int unsigned FreezeDepth = 4
) (
  input  wire logic              clk_i,
  input  wire logic              rst_ni,
  input  wire logic              start_i,
  input  wire logic              step_i,
  input  wire logic              grant_i,
  input  wire logic              end_i,
  input  wire logic              push_i,
  input  wire logic [Queues-1:0] push_set_i,
  input  wire logic [EntryW-1:0] entry_i,
  output logic                   live_o,
  output logic                   en_o,
  output logic                   end_o,
  output logic [Queues-1:0]      push_set_o,
  output logic [EntryW-1:0]      entry_o
);

  if (FreezeDepth < 1) begin : gen_depth_too_small
    $error("freeze_pipeline: FreezeDepth must be at least 1");
  end

  logic [FreezeDepth-1:0] grant_q, end_q;
  always_ff @(posedge clk_i) begin
    if (!rst_ni || start_i) begin
      grant_q <= '0;
      end_q <= '0;
    end else if (step_i) begin
      grant_q <= FreezeDepth'({grant_q, grant_i});
      end_q <= FreezeDepth'({end_q, grant_i && end_i});
    end
  end
  assign live_o = grant_q[FreezeDepth-1];
  assign en_o = live_o && step_i;
  assign end_o = end_q[FreezeDepth-1];

  logic              push_valid, unused_busy;
  logic [Queues-1:0] push_set;
  delay_line #(.Width(Queues + EntryW), .Depth(FreezeDepth)) u_push (
    .clk_i  (clk_i),
    .rst_ni (rst_ni),
    .clear_i(start_i),
    .en_i   (step_i),
    .valid_i(push_i),
    .data_i ({push_set_i, entry_i}),
    .valid_o(push_valid),
    .data_o ({push_set, entry_o}),
    .busy_o (unused_busy)
  );
  assign push_set_o = push_valid ? push_set : '0;

endmodule

`default_nettype wire
