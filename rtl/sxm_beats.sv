// What the lane-moving unit moves where a machine cycle takes several clock edges: the lanes of a beat at
// a time. Fields are valid in all beats of the cycle of issue, issue_i in the last; fields that no rule
// allows give arbitrary values.
//
// With t the cycle of issue and b a beat: (t, b): the part of the streams is collected; cycle t + 1: the
// vectors stand whole; (t + 1, b): the lanes of the beat take theirs; TRANSPOSE_IN stores its row at the
// end of the cycle; (t + 2, b): the lanes of the beat from the rows, if the move is TRANSPOSE_OUT; then
// registers up to t + latency_sxm. Lanes is a power of two up to 64.
`default_nettype none

module sxm_beats #(
    parameter int unsigned Lanes = 16,
    parameter int unsigned Streams = 16,
    parameter int unsigned Beats = 4,
    localparam int unsigned Part = Lanes / Beats,
    localparam int unsigned PartW = Part * 8,
    localparam int unsigned VectorW = Lanes * 8,
    localparam int unsigned BeatCountW = $clog2(Beats),
    localparam int unsigned StreamW = $clog2(Streams),
    localparam int unsigned LaneW = $clog2(Lanes)
) (
    input wire logic clk_i,
    input wire logic rst_ni,
    input wire logic [BeatCountW-1:0] beat_i,
    input wire logic live_i,
    input wire logic en_i,
    input wire logic start_i,

    input wire logic issue_i,
    input wire logic [2:0] op_i,
    input wire logic dir_i,
    input wire logic [StreamW-1:0] stream_i,
    input wire logic signed [14:0] amount_i,
    input wire logic [2:0] segment_i,
    input wire logic index_dir_i,
    input wire logic [StreamW-1:0] index_stream_i,

    input wire logic [Streams*PartW-1:0] east_i,
    input wire logic [Streams*PartW-1:0] west_i,
    output logic [4*PartW-1:0] out_data_o
);
  localparam int unsigned Latency = pianola_pkg::latency_sxm(Lanes);

  // Cycle t: four streams and the indices. Streams 1 to 3 matter only where a move takes 2 or 4, which
  // are aligned.
  wire logic [Streams*PartW-1:0] streams = dir_i ? west_i : east_i;
  wire logic [Streams*PartW-1:0] index_streams = index_dir_i ? west_i : east_i;
  logic [5*VectorW-1:0] arriving, whole_q;  // x 0 to 3, index
  for (genvar i = 0; i < 5; i++) begin : gen_collect
    localparam logic [StreamW-1:0] Mask = i == 0 || i == 4 ? '1 : i == 1 ? ~StreamW'(1) : ~StreamW'(3);
    wire logic [StreamW-1:0] from = (stream_i & Mask) | (i < 4 ? StreamW'(i) : '0);
    beat_collector #(.Width(PartW), .Beats(Beats)) u_vector (
        .clk_i(clk_i), .live_i(live_i),
        .data_i(i < 4 ? streams[from*PartW+:PartW] : index_streams[index_stream_i*PartW+:PartW]),
        .data_o(arriving[i*VectorW+:VectorW])
    );
  end

  // Control of the moves that issued 1 and 2 cycles ago.
  logic issue_q;
  logic [2:0] op_q, op2_q, segment_q;
  logic [LaneW:0] amount_q;  // modulo twice the lanes
  logic [LaneW-1:0] column_q;
  always_ff @(posedge clk_i) begin
    if (!rst_ni || start_i) issue_q <= 1'b0;
    else if (en_i) issue_q <= issue_i;
  end
  always_ff @(posedge clk_i) begin
    if (en_i) begin
      whole_q <= arriving;
      op_q <= op_i;
      segment_q <= segment_i;
      amount_q <= amount_i[LaneW:0];
      op2_q <= op_q;
      column_q <= amount_q[LaneW-1:0];
    end
  end

  // Cycle t + 1.
  // The lanes of a segment but one, by its code.
  logic [LaneW-1:0] segment_mask;
  always_comb begin
    segment_mask = '1;
    if (segment_q != pianola_pkg::LaneSegmentAll) begin
      segment_mask = LaneW'((32'd8 << segment_q) - 32'd1);
    end
  end
  logic [4*PartW-1:0] gathered;
  for (genvar j = 0; j < Part; j++) begin : gen_lane
    logic [LaneW-1:0] lane, source;
    logic [LaneW:0] place;
    logic taken;
    always_comb begin
      lane = LaneW'(32'(beat_i) * Part + j);
      // Within the segment; a shift leaves it upwards (a carry) or downwards (a borrow).
      place = {1'b0, lane & segment_mask} + amount_q;
      source = (place[LaneW-1:0] & segment_mask) | (lane & ~segment_mask);
      taken = 1'b1;
      case (op_q)
        pianola_pkg::SxmOpShift: taken = (place & ~{1'b0, segment_mask}) == '0;
        pianola_pkg::SxmOpDistribute: source = amount_q[LaneW-1:0];
        pianola_pkg::SxmOpPermute: source = whole_q[4*VectorW+32'(lane)*8+:LaneW];
        default: taken = 1'b1;
      endcase
    end
    for (genvar w = 0; w < 4; w++) begin : gen_stream
      assign gathered[w*PartW+j*8+:8] =
          taken ? whole_q[w*VectorW+32'(source)*8+:8] : 8'd0;
    end
  end
  logic [4*PartW-1:0] gathered_later;
  beat_line #(.Width(4 * PartW), .Beats(Beats), .Edges(Beats)) u_gathered (
      .clk_i(clk_i), .beat_i(beat_i), .live_i(live_i), .data_i(gathered), .data_o(gathered_later)
  );

  // Rows of the transpose, and in cycle t + 2 what leaves it.
  logic [VectorW-1:0] rows[0:Lanes-1];
  always_ff @(posedge clk_i) begin
    if (en_i && issue_q && op_q == pianola_pkg::SxmOpTransposeIn) begin
      rows[amount_q[LaneW-1:0]] <= whole_q[VectorW-1:0];
    end
  end
  logic [4*PartW-1:0] moved;
  for (genvar j = 0; j < Part; j++) begin : gen_transposed
    wire logic [VectorW-1:0] row = rows[LaneW'(32'(beat_i) * Part + j)];
    assign moved[j*8+:8] = op2_q == pianola_pkg::SxmOpTransposeOut
        ? row[32'(column_q)*8+:8] : gathered_later[j*8+:8];
  end
  assign moved[4*PartW-1:PartW] = gathered_later[4*PartW-1:PartW];
  beat_line #(.Width(4 * PartW), .Beats(Beats), .Edges(Beats * (Latency - 2))) u_moved (
      .clk_i(clk_i), .beat_i(beat_i), .live_i(live_i), .data_i(moved), .data_o(out_data_o)
  );

  // The segment's number of lanes decides what of the amount counts.
  logic unused;
  assign unused = &{1'b0, amount_i};

endmodule

`default_nettype wire
