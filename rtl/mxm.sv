// A matrix unit: decodes its load queue and its compute queue, checks the rules, drives the sums.
//
// Ports: see docs/isa.md section 5 for what the instructions mean. Both issue ports take one
// issue every enabled cycle. A MAC that emits in cycle t drives four streams in cycle
// t + latency_mxm_mac(Lanes); the rows of a LOAD in cycle t belong to a swap in cycle t + 1 or later.
// fault_o names the rules that an issue of the previous enabled cycle broke (0 without Checks).
// busy_o: a sum will be driven after this cycle. start_i (any clock edge) begins a launch: nothing
// is in flight, loaded, installed or cleared.
// With several beats per machine cycle (the synthesis form only) mxm_array_beats takes the place of
// mxm_array; streams and out_data_o are then those of a beat, issues come in the last one.
// A tile counts as complete when all its rows came in one orientation.
`default_nettype none

module mxm #(
    parameter int unsigned Lanes = 16,
    parameter int unsigned Streams = 16,
    parameter int unsigned LoadStreams = 4,
    parameter int unsigned Accumulators = 32,
    parameter int unsigned Beats = 1,
    parameter bit Checks = 1'b1,
    parameter int unsigned StreamRows = 1,  // see memory_row; 1: only the position's own
    localparam int unsigned VectorW = Lanes * 8 / Beats,  // of a beat
    localparam int unsigned StoreW = StreamRows == 1 ? Streams * VectorW
        : (2 * StreamRows * Streams) << $clog2(VectorW),
    localparam int unsigned AtW = Streams + 8,
    localparam int unsigned BeatCountW = Beats > 1 ? $clog2(Beats) : 1
) (
    input wire logic clk_i,
    input wire logic rst_ni,
    input wire logic [BeatCountW-1:0] beat_i,
    input wire logic live_i,
    input wire logic en_i,
    input wire logic start_i,

    input wire logic load_issue_i,
    input wire logic [156:0] load_instr_i,
    input wire logic signed [11:0] row_offset_i,

    input wire logic mac_issue_i,
    input wire logic [156:0] mac_instr_i,
    input wire logic mac_first1_i,
    input wire logic mac_first2_i,
    input wire logic mac_last2_i,
    input wire logic signed [9:0] acc_offset_i,

    input wire logic [StoreW-1:0] east_i,
    input wire logic [StoreW-1:0] west_i,
    input wire logic [AtW-1:0] east_at_i,
    input wire logic [AtW-1:0] west_at_i,
    input wire logic [Streams-1:0] east_def_i,
    input wire logic [Streams-1:0] west_def_i,

    output logic out_valid_o,
    output logic [1:0] out_dirs_o,
    output logic [5:0] out_stream_o,
    output logic [2:0] out_count_o,
    output logic [4*VectorW-1:0] out_data_o,
    output logic [31:0] fault_o,
    output logic busy_o
);
  localparam int unsigned Latency = pianola_pkg::latency_mxm_mac(Lanes);
  localparam int unsigned AccW = Accumulators > 1 ? $clog2(Accumulators) : 1;
  localparam int unsigned StreamW = $clog2(Streams);
  localparam int unsigned RowW = $clog2(Lanes);
  localparam int unsigned ControlW = 7;

  // Fields.
  wire logic load_dir = load_instr_i[pianola_pkg::MxmLoadDirLsb];
  wire logic [5:0] load_stream =
      load_instr_i[pianola_pkg::MxmLoadStreamLsb+:pianola_pkg::MxmLoadStreamW];
  wire logic [1:0] load_format =
      load_instr_i[pianola_pkg::MxmLoadFormatLsb+:pianola_pkg::MxmLoadFormatW];
  wire logic load_orientation = load_instr_i[pianola_pkg::MxmLoadOrientationLsb];
  wire logic [8:0] load_row_field =
      load_instr_i[pianola_pkg::MxmLoadRowLsb+:pianola_pkg::MxmLoadRowW];
  wire logic signed [12:0] load_row =
      $signed({4'd0, load_row_field}) + 13'(row_offset_i);

  wire logic mac_dir = mac_instr_i[pianola_pkg::MxmMacDirLsb];
  wire logic [5:0] mac_stream =
      mac_instr_i[pianola_pkg::MxmMacStreamLsb+:pianola_pkg::MxmMacStreamW];
  wire logic [1:0] swap_field = mac_instr_i[pianola_pkg::MxmMacSwapLsb+:pianola_pkg::MxmMacSwapW];
  wire logic [1:0] clear_field =
      mac_instr_i[pianola_pkg::MxmMacClearLsb+:pianola_pkg::MxmMacClearW];
  wire logic [1:0] emit_field = mac_instr_i[pianola_pkg::MxmMacEmitLsb+:pianola_pkg::MxmMacEmitW];
  wire logic [6:0] acc_field = mac_instr_i[pianola_pkg::MxmMacAccLsb+:pianola_pkg::MxmMacAccW];
  wire logic out_dir = mac_instr_i[pianola_pkg::MxmMacOutDirLsb];
  wire logic [5:0] out_stream =
      mac_instr_i[pianola_pkg::MxmMacOutStreamLsb+:pianola_pkg::MxmMacOutStreamW];

  wire logic swap = swap_field == pianola_pkg::MxmMacSwapAlways
      || (swap_field == pianola_pkg::MxmMacSwapLevel1 && mac_first1_i);
  wire logic clear = clear_field == pianola_pkg::MxmMacClearAlways
      || (clear_field == pianola_pkg::MxmMacClearLevel2 && mac_first2_i);
  wire logic emits = emit_field == pianola_pkg::MxmMacEmitAlways
      || (emit_field == pianola_pkg::MxmMacEmitLevel2 && mac_last2_i);
  wire logic signed [10:0] acc = $signed({4'd0, acc_field}) + 11'(acc_offset_i);
  wire logic [AccW-1:0] acc_index = acc[AccW-1:0];
  wire logic acc_in_range = !acc[10] && 32'(acc[9:0]) < Accumulators;

  if (Beats > 1) begin : gen_beats
    mxm_array_beats #(
        .Lanes(Lanes),
        .Streams(Streams),
        .LoadStreams(LoadStreams),
        .Accumulators(Accumulators),
        .Beats(Beats)
    ) u_array (
        .clk_i(clk_i),
        .rst_ni(rst_ni),
        .beat_i(beat_i),
        .live_i(live_i),
        .en_i(en_i),
        .start_i(start_i),
        .east_i(east_i),
        .west_i(west_i),
        .load_i(load_issue_i && 32'(load_stream) + LoadStreams <= Streams),
        .load_dir_i(load_dir),
        .load_stream_i(load_stream),
        .load_format_i(load_format),
        .load_orientation_i(load_orientation),
        .load_row_i(load_row),
        .mac_i(mac_issue_i && acc_in_range),
        .mac_dir_i(mac_dir),
        .mac_stream_i(mac_stream[StreamW-1:0]),
        .swap_i(swap),
        .clear_i(clear),
        .emit_i(emits),
        .acc_i(acc_index),
        .out_data_o(out_data_o)
    );
  end else begin : gen_whole
    mxm_array #(
        .Lanes(Lanes),
        .Streams(Streams),
        .LoadStreams(LoadStreams),
        .Accumulators(Accumulators),
        .StreamRows(StreamRows)
    ) u_array (
        .clk_i(clk_i),
        .rst_ni(rst_ni),
        .en_i(en_i),
        .start_i(start_i),
        .east_i(east_i),
        .west_i(west_i),
        .east_at_i(east_at_i),
        .west_at_i(west_at_i),
        .load_i(load_issue_i && 32'(load_stream) + LoadStreams <= Streams),
        .load_dir_i(load_dir),
        .load_stream_i(load_stream),
        .load_format_i(load_format),
        .load_orientation_i(load_orientation),
        .load_row_i(load_row),
        .mac_i(mac_issue_i && acc_in_range),
        .mac_dir_i(mac_dir),
        .mac_stream_i(mac_stream[StreamW-1:0]),
        .swap_i(swap),
        .clear_i(clear),
        .emit_i(emits),
        .acc_i(acc_index),
        .out_data_o(out_data_o)
    );
    logic unused_beat;
    assign unused_beat = &{1'b0, beat_i, live_i};
  end

  logic unused_at;
  assign unused_at = &{1'b0, east_at_i, west_at_i};

  // What is driven, and where.
  logic [Latency-1:0] valid_q;
  logic [Latency*ControlW-1:0] control_q;
  always_ff @(posedge clk_i) begin
    if (!rst_ni || start_i) begin
      valid_q <= '0;
    end else if (en_i) begin
      valid_q <= {valid_q[Latency-2:0], mac_issue_i && emits && acc_in_range};
      control_q <= {control_q[(Latency-1)*ControlW-1:0], out_stream, out_dir};
    end
  end
  assign out_valid_o = valid_q[Latency-1];
  assign out_dirs_o = control_q[(Latency-1)*ControlW] ? 2'b10 : 2'b01;
  assign out_stream_o = control_q[(Latency-1)*ControlW+1+:6];
  assign out_count_o = 3'd4;
  assign busy_o = |valid_q[Latency-2:0];

  // Rules.
  if (Checks) begin : gen_checks
    logic [31:0] fault_d, fault_q;
    logic [Lanes-1:0] rows_output_q, rows_input_q;
    logic [Lanes-1:0] rows;
    logic [Accumulators-1:0] cleared_q;
    logic installed_q;
    logic [1:0] weights_log2;     // per byte
    logic signed [31:0] weights;
    logic signed [31:0] room;     // tile vectors from the first on
    logic signed [31:0] used;     // streams
    logic [Streams-1:0] needed;

    always_comb begin
      fault_d = '0;
      rows = '0;
      weights_log2 = load_format;
      weights = 1;
      room = 0;
      used = 0;
      needed = '0;
      if (load_issue_i) begin
        if (load_format == pianola_pkg::MxmLoadFormatInt4) weights = 2;
        if (load_format == pianola_pkg::MxmLoadFormatTernary) weights = 4;
        if (load_format == 2'd3 || 32'(load_stream) + LoadStreams > Streams
            || load_instr_i[156:pianola_pkg::MxmLoadPayloadW] != '0) begin
          fault_d[pianola_pkg::RuleIllegalEncoding] = 1'b1;
        end
        // Streams that reach beyond the tile are not read; a stream lies in it with all its vectors.
        room = $signed(Lanes) - 32'(load_row);
        used = room <= 0 ? 0 : (room + weights - 1) >>> weights_log2;
        if (used > $signed(LoadStreams)) used = LoadStreams;
        if (used != 0 && (load_row < 0 || (used << weights_log2) > room)) begin
          fault_d[pianola_pkg::RuleAddressRange] = 1'b1;
        end else begin
          rows = Lanes'(((Lanes+1)'(1) << (used << weights_log2)) - 1'b1) << load_row[RowW-1:0];
        end
        needed = Streams'(((Streams+1)'(1) << used) - 1'b1) << load_stream;
        if ((needed & ~(load_dir ? west_def_i : east_def_i)) != '0) begin
          fault_d[pianola_pkg::RuleStreamUndefined] = 1'b1;
        end
      end
      if (mac_issue_i) begin
        if (swap_field == 2'd3 || clear_field == 2'd3 || emit_field == 2'd3
            || 32'(mac_stream) >= Streams
            || mac_instr_i[156:pianola_pkg::MxmMacPayloadW] != '0
            || (emit_field == pianola_pkg::MxmMacEmitNever && (out_dir || out_stream != '0))
            || out_stream[1:0] != '0 || 32'(out_stream) + 4 > Streams) begin
          fault_d[pianola_pkg::RuleIllegalEncoding] = 1'b1;
        end
        if (!(mac_dir ? west_def_i[StreamW'(mac_stream)]
                      : east_def_i[StreamW'(mac_stream)])) begin
          fault_d[pianola_pkg::RuleStreamUndefined] = 1'b1;
        end
        if (!acc_in_range) begin
          fault_d[pianola_pkg::RuleAddressRange] = 1'b1;
        end else if (!clear && !cleared_q[acc_index]) begin
          fault_d[pianola_pkg::RuleAccumulatorUndefined] = 1'b1;
        end
        if (swap) begin
          if (!(&rows_output_q) && !(&rows_input_q)) begin
            fault_d[pianola_pkg::RuleTileIncomplete] = 1'b1;
          end
        end else if (!installed_q) begin
          fault_d[pianola_pkg::RuleAccumulatorUndefined] = 1'b1;
        end
      end
    end

    wire logic swaps = mac_issue_i && swap;
    wire logic by_input = load_orientation == pianola_pkg::MxmLoadOrientationInput;
    always_ff @(posedge clk_i) begin
      if (!rst_ni || start_i) begin
        fault_q <= '0;
        rows_output_q <= '0;
        rows_input_q <= '0;
        cleared_q <= '0;
        installed_q <= 1'b0;
      end else if (en_i) begin
        fault_q <= fault_d;
        if (swaps || load_issue_i) begin
          rows_output_q <= (swaps ? '0 : rows_output_q) | (by_input ? '0 : rows);
          rows_input_q <= (swaps ? '0 : rows_input_q) | (by_input ? rows : '0);
        end
        if (swaps) installed_q <= 1'b1;
        if (mac_issue_i && clear && acc_in_range) cleared_q[acc_index] <= 1'b1;
      end
    end
    assign fault_o = fault_q;
  end else begin : gen_no_checks
    assign fault_o = '0;
  end

endmodule

`default_nettype wire
