// Technology cell: a single-port memory with byte enables; one read or one write per cycle.
// A read of cycle t is on rdata_o from t + 1 until the next read. Contents survive reset.
`default_nettype none

module ram_1rw #(
  parameter int unsigned Words = 2048,
  parameter int unsigned Bytes = 16,
  parameter int unsigned AddressW = $clog2(Words)
) (
  input  wire logic                clk_i,
  input  wire logic                re_i,
  input  wire logic                we_i,
  input  wire logic [AddressW-1:0] address_i,
  input  wire logic [Bytes-1:0]    be_i,
  input  wire logic [Bytes*8-1:0]  wdata_i,
  output logic [Bytes*8-1:0]       rdata_o
);

  logic [Bytes*8-1:0] mem [0:Words-1]  /* verilator public_flat_rw */;

`ifdef VERILATOR
  // One masked write a cycle: a byte loop would cost the simulator a test per byte.
  logic [Bytes*8-1:0] merged;
  always_ff @(posedge clk_i) begin
    if (re_i) rdata_o <= mem[address_i];
  end
  always_comb begin
    merged = wdata_i;
    if (we_i && !(&be_i)) begin
      for (int unsigned b = 0; b < Bytes; b++) begin
        if (!be_i[b]) merged[b*8 +: 8] = mem[address_i][b*8 +: 8];
      end
    end
  end
  always_ff @(posedge clk_i) begin
    if (we_i) mem[address_i] <= merged;
  end
`else
  always_ff @(posedge clk_i) begin
    for (int unsigned b = 0; b < Bytes; b++) begin
      if (we_i && be_i[b]) mem[address_i][b*8 +: 8] <= wdata_i[b*8 +: 8];
    end
    if (re_i) rdata_o <= mem[address_i];
  end
`endif

endmodule

`default_nettype wire
