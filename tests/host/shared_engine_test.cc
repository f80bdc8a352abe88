// What a request gets is the same bits whatever else runs, in whichever slot, with or without reuse
// of a prefix; and its time is known before.
#include "host/shared_engine.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "tests/executors/play_model.h"
#include "tests/host/served_models.h"
#include "tests/support/expect_error.h"

namespace pianola::test {
namespace {

constexpr std::uint64_t kRequests = 40;

testing::AssertionResult same_scores(const std::vector<ScoredToken>& a,
                                     const std::vector<ScoredToken>& b) {
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    if (a[i].id != b[i].id || std::memcmp(&a[i].logprob, &b[i].logprob, sizeof(float)) != 0 ||
        a[i].top != b[i].top) {
      return testing::AssertionFailure() << "token " << i << " is another";
    }
  }
  return testing::AssertionSuccess();
}

class SharedEngineTest : public testing::Test {
 protected:
  void SetUp() override {
    roll_ = small_roll();
    device_ = load_device("emulator", roll_);
  }
  SharedEngine make(int slots) {
    return must(SharedEngine::create(roll_, *device_, nullptr, {.slots = slots}));
  }
  // What the request gets alone, as a plain engine without slots computes it.
  std::vector<int> expected(std::uint64_t number) {
    const GenerationOptions options = numbered_request(number);
    Engine engine = must(Engine::create(roll_, *device_));
    TokenCounts counts(options.prompt);
    const Sampler sampler = must(Sampler::create(options.sampler));
    std::vector<int> ids, next = options.prompt;
    while (ids.size() < static_cast<std::size_t>(options.tokens_max)) {
      std::vector<float> logits = must(engine.extend(next)).back();
      adjust_logits(options.adjustments, counts, logits);
      ids.push_back(must(sampler.sample_at(logits, ids.size())));
      counts.add(ids.back());
      next = {ids.back()};
    }
    return ids;
  }

  Roll roll_;
  std::unique_ptr<Device> device_;
};

// One engine, requests that come at random times, some of which leave again.
struct Interleaving {
  SharedEngine& engine;
  std::mt19937_64& random;
  std::vector<std::uint64_t> numbers;
  std::vector<Answer> answers;

  void play(int requests) {
    answers.resize(static_cast<std::size_t>(requests));
    std::vector<std::uint64_t> ids;
    while (static_cast<int>(ids.size()) < requests) {
      numbers.push_back(random() % kRequests);
      GenerationOptions options = numbered_request(numbers.back());
      options.reuse_prefix = random() % 4 != 0;
      if (random() % 4 == 0) options.deadline_cycles = std::uint64_t{1} << 40;
      Answer& answer = answers[ids.size()];
      const auto id = engine.submit(std::move(options), collect(answer));
      if (!id.ok()) {  // no slot for another deadline
        ASSERT_EQ(id.error().where, "deadline");
        answer = {};
        numbers.pop_back();
        engine.step();
        continue;
      }
      ids.push_back(*id);
      for (std::uint64_t i = random() % 6; i > 0; --i) engine.step();
      if (random() % 8 == 0) engine.cancel(ids[random() % ids.size()]);
    }
    while (engine.step()) {
    }
  }
};

TEST_F(SharedEngineTest, GivesTheSameTokensInThousandsOfInterleavings) {
  std::vector<Answer> alone;
  for (std::uint64_t number = 0; number < kRequests; ++number) {
    alone.push_back(answer_alone(roll_, *device_, numbered_request(number)));
    ASSERT_EQ(alone.back().tokens, expected(number)) << "request " << number;
  }
  std::mt19937_64 random(1);
  const int interleavings = is_long() ? 100'000 : 3'000;
  int finished = 0, cancelled = 0, cached = 0;
  for (int round = 0; round < interleavings; round += 4) {
    const int slots = 1 + static_cast<int>(random() % 5);
    SharedEngine engine = make(slots);
    for (int again = 0; again < 4; ++again) {  // with what earlier rounds left in the slots
      SCOPED_TRACE(testing::Message() << "round " << round + again << ", " << slots << " slots");
      Interleaving interleaving{engine, random, {}, {}};
      ASSERT_NO_FATAL_FAILURE(interleaving.play(2 + static_cast<int>(random() % 5)));
      for (std::size_t i = 0; i < interleaving.answers.size(); ++i) {
        const Answer& answer = interleaving.answers[i];
        const Answer& whole = alone[interleaving.numbers[i]];
        ASSERT_TRUE(answer.accepted && answer.finish);
        ASSERT_TRUE(same_scores(whole.scored, answer.scored)) << "request " << i;
        if (answer.finish->reason == FinishReason::Cancelled) {
          ++cancelled;
          ASSERT_LE(answer.tokens.size(), whole.tokens.size());
        } else {
          ++finished;
          cached += answer.finish->cost.cached_tokens > 0;
          ASSERT_EQ(answer.finish->reason, FinishReason::Length);
          ASSERT_EQ(answer.tokens.size(), whole.tokens.size());
        }
      }
    }
  }
  // The interleavings were not all of one kind.
  EXPECT_GT(finished, interleavings);
  EXPECT_GT(cancelled, interleavings / 20);
  EXPECT_GT(cached, interleavings / 4);
}

TEST_F(SharedEngineTest, GivesTheSameTokensOnEveryTargetAndExecutor) {
  for (const char* target : {"sim16", "duo16"}) {
    const Roll roll = small_roll(target);
    const std::unique_ptr<Device> emulator = load_device("emulator", roll);
    for (const char* executor : {"emulator", "rtl"}) {
      SCOPED_TRACE(testing::Message() << target << " on " << executor);
      const std::unique_ptr<Device> device = load_device(executor, roll, 77);
      SharedEngine engine = must(SharedEngine::create(roll, *device, nullptr, {.slots = 3}));
      std::vector<Answer> answers(6);
      std::vector<std::uint64_t> ids;
      for (std::size_t i = 0; i < answers.size(); ++i) {
        must(engine.submit(numbered_request(i), collect(answers[i])));
        engine.step();
      }
      while (engine.step()) {
      }
      for (std::size_t i = 0; i < answers.size(); ++i) {
        EXPECT_EQ(answers[i].tokens, answer_alone(roll, *emulator, numbered_request(i)).tokens);
      }
    }
  }
}

TEST_F(SharedEngineTest, CancelsBeforeTheNextLaunch) {
  SharedEngine engine = make(1);
  Answer running, waiting, other;
  const auto first = must(engine.submit(numbered_request(11), collect(running)));
  const auto second = must(engine.submit(numbered_request(12), collect(waiting)));
  must(engine.submit(numbered_request(13), collect(other)));
  ASSERT_TRUE(engine.step());
  EXPECT_EQ(engine.running(), 1);
  EXPECT_EQ(engine.waiting(), 2);
  const std::uint64_t launches = engine.totals().launches;
  engine.cancel(first);
  engine.cancel(second);
  engine.cancel(12345);
  ASSERT_TRUE(engine.step());
  ASSERT_TRUE(running.finish && waiting.finish);
  EXPECT_EQ(running.finish->reason, FinishReason::Cancelled);
  EXPECT_EQ(waiting.finish->reason, FinishReason::Cancelled);
  EXPECT_EQ(running.finish->cost.launches, static_cast<int>(launches));
  EXPECT_EQ(waiting.finish->cost.launches, 0);
  while (engine.step()) {
  }
  EXPECT_EQ(other.tokens, expected(13));
  EXPECT_EQ(engine.totals().cancelled, 2u);
}

TEST_F(SharedEngineTest, QuotesTheExactCycles) {
  SharedEngine engine = make(1);
  for (std::uint64_t number = 0; number < kRequests; ++number) {
    GenerationOptions options = numbered_request(number);
    options.reuse_prefix = number % 2 == 0;
    const int cached = options.reuse_prefix ? engine.cached_tokens(options.prompt) : 0;
    const GenerationQuote quote = must(quote_generation(
        roll_, static_cast<int>(options.prompt.size()), cached, options.tokens_max));
    std::uint64_t first_token = 0;
    Answer answer;
    const std::uint64_t begin = engine.clock_cycles();
    must(engine.submit(std::move(options), collect(answer)));
    while (engine.step()) {
      if (first_token == 0 && !answer.tokens.empty()) first_token = engine.clock_cycles() - begin;
    }
    EXPECT_EQ(answer.finish->cost.cycles, quote.cycles) << "request " << number;
    EXPECT_EQ(answer.finish->cost.launches, quote.launches);
    EXPECT_EQ(answer.finish->cost.cached_tokens, cached);
    EXPECT_EQ(first_token, quote.first_token_cycles);
  }
}

TEST_F(SharedEngineTest, MeetsADeadlineToTheCycleOrRefusesItAtOnce) {
  SharedEngine engine = make(2);
  std::vector<Answer> others(4);
  for (std::size_t i = 0; i < others.size(); ++i) {
    must(engine.submit(numbered_request(20 + i), collect(others[i])));
    engine.step();
  }
  GenerationOptions options = numbered_request(10);
  options.reuse_prefix = false;
  const std::uint64_t needed =
      must(quote_generation(roll_, static_cast<int>(options.prompt.size()), 0, options.tokens_max))
          .cycles;
  options.deadline_cycles = needed - 1;
  Answer refused;
  expect_error(engine.submit(std::move(options), collect(refused)), ErrorCode::OutOfRange,
               "needs " + std::to_string(needed) + " machine cycles");
  EXPECT_FALSE(refused.accepted || refused.finish);

  options = numbered_request(10);
  options.reuse_prefix = false;
  options.deadline_cycles = needed;
  Answer met;
  must(engine.submit(std::move(options), collect(met)));
  // Another, later one fits behind it, but not a cycle earlier.
  const auto another = [&](std::uint64_t cycles) {
    GenerationOptions later = numbered_request(10);
    later.reuse_prefix = false;
    later.deadline_cycles = cycles;
    return later;
  };
  Answer second;
  expect_error(engine.submit(another(2 * needed - 1), collect(refused)), ErrorCode::OutOfRange,
               "before it need");
  must(engine.submit(another(2 * needed), collect(second)));
  // An earlier deadline would make the first one late.
  expect_error(engine.submit(another(needed), collect(refused)), ErrorCode::OutOfRange, "deadline");
  while (engine.step()) {
  }
  const GenerationCost& cost = met.finish->cost;
  EXPECT_EQ(cost.finished_at - cost.submitted_at, needed);
  EXPECT_EQ(second.finish->cost.finished_at - second.finish->cost.submitted_at, 2 * needed);
  EXPECT_EQ(met.tokens, expected(10));
  for (std::size_t i = 0; i < others.size(); ++i) EXPECT_EQ(others[i].tokens, expected(20 + i));
}

TEST_F(SharedEngineTest, ReusesAPrefixOfABusySlot) {
  SharedEngine engine = make(2);
  const std::vector<int> prompt = random_ids(40, kSmallVocabulary, 5);
  Answer first, second;
  const auto request = [&](std::uint64_t seed) {
    GenerationOptions options;
    options.prompt = prompt;
    options.tokens_max = 10;
    options.sampler = {.temperature = 2, .seed = seed};
    return options;
  };
  must(engine.submit(request(1), collect(first)));
  while (first.tokens.empty()) engine.step();
  must(engine.submit(request(2), collect(second)));
  while (engine.step()) {
  }
  EXPECT_EQ(first.finish->cost.cached_tokens, 0);
  EXPECT_EQ(second.finish->cost.cached_tokens, 39);
  EXPECT_NE(first.tokens, second.tokens);
  EXPECT_EQ(second.tokens, answer_alone(roll_, *device_, request(2)).tokens);
}

TEST_F(SharedEngineTest, ScoresThePromptFromItsFirstTokenOn) {
  SharedEngine engine = make(2);
  std::vector<ScoredToken> scores;
  Answer answer;
  for (int again = 0; again < 2; ++again) {  // the second time with the prompt in a slot
    GenerationOptions options;
    options.prompt = random_ids(30, kSmallVocabulary, 6);
    options.score_prompt = true;
    options.top_logprobs = 2;
    options.tokens_max = 0;
    answer = {};
    scores.clear();
    must(engine.submit(std::move(options), [&](GenerationUpdate update) {
      if (!update.prompt_scores.empty()) scores = update.prompt_scores;
      collect(answer)(std::move(update));
    }));
    while (engine.step()) {
    }
    ASSERT_EQ(scores.size(), 29u);
  }
  EXPECT_TRUE(answer.tokens.empty());
  Engine plain = must(Engine::create(roll_, *device_));
  const std::vector<int> ids = random_ids(30, kSmallVocabulary, 6);
  const Logits logits = must(plain.extend(ids));
  for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
    const ScoredToken expected = score_token(logits[i], ids[i + 1], 2);
    EXPECT_TRUE(same_scores({expected}, {scores[i]})) << i;
  }
}

TEST_F(SharedEngineTest, ChoosesOnTheMachineWhatTheHostWouldChoose) {
  const Roll roll = small_roll("sim16", kSmallShape, EntryOutput::Tokens);
  const std::unique_ptr<Device> device = load_device("emulator", roll);
  SharedEngine engine = must(SharedEngine::create(roll, *device, nullptr, {.slots = 3}));
  std::vector<Answer> answers(12);
  const auto greedy = [](std::uint64_t i) {
    GenerationOptions options;
    options.prompt = random_ids(1 + 3 * i, kSmallVocabulary, i);
    options.tokens_max = 20;
    return options;
  };
  for (std::uint64_t i = 0; i < answers.size(); ++i) {
    must(engine.submit(greedy(i), collect(answers[i])));
  }
  while (engine.step()) {
  }
  for (std::uint64_t i = 0; i < answers.size(); ++i) {
    EXPECT_EQ(answers[i].tokens, answer_alone(roll_, *device_, greedy(i)).tokens) << i;
  }

  const auto refuse = [&](const char* option, auto change) {
    GenerationOptions options = greedy(0);
    change(options);
    Answer answer;
    expect_error(engine.submit(std::move(options), collect(answer)), ErrorCode::Unsupported,
                 std::string(option) + " needs all logits");
  };
  refuse("temperature", [](GenerationOptions& o) { o.sampler.temperature = 0.5f; });
  refuse("logprobs", [](GenerationOptions& o) { o.top_logprobs = 0; });
  refuse("echo", [](GenerationOptions& o) { o.score_prompt = true; });
  refuse("repetition_penalty", [](GenerationOptions& o) { o.adjustments.repetition_penalty = 2; });
  refuse("presence_penalty", [](GenerationOptions& o) { o.adjustments.presence_penalty = 1; });
  refuse("frequency_penalty", [](GenerationOptions& o) { o.adjustments.frequency_penalty = 1; });
  refuse("logit_bias", [](GenerationOptions& o) { o.adjustments.bias[3] = 1; });
  expect_error(SharedEngine::create(roll_, *device_, nullptr, {}, DraftModel{&roll, device.get()}),
               ErrorCode::Unsupported, "sends tokens, the model's logits");
}

TEST_F(SharedEngineTest, RefusesWhatCannotBeRun) {
  SharedEngine engine = make(1);
  Answer answer;
  const auto refuse = [&](GenerationOptions options, ErrorCode code, const std::string& phrase) {
    expect_error(engine.submit(std::move(options), collect(answer)), code, phrase);
  };
  const auto request = [](std::vector<int> prompt, int tokens) {
    GenerationOptions options;
    options.prompt = std::move(prompt);
    options.tokens_max = tokens;
    return options;
  };
  refuse(request({}, 1), ErrorCode::InvalidArgument, "no tokens");
  refuse(request({kSmallVocabulary}, 1), ErrorCode::InvalidArgument, "not in the vocabulary");
  refuse(request({1}, 0), ErrorCode::InvalidArgument, "at least 1 token");
  refuse(request({1}, kSmallContext + 1), ErrorCode::OutOfRange, "context is 128 positions");
  EXPECT_FALSE(engine.step());
  must(engine.submit(request({1}, kSmallContext), collect(answer)));  // just fits
  while (engine.step()) {
  }
  EXPECT_EQ(answer.tokens.size(), static_cast<std::size_t>(kSmallContext));
}

}  // namespace
}  // namespace pianola::test
