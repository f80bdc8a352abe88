// The worked encodings of docs/isa.md: read from the page, played on the naive interpreter, and
// compared bit for bit with the arithmetic of docs/numerics.md.
#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <fstream>
#include <random>
#include <regex>
#include <sstream>

#include "emulator/naive_interpreter.h"
#include "isa/arithmetic.h"
#include "isa/assembly.h"
#include "tests/support/build_program.h"
#include "verifier/verify_roll.h"

namespace pianola {
namespace {

using test::ProgramBuilder;

constexpr uint32_t kMasked = 0xf149f2ca;  // -1e30
constexpr int kLanes = 16;

std::string page() {
  std::ifstream file(PIANOLA_SOURCE_DIR "/docs/isa.md");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<std::string> block(const std::string& name) {
  const std::string text = page();
  const std::string opening = "```\n# " + name + "\n";
  const size_t begin = text.find(opening);
  CHECK(begin != std::string::npos);
  const size_t from = begin + opening.size();
  std::istringstream lines(text.substr(from, text.find("```", from) - from));
  std::vector<std::string> result;
  for (std::string line; std::getline(lines, line);) result.push_back(line);
  return result;
}

template <typename X>
void push_decoded(ProgramBuilder& builder, uint64_t base, const Word& word) {
  X x;
  ASSERT_TRUE(decode(word, x));
  EXPECT_TRUE(timing_is_legal(x.timing));
  const Header header = decode_header(word);
  builder.push(static_cast<int>(header.queue), base + x.timing.start, x, header.mask);
}

// The instructions of a block, the first cycle being `base`.
void add_block(ProgramBuilder& builder, const std::string& name, uint64_t base) {
  for (const std::string& line : block(name)) {
    const auto word = assemble_word(builder.target(), line);
    ASSERT_TRUE(word.ok()) << to_string(word.error()) << " in " << line;
    EXPECT_EQ(disassemble_word(builder.target(), *word).size() <= line.size(), true) << line;
    switch (builder.target().queues[decode_header(*word).queue].kind) {
      case QueueKind::TapeRecv:
      case QueueKind::KvRecv:
      case QueueKind::HostRecv:
        push_decoded<PortRecvInstruction>(builder, base, *word);
        break;
      case QueueKind::KvSend:
      case QueueKind::HostSend:
        push_decoded<PortSendInstruction>(builder, base, *word);
        break;
      case QueueKind::VxmPass:
        push_decoded<VxmInstruction>(builder, base, *word);
        break;
      case QueueKind::MemRead:
      case QueueKind::MemWrite:
        push_decoded<MemInstruction>(builder, base, *word);
        break;
      case QueueKind::SxmMove:
        push_decoded<SxmInstruction>(builder, base, *word);
        break;
      case QueueKind::MxmLoad:
        push_decoded<MxmLoadInstruction>(builder, base, *word);
        break;
      case QueueKind::MxmMac:
        push_decoded<MxmMacInstruction>(builder, base, *word);
        break;
    }
  }
}

// One launch: inputs come from the host, then the block plays, then the host reads the results.
class Player {
 public:
  Player()
      : target_(*load_target(PIANOLA_SOURCE_DIR "/tests/isa/targets/small16.toml")),
        builder_(target_) {}

  void put_vector(int slice, int address, const std::vector<uint8_t>& bytes) {
    builder_.fill(now_, slice, address);
    now_ += 8;
    for (uint8_t byte : bytes) host_input_.push_back(std::byte(byte));
  }
  // 16 fp32 values, byte b in slice first + b.
  void put_floats(int first, int address, const std::vector<uint32_t>& values) {
    for (int b = 0; b < 4; ++b) {
      std::vector<uint8_t> bytes;
      for (uint32_t value : values) bytes.push_back(static_cast<uint8_t>(value >> (8 * b)));
      put_vector(first + b, address, bytes);
    }
  }
  void set_register(int index, uint32_t value) {
    builder_.declare(index, value, value);
    registers_.resize(32);
    registers_[static_cast<size_t>(index)] = value;
  }

  // Plays and returns the fp32 values of `count` words of four slices.
  std::vector<uint32_t> play(const std::string& name, int slice, int address, int count,
                             std::span<const std::byte> tape, std::span<const std::byte> kv) {
    add_block(builder_, name, now_ + 20);
    uint64_t at = builder_.idle_cycle();
    for (int i = 0; i < count; ++i, at += 4) {
      MemInstruction read;
      read.dir = Direction::West;
      read.address = static_cast<uint32_t>(address + i);
      builder_.push(builder_.queue(QueueKind::MemRead, slice), at, read, 0xf);
      builder_.send(QueueKind::HostSend, target_.slice_position(slice), at + 2, 0, 4);
    }
    CHECK(builder_.build());
    Roll roll = builder_.finish(name);
    if (!tape.empty()) {
      CHECK(roll.owned_data.size() == tape.size());
      std::copy(tape.begin(), tape.end(), roll.owned_data.begin());
    }
    EXPECT_TRUE(check_roll(roll).ok()) << to_string(check_roll(roll).error());
    const VerifyReport report = verify_roll(roll);
    EXPECT_TRUE(report.ok()) << to_string(report);
    NaiveInterpreter machine;
    const Status loaded = machine.load(roll, 1);
    EXPECT_TRUE(loaded.ok());
    CHECK(machine.kv_region().size() == kv.size());
    std::copy(kv.begin(), kv.end(), machine.kv_region().begin());
    const auto result = machine.launch({0, registers_, host_input_});
    EXPECT_TRUE(result.ok()) << to_string(result.error());
    if (!result.ok()) return {};
    std::vector<uint32_t> values;
    for (int i = 0; i < count; ++i) {
      for (int lane = 0; lane < kLanes; ++lane) {
        uint32_t value = 0;
        for (int b = 0; b < 4; ++b) {
          const size_t at_byte = static_cast<size_t>((4 * i + b) * kLanes + lane);
          value |= std::to_integer<uint32_t>(result->host_output[at_byte]) << (8 * b);
        }
        values.push_back(value);
      }
    }
    return values;
  }

 private:
  Target target_;
  ProgramBuilder builder_;
  uint64_t now_ = 20;
  std::vector<std::byte> host_input_;
  std::vector<uint32_t> registers_;
};

uint32_t bits(float value) { return std::bit_cast<uint32_t>(value); }

// Floats of both signs and of some spread.
uint32_t random_float(std::mt19937& random) {
  return bits((static_cast<float>(random() % 2001) - 1000) / 250.0f);
}
int8_t random_code(std::mt19937& random) { return static_cast<int8_t>(random() % 255); }

// The balanced tree over 16 lanes.
template <typename Combine>
uint32_t tree(std::vector<uint32_t> values, Combine combine) {
  for (; values.size() > 1; values.resize(values.size() / 2)) {
    for (size_t i = 0; 2 * i < values.size(); ++i)
      values[i] = combine(values[2 * i], values[2 * i + 1]);
  }
  return values[0];
}
uint32_t absolute(uint32_t value) { return value & 0x7fffffff; }

TEST(WorkedEncodings, GemvMatchesTheArithmetic) {
  constexpr int kSize = 128, kGroups = 4;
  std::mt19937 random(1);
  std::vector<int8_t> x(kSize), weights(kSize * kSize);
  for (int8_t& code : x) code = random_code(random);
  for (int8_t& code : weights) code = random_code(random);
  std::vector<uint16_t> scales(kSize * kGroups);
  for (uint16_t& scale : scales) scale = static_cast<uint16_t>(0x2000 + random() % 0x1000);
  const std::vector<uint32_t> x_scales = {bits(0.013f), bits(0.25f)};
  Player player;
  for (int k = 0; k < kSize; k += kLanes) {
    player.put_vector(12, k / kLanes, std::vector<uint8_t>(x.begin() + k, x.begin() + k + kLanes));
  }
  for (int g = 0; g < 2; ++g) {
    std::vector<uint32_t> lane0(kLanes, 0x7fc00000);  // the other lanes do not matter
    lane0[0] = x_scales[static_cast<size_t>(g)];
    player.put_floats(4, g, lane0);
  }
  std::vector<std::byte> tape;
  for (int o = 0; o < kSize; o += kLanes) {
    for (int g = 0; g < kGroups; ++g) {
      for (int shift : {0, 8}) {
        for (int i = 0; i < kLanes; ++i) {
          tape.push_back(
              std::byte(scales[static_cast<size_t>((o + i) * kGroups + g)] >> shift & 255));
        }
      }
    }
  }
  for (int o = 0; o < kSize; o += kLanes) {
    for (int k = 0; k < kSize; k += kLanes) {
      for (int i = 0; i < kLanes; ++i) {
        for (int j = 0; j < kLanes; ++j) {
          tape.push_back(std::byte(weights[static_cast<size_t>((o + i) * kSize + k + j)]));
        }
      }
    }
  }
  EXPECT_EQ(tape.size(), 17408u);
  const std::vector<uint32_t> y = player.play("gemv", 8, 0, 8, tape, {});
  ASSERT_EQ(y.size(), static_cast<size_t>(kSize));
  for (int o = 0; o < kSize; ++o) {
    uint32_t sum = 0;
    for (int g = 0; g < kGroups; ++g) {
      int32_t products = 0;
      for (int k = 32 * g; k < 32 * g + 32; ++k) {
        products += weights[static_cast<size_t>(o * kSize + k)] * x[static_cast<size_t>(k)];
      }
      const uint32_t weight_scale = arith::f16_to_f32(scales[static_cast<size_t>(o * kGroups + g)]);
      const uint32_t term = arith::mul(arith::mul(arith::int32_to_f32(products), weight_scale),
                                       x_scales[static_cast<size_t>(g / 2)]);
      sum = g == 0 ? term : arith::add(sum, term);
    }
    EXPECT_EQ(y[static_cast<size_t>(o)], sum) << o;
  }
}

TEST(WorkedEncodings, SoftmaxMatchesTheArithmetic) {
  constexpr int kBlocks = 8, kValid = 101;
  std::mt19937 random(2);
  std::vector<uint32_t> scores(kBlocks * kLanes);
  for (uint32_t& score : scores) score = random_float(random);
  Player player;
  for (int b = 0; b < kBlocks; ++b) {
    player.put_floats(4, b, {scores.begin() + b * kLanes, scores.begin() + (b + 1) * kLanes});
  }
  player.set_register(1, kValid);
  player.set_register(2, kMasked);
  const std::vector<uint32_t> p = player.play("softmax", 4, 8, kBlocks, {}, {});
  ASSERT_EQ(p.size(), scores.size());
  for (size_t i = kValid; i < scores.size(); ++i) scores[i] = kMasked;
  uint32_t largest = 0, sum = 0;
  std::vector<uint32_t> e;
  const auto block_of = [](const std::vector<uint32_t>& values, int b) {
    return std::vector<uint32_t>(values.begin() + b * kLanes, values.begin() + (b + 1) * kLanes);
  };
  for (int b = 0; b < kBlocks; ++b) {
    const uint32_t m = tree(block_of(scores, b), arith::max);
    largest = b == 0 ? m : arith::max(largest, m);
  }
  for (uint32_t s : scores) e.push_back(arith::exp2(arith::sub(s, largest)));
  for (int b = 0; b < kBlocks; ++b) {
    const uint32_t l = tree(block_of(e, b), arith::add);
    sum = b == 0 ? l : arith::add(sum, l);
  }
  double total = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    EXPECT_EQ(p[i], arith::mul(e[i], arith::reciprocal(sum))) << i;
    total += static_cast<double>(std::bit_cast<float>(p[i]));
  }
  EXPECT_NEAR(total, 1, 1e-6);
}

TEST(WorkedEncodings, AttentionMatchesTheArithmetic) {
  constexpr int kBlocks = 8, kHead = 64, kChunks = kHead / kLanes, kValid = 117;
  const uint32_t c127 = bits(1.0f / 127.0f), q_scale = bits(0.0021f);
  std::mt19937 random(3);
  std::vector<int8_t> q(kHead), k(kBlocks * kLanes * kHead), v(k.size());
  for (auto* codes : {&q, &k, &v}) {
    for (int8_t& code : *codes) code = random_code(random);
  }
  std::vector<uint32_t> k_scale, v_scale;
  for (int j = 0; j < kBlocks * kLanes; ++j) {
    // What lies behind the valid positions may be anything, infinities and NaNs included.
    k_scale.push_back(j < kValid ? bits(0.01f + 0.0001f * static_cast<float>(j)) : 0x7fc00000u);
    v_scale.push_back(j < kValid ? bits(0.02f + 0.0003f * static_cast<float>(j)) : 0x7f800000u);
  }
  std::vector<std::byte> kv;
  for (int b = 0; b < kBlocks; ++b) {
    for (const auto* scales : {&k_scale, &v_scale}) {
      for (int shift = 0; shift < 32; shift += 8) {
        for (int i = 0; i < kLanes; ++i) {
          kv.push_back(std::byte((*scales)[static_cast<size_t>(b * kLanes + i)] >> shift & 255));
        }
      }
    }
  }
  for (const auto* codes : {&k, &v}) {
    for (int b = 0; b < kBlocks; ++b) {
      for (int c = 0; c < kChunks; ++c) {
        for (int i = 0; i < kLanes; ++i) {
          for (int lane = 0; lane < kLanes; ++lane) {
            kv.push_back(std::byte(
                (*codes)[static_cast<size_t>((b * kLanes + i) * kHead + c * kLanes + lane)]));
          }
        }
      }
    }
  }
  EXPECT_EQ(kv.size(), 17408u);
  Player player;
  for (int c = 0; c < kChunks; ++c) {
    player.put_vector(12, c,
                      std::vector<uint8_t>(q.begin() + c * kLanes, q.begin() + (c + 1) * kLanes));
  }
  std::vector<uint32_t> lane0(kLanes, 0x7fc00000);
  lane0[0] = q_scale;
  player.put_floats(4, 0, lane0);
  player.set_register(1, kValid);
  player.set_register(2, kMasked);
  player.set_register(3, c127);
  const std::vector<uint32_t> out = player.play("attention", 4, 4, kChunks, {}, kv);
  ASSERT_EQ(out.size(), static_cast<size_t>(kHead));

  std::vector<std::vector<uint32_t>> s(kBlocks), e(kBlocks);
  uint32_t largest = 0, l = 0;
  for (int b = 0; b < kBlocks; ++b) {
    for (int i = 0; i < kLanes; ++i) {
      const size_t j = static_cast<size_t>(b * kLanes + i);
      int32_t dot = 0;
      for (size_t d = 0; d < kHead; ++d) dot += q[d] * k[j * kHead + d];
      s[b].push_back(j < kValid
                         ? arith::mul(arith::mul(arith::int32_to_f32(dot), k_scale[j]), q_scale)
                         : kMasked);
    }
    const uint32_t m = tree(s[b], arith::max);
    largest = b == 0 ? m : arith::max(largest, m);
  }
  std::vector<uint32_t> o(kHead);
  for (int b = 0; b < kBlocks; ++b) {
    for (uint32_t score : s[b]) e[b].push_back(arith::exp2(arith::sub(score, largest)));
    const uint32_t sum = tree(e[b], arith::add);
    l = b == 0 ? sum : arith::add(l, sum);
    std::vector<uint32_t> w, magnitudes;
    for (int i = 0; i < kLanes; ++i) {
      const size_t j = static_cast<size_t>(b * kLanes + i);
      w.push_back(j < kValid ? arith::mul(e[b][static_cast<size_t>(i)], v_scale[j]) : 0);
      magnitudes.push_back(absolute(w.back()));
    }
    const uint32_t scale = arith::mul(tree(magnitudes, arith::max), c127);
    const uint32_t inverse = arith::reciprocal(scale);
    for (size_t d = 0; d < kHead; ++d) {
      int32_t sum_d = 0;
      for (size_t i = 0; i < kLanes; ++i) {
        sum_d += arith::f32_to_int8_sat(arith::mul(w[i], inverse)) *
                 v[(static_cast<size_t>(b * kLanes) + i) * kHead + d];
      }
      const uint32_t term = arith::mul(arith::int32_to_f32(sum_d), scale);
      o[d] = b == 0 ? term : arith::add(o[d], term);
    }
  }
  for (size_t d = 0; d < kHead; ++d) {
    EXPECT_EQ(out[d], arith::mul(o[d], arith::reciprocal(l))) << d;
  }
}

std::string with_commas(uint64_t value) {
  std::string text = std::to_string(value);
  for (size_t at = text.size(); at > 3; at -= 3) text.insert(at - 3, ",");
  return text;
}

TEST(WorkedEncodings, CountsOnThePageAreTrue) {
  const std::string text = page();
  const auto expect_text = [&](const std::string& part) {
    EXPECT_NE(text.find(part), std::string::npos) << part;
  };
  for (const char* name : {"gemv", "softmax", "attention"}) {
    const size_t count = block(name).size();
    expect_text(std::to_string(count) + " instructions, " + with_commas(32 * count) + " bytes");
  }
  // The table: words x times = total, and the sum.
  const size_t begin = text.find("### Decode of a 100 M model");
  ASSERT_NE(begin, std::string::npos);
  const std::string section = text.substr(begin, text.find("## Tables") - begin);
  const std::regex row(R"(\| ([^|]+) \| (\d+) \| (\d+) \| (\d+) \|)");
  uint64_t sum = 0;
  for (std::sregex_iterator it(section.begin(), section.end(), row), end; it != end; ++it) {
    const uint64_t words = std::stoull((*it)[2]), times = std::stoull((*it)[3]);
    EXPECT_EQ(words * times, std::stoull((*it)[4])) << (*it)[1];
    const std::string step = (*it)[1];
    if (step.starts_with("Products q")) {
      EXPECT_EQ(words, block("gemv").size());
    }
    if (step.starts_with("Attention")) {
      EXPECT_EQ(words, block("attention").size());
    }
    sum += words * times;
  }
  expect_text("| Sum | | | " + std::to_string(sum) + " |");
  const uint64_t weights = 30 * (2 * 576 * 576 + 2 * 576 * 192 + 3 * 576 * 1536) + 49152 * 576;
  const uint64_t data = weights + weights / 32 * 2, bytes = 2 * sum * 32;
  expect_text(with_commas(2 * sum) + " words, " + with_commas(bytes) + " bytes.");
  expect_text(with_commas(data) + " bytes");
  char percent[64];
  std::snprintf(percent, sizeof percent, "%.2f %% of the data, %.2f %% without the NOPs",
                100.0 * static_cast<double>(bytes) / static_cast<double>(data),
                50.0 * static_cast<double>(bytes) / static_cast<double>(data));
  expect_text(percent);
  EXPECT_LE(bytes * 100, data);  // at most 1 %
}

}  // namespace
}  // namespace pianola
