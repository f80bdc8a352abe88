// VXM passes with the kernels of every instruction set of this host against the arithmetic of the machine
// spec: special functions, reduction trees and roots over any patterns, in batches of several passes.
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <random>
#include <utility>

#include "emulator/kernels.h"
#include "emulator/word_vectors.h"
#include "isa/arithmetic.h"
#include "isa/arithmetic_fast.h"

namespace pianola::test {
namespace {

constexpr uint32_t kK1 = 0x3c010204, kK2 = 0x3727c5ac;
constexpr int kK1Register = 1, kK2Register = 2;

// A batch of passes from planes of bytes to planes of bytes, and the same from words to words.
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
    word_batch_ = batch_;
    word_batch_.first_place = program_.vxm_places.size();
    word_batch_.control = 1;
    control.x_count = control.out_count = 1;
    control.places_per_pass = 2;
    program_.vxm_controls.push_back(control);
    in_.resize(size);
    out_.resize(size);
    for (int p = 0; p < passes; ++p) {
      for (const auto* words : {in_.data(), out_.data()}) {
        const Place first = reinterpret_cast<uintptr_t>(words + p * lanes);
        program_.vxm_places.push_back(first | kWordsBit);
      }
    }
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
    in_ = values;
    kernels.vxm(program_, word_batch_, registers, 1);
    std::vector<uint32_t> result(values.size());
    for (size_t i = 0; i < values.size(); ++i) {
      for (int b = 0; b < 4; ++b) result[i] |= static_cast<uint32_t>(planes_[4 + b][i]) << (8 * b);
    }
    EXPECT_EQ(out_, result) << kernels.name << ", words";
    return result;
  }
  size_t size() const { return static_cast<size_t>(lanes_) * passes_; }

 private:
  int lanes_, passes_;
  Program program_;
  VxmBatch batch_, word_batch_;
  std::vector<uint32_t> in_, out_;
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

int streams_of(VxmFormat format) {
  constexpr int kCounts[] = {0, 1, 4, 4, 2, 2, 4, 4};
  return kCounts[static_cast<int>(format)];
}
int streams_of(VxmOutFormat format) {
  constexpr int kCounts[] = {0, 1, 4, 4, 2, 2};
  return kCounts[static_cast<int>(format)];
}

// Any instruction, with its operands and accumulators at random: what each kernel makes of them.
class AnyPassBench {
 public:
  static constexpr int kAccumulators = 4;

  AnyPassBench(int lanes, int passes, const VxmInstruction& x, int segment, int shape)
      : lanes_(lanes), random_(static_cast<uint32_t>(lanes + passes)) {
    VxmControl control;
    control.instruction = x;
    control.x_count = streams_of(x.x_format);
    control.y_count = streams_of(x.y_format);
    control.z_count = streams_of(x.z_format);
    control.out_count = streams_of(x.out_format);
    control.places_per_pass =
        control.x_count + control.y_count + control.z_count + control.out_count;
    control.segment = segment;
    control.shape = shape;
    program_.lanes = lanes;
    program_.vxm_controls.push_back(control);
    program_.vxm_accumulators.allocate(static_cast<size_t>(lanes) * kAccumulators * 4);
    for (int p = 0; p < passes; ++p) {
      VxmPass pass;
      pass.drives = control.out_count > 0 && random_() % 4 != 0;
      pass.loads = random_() % 3 == 0 && x.first != VxmFirst::Never;
      pass.accumulator = static_cast<uint8_t>(random_() % kAccumulators);
      pass.threshold = static_cast<int32_t>(random_() % 40) - 4;
      program_.vxm_passes.push_back(pass);
      for (const auto& [format, count] : {std::pair{x.x_format, control.x_count},
                                          {x.y_format, control.y_count},
                                          {x.z_format, control.z_count}}) {
        add_operand(format, count);
      }
      for (int b = 0; b < control.out_count; ++b) {
        outputs_.push_back(random_() % 5 == 0 ? 0 : bytes());  // nobody reads some
        program_.vxm_places.push_back(outputs_.back());
      }
    }
    for (int i = 0; i < lanes * kAccumulators; ++i) file_.push_back(some_value(random_));
    batch_.passes = static_cast<uint32_t>(passes);
  }

  // All that is driven, then the accumulators.
  std::vector<uint8_t> run(const Kernels& kernels) {
    std::memcpy(program_.vxm_accumulators.data, file_.data(), file_.size() * 4);
    for (const Place place : outputs_) {
      if (place != 0) std::memset(reinterpret_cast<void*>(place), 0xa5, lanes_);
    }
    uint32_t registers[kLaunchRegisters] = {};
    registers[kK1Register] = kK1;
    registers[kK2Register] = kK2;
    registers[kSelectRegister] = 3;
    {
      const arith::FlushDenormalsScope flush;
      kernels.vxm(program_, batch_, registers, kAccumulators);
    }
    std::vector<uint8_t> all;
    const auto append = [&](const void* from, size_t size) {
      const auto* bytes = static_cast<const uint8_t*>(from);
      all.insert(all.end(), bytes, bytes + size);
    };
    for (const Place place : outputs_) {
      if (place != 0) append(reinterpret_cast<const void*>(place), lanes_);
    }
    append(program_.vxm_accumulators.data, file_.size() * 4);
    return all;
  }

  static constexpr int kSelectRegister = 3;

 private:
  Place bytes() {
    memory_.emplace_back(new uint8_t[lanes_]);
    return reinterpret_cast<uintptr_t>(memory_.back().get());
  }
  void add_operand(VxmFormat format, int count) {
    std::vector<uint32_t> values;
    for (size_t i = 0; i < lanes_; ++i) {
      values.push_back(format == VxmFormat::F32 || format == VxmFormat::F32Lane0
                           ? some_value(random_)
                           : static_cast<uint32_t>(random_()));
    }
    for (int b = 0; b < count; ++b) {
      const Place place = bytes();
      for (size_t i = 0; i < lanes_; ++i) {
        reinterpret_cast<uint8_t*>(place)[i] = static_cast<uint8_t>(values[i] >> (8 * b));
      }
      program_.vxm_places.push_back(place);
    }
  }

  size_t lanes_;
  std::mt19937 random_;
  Program program_;
  VxmBatch batch_;
  std::vector<std::unique_ptr<uint8_t[]>> memory_;
  std::vector<Place> outputs_;
  std::vector<uint32_t> file_;
};

void expect_all_kernels_agree(const VxmInstruction& x, int shape) {
  for (const int lanes : {8, 16, 32, 64}) {
    for (int segment = lanes; segment >= 8; segment /= 2) {
      AnyPassBench bench(lanes, 5, x, segment, shape);
      const std::vector<uint8_t> expected = bench.run(kPortableKernels);
      for (const Kernels* kernels : all_kernels()) {
        ASSERT_EQ(bench.run(*kernels), expected)
            << kernels->name << ", " << lanes << " lanes, segments of " << segment << ", shape "
            << shape;
      }
    }
  }
}

VxmInstruction with_registers(VxmInstruction x) {
  x.k1 = kK1Register;
  x.k2 = kK2Register;
  x.select_reg = AnyPassBench::kSelectRegister;
  return x;
}

TEST(Kernels, EveryPassHasTheBitsOfThePortableKernels) {
  std::mt19937 random(5);
  const auto pick = [&]<typename Enum>(Enum last) {
    return static_cast<Enum>(random() % (static_cast<uint32_t>(last) + 1));
  };
  for (int round = 0; round < 3000; ++round) {
    VxmInstruction x;
    x.x_format = pick(VxmFormat::F32Lane0);
    x.y_format = pick(VxmFormat::F32Lane0);
    x.z_format = pick(VxmFormat::F32Lane0);
    x.mul1 = pick(VxmOperand::Lane);
    x.mul2 = pick(VxmOperand::Lane);
    x.mul3 = pick(VxmOperand::Lane);
    x.add_op = pick(VxmAddOp::Iadd);
    if (x.add_op != VxmAddOp::None) {
      x.add_operand = static_cast<VxmOperand>(1 + random() % 5);
    }
    x.select = pick(VxmSelect::Eq);
    x.sfu = pick(VxmSfu::Log2);
    x.tree = pick(VxmTree::Argmax);
    x.root = pick(VxmRoot::Rsqrt);
    x.combine = pick(x.tree == VxmTree::None ? VxmCombine::Lane : VxmCombine::Replace);
    if (x.tree != VxmTree::None) x.acc_source = pick(VxmAccSource::R);
    x.acc_op = pick(VxmAccOp::Read);
    x.first = pick(VxmFirst::Level1);
    x.out_format = pick(VxmOutFormat::F16);
    x.out_source = pick(VxmOutSource::W);
    ASSERT_NO_FATAL_FAILURE(expect_all_kernels_agree(with_registers(x), number_of(shape_of(x))))
        << "round " << round;
  }
}

TEST(Kernels, ShapesOfModelsHaveTheBitsOfThePortableKernels) {
  for (const VxmShape& shape : kVxmShapes) {
    VxmInstruction x;
    x.x_format = shape.x;
    x.y_format = shape.y;
    x.z_format = shape.z;
    x.mul1 = shape.mul1;
    x.mul2 = shape.mul2;
    x.mul3 = shape.mul3;
    x.add_op = shape.add_op;
    x.add_operand = shape.add_operand;
    x.select = shape.select;
    x.sfu = shape.sfu;
    x.tree = shape.tree;
    x.root = shape.root;
    x.combine = shape.combine;
    x.acc_source = shape.acc_source;
    x.acc_op = shape.acc_op;
    x.out_source = shape.out_source;
    x.out_format = shape.out;
    x.first = shape.first_loads ? VxmFirst::Level1 : VxmFirst::Never;
    ASSERT_EQ(shape_of(x), shape);
    ASSERT_NO_FATAL_FAILURE(expect_all_kernels_agree(with_registers(x), number_of(shape)));
  }
}

}  // namespace
}  // namespace pianola::test
