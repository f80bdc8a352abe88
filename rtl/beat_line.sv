// Delays data by Edges clock edges that are live, where a machine cycle takes Beats of them: with many beats
// in memories that have a word per beat, else in registers (latency_line). Without a reset.
`default_nettype none

module beat_line #(
  parameter int unsigned Width = 32,
  parameter int unsigned Beats = 16,
  parameter int unsigned Edges = 16,
  localparam int unsigned BeatCountW = (Beats > 1) ? $clog2(Beats) : 1
) (
  input  wire logic                  clk_i,
  input  wire logic [BeatCountW-1:0] beat_i,
  input  wire logic                  live_i,
  input  wire logic [Width-1:0]      data_i,
  output logic [Width-1:0]           data_o
);

  if (Beats < 8) begin : gen_registers
    logic unused_beat;
    assign unused_beat = &{1'b0, beat_i};
    latency_line #(.Width(Width), .Depth(Edges)) u_line (
      .clk_i(clk_i), .en_i(live_i), .data_i(data_i), .data_o(data_o)
    );
  end else begin : gen_memories
    // Whole machine cycles, and a last memory that is read before its word comes round again.
    localparam int unsigned Rest = Edges % Beats;
    localparam int unsigned Memories = Edges / Beats + ((Rest != 0) ? 1 : 0);
    logic [(Memories+1)*Width-1:0] line;
    assign line[Width-1:0] = data_i;
    for (genvar i = 0; i < Memories; i++) begin : gen_memory
      localparam logic [BeatCountW-1:0] Back = (i < Edges / Beats) ? '0 : BeatCountW'(Rest);
      (* ram_style = "distributed" *) logic [Width-1:0] words [0:Beats-1];
      wire logic [BeatCountW-1:0] from = beat_i - Back;
      always_ff @(posedge clk_i) begin
        if (live_i) words[beat_i] <= line[i*Width +: Width];
      end
      assign line[(i+1)*Width +: Width] = words[from];
    end
    assign data_o = line[Memories*Width +: Width];
  end

endmodule

`default_nettype wire
