#include <sstream>

#include "scheduler/vector_program.h"

namespace pianola {
namespace {

struct Printer {
  const VectorProgram& program;
  std::ostringstream& out;

  void ref(const ArrayRef& r) {
    out << program.arrays[r.array].name << "[" << r.index;
    for (int level = 0; level < 3; ++level) {
      if (r.step[level] != 0) out << " + " << r.step[level] << "*i" << level + 1;
    }
    if (r.reg) out << " + R" << r.reg;
    if (r.slice >= 0) out << " slice " << r.slice;
    if (r.row) out << " row";
    if (r.lane >= 0) {
      out << " lane " << r.lane;
      if (r.lane_reg) out << " + R" << r.lane_reg;
      if (r.lane_step) out << " + " << r.lane_step << "*i1";
    }
    out << "]";
  }
  void nest(const Nest& n) {
    out << " (" << n.count[0] << " x " << n.count[1] << " x " << n.count[2] << ")";
  }
  void operand(const char* name, const Operand& o) {
    switch (o.source) {
      case OperandSource::None: return;
      case OperandSource::Array:
        out << " " << name << "=";
        return ref(o.ref);
      case OperandSource::Mxm: out << " " << name << "=mxm"; return;
      case OperandSource::Tape: out << " " << name << "=tape"; return;
      case OperandSource::Kv: out << " " << name << "=kv"; return;
    }
  }
  void operator()(const VxmOperation& op) {
    out << "vxm" << op.chain << " " << op.name;
    nest(op.nest);
    operand("x", op.x);
    operand("y", op.y);
    operand("z", op.z);
    if (op.group >= 0) out << " acc g" << op.group << "+" << op.accumulator;
    for (const ArrayRef& write : op.writes) {
      out << " -> ";
      ref(write);
    }
    if (op.to_host) out << " -> host";
    if (op.to_kv) out << " -> kv";
    out << "\n";
  }
  void operator()(const MatmulOperation& op) {
    out << "mxm" << op.mxm << " " << op.name << " (" << op.activations << " activations, "
        << op.tiles << " tiles, " << op.windows << " windows, " << op.repeats << " repeats) ";
    if (op.tile_cycles > 0) out << "(a tile in " << op.tile_cycles << " cycles) ";
    if (op.source == TileSource::Tape) {
      out << "tape";
    } else {
      for (const ArrayRef& rows : op.rows) ref(rows);
    }
    out << " * ";
    ref(op.activation);
    if (op.sums.array >= 0) {
      out << " -> ";
      ref(op.sums);
    }
    out << "\n";
    for (const VxmOperation& consumer : op.consumers) {
      out << "    ";
      (*this)(consumer);
    }
  }
  void operator()(const CopyInOperation& op) {
    out << (op.source == CopySource::Tape ? "tape" : "kv") << " " << op.name;
    nest(op.nest);
    out << " -> ";
    ref(op.destination);
    out << "\n";
  }
  void operator()(const CopyOutOperation& op) {
    out << "kv " << op.name;
    nest(op.nest);
    out << " <- ";
    ref(op.source);
    out << "\n";
  }
  void operator()(const SxmOperation& op) {
    out << "sxm " << op.name;
    nest(op.nest);
    out << " ";
    ref(op.source);
    out << " -> ";
    ref(op.destination);
    out << "\n";
  }
};

}  // namespace

std::string to_text(const VectorProgram& program) {
  std::ostringstream out;
  for (size_t i = 0; i < program.arrays.size(); ++i) {
    const Array& a = program.arrays[i];
    out << "array " << a.name << " home " << a.home << " bank " << a.bank << " slice " << a.slice
        << " streams " << a.streams << " vectors " << a.vectors;
    if (a.address >= 0) out << " at " << a.address;
    out << (a.persistent ? " persistent\n" : "\n");
  }
  Printer printer{program, out};
  for (const VectorOperation& operation : program.operations) std::visit(printer, operation);
  return out.str();
}

}  // namespace pianola
