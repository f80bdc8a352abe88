#include "isa/roll_metadata.h"

#include <algorithm>
#include <string>

#include "roll_generated.h"

namespace pianola {
namespace {

using flatbuffers::FlatBufferBuilder;
using flatbuffers::Offset;
using flatbuffers::Vector;

// A hostile file may point at one large string from many places. The canonical encoding shares
// nothing, so what is unpacked can never exceed the size of the section.
class Budget {
 public:
  explicit Budget(size_t bytes) : left_(bytes) {}
  bool take(size_t count, size_t bytes_each) {
    if (count > left_ / bytes_each) return over_ = true, false;
    left_ -= count * bytes_each;
    return true;
  }
  void refuse() { over_ = true; }
  bool over() const { return over_; }

 private:
  size_t left_;
  bool over_ = false;
};

std::string unpack(const flatbuffers::String* text, Budget& budget) {
  return budget.take(text->size() + 1, 1) ? text->str() : std::string();
}

std::vector<Segment> unpack(const Vector<const flat::Segment*>* list, Budget& budget) {
  std::vector<Segment> segments;
  // The verifier does not judge the alignment of the elements, and an empty vector has none.
  if (list->size() == 0) return segments;
  const bool aligned = reinterpret_cast<uintptr_t>(list->Data()) % alignof(flat::Segment) == 0;
  if (!aligned) budget.refuse();
  if (!aligned || !budget.take(list->size(), sizeof(flat::Segment))) return segments;
  segments.reserve(list->size());
  for (const flat::Segment* s : *list) {
    segments.push_back({.base = s->base(),
                        .count = s->count(),
                        .repeat = s->repeat(),
                        .stride = s->stride(),
                        .parameter = s->parameter(),
                        .parameter_stride = s->parameter_stride(),
                        .limit = s->limit()});
  }
  return segments;
}

Entry unpack(const flat::Entry* source, Budget& budget) {
  Entry entry;
  entry.kind = static_cast<EntryKind>(source->kind());
  entry.name = unpack(source->name(), budget);
  entry.tokens = source->tokens();
  entry.context = source->context();
  entry.first_word = source->first_word();
  entry.word_count = source->word_count();
  entry.cycles = source->cycles();
  if (budget.take(source->registers()->size(), 4)) {
    for (const flat::Register* r : *source->registers()) {
      if (budget.over()) break;
      entry.registers.push_back({.index = r->index(),
                                 .name = unpack(r->name(), budget),
                                 .role = static_cast<RegisterDeclaration::Role>(r->role()),
                                 .argument = r->argument(),
                                 .minimum = r->minimum(),
                                 .maximum = r->maximum(),
                                 .multiple = r->multiple()});
    }
  }
  entry.tape = unpack(source->tape(), budget);
  entry.kv_read = unpack(source->kv_read(), budget);
  entry.kv_write = unpack(source->kv_write(), budget);
  entry.host_receive_vectors = source->host_receive_vectors();
  entry.host_send_vectors = source->host_send_vectors();
  if (budget.take(source->bounds()->size(), 4)) {
    for (const flat::Bound* bound : *source->bounds()) {
      if (budget.over()) break;
      entry.bounds.push_back({unpack(bound->name(), budget), bound->cycles()});
    }
  }
  entry.output = static_cast<EntryOutput>(source->output());
  return entry;
}

RollModel unpack(const flat::Model* source, Budget& budget) {
  RollModel model;
  model.architecture = unpack(source->architecture(), budget);
  model.quantization = unpack(source->quantization(), budget);
  model.vocabulary = source->vocabulary();
  model.hidden = source->hidden();
  model.layers = source->layers();
  model.heads = source->heads();
  model.kv_heads = source->kv_heads();
  model.head_size = source->head_size();
  model.feed_forward = source->feed_forward();
  model.context = source->context();
  model.bos = source->bos();
  if (budget.take(source->eos()->size(), 4)) {
    model.eos.assign(source->eos()->begin(), source->eos()->end());
  }
  return model;
}

auto pack(FlatBufferBuilder& builder, const std::vector<Segment>& segments) {
  std::vector<flat::Segment> list;
  list.reserve(segments.size());
  for (const Segment& s : segments) {
    list.emplace_back(s.base, s.stride, s.parameter_stride, s.count, s.repeat, s.parameter,
                      s.limit);
  }
  return builder.CreateVectorOfStructs(list);
}

Offset<flat::Entry> pack(FlatBufferBuilder& builder, const Entry& entry) {
  const auto name = builder.CreateString(entry.name);
  std::vector<Offset<flat::Register>> registers;
  for (const RegisterDeclaration& r : entry.registers) {
    const auto register_name = builder.CreateString(r.name);
    registers.push_back(flat::CreateRegister(builder, register_name, r.index,
                                             static_cast<uint8_t>(r.role), r.argument, r.minimum,
                                             r.maximum, r.multiple));
  }
  const auto register_list = builder.CreateVector(registers);
  const auto tape = pack(builder, entry.tape);
  const auto kv_read = pack(builder, entry.kv_read);
  const auto kv_write = pack(builder, entry.kv_write);
  std::vector<Offset<flat::Bound>> bounds;
  for (const Bound& bound : entry.bounds) {
    const auto bound_name = builder.CreateString(bound.name);
    bounds.push_back(flat::CreateBound(builder, bound_name, bound.cycles));
  }
  const auto bound_list = builder.CreateVector(bounds);
  return flat::CreateEntry(builder, static_cast<uint8_t>(entry.kind), name, entry.tokens,
                           entry.context, entry.first_word, entry.word_count, entry.cycles,
                           register_list, tape, kv_read, kv_write, entry.host_receive_vectors,
                           entry.host_send_vectors, bound_list,
                           static_cast<uint8_t>(entry.output));
}

}  // namespace

std::vector<std::byte> pack_metadata(const RollMetadata& metadata) {
  // Every nested object is created in a statement of its own: the order of evaluation of arguments
  // is the compiler's choice, and the bytes must not depend on it.
  FlatBufferBuilder builder(4096);
  const auto target_name = builder.CreateString(metadata.target_name);
  const auto target_text = builder.CreateString(metadata.target_text);
  const auto architecture = builder.CreateString(metadata.model.architecture);
  const auto quantization = builder.CreateString(metadata.model.quantization);
  const std::vector<int32_t> eos_ids(metadata.model.eos.begin(), metadata.model.eos.end());
  const auto eos = builder.CreateVector(eos_ids);
  const RollModel& m = metadata.model;
  const auto model =
      flat::CreateModel(builder, architecture, quantization, m.vocabulary, m.hidden, m.layers,
                        m.heads, m.kv_heads, m.head_size, m.feed_forward, m.context, m.bos, eos);
  std::vector<Offset<flat::Entry>> entries;
  for (const Entry& entry : metadata.entries) entries.push_back(pack(builder, entry));
  const auto entry_list = builder.CreateVector(entries);
  std::vector<Offset<flat::Region>> regions;
  for (const PersistentRegion& region : metadata.persistent) {
    const auto name = builder.CreateString(region.name);
    regions.push_back(
        flat::CreateRegion(builder, name, region.slice, region.first_word, region.words));
  }
  const auto region_list = builder.CreateVector(regions);
  builder.Finish(flat::CreateMetadata(builder, metadata.version, target_name, target_text, model,
                                      entry_list, region_list, metadata.kv_vectors));
  const auto* bytes = reinterpret_cast<const std::byte*>(builder.GetBufferPointer());
  return {bytes, bytes + builder.GetSize()};
}

Result<RollMetadata> unpack_metadata(std::span<const std::byte> bytes) {
  CHECK(reinterpret_cast<uintptr_t>(bytes.data()) % 8 == 0);
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  flatbuffers::Verifier verifier(data, bytes.size(), /*max_depth=*/16, /*max_tables=*/1 << 20);
  if (bytes.size() < 8 || !flat::VerifyMetadataBuffer(verifier)) {
    return Error{ErrorCode::Malformed, "the metadata is not a valid FlatBuffer", "metadata"};
  }
  const flat::Metadata* source = flat::GetMetadata(data);
  Budget budget(bytes.size());
  RollMetadata metadata;
  metadata.version = source->version();
  metadata.target_name = unpack(source->target_name(), budget);
  metadata.target_text = unpack(source->target_text(), budget);
  metadata.model = unpack(source->model(), budget);
  if (budget.take(source->entries()->size(), 4)) {
    for (const flat::Entry* entry : *source->entries()) {
      if (budget.over()) break;
      metadata.entries.push_back(unpack(entry, budget));
    }
  }
  if (budget.take(source->persistent()->size(), 4)) {
    for (const flat::Region* region : *source->persistent()) {
      if (budget.over()) break;
      metadata.persistent.push_back(
          {unpack(region->name(), budget), region->slice(), region->first_word(), region->words()});
    }
  }
  metadata.kv_vectors = source->kv_vectors();
  const std::vector<std::byte> canonical =
      budget.over() ? std::vector<std::byte>() : pack_metadata(metadata);
  if (!std::equal(canonical.begin(), canonical.end(), bytes.begin(), bytes.end())) {
    return Error{
        ErrorCode::Malformed,
        "the metadata is valid but not as pianola writes it; the file was altered or comes "
        "from another version",
        "metadata"};
  }
  return metadata;
}

}  // namespace pianola
