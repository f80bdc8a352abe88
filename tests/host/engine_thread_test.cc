#include "host/engine_thread.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <random>

#include "tests/executors/play_model.h"
#include "tests/host/served_models.h"
#include "tests/support/expect_error.h"

namespace pianola::test {
namespace {

class EngineThreadTest : public testing::Test {
 protected:
  void SetUp() override {
    roll_ = small_roll();
    device_ = load_device("emulator", roll_);
  }
  SharedEngine make(int slots) {
    return must(SharedEngine::create(roll_, *device_, nullptr, {.slots = slots}));
  }
  Roll roll_;
  std::unique_ptr<Device> device_;
};

// An answer that another thread waits for.
struct Awaited {
  Answer answer;
  std::promise<void> done;
  SharedEngine::Sink sink() {
    return [this, add = collect(answer)](GenerationUpdate update) {
      const bool last = update.finish.has_value();
      add(std::move(update));
      if (last) done.set_value();
    };
  }
};

TEST_F(EngineThreadTest, ServesManyThreadsTheSameTokens) {
  std::vector<Answer> alone;
  for (std::uint64_t i = 0; i < 40; ++i) {
    alone.push_back(answer_alone(roll_, *device_, numbered_request(i)));
  }
  EngineThread engine(make(5), 1000);
  std::vector<std::thread> clients;
  for (std::uint64_t client = 0; client < 8; ++client) {
    clients.emplace_back([&, client] {
      std::mt19937_64 random(client);
      for (int i = 0; i < 60; ++i) {
        const std::uint64_t number = random() % 40;
        Awaited awaited;
        std::future<void> done = awaited.done.get_future();
        const auto id = must(engine.submit(numbered_request(number), awaited.sink()));
        const bool leaves = random() % 5 == 0;
        if (leaves) engine.cancel(id);
        done.get();
        const FinishReason reason = awaited.answer.finish->reason;
        if (!leaves || reason != FinishReason::Cancelled) {
          ASSERT_EQ(awaited.answer.tokens, alone[number].tokens);
        }
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(engine.load().totals.requests, 480u);
  EXPECT_EQ(engine.load().waiting + engine.load().running, 0);
}

// Whoever has an answer finds it in the counters, however slow the engine's thread is.
TEST_F(EngineThreadTest, CountsAnAnswerBeforeItIsGiven) {
  EngineThread engine(make(2), 10);
  std::uint64_t generated = 0;
  for (std::uint64_t i = 0; i < 5; ++i) {
    Awaited awaited;
    EngineThread::Load seen;
    auto sink = [&, add = awaited.sink()](GenerationUpdate update) {
      if (update.finish) seen = engine.load();
      add(std::move(update));
    };
    must(engine.submit(numbered_request(i), sink));
    awaited.done.get_future().get();
    generated += awaited.answer.tokens.size();
    EXPECT_EQ(seen.totals.requests, i + 1);
    EXPECT_EQ(seen.totals.generated_tokens, generated);
    EXPECT_EQ(seen.waiting + seen.running, 0);
  }
}

// A server may take away what a sink uses as soon as the engine is idle.
TEST_F(EngineThreadTest, IsIdleOnlyWhenNoSinkIsHeld) {
  EngineThread engine(make(2), 10);
  EXPECT_TRUE(engine.is_idle());
  for (std::uint64_t i = 0; i < 20; ++i) {
    auto held = std::make_shared<bool>(true);
    std::promise<void> begun;
    std::atomic<int> idle_while_called = 0;
    must(engine.submit(numbered_request(i), [&, held](const GenerationUpdate& update) {
      idle_while_called += engine.is_idle();
      if (update.accepted) begun.set_value();
    }));
    begun.get_future().get();
    while (!engine.is_idle()) std::this_thread::yield();
    EXPECT_EQ(held.use_count(), 1);
    EXPECT_EQ(idle_while_called, 0);
  }
}

TEST_F(EngineThreadTest, RefusesBeyondItsQueueAndAfterDraining) {
  std::vector<std::unique_ptr<Awaited>> awaited;
  EngineThread engine(make(1), 2);
  int refused = 0;
  for (int i = 0; i < 40; ++i) {
    awaited.push_back(std::make_unique<Awaited>());
    const auto id = engine.submit(numbered_request(35), awaited.back()->sink());
    if (id.ok()) continue;
    expect_error(id, ErrorCode::OutOfRange, "2 requests are waiting already");
    awaited.pop_back();
    ++refused;
  }
  EXPECT_GT(refused, 0);
  engine.drain();
  Awaited late;
  expect_error(engine.submit(numbered_request(0), late.sink()), ErrorCode::OutOfRange,
               "shutting down");
  for (const auto& one : awaited) one->done.get_future().get();  // those in the queue are served
}

TEST_F(EngineThreadTest, EndsWhatIsLeftWhenItIsDestroyed) {
  std::vector<Awaited> awaited(5);
  {
    EngineThread engine(make(2), 10);
    for (Awaited& one : awaited) must(engine.submit(numbered_request(35), one.sink()));
  }
  for (Awaited& one : awaited) {
    ASSERT_TRUE(one.answer.finish.has_value());
  }
}

TEST_F(EngineThreadTest, SaysWhatTheEngineRefuses) {
  EngineThread engine(make(2), 10);
  Awaited awaited;
  GenerationOptions options = numbered_request(35);
  options.deadline_cycles = 5;
  must(engine.submit(std::move(options), awaited.sink()));
  awaited.done.get_future().get();
  EXPECT_FALSE(awaited.answer.accepted);
  EXPECT_EQ(awaited.answer.finish->error->where, "deadline");
  EXPECT_EQ(engine.cached_tokens({1, 2}), 0);
}

}  // namespace
}  // namespace pianola::test
