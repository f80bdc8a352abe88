// What the streams of one direction hold after a position: what passes it, or what one of its units drives.
//
// The vectors of a driver are turned so that vector n of the turned ones is that of the streams whose
// number is n modulo the width: then a stream has one candidate per driver, and one multiplexer over
// them, whose number is found once for all its bits.
`default_nettype none

module stream_choice #(
  parameter int unsigned Streams = 16,
  parameter int unsigned V = 128,
  parameter int unsigned Drivers = 1,
  parameter int unsigned Width = 4  // most vectors of a driver
) (
  input  wire logic [Streams*V-1:0]       pass_i,
  input  wire logic [Drivers-1:0]         valid_i,
  input  wire logic [Drivers*6-1:0]       stream_i,
  input  wire logic [Drivers*4-1:0]       count_i,
  input  wire logic [Drivers*Width*V-1:0] data_i,
  output logic [Streams*V-1:0]            streams_o
);

  localparam int unsigned StreamW = $clog2(Streams);
  localparam int unsigned TurnW = (Width > 1) ? $clog2(Width) : 1;
  localparam int unsigned Turned = (Width > 1) ? 2 ** TurnW : 1;
  // Up to three drivers are chosen from together with what passes, more of them before it.
  localparam bit          Together = Drivers <= 3;
  localparam int unsigned First = Together ? 1 : 0;  // number of driver 0 among the candidates
  localparam int unsigned ChoiceW = $clog2(Drivers + First);

  logic [Drivers*Turned*V-1:0] turned;
  if (Turned > 1) begin : gen_turn
    for (genvar d = 0; d < Drivers; d++) begin : gen_driver
      logic [Turned*V-1:0] vectors;
      assign vectors = (Turned*V)'(data_i[d*Width*V +: Width*V]);
      for (genvar n = 0; n < Turned; n++) begin : gen_vector
        logic [TurnW-1:0] from;
        assign from = TurnW'(n) - stream_i[d*6 +: TurnW];
        assign turned[(d*Turned + n)*V +: V] = vectors[32'(from)*V +: V];
      end
    end
  end else begin : gen_as_is
    assign turned = data_i;
  end

  for (genvar s = 0; s < Streams; s++) begin : gen_stream
    logic                    driven;
    logic [ChoiceW-1:0]      choice;
    logic [StreamW-1:0]      number;  // of the driver's vector
    logic [2**ChoiceW*V-1:0] candidates;
    always_comb begin
      driven = 1'b0;
      choice = '0;
      number = '0;
      candidates = '0;
      candidates[V-1:0] = pass_i[s*V +: V];
      for (int unsigned d = 0; d < Drivers; d++) begin
        number = StreamW'(s) - stream_i[d*6 +: StreamW];
        if (valid_i[d] && (32'(number) < Width) && (32'(number) < 32'(count_i[d*4 +: 4]))) begin
          driven = 1'b1;
          choice = ChoiceW'(d + First);
        end
        candidates[(d + First)*V +: V] = turned[(d*Turned + s%Turned)*V +: V];
      end
    end
    assign streams_o[s*V +: V] =
        (Together || driven) ? candidates[32'(choice)*V +: V] : pass_i[s*V +: V];
  end

endmodule

`default_nettype wire
