// A RECV port: queue and reservation in the front, FIFO and drive in the back (isa.md section 8).
//
// Front: ready_o says that the RECV of this front cycle, if there is one, has its vectors. With
// grant_i they are reserved. The operation reaches the back FreezeDepth clock edges later, in the
// machine cycle of the same number, and drives in the cycle after (port_recv). The FIFO has room
// for what is reserved but not yet popped and for two deliveries in flight, so that memory at the
// target's rate keeps the bucket of FifoVectors that the rule port_rate counts on.
`default_nettype none

module recv_port #(
  parameter int unsigned Lanes = 16,
  parameter int unsigned Streams = 16,
  parameter int unsigned Width = 4,         // most vectors of one operation
  parameter int unsigned FifoVectors = 512,
  parameter int unsigned BytesPerCycle = 32,
  parameter int unsigned FreezeDepth = 4,
  parameter int unsigned QueueDepth = 16,
  parameter int unsigned Beats = 1,         // clock edges per machine cycle
  parameter bit          Checks = 1'b1,
  localparam int unsigned V = Lanes * 8,
  localparam int unsigned BeatW = V / Beats,
  localparam int unsigned BeatCountW = (Beats > 1) ? $clog2(Beats) : 1,
  // With enough beats vectors arrive and are read one at a clock edge.
  localparam bit          InTurn = (Width > 1) && (Beats >= Width + 2),
  localparam int unsigned InLanes = InTurn ? Lanes * Beats : Lanes,  // that arrive at an edge, if there are more
  localparam int unsigned InWidth = (BytesPerCycle + InLanes - 1) / InLanes,
  localparam int unsigned EntryW = pianola_pkg::TimingW + pianola_pkg::PortRecvPayloadW
) (
  input  wire logic                 clk_i,
  input  wire logic                 rst_ni,
  input  wire logic                 start_i,
  // Front
  input  wire logic                 step_i,    // the last beat of a machine cycle
  input  wire logic                 grant_i,
  input  wire logic [15:0]          front_now_i,
  input  wire logic                 push_i,
  input  wire logic [EntryW-1:0]    entry_i,
  input  wire logic [31:0]          total_i,   // vectors that the port delivers in this launch
  output logic                      ready_o,
  output logic                      filled_o,  // the FIFO is full or holds all there is
  output logic                      holds_o,
  output logic [3:0]                moves_o,   // vectors that the RECV of this cycle takes
  output logic [31:0]               front_fault_o,
  // Memory: vectors delivered at this edge, at most space_o and InWidth.
  input  wire logic [3:0]           in_count_i,
  input  wire logic [InWidth*V-1:0] in_data_i,
  output logic [15:0]               in_space_o,
  // Back
  input  wire logic [BeatCountW-1:0] beat_i,
  input  wire logic                 en_i,
  output logic                      out_valid_o,
  output logic [1:0]                out_dirs_o,
  output logic [5:0]                out_stream_o,
  output logic [3:0]                out_count_o,
  output logic [Width*BeatW-1:0]    out_data_o,  // of this beat
  output logic                      busy_o
);

  localparam int unsigned Capacity = FifoVectors + 2 * InWidth;
  localparam int unsigned FieldW = pianola_pkg::PortRecvPayloadW;

  if (pianola_pkg::latency_port_recv(Lanes) != 1) begin : gen_latency_other
    $error("recv_port: port_recv must be 1");
  end

  // Front
  logic              want, issue;
  logic [FieldW-1:0] instr;
  logic [3:0]        count;
  logic [31:0]       queue_fault;
  sequencer #(
    .Depth(QueueDepth), .PayloadW(FieldW), .OffsetAW(1), .OffsetBW(1), .Checks(Checks)
  ) u_sequencer (
    .clk_i(clk_i), .rst_ni(rst_ni), .start_i(start_i), .en_i(grant_i), .now_i(front_now_i),
    .push_i(push_i), .entry_i(entry_i), .want_o(want), .issue_o(issue), .instr_o(instr),
    .first1_o(), .last1_o(), .first2_o(), .last2_o(), .first3_o(), .last3_o(),
    .a_offset_o(), .b_offset_o(), .holds_o(holds_o), .fault_o(queue_fault)
  );
  assign count = instr[pianola_pkg::PortRecvCountLsb +: 4];

  logic [15:0] level_q;               // vectors in the FIFO that nothing has reserved
  logic [31:0] arrived_q, taken_q;
  logic [3:0]  reserved;
  assign reserved = issue ? count : '0;
  assign moves_o = reserved;
  assign ready_o = !want || (level_q >= 16'(count));
  assign filled_o = (level_q >= 16'(FifoVectors)) || (arrived_q == total_i);
  assign in_space_o = 16'(Capacity) - level_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni || start_i) begin
      level_q <= '0;
      arrived_q <= '0;
      taken_q <= '0;
    end else if ((in_count_i != '0) || issue) begin
      level_q <= level_q + 16'(in_count_i) - 16'(reserved);
      arrived_q <= arrived_q + 32'(in_count_i);
      taken_q <= taken_q + 32'(reserved);
    end
  end

  // Back
  logic              op_valid, op_busy;
  logic [FieldW-1:0] op;
  delay_line #(.Width(FieldW), .Depth(FreezeDepth)) u_ahead (
    .clk_i(clk_i), .rst_ni(rst_ni), .clear_i(start_i), .en_i(step_i), .valid_i(issue),
    .data_i(instr), .valid_o(op_valid), .data_o(op), .busy_o(op_busy)
  );

  logic              drive_valid_q;
  logic [FieldW-1:0] drive_q;
  always_ff @(posedge clk_i) begin
    if (!rst_ni || start_i) drive_valid_q <= 1'b0;
    else if (en_i) drive_valid_q <= op_valid;
  end
  always_ff @(posedge clk_i) begin
    if (op_valid && step_i) drive_q <= op;
  end

  localparam int unsigned Depth = Capacity + (FreezeDepth + 1) * Width;
  logic [Width*V-1:0] vectors;
  if (InTurn) begin : gen_in_turn
    // In the last beats of the cycle of the operation: read, and then kept, until the next one.
    localparam int unsigned First = Beats - 1 - Width;
    if (InWidth != 1) begin : gen_rate_too_high
      $error("recv_port: with as many beats at most a vector arrives at an edge");
    end
    logic [V-1:0]             vector;
    logic [(Width-1)*V-1:0]   earlier_q;
    logic [Width*V-1:0]       vectors_q;
    wire logic [3:0]          turn = 4'(32'(beat_i) - First);
    wire logic                read = op_valid && (32'(beat_i) >= First) && !step_i &&
        (turn < op[pianola_pkg::PortRecvCountLsb +: 4]);
    vector_fifo #(.VectorW(V), .Depth(Depth)) u_fifo (
      .clk_i(clk_i), .rst_ni(rst_ni), .clear_i(start_i), .write_i(in_count_i != '0),
      .write_data_i(in_data_i[V-1:0]), .read_i(read), .read_data_o(vector)
    );
    for (genvar i = 0; i + 1 < Width; i++) begin : gen_earlier
      always_ff @(posedge clk_i) begin
        if (32'(beat_i) == First + 1 + i) earlier_q[i*V +: V] <= vector;
      end
    end
    always_ff @(posedge clk_i) begin
      if (op_valid && step_i) vectors_q <= {vector, earlier_q};
    end
    assign vectors = vectors_q;
  end else begin : gen_at_once
    port_fifo #(
      .VectorW(V), .WriteWidth(InWidth), .ReadWidth(Width), .DepthMin(Depth), .CountW(4)
    ) u_fifo (
      .clk_i(clk_i), .rst_ni(rst_ni), .clear_i(start_i),
      .write_count_i(in_count_i), .write_data_i(in_data_i),
      .read_count_i((op_valid && step_i) ? op[pianola_pkg::PortRecvCountLsb +: 4] : 4'd0),
      .use_i(drive_valid_q), .read_data_o(vectors)
    );
  end
  if (Beats == 1) begin : gen_whole
    logic unused_beat;
    assign unused_beat = &{1'b0, beat_i};
    assign out_data_o = vectors;
  end else begin : gen_beats
    for (genvar i = 0; i < Width; i++) begin : gen_out
      assign out_data_o[i*BeatW +: BeatW] = vectors[i*V + 32'(beat_i)*BeatW +: BeatW];
    end
  end

  assign out_valid_o = drive_valid_q;
  assign out_dirs_o = drive_q[pianola_pkg::PortRecvOutDirsLsb +: 2];
  assign out_stream_o = drive_q[pianola_pkg::PortRecvOutStreamLsb +: 6];
  assign out_count_o = drive_q[pianola_pkg::PortRecvCountLsb +: 4];
  assign busy_o = op_busy || drive_valid_q;

  // Faults. Exhaustion is reported without a grant: the operation would freeze the core for good.
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
          (32'(instr[pianola_pkg::PortRecvOutStreamLsb +: 6]) + 32'(count) > Streams);
    end
  end

endmodule

`default_nettype wire
