// The FIFO of instruction words in front of the dispatcher. The word at the head is in a register,
// so that decoding begins at a flop. space_o counts the words that may still be sent.
//
// It holds Depth words, the head included, and Slack more, so that memory that delivers at the
// target's rate loses no turn between the taking of a word and the word that replaces it.
`default_nettype none

module instruction_fifo #(
  parameter int unsigned Depth = 64,
  parameter int unsigned Slack = 2,
  parameter int unsigned LevelW = $clog2(Depth + Slack + 1)
) (
  input  wire logic         clk_i,
  input  wire logic         rst_ni,
  input  wire logic         clear_i,
  input  wire logic         write_i,
  input  wire logic [255:0] word_i,
  input  wire logic         pop_i,
  output logic              valid_o,
  output logic [255:0]      word_o,
  output logic [LevelW-1:0] space_o,
  output logic              filled_o  // Depth words or more
);

  localparam int unsigned Words = Depth + Slack;
  localparam int unsigned PointerW = $clog2(Words);
  logic [255:0]        mem [0:Words-1];
  logic [PointerW-1:0] read_q, write_q;
  logic [LevelW-1:0]   stored_q;  // words in mem
  logic                valid_q, take;
  logic [255:0]        word_q;

  assign take = (stored_q != '0) && (!valid_q || pop_i);

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) begin
      read_q <= '0;
      write_q <= '0;
      stored_q <= '0;
      valid_q <= 1'b0;
    end else if (write_i || pop_i || take) begin
      if (write_i) write_q <= (write_q == PointerW'(Words - 1)) ? '0 : write_q + 1'b1;
      if (take) read_q <= (read_q == PointerW'(Words - 1)) ? '0 : read_q + 1'b1;
      stored_q <= stored_q + LevelW'(write_i) - LevelW'(take);
      valid_q <= take || (valid_q && !pop_i);
    end
  end
  always_ff @(posedge clk_i) begin
    if (write_i) mem[write_q] <= word_i;
    if (take) word_q <= mem[read_q];
  end

  assign valid_o = valid_q;
  assign word_o = word_q;
  assign space_o = LevelW'(Words) - stored_q - LevelW'(valid_q);
  assign filled_o = (stored_q + LevelW'(valid_q)) >= LevelW'(Depth);

endmodule

`default_nettype wire
