#include "host/engine_thread.h"

#include <future>
#include <utility>

namespace pianola {

EngineThread::EngineThread(SharedEngine engine, int waiting_max)
    : engine_(std::move(engine)), waiting_max_(waiting_max), thread_([this] { run(); }) {}

EngineThread::~EngineThread() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = draining_ = cancel_all_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

Result<std::uint64_t> EngineThread::submit(GenerationOptions options, Sink sink) {
  std::uint64_t id = 0;
  {
    const std::lock_guard lock(mutex_);
    if (draining_) {
      return Error{ErrorCode::OutOfRange, "the server is shutting down", "engine"};
    }
    if (load_.waiting + submitted_waiting_ >= waiting_max_) {
      return Error{ErrorCode::OutOfRange,
                   std::to_string(waiting_max_) +
                       " requests are waiting already, which is the limit; try again later",
                   "engine"};
    }
    id = next_id_++;
    ++submitted_waiting_;
    submitted_.push_back({id, std::move(options), std::move(sink)});
  }
  wake_.notify_all();
  return id;
}

void EngineThread::cancel(std::uint64_t id) {
  {
    const std::lock_guard lock(mutex_);
    cancelled_.push_back(id);
  }
  wake_.notify_all();
}

void EngineThread::drain() {
  const std::lock_guard lock(mutex_);
  draining_ = true;
}

void EngineThread::cancel_all() {
  {
    const std::lock_guard lock(mutex_);
    cancel_all_ = true;
  }
  wake_.notify_all();
}

EngineThread::Load EngineThread::load() const {
  const std::lock_guard lock(mutex_);
  Load load = load_;
  load.waiting += submitted_waiting_;
  return load;
}

int EngineThread::cached_tokens(std::vector<int> prompt) {
  std::promise<int> promise;
  std::future<int> answer = promise.get_future();
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return 0;
    questions_.push_back(
        {std::move(prompt), [&promise](int tokens) { promise.set_value(tokens); }});
  }
  wake_.notify_all();
  return answer.get();
}

bool EngineThread::is_idle() const {
  const std::lock_guard lock(mutex_);
  return load_.waiting + submitted_waiting_ + load_.running == 0 && !delivering_;
}

bool EngineThread::has_mail() const {
  return !submitted_.empty() || !cancelled_.empty() || !questions_.empty() || cancel_all_ ||
         stopping_;
}

// Waits while there is nothing to do. False: the thread shall end.
bool EngineThread::take_inbox() {
  const bool has_work = engine_.waiting() + engine_.running() > 0;
  std::unique_lock lock(mutex_);
  if (has_work && !has_mail()) return true;
  wake_.wait(lock, [&] { return has_work || has_mail(); });
  std::deque<Submission> submitted = std::exchange(submitted_, {});
  const std::vector<std::uint64_t> cancelled = std::exchange(cancelled_, {});
  const std::vector<Question> questions = std::exchange(questions_, {});
  const bool all = std::exchange(cancel_all_, false), stop = stopping_;
  lock.unlock();
  for (Submission& submission : submitted) {
    const std::uint64_t id = submission.id;
    // The engine keeps its own numbers; a refusal has none.
    auto sink = std::make_shared<Sink>(std::move(submission.sink));
    auto deliver = [this, id, sink](GenerationUpdate update) {
      if (update.finish) engine_ids_.erase(id);
      update.id = id;
      outbox_.emplace_back(sink, std::move(update));
    };
    Result<std::uint64_t> added = engine_.submit(std::move(submission.options), deliver);
    if (added.ok()) {
      engine_ids_[id] = *added;
      continue;
    }
    GenerationUpdate update;
    update.finish = GenerationFinish{FinishReason::Failed, {}, added.error(), {}};
    deliver(std::move(update));
  }
  for (const std::uint64_t id : cancelled) {
    const auto known = engine_ids_.find(id);
    if (known != engine_ids_.end()) engine_.cancel(known->second);
  }
  for (const Question& question : questions)
    question.answer(engine_.cached_tokens(question.prompt));
  if (all) engine_.cancel_all();
  return !stop || engine_.waiting() + engine_.running() > 0;
}

// The load first: who has an answer finds it counted.
void EngineThread::publish() {
  {
    const std::lock_guard lock(mutex_);
    load_ = {engine_.waiting(), engine_.running(), engine_.clock_cycles(), engine_.totals()};
    submitted_waiting_ = static_cast<int>(submitted_.size());
    delivering_ = !outbox_.empty();
  }
  if (outbox_.empty()) return;
  for (auto& [sink, update] : outbox_) (*sink)(std::move(update));
  outbox_.clear();
  const std::lock_guard lock(mutex_);
  delivering_ = false;
}

void EngineThread::run() {
  while (take_inbox()) {
    if (!outbox_.empty()) publish();  // requests that were taken
    engine_.step();
    publish();
  }
  publish();
}

}  // namespace pianola
