// A FIFO of vectors that takes and gives several vectors per cycle, in order: one memory per bank,
// vector n in bank n mod Banks. It keeps no level; its owner counts what it reserves.
//
// read_count_i vectors of cycle t are on read_data_o from t + 1 until the next read (vector 0
// lowest, those beyond the count are arbitrary); arbitrary while use_i is not set.
//
// Two forms, equal at the ports where vectors are defined (tests/rtl compares them):
// - synthesis: a memory per bank, zero while use_i is not set;
// - simulation (Verilator, unless PIANOLA_SYNTHESIS_FORM is defined): one memory, and vectors that were read
//   are copied when they are read, and not looked at in other cycles.
`default_nettype none

`ifdef VERILATOR
`ifndef PIANOLA_SYNTHESIS_FORM
`define PIANOLA_FIFO_FAST
`endif
`endif

module port_fifo #(
  parameter int unsigned VectorW = 128,
  parameter int unsigned WriteWidth = 2,  // most vectors written per cycle
  parameter int unsigned ReadWidth = 4,   // most vectors read per cycle
  parameter int unsigned DepthMin = 512,
  parameter int unsigned CountW = 4
) (
  input  wire logic                          clk_i,
  input  wire logic                          rst_ni,
  input  wire logic                          clear_i,
  input  wire logic [CountW-1:0]             write_count_i,
  input  wire logic [WriteWidth*VectorW-1:0] write_data_i,
  input  wire logic [CountW-1:0]             read_count_i,
  input  wire logic                          use_i,
  output logic [ReadWidth*VectorW-1:0]       read_data_o
);

`ifdef PIANOLA_FIFO_FAST
  localparam int unsigned PlaceW = $clog2(DepthMin);  // all of the memory is used

  logic [VectorW-1:0] mem [0:(1<<PlaceW)-1] /* verilator public_flat_rd */;
  // What leaves the module is written as the word of a memory: no cost where nothing is read.
  logic [ReadWidth*VectorW-1:0] shown [0:0] /* verilator public_flat_rd */;

  /* verilator lint_off BLKSEQ */  // state of one process, and temporaries of it
  logic [PlaceW-1:0]            write_place, read_place;
  logic [ReadWidth*VectorW-1:0] vectors;
  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) begin
      write_place = '0;
      read_place = '0;
    end else begin
      if (read_count_i != '0) begin
        for (int unsigned i = 0; i < ReadWidth; i++) begin
          if (CountW'(i) < read_count_i) begin
            vectors[i*VectorW +: VectorW] = mem[read_place];
            read_place = read_place + 1'b1;
          end
        end
        shown[0] <= vectors;
      end
      if (write_count_i != '0) begin
        for (int unsigned i = 0; i < WriteWidth; i++) begin
          if (CountW'(i) < write_count_i) begin
            mem[write_place] = write_data_i[i*VectorW +: VectorW];
            write_place = write_place + 1'b1;
          end
        end
      end
    end
  end
  /* verilator lint_on BLKSEQ */
  assign read_data_o = shown[0];
  logic unused_use;
  assign unused_use = use_i;
`else
  localparam int unsigned WidthMax = (WriteWidth > ReadWidth) ? WriteWidth : ReadWidth;
  localparam int unsigned BankW = (WidthMax > 2) ? $clog2(WidthMax) : 1;
  localparam int unsigned Banks = 2 ** BankW;
  localparam int unsigned Rows = (DepthMin + Banks - 1) / Banks;
  localparam int unsigned RowW = (Rows > 1) ? $clog2(Rows) : 1;

  logic [BankW-1:0] write_bank_q, read_bank_q, shown_bank_q;
  logic [RowW-1:0]  write_row_q, read_row_q, write_row_next, read_row_next;
  logic [BankW:0]   write_bank_next, read_bank_next;
  assign write_row_next = (write_row_q == RowW'(Rows - 1)) ? '0 : write_row_q + 1'b1;
  assign read_row_next = (read_row_q == RowW'(Rows - 1)) ? '0 : read_row_q + 1'b1;
  assign write_bank_next = {1'b0, write_bank_q} + (BankW + 1)'(write_count_i);
  assign read_bank_next = {1'b0, read_bank_q} + (BankW + 1)'(read_count_i);

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) begin
      write_bank_q <= '0;
      write_row_q <= '0;
      read_bank_q <= '0;
      read_row_q <= '0;
    end else begin
      if (write_count_i != '0) begin
        write_bank_q <= write_bank_next[BankW-1:0];
        if (write_bank_next[BankW]) write_row_q <= write_row_next;
      end
      if (read_count_i != '0) begin
        read_bank_q <= read_bank_next[BankW-1:0];
        if (read_bank_next[BankW]) read_row_q <= read_row_next;
      end
    end
  end
  always_ff @(posedge clk_i) begin
    if (read_count_i != '0) shown_bank_q <= read_bank_q;
  end

  logic [Banks*VectorW-1:0] bank_data;

  for (genvar b = 0; b < Banks; b++) begin : gen_bank
    // The vector of this cycle's write or read that this bank takes part with.
    logic [BankW-1:0]   write_number, read_number;
    logic               we;
    logic [VectorW-1:0] wdata;
    assign write_number = BankW'(b) - write_bank_q;
    assign read_number = BankW'(b) - read_bank_q;
    assign we = CountW'(write_number) < write_count_i;
    always_comb begin
      wdata = '0;
      if (we) begin
        for (int unsigned w = 0; w < WriteWidth; w++) begin
          if (write_number == BankW'(w)) wdata = write_data_i[w*VectorW +: VectorW];
        end
      end
    end
    ram_1r1w #(.Words(Rows), .Width(VectorW), .AddressW(RowW)) u_ram (
      .clk_i     (clk_i),
      .re_i      (CountW'(read_number) < read_count_i),
      .raddress_i((BankW'(b) < read_bank_q) ? read_row_next : read_row_q),
      .rdata_o   (bank_data[b*VectorW +: VectorW]),
      .we_i      (we),
      .waddress_i((BankW'(b) < write_bank_q) ? write_row_next : write_row_q),
      .wdata_i   (wdata)
    );
  end

  logic [BankW-1:0] from;
  always_comb begin
    read_data_o = '0;
    from = '0;
    if (use_i) begin
      for (int unsigned i = 0; i < ReadWidth; i++) begin
        from = shown_bank_q + BankW'(i);
        read_data_o[i*VectorW +: VectorW] = bank_data[32'(from)*VectorW +: VectorW];
      end
    end
  end
`endif
`undef PIANOLA_FIFO_FAST

endmodule

`default_nettype wire
