#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "isa/assembly.h"
#include "isa/assembly_line.h"
#include "isa/assembly_names.h"
#include "isa/instructions.h"
#include "isa/text_block.h"

namespace pianola {
namespace {

Error bad(const std::string& message) { return Error{ErrorCode::Malformed, message, ""}; }

// Instructions of one target.
class WordAssembler {
 public:
  explicit WordAssembler(const Target& target) {
    for (size_t i = 0; i < target.queues.size(); ++i) {
      const QueueInfo& queue = target.queues[i];
      queues_[{static_cast<int>(queue.kind), queue.unit}] = static_cast<int>(i);
      counts_[static_cast<int>(queue.kind)] = unit_count(target, queue.kind);
    }
  }

  // `kind` is the line's first word.
  Result<Word> assemble(std::string_view kind, AssemblyLine& line) const {
    if (kind == "push") return assemble_push(line);
    if (kind == "end") return encode_end();
    if (kind == "nop") {
      const auto count = parse_unsigned(line.take_word());
      if (!count || *count < 1 || *count > kNopCountMax) {
        return bad("nop: expected 1 to " + std::to_string(kNopCountMax) + " cycles");
      }
      return encode_nop(static_cast<uint32_t>(*count));
    }
    if (kind == "word") return assemble_raw(line.take_word());
    return bad("expected nop, push, end, word or a directive, got \"" +
               std::string(kind.substr(0, 40)) + "\"");
  }

 private:
  static Result<Word> assemble_raw(std::string_view digits) {
    auto bytes = read_hex(digits);
    if (!bytes.ok() || bytes->size() != sizeof(Word)) {
      return bad("word: expected " + std::to_string(2 * sizeof(Word)) + " hexadecimal digits");
    }
    Word word{};
    for (size_t i = 0; i < sizeof(Word); ++i) {
      const size_t at = sizeof(Word) - 1 - i;  // the highest byte comes first
      word[at / 8] |= std::to_integer<uint64_t>((*bytes)[i]) << (8 * (at % 8));
    }
    return word;
  }

  Result<Word> assemble_push(AssemblyLine& line) const {
    const std::string_view name = line.take_word();
    size_t kind = 0;
    while (kind < std::size(kQueueNames) && kQueueNames[kind].name != name) ++kind;
    if (kind == std::size(kQueueNames)) {
      std::string expected;
      for (const QueueName& queue : kQueueNames) {
        expected += (expected.empty() ? "" : ", ") + std::string(queue.name);
      }
      return bad("push: expected one of " + expected + ", got \"" +
                 std::string(name.substr(0, 40)) + "\"");
    }
    const QueueName& queue = kQueueNames[kind];
    const auto counted = counts_.find(static_cast<int>(kind));
    if (counted == counts_.end()) {
      return bad("push: this target has no " + std::string(queue.name));
    }
    int64_t unit = 0;
    if (!queue.unit_key.empty()) {
      const auto fallback = counted->second == 1 ? std::optional<int64_t>(0) : std::nullopt;
      TRY(unit, line.take_signed(queue.unit_key, 0, counted->second - 1, fallback));
    }
    TRY(const uint64_t mask, line.take_unsigned("mask", kHeaderMaskMax, 1));
    if ((mask & 1) == 0) return bad("mask: expected bit 0, the queue itself, to be set");
    if (line.take_word() != ":") return bad("push: expected : behind the queue");
    const int number = queues_.at({static_cast<int>(kind), static_cast<int>(unit)});
    Word word = detail::push_header(number, static_cast<uint32_t>(mask));
    for (const FieldInfo& field : tables::kTimingFields) TRY_STATUS(put_field(field, line, word));
    const UnitInfo& info = unit_info(queue.unit);
    for (const FieldInfo& field : info.fields) TRY_STATUS(put_field(field, line, word));
    for (const FieldInfo& field : info.fields) TRY_STATUS(check_used(field, info, word));
    return word;
  }

  static Status put_field(const FieldInfo& field, AssemblyLine& line, Word& word) {
    const uint64_t unsigned_max = (uint64_t{1} << field.bits) - 1;
    if (field.name == "op") {
      const std::string_view op = line.take_word();
      const auto found = std::find(field.values.begin(), field.values.end(), op);
      if (found == field.values.end()) {
        std::string expected;
        for (std::string_view value : field.values) expected += " " + std::string(value);
        return bad("expected one of" + expected + ", got \"" + std::string(op.substr(0, 40)) +
                   "\"");
      }
      detail::put(word, field.lsb, field.bits, static_cast<uint64_t>(found - field.values.begin()));
    } else if (!field.values.empty()) {
      TRY(const int value, line.take_choice(field.name, field.values, 0));
      detail::put(word, field.lsb, field.bits, static_cast<uint64_t>(value));
    } else if (field.is_signed) {
      const int64_t half = int64_t{1} << (field.bits - 1);
      TRY(const int64_t value, line.take_signed(field.name, -half, half - 1, 0));
      detail::put_signed(word, field.lsb, field.bits, value);
    } else {
      TRY(const uint64_t value, line.take_unsigned(field.name, unsigned_max, 0));
      detail::put(word, field.lsb, field.bits, value);
    }
    return Ok{};
  }

  static Status check_used(const FieldInfo& field, const UnitInfo& unit, const Word& word) {
    if (field.used_by < 0 || detail::get(word, field.lsb, field.bits) == 0) return Ok{};
    const FieldInfo& selector = unit.fields[static_cast<size_t>(field.used_by)];
    const uint32_t value = detail::get(word, selector.lsb, selector.bits);
    if (field.used_values >> value & 1) return Ok{};
    return bad(std::string(field.name) + ": expected 0, because it is not used with " +
               std::string(selector.name) + "=" + std::string(selector.values[value]));
  }

  std::map<std::pair<int, int>, int> queues_;  // kind and unit -> number
  std::map<int, int> counts_;                  // kind -> units
};

class Assembler {
 public:
  Assembler(std::string_view text, std::string_view where, const AssembleOptions& options)
      : text_(text), where_(where), options_(options) {}

  Result<Roll> assemble() {
    size_t at = 0;
    while (at < text_.size()) {
      const size_t end = std::min(text_.find('\n', at), text_.size());
      const std::string_view line = text_.substr(at, end - at);
      at = end + 1;
      ++line_number_;
      const Status status = assemble_line(line);
      if (!status.ok()) return in_line(status.error(), line_number_);
    }
    const Status block = close_block();
    if (!block.ok()) return in_line(block.error(), block_line_);
    if (!words_) return Error{ErrorCode::Malformed, "expected a .target", std::string(where_)};
    close_entry();
    roll_.words = roll_.owned_words;
    roll_.data = roll_.owned_data;
    roll_.tokenizer = roll_.owned_tokenizer;
    const Status status = check_roll(roll_);
    if (!status.ok()) {
      return Error{status.error().code, to_string(status.error()), std::string(where_)};
    }
    return std::move(roll_);
  }

 private:
  enum class Block { None, Target, Hex, Zstd };
  enum class WordsOf { Nobody, Entry, NamedEntry, Roll };

  Error in_line(Error error, size_t line) const {
    const std::string place = std::string(where_) + ":" + std::to_string(line);
    error.where = error.where.empty() ? place : place + ", " + error.where;
    return error;
  }

  Status assemble_line(std::string_view text) {
    if (text.starts_with("|")) return add_to_block(text.substr(1));
    TRY(AssemblyLine line, AssemblyLine::split(text));
    if (line.empty()) return Ok{};
    if (block_ != Block::None) {
      const Status status = close_block();
      if (!status.ok()) return status;
    }
    const std::string_view first = line.take_word();
    TRY_STATUS(first.starts_with(".") ? assemble_directive(first, line) : add_word(first, line));
    return line.finish();
  }

  Status add_word(std::string_view first, AssemblyLine& line) {
    TRY_STATUS(need_target());
    if (words_of_ == WordsOf::Nobody)
      return bad("expected an .entry or .words before instructions");
    if (words_of_ == WordsOf::NamedEntry) {
      return bad("the entry names its words; expected .words before instructions");
    }
    TRY(const Word word, words_->assemble(first, line));
    roll_.owned_words.push_back(word);
    return Ok{};
  }

  Status need_target() const {
    if (words_) return Ok{};
    return bad("expected the .target first");
  }

  Status assemble_directive(std::string_view name, AssemblyLine& line) {
    if (name == ".target") return begin_target(line);
    TRY_STATUS(need_target());
    if (name == ".model") return read_model(line);
    if (name == ".kv") {
      TRY(roll_.metadata.kv_vectors, line.take_unsigned("vectors", UINT64_MAX));
      return Ok{};
    }
    if (name == ".persistent") return read_region(line);
    if (name == ".entry") return read_entry(line);
    if (name == ".words") {
      close_entry();
      words_of_ = WordsOf::Roll;
      return Ok{};
    }
    if (name == ".data") return begin_bytes(line, roll_.owned_data);
    if (name == ".tokenizer") return begin_bytes(line, roll_.owned_tokenizer);
    const bool of_entry = name == ".register" || name == ".tape" || name == ".kv_read" ||
                          name == ".kv_write" || name == ".bound";
    if (!of_entry) return bad("there is no directive " + std::string(name.substr(0, 40)));
    if (roll_.metadata.entries.empty()) {
      return bad("expected an .entry before " + std::string(name));
    }
    Entry& entry = roll_.metadata.entries.back();
    if (name == ".register") return read_register(line, entry);
    if (name == ".tape") return read_segment(line, entry.tape);
    if (name == ".kv_read") return read_segment(line, entry.kv_read);
    if (name == ".kv_write") return read_segment(line, entry.kv_write);
    Bound bound;
    TRY(bound.name, line.take_text("name"));
    TRY(bound.cycles, line.take_unsigned("cycles", UINT64_MAX));
    entry.bounds.push_back(bound);
    return Ok{};
  }

  Status begin_target(AssemblyLine& line) {
    if (words_) return bad("expected one .target, got another");
    const std::string_view name = line.take_word();
    if (name.empty()) {
      block_ = Block::Target;
      block_line_ = line_number_;
      return Ok{};
    }
    // A name only: the text may not make us open any file.
    if (name.find_first_of("/.") != std::string_view::npos) {
      return bad("expected the name of a target or its text in the lines below");
    }
    TRY(const Target target, load_target(name));
    set_target(target);
    return Ok{};
  }

  void set_target(const Target& target) {
    roll_.target = target;
    roll_.target.doc.clear();
    roll_.metadata.target_name = target.name;
    roll_.metadata.target_text = canonical_text(target);
    words_.emplace(roll_.target);
  }

  Status begin_bytes(AssemblyLine& line, std::vector<std::byte>& section) {
    const std::string_view form = line.take_word();
    if (form == "zstd") {
      TRY(block_bytes_, line.take_unsigned("bytes", options_.section_bytes_max));
    } else if (form != "hex") {
      return bad("expected hex or zstd");
    }
    block_ = form == "hex" ? Block::Hex : Block::Zstd;
    block_line_ = line_number_;
    section_ = &section;
    return Ok{};
  }

  Status add_to_block(std::string_view text) {
    if (block_ == Block::None) return bad("expected a .target, .data or .tokenizer before | lines");
    if (text.ends_with("\r")) text.remove_suffix(1);
    if (text.starts_with(" ")) text.remove_prefix(1);
    block_text_ += text;
    if (block_ == Block::Target) block_text_ += '\n';
    return Ok{};
  }

  Status close_block() {
    const Block block = std::exchange(block_, Block::None);
    const std::string text = std::exchange(block_text_, std::string());
    if (block == Block::None) return Ok{};
    if (block == Block::Target) {
      TRY(const Target target,
          parse_target(text, ".target in line " + std::to_string(block_line_)));
      set_target(target);
      return Ok{};
    }
    auto bytes = block == Block::Hex ? read_hex(text) : read_zstd(text, block_bytes_);
    if (!bytes.ok()) {
      return Error{bytes.error().code, bytes.error().message,
                   "block of line " + std::to_string(block_line_)};
    }
    if (bytes->size() > options_.section_bytes_max - section_->size()) {
      return bad("a section has more than " + std::to_string(options_.section_bytes_max) +
                 " bytes");
    }
    section_->insert(section_->end(), bytes->begin(), bytes->end());
    return Ok{};
  }

  // The words since an entry's line are the entry's.
  void close_entry() {
    if (words_of_ == WordsOf::Entry) {
      Entry& entry = roll_.metadata.entries.back();
      entry.word_count = roll_.owned_words.size() - entry.first_word;
    }
    words_of_ = WordsOf::Nobody;
  }

  Status read_number(AssemblyLine& line, std::string_view key, int& value, int minimum = 0) {
    TRY(const int64_t number, line.take_signed(key, minimum, INT32_MAX));
    value = static_cast<int>(number);
    return Ok{};
  }
  Status read_number(AssemblyLine& line, std::string_view key, uint32_t& value,
                     std::optional<uint64_t> fallback = std::nullopt) {
    TRY(const uint64_t number, line.take_unsigned(key, UINT32_MAX, fallback));
    value = static_cast<uint32_t>(number);
    return Ok{};
  }

  Status read_model(AssemblyLine& line) {
    RollModel& model = roll_.metadata.model;
    TRY(model.architecture, line.take_text("architecture"));
    TRY(model.quantization, line.take_text("quantization"));
    for (const auto& [key, member] : {std::pair{"vocabulary", &RollModel::vocabulary},
                                      {"hidden", &RollModel::hidden},
                                      {"layers", &RollModel::layers},
                                      {"heads", &RollModel::heads},
                                      {"kv_heads", &RollModel::kv_heads},
                                      {"head_size", &RollModel::head_size},
                                      {"feed_forward", &RollModel::feed_forward},
                                      {"context", &RollModel::context}}) {
      TRY_STATUS(read_number(line, key, model.*member));
    }
    TRY(const int64_t bos, line.take_signed("bos", -1, INT32_MAX, -1));
    model.bos = static_cast<int>(bos);
    TRY(const std::string list, line.take_text("eos", ""));
    model.eos.clear();
    std::string_view rest = list;
    while (!rest.empty()) {
      const size_t comma = std::min(rest.find(','), rest.size());
      const auto token = parse_unsigned(rest.substr(0, comma));
      if (!token || *token > INT32_MAX) return bad("eos: expected token ids with commas between");
      model.eos.push_back(static_cast<int>(*token));
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
    return Ok{};
  }

  Status read_region(AssemblyLine& line) {
    PersistentRegion region;
    TRY(region.name, line.take_text("name", ""));
    TRY_STATUS(read_number(line, "slice", region.slice));
    TRY_STATUS(read_number(line, "first_word", region.first_word));
    TRY_STATUS(read_number(line, "words", region.words));
    roll_.metadata.persistent.push_back(region);
    return Ok{};
  }

  Status read_entry(AssemblyLine& line) {
    close_entry();
    Entry entry;
    TRY(const int kind, line.take_choice("kind", kEntryKindNames));
    entry.kind = static_cast<EntryKind>(kind);
    TRY(entry.name, line.take_text("name"));
    TRY_STATUS(read_number(line, "tokens", entry.tokens));
    TRY_STATUS(read_number(line, "context", entry.context));
    TRY(entry.cycles, line.take_unsigned("cycles", UINT64_MAX));
    TRY_STATUS(read_number(line, "host_receive", entry.host_receive_vectors, 0));
    TRY_STATUS(read_number(line, "host_send", entry.host_send_vectors, 0));
    TRY(const int output, line.take_choice("output", kEntryOutputNames,
                                           static_cast<int>(EntryOutput::Logits)));
    entry.output = static_cast<EntryOutput>(output);
    entry.first_word = roll_.owned_words.size();
    words_of_ = WordsOf::Entry;
    if (line.has("first_word") || line.has("words")) {
      TRY(entry.first_word, line.take_unsigned("first_word", UINT64_MAX));
      TRY(entry.word_count, line.take_unsigned("words", UINT64_MAX));
      words_of_ = WordsOf::NamedEntry;
    }
    roll_.metadata.entries.push_back(std::move(entry));
    return Ok{};
  }

  Status read_register(AssemblyLine& line, Entry& entry) {
    RegisterDeclaration r;
    TRY_STATUS(read_number(line, "index", r.index));
    TRY(r.name, line.take_text("name"));
    TRY(const int role, line.take_choice("role", kRoleNames));
    r.role = static_cast<RegisterDeclaration::Role>(role);
    TRY(const int64_t argument, line.take_signed("argument", 0, INT32_MAX, 0));
    r.argument = static_cast<int>(argument);
    TRY_STATUS(read_number(line, "minimum", r.minimum));
    TRY_STATUS(read_number(line, "maximum", r.maximum));
    TRY_STATUS(read_number(line, "multiple", r.multiple, 1));
    entry.registers.push_back(r);
    return Ok{};
  }

  Status read_segment(AssemblyLine& line, std::vector<Segment>& segments) {
    Segment s;
    TRY(s.base, line.take_unsigned("base", UINT64_MAX));
    TRY_STATUS(read_number(line, "count", s.count));
    TRY_STATUS(read_number(line, "repeat", s.repeat, 1));
    TRY(s.stride, line.take_signed("stride", INT64_MIN, INT64_MAX, 0));
    if (line.has("parameter")) {
      TRY_STATUS(read_number(line, "parameter", s.parameter));
      TRY(s.parameter_stride, line.take_unsigned("parameter_stride", UINT64_MAX));
      TRY_STATUS(read_number(line, "limit", s.limit));
    }
    segments.push_back(s);
    return Ok{};
  }

  const std::string_view text_, where_;
  const AssembleOptions options_;
  size_t line_number_ = 0;
  Roll roll_;
  std::optional<WordAssembler> words_;  // there is a target
  WordsOf words_of_ = WordsOf::Nobody;
  Block block_ = Block::None;
  size_t block_line_ = 0;
  std::string block_text_;
  uint64_t block_bytes_ = 0;
  std::vector<std::byte>* section_ = nullptr;
};

}  // namespace

Result<Roll> assemble(std::string_view text, std::string_view where,
                      const AssembleOptions& options) {
  return Assembler(text, where, options).assemble();
}

Result<Word> assemble_word(const Target& target, std::string_view text) {
  TRY(AssemblyLine line, AssemblyLine::split(text));
  const std::string_view first = line.take_word();
  TRY(const Word word, WordAssembler(target).assemble(first, line));
  TRY_STATUS(line.finish());
  return word;
}

}  // namespace pianola
