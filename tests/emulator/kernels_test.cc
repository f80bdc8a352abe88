// VXM passes with the kernels of every instruction set of this host against the arithmetic of the machine
// spec: special functions, reduction trees and roots over any patterns, in batches of several passes.
#include <gtest/gtest.h>

#include <random>

#include "emulator/kernels.h"
#include "isa/arithmetic.h"
#include "isa/arithmetic_fast.h"

namespace pianola::test {
namespace {

constexpr uint32_t kK1 = 0x3c010204, kK2 = 0x3727c5ac;
constexpr int kK1Register = 1, kK2Register = 2;

// A batch of passes from planes of bytes to planes of bytes.
class PassBench {
 public:
  PassBench(int lanes, int passes, VxmInstruction x, int segment) : lanes_(lanes), passes_(passes) {
    x.x_format = VxmFormat::F32;
    x.out_format = VxmOutFormat::F32;
    x.k1 = kK1Register;
    x.k2 = kK2Register;
    VxmControl control;
    control.instruction = x;
    control.x_count = control.out_count = 4;
    control.places_per_pass = 8;
    control.segment = segment;
    program_.lanes = lanes;
    program_.vxm_controls.push_back(control);
    program_.vxm_accumulators.allocate(static_cast<size_t>(lanes) * 4);
    const size_t size = static_cast<size_t>(lanes) * passes;
    for (int b = 0; b < 8; ++b) planes_.emplace_back(size);
    for (int p = 0; p < passes; ++p) {
      VxmPass pass;
      pass.drives = true;
      program_.vxm_passes.push_back(pass);
      for (auto& plane : planes_) {
        program_.vxm_places.push_back(reinterpret_cast<uintptr_t>(plane.data() + p * lanes));
      }
    }
    batch_.passes = static_cast<uint32_t>(passes);
  }

  std::vector<uint32_t> run(const Kernels& kernels, const std::vector<uint32_t>& values) {
    for (size_t i = 0; i < values.size(); ++i) {
      for (int b = 0; b < 4; ++b) planes_[b][i] = static_cast<uint8_t>(values[i] >> (8 * b));
    }
    uint32_t registers[kLaunchRegisters] = {};
    registers[kK1Register] = kK1;
    registers[kK2Register] = kK2;
    const arith::FlushDenormalsScope flush;
    kernels.vxm(program_, batch_, registers, 1);
    std::vector<uint32_t> result(values.size());
    for (size_t i = 0; i < values.size(); ++i) {
      for (int b = 0; b < 4; ++b) result[i] |= static_cast<uint32_t>(planes_[4 + b][i]) << (8 * b);
    }
    return result;
  }
  size_t size() const { return static_cast<size_t>(lanes_) * passes_; }

 private:
  int lanes_, passes_;
  Program program_;
  VxmBatch batch_;
  std::vector<std::vector<uint8_t>> planes_;
};

std::vector<const Kernels*> all_kernels() {
  int count = 0;
  const Kernels* const* list = host_kernels(count);
  return {list, list + count};
}

uint32_t special(VxmSfu sfu, uint32_t a) {
  switch (sfu) {
    case VxmSfu::None: return a;
    case VxmSfu::Exp2: return arith::exp2(a);
    case VxmSfu::Reciprocal: return arith::reciprocal(a);
    case VxmSfu::Rsqrt: return arith::rsqrt(a);
    case VxmSfu::Log2: return arith::log2(a);
  }
  return 0;
}

TEST(Kernels, SpecialFunctionsHaveTheirBitsForPatternsOfEveryExponent) {
  for (const VxmSfu sfu : {VxmSfu::Exp2, VxmSfu::Reciprocal, VxmSfu::Rsqrt, VxmSfu::Log2}) {
    VxmInstruction x;
    x.sfu = sfu;
    PassBench bench(32, 16, x, 32);
    for (const Kernels* kernels : all_kernels()) {
      // All signs and exponents; fractions that end and begin segments and some between.
      std::mt19937 random(static_cast<uint32_t>(sfu));
      for (uint32_t head = 0; head < 512; ++head) {
        std::vector<uint32_t> values(bench.size());
        for (size_t i = 0; i < values.size(); ++i) {
          const uint32_t segment = static_cast<uint32_t>(i / 4) << 16;
          const auto some = static_cast<uint32_t>(random() & 0xffff);
          const uint32_t ends[] = {0, 0xffff, some, some ^ 0x5a5a};
          values[i] = head << 23 | segment | ends[i % 4];
        }
        const std::vector<uint32_t> result = bench.run(*kernels, values);
        for (size_t i = 0; i < values.size(); ++i) {
          ASSERT_EQ(result[i], special(sfu, values[i]))
              << kernels->name << " sfu " << int(sfu) << " of " << std::hex << values[i];
        }
      }
    }
  }
}

uint32_t combine(VxmTree tree, uint32_t a, uint32_t b) {
  return tree == VxmTree::Sum ? arith::add(a, b) : arith::max(a, b);
}

// The result of one segment by the tree of the machine spec: neighbours, level by level.
uint32_t reduced(VxmTree tree, std::vector<uint32_t> level) {
  for (uint32_t& value : level) value = tree == VxmTree::Absmax ? value & 0x7fffffff : value;
  while (level.size() > 1) {
    std::vector<uint32_t> next;
    for (size_t i = 0; i + 1 < level.size(); i += 2) {
      next.push_back(combine(tree, level[i], level[i + 1]));
    }
    if (level.size() % 2 != 0) next.push_back(level.back());
    level = std::move(next);
  }
  return level[0];
}

uint32_t rooted(VxmRoot root, uint32_t r) {
  switch (root) {
    case VxmRoot::None: return r;
    case VxmRoot::Scale: return arith::mul(r, kK1);
    case VxmRoot::Reciprocal: return arith::reciprocal(arith::mul(r, kK1));
    case VxmRoot::Rsqrt: return arith::rsqrt(arith::add(arith::mul(r, kK1), kK2));
  }
  return 0;
}

// Values near each other, and now and then what orders and sums badly.
uint32_t some_value(std::mt19937& random) {
  const uint32_t specials[] = {0x7fc00001, 0x7f800000, 0xff800000, 0x80000000, 0, 7, 0xffc00000};
  const uint32_t draw = random() % 400;
  if (draw < 7) return specials[draw];
  return (random() & 0x80000000) | (0x3e000000 + random() % 0x02000000);
}

TEST(Kernels, TreesReduceNeighboursFirstWhateverTheSegment) {
  for (const int lanes : {16, 32, 64, 128}) {
    for (int segment = 8; segment <= lanes; segment *= 2) {
      for (const VxmTree tree : {VxmTree::Sum, VxmTree::Max, VxmTree::Absmax}) {
        for (const VxmRoot root :
             {VxmRoot::None, VxmRoot::Scale, VxmRoot::Reciprocal, VxmRoot::Rsqrt}) {
          VxmInstruction x;
          x.tree = tree;
          x.root = root;
          x.combine = VxmCombine::Replace;
          PassBench bench(lanes, 3, x, segment);
          std::mt19937 random(static_cast<uint32_t>(lanes + segment));
          for (int round = 0; round < 20; ++round) {
            std::vector<uint32_t> values(bench.size());
            for (uint32_t& value : values) value = some_value(random);
            std::vector<uint32_t> expected;
            for (size_t first = 0; first < values.size(); first += static_cast<size_t>(segment)) {
              const auto from = values.begin() + static_cast<std::ptrdiff_t>(first);
              const uint32_t r = rooted(root, reduced(tree, {from, from + segment}));
              expected.insert(expected.end(), static_cast<size_t>(segment), r);
            }
            for (const Kernels* kernels : all_kernels()) {
              ASSERT_EQ(bench.run(*kernels, values), expected)
                  << kernels->name << ", " << lanes << " lanes, segments of " << segment
                  << ", tree " << int(tree) << ", root " << int(root);
            }
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace pianola::test
