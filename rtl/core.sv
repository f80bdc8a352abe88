// The core: front (instruction FIFO, dispatcher, port queues), freeze pipeline, and the row of
// positions that target_pkg describes, with their queues and units.
//
// A launch. start_i for one clock edge clears everything but MEM and takes regs_i and totals_i.
// Words and vectors are then delivered at clock edges, at most *_space_o at once. The front runs
// when the port FIFOs are filled (isa.md section 8). done_o is set after the machine cycle of END;
// the send FIFOs may still hold vectors. Inputs lead to flops only.
//
// In the synthesis form a machine cycle may take several clock edges (target_pkg::Beats): in each of them,
// a beat, Lanes / Beats lanes of all streams move and are computed, lane 0 first. What belongs to a
// vector is there once per lane of a beat; what belongs to an instruction acts in the last beat. The
// simulation form takes one edge: machine cycles are the same.
//
// fault_o is a flat vector of 32-bit sets of rule codes: one per position, then one for the front.
// Units report in the cycle of the violation or in one of the next few; the front counts its own
// cycles (front_cycle_o).
`default_nettype none

`ifdef VERILATOR
`ifndef PIANOLA_SYNTHESIS_FORM
`define PIANOLA_CORE_FAST
`endif
`endif

module core #(
  parameter bit Checks = 1'b1,
  localparam int unsigned Lanes = target_pkg::Lanes,
  localparam int unsigned Streams = target_pkg::Streams,
  localparam int unsigned Positions = target_pkg::Positions,
  localparam int unsigned Queues = target_pkg::QueueCount,
  localparam int unsigned V = Lanes * 8,
`ifdef PIANOLA_CORE_FAST
  localparam int unsigned Beats = 1,
`else
  localparam int unsigned Beats = target_pkg::Beats,
`endif
  // Lanes that a port moves at a clock edge, if its rate brings that many: see recv_port.
  localparam int unsigned EdgeLanes =
      ((target_pkg::PortWidthVectors > 1) && (Beats >= target_pkg::PortWidthVectors + 2)) ?
      Lanes * Beats : Lanes,
  localparam int unsigned TapeW = (target_pkg::TapeBytesPerCycle + EdgeLanes - 1) / EdgeLanes,
  localparam int unsigned KvW = (target_pkg::KvBytesPerCycle + EdgeLanes - 1) / EdgeLanes,
  localparam int unsigned HostW = (target_pkg::HostBytesPerCycle + EdgeLanes - 1) / EdgeLanes
) (
  input  wire logic                        clk_i,
  input  wire logic                        rst_ni,
  input  wire logic                        start_i,
  input  wire logic [32*32-1:0]            regs_i,      // launch registers; register 0 is ignored
  input  wire logic [5*32-1:0]             totals_i,    // vectors per port queue in this launch
  input  wire logic [31:0]                 words_i,     // words of the instruction tape
  output logic                             done_o,
  output logic                             en_o,        // this clock edge ends a machine cycle
  output logic [47:0]                      cycle_o,     // number of that machine cycle
  output logic [47:0]                      front_cycle_o,
  output logic [47:0]                      frozen_o,    // frozen edges from start to END
  output logic [47:0]                      frozen_after_first_o,
  output logic                             fault_any_o,
  output logic [(Positions+1)*32-1:0]      fault_o,
  // Instruction words
  input  wire logic                        word_valid_i,
  input  wire logic [255:0]                word_i,
  output logic [15:0]                      word_space_o,
  // Ports: vectors delivered at this edge; vectors taken, which follow one edge later.
  input  wire logic [3:0]                  tape_count_i,
  input  wire logic [TapeW*V-1:0]          tape_data_i,
  output logic [15:0]                      tape_space_o,
  input  wire logic [3:0]                  kv_count_i,
  input  wire logic [KvW*V-1:0]            kv_data_i,
  output logic [15:0]                      kv_space_o,
  input  wire logic [3:0]                  host_count_i,
  input  wire logic [HostW*V-1:0]          host_data_i,
  output logic [15:0]                      host_space_o,
  input  wire logic [3:0]                  kv_take_i,
  output logic [15:0]                      kv_level_o,
  output logic [KvW*V-1:0]                 kv_data_o,
  input  wire logic [3:0]                  host_take_i,
  output logic [15:0]                      host_level_o,
  output logic [HostW*V-1:0]               host_data_o
);

  localparam int unsigned Slices = target_pkg::SlicesPerPosition;
  localparam int unsigned EntryW = pianola_pkg::TimingW + pianola_pkg::PayloadW;
  localparam int unsigned TimingW = pianola_pkg::TimingW;
  localparam int unsigned MemW = pianola_pkg::MemPayloadW;
  localparam int unsigned VxmW = pianola_pkg::VxmPayloadW;
  localparam int unsigned SxmW = pianola_pkg::SxmPayloadW;
  localparam int unsigned LoadW = pianola_pkg::MxmLoadPayloadW;
  localparam int unsigned MacW = pianola_pkg::MxmMacPayloadW;
  localparam int unsigned PortW = pianola_pkg::PortRecvPayloadW;
  localparam int unsigned FifoSlack = 2;
  localparam int unsigned WordLevelW = $clog2(target_pkg::InstructionFifoWords + FifoSlack + 1);

`ifdef PIANOLA_CORE_FAST
  localparam int unsigned StreamRows = 1 << $clog2(Positions);  // that a unit sees, see memory_row
`else
  localparam int unsigned StreamRows = 1;
`endif
`undef PIANOLA_CORE_FAST
  localparam int unsigned BeatW = V / Beats;
  localparam int unsigned BeatCountW = (Beats > 1) ? $clog2(Beats) : 1;

  if (pianola_pkg::latency_dispatch(Lanes) != 2) begin : gen_dispatch_other
    $error("core: dispatch must be 2");
  end

  // -- Launch ---------------------------------------------------------------------------------
  logic [32*32-1:0] regs_q /* verilator public_flat_rd */;
  logic [5*32-1:0]  totals_q;
  logic [31:0]      words_q, words_arrived_q;
  logic             start_q;
  always_ff @(posedge clk_i) begin
    start_q <= start_i || !rst_ni;
    if (start_i) begin
      regs_q <= {regs_i[32*32-1:32], 32'd0};
      totals_q <= totals_i;
      words_q <= words_i;
    end
  end

  // -- Beats ----------------------------------------------------------------------------------
  logic [BeatCountW-1:0] beat;
  logic                  step;  // the last beat
  if (Beats > 1) begin : gen_beats
    logic [BeatCountW-1:0] beat_q;
    always_ff @(posedge clk_i) begin
      if (!rst_ni || start_q) beat_q <= '0;
      else beat_q <= beat_q + 1'b1;
    end
    assign beat = beat_q;
    assign step = &beat_q;
  end else begin : gen_one_beat
    assign beat = '0;
    assign step = 1'b1;
  end

  // -- Front ----------------------------------------------------------------------------------
  logic                  running_q, filled_q;
  logic                  grant, word_valid, word_filled, dispatch_ready, pop, push, ending;
  logic                  port_ready, port_filled, port_holds;
  logic [255:0]          word;
  logic [WordLevelW-1:0] word_space;
  logic [Queues-1:0]     push_set;
  logic [31:0]           dispatch_fault, port_front_fault, front_fault;
  logic [47:0]           front_cycle_q;

  instruction_fifo #(
    .Depth(target_pkg::InstructionFifoWords), .Slack(FifoSlack)
  ) u_words (
    .clk_i(clk_i), .rst_ni(rst_ni), .clear_i(start_q), .write_i(word_valid_i), .word_i(word_i),
    .pop_i(pop), .valid_o(word_valid), .word_o(word), .space_o(word_space),
    .filled_o(word_filled)
  );
  assign word_space_o = 16'(word_space);

  dispatcher #(.Queues(Queues)) u_dispatcher (
    .clk_i(clk_i), .rst_ni(rst_ni), .start_i(start_q), .grant_i(grant), .word_valid_i(word_valid),
    .word_i(word), .ready_o(dispatch_ready), .pop_o(pop), .push_o(push), .end_o(ending),
    .fault_o(dispatch_fault)
  );

  assign grant = step && running_q && filled_q && dispatch_ready && port_ready;
  always_ff @(posedge clk_i) begin
    if (!rst_ni || start_q) begin
      running_q <= rst_ni;
      filled_q <= 1'b0;
      words_arrived_q <= '0;
      front_cycle_q <= '0;
    end else begin
      if (grant && ending) running_q <= 1'b0;
      if (port_filled && (word_filled || (words_arrived_q == words_q))) filled_q <= 1'b1;
      if (word_valid_i) words_arrived_q <= words_arrived_q + 1'b1;
      if (grant) front_cycle_q <= front_cycle_q + 1'b1;
    end
  end
  assign front_cycle_o = front_cycle_q;

  always_comb begin
    push_set = '0;
    if (push) begin
      push_set = Queues'(word[pianola_pkg::HeaderMaskLsb +: 8]) <<
                 word[pianola_pkg::HeaderQueueLsb +: 10];
    end
  end

  // -- Front to back --------------------------------------------------------------------------
  logic              live, en, last;
  logic [Queues-1:0] back_push;
  logic [EntryW-1:0] entry;
  freeze_pipeline #(
    .Queues(Queues), .EntryW(EntryW), .FreezeDepth(target_pkg::FreezeDepth)
  ) u_freeze (
    .clk_i(clk_i), .rst_ni(rst_ni), .start_i(start_q), .step_i(step), .grant_i(grant), .end_i(ending),
    .push_i(push), .push_set_i(push_set), .entry_i(word[pianola_pkg::TimingLsb +: EntryW]),
    .live_o(live), .en_o(en), .end_o(last), .push_set_o(back_push), .entry_o(entry)
  );

  logic [47:0] cycle_q, frozen_q, frozen_after_first_q;
  logic        started_q, done_q, ended_q;
  always_ff @(posedge clk_i) begin
    if (!rst_ni || start_q) begin
      cycle_q <= '0;
      frozen_q <= '0;
      frozen_after_first_q <= '0;
      started_q <= 1'b0;
      done_q <= !rst_ni;
      ended_q <= 1'b0;
    end else begin
      ended_q <= 1'b0;
      if (en) begin
        cycle_q <= cycle_q + 1'b1;
        started_q <= 1'b1;
        done_q <= last;
        ended_q <= last;
      end else if (step && !done_q) begin
        frozen_q <= frozen_q + 1'b1;
        if (started_q) frozen_after_first_q <= frozen_after_first_q + 1'b1;
      end
    end
  end
  assign en_o = en;
  assign cycle_o = cycle_q;
  assign frozen_o = frozen_q;
  assign frozen_after_first_o = frozen_after_first_q;
  assign done_o = done_q;

  // -- Positions ------------------------------------------------------------------------------
  // Between neighbours lie the stream registers; they refer to what both positions drive.
  logic [Positions-1:0] position_holds, position_busy;
  logic [31:0]          end_fault;

  // How many units of a position drive, and how many vectors one of them drives at most.
  function automatic integer drivers_of(input integer position);
    drivers_of = 1;
    if (32'(target_pkg::UnitKinds[position*4 +: 4]) == target_pkg::UnitPort) drivers_of = 3;
    if (32'(target_pkg::UnitKinds[position*4 +: 4]) == target_pkg::UnitVxm) begin
      drivers_of = target_pkg::VxmChains;
    end
    if (32'(target_pkg::UnitKinds[position*4 +: 4]) == target_pkg::UnitMem) drivers_of = Slices;
  endfunction
  function automatic integer width_of(input integer position);
    width_of = 4;
    if (32'(target_pkg::UnitKinds[position*4 +: 4]) == target_pkg::UnitPort) begin
      width_of = target_pkg::PortWidthVectors;
    end
    if (32'(target_pkg::UnitKinds[position*4 +: 4]) == target_pkg::UnitMem) width_of = 1;
  endfunction

  // The drivers and vectors of the position that has most of them, and the numbers of all positions.
  function automatic integer drivers_max();
    drivers_max = 0;
    for (integer p = 0; p < Positions; p++) begin
      if (drivers_of(p) > drivers_max) drivers_max = drivers_of(p);
    end
  endfunction
  function automatic integer vectors_max();
    vectors_max = 0;
    for (integer p = 0; p < Positions; p++) begin
      if (drivers_of(p) * width_of(p) > vectors_max) vectors_max = drivers_of(p) * width_of(p);
    end
  endfunction
  function automatic logic [Positions*8-1:0] all_drivers();
    for (integer p = 0; p < Positions; p++) all_drivers[p*8 +: 8] = 8'(drivers_of(p));
  endfunction
  function automatic logic [Positions*8-1:0] all_widths();
    for (integer p = 0; p < Positions; p++) all_widths[p*8 +: 8] = 8'(width_of(p));
  endfunction
  function automatic logic [Positions-1:0] all_mem();
    for (integer p = 0; p < Positions; p++) begin
      all_mem[p] = 32'(target_pkg::UnitKinds[p*4 +: 4]) == target_pkg::UnitMem;
    end
  endfunction
  localparam int unsigned MaxDrivers = drivers_max();
  localparam int unsigned MaxVectors = vectors_max();
  localparam int unsigned AtW = Streams + 8;
  // Of the streams of all positions a unit gets those of its own, or all and the place of its own.
  localparam int unsigned RowStep = (StreamRows == 1) ? Streams * BeatW : 0;
  localparam int unsigned UnitW =
      (StreamRows == 1) ? Streams * BeatW : (2 * StreamRows * Streams) << $clog2(BeatW);
  localparam int unsigned StoreW = (StreamRows == 1) ? Positions * Streams * BeatW : UnitW;

  logic [StoreW-1:0]                     all_east, all_west;
  logic [Positions*AtW-1:0]              all_east_at, all_west_at;
  logic [Positions*Streams-1:0]          all_east_def, all_west_def;
  logic                                  mem_holds, mem_busy;
  logic [Positions*32-1:0]               mem_fault;
  // What units other than MEM drive. In the simulation form the harness looks here.
  logic [Positions*MaxDrivers-1:0]       all_valid  /* verilator public_flat_rd */;
  logic [Positions*MaxDrivers*16-1:0]    all_drives /* verilator public_flat_rd */;
  logic [Positions*MaxVectors*BeatW-1:0] all_data   /* verilator public_flat_rd */;
  memory_row #(
    .Lanes(Lanes), .Streams(Streams), .Positions(Positions), .Drivers(MaxDrivers),
    .Vectors(MaxVectors), .DriverCounts(all_drivers()), .Widths(all_widths()), .IsMem(all_mem()),
    .FirstQueues(target_pkg::FirstQueues), .Queues(Queues), .Slices(Slices),
    .Words(target_pkg::WordsPerSlice), .Depth(target_pkg::QueueDepth), .Beats(Beats),
    .Checks(Checks)
  ) u_row (
    .clk_i(clk_i), .rst_ni(rst_ni), .start_i(start_q), .beat_i(beat), .live_i(live), .en_i(en),
    .now_i(cycle_q[15:0]), .push_i(back_push), .entry_i(entry[TimingW + MemW - 1:0]),
    .regs_i(regs_q), .valid_i(all_valid), .drive_i(all_drives), .data_i(all_data),
    .east_o(all_east), .west_o(all_west), .east_at_o(all_east_at), .west_at_o(all_west_at),
    .east_def_o(all_east_def), .west_def_o(all_west_def), .holds_o(mem_holds),
    .busy_o(mem_busy), .fault_o(mem_fault)
  );

  for (genvar p = 0; p < Positions; p++) begin : gen_position
    localparam int unsigned Kind = 32'(target_pkg::UnitKinds[p*4 +: 4]);
    localparam int unsigned Queue = 32'(target_pkg::FirstQueues[p*16 +: 16]);
    localparam int unsigned Drivers = drivers_of(p);
    localparam int unsigned Width = width_of(p);

    logic [AtW-1:0]             east_at, west_at;
    logic [Streams-1:0]         east_def, west_def;
    logic [Drivers-1:0]         drive_valid;
    logic [Drivers*2-1:0]       drive_dirs;
    logic [Drivers*6-1:0]       drive_stream;
    logic [Drivers*4-1:0]       drive_count;
    logic [Drivers*Width*BeatW-1:0] drive_data;
    logic                       conflict, holds, busy;
    logic [31:0]                unit_fault;

    assign east_at = all_east_at[p*AtW +: AtW];
    assign west_at = all_west_at[p*AtW +: AtW];
    assign east_def = all_east_def[p*Streams +: Streams];
    assign west_def = all_west_def[p*Streams +: Streams];
    logic [Drivers*16-1:0] drives;
    assign all_valid[p*MaxDrivers +: MaxDrivers] = MaxDrivers'(drive_valid);
    always_comb begin
      for (int unsigned d = 0; d < Drivers; d++) begin
        drives[d*16 +: 16] =
            {4'd0, drive_count[d*4 +: 4], drive_stream[d*6 +: 6], drive_dirs[d*2 +: 2]};
      end
    end
`ifdef VERILATOR
    // What nothing drives is not looked at.
    if (Kind != target_pkg::UnitMem) begin : gen_drives
      always_latch begin
        if (drive_valid != '0) begin
          all_drives[p*MaxDrivers*16 +: Drivers*16] = drives;
          all_data[p*MaxVectors*BeatW +: Drivers*Width*BeatW] = drive_data;
        end
      end
    end
`else
    assign all_drives[p*MaxDrivers*16 +: MaxDrivers*16] = (MaxDrivers*16)'(drives);
    assign all_data[p*MaxVectors*BeatW +: MaxVectors*BeatW] = (MaxVectors*BeatW)'(drive_data);
`endif

    if (Checks) begin : gen_drive_check
      drive_checker #(
        .Streams(Streams), .Drivers(Drivers), .Width(Width)
      ) u_drives (
        .drive_valid_i(drive_valid), .drive_dirs_i(drive_dirs), .drive_stream_i(drive_stream),
        .drive_count_i(drive_count), .conflict_o(conflict)
      );
    end else begin : gen_no_drive_check
      assign conflict = 1'b0;
    end
    if (Kind == target_pkg::UnitPort) begin : gen_port
      port_unit #(
        .Lanes(Lanes), .Streams(Streams), .Width(Width),
        .TapeFifoVectors(target_pkg::TapeFifoVectors),
        .TapeBytesPerCycle(target_pkg::TapeBytesPerCycle),
        .KvFifoVectors(target_pkg::KvFifoVectors), .KvBytesPerCycle(target_pkg::KvBytesPerCycle),
        .HostFifoVectors(target_pkg::HostFifoVectors),
        .HostBytesPerCycle(target_pkg::HostBytesPerCycle),
        .MemoryBytesPerCycle(target_pkg::MemoryBytesPerCycle),
        .FreezeDepth(target_pkg::FreezeDepth), .QueueDepth(target_pkg::QueueDepth),
        .Beats(Beats), .Checks(Checks),
        .StreamRows(StreamRows)
      ) u_ports (
        .clk_i(clk_i), .rst_ni(rst_ni), .start_i(start_q), .step_i(step), .grant_i(grant),
        .front_now_i(front_cycle_q[15:0]), .word_i(pop), .push_i(push_set[Queue +: 5]),
        .entry_i(word[pianola_pkg::TimingLsb +: TimingW + PortW]), .totals_i(totals_q),
        .ready_o(port_ready), .filled_o(port_filled), .holds_o(port_holds),
        .front_fault_o(port_front_fault), .beat_i(beat), .live_i(live), .en_i(en),
        .east_i(all_east[p*RowStep +: UnitW]), .west_i(all_west[p*RowStep +: UnitW]),
        .east_at_i(east_at), .west_at_i(west_at),
        .east_def_i(east_def), .west_def_i(west_def), .out_valid_o(drive_valid),
        .out_dirs_o(drive_dirs), .out_stream_o(drive_stream), .out_count_o(drive_count),
        .out_data_o(drive_data), .busy_o(busy), .fault_o(unit_fault),
        .tape_count_i(tape_count_i), .tape_data_i(tape_data_i), .tape_space_o(tape_space_o),
        .kv_count_i(kv_count_i), .kv_data_i(kv_data_i), .kv_space_o(kv_space_o),
        .host_count_i(host_count_i), .host_data_i(host_data_i), .host_space_o(host_space_o),
        .kv_take_i(kv_take_i), .kv_level_o(kv_level_o), .kv_data_o(kv_data_o),
        .host_take_i(host_take_i), .host_level_o(host_level_o), .host_data_o(host_data_o)
      );
      assign holds = port_holds;

    end else if (Kind == target_pkg::UnitVxm) begin : gen_vxm
      logic [Drivers-1:0]    chain_holds, chain_busy;
      logic [Drivers*32-1:0] chain_fault;
      for (genvar c = 0; c < Drivers; c++) begin : gen_chain
        logic            issue, first1, last1, first2, last2, first3, last3;
        logic [VxmW-1:0] instr;
        logic [8:0]      acc_offset;
        logic [19:0]     select_offset;
        logic [31:0]     queue_fault, pass_fault;
        logic [2:0]      count;
        sequencer #(
          .Depth(target_pkg::QueueDepth), .PayloadW(VxmW), .OffsetAW(9),
          .A1Lsb(pianola_pkg::VxmAccS1Lsb), .A1W(pianola_pkg::VxmAccS1W),
          .A2Lsb(pianola_pkg::VxmAccS2Lsb), .A2W(pianola_pkg::VxmAccS2W),
          .A3Lsb(pianola_pkg::VxmAccS3Lsb), .A3W(pianola_pkg::VxmAccS3W), .OffsetBW(20),
          .B1Lsb(pianola_pkg::VxmSelectS1Lsb), .B1W(pianola_pkg::VxmSelectS1W),
          .B2Lsb(pianola_pkg::VxmSelectS2Lsb), .B2W(pianola_pkg::VxmSelectS2W), .Checks(Checks)
        ) u_queue (
          .clk_i(clk_i), .rst_ni(rst_ni), .start_i(start_q), .en_i(en), .now_i(cycle_q[15:0]),
          .push_i(back_push[Queue + c]), .entry_i(entry[TimingW + VxmW - 1:0]), .want_o(),
          .issue_o(issue), .instr_o(instr), .first1_o(first1), .last1_o(last1),
          .first2_o(first2), .last2_o(last2), .first3_o(first3), .last3_o(last3),
          .a_offset_o(acc_offset), .b_offset_o(select_offset), .holds_o(chain_holds[c]),
          .fault_o(queue_fault)
        );
        vxm_chain #(
          .Lanes(Lanes), .Streams(Streams), .Accumulators(target_pkg::VxmAccumulators),
          .Stages(target_pkg::VxmStages), .Beats(Beats), .Checks(Checks),
          .StreamRows(StreamRows)
        ) u_chain (
          .clk_i(clk_i), .rst_ni(rst_ni), .beat_i(beat), .live_i(live), .en_i(en), .start_i(start_q), .issue_i(issue),
          .instr_i(157'(instr)), .first1_i(first1), .last1_i(last1), .first2_i(first2),
          .last2_i(last2), .first3_i(first3), .last3_i(last3), .acc_offset_i(acc_offset),
          .select_offset_i(select_offset), .regs_i(regs_q), .east_i(all_east[p*RowStep +: UnitW]), .west_i(all_west[p*RowStep +: UnitW]),
        .east_at_i(east_at), .west_at_i(west_at),
          .east_def_i(east_def), .west_def_i(west_def), .out_valid_o(drive_valid[c]),
          .out_dirs_o(drive_dirs[c*2 +: 2]), .out_stream_o(drive_stream[c*6 +: 6]),
          .out_count_o(count), .out_data_o(drive_data[c*Width*BeatW +: Width*BeatW]),
          .fault_o(pass_fault), .busy_o(chain_busy[c])
        );
        assign drive_count[c*4 +: 4] = 4'(count);
        assign chain_fault[c*32 +: 32] = queue_fault | pass_fault;
      end
      always_comb begin
        unit_fault = '0;
        for (int unsigned c = 0; c < Drivers; c++) begin
          unit_fault = unit_fault | chain_fault[c*32 +: 32];
        end
      end
      assign holds = |chain_holds;
      assign busy = |chain_busy;

    end else if (Kind == target_pkg::UnitMem) begin : gen_mem
      assign drive_valid = '0;
      assign drive_dirs = '0;
      assign drive_stream = '0;
      assign drive_count = '0;
      assign drive_data = '0;
      assign unit_fault = mem_fault[p*32 +: 32];
      assign holds = 1'b0;
      assign busy = 1'b0;

    end else if (Kind == target_pkg::UnitSxm) begin : gen_sxm
      logic            issue, first1, last1, first2, last2, first3, last3;
      logic [SxmW-1:0] instr;
      logic [13:0]     amount_offset;
      logic [31:0]     queue_fault, move_fault;
      logic [2:0]      count;
      sequencer #(
        .Depth(target_pkg::QueueDepth), .PayloadW(SxmW), .OffsetAW(14),
        .A1Lsb(pianola_pkg::SxmAmountS1Lsb), .A1W(pianola_pkg::SxmAmountS1W), .OffsetBW(1),
        .Checks(Checks)
      ) u_queue (
        .clk_i(clk_i), .rst_ni(rst_ni), .start_i(start_q), .en_i(en), .now_i(cycle_q[15:0]),
        .push_i(back_push[Queue]), .entry_i(entry[TimingW + SxmW - 1:0]), .want_o(),
        .issue_o(issue), .instr_o(instr), .first1_o(first1), .last1_o(last1), .first2_o(first2),
        .last2_o(last2), .first3_o(first3), .last3_o(last3), .a_offset_o(amount_offset),
        .b_offset_o(), .holds_o(holds), .fault_o(queue_fault)
      );
      sxm #(
        .Lanes(Lanes), .Streams(Streams), .Beats(Beats), .Checks(Checks),
        .StreamRows(StreamRows)
      ) u_sxm (
        .clk_i(clk_i), .rst_ni(rst_ni), .beat_i(beat), .live_i(live), .en_i(en), .start_i(start_q), .issue_i(issue),
        .instr_i(157'(instr)), .amount_offset_i(amount_offset), .east_i(all_east[p*RowStep +: UnitW]), .west_i(all_west[p*RowStep +: UnitW]),
        .east_at_i(east_at), .west_at_i(west_at),
        .east_def_i(east_def), .west_def_i(west_def), .out_valid_o(drive_valid),
        .out_dirs_o(drive_dirs), .out_stream_o(drive_stream), .out_count_o(count),
        .out_data_o(drive_data), .fault_o(move_fault), .busy_o(busy)
      );
      assign drive_count = 4'(count);
      assign unit_fault = queue_fault | move_fault;
      logic unused;
      assign unused = &{1'b0, first1, last1, first2, last2, first3, last3};

    end else begin : gen_mxm
      logic             load_issue, mac_issue, mac_first1, mac_first2, mac_last2;
      logic [LoadW-1:0] load_instr;
      logic [MacW-1:0]  mac_instr;
      logic [11:0]      row_offset;
      logic [9:0]       acc_offset;
      logic [31:0]      load_fault, mac_fault, mxm_fault;
      logic [1:0]       queue_holds;
      logic [2:0]       count;
      sequencer #(
        .Depth(target_pkg::QueueDepth), .PayloadW(LoadW), .OffsetAW(12),
        .A1Lsb(pianola_pkg::MxmLoadRowS1Lsb), .A1W(pianola_pkg::MxmLoadRowS1W),
        .A2Lsb(pianola_pkg::MxmLoadRowS2Lsb), .A2W(pianola_pkg::MxmLoadRowS2W),
        .A3Lsb(pianola_pkg::MxmLoadRowS3Lsb), .A3W(pianola_pkg::MxmLoadRowS3W), .OffsetBW(1),
        .Checks(Checks)
      ) u_load_queue (
        .clk_i(clk_i), .rst_ni(rst_ni), .start_i(start_q), .en_i(en), .now_i(cycle_q[15:0]),
        .push_i(back_push[Queue]), .entry_i(entry[TimingW + LoadW - 1:0]), .want_o(),
        .issue_o(load_issue), .instr_o(load_instr), .first1_o(), .last1_o(), .first2_o(),
        .last2_o(), .first3_o(), .last3_o(), .a_offset_o(row_offset), .b_offset_o(),
        .holds_o(queue_holds[0]), .fault_o(load_fault)
      );
      sequencer #(
        .Depth(target_pkg::QueueDepth), .PayloadW(MacW), .OffsetAW(10),
        .A1Lsb(pianola_pkg::MxmMacAccS1Lsb), .A1W(pianola_pkg::MxmMacAccS1W),
        .A2Lsb(pianola_pkg::MxmMacAccS2Lsb), .A2W(pianola_pkg::MxmMacAccS2W),
        .A3Lsb(pianola_pkg::MxmMacAccS3Lsb), .A3W(pianola_pkg::MxmMacAccS3W), .OffsetBW(1),
        .Checks(Checks)
      ) u_mac_queue (
        .clk_i(clk_i), .rst_ni(rst_ni), .start_i(start_q), .en_i(en), .now_i(cycle_q[15:0]),
        .push_i(back_push[Queue + 1]), .entry_i(entry[TimingW + MacW - 1:0]), .want_o(),
        .issue_o(mac_issue), .instr_o(mac_instr), .first1_o(mac_first1), .last1_o(),
        .first2_o(mac_first2), .last2_o(mac_last2), .first3_o(), .last3_o(),
        .a_offset_o(acc_offset), .b_offset_o(), .holds_o(queue_holds[1]), .fault_o(mac_fault)
      );
      mxm #(
        .Lanes(Lanes), .Streams(Streams), .LoadStreams(target_pkg::MxmLoadStreams),
        .Accumulators(target_pkg::MxmAccumulators), .Beats(Beats), .Checks(Checks),
        .StreamRows(StreamRows)
      ) u_mxm (
        .clk_i(clk_i), .rst_ni(rst_ni), .beat_i(beat), .live_i(live), .en_i(en), .start_i(start_q),
        .load_issue_i(load_issue), .load_instr_i(157'(load_instr)), .row_offset_i(row_offset),
        .mac_issue_i(mac_issue), .mac_instr_i(157'(mac_instr)), .mac_first1_i(mac_first1),
        .mac_first2_i(mac_first2), .mac_last2_i(mac_last2), .acc_offset_i(acc_offset),
        .east_i(all_east[p*RowStep +: UnitW]), .west_i(all_west[p*RowStep +: UnitW]),
        .east_at_i(east_at), .west_at_i(west_at), .east_def_i(east_def), .west_def_i(west_def),
        .out_valid_o(drive_valid), .out_dirs_o(drive_dirs), .out_stream_o(drive_stream),
        .out_count_o(count), .out_data_o(drive_data), .fault_o(mxm_fault), .busy_o(busy)
      );
      assign drive_count = 4'(count);
      assign unit_fault = load_fault | mac_fault | mxm_fault;
      assign holds = |queue_holds;
    end

    assign position_holds[p] = holds;
    assign position_busy[p] = busy;
    assign fault_o[p*32 +: 32] =
        unit_fault | (32'(conflict && en) << pianola_pkg::RuleStreamConflict);
  end

  // -- Faults of the front, and the one at the end -----------------------------------------------
  logic word_rate_fault, mask_fault, unused_fault;
  if (Checks) begin : gen_checks
    rate_checker #(
      .BytesMax(target_pkg::InstructionFifoWords * 32),
      .BytesPerCycle(target_pkg::InstructionBytesPerCycle)
    ) u_word_rate (
      .clk_i(clk_i), .rst_ni(rst_ni), .start_i(start_q), .en_i(grant),
      .take_bytes_i(pop ? 16'd32 : 16'd0), .fault_o(word_rate_fault)
    );
    // Only the queues of MEM slices may be addressed together, and within their position.
    always_comb begin
      mask_fault = 1'b0;
      if (push && (word[pianola_pkg::HeaderMaskLsb +: 8] != 8'd1)) begin
        for (int unsigned i = 0; i < 8; i++) begin
          if (word[pianola_pkg::HeaderMaskLsb + i]) begin
            mask_fault = mask_fault || !is_mem_queue(
                32'(word[pianola_pkg::HeaderQueueLsb +: 10]) + i);
          end
        end
      end
    end
    // Bits that mean nothing to the queue of a word are zero.
    always_comb begin
      unused_fault = 1'b0;
      if (pop) begin
        unused_fault = (word >> bits_used(word[pianola_pkg::HeaderKindLsb +: 3],
                                          32'(word[pianola_pkg::HeaderQueueLsb +: 10]))) != '0;
      end
    end
  end else begin : gen_no_checks
    assign word_rate_fault = 1'b0;
    assign mask_fault = 1'b0;
    assign unused_fault = 1'b0;
  end

  function automatic logic [8:0] bits_used(input logic [2:0] kind, input logic [31:0] queue);
    bits_used = 9'(pianola_pkg::TimingLsb);
    if (kind == pianola_pkg::WordKindNop) begin
      bits_used = 9'(pianola_pkg::NopCountLsb + pianola_pkg::NopCountW);
    end
    if ((kind == pianola_pkg::WordKindPush) && (queue < Queues)) begin
      case (32'(target_pkg::QueueKinds[queue*4 +: 4]))
        target_pkg::QueueVxmPass: bits_used = 9'(pianola_pkg::PayloadLsb + VxmW);
        target_pkg::QueueMemRead, target_pkg::QueueMemWrite:
          bits_used = 9'(pianola_pkg::PayloadLsb + MemW);
        target_pkg::QueueSxmMove: bits_used = 9'(pianola_pkg::PayloadLsb + SxmW);
        target_pkg::QueueMxmLoad: bits_used = 9'(pianola_pkg::PayloadLsb + LoadW);
        target_pkg::QueueMxmMac: bits_used = 9'(pianola_pkg::PayloadLsb + MacW);
        target_pkg::QueueKvSend, target_pkg::QueueHostSend:
          bits_used = 9'(pianola_pkg::PayloadLsb + pianola_pkg::PortSendPayloadW);
        default: bits_used = 9'(pianola_pkg::PayloadLsb + PortW);
      endcase
    end
  endfunction

  function automatic logic is_mem_queue(input logic [31:0] queue);
    is_mem_queue = 1'b0;
    if (queue < Queues) begin
      is_mem_queue =
          (32'(target_pkg::QueueKinds[queue*4 +: 4]) == target_pkg::QueueMemRead) ||
          (32'(target_pkg::QueueKinds[queue*4 +: 4]) == target_pkg::QueueMemWrite);
    end
  endfunction

  always_comb begin
    end_fault = '0;
    end_fault[pianola_pkg::RuleEndBusy] = ended_q &&
        ((|position_holds) || (|position_busy) || mem_holds || mem_busy);
    front_fault = dispatch_fault | port_front_fault;
    if (word_rate_fault) front_fault[pianola_pkg::RulePortRate] = 1'b1;
    if (mask_fault || unused_fault) front_fault[pianola_pkg::RuleIllegalEncoding] = 1'b1;
  end
  assign fault_o[Positions*32 +: 32] = front_fault | end_fault;
  assign fault_any_o = |fault_o;

endmodule

`default_nettype wire
