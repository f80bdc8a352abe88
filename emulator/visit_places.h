// What the operations of a program read and write.
#pragma once

#include "emulator/lift.h"

namespace pianola {

inline uint64_t number_of(Place place) { return place & ~kVectorBit; }

// Calls use(place) for every operand of an operation and define(place) for every result; results
// follow operands.
template <typename Use, typename Define>
void visit_places(Program& p, const Operation& operation, Use use, Define define) {
  switch (operation.kind) {
    case OperationKind::Copy: {
      CopyStep& step = p.copies[operation.first];
      use(step.from);
      define(step.to);
      return;
    }
    case OperationKind::Read: return define(p.memory_steps[operation.first].vector);
    case OperationKind::Write:
    case OperationKind::WriteLane: return use(p.memory_steps[operation.first].vector);
    case OperationKind::Gather: {
      MemoryStep& step = p.memory_steps[operation.first];
      use(step.index_low);
      use(step.index_high);
      return define(step.vector);
    }
    case OperationKind::Receive: return define(p.segment_steps[operation.first].to);
    case OperationKind::Vxm: {
      const VxmBatch& batch = p.vxm_batches[operation.first];
      const VxmControl& control = p.vxm_controls[batch.control];
      const int operands = control.places_per_pass - control.out_count;
      Place* places = p.vxm_places.data() + batch.first_place;
      for (uint32_t i = 0; i < batch.passes; ++i) {
        for (int k = 0; k < operands; ++k) use(places[i * control.places_per_pass + k]);
      }
      for (uint32_t i = 0; i < batch.passes; ++i) {
        for (int k = operands; k < control.places_per_pass; ++k) {
          define(places[i * control.places_per_pass + k]);
        }
      }
      return;
    }
    case OperationKind::Mac: {
      const MacRun& run = p.mac_runs[operation.first];
      if (run.unpacks) {
        for (int r = 0; r < p.lanes; ++r) use(p.row_places[run.first_row + r]);
      }
      for (uint32_t i = 0; i < run.steps; ++i) use(p.mac_steps[run.first_step + i].x);
      for (uint32_t i = 0; i < run.steps; ++i) {
        const MacStep& step = p.mac_steps[run.first_step + i];
        for (uint32_t b = 0; b < 4 && step.emits; ++b) define(p.mac_planes[step.planes + b]);
      }
      return;
    }
    case OperationKind::Sxm: {
      SxmStep& step = p.sxm_steps[operation.first];
      for (int b = 0; b < step.width; ++b) use(step.from[b]);
      use(step.index);
      for (int b = 0; b < step.width; ++b) define(step.to[b]);
      return;
    }
    case OperationKind::ProductInput: {
      const ProductInput& input = p.product_inputs[operation.first];
      const uint64_t scales = input.has_scales ? uint64_t{input.windows} * 4 : 0;
      const uint64_t count = (input.tiles + scales) * input.columns;
      for (uint64_t i = 0; i < count; ++i) use(p.product_places[input.first_place + i]);
      return;
    }
    case OperationKind::Product: {
      const Product& product = p.products[operation.first];
      ProductColumn* columns = p.product_columns.data() + product.first_column;
      const uint32_t count = p.product_inputs[product.input].columns;
      for (uint32_t i = 0; i < count; ++i) {
        for (Place& place : columns[i].initial) use(place);
      }
      for (uint32_t i = 0; i < count; ++i) {
        for (Place& place : columns[i].out) define(place);
      }
      return;
    }
  }
}

}  // namespace pianola
