#include "tests/host/served_models.h"

#include "tests/executors/play_model.h"

namespace pianola::test {

Roll small_roll(const char* target, const LlamaShape& shape, EntryOutput output) {
  const Model model = random_model(shape);
  CompileOptions options;
  options.context = kSmallContext;
  options.output = output;
  return compile_verified(model.graph, target, options);
}

GenerationOptions numbered_request(std::uint64_t number) {
  GenerationOptions options;
  const std::vector<int> common = random_ids(48, kSmallVocabulary, 1 + number % 3);
  const std::size_t shared = number * 7 % 33;
  options.prompt.assign(common.begin(), common.begin() + static_cast<std::ptrdiff_t>(shared));
  const std::vector<int> own = random_ids(1 + number % 8, kSmallVocabulary, 100 + number);
  options.prompt.insert(options.prompt.end(), own.begin(), own.end());
  options.tokens_max = 1 + static_cast<int>(number * 5 % 12);
  options.sampler.seed = number;
  if (number % 3 != 0) options.sampler.temperature = 0.5f + static_cast<float>(number % 4);
  if (number % 4 == 1) options.sampler.top_k = 20;
  if (number % 5 == 2) options.sampler.top_p = 0.8f;
  if (number % 7 == 3) options.sampler.min_p = 0.02f;
  if (number % 6 == 4) options.adjustments.repetition_penalty = 1.3f;
  if (number % 6 == 5) {
    options.adjustments.presence_penalty = 0.7f;
    options.adjustments.frequency_penalty = -0.3f;
    options.adjustments.bias = {{5, 2.0f}, {17, -100.0f}};
  }
  if (number % 8 == 6) options.top_logprobs = 3;
  return options;
}

SharedEngine::Sink collect(Answer& answer) {
  return [&answer](GenerationUpdate update) {
    EXPECT_FALSE(answer.finish.has_value()) << "an update after the last";
    answer.accepted |= update.accepted;
    for (ScoredToken& token : update.tokens) {
      answer.tokens.push_back(token.id);
      answer.scored.push_back(std::move(token));
    }
    answer.text += update.text;
    if (update.finish) answer.finish = std::move(update.finish);
  };
}

Answer answer_alone(const Roll& roll, Device& device, GenerationOptions options,
                    const Tokenizer* tokenizer) {
  SharedEngine engine = must(SharedEngine::create(roll, device, tokenizer, {.slots = 1}));
  Answer answer;
  must(engine.submit(std::move(options), collect(answer)));
  while (engine.step()) {
  }
  return answer;
}

}  // namespace pianola::test
