// Applies chat templates for the comparison with other engines: a request a line on standard input,
// a JSON answer a line on standard output.
//
//   {"source": ..., "messages": [...], "tools": [...], ...}   ->   {"text": ...} or {"error": ...}
#include <ctime>
#include <iostream>
#include <string>

#include "host/template/chat_template.h"

namespace pianola {
namespace {

OrderedJson answer(const OrderedJson& request) {
  const auto chat = ChatTemplate::parse(request.at("source").get<std::string>());
  if (!chat.ok()) return {{"error", to_string(chat.error())}};
  ChatTemplateInput input;
  input.messages = request.at("messages");
  input.tools = request.at("tools");
  input.add_generation_prompt = request.at("add_generation_prompt").get<bool>();
  input.bos_token = request.at("bos_token").get<std::string>();
  input.eos_token = request.at("eos_token").get<std::string>();
  input.variables = request.at("variables");
  const auto seconds = static_cast<std::time_t>(request.at("seconds").get<std::int64_t>());
  gmtime_r(&seconds, &input.now);
  const auto text = chat->apply(input);
  if (!text.ok()) return {{"error", to_string(text.error())}};
  return {{"text", *text}};
}

}  // namespace
}  // namespace pianola

int main() {
  std::ios::sync_with_stdio(false);
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << pianola::answer(pianola::OrderedJson::parse(line)).dump() << '\n';
  }
}
