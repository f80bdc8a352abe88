// The words of one MEM slice where a machine cycle takes several clock edges (beats): every beat moves the
// lanes of one beat, and the words lie in memory in such parts. So one port for reading and one for
// writing serve both banks.
//
// With t the cycle in which an access issues and b a beat:
// - write: (t, b): its part of the stream enters a line of one machine cycle; (t + 1, b): it is written, at
//   the address that write_*_i give in all of t + 1;
// - read: one beat before (t + 2, b): its part is read, at the address that read_*_i give from the last
//   beat of t + 1 to the last but one of t + 2; (t + 2, b): out_data_o.
// So a read sees the writes that issued before it, as in mem_slice. live_i is set in the beats of a machine
// cycle that happens; nothing moves in others.
`default_nettype none

module mem_slice_beats #(
  parameter int unsigned Lanes = 16,
  parameter int unsigned Words = 4096,
  parameter int unsigned Beats = 16,
  localparam int unsigned Part = Lanes / Beats,
  localparam int unsigned PartW = Part * 8,
  localparam int unsigned BeatCountW = $clog2(Beats),
  localparam int unsigned AddressW = $clog2(Words)
) (
  input  wire logic                  clk_i,
  input  wire logic [BeatCountW-1:0] beat_i,
  input  wire logic                  live_i,
  input  wire logic                  read_i,
  input  wire logic [AddressW-1:0]   read_address_i,
  input  wire logic                  write_i,
  input  wire logic [AddressW-1:0]   write_address_i,
  input  wire logic [Lanes-1:0]      write_enable_i,
  input  wire logic [PartW-1:0]      data_i,      // of the stream of a write
  output logic [PartW-1:0]           out_data_o
);

  // The line: in each beat the word of the beat is read and replaced.
  (* ram_style = "distributed" *) logic [PartW-1:0] line [0:Beats-1];
  wire logic [PartW-1:0] data = line[beat_i];
  always_ff @(posedge clk_i) begin
    if (live_i) line[beat_i] <= data_i;
  end

  wire logic [BeatCountW-1:0] next_beat = beat_i + 1'b1;
  for (genvar j = 0; j < Part; j++) begin : gen_lane
    ram_1r1w #(.Words(Words * Beats), .Width(8)) u_words (
      .clk_i     (clk_i),
      .re_i      (live_i && read_i),
      .raddress_i({read_address_i, next_beat}),
      .rdata_o   (out_data_o[j*8 +: 8]),
      .we_i      (live_i && write_i && write_enable_i[32'(beat_i)*Part + j]),
      .waddress_i({write_address_i, beat_i}),
      .wdata_i   (data[j*8 +: 8])
    );
  end

endmodule

`default_nettype wire
