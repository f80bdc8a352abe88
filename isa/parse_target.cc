// Reads a target file and checks it: each key by itself, then what does not go together.
#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <iterator>
#include <set>
#include <sstream>

#include "isa/fpga_cells.h"
#include "isa/fpga_parts.h"
#include "isa/instructions.h"
#include "isa/target.h"
#include "isa/target_keys.h"

#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#include <toml++/toml.h>

namespace pianola {
namespace {

constexpr size_t kPositionsMax = 256;

template <typename T, size_t N>
std::string choices(const Named<T> (&names)[N]) {
  std::string text;
  for (const auto& entry : names)
    text += (text.empty() ? "\"" : ", \"") + std::string(entry.name) + '"';
  return text;
}

std::string describe(const toml::node& node) {
  if (auto text = node.value_exact<std::string_view>()) return quote(*text);
  if (auto number = node.value_exact<int64_t>()) return std::to_string(*number);
  if (auto truth = node.value_exact<bool>()) return *truth ? "true" : "false";
  if (auto number = node.value_exact<double>()) {
    std::ostringstream out;
    out << *number;
    return out.str();
  }
  if (node.is_table()) return "a table";
  if (node.is_array()) return "an array";
  return "a date or time";
}

// Reads the keys of one file and collects what is wrong with them.
class TargetReader {
 public:
  TargetReader(const toml::table& root, Target& target) : root_(root), target_(target) {}

  void read() {
    read_strings();
    read_floorplan();
    for (const IntegerKey& key : kIntegerKeys) {
      if (key.optional && !find(path_of(key.section, key.key))) continue;
      read_integer(key.section, key.key, target_.*key.member, key.minimum, key.maximum,
                   key.multiple);
    }
    read_stages();
    read_choice("weights", "residence", kResidenceNames, target_.weights);
    read_scheme("w8", 8, target_.w8);
    read_scheme("w4", 4, target_.w4);
    read_choice("weights", "scale", kScaleNames, target_.scale);
    read_choice("kv", "residence", kKvResidenceNames, target_.kv);
    read_fpga();
    refuse_unknown(root_, "");
  }

  void problem(const std::string& text) { problems_.push_back(text); }
  // True if all these keys were read without a problem: combinations of others are not judged.
  bool good(std::initializer_list<const char*> keys) const {
    return std::none_of(keys.begin(), keys.end(),
                        [&](const char* key) { return bad_.count(key) != 0; });
  }
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  static std::string path_of(std::string_view section, std::string_view key) {
    return section.empty() ? std::string(key) : std::string(section) + "." + std::string(key);
  }

  void wrong(const std::string& path, const std::string& expected, const toml::node* node) {
    bad_.insert(path);
    std::string got = node ? describe(*node) : "nothing";
    std::string line = node && node->source().begin.line > 0
                           ? " (line " + std::to_string(node->source().begin.line) + ")"
                           : "";
    problem(path + ": expected " + expected + ", got " + got + line);
  }

  // The node of a key, noted as known; null if it or its section is not there.
  const toml::node* find(const std::string& path) {
    known_.insert(path);
    return root_.at_path(path).node();
  }

  void read_integer(const char* section, const char* key, int& value, int minimum, int maximum,
                    int multiple) {
    const std::string path = path_of(section, key);
    const toml::node* node = find(path);
    const auto number = node ? node->value_exact<int64_t>() : std::nullopt;
    if (!number || *number < minimum || *number > maximum || *number % multiple != 0) {
      const std::string what =
          multiple == 1 ? "an integer" : "a multiple of " + std::to_string(multiple);
      wrong(path, what + " from " + std::to_string(minimum) + " to " + std::to_string(maximum),
            node);
      return;
    }
    value = static_cast<int>(*number);
  }

  template <typename T, size_t N>
  void read_choice(const char* section, const char* key, const Named<T> (&names)[N], T& value) {
    const std::string path = path_of(section, key);
    const toml::node* node = find(path);
    const auto text = node ? node->value_exact<std::string_view>() : std::nullopt;
    for (const auto& entry : names) {
      if (text && *text == entry.name) {
        value = entry.value;
        return;
      }
    }
    wrong(path, "one of " + choices(names), node);
  }

  void read_strings() {
    const toml::node* name = find("name");
    const auto text = name ? name->value_exact<std::string_view>() : std::nullopt;
    constexpr std::string_view kNameLetters = "abcdefghijklmnopqrstuvwxyz0123456789_-";
    if (!text || text->empty() || text->size() > 64 ||
        text->find_first_not_of(kNameLetters) != std::string_view::npos) {
      wrong("name", "1 to 64 of a-z, 0-9, _ and -", name);
    } else {
      target_.name = *text;
    }
    read_line("doc", target_.doc, false);
    read_line("clock_source", target_.clock_source, true);
    const toml::node* clock = find("clock_mhz");
    const auto mhz = clock && clock->is_number() ? clock->value<double>() : std::nullopt;
    if (!mhz || !std::isfinite(*mhz) || *mhz <= 0 || *mhz > 1e6) {
      wrong("clock_mhz", "a number above 0 and up to 1e6", clock);
    } else {
      target_.clock_mhz = *mhz;
    }
  }

  void read_line(const char* key, std::string& value, bool required) {
    const toml::node* node = find(key);
    if (!node && !required) return;
    const auto text = node ? node->value_exact<std::string_view>() : std::nullopt;
    const bool printable = text && std::none_of(text->begin(), text->end(), [](char c) {
                             return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
                           });
    if (!printable || text->size() > 500) {
      wrong(key, "one line of text of at most 500 bytes", node);
    } else {
      value = *text;
    }
  }

  void read_floorplan() {
    const toml::node* node = find("floorplan");
    const toml::array* list = node ? node->as_array() : nullptr;
    if (!list || list->empty() || list->size() > kPositionsMax) {
      wrong("floorplan",
            "an array of 1 to " + std::to_string(kPositionsMax) + " units, west to east", node);
      return;
    }
    for (size_t i = 0; i < list->size(); ++i) {
      const auto text = (*list)[i].value_exact<std::string_view>();
      const auto* found =
          std::find_if(std::begin(kUnitNames), std::end(kUnitNames),
                       [&](const auto& unit) { return text && *text == unit.name; });
      if (found == std::end(kUnitNames)) {
        bad_.insert("floorplan");
        wrong("floorplan[" + std::to_string(i) + "]", "one of " + choices(kUnitNames), &(*list)[i]);
      } else {
        target_.floorplan.push_back(found->value);
      }
    }
  }

  void read_stages() {
    const toml::node* node = find("vxm.stages");
    const toml::array* list = node ? node->as_array() : nullptr;
    if (!list || list->size() > std::size(kStageNames)) {
      wrong("vxm.stages", "an array of some of " + choices(kStageNames), node);
      return;
    }
    for (size_t i = 0; i < list->size(); ++i) {
      const auto text = (*list)[i].value_exact<std::string_view>();
      const auto* found =
          std::find_if(std::begin(kStageNames), std::end(kStageNames),
                       [&](const auto& stage) { return text && *text == stage.name; });
      const std::string path = "vxm.stages[" + std::to_string(i) + "]";
      if (found == std::end(kStageNames)) {
        bad_.insert("vxm.stages");
        wrong(path, "one of " + choices(kStageNames), &(*list)[i]);
      } else if (target_.vxm_stages & found->value) {
        wrong(path, "every stage at most once", &(*list)[i]);
      } else {
        target_.vxm_stages |= found->value;
      }
    }
  }

  void read_scheme(const char* key, int bits, WeightScheme& scheme) {
    const std::string section = path_of("weights", key);
    known_.insert(section);
    read_integer(section.c_str(), "bits", scheme.bits, bits, bits, 1);
    read_integer(section.c_str(), "group", scheme.group, 0, 1 << 20, 1);
  }

  // An optional section.
  void read_fpga() {
    if (!root_.contains("fpga")) return;
    known_.insert("fpga");
    if (const toml::node* part = find("fpga.part")) {
      const auto text = part->value_exact<std::string_view>();
      if (text && find_fpga_part(*text)) {
        target_.part = *text;
      } else {
        wrong("fpga.part", "one of " + fpga_part_names(), part);
      }
    }
    if (find("fpga.beats")) read_integer("fpga", "beats", target_.beats, 1, 16, 1);
  }

  void refuse_unknown(const toml::table& table, const std::string& section) {
    for (const auto& [key, node] : table) {
      const std::string path = path_of(section, key.str());
      const bool is_section =
          std::any_of(known_.begin(), known_.end(), [&](const std::string& known) {
            return known.size() > path.size() && known.compare(0, path.size(), path) == 0 &&
                   known[path.size()] == '.';
          });
      if (is_section && node.is_table()) {
        refuse_unknown(*node.as_table(), path);
      } else if (is_section) {
        wrong(path, "a table", &node);
      } else if (known_.count(path) == 0) {
        problem(quote(path) + ": no such key (line " + std::to_string(node.source().begin.line) +
                "); remove it or correct its name");
      }
    }
  }

  const toml::table& root_;
  Target& target_;
  std::vector<std::string> problems_;
  std::set<std::string> bad_, known_;
};

int count_units(const Target& target, UnitKind kind) {
  return static_cast<int>(std::count(target.floorplan.begin(), target.floorplan.end(), kind));
}

void check_floorplan(const Target& target, TargetReader& reader) {
  if (!reader.good({"floorplan"})) return;
  for (UnitKind kind : {UnitKind::Port, UnitKind::Vxm}) {
    const int count = count_units(target, kind);
    if (count != 1) {
      reader.problem("floorplan: expected exactly one " + name_of(kUnitNames, kind) + ", got " +
                     std::to_string(count));
    }
  }
  for (UnitKind kind : {UnitKind::Mem, UnitKind::Mxm}) {
    if (count_units(target, kind) == 0) {
      reader.problem("floorplan: expected at least one " + name_of(kUnitNames, kind) +
                     ", got none");
    }
  }
  if (!reader.good({"mem.slices_per_position", "vxm.chains"})) return;
  const int queues = 5 * count_units(target, UnitKind::Port) +
                     target.vxm_chains * count_units(target, UnitKind::Vxm) +
                     2 * target.slices_per_position * count_units(target, UnitKind::Mem) +
                     count_units(target, UnitKind::Sxm) + 2 * count_units(target, UnitKind::Mxm);
  if (queues > static_cast<int>(kHeaderQueueMax) + 1) {
    reader.problem("floorplan: " + std::to_string(queues) +
                   " queues, but an instruction can name " + std::to_string(kHeaderQueueMax + 1) +
                   "; use fewer MEM positions or slices_per_position");
  }
}

void check_loads(const Target& target, TargetReader& reader) {
  if (!reader.good({"mxm.load_streams"})) return;
  const int load = target.mxm_load_streams;
  if (reader.good({"streams"}) && load > target.streams) {
    reader.problem("mxm.load_streams: expected at most the " + std::to_string(target.streams) +
                   " streams, got " + std::to_string(load));
  }
  if (reader.good({"lanes"}) && load > target.lanes) {
    reader.problem("mxm.load_streams: expected at most the " + std::to_string(target.lanes) +
                   " rows of a tile, got " + std::to_string(load));
  }
  const int mxms = count_units(target, UnitKind::Mxm);
  const int slices = target.slices_per_position * count_units(target, UnitKind::Mem);
  if (reader.good({"floorplan", "mem.slices_per_position"}) && slices > 0 && mxms > 0 &&
      slices < load * mxms) {
    reader.problem("mem.slices_per_position: " + std::to_string(slices) +
                   " slices read one vector each per cycle and cannot feed the " +
                   std::to_string(load * mxms) + " load streams of " + std::to_string(mxms) +
                   " MXM; use more slices or a smaller mxm.load_streams");
  }
  if (target.weights == Residence::Tape &&
      reader.good({"lanes", "weights.residence", "ports.tape_bytes_per_cycle"}) &&
      load * target.lanes < 2 * target.tape_bytes_per_cycle) {
    reader.problem(
        "mxm.load_streams: " + std::to_string(load) + " x " + std::to_string(target.lanes) +
        " lanes load fewer than twice the tape's " + std::to_string(target.tape_bytes_per_cycle) +
        " bytes per cycle, so that a backlog of weights never drains; use at least " +
        std::to_string((2 * target.tape_bytes_per_cycle + target.lanes - 1) / target.lanes) +
        " load streams or a slower tape");
  }
}

// The memory serves instructions and KV before the tape, whose FIFO alone pays for what is asked beyond
// its rate: so the others must find theirs at any time.
void check_memory(const Target& target, TargetReader& reader) {
  if (target.memory_bytes_per_cycle == 0 ||
      !reader.good({"ports.memory_bytes_per_cycle", "ports.tape_bytes_per_cycle",
                    "ports.kv_bytes_per_cycle", "ports.instruction_bytes_per_cycle"})) {
    return;
  }
  const int first = target.instruction_bytes_per_cycle + 2 * target.kv_bytes_per_cycle;
  const int least = std::max(target.tape_bytes_per_cycle, first);
  if (target.memory_bytes_per_cycle >= least) return;
  reader.problem("ports.memory_bytes_per_cycle: expected at least " + std::to_string(least) +
                 " (the tape's rate, and that of instructions with KV in both directions), got " +
                 std::to_string(target.memory_bytes_per_cycle) +
                 "; use slower ports or a faster memory");
}

void check_ports(const Target& target, TargetReader& reader) {
  const auto rate = [&](const char* key, int bytes) {
    if (!reader.good({"lanes", "ports.width_vectors", key})) return;
    const int most = target.port_width_vectors * target.lanes;
    if (bytes > most) {
      reader.problem(std::string(key) + ": expected at most " + std::to_string(most) +
                     " (ports.width_vectors x lanes, what one operation moves), got " +
                     std::to_string(bytes));
    } else if (bytes % target.lanes != 0 && target.lanes % bytes != 0) {
      reader.problem(std::string(key) +
                     ": expected a whole multiple or a whole part of a vector of " +
                     std::to_string(target.lanes) + " bytes, got " + std::to_string(bytes));
    }
  };
  rate("ports.tape_bytes_per_cycle", target.tape_bytes_per_cycle);
  rate("ports.kv_bytes_per_cycle", target.kv_bytes_per_cycle);
  rate("ports.host_bytes_per_cycle", target.host_bytes_per_cycle);
  if (reader.good({"ports.instruction_bytes_per_cycle"}) &&
      (kWordBits / 8) % target.instruction_bytes_per_cycle != 0) {
    reader.problem(
        "ports.instruction_bytes_per_cycle: expected 1, 2, 4, 8, 16 or 32 (a whole part "
        "of a word), got " +
        std::to_string(target.instruction_bytes_per_cycle));
  }
  check_memory(target, reader);
  const auto fifo = [&](const char* key, int vectors) {
    if (!reader.good({"ports.width_vectors", key}) || vectors >= 2 * target.port_width_vectors)
      return;
    reader.problem(std::string(key) + ": expected at least " +
                   std::to_string(2 * target.port_width_vectors) +
                   " (two operations of ports.width_vectors), got " + std::to_string(vectors));
  };
  fifo("ports.tape_fifo_vectors", target.tape_fifo_vectors);
  fifo("ports.kv_fifo_vectors", target.kv_fifo_vectors);
  fifo("ports.host_fifo_vectors", target.host_fifo_vectors);
  if (reader.good({"ports.width_vectors", "streams"}) &&
      target.port_width_vectors > target.streams) {
    reader.problem("ports.width_vectors: expected at most the " + std::to_string(target.streams) +
                   " streams, got " + std::to_string(target.port_width_vectors));
  }
}

void check_groups(const Target& target, TargetReader& reader) {
  if (!reader.good({"lanes"})) return;
  const int lanes = target.lanes;
  const std::string choice = std::to_string(lanes) + ", " + std::to_string(2 * lanes) + ", " +
                             std::to_string(3 * lanes) + ", ... (whole windows of lanes)";
  for (const auto& [key, group] :
       {std::pair{"weights.w8.group", target.w8.group}, {"weights.w4.group", target.w4.group}}) {
    if (!reader.good({key})) continue;
    if (group % lanes != 0) {
      reader.problem(std::string(key) + ": expected 0 (one scale per output channel) or " + choice +
                     ", got " + std::to_string(group) +
                     (group < lanes ? "; a sum over the lanes would mix groups" : ""));
    } else if (group != 0 && reader.good({"activations.group"}) &&
               target.activation_group % group != 0 && group % target.activation_group != 0) {
      reader.problem(std::string(key) +
                     ": expected a multiple or a whole part of activations.group " +
                     std::to_string(target.activation_group) + ", got " + std::to_string(group));
    }
  }
  if (reader.good({"activations.group"}) && target.activation_group % lanes != 0) {
    reader.problem("activations.group: expected " + choice + ", got " +
                   std::to_string(target.activation_group));
  }
}

void check_beats(const Target& target, TargetReader& reader) {
  if (!reader.good({"lanes", "fpga.beats"}) || target.beats == 1) return;
  const auto power_of_two = [](int n) { return (n & (n - 1)) == 0; };
  if (!power_of_two(target.beats) || !power_of_two(target.lanes) || target.lanes > 64 ||
      target.beats > target.lanes) {
    reader.problem("fpga.beats: expected a power of two that divides lanes, which are a power of two "
                   "of at most 64, got " +
                   std::to_string(target.beats) + " beats of " + std::to_string(target.lanes) +
                   " lanes");
  }
}

void check_combinations(const Target& target, TargetReader& reader) {
  if (reader.good({"streams"}) && (target.streams & (target.streams - 1)) != 0) {
    reader.problem("streams: expected a power of two (slice k uses stream + k mod streams), got " +
                   std::to_string(target.streams));
  }
  if (reader.good({"lanes"}) && target.lanes > 64 && target.lanes % 16 != 0) {
    reader.problem(
        "lanes: expected a multiple of 16 above 64 lanes (the SXM transposes segments of "
        "16), got " +
        std::to_string(target.lanes));
  }
  if (reader.good({"vxm.stages"}) && (target.vxm_stages & kStageRoot) &&
      !(target.vxm_stages & kStageTree)) {
    reader.problem(
        "vxm.stages: expected \"tree\" beside \"root\", which works on the tree's result");
  }
  check_floorplan(target, reader);
  check_loads(target, reader);
  check_ports(target, reader);
  check_groups(target, reader);
  check_beats(target, reader);
}

}  // namespace

Result<Target> parse_target(std::string_view toml_text, std::string_view where) {
  if (toml_text.size() > kTargetBytesMax) {
    return Error{ErrorCode::Malformed,
                 "expected a target of at most " + std::to_string(kTargetBytesMax) + " bytes",
                 std::string(where)};
  }
  // toml++ 3.3 runs into undefined behaviour on letters beyond ASCII outside strings.
  const auto foreign = std::find_if(toml_text.begin(), toml_text.end(),
                                    [](char c) { return static_cast<unsigned char>(c) >= 0x80; });
  if (foreign != toml_text.end()) {
    return Error{ErrorCode::Malformed, "expected ASCII text, got a byte above 0x7f",
                 std::string(where) + ":" +
                     std::to_string(1 + std::count(toml_text.begin(), foreign, '\n'))};
  }
  const toml::parse_result parsed = toml::parse(toml_text);
  if (!parsed) {
    const toml::parse_error& error = parsed.error();
    return Error{ErrorCode::Malformed, "not TOML: " + std::string(error.description()),
                 std::string(where) + ":" + std::to_string(error.source().begin.line)};
  }
  Target target;
  TargetReader reader(parsed.table(), target);
  reader.read();
  check_combinations(target, reader);
  if (reader.problems().empty()) make_derived(target);
  if (reader.problems().empty() && !target.part.empty()) {
    for (const std::string& line : find_fpga_excess(target, *find_fpga_part(target.part))) {
      reader.problem(line);
    }
  }
  if (!reader.problems().empty()) {
    std::string message;
    for (const std::string& problem : reader.problems()) {
      message += (message.empty() ? "" : "\n") + problem;
    }
    return Error{ErrorCode::InvalidArgument, message, std::string(where)};
  }
  return target;
}

}  // namespace pianola
