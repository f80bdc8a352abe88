// A FIFO that takes and gives one vector a clock edge, in order. It keeps no level; its owner counts what it
// reserves. A vector that is read at one edge is on read_data_o until the next read.
`default_nettype none

module vector_fifo #(
  parameter int unsigned VectorW = 128,
  parameter int unsigned Depth = 64,
  localparam int unsigned PlaceW = (Depth > 1) ? $clog2(Depth) : 1
) (
  input  wire logic               clk_i,
  input  wire logic               rst_ni,
  input  wire logic               clear_i,
  input  wire logic               write_i,
  input  wire logic [VectorW-1:0] write_data_i,
  input  wire logic               read_i,
  output logic [VectorW-1:0]      read_data_o
);

  logic [PlaceW-1:0] write_q, read_q;
  function automatic logic [PlaceW-1:0] after(input logic [PlaceW-1:0] place);
    after = (place == PlaceW'(Depth - 1)) ? '0 : place + 1'b1;
  endfunction
  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) begin
      write_q <= '0;
      read_q <= '0;
    end else begin
      if (write_i) write_q <= after(write_q);
      if (read_i) read_q <= after(read_q);
    end
  end
  ram_1r1w #(.Words(Depth), .Width(VectorW), .AddressW(PlaceW)) u_ram (
    .clk_i(clk_i), .re_i(read_i), .raddress_i(read_q), .rdata_o(read_data_o), .we_i(write_i),
    .waddress_i(write_q), .wdata_i(write_data_i)
  );

endmodule

`default_nettype wire
