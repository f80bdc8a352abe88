// One slice of MEM: words of Lanes bytes in two single-port banks, a read port and a write port.
//
// Legal issue: one read (READ, GATHER) and one write (WRITE, WRITE_LANE) per cycle, in different
// banks. An access that issues in cycle t reaches its bank in t + 1; a read drives in t + 2
// (mem_read), a read in t + 1 or later sees the write of t (mem_write): both ports have the same
// stage, so order is kept. Slice k of a position uses stream (stream + k) mod Streams, but all take
// `stream` in a WRITE with rows: it reaches the bank of the slices whose number, modulo 2^rows, is
// that of the row, and of the others only takes the cycle.
`default_nettype none

module mem_slice #(
  parameter int unsigned Lanes = 16,
  parameter int unsigned Streams = 16,
  parameter int unsigned Words = 4096,
  parameter int unsigned Slice = 0,     // number of the slice in its position
  parameter int unsigned Beats = 1,     // clock edges per machine cycle
  parameter bit          Checks = 1'b1,
  localparam int unsigned V = Lanes * 8,
  localparam int unsigned BeatW = V / Beats,
  localparam int unsigned BeatCountW = (Beats > 1) ? $clog2(Beats) : 1
) (
  input  wire logic                clk_i,
  input  wire logic                rst_ni,
  input  wire logic                start_i,
  input  wire logic [BeatCountW-1:0] beat_i,
  input  wire logic                live_i,
  input  wire logic                en_i,
  input  wire logic                read_issue_i,
  input  wire logic [156:0]        read_instr_i,
  input  wire logic [19:0]         read_offset_i,
  input  wire logic                write_issue_i,
  input  wire logic [156:0]        write_instr_i,
  input  wire logic [19:0]         write_offset_i,
  input  wire logic [8:0]          write_lane_offset_i,
  input  wire logic [32*32-1:0]    regs_i,
  input  wire logic [Streams*BeatW-1:0] east_i,  // of this beat
  input  wire logic [Streams*BeatW-1:0] west_i,
  input  wire logic [Streams-1:0]  east_def_i,
  input  wire logic [Streams-1:0]  west_def_i,
  output logic                     out_valid_o,
  output logic [1:0]               out_dirs_o,
  output logic [5:0]               out_stream_o,
  output logic [BeatW-1:0]         out_data_o,
  output logic                     busy_o,
  output logic [31:0]              fault_o
);

  localparam int unsigned AddressW = $clog2(Words);
  localparam int unsigned BankWords = Words / 2;
  localparam int unsigned BankW = (BankWords > 1) ? $clog2(BankWords) : 1;
  localparam int unsigned StreamW = $clog2(Streams);
  localparam int unsigned ReadDelay = pianola_pkg::latency_mem_read(Lanes);
  localparam int unsigned WriteDelay = pianola_pkg::latency_mem_write(Lanes);

  if (ReadDelay < 2) begin : gen_read_latency_too_small
    $error("mem_slice: mem_read must be at least 2");
  end
  if (WriteDelay != 1) begin : gen_write_latency_other
    $error("mem_slice: mem_write must be 1");
  end

  // Sums are 32 bits and wrap, as launch registers do; addresses out of range are faults, so a
  // machine without checks needs only AddressW of them, and of a row those of 2^3 slices.
  localparam int unsigned SumW = Checks ? 32 : AddressW + 3;
  localparam int unsigned LaneW = Checks ? 32 : $clog2(Lanes) + 2;  // lanes to twice Lanes

  // Read port, cycle t: address.
  logic                read_valid_q, read_dir_q, read_bank_q;
  logic [BankW-1:0]    read_address_q;
  logic [5:0]          read_stream_q;
  logic                read_range_fault, read_undefined_fault, read_illegal_fault;
  logic                read_bank;
  logic [SumW-1:0]     read_sum;
  logic [15:0]         gather_index;
  logic [StreamW-2:0]  gather_pair;
  assign gather_pair = read_instr_i[pianola_pkg::MemIndexStreamLsb + 1 +: StreamW - 1];

  function automatic logic [5:0] slice_stream(input logic [5:0] stream);
    slice_stream = 6'(StreamW'(stream + 6'(Slice)));
  endfunction

  // The sum of an access: field, steps and launch register.
  function automatic logic [SumW-1:0] sum_address(
      input logic [15:0] address, input logic [19:0] offset, input logic [31:0] register);
    sum_address = SumW'(address) + SumW'($signed(offset)) + SumW'(register);
  endfunction

  // The index is in lane 0, which passes in beat 0.
  function automatic logic [15:0] find_index(input logic west);
    find_index = !west ?
        {east_i[32'({gather_pair, 1'b1})*BeatW +: 8], east_i[32'({gather_pair, 1'b0})*BeatW +: 8]} :
        {west_i[32'({gather_pair, 1'b1})*BeatW +: 8], west_i[32'({gather_pair, 1'b0})*BeatW +: 8]};
  endfunction
  logic [15:0] index_q;
  if (Beats > 1) begin : gen_index
    always_ff @(posedge clk_i) begin
      if (live_i && (beat_i == '0)) index_q <= find_index(read_instr_i[pianola_pkg::MemIndexDirLsb]);
    end
  end else begin : gen_no_index
    assign index_q = '0;
  end

  always_comb begin
    read_sum = '0;
    gather_index = '0;
    read_range_fault = 1'b0;
    read_illegal_fault = 1'b0;
    read_undefined_fault = 1'b0;
    if (read_issue_i) begin
      read_sum = sum_address(
          read_instr_i[pianola_pkg::MemAddressLsb +: pianola_pkg::MemAddressW], read_offset_i,
          regs_i[{read_instr_i[pianola_pkg::MemRegLsb +: pianola_pkg::MemRegW], 5'd0} +: 32]);
      if (read_instr_i[pianola_pkg::MemOpLsb +: 2] == pianola_pkg::MemOpGather) begin
        gather_index = (Beats > 1) ? index_q : find_index(read_instr_i[pianola_pkg::MemIndexDirLsb]);
        if (read_instr_i[pianola_pkg::MemIndexDirLsb] == pianola_pkg::DirectionEast) begin
          read_undefined_fault = !east_def_i[{gather_pair, 1'b0}] ||
                                 !east_def_i[{gather_pair, 1'b1}];
        end else begin
          read_undefined_fault = !west_def_i[{gather_pair, 1'b0}] ||
                                 !west_def_i[{gather_pair, 1'b1}];
        end
        if (gather_index > read_instr_i[pianola_pkg::MemLimitLsb +: 16]) begin
          gather_index = read_instr_i[pianola_pkg::MemLimitLsb +: 16];
        end
        read_sum = read_sum + SumW'(gather_index);
        // The index is a pair of streams.
        read_illegal_fault = read_instr_i[pianola_pkg::MemIndexStreamLsb] ||
            (32'(read_instr_i[pianola_pkg::MemIndexStreamLsb +: 6]) >= Streams);
      end
      read_illegal_fault = read_illegal_fault || read_instr_i[pianola_pkg::MemOpLsb] ||
          (32'(read_instr_i[pianola_pkg::MemStreamLsb +: 6]) >= Streams);
      read_range_fault = 32'(read_sum) >= Words;
    end
  end
  assign read_bank = read_sum[AddressW-1:0] >= AddressW'(BankWords);

  // Write port, cycle t: address, lane, data. The write of a row of another slice is valid, which
  // keeps the slice busy, but not here.
  logic                write_valid_q, write_here_q, write_bank_q;
  logic [BankW-1:0]    write_address_q;
  logic [Lanes-1:0]    write_enable_q;
  logic [V-1:0]        write_data_q;
  logic                write_range_fault, write_undefined_fault, write_illegal_fault;
  logic                write_bank, write_one_lane, write_here;
  logic [SumW-1:0]     write_sum;
  logic [LaneW-1:0]    lane;
  logic [pianola_pkg::MemRowsW-1:0] rows;
  logic [StreamW-1:0]  write_stream;

  /* verilator lint_off UNUSEDSIGNAL */  // three fields of it
  function automatic logic [StreamW-1:0] find_write_stream(input logic [156:0] instr);
    /* verilator lint_on UNUSEDSIGNAL */
    find_write_stream =
        ((instr[pianola_pkg::MemOpLsb +: 2] == pianola_pkg::MemOpWrite) &&
         (instr[pianola_pkg::MemRowsLsb +: pianola_pkg::MemRowsW] != '0)) ?
        StreamW'(instr[pianola_pkg::MemStreamLsb +: 6]) :
        StreamW'(slice_stream(instr[pianola_pkg::MemStreamLsb +: 6]));
  endfunction

  always_comb begin
    write_sum = '0;
    write_range_fault = 1'b0;
    write_illegal_fault = 1'b0;
    write_undefined_fault = 1'b0;
    write_one_lane = 1'b0;
    write_here = 1'b1;
    write_stream = '0;
    lane = '0;
    rows = '0;
    if (write_issue_i) begin
      if (write_instr_i[pianola_pkg::MemOpLsb +: 2] == pianola_pkg::MemOpWrite) begin
        rows = write_instr_i[pianola_pkg::MemRowsLsb +: pianola_pkg::MemRowsW];
      end
      write_sum = sum_address(
          (rows != '0) ?
          16'(write_instr_i[pianola_pkg::MemRowLsb +: pianola_pkg::MemRowW]) :
          write_instr_i[pianola_pkg::MemAddressLsb +: pianola_pkg::MemAddressW], write_offset_i,
          regs_i[{write_instr_i[pianola_pkg::MemRegLsb +: pianola_pkg::MemRegW], 5'd0} +: 32]);
      write_range_fault = (rows != '0) && write_sum[SumW-1];
      if (rows != '0) begin
        write_here = ((write_sum[2:0] ^ 3'(Slice)) & ~(3'b111 << rows)) == '0;
        write_sum = (write_sum >> rows) +
            SumW'(write_instr_i[pianola_pkg::MemAddressLsb +: pianola_pkg::MemAddressW]);
      end else if (write_instr_i[pianola_pkg::MemOpLsb +: 2] == pianola_pkg::MemOpWriteLane) begin
        write_one_lane = 1'b1;
        lane = LaneW'(regs_i[{write_instr_i[pianola_pkg::MemLaneRegLsb +: 5], 5'd0} +: 32]) +
               LaneW'(write_instr_i[pianola_pkg::MemLaneLsb +: 9]) + LaneW'(write_lane_offset_i);
        if (lane >= LaneW'(Lanes)) begin
          lane = lane - LaneW'(Lanes);
          write_sum = write_sum + 1'b1;
        end
      end
      write_stream = find_write_stream(write_instr_i);
      write_undefined_fault =
          (write_instr_i[pianola_pkg::MemDirLsb] == pianola_pkg::DirectionEast) ?
          !east_def_i[write_stream] : !west_def_i[write_stream];
      write_illegal_fault = !write_instr_i[pianola_pkg::MemOpLsb] ||
          (32'(write_instr_i[pianola_pkg::MemStreamLsb +: 6]) >= Streams) ||
          ((rows == '0) &&
           (write_instr_i[pianola_pkg::MemRowLsb +: pianola_pkg::MemRowW] != '0));
      write_range_fault = write_range_fault || (32'(write_sum) >= Words) ||
          (lane >= LaneW'(Lanes));
    end
  end
  assign write_bank = write_sum[AddressW-1:0] >= AddressW'(BankWords);

  always_ff @(posedge clk_i) begin
    if (!rst_ni || start_i) begin
      read_valid_q <= 1'b0;
      write_valid_q <= 1'b0;
    end else if (en_i) begin
      read_valid_q <= read_issue_i;
      write_valid_q <= write_issue_i;
    end
  end

  always_ff @(posedge clk_i) begin
    if (read_issue_i) begin
      read_bank_q <= read_bank;
      read_address_q <= BankW'(read_sum[AddressW-1:0] - (read_bank ? AddressW'(BankWords) : '0));
      read_dir_q <= read_instr_i[pianola_pkg::MemDirLsb];
      read_stream_q <= slice_stream(read_instr_i[pianola_pkg::MemStreamLsb +: 6]);
    end
    if (write_issue_i) begin
      write_here_q <= write_here;
      write_bank_q <= write_bank;
      write_address_q <= BankW'(write_sum[AddressW-1:0] - (write_bank ? AddressW'(BankWords) : '0));
      write_enable_q <= write_one_lane ? (Lanes'(1) << lane) : '1;
    end
  end

  // The data: of the cycle of issue, or with several beats of the last machine cycle, beat by beat.
  logic write_beat;
  if (Beats > 1) begin : gen_write_beats
    wire logic [StreamW-1:0] stream = find_write_stream(write_instr_i);
    wire logic [BeatW-1:0] taken =
        (write_instr_i[pianola_pkg::MemDirLsb] == pianola_pkg::DirectionEast) ?
        east_i[32'(stream)*BeatW +: BeatW] : west_i[32'(stream)*BeatW +: BeatW];
    always_ff @(posedge clk_i) begin
      if (live_i) write_data_q <= V'({taken, write_data_q} >> BeatW);
    end
    assign write_beat = live_i && (beat_i == '0);
  end else begin : gen_write_whole
    always_ff @(posedge clk_i) begin
      if (write_issue_i) begin
        if (write_instr_i[pianola_pkg::MemDirLsb] == pianola_pkg::DirectionEast) begin
          write_data_q <= V'(east_i[32'(write_stream)*BeatW +: BeatW]);
        end else begin
          write_data_q <= V'(west_i[32'(write_stream)*BeatW +: BeatW]);
        end
      end
    end
    assign write_beat = en_i;
    logic unused_beat;
    assign unused_beat = &{1'b0, live_i, beat_i};
  end

  // Cycle t + 1: the banks. A bank serves a read or a write. With several beats writes are done in
  // the first one, when their data is whole, and reads in the last, so that it stays for a cycle.
  logic         read0, read1, write0, write1;
  logic [V-1:0] data0, data1;
  assign read0 = en_i && read_valid_q && !read_bank_q;
  assign read1 = en_i && read_valid_q && read_bank_q;
  assign write0 = write_beat && write_valid_q && write_here_q && !write_bank_q;
  assign write1 = write_beat && write_valid_q && write_here_q && write_bank_q;

  ram_1rw #(.Words(BankWords), .Bytes(Lanes)) u_bank0 (
    .clk_i    (clk_i),
    .re_i     (read0),
    .we_i     (write0),
    .address_i(write0 ? write_address_q : read_address_q),
    .be_i     (write_enable_q),
    .wdata_i  (write_data_q),
    .rdata_o  (data0)
  );
  ram_1rw #(.Words(BankWords), .Bytes(Lanes)) u_bank1 (
    .clk_i    (clk_i),
    .re_i     (read1),
    .we_i     (write1),
    .address_i(write1 ? write_address_q : read_address_q),
    .be_i     (write_enable_q),
    .wdata_i  (write_data_q),
    .rdata_o  (data1)
  );

  // Cycle t + 2: drive.
  logic       drive_valid_q, drive_bank_q, drive_dir_q;
  logic [5:0] drive_stream_q;
  always_ff @(posedge clk_i) begin
    if (!rst_ni || start_i) begin
      drive_valid_q <= 1'b0;
    end else if (en_i) begin
      drive_valid_q <= read_valid_q;
    end
  end
  always_ff @(posedge clk_i) begin
    if (en_i && read_valid_q) begin
      drive_bank_q <= read_bank_q;
      drive_dir_q <= read_dir_q;
      drive_stream_q <= read_stream_q;
    end
  end

  logic         late_busy;
  logic [V-1:0] out_vector;
  assign out_data_o = out_vector[32'(beat_i)*BeatW +: BeatW];
  if (ReadDelay == 2) begin : gen_direct
    assign out_valid_o = drive_valid_q;
    assign out_dirs_o = {drive_dir_q, !drive_dir_q};
    assign out_stream_o = drive_stream_q;
    assign out_vector = drive_bank_q ? data1 : data0;
    assign late_busy = 1'b0;
  end else begin : gen_later
    delay_line #(.Width(V + 8), .Depth(ReadDelay - 2)) u_delay (
      .clk_i  (clk_i),
      .rst_ni (rst_ni),
      .clear_i(start_i),
      .en_i   (en_i),
      .valid_i(drive_valid_q),
      .data_i ({drive_dir_q, !drive_dir_q, drive_stream_q, drive_bank_q ? data1 : data0}),
      .valid_o(out_valid_o),
      .data_o ({out_dirs_o, out_stream_o, out_vector}),
      .busy_o (late_busy)
    );
  end
  assign busy_o = read_valid_q || write_valid_q || drive_valid_q || late_busy;

  // Faults: those of the two addresses and, with Checks, words that nothing has written.
  logic undefined_word;
  if (Checks) begin : gen_checks
    logic written [0:2*(2**BankW)-1]  /* verilator public_flat_rd */;
    always_ff @(posedge clk_i) begin
      if (write0 || write1) written[{write_bank_q, write_address_q}] <= 1'b1;
    end
    assign undefined_word = en_i && read_valid_q && !written[{read_bank_q, read_address_q}];
  end else begin : gen_no_checks
    assign undefined_word = 1'b0;
  end

  always_comb begin
    fault_o = '0;
    if (read_issue_i || write_issue_i || undefined_word) begin
      fault_o[pianola_pkg::RuleBankConflict] =
          read_issue_i && write_issue_i && (read_bank == write_bank);
      // With mem_write at 1, the writes that a read may not yet see are those of its own cycle.
      fault_o[pianola_pkg::RuleMemoryHazard] =
          read_issue_i && write_issue_i && write_here && (read_sum == write_sum);
      fault_o[pianola_pkg::RuleAddressRange] = read_range_fault || write_range_fault;
      fault_o[pianola_pkg::RuleStreamUndefined] = read_undefined_fault || write_undefined_fault;
      fault_o[pianola_pkg::RuleIllegalEncoding] = read_illegal_fault || write_illegal_fault;
      fault_o[pianola_pkg::RuleMemoryUndefined] = undefined_word;
    end
  end

endmodule

`default_nettype wire
