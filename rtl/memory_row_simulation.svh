// Simulation form of memory_row: one process over the state of all MEM positions and streams.
//
// Nothing moves. A value stays in the row of the store in which it was driven, and the rows change
// positions: east, the row of position p is p - now, west p + now. A unit's drive goes into the plane of its
// stream that nobody reads in this cycle, so units may be evaluated in any order. A word that is
// read goes from its bank to the store when it is driven: a write that it must not see would be one to
// the same word in the cycle of the read, which a rule forbids.
//
// Only queues with something to do are looked at. `agenda` has a set of queues per position for each of
// the next 64 cycles, those whose time may come then.
//
// All state but what units read belongs to this process and is assigned at once. Loops end at a
// variable, so that Verilator keeps them, and arrays have a power of two of elements, so that it checks no index.

  if (pianola_pkg::latency_mem_read(Lanes) != 2) begin : gen_read_latency_other
    $error("memory_row: mem_read must be 2");
  end
  if (pianola_pkg::latency_mem_write(Lanes) != 1) begin : gen_write_latency_other
    $error("memory_row: mem_write must be 1");
  end

  function automatic int unsigned count_mems();
    count_mems = 0;
    for (int unsigned i = 0; i < Positions; i++) count_mems = count_mems + 32'(IsMem[i]);
  endfunction

  localparam int unsigned Mems = count_mems();
  localparam int unsigned Units = Positions - Mems;
  localparam int unsigned MemW = (Mems > 1) ? $clog2(Mems) : 1;
  localparam int unsigned UnitW = (Units > 1) ? $clog2(Units) : 1;
  localparam int unsigned Own = 2 * Slices;  // queues of a position
  localparam int unsigned OwnW = $clog2(Own);
  localparam int unsigned QueueW = MemW + OwnW;
  localparam int unsigned NumberW = $clog2(Queues);
  localparam int unsigned QueuePitch = 1 << QueueW;
  localparam int unsigned DepthW = (Depth > 1) ? $clog2(Depth) : 1;
  localparam int unsigned StoredW = $clog2(Depth + 1);
  localparam int unsigned StreamW = $clog2(Streams);
  localparam int unsigned PitchW = $clog2(V);
  localparam int unsigned Rows = 1 << RowW;
  localparam int unsigned SliceW = (Slices > 1) ? $clog2(Slices) : 1;
  localparam int unsigned AddressW = $clog2(Words);
  localparam int unsigned BankWords = Words / 2;
  localparam int unsigned BankW = (BankWords > 1) ? $clog2(BankWords) : 1;
  localparam int unsigned BanksW = MemW + SliceW + 1 + BankW;
  localparam int unsigned AgendaW = 6;

  localparam int unsigned Base = pianola_pkg::TimingLsb;
  localparam int unsigned StartLsb = pianola_pkg::TimingStartLsb - Base;
  localparam int unsigned N1Lsb = pianola_pkg::TimingN1Lsb - Base;
  localparam int unsigned P1Lsb = pianola_pkg::TimingP1Lsb - Base;
  localparam int unsigned N2Lsb = pianola_pkg::TimingN2Lsb - Base;
  localparam int unsigned P2Lsb = pianola_pkg::TimingP2Lsb - Base;
  localparam int unsigned N3Lsb = pianola_pkg::TimingN3Lsb - Base;
  localparam int unsigned P3Lsb = pianola_pkg::TimingP3Lsb - Base;
  localparam int unsigned Pay = pianola_pkg::TimingW;  // first bit of the payload in an entry

  // Positions of MEM, west to east, and their first queues; the others.
  logic [7:0]  mem_position  [0:(1<<MemW)-1];
  logic [NumberW-1:0] mem_queue [0:(1<<MemW)-1];
  logic [7:0]  unit_position [0:(1<<UnitW)-1];
  logic [7:0]  unit_width    [0:(1<<UnitW)-1];
  initial begin
    int unsigned mem, unit;
    mem = 0;
    unit = 0;
    for (int unsigned i = 0; i < Positions; i++) begin
      if (IsMem[i]) begin
        mem_position[mem[MemW-1:0]] = 8'(i);
        mem_queue[mem[MemW-1:0]] = NumberW'(FirstQueues[i*16 +: 16]);
        mem = mem + 1;
      end else begin
        unit_position[unit[UnitW-1:0]] = 8'(i);
        unit_width[unit[UnitW-1:0]] = Widths[i*8 +: 8];
        unit = unit + 1;
      end
    end
  end

  // The queues, as sequencer.sv; number {MEM position, queue}.
  logic [EntryW-1:0]   queue_mem [0:(1<<(QueueW+DepthW))-1] /* verilator public_flat_rd */;
  logic [EntryW-1:0]   queue_current [0:QueuePitch-1]       /* verilator public_flat_rd */;
  logic [15:0]         queue_time1 [0:QueuePitch-1]         /* verilator public_flat_rd */;
  logic                queue_live [0:QueuePitch-1]          /* verilator public_flat_rd */;
  logic [15:0]         queue_time2 [0:QueuePitch-1];
  logic [15:0]         queue_time3 [0:QueuePitch-1];
  logic [pianola_pkg::TimingN1W-1:0] queue_index1 [0:QueuePitch-1];
  logic [pianola_pkg::TimingN2W-1:0] queue_index2 [0:QueuePitch-1];
  logic [pianola_pkg::TimingN3W-1:0] queue_index3 [0:QueuePitch-1];
  logic [DepthW-1:0]   queue_read [0:QueuePitch-1];
  logic [DepthW-1:0]   queue_write [0:QueuePitch-1];
  logic [StoredW-1:0]  queue_stored [0:QueuePitch-1];
  logic [19:0]         queue_offset1 [0:QueuePitch-1];
  logic [19:0]         queue_offset2 [0:QueuePitch-1];
  logic [19:0]         queue_offset3 [0:QueuePitch-1];
  logic [8:0]          queue_lane [0:QueuePitch-1];  // offset of the lane, of level 1
  logic [Own-1:0]      agenda [0:(1<<(AgendaW+MemW))-1];
  logic [31:0]         holding;                      // queues that hold an instruction

  // Banks 0 and 1 of slice 0, of slice 1, ..., each at a power of two, and which words are written.
  logic [V-1:0]        banks [0:(1<<BanksW)-1]   /* verilator public_flat_rd */;
  logic                written [0:(1<<BanksW)-1] /* verilator public_flat_rd */;

  // Reads of four cycles by their number modulo 4, and writes of two: a read looks at `written` one cycle
  // after it issued and drives in the next, a write reaches its bank one cycle later.
  logic [31:0]         read_count [0:3]                 /* verilator public_flat_rd */;
  logic [31:0]         read_at [0:4*QueuePitch-1]       /* verilator public_flat_rd */;
  logic [15:0]         read_to [0:4*QueuePitch-1]       /* verilator public_flat_rd */;  // {position, stream, dirs}
  logic [31:0]         write_count [0:1];
  logic [31:0]         write_at [0:2*QueuePitch-1];
  logic [8:0]          write_lane [0:2*QueuePitch-1];   // all ones: all lanes
  logic [V-1:0]        write_data [0:2*QueuePitch-1];

  // The store of vectors at {row, stream, plane}, which planes are read, and what is defined.
  logic [StoreW-1:0]   east_q /* verilator public_flat_rd */;
  logic [StoreW-1:0]   west_q /* verilator public_flat_rd */;
  logic [Streams-1:0]  east_plane [0:Rows-1]   /* verilator public_flat_rd */;
  logic [Streams-1:0]  west_plane [0:Rows-1]   /* verilator public_flat_rd */;
  logic [Streams-1:0]  east_defined [0:Rows-1] /* verilator public_flat_rd */;
  logic [Streams-1:0]  west_defined [0:Rows-1] /* verilator public_flat_rd */;

  /* verilator lint_off BLKSEQ */        // one process, and temporaries of it
  /* verilator lint_off UNUSEDSIGNAL */  // of an entry every part has its reader, of sums some bits
  logic [31:0]         mems, owns, units, drivers, m, u, q, d, w, i, p, n, width, driver, from;
  logic [31:0]         sum, lane, place;
  logic [31:0]         read_sum [0:(1<<SliceW)-1];
  logic [Own-1:0]      look, push;
  logic [Slices-1:0]   reads;
  logic [QueueW-1:0]   queue;
  logic [EntryW-1:0]   entry;
  logic                pushes, last1, last2, last3, finish, here, one_lane, accesses, faulty;
  logic [15:0]         index, drive;
  logic [2:0]          rows;
  logic [RowW-1:0]     row;
  logic [StreamW-1:0]  stream;
  logic [19:0]         step;
  logic [1:0]          now2;
  logic [Streams-1:0]  driven_east, driven_west;

  // Where a stream of a position is read in this cycle.
  function automatic logic [31:0] place_of(input logic west, input logic [31:0] position,
                                           input logic [StreamW-1:0] number);
    logic [RowW-1:0] at;
    at = west ? RowW'(position) + RowW'(now_i) : RowW'(position) - RowW'(now_i);
    place_of = 32'({at, number, west ? west_plane[at][number] : east_plane[at][number], PitchW'(0)});
  endfunction
  function automatic logic is_defined(input logic west, input logic [31:0] position,
                                      input logic [StreamW-1:0] number);
    logic [RowW-1:0] at;
    at = west ? RowW'(position) + RowW'(now_i) : RowW'(position) - RowW'(now_i);
    is_defined = west ? west_defined[at][number] : east_defined[at][number];
  endfunction

  function automatic logic [31:0] word_of(input logic [31:0] mem, input logic [31:0] slice,
                                          input logic [31:0] address);
    logic [31:0] in_slice;
    in_slice = address & ((32'd1 << AddressW) - 32'd1);
    word_of = ((mem * Slices + slice) << (BankW + 1)) + ((in_slice >= BankWords) ?
        (32'd1 << BankW) + ((in_slice - BankWords) & ((32'd1 << BankW) - 32'd1)) : in_slice);
  endfunction
  function automatic logic bank_of(input logic [31:0] address);
    bank_of = (address & ((32'd1 << AddressW) - 32'd1)) >= BankWords;
  endfunction

  // Levels must nest, and unused levels have no period.
  function automatic logic is_illegal(input logic [EntryW-1:0] timing);
    logic [31:0] n1, p1, n2, p2, n3, p3;
    n1 = 32'(timing[N1Lsb +: pianola_pkg::TimingN1W]);
    p1 = 32'(timing[P1Lsb +: pianola_pkg::TimingP1W]);
    n2 = 32'(timing[N2Lsb +: pianola_pkg::TimingN2W]);
    p2 = 32'(timing[P2Lsb +: pianola_pkg::TimingP2W]);
    n3 = 32'(timing[N3Lsb +: pianola_pkg::TimingN3W]);
    p3 = 32'(timing[P3Lsb +: pianola_pkg::TimingP3W]);
    is_illegal = ((n1 != '0) ? (p1 == '0) : (p1 != '0)) ||
                 ((n2 != '0) ? (p2 <= n1 * p1) : (p2 != '0)) ||
                 ((n3 != '0) ? (p3 <= n1 * p1 + n2 * p2) : (p3 != '0));
  endfunction

  task automatic raise(input logic [31:0] position, input logic [4:0] rule);
    fault_o[{position[RowW-1:0], rule}] = 1'b1;
    faulty = 1'b1;
  endtask

  always_ff @(posedge clk_i) begin
    if (faulty) fault_o = '0;
    faulty = 1'b0;
    if (!rst_ni || start_i) begin
      fault_o = '0;
      for (int unsigned k = 0; k < QueuePitch; k++) begin
        queue_live[k] = 1'b0;
        queue_stored[k] = '0;
        queue_read[k] = '0;
        queue_write[k] = '0;
      end
      for (int unsigned k = 0; k < (1 << (AgendaW + MemW)); k++) agenda[k] = '0;
      for (int unsigned k = 0; k < 4; k++) read_count[k] = '0;
      for (int unsigned k = 0; k < 2; k++) write_count[k] = '0;
      for (int unsigned k = 0; k < Rows; k++) begin
        east_plane[k] = '0;
        west_plane[k] = '0;
        east_defined[k] = '0;
        west_defined[k] = '0;
      end
      holding = '0;
      holds_o <= 1'b0;
      busy_o <= 1'b0;
    end else if (en_i) begin
      now2 = now_i[1:0];
      read_count[now2] = '0;
      write_count[now_i[0]] = '0;
      accesses = 1'b0;

      // Queues: what issues, then what the queue does next.
      pushes = push_i != '0;
      push = '0;
      mems = Mems;
      owns = Own;
      for (m = 0; m < mems; m = m + 1) begin
        look = agenda[{now_i[AgendaW-1:0], m[MemW-1:0]}];
        if (pushes) begin
          push = push_i[mem_queue[m[MemW-1:0]] +: Own];
          look = look | push;
        end
        if (look != '0) begin
          agenda[{now_i[AgendaW-1:0], m[MemW-1:0]}] = '0;
          p = 32'(mem_position[m[MemW-1:0]]);
          reads = '0;
          for (q = 0; q < owns; q = q + 1) begin
            if (look[q[OwnW-1:0]]) begin
              queue = {m[MemW-1:0], q[OwnW-1:0]};
              finish = 1'b0;
              if (queue_live[queue] && (queue_time1[queue] == now_i)) begin
                entry = queue_current[queue];
                accesses = 1'b1;
                sum = 32'($signed(queue_offset1[queue])) +
                    regs_i[{entry[Pay + pianola_pkg::MemRegLsb +: pianola_pkg::MemRegW], 5'd0} +: 32];
                if (q < Slices) begin
                  // A read.
                  sum = sum + 32'(entry[Pay + pianola_pkg::MemAddressLsb +: pianola_pkg::MemAddressW]);
                  if (entry[Pay + pianola_pkg::MemOpLsb +: 2] == pianola_pkg::MemOpGather) begin
                    // The index is a pair of streams.
                    stream = entry[Pay + pianola_pkg::MemIndexStreamLsb +: StreamW] & ~StreamW'(1);
                    here = entry[Pay + pianola_pkg::MemIndexDirLsb] != pianola_pkg::DirectionEast;
                    if (here) begin
                      index = {west_q[place_of(1'b1, p, stream | StreamW'(1)) +: 8],
                               west_q[place_of(1'b1, p, stream) +: 8]};
                    end else begin
                      index = {east_q[place_of(1'b0, p, stream | StreamW'(1)) +: 8],
                               east_q[place_of(1'b0, p, stream) +: 8]};
                    end
                    if (Checks && !(is_defined(here, p, stream) &&
                                    is_defined(here, p, stream | StreamW'(1)))) begin
                      raise(p, pianola_pkg::RuleStreamUndefined);
                    end
                    if (index > entry[Pay + pianola_pkg::MemLimitLsb +: 16]) begin
                      index = entry[Pay + pianola_pkg::MemLimitLsb +: 16];
                    end
                    sum = sum + 32'(index);
                    if (entry[Pay + pianola_pkg::MemIndexStreamLsb] ||
                        (32'(entry[Pay + pianola_pkg::MemIndexStreamLsb +: 6]) >= Streams)) begin
                      raise(p, pianola_pkg::RuleIllegalEncoding);
                    end
                  end
                  if (entry[Pay + pianola_pkg::MemOpLsb] ||
                      (32'(entry[Pay + pianola_pkg::MemStreamLsb +: 6]) >= Streams)) begin
                    raise(p, pianola_pkg::RuleIllegalEncoding);
                  end
                  if (sum >= Words) raise(p, pianola_pkg::RuleAddressRange);
                  reads[q[SliceW-1:0]] = 1'b1;
                  read_sum[q[SliceW-1:0]] = sum;
                  stream = StreamW'(32'(entry[Pay + pianola_pkg::MemStreamLsb +: 6]) + q);
                  n = read_count[now2];
                  read_at[{now2, n[QueueW-1:0]}] = word_of(m, q, sum);
                  read_to[{now2, n[QueueW-1:0]}] = {p[7:0], 6'(stream),
                      entry[Pay + pianola_pkg::MemDirLsb], !entry[Pay + pianola_pkg::MemDirLsb]};
                  read_count[now2] = n + 32'd1;
                end else begin
                  // A write.
                  w = q - Slices;
                  rows = '0;
                  if (entry[Pay + pianola_pkg::MemOpLsb +: 2] == pianola_pkg::MemOpWrite) begin
                    rows = 3'(entry[Pay + pianola_pkg::MemRowsLsb +: pianola_pkg::MemRowsW]);
                  end
                  stream = StreamW'(entry[Pay + pianola_pkg::MemStreamLsb +: 6]);
                  here = 1'b1;
                  one_lane = 1'b0;
                  lane = '0;
                  if (rows != '0) begin
                    // All slices take the same stream, the one that the row belongs to keeps it.
                    sum = sum + 32'(entry[Pay + pianola_pkg::MemRowLsb +: pianola_pkg::MemRowW]);
                    if (sum[31]) raise(p, pianola_pkg::RuleAddressRange);
                    here = ((sum[2:0] ^ w[2:0]) & ~(3'b111 << rows)) == '0;
                    sum = sum >> rows;
                  end else begin
                    stream = StreamW'(32'(stream) + w);
                    if (entry[Pay + pianola_pkg::MemRowLsb +: pianola_pkg::MemRowW] != '0) begin
                      raise(p, pianola_pkg::RuleIllegalEncoding);
                    end
                  end
                  sum = sum + 32'(entry[Pay + pianola_pkg::MemAddressLsb +: pianola_pkg::MemAddressW]);
                  if (entry[Pay + pianola_pkg::MemOpLsb +: 2] == pianola_pkg::MemOpWriteLane) begin
                    lane = regs_i[{entry[Pay + pianola_pkg::MemLaneRegLsb +: 5], 5'd0} +: 32] +
                           32'(entry[Pay + pianola_pkg::MemLaneLsb +: 9]) + 32'(queue_lane[queue]);
                    if (lane >= Lanes) begin
                      lane = lane - Lanes;
                      sum = sum + 32'd1;
                    end
                    if (lane >= Lanes) raise(p, pianola_pkg::RuleAddressRange);
                    one_lane = 1'b1;
                    if (lane >= Lanes) lane = '0;
                  end
                  if (Checks && !is_defined(entry[Pay + pianola_pkg::MemDirLsb] !=
                                            pianola_pkg::DirectionEast, p, stream)) begin
                    raise(p, pianola_pkg::RuleStreamUndefined);
                  end
                  if (!entry[Pay + pianola_pkg::MemOpLsb] ||
                      (32'(entry[Pay + pianola_pkg::MemStreamLsb +: 6]) >= Streams)) begin
                    raise(p, pianola_pkg::RuleIllegalEncoding);
                  end
                  if (sum >= Words) raise(p, pianola_pkg::RuleAddressRange);
                  if (here) begin
                    n = write_count[now_i[0]];
                    write_at[{now_i[0], n[QueueW-1:0]}] = word_of(m, w, sum);
                    write_lane[{now_i[0], n[QueueW-1:0]}] = one_lane ? lane[8:0] : '1;
                    if (entry[Pay + pianola_pkg::MemDirLsb] == pianola_pkg::DirectionEast) begin
                      write_data[{now_i[0], n[QueueW-1:0]}] = east_q[place_of(1'b0, p, stream) +: V];
                    end else begin
                      write_data[{now_i[0], n[QueueW-1:0]}] = west_q[place_of(1'b1, p, stream) +: V];
                    end
                    write_count[now_i[0]] = n + 32'd1;
                  end
                  if (reads[w[SliceW-1:0]]) begin
                    if (bank_of(sum) == bank_of(read_sum[w[SliceW-1:0]])) begin
                      raise(p, pianola_pkg::RuleBankConflict);
                    end
                    // The writes that a read may not yet see are those of its own cycle.
                    if (here && (sum == read_sum[w[SliceW-1:0]])) begin
                      raise(p, pianola_pkg::RuleMemoryHazard);
                    end
                  end
                end

                last1 = queue_index1[queue] == entry[N1Lsb +: pianola_pkg::TimingN1W];
                last2 = queue_index2[queue] == entry[N2Lsb +: pianola_pkg::TimingN2W];
                last3 = queue_index3[queue] == entry[N3Lsb +: pianola_pkg::TimingN3W];
                if (!last1) begin
                  queue_index1[queue] = queue_index1[queue] + 1'b1;
                  queue_time1[queue] = queue_time1[queue] + 16'(entry[P1Lsb +: pianola_pkg::TimingP1W]);
                  step = 20'($signed(entry[Pay + pianola_pkg::MemS1Lsb +: pianola_pkg::MemS1W]));
                  queue_offset1[queue] = queue_offset1[queue] + step;
                  queue_lane[queue] = queue_lane[queue] + 9'(entry[Pay + pianola_pkg::MemLaneStepLsb]);
                end else if (!last2) begin
                  queue_index1[queue] = '0;
                  queue_index2[queue] = queue_index2[queue] + 1'b1;
                  queue_time2[queue] = queue_time2[queue] + 16'(entry[P2Lsb +: pianola_pkg::TimingP2W]);
                  queue_time1[queue] = queue_time2[queue];
                  step = 20'($signed(entry[Pay + pianola_pkg::MemS2Lsb +: pianola_pkg::MemS2W]));
                  queue_offset2[queue] = queue_offset2[queue] + step;
                  queue_offset1[queue] = queue_offset2[queue];
                  queue_lane[queue] = '0;
                end else begin
                  finish = last3;
                  queue_index1[queue] = '0;
                  queue_index2[queue] = '0;
                  queue_index3[queue] = queue_index3[queue] + 1'b1;
                  queue_time3[queue] = queue_time3[queue] + entry[P3Lsb +: pianola_pkg::TimingP3W];
                  queue_time2[queue] = queue_time3[queue];
                  queue_time1[queue] = queue_time3[queue];
                  step = 20'($signed(entry[Pay + pianola_pkg::MemS3Lsb +: pianola_pkg::MemS3W]));
                  queue_offset3[queue] = queue_offset3[queue] + step;
                  queue_offset2[queue] = queue_offset3[queue];
                  queue_offset1[queue] = queue_offset3[queue];
                  queue_lane[queue] = '0;
                end
                if (finish) begin
                  queue_live[queue] = 1'b0;
                  if (queue_stored[queue] == '0) holding = holding - 32'd1;
                end
              end

              if (push[q[OwnW-1:0]] && ((queue_stored[queue] +
                  StoredW'(queue_live[queue])) >= StoredW'(Depth))) begin
                raise(p, pianola_pkg::RuleQueueOverrun);
              end
              if ((queue_stored[queue] != '0) && !queue_live[queue]) begin
                entry = queue_mem[{queue, queue_read[queue]}];
                queue_current[queue] = entry;
                queue_live[queue] = 1'b1;
                queue_read[queue] =
                    (queue_read[queue] == DepthW'(Depth - 1)) ? '0 : queue_read[queue] + 1'b1;
                queue_stored[queue] = queue_stored[queue] - 1'b1;
                queue_time1[queue] = entry[StartLsb +: 16];
                queue_time2[queue] = entry[StartLsb +: 16];
                queue_time3[queue] = entry[StartLsb +: 16];
                queue_index1[queue] = '0;
                queue_index2[queue] = '0;
                queue_index3[queue] = '0;
                queue_offset1[queue] = '0;
                queue_offset2[queue] = '0;
                queue_offset3[queue] = '0;
                queue_lane[queue] = '0;
                // Late: 2^15 cycles or more to wait.
                index = entry[StartLsb +: 16] - now_i - 16'd1;
                if (index[15]) raise(p, pianola_pkg::RuleQueueLate);
                if (Checks && is_illegal(entry)) raise(p, pianola_pkg::RuleIllegalEncoding);
              end
              if (push[q[OwnW-1:0]]) begin
                if (!queue_live[queue] && (queue_stored[queue] == '0)) holding = holding + 32'd1;
                queue_mem[{queue, queue_write[queue]}] = entry_i;
                queue_write[queue] =
                    (queue_write[queue] == DepthW'(Depth - 1)) ? '0 : queue_write[queue] + 1'b1;
                queue_stored[queue] = queue_stored[queue] + 1'b1;
              end
              if (queue_live[queue]) begin
                agenda[{queue_time1[queue][AgendaW-1:0], m[MemW-1:0]}][q[OwnW-1:0]] = 1'b1;
              end else if (queue_stored[queue] != '0) begin
                // It begins in the next cycle.
                index = now_i + 16'd1;
                agenda[{index[AgendaW-1:0], m[MemW-1:0]}][q[OwnW-1:0]] = 1'b1;
              end
            end
          end
        end
      end

      // What other units drive.
      if (valid_i != '0) begin
        units = Units;
        drivers = Drivers;
        for (u = 0; u < units; u = u + 1) begin
          p = 32'(unit_position[u[UnitW-1:0]]);
          if (valid_i[p*Drivers +: Drivers] != '0) begin
            width = 32'(unit_width[u[UnitW-1:0]]);
            for (d = 0; d < drivers; d = d + 1) begin
              driver = p * Drivers + d;
              if (valid_i[driver]) begin
                drive = drive_i[driver*16 +: 16];
                for (w = 0; w < 32'(drive[11:8]) && w < width; w = w + 1) begin
                  stream = StreamW'(drive[7:2]) + StreamW'(w);
                  from = (p * Vectors + d * width + w) * V;
                  if (drive[0]) begin
                    row = RowW'(p) - RowW'(now_i);
                    east_plane[row][stream] = !east_plane[row][stream];
                    east_defined[row][stream] = 1'b1;
                    place = 32'({row, stream, east_plane[row][stream], PitchW'(0)});
                    east_q[place +: V] = data_i[from +: V];
                  end
                  if (drive[1]) begin
                    row = RowW'(p) + RowW'(now_i);
                    west_plane[row][stream] = !west_plane[row][stream];
                    west_defined[row][stream] = 1'b1;
                    place = 32'({row, stream, west_plane[row][stream], PitchW'(0)});
                    west_q[place +: V] = data_i[from +: V];
                  end
                end
              end
            end
          end
        end
      end

      // What MEM drives: reads of two cycles before. Only MEM reads streams here, and has done so.
      n = read_count[now2 ^ 2'd2];
      p = '1;
      for (i = 0; i < n; i = i + 1) begin
        drive = read_to[{now2 ^ 2'd2, i[QueueW-1:0]}];
        if (p != 32'(drive[15:8])) begin
          p = 32'(drive[15:8]);
          driven_east = '0;
          driven_west = '0;
        end
        stream = StreamW'(drive[7:2]);
        from = read_at[{now2 ^ 2'd2, i[QueueW-1:0]}];
        if (drive[0]) begin
          if (driven_east[stream]) begin
            raise(p, pianola_pkg::RuleStreamConflict);
          end else begin
            driven_east[stream] = 1'b1;
            row = RowW'(p) - RowW'(now_i);
            east_defined[row][stream] = 1'b1;
            place = 32'({row, stream, east_plane[row][stream], PitchW'(0)});
            east_q[place +: V] = banks[from[BanksW-1:0]];
          end
        end
        if (drive[1]) begin
          if (driven_west[stream]) begin
            raise(p, pianola_pkg::RuleStreamConflict);
          end else begin
            driven_west[stream] = 1'b1;
            row = RowW'(p) + RowW'(now_i);
            west_defined[row][stream] = 1'b1;
            place = 32'({row, stream, west_plane[row][stream], PitchW'(0)});
            west_q[place +: V] = banks[from[BanksW-1:0]];
          end
        end
      end

      // Reads and writes of the cycle before: reads see the words before these writes.
      if (Checks) begin
        n = read_count[now2 - 2'd1];
        for (i = 0; i < n; i = i + 1) begin
          from = read_at[{now2 - 2'd1, i[QueueW-1:0]}];
          if (!written[from[BanksW-1:0]]) begin
            raise(32'(read_to[{now2 - 2'd1, i[QueueW-1:0]}][15:8]),
                  pianola_pkg::RuleMemoryUndefined);
          end
        end
      end
      n = write_count[!now_i[0]];
      for (i = 0; i < n; i = i + 1) begin
        place = write_at[{!now_i[0], i[QueueW-1:0]}];
        lane = 32'(write_lane[{!now_i[0], i[QueueW-1:0]}]);
        if (lane == 32'd511) begin
          banks[place[BanksW-1:0]] = write_data[{!now_i[0], i[QueueW-1:0]}];
        end else begin
          banks[place[BanksW-1:0]][lane*8 +: 8] =
              write_data[{!now_i[0], i[QueueW-1:0]}][lane*8 +: 8];
        end
        if (Checks) written[place[BanksW-1:0]] = 1'b1;
      end

      // The rows that reach the ends hold nothing.
      row = RowW'(16'd0 - now_i - 16'd1);
      east_defined[row] = '0;
      row = RowW'(16'(Positions) + now_i);
      west_defined[row] = '0;

      holds_o <= holding != '0;
      busy_o <= accesses || (read_count[now2 - 2'd1] != '0);
    end
  end
  /* verilator lint_on UNUSEDSIGNAL */
  /* verilator lint_on BLKSEQ */

  assign east_o = east_q;
  assign west_o = west_q;
  for (genvar g = 0; g < Positions; g++) begin : gen_position
    if (IsMem[g]) begin : gen_mem
      assign east_at_o[g*AtW +: AtW] = '0;
      assign west_at_o[g*AtW +: AtW] = '0;
      assign east_def_o[g*Streams +: Streams] = '0;
      assign west_def_o[g*Streams +: Streams] = '0;
    end else begin : gen_unit
      logic [RowW-1:0] east_row, west_row;
      assign east_row = RowW'(g) - RowW'(now_i);
      assign west_row = RowW'(g) + RowW'(now_i);
      assign east_at_o[g*AtW +: AtW] = {8'(east_row), east_plane[east_row]};
      assign west_at_o[g*AtW +: AtW] = {8'(west_row), west_plane[west_row]};
      assign east_def_o[g*Streams +: Streams] = Checks ? east_defined[east_row] : '1;
      assign west_def_o[g*Streams +: Streams] = Checks ? west_defined[west_row] : '1;
    end
  end
  logic unused;
  assign unused = &{1'b0, beat_i, live_i, DriverCounts};
