// Cycles a second of each unit alone, one thread: idle, and with an issue every cycle.
#include <cstdio>
#include <ctime>

#include "Vmxm16.h"
#include "Vmxm32.h"
#include "Vsxm16.h"
#include "Vsxm32.h"
#include "Vvxm16.h"
#include "Vvxm32.h"
#include "isa/instructions.h"
#include "tests/rtl/unit_bench.h"

// Instructions here name only the fields that matter.
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

namespace pianola::bench {
namespace {

template <typename Bench, typename Step>
void measure(const char* what, int lanes, Bench& bench, Step step) {
  double best = 0;
  for (int run = 0; run < 3; ++run) {
    const int64_t cycles = 200000;
    const std::clock_t begin = std::clock();  // CPU time: the machine may be shared
    for (int64_t c = 0; c < cycles; ++c) {
      step(c);
      bench.clock();
    }
    const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    best = std::max(best, static_cast<double>(cycles) / seconds);
  }
  std::printf("%-44s L=%-3d %8.2f million cycles/s %8.0f ns\n", what, lanes, best * 1e-6, 1e9 / best);
}

template <typename Model, int L>
void measure_mxm() {
  Rng rng(1);
  UnitBench<Model, L> bench;
  bench.start();
  bench.randomize_streams(rng);
  bench.apply_streams();
  auto& m = bench.model;
  m.load_issue_i = 0;
  m.mac_issue_i = 0;
  measure("MXM idle", L, bench, [](int64_t) {});
  set_payload(m.load_instr_i, encode_push(0, 1, MxmLoadInstruction{}));
  set_payload(m.mac_instr_i,
              encode_push(0, 1, MxmMacInstruction{.clear = MxmMacClear::Always,
                                                  .emit = MxmMacEmit::Never}));
  m.mac_issue_i = 1;
  measure("MXM MAC every cycle", L, bench, [](int64_t) {});
  set_payload(m.mac_instr_i,
              encode_push(0, 1, MxmMacInstruction{.clear = MxmMacClear::Always,
                                                  .emit = MxmMacEmit::Always}));
  measure("MXM MAC and emission every cycle", L, bench, [](int64_t) {});
  m.mac_issue_i = 0;
  m.load_issue_i = 1;
  measure("MXM LOAD of 4 int8 rows every cycle", L, bench,
          [&](int64_t c) { m.row_offset_i = static_cast<uint32_t>(c * 4 % L); });
  set_payload(m.load_instr_i, encode_push(0, 1, MxmLoadInstruction{
      .orientation = MxmLoadOrientation::Input}));
  measure("MXM LOAD of 4 int8 columns every cycle", L, bench,
          [&](int64_t c) { m.row_offset_i = static_cast<uint32_t>(c * 4 % L); });
}

template <typename Model, int L>
void measure_sxm() {
  Rng rng(1);
  UnitBench<Model, L> bench;
  bench.start();
  bench.randomize_streams(rng);
  bench.apply_streams();
  auto& m = bench.model;
  m.issue_i = 0;
  m.amount_offset_i = 0;
  measure("SXM idle", L, bench, [](int64_t) {});
  m.issue_i = 1;
  const auto run = [&](const char* what, const SxmInstruction& x) {
    set_payload(m.instr_i, encode_push(0, 1, x));
    measure(what, L, bench, [](int64_t) {});
  };
  run("SXM ROTATE, 4 streams", {.op = SxmOp::Rotate, .width = SxmWidth::W4, .amount = 3, .out_dirs = 1});
  run("SXM PERMUTE, 1 stream", {.op = SxmOp::Permute, .index_stream = 1, .out_dirs = 1});
  run("SXM TRANSPOSE_OUT", {.op = SxmOp::TransposeOut, .amount = 3, .out_dirs = 1});
}

template <typename Model, int L>
void measure_vxm() {
  Rng rng(1);
  UnitBench<Model, L> bench;
  bench.start();
  auto& m = bench.model;
  for (int i = 0; i < 32; ++i) m.regs_i[i] = 0x3f800000u + static_cast<uint32_t>(i);
  for (auto& stream : bench.streams.bytes[0])
    for (auto& byte : stream) byte = 0x3f;
  bench.streams.defined = {0xffff, 0xffff};
  bench.apply_streams();
  m.issue_i = 0;
  m.first1_i = m.first2_i = m.first3_i = m.last1_i = m.last2_i = m.last3_i = 0;
  m.acc_offset_i = 0;
  m.select_offset_i = 0;
  measure("VXM idle", L, bench, [](int64_t) {});
  m.issue_i = 1;
  const auto run = [&](const char* what, const VxmInstruction& x, bool rotate) {
    set_payload(m.instr_i, encode_push(0, 1, x));
    bench.start();
    measure(what, L, bench, [&](int64_t c) { m.acc_offset_i = rotate ? c % 16 : 0; });
  };
  run("VXM copy of f32", {.x_format = VxmFormat::F32, .out_format = VxmOutFormat::F32, .out_dirs = 1}, false);
  run("VXM dequantize: i32, 2 mul, accumulate",
      {.x_format = VxmFormat::I32, .y_stream = 4, .y_format = VxmFormat::F16, .mul1 = VxmOperand::Y,
       .mul2 = VxmOperand::K1, .acc_op = VxmAccOp::Load, .k1 = 1, .out_format = VxmOutFormat::None}, true);
  run("VXM exp2 of scaled difference",
      {.x_format = VxmFormat::F32, .mul1 = VxmOperand::K1, .add_op = VxmAddOp::Sub,
       .add_operand = VxmOperand::K2, .sfu = VxmSfu::Exp2, .k1 = 1, .k2 = 2,
       .out_format = VxmOutFormat::F32, .out_dirs = 1}, false);
  run("VXM absmax, reciprocal, scale to int8",
      {.x_format = VxmFormat::F32, .tree = VxmTree::Absmax, .root = VxmRoot::Reciprocal,
       .combine = VxmCombine::R, .k1 = 1, .out_format = VxmOutFormat::I8, .out_dirs = 1}, false);
  run("VXM every stage",
      {.x_format = VxmFormat::I32, .y_stream = 4, .y_format = VxmFormat::F16, .z_stream = 8,
       .z_format = VxmFormat::F32, .mul1 = VxmOperand::Y, .mul2 = VxmOperand::K1,
       .add_op = VxmAddOp::Add, .add_operand = VxmOperand::Z, .select = VxmSelect::Lt,
       .select_imm = 9, .sfu = VxmSfu::Log2, .mul3 = VxmOperand::Z, .tree = VxmTree::Sum,
       .root = VxmRoot::Rsqrt, .combine = VxmCombine::R, .acc_op = VxmAccOp::Load, .k1 = 1, .k2 = 2,
       .out_source = VxmOutSource::W, .out_format = VxmOutFormat::I8, .out_dirs = 1}, true);
}

}  // namespace
}  // namespace pianola::bench

int main() {
  using namespace pianola::bench;
  measure_mxm<Vmxm16, 16>();
  measure_mxm<Vmxm32, 32>();
  measure_sxm<Vsxm16, 16>();
  measure_sxm<Vsxm32, 32>();
  measure_vxm<Vvxm16, 16>();
  measure_vxm<Vvxm32, 32>();
}
