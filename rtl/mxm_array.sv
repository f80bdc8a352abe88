// The array of a matrix unit: shadow tile, installed tile, multipliers, accumulators.
//
// load_i writes up to LoadStreams * 4 tile vectors into the shadow tile at the end of its cycle.
// mac_i takes one activation vector, with swap_i after installing the shadow tile as it stood at the
// start of the cycle; with clear_i the sum replaces accumulator acc_i, else it is added to it.
// Latency: out_data_o holds the new accumulator of the MAC of cycle t in cycle
// t + latency_mxm_mac(Lanes) if that MAC had emit_i; byte b of lane i is at bit (b * Lanes + i) * 8.
// Issue pattern: one load and one MAC every cycle, any accumulator. Nothing is checked here.
//
// Two forms, equal at the ports for every sequence that raises no fault (tests/rtl runs the same
// bench over both):
// - synthesis: operand register, multipliers, a registered adder tree, accumulator, output register:
//   3 + clog2(Lanes) stages, the latency of the machine spec;
// - simulation (Verilator, unless PIANOLA_SYNTHESIS_FORM is defined): the sum is computed in the
//   cycle of issue by loops that a C++ compiler vectorizes, and waits in a circular memory. The tiles
//   are two banks that change roles, so a swap copies nothing; their words stay as they were loaded,
//   and the loops depend on what a row is.
`default_nettype none

module mxm_array #(
    parameter int unsigned Lanes = 16,
    parameter int unsigned Streams = 16,
    parameter int unsigned LoadStreams = 4,
    parameter int unsigned Accumulators = 32,
    parameter int unsigned StreamRows = 1,  // see memory_row; 1: only the position's own
    localparam int unsigned VectorW = Lanes * 8,
    localparam int unsigned StoreW = StreamRows == 1 ? Streams * VectorW
        : (2 * StreamRows * Streams) << $clog2(VectorW),
    localparam int unsigned AtW = Streams + 8,
    localparam int unsigned AccW = Accumulators > 1 ? $clog2(Accumulators) : 1
) (
    input wire logic clk_i,
    input wire logic rst_ni,
    input wire logic en_i,
    input wire logic start_i,

    input wire logic [StoreW-1:0] east_i,
    input wire logic [StoreW-1:0] west_i,
    input wire logic [AtW-1:0] east_at_i,
    input wire logic [AtW-1:0] west_at_i,

    input wire logic load_i,
    input wire logic load_dir_i,
    input wire logic [5:0] load_stream_i,
    input wire logic [1:0] load_format_i,
    input wire logic load_orientation_i,
    input wire logic signed [12:0] load_row_i,

    input wire logic mac_i,
    input wire logic mac_dir_i,
    input wire logic [$clog2(Streams)-1:0] mac_stream_i,
    input wire logic swap_i,
    input wire logic clear_i,
    input wire logic emit_i,
    input wire logic [AccW-1:0] acc_i,

    output logic [4*VectorW-1:0] out_data_o
);
  localparam int unsigned Latency = pianola_pkg::latency_mxm_mac(Lanes);

`ifdef VERILATOR
`ifndef PIANOLA_SYNTHESIS_FORM
`define PIANOLA_MXM_FAST
`endif
`endif

`ifdef PIANOLA_MXM_FAST
  // Arrays have a power of two of elements: Verilator then checks no index, which would be a
  // variable outside the task, and it refuses those in a task that is not inlined. Verilator 5.006
  // passes `const ref` by reference, but drops what a `ref` argument holds before the call.
  localparam int unsigned StreamW = $clog2(Streams);
  localparam int unsigned Depth = Latency - 1;
  localparam int unsigned Pitch = 1 << $clog2(Lanes);
  localparam int unsigned RowWords = Pitch / 4;  // four weights in a word
  localparam int unsigned LaneWords = RowWords > 1 ? RowWords : 2;  // the size of an array
  localparam int unsigned TileWords = Pitch * RowWords;

  localparam int unsigned StreamVectorW = VectorW;
`include "stream_place.svh"

  // Weights are kept as they are plus 128: so a byte of a word becomes a factor by a mask alone, and the sums
  // of 128 times the activations are taken off at the end.
  localparam logic [31:0] Bias = 32'h80808080;

  // The products of one activation vector with the tile at `base`, whose word j * Pitch + o holds
  // weights 4j to 4j + 3 of output o, added to sums. Written such that g++ 12 vectorizes over o: whole
  // elements of arrays, one word at a time, loops that end at a variable.
  task automatic multiply_outputs(const ref logic [31:0] tiles[0:2*TileWords-1],
                                  input int unsigned base, input logic [VectorW-1:0] x,
                                  input logic [Pitch*32-1:0] sums,
                                  output logic [Pitch*32-1:0] y);
    /*verilator no_inline_task*/
    int unsigned j;
    int unsigned o;
    int unsigned lanes;
    int unsigned from;
    logic [31:0] x0;
    logic [31:0] x1;
    logic [31:0] x2;
    logic [31:0] x3;
    logic [31:0] acc[0:Pitch-1];
    logic [31:0] word;
    logic [31:0] total;
    lanes = Lanes;
    total = '0;
    for (o = 0; o < lanes; o = o + 1) acc[o] = sums[o*32+:32];
    for (j = 0; j < lanes / 4; j = j + 1) begin
      word = x[j*32+:32];
      x0 = $unsigned(32'($signed(word[7:0])));
      x1 = $unsigned(32'($signed(word[15:8])));
      x2 = $unsigned(32'($signed(word[23:16])));
      x3 = $unsigned(32'($signed(word[31:24])));
      total = total + x0 + x1 + x2 + x3;
      from = base + j * Pitch;
      for (o = 0; o < lanes; o = o + 1) begin
        word = tiles[from+o];
        acc[o] = acc[o] + (word & 32'hff) * x0 + ((word >> 8) & 32'hff) * x1
            + ((word >> 16) & 32'hff) * x2 + (word >> 24) * x3;
      end
    end
    for (o = 0; o < lanes; o = o + 1) y[o*32+:32] = acc[o] - (total << 7);
  endtask

  // The same for a tile whose word k * RowWords + j holds the weights of input k for outputs 4j to 4j + 3.
  task automatic multiply_inputs(const ref logic [31:0] tiles[0:2*TileWords-1],
                                 input int unsigned base, input logic [VectorW-1:0] x,
                                 input logic [Pitch*32-1:0] sums,
                                 output logic [Pitch*32-1:0] y);
    /*verilator no_inline_task*/
    int unsigned j;
    int unsigned k;
    int unsigned words;
    int unsigned from;
    logic [31:0] sum0[0:LaneWords-1];
    logic [31:0] sum1[0:LaneWords-1];
    logic [31:0] sum2[0:LaneWords-1];
    logic [31:0] sum3[0:LaneWords-1];
    logic [31:0] x_lane;
    logic [31:0] word;
    logic [31:0] total;
    words = Lanes / 4;
    total = '0;
    for (j = 0; j < words; j = j + 1) begin
      sum0[j] = sums[j*128+:32];
      sum1[j] = sums[j*128+32+:32];
      sum2[j] = sums[j*128+64+:32];
      sum3[j] = sums[j*128+96+:32];
    end
    for (k = 0; k < Lanes; k = k + 1) begin
      x_lane = $unsigned(32'($signed(x[k*8+:8])));
      total = total + x_lane;
      from = base + k * RowWords;
      for (j = 0; j < words; j = j + 1) begin
        word = tiles[from+j];
        sum0[j] = sum0[j] + (word & 32'hff) * x_lane;
        sum1[j] = sum1[j] + ((word >> 8) & 32'hff) * x_lane;
        sum2[j] = sum2[j] + ((word >> 16) & 32'hff) * x_lane;
        sum3[j] = sum3[j] + (word >> 24) * x_lane;
      end
    end
    for (j = 0; j < words; j = j + 1) begin
      y[j*128+:32] = sum0[j] - (total << 7);
      y[j*128+32+:32] = sum1[j] - (total << 7);
      y[j*128+64+:32] = sum2[j] - (total << 7);
      y[j*128+96+:32] = sum3[j] - (total << 7);
    end
  endtask

  // The tile at `base` as the other orientation keeps it.
  task automatic transpose(const ref logic [31:0] tiles[0:2*TileWords-1], input int unsigned base,
                           input logic by_input, output logic [31:0] y[0:TileWords-1]);
    /*verilator no_inline_task*/
    int unsigned j;
    int unsigned r;
    int unsigned at;
    int unsigned stride;
    int unsigned shift;
    for (r = 0; r < Pitch; r = r + 1) begin
      for (j = 0; j < RowWords; j = j + 1) begin
        // Word j of row r of the new form has byte r of rows 4j to 4j + 3 of the old one.
        at = base + (by_input ? 4 * j * RowWords + r / 4 : r / 4 * Pitch + 4 * j);
        stride = by_input ? RowWords : 1;
        shift = r % 4 * 8;
        y[by_input ? j * Pitch + r : r * RowWords + j] = {8'(tiles[at+3*stride] >> shift),
            8'(tiles[at+2*stride] >> shift), 8'(tiles[at+stride] >> shift), 8'(tiles[at] >> shift)};
      end
    end
  endtask

  // Weight `part` of every byte, sign-extended.
  task automatic unpack_weights(input logic [VectorW-1:0] bytes, input logic [1:0] format,
                                input int unsigned part, output logic [Pitch*8-1:0] weights);
    /*verilator no_inline_task*/
    int unsigned j;
    logic [31:0] word;
    weights = (Pitch * 8)'(bytes);
    if (format == pianola_pkg::MxmLoadFormatInt4) begin
      for (j = 0; j < Lanes / 4; j = j + 1) begin
        word = (bytes[j*32+:32] >> (part * 4)) & 32'h0f0f0f0f;
        weights[j*32+:32] = word | ((word & 32'h08080808) * 32'd30);
      end
    end else if (format == pianola_pkg::MxmLoadFormatTernary) begin
      for (j = 0; j < Lanes / 4; j = j + 1) begin
        word = bytes[j*32+:32] >> (part * 2);
        weights[j*32+:32] = (word & 32'h01010101) | ((word & (word >> 1) & 32'h01010101) * 32'd254);
      end
    end
  endtask

  // Four streams of bytes from sums.
  task automatic split_bytes(input logic [Pitch*32-1:0] sums, output logic [Pitch*8-1:0] y0,
                             output logic [Pitch*8-1:0] y1, output logic [Pitch*8-1:0] y2,
                             output logic [Pitch*8-1:0] y3);
    /*verilator no_inline_task*/
    int unsigned j;
    logic [31:0] b0;
    logic [31:0] b1;
    logic [31:0] b2;
    logic [31:0] b3;
    for (j = 0; j < Lanes / 4; j = j + 1) begin
      b0 = sums[j*128+:32];
      b1 = sums[j*128+32+:32];
      b2 = sums[j*128+64+:32];
      b3 = sums[j*128+96+:32];
      y0[j*32+:32] = {b3[7:0], b2[7:0], b1[7:0], b0[7:0]};
      y1[j*32+:32] = {b3[15:8], b2[15:8], b1[15:8], b0[15:8]};
      y2[j*32+:32] = {b3[23:16], b2[23:16], b1[23:16], b0[23:16]};
      y3[j*32+:32] = {b3[31:24], b2[31:24], b1[31:24], b0[31:24]};
    end
  endtask

  /* verilator lint_off BLKSEQ */        // the state of this form is private to one process
  /* verilator lint_off UNUSEDSIGNAL */  // the tiles are used by reference only
  // Two tiles; bank_q tells which is installed. They are kept as loaded, by outputs or, where by_input is set,
  // by inputs. The first load after a swap decides; one of the other orientation before the
  // next swap turns the tile.
  logic [31:0] tiles[0:2*TileWords-1] /* verilator public_flat_rd */;
  logic [31:0] turned[0:TileWords-1];
  logic [1:0] by_input_q;
  logic empty_q;
  logic [Pitch*32-1:0] accumulators[0:Accumulators-1] /* verilator public_flat_rd */;
  logic [4*VectorW-1:0] waiting[0:Depth-1];
  logic [4*VectorW-1:0] out_q;
  logic bank_q;
  logic [Depth-1:0] valid_q;
  int unsigned slot_q;

  int unsigned per_byte, row, base, load_streams, words, from, at, stride, i, j, part;
  logic [VectorW-1:0] x;
  logic [Pitch*8-1:0] vector;
  logic [Pitch*32-1:0] sums;
  logic [Pitch*32-1:0] updated;
  logic [Pitch*8-1:0] split0, split1, split2, split3;

  always_ff @(posedge clk_i) begin
    if (!rst_ni || start_i) begin
      valid_q <= '0;
      slot_q = 0;
      bank_q = 1'b0;
      empty_q = 1'b1;
      by_input_q = '0;
    end else if (en_i) begin
      // In this order: the value that leaves its slot, the MAC that may take the slot, the load.
      if (valid_q[Depth-1]) out_q <= waiting[slot_q];
      if (mac_i) begin
        if (swap_i) begin
          bank_q = ~bank_q;
          empty_q = 1'b1;
        end
        sums = clear_i ? '0 : accumulators[acc_i];
        if (mac_dir_i) x = west_i[stream_place(west_at_i, mac_stream_i)+:VectorW];
        else x = east_i[stream_place(east_at_i, mac_stream_i)+:VectorW];
        base = bank_q ? TileWords : 0;
        if (by_input_q[bank_q]) multiply_inputs(tiles, base, x, sums, updated);
        else multiply_outputs(tiles, base, x, sums, updated);
        accumulators[acc_i] = updated;
        if (emit_i) begin
          split_bytes(updated, split0, split1, split2, split3);
          waiting[slot_q] = {split3[VectorW-1:0], split2[VectorW-1:0], split1[VectorW-1:0],
                             split0[VectorW-1:0]};
        end
      end
      if (load_i) begin
        // The tile that is not installed.
        base = bank_q ? 0 : TileWords;
        if (!empty_q && by_input_q[!bank_q] != load_orientation_i) begin
          transpose(tiles, base, by_input_q[!bank_q], turned);
          for (i = 0; i < TileWords; i = i + 1) tiles[base+i] = turned[i];
        end
        empty_q = 1'b0;
        by_input_q[!bank_q] = load_orientation_i;
        per_byte = load_format_i == pianola_pkg::MxmLoadFormatInt4 ? 2
            : load_format_i == pianola_pkg::MxmLoadFormatTernary ? 4 : 1;
        load_streams = LoadStreams;
        words = Lanes / 4;
        for (i = 0; i < load_streams; i = i + 1) begin
          // Words of the stream, without a copy where they are the weights.
          from = load_dir_i ? stream_place(west_at_i, StreamW'(32'(load_stream_i) + i)) / 32
              : stream_place(east_at_i, StreamW'(32'(load_stream_i) + i)) / 32;
          for (part = 0; part < per_byte; part = part + 1) begin
            row = 32'(load_row_i) + i * per_byte + part;
            at = base + (load_orientation_i ? row * RowWords : row);
            stride = load_orientation_i ? 1 : Pitch;
            if (row < Lanes) begin
              if (per_byte == 1) begin
                for (j = 0; j < words; j = j + 1) begin
                  tiles[at+j*stride] = (load_dir_i ? west_i[(from+j)*32+:32] : east_i[(from+j)*32+:32]) ^ Bias;
                end
              end else begin
                x = load_dir_i ? west_i[from*32+:VectorW] : east_i[from*32+:VectorW];
                unpack_weights(x, load_format_i, part, vector);
                for (j = 0; j < words; j = j + 1) tiles[at+j*stride] = vector[j*32+:32] ^ Bias;
              end
            end
          end
        end
      end
      valid_q <= {valid_q[Depth-2:0], mac_i && emit_i};
      slot_q = slot_q == Depth - 1 ? 0 : slot_q + 1;
    end
  end
  assign out_data_o = out_q;
  /* verilator lint_on BLKSEQ */
  /* verilator lint_on UNUSEDSIGNAL */

`else
  // Synthesis form.
  logic unused_at;
  assign unused_at = &{1'b0, east_at_i, west_at_i};
  localparam int unsigned StreamW = $clog2(Streams);
  localparam int unsigned Levels = $clog2(Lanes);
  localparam int unsigned Padded = 1 << Levels;

  // Tiles: W[o][k] is byte o * Lanes + k.
  logic [Lanes*VectorW-1:0] shadow_q;
  logic [Lanes*VectorW-1:0] tile_q;

  // vectors[r]: the weights of tile vector r, if this load carries it.
  logic [Lanes*VectorW-1:0] vectors;
  logic [Lanes-1:0] carried;
  wire logic [Streams*VectorW-1:0] load_streams = load_dir_i ? west_i : east_i;
  logic [LoadStreams*VectorW-1:0] load_bytes;
  always_comb begin
    for (int i = 0; i < LoadStreams; i++) begin
      load_bytes[i*VectorW+:VectorW] =
          load_streams[StreamW'(32'(load_stream_i)+i)*VectorW+:VectorW];
    end
  end

  for (genvar r = 0; r < Lanes; r++) begin : gen_vector
    logic signed [13:0] distance;
    logic [12:0] from_stream;
    logic [1:0] part;
    logic [VectorW-1:0] bytes;
    always_comb begin
      distance = 14'(r) - 14'(load_row_i);
      from_stream = distance[12:0];
      part = 2'd0;
      if (load_format_i == pianola_pkg::MxmLoadFormatInt4) begin
        from_stream = {1'b0, distance[12:1]};
        part = {1'b0, distance[0]};
      end else if (load_format_i == pianola_pkg::MxmLoadFormatTernary) begin
        from_stream = {2'b0, distance[12:2]};
        part = distance[1:0];
      end
      carried[r] = !distance[13] && from_stream < 13'(LoadStreams);
      bytes = '0;
      for (int i = 0; i < LoadStreams; i++) begin
        if (from_stream == 13'(i)) bytes = load_bytes[i*VectorW+:VectorW];
      end
      for (int i = 0; i < Lanes; i++) begin
        vectors[r*VectorW+i*8+:8] = bytes[i*8+:8];
        if (load_format_i == pianola_pkg::MxmLoadFormatInt4) begin
          vectors[r*VectorW+i*8+:8] = part[0] ? {{4{bytes[i*8+7]}}, bytes[i*8+4+:4]}
                                              : {{4{bytes[i*8+3]}}, bytes[i*8+:4]};
        end else if (load_format_i == pianola_pkg::MxmLoadFormatTernary) begin
          vectors[r*VectorW+i*8+:8] = {
            {7{bytes[i*8+32'(part)*2+1] & bytes[i*8+32'(part)*2]}}, bytes[i*8+32'(part)*2]
          };
        end
      end
    end
  end

  for (genvar o = 0; o < Lanes; o++) begin : gen_row
    for (genvar k = 0; k < Lanes; k++) begin : gen_cell
      always_ff @(posedge clk_i) begin
        if (en_i && load_i) begin
          if (load_orientation_i == pianola_pkg::MxmLoadOrientationInput) begin
            if (carried[k]) shadow_q[(o*Lanes+k)*8+:8] <= vectors[(k*Lanes+o)*8+:8];
          end else begin
            if (carried[o]) shadow_q[(o*Lanes+k)*8+:8] <= vectors[(o*Lanes+k)*8+:8];
          end
        end
      end
    end
  end

  // Stage 1: operand, tile. Stage 2: products. Then one stage per level of the tree.
  logic [VectorW-1:0] x_q;
  wire logic [Streams*VectorW-1:0] mac_streams = mac_dir_i ? west_i : east_i;
  always_ff @(posedge clk_i) begin
    if (en_i && mac_i) begin
      x_q <= mac_streams[mac_stream_i*VectorW+:VectorW];
      if (swap_i) tile_q <= shadow_q;
    end
  end

  wire logic [Lanes*32-1:0] sums;
  for (genvar o = 0; o < Lanes; o++) begin : gen_dot
    // Node n of level l is nodes[l][n]; flat, level by level, Padded words each.
    logic signed [31:0] nodes_q[0:(Levels+1)*Padded-1];
    for (genvar k = 0; k < Padded; k++) begin : gen_product
      if (k < Lanes) begin : gen_used
        logic signed [15:0] product_q;
        always_ff @(posedge clk_i) begin
          if (en_i) product_q <= $signed(tile_q[(o*Lanes+k)*8+:8]) * $signed(x_q[k*8+:8]);
        end
        assign nodes_q[k] = 32'(product_q);
      end else begin : gen_padding
        assign nodes_q[k] = '0;
      end
    end
    for (genvar l = 1; l <= Levels; l++) begin : gen_level
      for (genvar n = 0; n < (Padded >> l); n++) begin : gen_node
        // A product has 16 bits and each level adds one.
        logic signed [15+l:0] node_q;
        always_ff @(posedge clk_i) begin
          if (en_i) begin
            node_q <= (16 + l)'(nodes_q[(l-1)*Padded+2*n]) + (16 + l)'(nodes_q[(l-1)*Padded+2*n+1]);
          end
        end
        assign nodes_q[l*Padded+n] = 32'(node_q);
      end
      for (genvar n = (Padded >> l); n < Padded; n++) begin : gen_unused
        assign nodes_q[l*Padded+n] = '0;
      end
    end
    assign sums[o*32+:32] = nodes_q[Levels*Padded];
  end

  // The control of a MAC reaches the accumulators with its sums, in cycle t + Latency - 1.
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
  wire logic emit = control_q[(Latency-2)*ControlW+1];
  wire logic [AccW-1:0] acc = control_q[(Latency-2)*ControlW+2+:AccW];

  logic [Lanes*32-1:0] accumulators[0:Accumulators-1];
  wire logic [Lanes*32-1:0] previous = accumulators[acc];
  logic [Lanes*32-1:0] updated;
  logic [Lanes*32-1:0] out_q;
  always_comb begin
    for (int o = 0; o < Lanes; o++) begin
      updated[o*32+:32] = sums[o*32+:32] + (clear ? 32'd0 : previous[o*32+:32]);
    end
  end
  always_ff @(posedge clk_i) begin
    if (en_i && mac_q[Latency-2]) begin
      accumulators[acc] <= updated;
      if (emit) out_q <= updated;
    end
  end
  always_comb begin
    for (int o = 0; o < Lanes; o++) begin
      for (int b = 0; b < 4; b++) out_data_o[(b*Lanes+o)*8+:8] = out_q[o*32+b*8+:8];
    end
  end
`endif

`undef PIANOLA_MXM_FAST

endmodule

`default_nettype wire
