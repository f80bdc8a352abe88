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

  logic [Bytes*8-1:0] mem [0:Words-1]  /* verilator public_flat_rd */;

`ifdef VERILATOR
  // Whole words, and words merged byte by byte only where the enables differ: a loop over bytes in
  // each write would cost the simulator a test per byte.
  function automatic logic [Bytes*8-1:0] merge(
      input logic [Bytes*8-1:0] old_word, input logic [Bytes*8-1:0] new_word,
      input logic [Bytes-1:0] enable);
    merge = old_word;
    for (int unsigned b = 0; b < Bytes; b++) begin
      if (enable[b]) merge[b*8 +: 8] = new_word[b*8 +: 8];
    end
  endfunction
  always_ff @(posedge clk_i) begin
    if (re_i) rdata_o <= mem[address_i];
    if (we_i) begin
      if (&be_i) mem[address_i] <= wdata_i;
      else mem[address_i] <= merge(mem[address_i], wdata_i, be_i);
    end
  end
`else
  always_ff @(posedge clk_i) begin
    for (int unsigned b = 0; b < Bytes; b++) begin
      if (we_i && be_i[b]) mem[address_i][b*8 +: 8] <= wdata_i[b*8 +: 8];
    end
    // Never both: said so, or a tool adds registers to keep the order of read and write.
    if (re_i && !we_i) rdata_o <= mem[address_i];
  end
`endif

endmodule

`default_nettype wire
