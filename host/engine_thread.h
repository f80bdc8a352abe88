// A shared engine in a thread of its own. Requests and cancellations are taken between two
// launches; updates come from the engine's thread, and a sink must neither block nor call back.
//
// The queue is bounded: beyond `waiting_max` requests that have no slot yet, submit refuses.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "host/shared_engine.h"

namespace pianola {

class EngineThread {
 public:
  using Sink = SharedEngine::Sink;

  EngineThread(SharedEngine engine, int waiting_max);
  ~EngineThread();  // cancels what is left, and joins
  EngineThread(const EngineThread&) = delete;
  EngineThread& operator=(const EngineThread&) = delete;

  // Error OutOfRange: the queue is full, or the thread was told to stop. What the engine itself
  // refuses comes as an update with a finish alone. The id is for cancel; updates carry it too.
  Result<std::uint64_t> submit(GenerationOptions options, Sink sink);
  // The sink is still called once more, with the finish, unless that has been already.
  void cancel(std::uint64_t id);

  // No new requests from now on.
  void drain();
  // Ends all requests after the launch that is being played.
  void cancel_all();

  struct Load {
    int waiting = 0, running = 0;
    std::uint64_t clock_cycles = 0;
    SharedEngineTotals totals;
  };
  Load load() const;  // as of the latest launch; counts all that a sink has been given
  // Nothing waits or runs, and no sink is held any more.
  bool is_idle() const;
  // Tokens of a prompt whose rows are in a slot, as of the latest launch; waits for that to end.
  int cached_tokens(std::vector<int> prompt);

 private:
  struct Submission {
    std::uint64_t id = 0;
    GenerationOptions options;
    Sink sink;
  };
  struct Question {
    std::vector<int> prompt;
    std::function<void(int)> answer;
  };

  void run();
  bool take_inbox();
  bool has_mail() const;
  void publish();

  SharedEngine engine_;
  const int waiting_max_;
  // The thread's own:
  std::unordered_map<std::uint64_t, std::uint64_t> engine_ids_;  // by id
  std::vector<std::pair<std::shared_ptr<Sink>, GenerationUpdate>> outbox_;

  mutable std::mutex mutex_;  // of all below
  std::condition_variable wake_;
  std::deque<Submission> submitted_;
  std::vector<std::uint64_t> cancelled_;
  std::vector<Question> questions_;
  std::uint64_t next_id_ = 1;
  int submitted_waiting_ = 0;
  bool cancel_all_ = false, draining_ = false, stopping_ = false;
  bool delivering_ = false;  // sinks are being called
  Load load_;
  std::thread thread_;
};

}  // namespace pianola
