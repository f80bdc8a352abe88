// A SEND port: queue and reservation of landing space in the front, FIFO in the back.
//
// Front: ready_o says that the SEND of this front cycle, if there is one, has room for its vectors;
// with grant_i the room is reserved. In the back the vectors of the streams go into the FIFO. The
// outside takes out_take_i vectors (at most out_level_o and OutWidth); they are on out_data_o one
// clock edge later. The FIFO is larger than FifoVectors by what drains while an operation travels
// from front to back, so that the bucket of the rule port_rate holds at the target's rate.
`default_nettype none

module send_port #(
  parameter int unsigned Lanes = 16,
  parameter int unsigned Streams = 16,
  parameter int unsigned Width = 4,
  parameter int unsigned FifoVectors = 64,
  parameter int unsigned BytesPerCycle = 16,
  parameter int unsigned FreezeDepth = 4,
  parameter int unsigned QueueDepth = 16,
  parameter int unsigned Beats = 1,         // clock edges per machine cycle
  parameter bit          Checks = 1'b1,
  parameter int unsigned StreamRows = 1,          // see memory_row; 1: only the position's own
  localparam int unsigned V = Lanes * 8,
  localparam int unsigned BeatW = V / Beats,
  localparam int unsigned StoreW = StreamRows == 1 ? Streams * BeatW
      : (2 * StreamRows * Streams) << $clog2(BeatW),
  localparam int unsigned AtW = Streams + 8,
  // With enough beats vectors are stored and leave one at a clock edge.
  localparam bit          InTurn = (Width > 1) && (Beats >= Width + 2),
  localparam int unsigned OutLanes = InTurn ? Lanes * Beats : Lanes,
  localparam int unsigned OutWidth = (BytesPerCycle + OutLanes - 1) / OutLanes,
  localparam int unsigned EntryW = pianola_pkg::TimingW + pianola_pkg::PortSendPayloadW
) (
  input  wire logic                  clk_i,
  input  wire logic                  rst_ni,
  input  wire logic                  start_i,
  // Front
  input  wire logic                  step_i,  // the last beat of a machine cycle
  input  wire logic                  grant_i,
  input  wire logic [15:0]           front_now_i,
  input  wire logic                  push_i,
  input  wire logic [EntryW-1:0]     entry_i,
  input  wire logic [31:0]           total_i,  // vectors declared for this launch
  output logic                       ready_o,
  output logic                       holds_o,
  output logic [3:0]                 moves_o,  // vectors that the SEND of this cycle gives
  output logic [31:0]                front_fault_o,
  // Back
  input  wire logic                  live_i,
  input  wire logic [StoreW-1:0]     east_i,
  input  wire logic [StoreW-1:0]     west_i,
  input  wire logic [AtW-1:0]        east_at_i,
  input  wire logic [AtW-1:0]        west_at_i,
  input  wire logic [Streams-1:0]    east_def_i,
  input  wire logic [Streams-1:0]    west_def_i,
  output logic                       undefined_o,  // took a stream that holds no value
  output logic                       busy_o,       // an operation is on its way to the back
  // Outside
  input  wire logic [3:0]            out_take_i,
  output logic [15:0]                out_level_o,
  output logic [OutWidth*V-1:0]      out_data_o
);

  localparam int unsigned Capacity = FifoVectors + (FreezeDepth + 4) * OutWidth;
  localparam int unsigned FieldW = pianola_pkg::PortSendPayloadW;
  localparam int unsigned StreamW = $clog2(Streams);

  localparam int unsigned StreamVectorW = BeatW;
`include "stream_place.svh"

  // Front
  logic              want, issue;
  logic [FieldW-1:0] instr;
  logic [3:0]        count, reserved;
  logic [31:0]       queue_fault;
  sequencer #(
    .Depth(QueueDepth), .PayloadW(FieldW), .OffsetAW(1), .OffsetBW(1), .Checks(Checks)
  ) u_sequencer (
    .clk_i(clk_i), .rst_ni(rst_ni), .start_i(start_i), .en_i(grant_i), .now_i(front_now_i),
    .push_i(push_i), .entry_i(entry_i), .want_o(want), .issue_o(issue), .instr_o(instr),
    .first1_o(), .last1_o(), .first2_o(), .last2_o(), .first3_o(), .last3_o(),
    .a_offset_o(), .b_offset_o(), .holds_o(holds_o), .fault_o(queue_fault)
  );
  assign count = instr[pianola_pkg::PortSendCountLsb +: 4];

  logic [15:0] used_q;   // vectors reserved or stored
  logic [15:0] level_q;  // vectors stored
  logic [31:0] taken_q;  // vectors reserved in this launch
  logic [3:0]  stored;
  assign reserved = issue ? count : '0;
  assign moves_o = reserved;
  assign ready_o = !want || (used_q + 16'(count) <= 16'(Capacity));
  assign out_level_o = level_q;

  // Back
  logic              op_valid;
  logic [FieldW-1:0] op;
  delay_line #(.Width(FieldW), .Depth(FreezeDepth)) u_ahead (
    .clk_i(clk_i), .rst_ni(rst_ni), .clear_i(start_i), .en_i(step_i), .valid_i(issue),
    .data_i(instr), .valid_o(op_valid), .data_o(op), .busy_o(busy_o)
  );
  assign stored = (op_valid && step_i) ? op[pianola_pkg::PortSendCountLsb +: 4] : '0;

  always_ff @(posedge clk_i) begin
    if (!rst_ni || start_i) begin
      used_q <= '0;
      level_q <= '0;
      taken_q <= '0;
    end else if (issue || (op_valid && step_i) || (out_take_i != '0)) begin
      used_q <= used_q + 16'(reserved) - 16'(out_take_i);
      level_q <= level_q + 16'(stored) - 16'(out_take_i);
      taken_q <= taken_q + 32'(reserved);
    end
  end

  logic [Width*BeatW-1:0] data;
  logic [Width*V-1:0] vectors;
  logic [StreamW-1:0] stream, checked;
  always_comb begin
    data = '0;
    stream = '0;
    if (op_valid) begin
      for (int unsigned w = 0; w < Width; w++) begin
        stream = op[pianola_pkg::PortSendStreamLsb +: StreamW] + StreamW'(w);
        if (w < 32'(op[pianola_pkg::PortSendCountLsb +: 4])) begin
          if (op[pianola_pkg::PortSendDirLsb] == pianola_pkg::DirectionEast) begin
            data[w*BeatW +: BeatW] = east_i[stream_place(east_at_i, stream) +: BeatW];
          end else begin
            data[w*BeatW +: BeatW] = west_i[stream_place(west_at_i, stream) +: BeatW];
          end
        end
      end
    end
  end
  always_comb begin
    undefined_o = 1'b0;
    checked = '0;
    if (op_valid) begin
      for (int unsigned w = 0; w < Width; w++) begin
        checked = op[pianola_pkg::PortSendStreamLsb +: StreamW] + StreamW'(w);
        if (w < 32'(stored)) begin
          undefined_o = undefined_o ||
              ((op[pianola_pkg::PortSendDirLsb] == pianola_pkg::DirectionEast) ?
               !east_def_i[checked] : !west_def_i[checked]);
        end
      end
    end
  end

  if (Beats == 1) begin : gen_whole
    logic unused_live;
    assign unused_live = &{1'b0, live_i};
    assign vectors = data;
  end else begin : gen_beats
    for (genvar w = 0; w < Width; w++) begin : gen_vector
      beat_collector #(.Width(BeatW), .Beats(Beats)) u_vector (
        .clk_i(clk_i), .live_i(live_i), .data_i(data[w*BeatW +: BeatW]), .data_o(vectors[w*V +: V])
      );
    end
  end

  if (InTurn) begin : gen_in_turn
    // The first vector is stored when it is whole, those behind it at the edges that follow.
    if (OutWidth != 1) begin : gen_rate_too_high
      $error("send_port: with as many beats at most a vector leaves at an edge");
    end
    localparam int unsigned NumberW = $clog2(Width);
    logic [3:0]             waiting_q;
    logic [NumberW-1:0]     number_q;  // of the vector that is stored now, 0 in a last beat
    logic [(Width-1)*V-1:0] later_q;
    logic [V-1:0]           vector;
    always_ff @(posedge clk_i) begin
      if (!rst_ni || start_i) begin
        waiting_q <= '0;
        number_q <= '0;
      end else if (stored != '0) begin
        waiting_q <= stored - 1'b1;
        number_q <= NumberW'(1);
      end else begin
        if (waiting_q != '0) waiting_q <= waiting_q - 1'b1;
        number_q <= (waiting_q > 4'd1) ? number_q + 1'b1 : '0;
      end
    end
    always_ff @(posedge clk_i) begin
      if (stored != '0) later_q <= vectors[Width*V-1:V];
    end
    always_comb begin
      vector = vectors[V-1:0];
      for (int unsigned i = 1; i < Width; i++) begin
        if (number_q == NumberW'(i)) vector = later_q[(i-1)*V +: V];
      end
    end
    vector_fifo #(.VectorW(V), .Depth(Capacity)) u_fifo (
      .clk_i(clk_i), .rst_ni(rst_ni), .clear_i(start_i),
      .write_i((stored != '0) || (waiting_q != '0)), .write_data_i(vector),
      .read_i(out_take_i != '0), .read_data_o(out_data_o)
    );
  end else begin : gen_at_once
    port_fifo #(
      .VectorW(V), .WriteWidth(Width), .ReadWidth(OutWidth), .DepthMin(Capacity), .CountW(4)
    ) u_fifo (
      .clk_i(clk_i), .rst_ni(rst_ni), .clear_i(start_i),
      .write_count_i(stored), .write_data_i(vectors),
      .read_count_i(out_take_i), .use_i(shown_q), .read_data_o(out_data_o)
    );
    logic shown_q;  // vectors were taken at the last edge
    always_ff @(posedge clk_i) shown_q <= out_take_i != '0;
  end

  // Faults
  logic rate_fault;
  if (Checks) begin : gen_rate
    rate_checker #(.BytesMax(FifoVectors * Lanes), .BytesPerCycle(BytesPerCycle)) u_rate (
      .clk_i(clk_i), .rst_ni(rst_ni), .start_i(start_i), .en_i(grant_i),
      .take_bytes_i(16'(reserved) * 16'(Lanes)), .fault_o(rate_fault)
    );
  end else begin : gen_no_rate
    assign rate_fault = 1'b0;
  end
  always_comb begin
    front_fault_o = queue_fault;
    if (want) begin
      front_fault_o[pianola_pkg::RulePortExhausted] = 32'(count) > (total_i - taken_q);
      front_fault_o[pianola_pkg::RulePortRate] = rate_fault;
      front_fault_o[pianola_pkg::RuleIllegalEncoding] = queue_fault[pianola_pkg::RuleIllegalEncoding]
          || (count == '0) || (32'(count) > Width) ||
          (32'(instr[pianola_pkg::PortSendStreamLsb +: 6]) + 32'(count) > Streams);
    end
  end

endmodule

`default_nettype wire
