// Technology cell: a memory with one write port and one read port on one clock. A read of cycle t
// is on rdata_o from t + 1 until the next read; reading the word that is being written gives
// nothing defined. Contents survive reset.
`default_nettype none

module ram_1r1w #(
  parameter int unsigned Words = 132,
  parameter int unsigned Width = 128,
  parameter int unsigned AddressW = $clog2(Words)
) (
  input  wire logic                clk_i,
  input  wire logic                re_i,
  input  wire logic [AddressW-1:0] raddress_i,
  output logic [Width-1:0]         rdata_o,
  input  wire logic                we_i,
  input  wire logic [AddressW-1:0] waddress_i,
  input  wire logic [Width-1:0]    wdata_i
);

  // Said so for Yosys, which else keeps the old word for such a read with registers beside the memory.
  (* no_rw_check *) logic [Width-1:0] mem [0:Words-1]  /* verilator public_flat_rd */;

  always_ff @(posedge clk_i) begin
    if (we_i) mem[waddress_i] <= wdata_i;
    if (re_i) rdata_o <= mem[raddress_i];
  end

endmodule

`default_nettype wire
