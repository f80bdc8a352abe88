// The unit of a PORT position: RECV of tape, KV and host, SEND of KV and host. Everything that a
// port does in the front is decided together with the others: ready_o is their conjunction.
//
// Numbers of the RECV ports, lowest in the flat vectors: tape, kv, host; of the SEND ports: kv,
// host. Push bits and hold bits are in the order of the queues.
`default_nettype none

module port_unit #(
  parameter int unsigned Lanes = 16,
  parameter int unsigned Streams = 16,
  parameter int unsigned Width = 4,
  parameter int unsigned TapeFifoVectors = 512,
  parameter int unsigned TapeBytesPerCycle = 32,
  parameter int unsigned KvFifoVectors = 64,
  parameter int unsigned KvBytesPerCycle = 16,
  parameter int unsigned HostFifoVectors = 64,
  parameter int unsigned HostBytesPerCycle = 64,
  parameter int unsigned MemoryBytesPerCycle = 0,  // of tape, KV and words together; 0: no limit
  parameter int unsigned FreezeDepth = 4,
  parameter int unsigned QueueDepth = 16,
  parameter int unsigned Beats = 1,
  parameter bit          Checks = 1'b1,
  parameter int unsigned StreamRows = 1,  // see memory_row; 1: only the position's own
  localparam int unsigned V = Lanes * 8,
  localparam int unsigned BeatW = V / Beats,
  localparam int unsigned StoreW = StreamRows == 1 ? Streams * BeatW
      : (2 * StreamRows * Streams) << $clog2(BeatW),
  localparam int unsigned AtW = Streams + 8,
  localparam int unsigned BeatCountW = (Beats > 1) ? $clog2(Beats) : 1,
  // Lanes that arrive or leave at a clock edge, if that many do: see recv_port.
  localparam int unsigned EdgeLanes = ((Width > 1) && (Beats >= Width + 2)) ? Lanes * Beats : Lanes,
  localparam int unsigned TapeW = (TapeBytesPerCycle + EdgeLanes - 1) / EdgeLanes,
  localparam int unsigned KvW = (KvBytesPerCycle + EdgeLanes - 1) / EdgeLanes,
  localparam int unsigned HostW = (HostBytesPerCycle + EdgeLanes - 1) / EdgeLanes,
  localparam int unsigned RecvEntryW = pianola_pkg::TimingW + pianola_pkg::PortRecvPayloadW,
  localparam int unsigned SendEntryW = pianola_pkg::TimingW + pianola_pkg::PortSendPayloadW
) (
  input  wire logic                  clk_i,
  input  wire logic                  rst_ni,
  input  wire logic                  start_i,
  // Front
  input  wire logic                  step_i,
  input  wire logic                  grant_i,
  input  wire logic [15:0]           front_now_i,
  input  wire logic                  word_i,    // the dispatcher takes a word in this cycle
  input  wire logic [4:0]            push_i,
  input  wire logic [RecvEntryW-1:0] entry_i,
  input  wire logic [5*32-1:0]       totals_i,
  output logic                       ready_o,
  output logic                       filled_o,
  output logic                       holds_o,
  output logic [31:0]                front_fault_o,
  // Back
  input  wire logic [BeatCountW-1:0] beat_i,
  input  wire logic                  live_i,
  input  wire logic                  en_i,
  input  wire logic [StoreW-1:0]     east_i,
  input  wire logic [StoreW-1:0]     west_i,
  input  wire logic [AtW-1:0]        east_at_i,
  input  wire logic [AtW-1:0]        west_at_i,
  input  wire logic [Streams-1:0]    east_def_i,
  input  wire logic [Streams-1:0]    west_def_i,
  output logic [2:0]                 out_valid_o,
  output logic [3*2-1:0]             out_dirs_o,
  output logic [3*6-1:0]             out_stream_o,
  output logic [3*4-1:0]             out_count_o,
  output logic [3*Width*BeatW-1:0]   out_data_o,
  output logic                       busy_o,
  output logic [31:0]                fault_o,
  // Outside
  input  wire logic [3:0]            tape_count_i,
  input  wire logic [TapeW*V-1:0]    tape_data_i,
  output logic [15:0]                tape_space_o,
  input  wire logic [3:0]            kv_count_i,
  input  wire logic [KvW*V-1:0]      kv_data_i,
  output logic [15:0]                kv_space_o,
  input  wire logic [3:0]            host_count_i,
  input  wire logic [HostW*V-1:0]    host_data_i,
  output logic [15:0]                host_space_o,
  input  wire logic [3:0]            kv_take_i,
  output logic [15:0]                kv_level_o,
  output logic [KvW*V-1:0]           kv_data_o,
  input  wire logic [3:0]            host_take_i,
  output logic [15:0]                host_level_o,
  output logic [HostW*V-1:0]         host_data_o
);

  logic [4:0] ready, holds, busy;
  logic [2:0] filled;
  logic [1:0] undefined;
  logic [31:0] fault0, fault1, fault2, fault3, fault4;
  logic [3:0]  tape_moves, kv_in_moves, kv_out_moves;
  logic [Width*BeatW-1:0] tape_vectors, kv_vectors, host_vectors;

  recv_port #(
    .Lanes(Lanes), .Streams(Streams), .Width(Width), .FifoVectors(TapeFifoVectors),
    .BytesPerCycle(TapeBytesPerCycle), .FreezeDepth(FreezeDepth), .QueueDepth(QueueDepth),
    .Beats(Beats), .Checks(Checks)
  ) u_tape_recv (
    .clk_i(clk_i), .rst_ni(rst_ni), .start_i(start_i), .step_i(step_i), .grant_i(grant_i),
    .front_now_i(front_now_i), .push_i(push_i[0]), .entry_i(entry_i),
    .total_i(totals_i[0*32 +: 32]), .ready_o(ready[0]), .filled_o(filled[0]),
    .holds_o(holds[0]), .moves_o(tape_moves),
    .front_fault_o(fault0), .in_count_i(tape_count_i), .in_data_i(tape_data_i),
    .in_space_o(tape_space_o), .beat_i(beat_i), .en_i(en_i), .out_valid_o(out_valid_o[0]),
    .out_dirs_o(out_dirs_o[0*2 +: 2]), .out_stream_o(out_stream_o[0*6 +: 6]),
    .out_count_o(out_count_o[0*4 +: 4]), .out_data_o(tape_vectors),
    .busy_o(busy[0])
  );
  recv_port #(
    .Lanes(Lanes), .Streams(Streams), .Width(Width), .FifoVectors(KvFifoVectors),
    .BytesPerCycle(KvBytesPerCycle), .FreezeDepth(FreezeDepth), .QueueDepth(QueueDepth),
    .Beats(Beats), .Checks(Checks)
  ) u_kv_recv (
    .clk_i(clk_i), .rst_ni(rst_ni), .start_i(start_i), .step_i(step_i), .grant_i(grant_i),
    .front_now_i(front_now_i), .push_i(push_i[1]), .entry_i(entry_i),
    .total_i(totals_i[1*32 +: 32]), .ready_o(ready[1]), .filled_o(filled[1]),
    .holds_o(holds[1]), .moves_o(kv_in_moves),
    .front_fault_o(fault1), .in_count_i(kv_count_i), .in_data_i(kv_data_i),
    .in_space_o(kv_space_o), .beat_i(beat_i), .en_i(en_i), .out_valid_o(out_valid_o[1]),
    .out_dirs_o(out_dirs_o[1*2 +: 2]), .out_stream_o(out_stream_o[1*6 +: 6]),
    .out_count_o(out_count_o[1*4 +: 4]), .out_data_o(kv_vectors),
    .busy_o(busy[1])
  );
  recv_port #(
    .Lanes(Lanes), .Streams(Streams), .Width(Width), .FifoVectors(HostFifoVectors),
    .BytesPerCycle(HostBytesPerCycle), .FreezeDepth(FreezeDepth), .QueueDepth(QueueDepth),
    .Beats(Beats), .Checks(Checks)
  ) u_host_recv (
    .clk_i(clk_i), .rst_ni(rst_ni), .start_i(start_i), .step_i(step_i), .grant_i(grant_i),
    .front_now_i(front_now_i), .push_i(push_i[2]), .entry_i(entry_i),
    .total_i(totals_i[2*32 +: 32]), .ready_o(ready[2]), .filled_o(filled[2]),
    .holds_o(holds[2]), .moves_o(),
    .front_fault_o(fault2), .in_count_i(host_count_i), .in_data_i(host_data_i),
    .in_space_o(host_space_o), .beat_i(beat_i), .en_i(en_i), .out_valid_o(out_valid_o[2]),
    .out_dirs_o(out_dirs_o[2*2 +: 2]), .out_stream_o(out_stream_o[2*6 +: 6]),
    .out_count_o(out_count_o[2*4 +: 4]), .out_data_o(host_vectors),
    .busy_o(busy[2])
  );
  send_port #(
    .Lanes(Lanes), .Streams(Streams), .Width(Width), .FifoVectors(KvFifoVectors),
    .BytesPerCycle(KvBytesPerCycle), .FreezeDepth(FreezeDepth), .QueueDepth(QueueDepth),
    .Beats(Beats), .Checks(Checks), .StreamRows(StreamRows)
  ) u_kv_send (
    .clk_i(clk_i), .rst_ni(rst_ni), .start_i(start_i), .step_i(step_i), .grant_i(grant_i),
    .front_now_i(front_now_i), .push_i(push_i[3]), .entry_i(entry_i[SendEntryW-1:0]),
    .total_i(totals_i[3*32 +: 32]), .ready_o(ready[3]), .holds_o(holds[3]), .moves_o(kv_out_moves),
    .front_fault_o(fault3), .live_i(live_i), .east_i(east_i), .west_i(west_i), .east_at_i(east_at_i),
    .west_at_i(west_at_i), .east_def_i(east_def_i),
    .west_def_i(west_def_i), .undefined_o(undefined[0]), .busy_o(busy[3]),
    .out_take_i(kv_take_i), .out_level_o(kv_level_o), .out_data_o(kv_data_o)
  );
  send_port #(
    .Lanes(Lanes), .Streams(Streams), .Width(Width), .FifoVectors(HostFifoVectors),
    .BytesPerCycle(HostBytesPerCycle), .FreezeDepth(FreezeDepth), .QueueDepth(QueueDepth),
    .Beats(Beats), .Checks(Checks), .StreamRows(StreamRows)
  ) u_host_send (
    .clk_i(clk_i), .rst_ni(rst_ni), .start_i(start_i), .step_i(step_i), .grant_i(grant_i),
    .front_now_i(front_now_i), .push_i(push_i[4]), .entry_i(entry_i[SendEntryW-1:0]),
    .total_i(totals_i[4*32 +: 32]), .ready_o(ready[4]), .holds_o(holds[4]), .moves_o(),
    .front_fault_o(fault4), .live_i(live_i), .east_i(east_i), .west_i(west_i), .east_at_i(east_at_i),
    .west_at_i(west_at_i), .east_def_i(east_def_i),
    .west_def_i(west_def_i), .undefined_o(undefined[1]), .busy_o(busy[4]),
    .out_take_i(host_take_i), .out_level_o(host_level_o), .out_data_o(host_data_o)
  );

`ifdef VERILATOR
  // Vectors are arbitrary where nothing is driven: then nothing is copied.
  always_latch begin
    if (out_valid_o != '0) out_data_o = {host_vectors, kv_vectors, tape_vectors};
  end
`else
  assign out_data_o = {host_vectors, kv_vectors, tape_vectors};
`endif

  assign ready_o = &ready;
  assign filled_o = &filled;
  assign holds_o = |holds;
  assign busy_o = |busy;

  // The bucket of the memory that tape, KV and instructions share: the tape's FIFO pays for all of them.
  logic memory_fault;
  if (Checks && (MemoryBytesPerCycle != 0)) begin : gen_memory
    logic [15:0] bytes;
    assign bytes = (16'(tape_moves) + 16'(kv_in_moves) + 16'(kv_out_moves)) * 16'(Lanes)
        + (word_i ? 16'(pianola_pkg::WordW / 8) : 16'd0);
    rate_checker #(
      .BytesMax(TapeFifoVectors * Lanes), .BytesPerCycle(MemoryBytesPerCycle)
    ) u_memory_rate (
      .clk_i(clk_i), .rst_ni(rst_ni), .start_i(start_i), .en_i(grant_i), .take_bytes_i(bytes),
      .fault_o(memory_fault)
    );
  end else begin : gen_no_memory
    assign memory_fault = 1'b0;
  end

  always_comb begin
    front_fault_o = fault0 | fault1 | fault2 | fault3 | fault4;
    if (memory_fault) front_fault_o[pianola_pkg::RulePortRate] = 1'b1;
  end
  always_comb begin
    fault_o = '0;
    fault_o[pianola_pkg::RuleStreamUndefined] = |undefined;
  end

endmodule

`default_nettype wire
