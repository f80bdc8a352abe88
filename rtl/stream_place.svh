// Where the vector of stream `number` begins in the streams that a unit is given: those of its position alone, or
// the whole store of memory_row. Included by the units that read them, which have Streams, StreamW, StreamRows and
// AtW, and say with StreamVectorW how wide a vector is.

  localparam int unsigned StreamRowW = StreamRows > 1 ? $clog2(StreamRows) : 1;
  localparam int unsigned StreamPitchW = $clog2(StreamVectorW);

  function automatic logic [31:0] stream_place(input logic [AtW-1:0] at,
                                               input logic [StreamW-1:0] number);
    logic [Streams-1:0] planes;
    planes = at[Streams-1:0];
    stream_place = (StreamRows == 1) ? 32'(number) * StreamVectorW
        : 32'({at[Streams +: StreamRowW], number, planes[number], StreamPitchW'(0)});
  endfunction
