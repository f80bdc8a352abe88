#include "host/server/write_logprobs.h"

#include <algorithm>
#include <cmath>

namespace pianola {
namespace {

// JSON has no infinities; nothing is less likely than this.
double finite(float logprob) { return std::max(static_cast<double>(logprob), -9999.0); }

// Special tokens leave no text; they are shown by the name that the vocabulary gives them.
std::string shown(const ServedModel& model, int id) {
  const std::string& bytes = model.token_bytes[static_cast<std::size_t>(id)];
  return bytes.empty() ? std::string(model.tokenizer->token_text(id)) : bytes;
}

OrderedJson chat_entry(const ServedModel& model, int id, float logprob) {
  const std::string bytes = shown(model, id);
  OrderedJson numbers = OrderedJson::array();
  for (const char c : bytes) numbers.push_back(static_cast<unsigned char>(c));
  return {{"token", bytes}, {"logprob", finite(logprob)}, {"bytes", std::move(numbers)}};
}

}  // namespace

OrderedJson empty_logprobs(bool chat) {
  const OrderedJson none = OrderedJson::array();
  if (chat) return {{"content", none}};
  return {
      {"tokens", none}, {"token_logprobs", none}, {"top_logprobs", none}, {"text_offset", none}};
}

void add_logprob(OrderedJson& logprobs, bool chat, const ServedModel& model, int id,
                 const ScoredToken* scored, int top, std::size_t& text_offset) {
  if (chat) {
    OrderedJson entry = chat_entry(model, id, scored->logprob);
    entry["top_logprobs"] = OrderedJson::array();
    for (const auto& [other, logprob] : scored->top) {
      entry["top_logprobs"].push_back(chat_entry(model, other, logprob));
    }
    logprobs["content"].push_back(std::move(entry));
    return;
  }
  const std::string bytes = shown(model, id);
  logprobs["tokens"].push_back(bytes);
  logprobs["text_offset"].push_back(text_offset);
  text_offset += model.token_bytes[static_cast<std::size_t>(id)].size();
  if (scored == nullptr) {
    logprobs["token_logprobs"].push_back(nullptr);
    logprobs["top_logprobs"].push_back(nullptr);
    return;
  }
  logprobs["token_logprobs"].push_back(finite(scored->logprob));
  OrderedJson alternatives = OrderedJson::object();
  for (const auto& [other, logprob] : scored->top) {
    alternatives[shown(model, other)] = finite(logprob);
  }
  logprobs["top_logprobs"].push_back(top == 0 ? OrderedJson(nullptr) : std::move(alternatives));
}

}  // namespace pianola
