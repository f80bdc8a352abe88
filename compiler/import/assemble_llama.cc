#include "compiler/import/assemble_llama.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "formats/quote.h"

namespace pianola {
namespace {

constexpr std::size_t kLinesMax = 100;
constexpr std::size_t kDimensionMax = std::size_t{1} << 31;

std::string counted(std::size_t count) {
  return " (" + std::to_string(count) + (count == 1 ? " tensor)" : " tensors)");
}

// "model.layers.3.mlp.weight" -> "model.layers.*.mlp.weight", so that layers make one line.
std::string without_numbers(std::string_view name) {
  std::string out;
  for (std::size_t begin = 0; begin <= name.size();) {
    const std::size_t end = std::min(name.find('.', begin), name.size());
    const std::string_view part = name.substr(begin, end - begin);
    const bool number =
        !part.empty() && part.find_first_not_of("0123456789") == std::string_view::npos;
    out += number ? "*" : part;
    if (end < name.size()) out += '.';
    begin = end + 1;
  }
  return out;
}

// The tensors of one model, claimed one by one by name.
class Assembler {
 public:
  Assembler(LlamaSource source, ImportProblems problems)
      : source_(std::move(source)), problems_(std::move(problems)) {}

  Result<Graph> run(const std::string& where) {
    ModelFacts& facts = source_.facts;
    if (facts.vocab == 0) {
      const SourceTensor* embedding = find(source_.names.embedding);
      facts.vocab = embedding != nullptr ? embedding->rows : 1;
    }
    check_facts(facts, problems_);
    if (facts.layers > source_.tensors.size()) {  // bounds all that follows
      problems_.malformed.push_back(std::to_string(facts.layers) + " layers, but only " +
                                    std::to_string(source_.tensors.size()) + " tensors");
    }
    const bool countable = problems_.malformed.empty();
    graph_ = empty_graph(facts);
    graph_.dimensions_only = source_.dimensions_only;
    if (countable) build();
    check_leftovers(countable);
    if (!problems_.none()) return problems_.to_error(where);
    TRY_STATUS(verify(graph_));
    return std::move(graph_);
  }

 private:
  const SourceTensor* find(std::string_view name) const {
    const auto found = source_.tensors.find(name);
    return found == source_.tensors.end() ? nullptr : &found->second;
  }

  std::string part_name(std::size_t layer, LlamaPart part) const {
    return std::string(source_.names.layer_prefix) + std::to_string(layer) +
           std::string(source_.names.parts[static_cast<std::size_t>(part)]);
  }

  // Takes a tensor of the given shape; a vector of n is (1, n). heads > 0: its rows are rope rows.
  TensorId claim(const std::string& name, std::size_t rows, std::size_t cols,
                 std::size_t rope_heads = 0) {
    const SourceTensor* source = find(name);
    if (source == nullptr) {
      problems_.malformed.push_back("tensor " + quote_name(name) + " is missing");
      return TensorId{};
    }
    claimed_.insert(name);
    const bool vector = rows == 1 && source->rank == 1;
    const bool matrix = source->rank == 2 && source->rows == rows;
    if ((!vector && !matrix) || source->cols != cols) {
      problems_.malformed.push_back(
          "tensor " + quote_name(name) + " has shape [" + std::to_string(source->rows) + ", " +
          std::to_string(source->cols) + "], rank " + std::to_string(source->rank) +
          "; expected [" + std::to_string(rows) + ", " + std::to_string(cols) + "]");
      return TensorId{};
    }
    if (!source->dtype) return TensorId{};  // check_leftovers reports types
    Tensor tensor;
    tensor.name = name;
    tensor.rows = rows;
    tensor.cols = cols;
    tensor.dtype = *source->dtype;
    tensor.storage = source->bytes;
    if (rope_heads > 0 && source_.interleaved_rope) order_rope_rows(tensor, rope_heads);
    return graph_.add_tensor(std::move(tensor));
  }

  // Half order: row i of a head pairs with i + half. Stored: rows 2i and 2i + 1 pair.
  static void order_rope_rows(Tensor& tensor, std::size_t heads) {
    const std::size_t head_dim = tensor.rows / heads;
    const std::size_t half = head_dim / 2;
    tensor.row_order.resize(tensor.rows);
    for (std::size_t row = 0; row < tensor.rows; ++row) {
      const std::size_t i = row % head_dim;
      const std::size_t stored = row - i + 2 * (i % half) + i / half;
      tensor.row_order[row] = static_cast<std::uint32_t>(stored);
    }
  }

  void build() {
    const ModelFacts& facts = source_.facts;
    const LlamaNames& names = source_.names;
    const TensorId table = claim(std::string(names.embedding), facts.vocab, facts.hidden);
    ValueId x = graph_.add_node("embedding", Embedding{table}, {kTokens}, facts.hidden);
    for (std::size_t layer = 0; layer < facts.layers; ++layer) x = add_layer(layer, x);
    const TensorId gain = claim(std::string(names.final_norm), 1, facts.hidden);
    x = graph_.add_node("final_norm", RmsNorm{gain, facts.rms_eps}, {x}, facts.hidden);
    const TensorId head =
        facts.tied_embedding ? table : claim(std::string(names.head), facts.vocab, facts.hidden);
    if (facts.tied_embedding) claimed_.insert(std::string(names.head));  // a copy, where present
    graph_.add_node("logits", Logits{head}, {x}, facts.vocab);
  }

  ValueId add_layer(std::size_t layer, ValueId x) {
    const ModelFacts& facts = source_.facts;
    const std::size_t hidden = facts.hidden;
    const std::size_t q_width = facts.heads * facts.head_dim;
    const std::size_t kv_width = facts.kv_heads * facts.head_dim;
    const std::string prefix = "layers." + std::to_string(layer) + ".";
    const auto norm = [&](const char* name, LlamaPart part, ValueId input) {
      const TensorId gain = claim(part_name(layer, part), 1, hidden);
      return graph_.add_node(prefix + name, RmsNorm{gain, facts.rms_eps}, {input}, hidden);
    };
    const auto linear = [&](const char* name, LlamaPart part, ValueId input, std::size_t in,
                            std::size_t out, std::size_t rope_heads = 0) {
      const TensorId weight = claim(part_name(layer, part), out, in, rope_heads);
      return graph_.add_node(prefix + name, Linear{weight, false, {}}, {input}, out);
    };
    const auto rope = [&](const char* name, ValueId input, std::size_t heads) {
      return graph_.add_node(prefix + name, Rope{heads, facts.head_dim, facts.rope_theta}, {input},
                             heads * facts.head_dim);
    };

    const ValueId a = norm("attention_norm", LlamaPart::AttentionNorm, x);
    const ValueId q = linear("q", LlamaPart::Q, a, hidden, q_width, facts.heads);
    const ValueId k = linear("k", LlamaPart::K, a, hidden, kv_width, facts.kv_heads);
    const ValueId v = linear("v", LlamaPart::V, a, hidden, kv_width);
    const ValueId q_rope = rope("q_rope", q, facts.heads);
    const ValueId k_rope = rope("k_rope", k, facts.kv_heads);
    const Attention attention{facts.heads, facts.kv_heads, facts.head_dim,
                              static_cast<float>(1 / std::sqrt(double(facts.head_dim))), layer};
    const ValueId mixed =
        graph_.add_node(prefix + "attention", attention, {q_rope, k_rope, v}, q_width);
    const ValueId o = linear("o", LlamaPart::O, mixed, q_width, hidden);
    x = graph_.add_node(prefix + "attention_add", Add{}, {x, o}, hidden);

    const ValueId f = norm("ffn_norm", LlamaPart::FfnNorm, x);
    const ValueId gate = linear("gate", LlamaPart::Gate, f, hidden, facts.ffn);
    const ValueId up = linear("up", LlamaPart::Up, f, hidden, facts.ffn);
    const ValueId product = graph_.add_node(prefix + "silu_mul", SiluMul{}, {gate, up}, facts.ffn);
    const ValueId down = linear("down", LlamaPart::Down, product, facts.ffn, hidden);
    return graph_.add_node(prefix + "ffn_add", Add{}, {x, down}, hidden);
  }

  // The name of a Llama's tensor, be it of a layer that this model does not have.
  bool is_ours(std::string_view name) const {
    const LlamaNames& names = source_.names;
    if (name == names.embedding || name == names.final_norm || name == names.head) return true;
    if (!name.starts_with(names.layer_prefix)) return false;
    name.remove_prefix(names.layer_prefix.size());
    name.remove_prefix(std::min(name.find_first_not_of("0123456789"), name.size()));
    return std::find(names.parts.begin(), names.parts.end(), name) != names.parts.end();
  }

  // Tensors that a Llama does not have, and types that we do not have, in groups. `built` tells
  // whether the facts allowed to claim the tensors that it does have.
  void check_leftovers(bool built) {
    std::map<std::string, std::size_t> unknown;
    std::map<std::string, std::size_t> surplus;
    std::map<std::string, std::size_t> types;
    for (const auto& [name, tensor] : source_.tensors) {
      const std::string_view suffix = source_.names.ignored_suffix;
      if (!suffix.empty() && name.ends_with(suffix)) continue;
      if (!tensor.dtype) ++types[tensor.dtype_name];
      if (claimed_.count(name) != 0) continue;
      if (!is_ours(name)) ++unknown[without_numbers(name)];
      if (is_ours(name) && built) ++surplus[without_numbers(name)];
    }
    for (const auto& [type, count] : types) {
      problems_.unsupported.push_back("tensor type " + type + counted(count));
    }
    for (const auto& [name, count] : unknown) {
      problems_.unsupported.push_back("tensor " + quote_name(name) + counted(count));
    }
    for (const auto& [name, count] : surplus) {
      problems_.malformed.push_back("tensor " + quote_name(name) + counted(count) +
                                    " belongs to none of the model's layers");
    }
  }

  LlamaSource source_;
  ImportProblems problems_;
  Graph graph_;
  std::set<std::string> claimed_;
};

}  // namespace

Error ImportProblems::to_error(const std::string& where) const {
  CHECK(!none());
  const bool refused = !unsupported.empty();
  const std::vector<std::string>& lines = refused ? unsupported : malformed;
  std::string message =
      refused ? "the model has parts that this build does not support (it takes LlamaForCausalLM):"
              : "the model file does not hold what it says:";
  for (std::size_t i = 0; i < std::min(lines.size(), kLinesMax); ++i) message += "\n  " + lines[i];
  if (lines.size() > kLinesMax) {
    message += "\n  and " + std::to_string(lines.size() - kLinesMax) + " more";
  }
  return {refused ? ErrorCode::Unsupported : ErrorCode::Malformed, message, where};
}

void check_facts(const ModelFacts& facts, ImportProblems& problems) {
  const auto malformed = [&](std::string text) { problems.malformed.push_back(std::move(text)); };
  const std::pair<const char*, std::size_t> dimensions[] = {{"hidden size", facts.hidden},
                                                            {"vocabulary", facts.vocab},
                                                            {"number of layers", facts.layers},
                                                            {"number of heads", facts.heads},
                                                            {"number of kv heads", facts.kv_heads},
                                                            {"head size", facts.head_dim},
                                                            {"ffn size", facts.ffn},
                                                            {"context length", facts.context_max}};
  for (const auto& [name, value] : dimensions) {
    if (value == 0 || value >= kDimensionMax) {
      malformed(std::string("the ") + name + " is " + std::to_string(value) +
                "; expected 1 to 2147483647");
    }
  }
  if (facts.kv_heads != 0 && facts.heads % facts.kv_heads != 0) {
    malformed(std::to_string(facts.heads) + " heads are no multiple of " +
              std::to_string(facts.kv_heads) + " kv heads");
  }
  if (facts.head_dim % 2 != 0) {
    malformed("the head size " + std::to_string(facts.head_dim) + " is odd; RoPE needs pairs");
  }
  if (!(facts.rope_theta >= 1e-6 && facts.rope_theta <= 1e30)) {
    malformed("the RoPE base is not a number from 1e-6 to 1e30");
  }
  if (!(facts.rms_eps >= 1e-30f && facts.rms_eps <= 1.0f)) {
    malformed("the RMS norm epsilon is not a number from 1e-30 to 1");
  }
  const auto check_id = [&](const char* name, std::int64_t id) {
    if (id >= static_cast<std::int64_t>(facts.vocab)) {
      malformed(std::string(name) + " id " + std::to_string(id) + " is outside the vocabulary of " +
                std::to_string(facts.vocab));
    }
  };
  check_id("BOS", facts.bos_id);
  for (const std::int64_t id : facts.eos_ids) check_id("EOS", id);
}

Result<Graph> assemble_llama(LlamaSource source, ImportProblems problems,
                             const std::string& where) {
  return Assembler(std::move(source), std::move(problems)).run(where);
}

}  // namespace pianola
