#include <map>
#include <sstream>

#include "emulator/lift.h"

namespace pianola {
namespace {

const char* name_of(OperationKind kind) {
  switch (kind) {
    case OperationKind::Copy: return "copy";
    case OperationKind::Read: return "read";
    case OperationKind::Write: return "write";
    case OperationKind::WriteLane: return "write_lane";
    case OperationKind::Gather: return "gather";
    case OperationKind::Receive: return "receive";
    case OperationKind::Vxm: return "vxm";
    case OperationKind::Mac: return "mac";
    case OperationKind::Sxm: return "sxm";
    case OperationKind::ProductInput: return "product input";
    case OperationKind::Product: return "product";
  }
  return "";
}

// Formats and operations as the numbers of the machine spec.
std::string text_of(const VxmInstruction& x) {
  std::ostringstream text;
  text << "x" << int(x.x_format) << " y" << int(x.y_format) << " z" << int(x.z_format) << " mul "
       << int(x.mul1) << "," << int(x.mul2) << "," << int(x.mul3) << " add " << int(x.add_op)
       << "(" << int(x.add_operand) << ") select " << int(x.select) << " sfu " << int(x.sfu)
       << " tree " << int(x.tree) << "/" << int(x.segment) << " root " << int(x.root)
       << " combine " << int(x.combine) << " acc " << int(x.acc_op) << "(" << int(x.acc_source)
       << ") first " << int(x.first) << " emit " << int(x.emit) << " out " << int(x.out_format)
       << "(" << int(x.out_source) << ")";
  return text.str();
}

}  // namespace

std::string describe_program(const Program& p) {
  struct Count {
    uint64_t operations = 0, steps = 0;
  };
  std::map<std::string, Count> counts;
  for (const Operation& operation : p.operations) {
    std::string name = name_of(operation.kind);
    uint64_t steps = operation.count;
    if (operation.kind == OperationKind::Vxm) {
      const VxmBatch& batch = p.vxm_batches[operation.first];
      name += " " + text_of(p.vxm_controls[batch.control].instruction);
      steps = batch.passes;
    } else if (operation.kind == OperationKind::Mac) {
      const MacRun& run = p.mac_runs[operation.first];
      name += run.unpacks ? " unpacked" : " in place";
      steps = run.steps;
    } else if (operation.kind == OperationKind::Product) {
      const ProductInput& input = p.product_inputs[p.products[operation.first].input];
      name += " of " + std::to_string(input.columns) + " columns";
      steps = 0;
      for (uint32_t i = 0; i < operation.count; ++i) {
        steps += p.product_inputs[p.products[operation.first + i].input].tiles;
      }
    }
    ++counts[name].operations;
    counts[name].steps += steps;
  }
  std::ostringstream text;
  for (const auto& [name, count] : counts) {
    text << "  " << count.operations << " operations, " << count.steps << " steps: " << name
         << "\n";
  }
  return text.str();
}

}  // namespace pianola
