#include <bit>
#include <string>
#include <vector>

#include "isa/assembly.h"
#include "isa/assembly_names.h"
#include "isa/instructions.h"
#include "isa/text_block.h"

namespace pianola {
namespace {

// Longer data is compressed.
constexpr size_t kHexBytesMax = 4096;

void add(std::string& out, std::string_view key, int64_t value) {
  out.append(" ").append(key).append("=").append(std::to_string(value));
}
void add_unless(std::string& out, std::string_view key, int64_t value, int64_t usual) {
  if (value != usual) add(out, key, value);
}
void add_unsigned(std::string& out, std::string_view key, uint64_t value) {
  out.append(" ").append(key).append("=").append(std::to_string(value));
}
void add_quoted(std::string& out, std::string_view key, std::string_view value) {
  out.append(" ").append(key).append("=\"");
  for (char c : value) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  out += '"';
}

std::string hex(uint64_t value) {
  std::string digits;
  do {
    digits.insert(digits.begin(), "0123456789abcdef"[value & 15]);
    value >>= 4;
  } while (value != 0);
  return "0x" + digits;
}

std::string raw_word(const Word& word) {
  std::string out = "word ";
  for (int bit = kWordBits - 4; bit >= 0; bit -= 4) {
    out += "0123456789abcdef"[word[bit / 64] >> (bit % 64) & 15];
  }
  return out;
}

bool is_used(const FieldInfo& field, std::span<const FieldInfo> fields, const Word& word) {
  if (field.used_by < 0) return true;
  const FieldInfo& selector = fields[static_cast<size_t>(field.used_by)];
  const uint32_t value = detail::get(word, selector.lsb, selector.bits);
  return value < 32 && (field.used_values >> value & 1) != 0;
}

bool is_legal(const UnitInfo& unit, const Word& word) {
  for (const FieldInfo& field : unit.fields) {
    const uint32_t value = detail::get(word, field.lsb, field.bits);
    if (!field.values.empty() && value >= field.values.size()) return false;
    if (value != 0 && !is_used(field, unit.fields, word)) return false;
  }
  return detail::is_zero_from(word, unit.used_bits);
}

void add_field(std::string& out, const FieldInfo& field, const UnitInfo& unit, const Word& word) {
  const uint32_t value = detail::get(word, field.lsb, field.bits);
  if (field.name == "op") {
    out.append(" ").append(field.values[value]);
    return;
  }
  const bool is_direction = !field.values.empty() && field.values[0] == "EAST";
  if (value == 0 && !(is_direction && is_used(field, unit.fields, word))) return;
  if (!field.values.empty()) {
    out.append(" ").append(field.name).append("=").append(field.values[value]);
  } else if (field.is_signed) {
    add(out, field.name, detail::get_signed(word, field.lsb, field.bits));
  } else if (field.name == "address" || field.name == "limit") {
    out.append(" ").append(field.name).append("=").append(hex(value));
  } else {
    add_unsigned(out, field.name, value);
  }
}

void add_segments(std::string& out, std::string_view directive,
                  const std::vector<Segment>& segments) {
  for (const Segment& s : segments) {
    out += directive;
    add_unsigned(out, "base", s.base);
    add_unsigned(out, "count", s.count);
    add_unless(out, "repeat", s.repeat, 1);
    add_unless(out, "stride", s.stride, 0);
    if (s.parameter >= 0) {
      add(out, "parameter", s.parameter);
      add_unsigned(out, "parameter_stride", s.parameter_stride);
      add_unsigned(out, "limit", s.limit);
    }
    out += '\n';
  }
}

void add_block(std::string& out, std::string_view directive, std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  out += directive;
  if (bytes.size() <= kHexBytesMax) {
    out += " hex\n" + write_hex_lines(bytes);
  } else {
    out += " zstd";
    add_unsigned(out, "bytes", bytes.size());
    out += '\n' + write_zstd_lines(bytes);
  }
}

void add_model(std::string& out, const RollModel& model) {
  out += ".model";
  add_quoted(out, "architecture", model.architecture);
  add_quoted(out, "quantization", model.quantization);
  add(out, "vocabulary", model.vocabulary);
  add(out, "hidden", model.hidden);
  add(out, "layers", model.layers);
  add(out, "heads", model.heads);
  add(out, "kv_heads", model.kv_heads);
  add(out, "head_size", model.head_size);
  add(out, "feed_forward", model.feed_forward);
  add(out, "context", model.context);
  add_unless(out, "bos", model.bos, -1);
  for (size_t i = 0; i < model.eos.size(); ++i) {
    out += (i == 0 ? " eos=" : ",") + std::to_string(model.eos[i]);
  }
  out += '\n';
}

void add_entry(std::string& out, const Entry& entry, bool names_words) {
  out += ".entry kind=";
  out += kEntryKindNames[static_cast<int>(entry.kind)];
  add_quoted(out, "name", entry.name);
  add(out, "tokens", entry.tokens);
  add(out, "context", entry.context);
  add_unsigned(out, "cycles", entry.cycles);
  add_unless(out, "host_receive", entry.host_receive_vectors, 0);
  add_unless(out, "host_send", entry.host_send_vectors, 0);
  out += " output=";
  out += kEntryOutputNames[static_cast<int>(entry.output)];
  if (names_words) {
    add_unsigned(out, "first_word", entry.first_word);
    add_unsigned(out, "words", entry.word_count);
  }
  out += '\n';
  for (const RegisterDeclaration& r : entry.registers) {
    out += ".register";
    add(out, "index", r.index);
    add_quoted(out, "name", r.name);
    out.append(" role=").append(kRoleNames[static_cast<int>(r.role)]);
    add_unless(out, "argument", r.argument, 0);
    add_unsigned(out, "minimum", r.minimum);
    add_unsigned(out, "maximum", r.maximum);
    add_unless(out, "multiple", r.multiple, 1);
    out += '\n';
  }
  add_segments(out, ".tape", entry.tape);
  add_segments(out, ".kv_read", entry.kv_read);
  add_segments(out, ".kv_write", entry.kv_write);
  for (const Bound& bound : entry.bounds) {
    out += ".bound";
    add_quoted(out, "name", bound.name);
    add_unsigned(out, "cycles", bound.cycles);
    out += '\n';
  }
}

void add_words(std::string& out, const Target& target, std::span<const Word> words) {
  for (const Word& word : words) out += disassemble_word(target, word) + '\n';
}

// True if the entries' words lie one behind the other and there are no others.
bool words_follow_entries(const Roll& roll) {
  uint64_t next = 0;
  for (const Entry& entry : roll.metadata.entries) {
    if (entry.first_word != next) return false;
    next += entry.word_count;
  }
  return next == roll.words.size();
}

}  // namespace

std::string disassemble_word(const Target& target, const Word& word) {
  const Header header = decode_header(word);
  if (!header.legal) return raw_word(word);
  if (header.kind == WordKind::Nop) return "nop " + std::to_string(header.nop_count);
  if (header.kind == WordKind::End) return "end";
  if (header.queue >= target.queues.size()) return raw_word(word);
  const QueueInfo& queue = target.queues[header.queue];
  const QueueName& name = kQueueNames[static_cast<int>(queue.kind)];
  const UnitInfo& unit = unit_info(name.unit);
  if (!is_legal(unit, word)) return raw_word(word);
  std::string out = "push " + std::string(name.name);
  if (!name.unit_key.empty() && unit_count(target, queue.kind) > 1) {
    add(out, name.unit_key, queue.unit);
  }
  if (header.mask != 1) out += " mask=" + hex(header.mask);
  out += " :";
  for (const FieldInfo& field : tables::kTimingFields) add_field(out, field, unit, word);
  for (const FieldInfo& field : unit.fields) add_field(out, field, unit, word);
  return out;
}

std::string disassemble(const Roll& roll) {
  CHECK(check_roll(roll).ok());
  const RollMetadata& metadata = roll.metadata;
  std::string out = "# pianola roll, version " + std::to_string(metadata.version) + "\n.target\n";
  const std::string& text = metadata.target_text;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    out += "| " + text.substr(at, end - at) + '\n';
    at = end + 1;  // the canonical text ends with a line's end
  }
  add_model(out, metadata.model);
  if (metadata.kv_vectors != 0) {
    out += ".kv";
    add_unsigned(out, "vectors", metadata.kv_vectors);
    out += '\n';
  }
  for (const PersistentRegion& region : metadata.persistent) {
    out += ".persistent";
    add_quoted(out, "name", region.name);
    add(out, "slice", region.slice);
    add(out, "first_word", region.first_word);
    add(out, "words", region.words);
    out += '\n';
  }
  const bool inline_words = words_follow_entries(roll);
  for (const Entry& entry : metadata.entries) {
    add_entry(out, entry, !inline_words);
    if (inline_words) add_words(out, roll.target, roll.entry_words(entry));
  }
  if (!inline_words) {
    out += ".words\n";
    add_words(out, roll.target, roll.words);
  }
  add_block(out, ".data", roll.data);
  add_block(out, ".tokenizer", roll.tokenizer);
  return out;
}

}  // namespace pianola
