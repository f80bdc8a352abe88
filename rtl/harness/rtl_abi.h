/* The C interface of a Verilated core: one shared library per target, loaded by dlopen. A launch
 * runs inside the library, memory model and comparison included, so that nothing is called per
 * cycle unless the caller asks for it.
 *
 * Ports: receive 0 tape, 1 KV, 2 host; send 0 KV, 1 host. All vectors have `lanes` bytes. */
#ifndef PIANOLA_RTL_ABI_H
#define PIANOLA_RTL_ABI_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { PIANOLA_RTL_ABI = 2, PIANOLA_RTL_FAULTS = 16, PIANOLA_RTL_LANES_MAX = 512 };

typedef struct PianolaRtlModel PianolaRtlModel;

/* What a receive port delivers: vector i is at base + index[i] * lanes, or base + i * lanes. */
typedef struct {
  const uint8_t* base;
  const uint64_t* index;
  uint64_t count;
} PianolaRtlReceive;

/* A drive: in `cycle` the unit at `position` puts `bytes` on `stream` in direction 0 east, 1 west. */
typedef struct {
  uint64_t cycle;
  uint32_t position;
  uint16_t direction;
  uint16_t stream;
  const uint8_t* bytes;
} PianolaRtlDrive;

/* Ports as the timing callback sees them. */
enum { PIANOLA_RTL_WORDS = 3, PIANOLA_RTL_SEND_KV = 4, PIANOLA_RTL_SEND_HOST = 5 };

/* Which state a fault injection may hit. */
enum {
  PIANOLA_RTL_STATE_STREAM = 1,
  PIANOLA_RTL_STATE_MEM = 2,
  PIANOLA_RTL_STATE_SEQUENCER = 4, /* queues and the instructions at their heads */
  PIANOLA_RTL_STATE_OTHER = 8 /* accumulators, tiles, transpose buffers, port FIFOs, registers */
};

typedef struct {
  const uint64_t* words; /* 4 per word */
  uint64_t word_count;
  const uint32_t* registers; /* 32 */
  PianolaRtlReceive receive[3];
  uint8_t* send[2];           /* room for send_count vectors each */
  uint64_t send_count[2];     /* vectors that this launch declares */
  uint64_t edges_max;         /* gives up after so many clock edges; 0: never */
  uint64_t stuck_edges_max;   /* gives up after so many edges without a machine cycle; 0: never */
  uint32_t keep_going;        /* go on after a fault */

  /* Memory timing. Null: ideal memory at the target's rate. Else the callback says how many
   * vectors (words) may move at this clock edge; `most` is what the rate and the room allow. */
  uint32_t (*allow)(void* context, uint32_t port, uint64_t edge, uint32_t most);
  void* allow_context;

  /* Lockstep, either or both. `drives` is called once per machine cycle. `expected` is sorted by
   * cycle; with expected_complete a drive that is not in it is a difference too. */
  void (*drives)(void* context, uint64_t cycle, const PianolaRtlDrive* drive, uint32_t count);
  void* drives_context;
  const PianolaRtlDrive* expected;
  uint64_t expected_count;
  uint32_t expected_complete;

  /* A waveform of machine cycles trace_first..trace_last; needs a library built for tracing. */
  const char* trace_path;
  uint64_t trace_first, trace_last;

  /* Fault injection: flips one bit before machine cycle inject_cycle, of one of the classes. */
  uint32_t inject_classes; /* 0: none */
  uint64_t inject_cycle, inject_seed;
} PianolaRtlLaunch;

typedef struct {
  uint32_t rule;
  uint32_t position; /* number of positions: the front */
  uint64_t cycle;
} PianolaRtlFault;

enum {
  PIANOLA_RTL_DONE = 0,
  PIANOLA_RTL_FAULT = 1,
  PIANOLA_RTL_DIFFERENCE = 2,
  PIANOLA_RTL_STUCK = 3, /* edges_max or stuck_edges_max */
};
enum { PIANOLA_RTL_DIFFERS_VALUE = 0, PIANOLA_RTL_DIFFERS_EXTRA = 1, PIANOLA_RTL_DIFFERS_MISSING = 2 };

typedef struct {
  uint32_t status;
  uint64_t cycles, frozen, frozen_after_first, edges;
  uint64_t received[3], sent[2];
  uint32_t fault_count;
  PianolaRtlFault faults[PIANOLA_RTL_FAULTS];
  uint32_t difference_kind;
  uint64_t difference_cycle;
  uint32_t difference_position, difference_direction, difference_stream;
  uint8_t expected[PIANOLA_RTL_LANES_MAX], got[PIANOLA_RTL_LANES_MAX];
  char injected[256]; /* which bit was flipped */
} PianolaRtlResult;

typedef struct {
  int (*abi)(void);
  int (*can_trace)(void);
  uint32_t (*lanes)(void);
  uint32_t (*slices)(void);
  uint32_t (*words_per_slice)(void);
  PianolaRtlModel* (*create)(void);
  void (*destroy)(PianolaRtlModel* model);
  /* All words of a slice, each of `lanes` bytes, and which of them count as written: a byte per
   * word, null for none. */
  void (*set_slice)(PianolaRtlModel* model, uint32_t slice, const uint8_t* bytes,
                    const uint8_t* written);
  void (*get_slice)(PianolaRtlModel* model, uint32_t slice, uint8_t* bytes, uint8_t* written);
  void (*launch)(PianolaRtlModel* model, const PianolaRtlLaunch* launch, PianolaRtlResult* result);
} PianolaRtlFunctions;

/* The one exported symbol. */
const PianolaRtlFunctions* pianola_rtl_functions(void);

#ifdef __cplusplus
}
#endif

#endif
