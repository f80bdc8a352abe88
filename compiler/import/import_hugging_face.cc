#include "compiler/import/import_hugging_face.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "compiler/import/assemble_llama.h"
#include "formats/parse_json.h"
#include "formats/quote.h"

namespace pianola {
namespace {

constexpr LlamaNames kNames = {
    .embedding = "model.embed_tokens.weight",
    .final_norm = "model.norm.weight",
    .head = "lm_head.weight",
    .layer_prefix = "model.layers.",
    .parts = {".input_layernorm.weight", ".self_attn.q_proj.weight", ".self_attn.k_proj.weight",
              ".self_attn.v_proj.weight", ".self_attn.o_proj.weight",
              ".post_attention_layernorm.weight", ".mlp.gate_proj.weight", ".mlp.up_proj.weight",
              ".mlp.down_proj.weight"},
    .ignored_suffix = ".rotary_emb.inv_freq",  // a constant that old versions saved
};

constexpr JsonLimits kConfigLimits = {
    .size_bytes_max = std::size_t{8} << 20, .depth_max = 16, .values_max = 1'000'000};

// Reads members of config.json; what is wrong goes to the problems.
class Config {
 public:
  Config(const Json& json, ImportProblems& problems) : json_(json), problems_(problems) {}

  std::size_t count(const char* key, std::optional<std::size_t> otherwise = std::nullopt) {
    const auto value = take(integer_member(json_, key));
    if (value && *value >= 0) return static_cast<std::size_t>(*value);
    if (value) malformed(key, "is negative");
    if (!value && otherwise) return *otherwise;
    if (!value) malformed(key, "is missing");
    return 0;
  }
  double number(const char* key, double otherwise) {
    return take(number_member(json_, key)).value_or(otherwise);
  }
  bool flag(const char* key, bool otherwise) {
    return take(bool_member(json_, key)).value_or(otherwise);
  }
  std::string text(const char* key, const char* otherwise) {
    return take(string_member(json_, key)).value_or(otherwise);
  }
  bool has(const char* key) const { return find_member(json_, key) != nullptr; }
  const Json& json() const { return json_; }

 private:
  void malformed(const char* key, const char* what) {
    problems_.malformed.push_back(std::string("'") + key + "' " + what);
  }
  template <typename T>
  std::optional<T> take(Result<std::optional<T>> result) {
    if (result.ok()) return std::move(result).value();
    problems_.malformed.push_back(result.error().message);
    return std::nullopt;
  }

  const Json& json_;
  ImportProblems& problems_;
};

void check_architecture(Config& config, ImportProblems& problems) {
  const Json* names = find_member(config.json(), "architectures");
  const std::string type = config.text("model_type", "");
  if (names == nullptr) {
    if (type.empty()) problems.malformed.push_back("'architectures' and 'model_type' are missing");
  } else if (!names->is_array() || names->size() != 1 || !(*names)[0].is_string()) {
    problems.malformed.push_back("'architectures' must be an array of one string");
  } else if (const auto& name = (*names)[0].get_ref<const std::string&>();
             name != "LlamaForCausalLM") {
    problems.unsupported.push_back("architecture " + quote_name(name));
  }
  if (!type.empty() && type != "llama") {
    problems.unsupported.push_back("model type " + quote_name(type));
  }
}

// rope_scaling (and rope_parameters, its newer form) may say "default" and nothing else.
void check_rope(const Config& config, ImportProblems& problems) {
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    const Json* member = find_member(config.json(), key);
    if (member == nullptr) continue;
    if (!member->is_object()) {
      problems.malformed.push_back(std::string("'") + key + "' must be an object or null");
      continue;
    }
    const Json* type = find_member(*member, "rope_type");
    if (type == nullptr) type = find_member(*member, "type");
    if (type == nullptr || !type->is_string()) {
      problems.malformed.push_back(std::string("'") + key + "' has no type");
    } else if (*type != "default") {
      problems.unsupported.push_back("RoPE scaling of type " +
                                     quote_name(type->get_ref<const std::string&>()));
    }
  }
}

void check_parts(Config& config, ImportProblems& problems) {
  check_architecture(config, problems);
  check_rope(config, problems);
  const auto unsupported = [&](std::string text) {
    problems.unsupported.push_back(std::move(text));
  };
  const std::string activation = config.text("hidden_act", "silu");
  if (activation != "silu") unsupported("activation " + quote_name(activation));
  if (config.flag("attention_bias", false)) unsupported("attention_bias");
  if (config.flag("mlp_bias", false)) unsupported("mlp_bias");
  if (config.number("partial_rotary_factor", 1) != 1) unsupported("partial_rotary_factor");
  if (config.has("sliding_window") && config.flag("use_sliding_window", true)) {
    unsupported("sliding_window");
  }
  if (const Json* quantization = find_member(config.json(), "quantization_config")) {
    const Json* method = find_member(*quantization, "quant_method");
    const bool named = method != nullptr && method->is_string();
    unsupported("quantization" +
                (named ? " " + quote_name(method->get_ref<const std::string&>()) : ""));
  }
}

// Appends the ids of "eos_token_id": an integer or an array of them.
void add_eos(const Json& json, std::vector<std::int64_t>& ids, ImportProblems& problems) {
  const Json* member = find_member(json, "eos_token_id");
  if (member == nullptr) return;
  const Json list = member->is_array() ? *member : Json::array({*member});
  for (const Json& item : list) {
    if (!item.is_number_integer() || item > std::int64_t{0x7fffffff}) {
      problems.malformed.push_back("'eos_token_id' must be an integer or an array of integers");
      return;
    }
    const auto id = item.get<std::int64_t>();
    if (id >= 0 && std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
  }
}

ModelFacts read_facts(Config& config, ImportProblems& problems) {
  ModelFacts facts;
  facts.architecture = "llama";
  facts.hidden = config.count("hidden_size");
  facts.vocab = config.count("vocab_size");
  if (facts.vocab == 0) problems.malformed.push_back("'vocab_size' must be positive");
  facts.layers = config.count("num_hidden_layers");
  facts.heads = config.count("num_attention_heads");
  facts.kv_heads = config.count("num_key_value_heads", facts.heads);
  facts.ffn = config.count("intermediate_size");
  facts.context_max = config.count("max_position_embeddings", 2048);
  const std::size_t derived = facts.heads == 0 ? 0 : facts.hidden / facts.heads;
  facts.head_dim = config.count("head_dim", derived);
  if (!config.has("head_dim") && facts.heads != 0 && facts.hidden % facts.heads != 0) {
    problems.malformed.push_back(
        "'hidden_size' is no multiple of 'num_attention_heads', and 'head_dim' is not given");
  }
  facts.rope_theta = config.number("rope_theta", 10000);
  if (const Json* rope = find_member(config.json(), "rope_parameters")) {
    facts.rope_theta = Config(*rope, problems).number("rope_theta", facts.rope_theta);
  }
  const double eps = config.number("rms_norm_eps", 1e-6);
  facts.rms_eps = eps >= 0 && eps <= 1 ? static_cast<float>(eps) : -1.0f;
  facts.tied_embedding = config.flag("tie_word_embeddings", false);
  const Result<std::optional<std::int64_t>> bos = integer_member(config.json(), "bos_token_id");
  if (!bos.ok()) problems.malformed.push_back(bos.error().message);
  if (bos.ok()) facts.bos_id = std::max<std::int64_t>((*bos).value_or(-1), -1);
  add_eos(config.json(), facts.eos_ids, problems);
  return facts;
}

SourceTensor describe(const SafetensorsTensor& tensor) {
  SourceTensor source;
  source.rank = tensor.shape.size();
  source.cols = source.rank == 0 ? 1 : tensor.shape.back();
  source.rows = 1;
  for (std::size_t i = 0; i + 1 < source.rank; ++i) source.rows *= tensor.shape[i];
  if (tensor.dtype == "F32") source.dtype = DType::F32;
  if (tensor.dtype == "F16") source.dtype = DType::F16;
  if (tensor.dtype == "BF16") source.dtype = DType::BF16;
  source.dtype_name = tensor.dtype;
  source.bytes = tensor.bytes;
  return source;
}

// What a file of these dimensions would hold.
SourceTensors tensors_of(const ModelFacts& facts) {
  SourceTensors tensors;
  const auto add = [&](std::string name, std::size_t rows, std::size_t cols) {
    tensors[std::move(name)] = {rows == 1 ? std::size_t{1} : 2, rows, cols, DType::BF16, "BF16", {}};
  };
  add(std::string(kNames.embedding), facts.vocab, facts.hidden);
  add(std::string(kNames.final_norm), 1, facts.hidden);
  if (!facts.tied_embedding) add(std::string(kNames.head), facts.vocab, facts.hidden);
  const std::size_t q = facts.heads * facts.head_dim, kv = facts.kv_heads * facts.head_dim;
  const std::array<std::array<std::size_t, 2>, kLlamaParts> shapes = {
      {{1, facts.hidden}, {q, facts.hidden}, {kv, facts.hidden}, {kv, facts.hidden},
       {facts.hidden, q}, {1, facts.hidden}, {facts.ffn, facts.hidden},
       {facts.ffn, facts.hidden}, {facts.hidden, facts.ffn}}};
  for (std::size_t layer = 0; layer < facts.layers; ++layer) {
    for (std::size_t part = 0; part < kLlamaParts; ++part) {
      add(std::string(kNames.layer_prefix) + std::to_string(layer) +
              std::string(kNames.parts[part]),
          shapes[part][0], shapes[part][1]);
    }
  }
  return tensors;
}

constexpr std::size_t kLayersMax = 1000;

}  // namespace

Result<Graph> import_configuration(std::string_view config_text, const std::string& where) {
  TRY(const Json json, parse_json(config_text, where, kConfigLimits));
  if (!json.is_object()) return Error{ErrorCode::Malformed, "not a JSON object", where};
  ImportProblems problems;
  Config config(json, problems);
  check_parts(config, problems);
  LlamaSource source;
  source.names = kNames;
  source.facts = read_facts(config, problems);
  if (source.facts.layers > kLayersMax) {
    problems.malformed.push_back(std::to_string(source.facts.layers) + " layers; expected at most " +
                                 std::to_string(kLayersMax));
  }
  check_facts(source.facts, problems);
  if (!problems.none()) return problems.to_error(where);
  source.tensors = tensors_of(source.facts);
  source.dimensions_only = true;
  return assemble_llama(std::move(source), std::move(problems), where);
}

Result<Graph> import_hugging_face(std::string_view config_text, std::string_view generation_config,
                                  std::span<const SafetensorsFile> shards,
                                  const std::string& where) {
  TRY(const Json json, parse_json(config_text, where + "/config.json", kConfigLimits));
  if (!json.is_object()) {
    return Error{ErrorCode::Malformed, "not a JSON object", where + "/config.json"};
  }
  ImportProblems problems;
  Config config(json, problems);
  check_parts(config, problems);
  LlamaSource source;
  source.names = kNames;
  source.facts = read_facts(config, problems);
  if (!generation_config.empty()) {
    TRY(const Json generation,
        parse_json(generation_config, where + "/generation_config.json", kConfigLimits));
    add_eos(generation, source.facts.eos_ids, problems);
  }
  for (const SafetensorsFile& shard : shards) {
    for (const SafetensorsTensor& tensor : shard.tensors()) {
      if (!source.tensors.emplace(tensor.name, describe(tensor)).second) {
        problems.malformed.push_back("tensor " + quote_name(tensor.name) + " is in two shards");
      }
    }
  }
  return assemble_llama(std::move(source), std::move(problems), where);
}

}  // namespace pianola
