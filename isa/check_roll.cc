// What a roll's metadata may say: every index, count and range is bounded here, so that whoever
// plays a roll can use them as they are.
#include <algorithm>
#include <set>
#include <string>

#include "isa/roll.h"

namespace pianola {
namespace {

__extension__ using Wide = __int128;

constexpr size_t kEntriesMax = 4096;
constexpr size_t kNameBytesMax = 256;
constexpr size_t kBoundsMax = 256;
constexpr size_t kEosMax = 1024;
constexpr size_t kRegionsMax = 1 << 20;
constexpr int kTokensMax = 1 << 16;
constexpr uint64_t kCyclesMax = uint64_t{1} << 40;
constexpr uint64_t kVectorsMax = uint64_t{1} << 40;

class Checker {
 public:
  explicit Checker(const Roll& roll)
      : roll_(roll),
        tape_vectors_(roll.data.size() / static_cast<size_t>(std::max(1, roll.target.lanes))) {}

  Status check() {
    const RollMetadata& metadata = roll_.metadata;
    if (metadata.version != kRollVersion) {
      return bad("version", "expected " + std::to_string(kRollVersion) + ", got " +
                                std::to_string(metadata.version));
    }
    TRY_STATUS(check_target());
    TRY_STATUS(check_model());
    if (roll_.data.size() % static_cast<size_t>(roll_.target.lanes) != 0) {
      return bad("data", "expected whole vectors of " + std::to_string(roll_.target.lanes) +
                             " bytes, got " + std::to_string(roll_.data.size()) + " bytes");
    }
    if (metadata.kv_vectors > kVectorsMax) {
      return bad("kv_vectors", "expected at most 2^40, got " + std::to_string(metadata.kv_vectors));
    }
    if (metadata.persistent.size() > kRegionsMax)
      return bad("persistent", "more than 2^20 regions");
    for (size_t i = 0; i < metadata.persistent.size(); ++i) {
      TRY_STATUS(check_region(metadata.persistent[i], "persistent " + std::to_string(i)));
    }
    if (metadata.entries.size() > kEntriesMax) {
      return bad("entries", "expected at most " + std::to_string(kEntriesMax) + ", got " +
                                std::to_string(metadata.entries.size()));
    }
    for (size_t i = 0; i < metadata.entries.size(); ++i) {
      TRY_STATUS(check_entry(metadata.entries[i], "entry " + std::to_string(i)));
    }
    return Ok{};
  }

 private:
  static Error bad(const std::string& where, const std::string& message) {
    return Error{ErrorCode::Malformed, message, where};
  }

  static Status check_name(const std::string& name, const std::string& where) {
    const bool printable =
        std::all_of(name.begin(), name.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
    if (name.size() > kNameBytesMax || !printable) {
      return bad(where, "expected a name of at most " + std::to_string(kNameBytesMax) +
                            " printable ASCII characters");
    }
    return Ok{};
  }

  static Status check_range(int64_t value, int64_t minimum, int64_t maximum,
                            const std::string& where) {
    if (value >= minimum && value <= maximum) return Ok{};
    return bad(where, "expected " + std::to_string(minimum) + " to " + std::to_string(maximum) +
                          ", got " + std::to_string(value));
  }

  Status check_target() const {
    const RollMetadata& metadata = roll_.metadata;
    if (metadata.target_text != canonical_text(roll_.target) ||
        metadata.target_name != roll_.target.name) {
      return bad("target", "the embedded target and the target's name or text do not agree");
    }
    return Ok{};
  }

  Status check_model() const {
    const RollModel& model = roll_.metadata.model;
    TRY_STATUS(check_name(model.architecture, "model architecture"));
    TRY_STATUS(check_name(model.quantization, "model quantization"));
    for (const auto& [name, value] : {std::pair{"vocabulary", model.vocabulary},
                                      {"hidden", model.hidden},
                                      {"layers", model.layers},
                                      {"heads", model.heads},
                                      {"kv_heads", model.kv_heads},
                                      {"head_size", model.head_size},
                                      {"feed_forward", model.feed_forward},
                                      {"context", model.context}}) {
      TRY_STATUS(check_range(value, 0, INT32_MAX, std::string("model ") + name));
    }
    TRY_STATUS(check_range(model.bos, -1, INT32_MAX, "model bos"));
    TRY_STATUS(check_range(static_cast<int64_t>(model.eos.size()), 0, kEosMax, "model eos count"));
    for (int token : model.eos) TRY_STATUS(check_range(token, 0, INT32_MAX, "model eos"));
    return Ok{};
  }

  Status check_region(const PersistentRegion& region, const std::string& where) const {
    TRY_STATUS(check_name(region.name, where + " name"));
    const int words = roll_.target.words_per_slice;
    TRY_STATUS(check_range(region.slice, 0, roll_.target.slices() - 1, where + " slice"));
    TRY_STATUS(check_range(region.first_word, 0, words - 1, where + " first_word"));
    return check_range(region.words, 1, words - region.first_word, where + " words");
  }

  Status check_entry(const Entry& entry, const std::string& where) const {
    TRY_STATUS(check_name(entry.name, where + " name"));
    TRY_STATUS(check_range(static_cast<int>(entry.kind), 0, static_cast<int>(EntryKind::Verify),
                           where + " kind"));
    TRY_STATUS(check_range(entry.tokens, 0, kTokensMax, where + " tokens"));
    TRY_STATUS(check_range(entry.context, 0, INT32_MAX, where + " context"));
    const uint64_t words = roll_.words.size();
    if (entry.first_word > words || entry.word_count > words - entry.first_word) {
      return bad(where, "words " + std::to_string(entry.first_word) + " + " +
                            std::to_string(entry.word_count) + " do not lie in the " +
                            std::to_string(words) + " words of the roll");
    }
    if (entry.word_count == 0) return bad(where, "expected at least one word, got none");
    if (entry.cycles == 0 || entry.cycles > kCyclesMax) {
      return bad(where + " cycles", "expected 1 to 2^40, got " + std::to_string(entry.cycles));
    }
    TRY_STATUS(check_registers(entry, where));
    TRY_STATUS(check_segments(entry, entry.tape, tape_vectors_, where + " tape"));
    TRY_STATUS(check_segments(entry, entry.kv_read, roll_.metadata.kv_vectors, where + " kv_read"));
    TRY_STATUS(
        check_segments(entry, entry.kv_write, roll_.metadata.kv_vectors, where + " kv_write"));
    TRY_STATUS(check_port(entry, entry.host_receive_vectors, where + " host_receive"));
    TRY_STATUS(check_port(entry, entry.host_send_vectors, where + " host_send"));
    TRY_STATUS(check_output(entry, where));
    if (entry.bounds.size() > kBoundsMax) return bad(where, "more than 256 bounds");
    for (const Bound& bound : entry.bounds) TRY_STATUS(check_name(bound.name, where + " bound"));
    return Ok{};
  }

  Status check_output(const Entry& entry, const std::string& where) const {
    TRY_STATUS(check_range(static_cast<int>(entry.output), 0, static_cast<int>(EntryOutput::Tokens),
                           where + " output"));
    if (entry.output == EntryOutput::None) return Ok{};
    const uint64_t expected = output_vectors(entry.output, roll_.metadata.model.vocabulary,
                                             roll_.target.lanes, entry.tokens);
    if (entry.host_send_vectors == expected) return Ok{};
    return bad(where + " host_send",
               "expected " + std::to_string(expected) + " vectors of its output, got " +
                   std::to_string(entry.host_send_vectors));
  }

  static Status check_registers(const Entry& entry, const std::string& entry_where) {
    std::set<int> seen;
    for (const RegisterDeclaration& r : entry.registers) {
      const std::string where = entry_where + " register " + std::to_string(r.index);
      // Register 0 always reads as zero: nobody sets it.
      TRY_STATUS(check_range(r.index, 1, kLaunchParametersMax - 1, where));
      if (!seen.insert(r.index).second) return bad(where, "declared twice");
      TRY_STATUS(check_name(r.name, where + " name"));
      using Role = RegisterDeclaration::Role;
      TRY_STATUS(check_range(static_cast<int>(r.role), 0, static_cast<int>(Role::KvBlockWord),
                             where + " role"));
      const bool counts = r.role == Role::KvRow || r.role == Role::KvBlockWord;
      const int argument_max = r.role == Role::Token ? entry.tokens - 1 : counts ? INT32_MAX : 0;
      TRY_STATUS(check_range(r.argument, 0, argument_max, where + " argument"));
      if (r.multiple == 0) return bad(where + " multiple", "expected at least 1, got 0");
      if (r.minimum > r.maximum || r.minimum % r.multiple != 0 || r.maximum % r.multiple != 0) {
        return bad(where, "expected minimum <= maximum, both multiples of " +
                              std::to_string(r.multiple) + ", got " + std::to_string(r.minimum) +
                              " and " + std::to_string(r.maximum));
      }
      if (r.role == Role::Constant && r.minimum != r.maximum) {
        return bad(where, "expected minimum = maximum for a constant");
      }
    }
    return Ok{};
  }

  // A port cannot move more than its width in every cycle of the entry.
  Status check_port(const Entry& entry, uint64_t vectors, const std::string& where) const {
    const uint64_t most = entry.cycles * static_cast<uint64_t>(roll_.target.port_width_vectors);
    if (vectors <= most) return Ok{};
    return bad(where, std::to_string(vectors) + " vectors do not pass a port in " +
                          std::to_string(entry.cycles) + " cycles");
  }

  Status check_segments(const Entry& entry, const std::vector<Segment>& segments, uint64_t size,
                        const std::string& list_where) const {
    uint64_t total = 0;
    for (size_t i = 0; i < segments.size(); ++i) {
      const Segment& s = segments[i];
      const std::string where = list_where + " segment " + std::to_string(i);
      if (s.count == 0 || s.repeat == 0)
        return bad(where, "expected a count and a repeat of at least 1");
      uint32_t lowest = 0, highest = 0;
      if (s.parameter == -1) {
        if (s.parameter_stride != 0 || s.limit != 0) {
          return bad(where, "parameter_stride and limit need a parameter");
        }
      } else {
        const auto declared =
            std::find_if(entry.registers.begin(), entry.registers.end(),
                         [&](const RegisterDeclaration& r) { return r.index == s.parameter; });
        if (declared == entry.registers.end()) {
          return bad(where, "parameter " + std::to_string(s.parameter) + " is not declared");
        }
        lowest = std::min(declared->minimum, s.limit);
        highest = std::min(declared->maximum, s.limit);
      }
      // Each factor is below 2^64, so that no product or sum leaves 128 bits.
      const Wide sweep = Wide(s.stride) * (s.repeat - 1);
      const Wide base = Wide(s.base);
      const Wide first = base + std::min<Wide>(sweep, 0) + Wide(s.parameter_stride) * lowest;
      const Wide last =
          base + std::max<Wide>(sweep, 0) + Wide(s.parameter_stride) * highest + (s.count - 1);
      if (first < 0 || last >= Wide(size)) {
        return bad(where, "reaches beyond the " + std::to_string(size) + " vectors of its region");
      }
      const uint64_t vectors = uint64_t{s.count} * s.repeat;
      total = vectors > kVectorsMax - total ? kVectorsMax : total + vectors;
    }
    return check_port(entry, total, list_where);
  }

  const Roll& roll_;
  uint64_t tape_vectors_;
};

}  // namespace

Status check_roll(const Roll& roll) { return Checker(roll).check(); }

Status check_roll_target(const Roll& roll, const Target& machine) {
  const std::string expected = canonical_text(machine);
  const std::string& got = roll.metadata.target_text;
  if (expected == got) return Ok{};
  const auto line_at = [](const std::string& text, size_t at) {
    const size_t begin = at == 0 ? 0 : text.rfind('\n', at - 1) + 1;
    const size_t end = std::min(text.find('\n', at), text.size());
    return begin < end ? text.substr(begin, end - begin) : std::string("nothing");
  };
  const size_t at = static_cast<size_t>(
      std::mismatch(expected.begin(), expected.end(), got.begin(), got.end()).first -
      expected.begin());
  return Error{ErrorCode::Mismatch,
               "the roll was made for target \"" + roll.metadata.target_name +
                   "\", the machine is \"" + machine.name + "\"; they differ first in: machine " +
                   line_at(expected, at) + ", roll " + line_at(got, at) +
                   "; compile the model for this machine",
               "target"};
}

}  // namespace pianola
