// The dispatcher: executes one instruction word per front cycle, in order (isa.md section 3).
//
// ready_o: the cycle does not need a word, or the word is there. What the cycle does (push_o,
// end_o, pop_o) is valid where grant_i is set. A NOP holds the dispatcher for its count of cycles.
`default_nettype none

module dispatcher #(
  parameter int unsigned Queues = 41
) (
  input  wire logic         clk_i,
  input  wire logic         rst_ni,
  input  wire logic         start_i,
  input  wire logic         grant_i,       // this front cycle happens
  input  wire logic         word_valid_i,
  input  wire logic [255:0] word_i,
  output logic              ready_o,
  output logic              pop_o,         // takes the word
  output logic              push_o,
  output logic              end_o,
  output logic [31:0]       fault_o
);

  localparam int unsigned CountW = pianola_pkg::NopCountW;
  logic [CountW-1:0] wait_q;  // cycles still to wait after this one, if not zero
  logic [2:0]        kind;
  logic [CountW-1:0] count;
  logic [9:0]        queue;
  logic [7:0]        mask;
  assign kind = word_i[pianola_pkg::HeaderKindLsb +: 3];
  assign queue = word_i[pianola_pkg::HeaderQueueLsb +: 10];
  assign mask = word_i[pianola_pkg::HeaderMaskLsb +: 8];
  assign count = word_i[pianola_pkg::NopCountLsb +: CountW];

  assign ready_o = (wait_q != '0) || word_valid_i;
  assign pop_o = grant_i && (wait_q == '0);
  assign push_o = pop_o && (kind == pianola_pkg::WordKindPush);
  assign end_o = pop_o && (kind == pianola_pkg::WordKindEnd);

  always_ff @(posedge clk_i) begin
    if (!rst_ni || start_i) begin
      wait_q <= '0;
    end else if (grant_i) begin
      if (wait_q != '0) wait_q <= wait_q - 1'b1;
      else if ((kind == pianola_pkg::WordKindNop) && (count != '0)) wait_q <= count - 1'b1;
    end
  end

  always_comb begin
    fault_o = '0;
    if (pop_o) begin
      case (kind)
        pianola_pkg::WordKindNop:
          fault_o[pianola_pkg::RuleIllegalEncoding] =
              (count == '0) || (queue != '0) || (mask != '0);
        pianola_pkg::WordKindPush:
          fault_o[pianola_pkg::RuleIllegalEncoding] = !mask[0] || (32'(queue) >= Queues);
        pianola_pkg::WordKindEnd:
          fault_o[pianola_pkg::RuleIllegalEncoding] = (queue != '0) || (mask != '0);
        default: fault_o[pianola_pkg::RuleIllegalEncoding] = 1'b1;
      endcase
    end
  end

endmodule

`default_nettype wire
