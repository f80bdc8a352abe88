// Speculation: a draft changes the time, never a token.
#include <gtest/gtest.h>

#include "host/shared_engine.h"
#include "tests/executors/play_model.h"
#include "tests/host/served_models.h"
#include "tests/support/expect_error.h"
#include "tests/support/shared_files.h"

namespace pianola::test {
namespace {

struct Drafted {
  std::vector<Answer> answers;
  SharedEngineTotals totals;
};

Drafted play(const Roll& roll, const Roll& draft_roll, int slots, std::uint64_t requests) {
  const std::unique_ptr<Device> device = load_device("emulator", roll);
  const std::unique_ptr<Device> draft = load_device("emulator", draft_roll);
  SharedEngine engine = must(SharedEngine::create(roll, *device, nullptr, {.slots = slots},
                                                  DraftModel{&draft_roll, draft.get()}));
  Drafted out;
  out.answers.resize(requests);
  for (std::uint64_t i = 0; i < requests; ++i) {
    must(engine.submit(numbered_request(i), collect(out.answers[i])));
    for (std::uint64_t j = 0; j < i % 4; ++j) engine.step();
  }
  while (engine.step()) {
  }
  out.totals = engine.totals();
  return out;
}

TEST(Draft, NeverChangesAToken) {
  const Roll roll = small_roll();
  const Roll other = small_roll("sim16", {.hidden = 16,
                                          .layers = 1,
                                          .heads = 1,
                                          .kv_heads = 1,
                                          .ffn = 16,
                                          .vocab = kSmallVocabulary,
                                          .context_max = 128,
                                          .seed = 4});
  const std::unique_ptr<Device> device = load_device("emulator", roll);
  for (const Roll* draft : {&roll, &other}) {
    for (const int slots : {1, 4}) {
      const Drafted drafted = play(roll, *draft, slots, 40);
      for (std::uint64_t i = 0; i < drafted.answers.size(); ++i) {
        EXPECT_EQ(drafted.answers[i].tokens,
                  answer_alone(roll, *device, numbered_request(i)).tokens)
            << "request " << i << ", " << slots << " slots";
      }
      EXPECT_GT(drafted.totals.drafted_tokens, 100u);
      // The model itself as draft is wrong only where penalties count what it has not yet drawn.
      if (draft == &roll) {
        EXPECT_GT(drafted.totals.accepted_tokens * 10, drafted.totals.drafted_tokens * 8);
      } else {
        EXPECT_LT(drafted.totals.accepted_tokens, drafted.totals.drafted_tokens);
      }
    }
  }
}

// The draft's rows stay in the slot, too, and go with the model's into others.
TEST(Draft, KeepsItsRowsForThePrefixesOfLaterRequests) {
  const Roll roll = small_roll();
  const std::unique_ptr<Device> device = load_device("emulator", roll);
  const std::unique_ptr<Device> draft = load_device("emulator", roll);
  const auto request = [](std::vector<int> prompt, bool reuse_prefix) {
    GenerationOptions options;
    options.prompt = std::move(prompt);
    options.tokens_max = 12;
    options.reuse_prefix = reuse_prefix;
    return options;
  };
  std::array<std::vector<Answer>, 2> answers;
  for (const bool reuse : {false, true}) {
    SharedEngine engine = must(
        SharedEngine::create(roll, *device, nullptr, {.slots = 3}, DraftModel{&roll, draft.get()}));
    std::vector<Answer>& got = answers[reuse];
    got.resize(4);
    std::vector<int> prompt;
    for (int i = 0; i < 40; ++i) prompt.push_back(1 + i * 7 % 90);
    must(engine.submit(request(prompt, reuse), collect(got[0])));
    while (engine.step()) {
    }
    prompt.insert(prompt.end(), got[0].tokens.begin(), got[0].tokens.end());
    for (int i = 1; i < 4; ++i) {  // at once: two of them copy
      std::vector<int> longer = prompt;
      longer.push_back(i);
      must(engine.submit(request(std::move(longer), reuse),
                         collect(got[static_cast<std::size_t>(i)])));
    }
    while (engine.step()) {
    }
  }
  for (std::size_t i = 0; i < 4; ++i) {
    const Answer& fresh = answers[0][i];
    const Answer& reused = answers[1][i];
    EXPECT_EQ(fresh.tokens, reused.tokens);
    // A model that drafts for itself is right, unless it looks at rows of other tokens.
    EXPECT_EQ(reused.finish->cost.accepted_tokens, reused.finish->cost.drafted_tokens);
    EXPECT_EQ(fresh.finish->cost.drafted_tokens, reused.finish->cost.drafted_tokens);
    if (i == 0) continue;
    EXPECT_GE(reused.finish->cost.cached_tokens, 40);
    EXPECT_LT(reused.finish->cost.draft_cycles, fresh.finish->cost.draft_cycles * 3 / 4);
  }
}

TEST(Draft, MakesNurseryLlamaFaster) {
  const std::filesystem::path path = shared_path("models/nursery-draft");
  if (model_is_missing(path)) GTEST_SKIP() << path << " is not there";
  const Model model = must(import_model(nursery_path())), small = must(import_model(path));
  const Roll roll = compile_verified(model.graph, "sim16"),
             draft_roll = compile_verified(small.graph, "sim16");
  const std::unique_ptr<Device> device = load_device("emulator", roll);
  const std::unique_ptr<Device> draft = load_device("emulator", draft_roll);
  for (const float temperature : {0.0f, 0.8f}) {
    std::array<Answer, 2> answers;
    for (const bool speculate : {false, true}) {
      SharedEngine engine = must(
          SharedEngine::create(roll, *device, nullptr, {}, DraftModel{&draft_roll, draft.get()}));
      GenerationOptions options;
      options.prompt = nursery_prompt();
      options.tokens_max = 120;
      options.sampler.temperature = temperature;
      options.speculate = speculate;
      must(engine.submit(std::move(options), collect(answers[speculate])));
      while (engine.step()) {
      }
    }
    EXPECT_EQ(answers[0].tokens, answers[1].tokens);
    const GenerationCost& without = answers[0].finish->cost;
    const GenerationCost& with = answers[1].finish->cost;
    EXPECT_EQ(without.drafted_tokens, 0);
    EXPECT_GT(with.accepted_tokens * 2, with.drafted_tokens);
    EXPECT_LT(with.cycles, without.cycles * 7 / 10);
    std::printf(
        "temperature %.1f: %d of %d drafted tokens accepted; %.0f machine cycles a token "
        "and %.0f of the draft's machine, %.0f without\n",
        static_cast<double>(temperature), with.accepted_tokens, with.drafted_tokens,
        static_cast<double>(with.cycles) / with.generated_tokens,
        static_cast<double>(with.draft_cycles) / with.generated_tokens,
        static_cast<double>(without.cycles) / without.generated_tokens);
  }
}

TEST(Draft, IsRefusedWithAnotherVocabulary) {
  const Roll roll = small_roll();
  const Roll other = small_roll(
      "sim16", {.hidden = 16, .layers = 1, .heads = 1, .kv_heads = 1, .ffn = 16, .vocab = 40});
  const std::unique_ptr<Device> device = load_device("emulator", roll);
  const std::unique_ptr<Device> draft = load_device("emulator", other);
  expect_error(SharedEngine::create(roll, *device, nullptr, {}, DraftModel{&other, draft.get()}),
               ErrorCode::Mismatch, "vocabulary of 40");
}

}  // namespace
}  // namespace pianola::test
