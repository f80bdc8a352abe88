// What has two forms and no bench of its own, side by side for queue_forms_test.cc: queues as of MEM
// and of the VXM, a FIFO of vectors, delay lines.
`default_nettype none

module queue_bench #(
    localparam int unsigned EntryW = pianola_pkg::TimingW + pianola_pkg::PayloadW,
    localparam int unsigned PayloadW = pianola_pkg::PayloadW
) (
    input wire logic clk_i,
    input wire logic rst_ni,
    input wire logic start_i,
    input wire logic en_i,
    input wire logic [15:0] now_i,
    input wire logic [1:0] push_i,
    input wire logic [EntryW-1:0] entry_i,
    output logic [1:0] want_o,
    output logic [1:0] issue_o,
    output logic [2*6-1:0] ends_o,  // first and last of three levels
    output logic [PayloadW-1:0] instr0_o,
    output logic [PayloadW-1:0] instr1_o,
    output logic [2*20-1:0] a_offset_o,
    output logic [2*20-1:0] b_offset_o,
    output logic [1:0] holds_o,
    output logic [31:0] fault0_o,
    output logic [31:0] fault1_o,

    input wire logic [3:0] write_count_i,
    input wire logic [2*32-1:0] write_data_i,
    input wire logic [3:0] read_count_i,
    input wire logic use_i,
    output logic [4*32-1:0] read_data_o,

    input wire logic valid_i,
    input wire logic [31:0] data_i,
    output logic [2:0] valid_o,
    output logic [2:0] busy_o,
    output logic [3*32-1:0] data_o
);

  logic [8:0] a1, b0;
  sequencer #(
      .Depth(5), .PayloadW(PayloadW), .OffsetAW(20),
      .A1Lsb(pianola_pkg::MemS1Lsb), .A1W(pianola_pkg::MemS1W),
      .A2Lsb(pianola_pkg::MemS2Lsb), .A2W(pianola_pkg::MemS2W),
      .A3Lsb(pianola_pkg::MemS3Lsb), .A3W(pianola_pkg::MemS3W), .OffsetBW(9),
      .B1Lsb(pianola_pkg::MemLaneStepLsb), .B1W(pianola_pkg::MemLaneStepW), .BUnsigned(1'b1)
  ) u_mem_queue (
      .clk_i(clk_i), .rst_ni(rst_ni), .start_i(start_i), .en_i(en_i), .now_i(now_i),
      .push_i(push_i[0]), .entry_i(entry_i), .want_o(want_o[0]), .issue_o(issue_o[0]),
      .instr_o(instr0_o), .first1_o(ends_o[0]), .last1_o(ends_o[1]), .first2_o(ends_o[2]),
      .last2_o(ends_o[3]), .first3_o(ends_o[4]), .last3_o(ends_o[5]), .a_offset_o(a_offset_o[19:0]),
      .b_offset_o(b0), .holds_o(holds_o[0]), .fault_o(fault0_o)
  );
  sequencer #(
      .Depth(4), .PayloadW(PayloadW), .OffsetAW(9),
      .A1Lsb(pianola_pkg::VxmAccS1Lsb), .A1W(pianola_pkg::VxmAccS1W),
      .A2Lsb(pianola_pkg::VxmAccS2Lsb), .A2W(pianola_pkg::VxmAccS2W),
      .A3Lsb(pianola_pkg::VxmAccS3Lsb), .A3W(pianola_pkg::VxmAccS3W), .OffsetBW(20),
      .B1Lsb(pianola_pkg::VxmSelectS1Lsb), .B1W(pianola_pkg::VxmSelectS1W),
      .B2Lsb(pianola_pkg::VxmSelectS2Lsb), .B2W(pianola_pkg::VxmSelectS2W)
  ) u_vxm_queue (
      .clk_i(clk_i), .rst_ni(rst_ni), .start_i(start_i), .en_i(en_i), .now_i(now_i),
      .push_i(push_i[1]), .entry_i(entry_i), .want_o(want_o[1]), .issue_o(issue_o[1]),
      .instr_o(instr1_o), .first1_o(ends_o[6]), .last1_o(ends_o[7]), .first2_o(ends_o[8]),
      .last2_o(ends_o[9]), .first3_o(ends_o[10]), .last3_o(ends_o[11]), .a_offset_o(a1),
      .b_offset_o(b_offset_o[39:20]), .holds_o(holds_o[1]), .fault_o(fault1_o)
  );
  assign a_offset_o[39:20] = 20'(a1);
  assign b_offset_o[19:0] = 20'(b0);

  port_fifo #(.VectorW(32), .WriteWidth(2), .ReadWidth(4), .DepthMin(13)) u_fifo (
      .clk_i(clk_i), .rst_ni(rst_ni), .clear_i(start_i), .write_count_i(write_count_i),
      .write_data_i(write_data_i), .read_count_i(read_count_i), .use_i(use_i),
      .read_data_o(read_data_o)
  );

  for (genvar i = 0; i < 3; i++) begin : gen_line
    delay_line #(.Width(32), .Depth(i == 0 ? 1 : i == 1 ? 4 : 5)) u_line (
        .clk_i(clk_i), .rst_ni(rst_ni), .clear_i(start_i), .en_i(en_i), .valid_i(valid_i),
        .data_i(data_i), .valid_o(valid_o[i]), .data_o(data_o[i*32+:32]), .busy_o(busy_o[i])
    );
  end

endmodule

`default_nettype wire
