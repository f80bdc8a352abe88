// Delays a valid bit and its data by Depth enabled cycles. Data moves only where valid, so that an
// idle line costs neither power nor simulation time. Depth 0 is a wire.
`default_nettype none

`ifdef VERILATOR
`ifndef PIANOLA_SYNTHESIS_FORM
`define PIANOLA_LINE_FAST
`endif
`endif

module delay_line #(
  parameter int unsigned Width = 8,
  parameter int unsigned Depth = 1
) (
  input  wire logic             clk_i,
  input  wire logic             rst_ni,
  input  wire logic             clear_i,  // empties the line
  input  wire logic             en_i,
  input  wire logic             valid_i,
  input  wire logic [Width-1:0] data_i,
  output logic                  valid_o,
  output logic [Width-1:0]      data_o,
  output logic                  busy_o    // something is in the line, its output included
);

  if (Depth == 0) begin : gen_wire
    logic unused;
    assign unused = &{1'b0, clk_i, rst_ni, clear_i, en_i};
    assign valid_o = valid_i;
    assign data_o = data_i;
    assign busy_o = 1'b0;
`ifdef PIANOLA_LINE_FAST
  end else begin : gen_line
    localparam int unsigned SlotW = (Depth > 1) ? $clog2(Depth) : 1;
    logic [Depth-1:0] valid_q;
    logic [SlotW-1:0] slot_q;
    logic [Width-1:0] data_q [0:(1<<SlotW)-1];

    // A slot per cycle of delay: data is written once, where it was read Depth cycles before.
    always_ff @(posedge clk_i) begin
      if (!rst_ni || clear_i) begin
        valid_q <= '0;
        slot_q <= '0;
      end else if (en_i && (valid_i || (|valid_q))) begin
        valid_q <= Depth'({valid_q, valid_i});
        slot_q <= (slot_q == SlotW'(Depth - 1)) ? '0 : slot_q + 1'b1;
        if (valid_i) data_q[slot_q] <= data_i;
      end
    end

    assign valid_o = valid_q[Depth-1];
    assign data_o = data_q[slot_q];
    assign busy_o = |valid_q;
  end
`else
  end else begin : gen_line
    logic [Depth-1:0] valid_q;
    logic [Width-1:0] data_q [0:Depth-1];

    always_ff @(posedge clk_i) begin
      if (!rst_ni || clear_i) begin
        valid_q <= '0;
      end else if (en_i && (valid_i || (|valid_q))) begin
        valid_q[0] <= valid_i;
        for (int unsigned i = 1; i < Depth; i++) valid_q[i] <= valid_q[i-1];
      end
    end

    for (genvar i = 0; i < Depth; i++) begin : gen_stage
      if (i == 0) begin : gen_first
        always_ff @(posedge clk_i) begin
          if (en_i && valid_i) data_q[0] <= data_i;
        end
      end else begin : gen_next
        always_ff @(posedge clk_i) begin
          if (en_i && valid_q[i-1]) data_q[i] <= data_q[i-1];
        end
      end
    end

    assign valid_o = valid_q[Depth-1];
    assign data_o = data_q[Depth-1];
    assign busy_o = |valid_q;
  end
`endif
`undef PIANOLA_LINE_FAST

endmodule

`default_nettype wire
