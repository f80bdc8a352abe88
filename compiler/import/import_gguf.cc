#include "compiler/import/import_gguf.h"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "compiler/import/assemble_llama.h"
#include "formats/quote.h"

namespace pianola {
namespace {

constexpr LlamaNames kNames = {
    .embedding = "token_embd.weight",
    .final_norm = "output_norm.weight",
    .head = "output.weight",
    .layer_prefix = "blk.",
    .parts = {".attn_norm.weight", ".attn_q.weight", ".attn_k.weight", ".attn_v.weight",
              ".attn_output.weight", ".ffn_norm.weight", ".ffn_gate.weight", ".ffn_up.weight",
              ".ffn_down.weight"},
    .ignored_suffix = "",
};

std::optional<DType> dtype_of(std::uint32_t type) {
  switch (static_cast<GgmlType>(type)) {
    case GgmlType::F32:
      return DType::F32;
    case GgmlType::F16:
      return DType::F16;
    case GgmlType::Q4_0:
      return DType::Q4_0;
    case GgmlType::Q4_1:
      return DType::Q4_1;
    case GgmlType::Q5_0:
      return DType::Q5_0;
    case GgmlType::Q5_1:
      return DType::Q5_1;
    case GgmlType::Q8_0:
      return DType::Q8_0;
    case GgmlType::BF16:
      return DType::BF16;
  }
  return std::nullopt;
}

// Reads "<architecture>.<key>" look-ups and remembers which keys were asked for.
class Facts {
 public:
  Facts(const GgufFile& file, std::string prefix, ImportProblems& problems)
      : file_(file), prefix_(std::move(prefix)), problems_(problems) {}

  bool has(const char* key) { return file_.has(known(key)); }

  // A count; `otherwise` where the key is absent.
  std::size_t count(const char* key, std::size_t otherwise) {
    const std::string name = known(key);
    if (!file_.has(name)) return otherwise;
    return required_count(key);
  }
  std::size_t required_count(const char* key) {
    const std::string name = known(key);
    const GgufValue* value = file_.find(name);
    if (value != nullptr && value->type == GgufType::Array) {
      problems_.unsupported.push_back("metadata " + quote_name(name) + " differing by layer");
      return 0;
    }
    const Result<std::int64_t> result = file_.integer_value(name);
    if (result.ok() && *result >= 0) return static_cast<std::size_t>(*result);
    problems_.malformed.push_back(result.ok() ? "metadata " + quote_name(name) + " is negative"
                                              : result.error().message);
    return 0;
  }
  double number(const char* key, double otherwise) {
    return has(key) ? required_number(key) : otherwise;
  }
  double required_number(const char* key) {
    const Result<double> result = file_.float_value(known(key));
    if (result.ok()) return *result;
    problems_.malformed.push_back(result.error().message);
    return 0;
  }
  // Metadata of this architecture that nothing has asked for may change what the model computes.
  void refuse_unknown() {
    for (const auto& [key, value] : file_.metadata()) {
      if (key.starts_with(prefix_) && known_.find(key) == known_.end()) {
        problems_.unsupported.push_back("metadata " + quote_name(key));
      }
    }
  }

 private:
  std::string known(const char* key) {
    std::string name = prefix_ + key;
    known_.insert(name);
    return name;
  }

  const GgufFile& file_;
  std::string prefix_;
  ImportProblems& problems_;
  std::set<std::string, std::less<>> known_;
};

std::int64_t token_id(const GgufFile& file, const char* key, ImportProblems& problems) {
  if (!file.has(key)) return -1;
  const Result<std::int64_t> id = file.integer_value(key);
  if (id.ok()) return std::max<std::int64_t>(*id, -1);
  problems.malformed.push_back(id.error().message);
  return -1;
}

void check_rope_scaling(const GgufFile& file, Facts& reader, const std::string& prefix,
                        ImportProblems& problems) {
  if (reader.has("rope.scaling.type")) {
    const std::string key = prefix + "rope.scaling.type";
    const Result<std::string_view> type = file.string_value(key);
    if (!type.ok()) {
      problems.malformed.push_back(type.error().message);
    } else if (*type != "none") {
      problems.unsupported.push_back("RoPE scaling of type " + quote_name(*type));
    }
  }
  if (reader.number("rope.scaling.factor", 1) != 1) {
    problems.unsupported.push_back("RoPE scaling by a factor");
  }
}

ModelFacts read_facts(const GgufFile& file, const std::string& architecture,
                      ImportProblems& problems) {
  const std::string prefix = architecture + ".";
  Facts reader(file, prefix, problems);
  ModelFacts facts;
  facts.architecture = architecture;
  facts.hidden = reader.required_count("embedding_length");
  facts.layers = reader.required_count("block_count");
  facts.ffn = reader.required_count("feed_forward_length");
  facts.heads = reader.required_count("attention.head_count");
  facts.kv_heads = reader.count("attention.head_count_kv", facts.heads);
  facts.context_max = reader.required_count("context_length");
  facts.vocab = reader.count("vocab_size", 0);
  const bool explicit_head = reader.has("attention.key_length");
  const std::size_t derived = facts.heads == 0 ? 0 : facts.hidden / facts.heads;
  facts.head_dim = reader.count("attention.key_length", derived);
  if (!explicit_head && facts.heads != 0 && facts.hidden % facts.heads != 0) {
    problems.malformed.push_back(
        "the hidden size is no multiple of the number of heads, and "
        "attention.key_length is not given");
  }
  const std::size_t value_dim = reader.count("attention.value_length", facts.head_dim);
  if (value_dim != facts.head_dim) {
    problems.unsupported.push_back("value heads of " + std::to_string(value_dim) +
                                   " elements beside key heads of " +
                                   std::to_string(facts.head_dim));
  }
  const std::size_t rotated = reader.count("rope.dimension_count", facts.head_dim);
  if (rotated != facts.head_dim) {
    problems.unsupported.push_back("RoPE on " + std::to_string(rotated) + " of " +
                                   std::to_string(facts.head_dim) + " elements of a head");
  }
  facts.rope_theta = reader.number("rope.freq_base", 10000);
  const double eps = reader.required_number("attention.layer_norm_rms_epsilon");
  facts.rms_eps = eps >= 0 && eps <= 1 ? static_cast<float>(eps) : -1.0f;
  check_rope_scaling(file, reader, prefix, problems);
  if (reader.count("expert_count", 0) != 0) problems.unsupported.push_back("mixture of experts");
  reader.count("expert_used_count", 0);
  reader.has("tensor_data_layout");  // a remark of the converter; the data is as for all
  reader.refuse_unknown();
  facts.bos_id = token_id(file, "tokenizer.ggml.bos_token_id", problems);
  for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"}) {
    const std::int64_t id = token_id(file, key, problems);
    const bool listed =
        std::find(facts.eos_ids.begin(), facts.eos_ids.end(), id) != facts.eos_ids.end();
    if (id >= 0 && !listed) facts.eos_ids.push_back(id);
  }
  facts.tied_embedding = file.find_tensor(kNames.head) == nullptr;
  return facts;
}

SourceTensor describe(const GgufTensor& tensor) {
  SourceTensor source;
  source.rank = tensor.dims.size();
  source.cols = tensor.dims[0];
  source.rows = 1;
  for (std::size_t i = 1; i < tensor.dims.size(); ++i) source.rows *= tensor.dims[i];
  source.dtype = dtype_of(tensor.type);
  source.dtype_name = ggml_type_name(tensor.type);
  source.bytes = tensor.bytes;
  return source;
}

}  // namespace

Result<Graph> import_gguf(const GgufFile& file) {
  ImportProblems problems;
  TRY(const std::string_view architecture, file.string_value("general.architecture"));
  if (architecture != "llama") {
    problems.unsupported.push_back("architecture " + quote_name(architecture));
  }
  LlamaSource source;
  source.names = kNames;
  source.interleaved_rope = true;
  source.facts = read_facts(file, std::string(architecture), problems);
  for (const GgufTensor& tensor : file.tensors()) {
    source.tensors.emplace(tensor.name, describe(tensor));
  }
  return assemble_llama(std::move(source), std::move(problems), file.name());
}

}  // namespace pianola
