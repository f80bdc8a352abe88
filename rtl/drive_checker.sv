// The rule stream_conflict at one position: two drives of one direction and stream in one cycle.
`default_nettype none

module drive_checker #(
  parameter int unsigned Streams = 16,
  parameter int unsigned Drivers = 4,
  parameter int unsigned Width = 4
) (
  input  wire logic [Drivers-1:0]               drive_valid_i,
  input  wire logic [Drivers*2-1:0]             drive_dirs_i,
  input  wire logic [Drivers*6-1:0]             drive_stream_i,
  input  wire logic [Drivers*4-1:0]             drive_count_i,
  output logic                                  conflict_o
);

  localparam int unsigned StreamW = $clog2(Streams);
  logic [Streams-1:0] east, west;
  logic [StreamW-1:0] stream;

  // One driver cannot collide with itself.
  always_comb begin
    conflict_o = 1'b0;
    east = '0;
    west = '0;
    stream = '0;
    if ((Drivers > 1) && (drive_valid_i != '0)) begin
      for (int unsigned d = 0; d < Drivers; d++) begin
        if (drive_valid_i[d]) begin
          for (int unsigned w = 0; w < Width; w++) begin
            stream = drive_stream_i[d*6 +: StreamW] + StreamW'(w);
            if (w < 32'(drive_count_i[d*4 +: 4])) begin
              conflict_o = conflict_o || (drive_dirs_i[d*2] && east[stream]) ||
                           (drive_dirs_i[d*2+1] && west[stream]);
              east[stream] = east[stream] || drive_dirs_i[d*2];
              west[stream] = west[stream] || drive_dirs_i[d*2+1];
            end
          end
        end
      end
    end
  end

endmodule

`default_nettype wire
