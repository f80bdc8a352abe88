// What the stages of a VXM chain do to all lanes of a vector, as tasks: the arithmetic of the simulation form.
// Included by vxm_chain.sv, of whose parameters it takes Lanes, VectorW and the latencies; the synthesis form has
// vxm_datapath instead.

  localparam int unsigned SfuW = $clog2(LatSfu + 1);
  localparam int unsigned CombineW = $clog2(LatMul + 1);
  localparam int unsigned Segments = Lanes >= 16 ? Lanes / 16 : 1;  // of the smallest size
  localparam int unsigned Levels = $clog2(Lanes);
  // Vectors hold a power of two of lanes: Verilator then checks no index, see mxm_array. The lanes
  // beyond Lanes are never written.
  localparam int unsigned Pitch = 1 << Levels;
  localparam int unsigned WideW = Pitch * 32;
  localparam int unsigned ByteW = Pitch * 8;
  localparam int unsigned ResultW = 32 << $clog2(Segments);

  // The loops are meant to stay loops (Verilator: --unroll-count below 16).

  function automatic logic [31:0] lane_number(input int unsigned lane);
    lane_number = vxm_math_pkg::convert(lane, 2'd0);
  endfunction

  // log2 of the lanes of a segment; Levels for ALL.
  function automatic int unsigned segment_levels(input logic [2:0] code);
    segment_levels = code == pianola_pkg::LaneSegmentAll ? Levels : 32'(code) + 3;
  endfunction

  // Operand `format` from the four streams of `bytes`.
  task automatic convert_lanes(input logic [2:0] format, input logic [VectorW-1:0] byte0,
                               input logic [VectorW-1:0] byte1, input logic [VectorW-1:0] byte2,
                               input logic [VectorW-1:0] byte3, output logic [WideW-1:0] y);
    /*verilator no_inline_task*/
    int unsigned j;
    logic [31:0] b0;
    logic [31:0] b1;
    logic [31:0] b2;
    logic [31:0] b3;
    logic [1:0] op;
    for (j = 0; j < Lanes / 4; j = j + 1) begin
      b0 = byte0[j*32+:32];
      b1 = byte1[j*32+:32];
      b2 = byte2[j*32+:32];
      b3 = byte3[j*32+:32];
      y[j*128+:32] = {b3[7:0], b2[7:0], b1[7:0], b0[7:0]};
      y[j*128+32+:32] = {b3[15:8], b2[15:8], b1[15:8], b0[15:8]};
      y[j*128+64+:32] = {b3[23:16], b2[23:16], b1[23:16], b0[23:16]};
      y[j*128+96+:32] = {b3[31:24], b2[31:24], b1[31:24], b0[31:24]};
    end
    op = format == pianola_pkg::VxmFormatI8 ? 2'd1 : format == pianola_pkg::VxmFormatBf16 ? 2'd2
        : format == pianola_pkg::VxmFormatF16 ? 2'd3 : 2'd0;
    if (format == pianola_pkg::VxmFormatI8 || format == pianola_pkg::VxmFormatI32
        || format == pianola_pkg::VxmFormatBf16 || format == pianola_pkg::VxmFormatF16) begin
      for (j = 0; j < Lanes; j = j + 1) y[j*32+:32] = vxm_math_pkg::convert(y[j*32+:32], op);
    end else if (format == pianola_pkg::VxmFormatF32Lane0) begin
      b0 = y[31:0];
      for (j = 0; j < Lanes; j = j + 1) y[j*32+:32] = b0;
    end
  endtask

  task automatic select_operand(input logic [2:0] code, input logic [WideW-1:0] y,
                                input logic [WideW-1:0] z, input logic [31:0] k1,
                                input logic [31:0] k2, output logic [WideW-1:0] operand);
    /*verilator no_inline_task*/
    int unsigned i;
    logic [31:0] k;
    k = code == pianola_pkg::VxmOperandK1 ? k1 : code == pianola_pkg::VxmOperandK2 ? k2 : 32'd0;
    if (code == pianola_pkg::VxmOperandY) begin
      operand = y;
    end else if (code == pianola_pkg::VxmOperandZ) begin
      operand = z;
    end else if (code == pianola_pkg::VxmOperandLane) begin
      for (i = 0; i < Lanes; i = i + 1) operand[i*32+:32] = lane_number(i);
    end else begin
      for (i = 0; i < Lanes; i = i + 1) operand[i*32+:32] = k;
    end
  endtask

  task automatic multiply_lanes(input logic [WideW-1:0] a, input logic [WideW-1:0] b,
                                output logic [WideW-1:0] y);
    /*verilator no_inline_task*/
    int unsigned i;
    for (i = 0; i < Lanes; i = i + 1) y[i*32+:32] = vxm_math_pkg::mul(a[i*32+:32], b[i*32+:32]);
  endtask

  // a + b with the signs of the operands changed where the masks say so.
  task automatic add_lanes(input logic [WideW-1:0] a, input logic [WideW-1:0] b,
                           input logic negate_a, input logic negate_b,
                           output logic [WideW-1:0] y);
    /*verilator no_inline_task*/
    int unsigned i;
    for (i = 0; i < Lanes; i = i + 1) begin
      y[i*32+:32] = vxm_math_pkg::add(a[i*32+:32] ^ {negate_a, 31'd0}, b[i*32+:32], negate_b);
    end
  endtask

  task automatic minmax_lanes(input logic [WideW-1:0] a, input logic [WideW-1:0] b,
                              input logic max, output logic [WideW-1:0] y);
    /*verilator no_inline_task*/
    int unsigned i;
    for (i = 0; i < Lanes; i = i + 1) begin
      y[i*32+:32] = vxm_math_pkg::minmax(a[i*32+:32], b[i*32+:32], max);
    end
  endtask

  task automatic add_integer_lanes(input logic [WideW-1:0] a, input logic [WideW-1:0] b,
                                   output logic [WideW-1:0] y);
    /*verilator no_inline_task*/
    int unsigned i;
    for (i = 0; i < Lanes; i = i + 1) y[i*32+:32] = a[i*32+:32] + b[i*32+:32];
  endtask

  task automatic select_lanes(input logic [WideW-1:0] v, input logic [1:0] condition,
                              input logic [31:0] threshold, input logic [31:0] k2,
                              output logic [WideW-1:0] y);
    /*verilator no_inline_task*/
    int unsigned i;
    logic holds;
    for (i = 0; i < Lanes; i = i + 1) begin
      holds = ($signed(i) < $signed(threshold)) ^ (condition == pianola_pkg::VxmSelectGe);
      if (condition == pianola_pkg::VxmSelectEq) holds = i == threshold;
      y[i*32+:32] = holds ? v[i*32+:32] : k2;
    end
  endtask

  task automatic special_lanes(input logic [WideW-1:0] v, input logic [1:0] op,
                               output logic [WideW-1:0] y);
    /*verilator no_inline_task*/
    int unsigned i;
    for (i = 0; i < Lanes; i = i + 1) y[i*32+:32] = vxm_math_pkg::special(v[i*32+:32], op);
  endtask

  // The key of ARGMAX: as of max, but NaN below all.
  function automatic logic [31:0] argmax_key(input logic [31:0] a);
    argmax_key = a[30:0] > 31'h7f800000 ? 32'd0 : a[31] ? ~a : {1'b1, a[30:0]};
  endfunction

  // One value per segment: r of segment g in word g. Level by level neighbours combine in place,
  // node n of a level in word n; a node without a partner passes.
  task automatic reduce_lanes(input logic [WideW-1:0] v, input logic [2:0] op,
                              input logic [2:0] code, output logic [ResultW-1:0] r);
    /*verilator no_inline_task*/
    int unsigned level;
    int unsigned n;
    int unsigned count;
    int unsigned levels;
    logic [WideW-1:0] value;
    logic [WideW-1:0] lane;
    logic [31:0] left;
    logic [31:0] right;
    levels = segment_levels(code);
    count = Lanes;
    value = v;
    lane = '0;
    if (op == pianola_pkg::VxmTreeAbsmax) begin
      for (n = 0; n < Lanes; n = n + 1) value[n*32+31] = 1'b0;
    end else if (op == pianola_pkg::VxmTreeArgmax) begin
      for (n = 0; n < Lanes; n = n + 1) begin
        lane[n*32+:32] = n & ((32'd1 << levels) - 32'd1);
        value[n*32+:32] = argmax_key(v[n*32+:32]);
      end
    end
    for (level = 0; level < Levels; level = level + 1) begin
      if (level < levels) begin
        for (n = 0; n < (Pitch >> (level + 1)); n = n + 1) begin
          left = value[2*n*32+:32];
          right = value[(2*n+1)*32+:32];
          if (2 * n + 1 >= count) begin
            value[n*32+:32] = left;
            lane[n*32+:32] = lane[2*n*32+:32];
          end else if (op == pianola_pkg::VxmTreeSum) begin
            value[n*32+:32] = vxm_math_pkg::add(left, right, 1'b0);
          end else if (op == pianola_pkg::VxmTreeArgmax) begin
            value[n*32+:32] = right > left ? right : left;
            lane[n*32+:32] = right > left ? lane[(2*n+1)*32+:32] : lane[2*n*32+:32];
          end else begin
            value[n*32+:32] = vxm_math_pkg::minmax(left, right, 1'b1);
          end
        end
        count = (count + 1) >> 1;
      end
    end
    for (n = 0; n < Segments; n = n + 1) begin
      r[n*32+:32] = op == pianola_pkg::VxmTreeArgmax ? lane_number(lane[n*32+:32])
                                                     : value[n*32+:32];
    end
  endtask

  function automatic logic [31:0] root_of(input logic [31:0] r, input logic [1:0] op,
                                          input logic [31:0] k1, input logic [31:0] k2);
    logic [31:0] scaled;
    scaled = vxm_math_pkg::mul(r, k1);
    root_of = scaled;
    if (op == pianola_pkg::VxmRootReciprocal) begin
      root_of = vxm_math_pkg::special(scaled, 2'd1);
    end else if (op == pianola_pkg::VxmRootRsqrt) begin
      root_of = vxm_math_pkg::special(vxm_math_pkg::add(scaled, k2, 1'b0), 2'd2);
    end
  endfunction

  task automatic apply_root(input logic [ResultW-1:0] r, input logic [1:0] op,
                            input logic [31:0] k1, input logic [31:0] k2,
                            output logic [ResultW-1:0] y);
    /*verilator no_inline_task*/
    int unsigned n;
    for (n = 0; n < Segments; n = n + 1) y[n*32+:32] = root_of(r[n*32+:32], op, k1, k2);
  endtask

  task automatic broadcast_lanes(input logic [ResultW-1:0] r, input logic [2:0] code,
                                 output logic [WideW-1:0] y);
    /*verilator no_inline_task*/
    int unsigned i;
    int unsigned levels;
    levels = segment_levels(code);
    for (i = 0; i < Lanes; i = i + 1) begin
      y[i*32+:32] = code == pianola_pkg::LaneSegmentAll ? r[31:0] : r[(i>>levels)*32+:32];
    end
  endtask

  // To the four streams of the output; streams beyond the format's own are not driven.
  task automatic round_lanes(input logic [WideW-1:0] v, input logic [2:0] format,
                             output logic [ByteW-1:0] y0, output logic [ByteW-1:0] y1,
                             output logic [ByteW-1:0] y2, output logic [ByteW-1:0] y3);
    /*verilator no_inline_task*/
    int unsigned j;
    logic [WideW-1:0] rounded;
    logic [31:0] b0;
    logic [31:0] b1;
    logic [31:0] b2;
    logic [31:0] b3;
    logic [1:0] op;
    rounded = v;
    op = format == pianola_pkg::VxmOutFormatI8 ? 2'd0 : format == pianola_pkg::VxmOutFormatI32 ? 2'd1
        : format == pianola_pkg::VxmOutFormatBf16 ? 2'd2 : 2'd3;
    if (format != pianola_pkg::VxmOutFormatF32) begin
      for (j = 0; j < Lanes; j = j + 1) rounded[j*32+:32] = vxm_math_pkg::round(v[j*32+:32], op);
    end
    for (j = 0; j < Lanes / 4; j = j + 1) begin
      b0 = rounded[j*128+:32];
      b1 = rounded[j*128+32+:32];
      b2 = rounded[j*128+64+:32];
      b3 = rounded[j*128+96+:32];
      y0[j*32+:32] = {b3[7:0], b2[7:0], b1[7:0], b0[7:0]};
      y1[j*32+:32] = {b3[15:8], b2[15:8], b1[15:8], b0[15:8]};
      y2[j*32+:32] = {b3[23:16], b2[23:16], b1[23:16], b0[23:16]};
      y3[j*32+:32] = {b3[31:24], b2[31:24], b1[31:24], b0[31:24]};
    end
  endtask
