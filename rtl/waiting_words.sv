// A memory of words that wait for a number of cycles that is their own. Late: a word that is read at an
// edge is on read_data_o from then on, and the memory may be block RAM; else it is there at once. A word
// that is written is read some edges later at the earliest.
`default_nettype none

module waiting_words #(
  parameter int unsigned Words = 512,
  parameter bit          Late = 1'b1,
  localparam int unsigned PlaceW = (Words > 1) ? $clog2(Words) : 1
) (
  input  wire logic              clk_i,
  input  wire logic              en_i,
  input  wire logic              write_i,
  input  wire logic [PlaceW-1:0] write_place_i,
  input  wire logic [31:0]       write_data_i,
  input  wire logic [PlaceW-1:0] read_place_i,
  output logic [31:0]            read_data_o
);

  if (Late) begin : gen_late
    ram_1r1w #(.Words(Words), .Width(32)) u_ram (
      .clk_i(clk_i), .re_i(en_i), .raddress_i(read_place_i), .rdata_o(read_data_o),
      .we_i(en_i && write_i), .waddress_i(write_place_i), .wdata_i(write_data_i)
    );
  end else begin : gen_at_once
    logic [31:0] words [0:Words-1];
    always_ff @(posedge clk_i) begin
      if (en_i && write_i) words[write_place_i] <= write_data_i;
    end
    assign read_data_o = words[read_place_i];
  end

endmodule

`default_nettype wire
