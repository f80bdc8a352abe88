// The stream registers of one position: Streams vectors flowing east, Streams flowing west.
//
// east_o and west_o are E[p] and W[p], what the units here read. What leaves for the neighbours is
// E[p] and W[p] with the drives of this cycle put over them. A driver drives count_i vectors on
// streams stream_i, stream_i + 1, ... in the directions of dirs_i (bit 0 east, bit 1 west). Defined
// bits are shadow state for the checks; without Checks they are constants.
`default_nettype none

module stream_position #(
  parameter int unsigned Lanes = 16,
  parameter int unsigned Streams = 16,
  parameter int unsigned Drivers = 4,
  parameter int unsigned Width = 4,    // most vectors that one driver drives
  parameter bit          HasWest = 1'b1,  // a neighbour stands west of here; else E is undefined
  parameter bit          HasEast = 1'b1,
  parameter bit          Checks = 1'b1,
  localparam int unsigned V = Lanes * 8
) (
  input  wire logic                         clk_i,
  input  wire logic                         rst_ni,
  input  wire logic                         start_i,
  input  wire logic                         en_i,
  input  wire logic [Streams*V-1:0]         east_i,      // leaves the western neighbour
  input  wire logic [Streams-1:0]           east_def_i,
  input  wire logic [Streams*V-1:0]         west_i,      // leaves the eastern neighbour
  input  wire logic [Streams-1:0]           west_def_i,
  input  wire logic [Drivers-1:0]           drive_valid_i  /* verilator public_flat_rd */,
  input  wire logic [Drivers*2-1:0]         drive_dirs_i   /* verilator public_flat_rd */,
  input  wire logic [Drivers*6-1:0]         drive_stream_i /* verilator public_flat_rd */,
  input  wire logic [Drivers*4-1:0]         drive_count_i  /* verilator public_flat_rd */,
  input  wire logic [Drivers*Width*V-1:0]   drive_data_i   /* verilator public_flat_rd */,
  output logic [Streams*V-1:0]              east_o,
  output logic [Streams-1:0]                east_def_o,
  output logic [Streams*V-1:0]              west_o,
  output logic [Streams-1:0]                west_def_o,
  output logic [Streams*V-1:0]              east_leave_o,
  output logic [Streams-1:0]                east_def_leave_o,
  output logic [Streams*V-1:0]              west_leave_o,
  output logic [Streams-1:0]                west_def_leave_o,
  output logic                              conflict_o
);

  localparam int unsigned StreamW = $clog2(Streams);

  if (HasWest) begin : gen_east
    logic [Streams*V-1:0] east_q     /* verilator public_flat_rw */;
    always_ff @(posedge clk_i) begin
      if (en_i && (!Checks || (|east_def_i))) east_q <= east_i;
    end
    assign east_o = east_q;
    if (Checks) begin : gen_def
      logic [Streams-1:0] def_q;
      always_ff @(posedge clk_i) begin
        if (!rst_ni || start_i) def_q <= '0;
        else if (en_i) def_q <= east_def_i;
      end
      assign east_def_o = def_q;
    end else begin : gen_no_def
      assign east_def_o = '1;
    end
  end else begin : gen_no_east
    logic unused;
    assign unused = &{1'b0, east_i, east_def_i};
    assign east_o = '0;
    assign east_def_o = Checks ? '0 : '1;
  end

  if (HasEast) begin : gen_west
    logic [Streams*V-1:0] west_q     /* verilator public_flat_rw */;
    always_ff @(posedge clk_i) begin
      if (en_i && (!Checks || (|west_def_i))) west_q <= west_i;
    end
    assign west_o = west_q;
    if (Checks) begin : gen_def
      logic [Streams-1:0] def_q;
      always_ff @(posedge clk_i) begin
        if (!rst_ni || start_i) def_q <= '0;
        else if (en_i) def_q <= west_def_i;
      end
      assign west_def_o = def_q;
    end else begin : gen_no_def
      assign west_def_o = '1;
    end
  end else begin : gen_no_west
    logic unused;
    assign unused = &{1'b0, west_i, west_def_i};
    assign west_o = '0;
    assign west_def_o = Checks ? '0 : '1;
  end

  logic [Streams-1:0] east_driven, west_driven;
  logic [StreamW-1:0] target;
  always_comb begin
    east_leave_o = east_o;
    west_leave_o = west_o;
    east_driven = '0;
    west_driven = '0;
    conflict_o = 1'b0;
    target = '0;
    if (drive_valid_i != '0) begin
      for (int unsigned d = 0; d < Drivers; d++) begin
        if (drive_valid_i[d]) begin
          for (int unsigned w = 0; w < Width; w++) begin
            if (w < 32'(drive_count_i[d*4 +: 4])) begin
              target = drive_stream_i[d*6 +: StreamW] + StreamW'(w);
              if (drive_dirs_i[d*2]) begin
                conflict_o = conflict_o || east_driven[target];
                east_driven[target] = 1'b1;
                east_leave_o[32'(target)*V +: V] = drive_data_i[(d*Width + w)*V +: V];
              end
              if (drive_dirs_i[d*2+1]) begin
                conflict_o = conflict_o || west_driven[target];
                west_driven[target] = 1'b1;
                west_leave_o[32'(target)*V +: V] = drive_data_i[(d*Width + w)*V +: V];
              end
            end
          end
        end
      end
    end
  end
  assign east_def_leave_o = Checks ? (east_def_o | east_driven) : '1;
  assign west_def_leave_o = Checks ? (west_def_o | west_driven) : '1;

endmodule

`default_nettype wire
