// The array of a matrix unit where a machine cycle takes several clock edges: in each beat the products of
// Lanes / Beats activations with all outputs, and the bytes of as many lanes of a load.
//
// Ports as of mxm_array; load_i and mac_i are set in the last beat of their machine cycle, the other
// fields of an instruction are valid in all of its beats, east_i, west_i and out_data_o are those of a
// beat. With t a machine cycle and b a beat, for a MAC and a LOAD that issue in cycle t:
// - (t, b): its part of the streams enters a line of one machine cycle;
// - (t + 1, b): that part of the load is written into the shadow tile;
// - (t + 1, 0): the shadow tile is installed: with the rows of the loads up to t - 1, while the last
//   part of the MAC before is multiplied;
// - one clock edge after (t + 1, b): the multipliers take part b; two edges later it is in the sum;
// - from cycle t + Lead on: the whole sum, which waits for its accumulator, so that the latency is that
//   of the machine spec;
// - (t + latency - 1, b): the accumulators of the lanes of the beat, whose values leave a cycle later.
// Lanes and Beats are powers of two.
`default_nettype none

module mxm_array_beats #(
    parameter int unsigned Lanes = 16,
    parameter int unsigned Streams = 16,
    parameter int unsigned LoadStreams = 4,
    parameter int unsigned Accumulators = 32,
    parameter int unsigned Beats = 4,
    localparam int unsigned Part = Lanes / Beats,  // lanes of a beat
    localparam int unsigned PartW = Part * 8,
    localparam int unsigned BeatCountW = $clog2(Beats),
    localparam int unsigned LaneW = $clog2(Lanes),
    localparam int unsigned StreamW = $clog2(Streams),
    localparam int unsigned AccW = Accumulators > 1 ? $clog2(Accumulators) : 1
) (
    input wire logic clk_i,
    input wire logic rst_ni,
    input wire logic [BeatCountW-1:0] beat_i,
    input wire logic live_i,
    input wire logic en_i,
    input wire logic start_i,

    input wire logic [Streams*PartW-1:0] east_i,
    input wire logic [Streams*PartW-1:0] west_i,

    input wire logic load_i,
    input wire logic load_dir_i,
    input wire logic [5:0] load_stream_i,
    input wire logic [1:0] load_format_i,
    input wire logic load_orientation_i,
    input wire logic signed [12:0] load_row_i,

    input wire logic mac_i,
    input wire logic mac_dir_i,
    input wire logic [StreamW-1:0] mac_stream_i,
    input wire logic swap_i,
    input wire logic clear_i,
    input wire logic emit_i,
    input wire logic [AccW-1:0] acc_i,

    output logic [4*PartW-1:0] out_data_o
);
  localparam int unsigned Latency = pianola_pkg::latency_mxm_mac(Lanes);
  localparam int unsigned SumW = 16 + $clog2(Lanes);
  // The edge after which the sum of a pass stands for a cycle, counted from (t + 1, Beats - 1).
  localparam int unsigned ToSum = 3;
  localparam int unsigned CaptureBeat = (ToSum - 1) % Beats;
  localparam int unsigned Lead = 3 + (ToSum - 1) / Beats;
  localparam int unsigned WaitCycles = Latency - 1 - Lead;

  // ---------------------------------------------------------------- load
  logic [LoadStreams*PartW-1:0] arriving, loaded;
  wire logic [Streams*PartW-1:0] load_streams = load_dir_i ? west_i : east_i;
  for (genvar i = 0; i < LoadStreams; i++) begin : gen_load
    assign arriving[i*PartW+:PartW] =
        load_streams[StreamW'(32'(load_stream_i)+i)*PartW+:PartW];
  end
  beat_line #(.Width(LoadStreams * PartW), .Beats(Beats), .Edges(Beats)) u_loaded (
      .clk_i(clk_i), .beat_i(beat_i), .live_i(live_i), .data_i(arriving), .data_o(loaded)
  );

  logic load_q, by_input_q;
  logic [1:0] format_q;
  logic [LaneW-1:0] row_q;
  always_ff @(posedge clk_i) begin
    if (!rst_ni || start_i) begin
      load_q <= 1'b0;
    end else if (en_i) begin
      // A load beyond the tile writes nothing.
      load_q <= load_i && load_row_i >= 0 && load_row_i < 13'(Lanes);
    end
  end
  always_ff @(posedge clk_i) begin
    if (en_i) begin
      by_input_q <= load_orientation_i == pianola_pkg::MxmLoadOrientationInput;
      format_q <= load_format_i;
      row_q <= load_row_i[LaneW-1:0];
    end
  end

  // vectors: of every tile vector the weights of this beat's lanes, if the load carries it.
  logic [Lanes*PartW-1:0] vectors;
  logic [Lanes-1:0] carried;
  for (genvar r = 0; r < Lanes; r++) begin : gen_vector
    mxm_tile_vector #(.Row(r), .Lanes(Lanes), .Part(Part), .LoadStreams(LoadStreams)) u_vector (
        .bytes_i(loaded), .format_i(format_q), .row_i(row_q), .carried_o(carried[r]),
        .vector_o(vectors[r*PartW+:PartW])
    );
  end

  // ---------------------------------------------------------------- operand and tile
  logic [PartW-1:0] x_next, x;
  wire logic [Streams*PartW-1:0] mac_streams = mac_dir_i ? west_i : east_i;
  beat_line #(.Width(PartW), .Beats(Beats), .Edges(Beats)) u_operand (
      .clk_i(clk_i), .beat_i(beat_i), .live_i(live_i), .data_i(mac_streams[mac_stream_i*PartW+:PartW]),
      .data_o(x_next)
  );
  logic install_q;
  logic [BeatCountW-1:0] part_q;  // of x
  always_ff @(posedge clk_i) begin
    if (!rst_ni || start_i) begin
      install_q <= 1'b0;
    end else if (en_i) begin
      install_q <= mac_i && swap_i;
    end
  end
  always_ff @(posedge clk_i) begin
    if (live_i) begin
      x <= x_next;
      part_q <= beat_i;
    end
  end
  wire logic install = live_i && install_q && beat_i == '0;

  // INPUT orientation: of every vector the byte that belongs to an output.
  logic [Part*Lanes*8-1:0] columns;
  for (genvar j = 0; j < Part; j++) begin : gen_column
    for (genvar k = 0; k < Lanes; k++) begin : gen_byte
      assign columns[(j*Lanes+k)*8+:8] = vectors[(k*Part+j)*8+:8];
    end
  end

  logic [Lanes*SumW-1:0] partial;
  logic first_q;  // the products are of part 0
  always_ff @(posedge clk_i) begin
    if (live_i) first_q <= part_q == '0;
  end
  for (genvar o = 0; o < Lanes; o++) begin : gen_row
    mxm_row_beats #(.Lanes(Lanes), .Beats(Beats)) u_row (
        .clk_i(clk_i), .live_i(live_i), .install_i(install),
        .write_part_i(load_q && live_i && !by_input_q && carried[o]), .beat_i(beat_i),
        .write_lanes_i((load_q && live_i && by_input_q && beat_i == BeatCountW'(o / Part))
                       ? carried : '0),
        .part_i(vectors[o*PartW+:PartW]), .lanes_i(columns[(o%Part)*Lanes*8+:Lanes*8]), .x_i(x), .x_part_i(part_q),
        .first_i(first_q), .sum_o(partial[o*SumW+:SumW])
    );
  end
  // ---------------------------------------------------------------- sums
  logic [Lanes*SumW-1:0] whole_q, sums;
  always_ff @(posedge clk_i) begin
    if (live_i && beat_i == BeatCountW'(CaptureBeat)) whole_q <= partial;
  end
  latency_line #(.Width(Lanes * SumW), .Depth(WaitCycles + 1)) u_sums (
      .clk_i(clk_i), .en_i(en_i), .data_i(whole_q), .data_o(sums)
  );

  localparam int unsigned ControlW = 2 + AccW;
  logic [Latency-2:0] mac_q;
  logic [(Latency-1)*ControlW-1:0] control_q;
  always_ff @(posedge clk_i) begin
    if (!rst_ni || start_i) begin
      mac_q <= '0;
    end else if (en_i) begin
      mac_q <= {mac_q[Latency-3:0], mac_i};
      control_q <= {control_q[(Latency-2)*ControlW-1:0], acc_i, emit_i, clear_i};
    end
  end
  wire logic clear = control_q[(Latency-2)*ControlW];
  wire logic [AccW-1:0] acc = control_q[(Latency-2)*ControlW+2+:AccW];

  logic [Part*32-1:0] accumulators[0:Accumulators*Beats-1];
  wire logic [AccW+BeatCountW-1:0] place = {acc, beat_i};
  wire logic [Part*32-1:0] previous = accumulators[place];
  logic [Part*SumW-1:0] part_sums;
  always_comb begin
    part_sums = sums[Part*SumW-1:0];
    for (int unsigned b = 1; b < Beats; b++) begin
      if (beat_i == BeatCountW'(b)) part_sums = sums[b*Part*SumW+:Part*SumW];
    end
  end
  logic [Part*32-1:0] updated, out;
  for (genvar j = 0; j < Part; j++) begin : gen_accumulate
    assign updated[j*32+:32] = 32'($signed(part_sums[j*SumW+:SumW]))
        + (clear ? 32'd0 : previous[j*32+:32]);
    for (genvar b = 0; b < 4; b++) begin : gen_byte
      assign out_data_o[(b*Part+j)*8+:8] = out[j*32+b*8+:8];
    end
  end
  always_ff @(posedge clk_i) begin
    if (live_i && mac_q[Latency-2]) accumulators[place] <= updated;
  end
  beat_line #(.Width(Part * 32), .Beats(Beats), .Edges(Beats)) u_out (
      .clk_i(clk_i), .beat_i(beat_i), .live_i(live_i), .data_i(updated), .data_o(out)
  );

  // Whether a sum is emitted is known to the unit.
  logic unused;
  assign unused = &{1'b0, control_q};

endmodule

`default_nettype wire
