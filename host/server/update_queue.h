// Updates on their way from the engine's thread to the connections that wait for them.
//
// To wake another thread costs the engine more than all else that it does for a token beside the
// launch. So it calls only when nobody looks: the connections' thread, once called, looks again by
// itself after kGatherTime, and goes on so while there is something. Only the end of a generation
// does not wait.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "host/generation.h"

namespace pianola {

inline constexpr std::chrono::microseconds kGatherTime{1'000};

class UpdateQueue;

// Tells connections that their queues have something; one for all of a server.
class UpdateCaller {
 public:
  explicit UpdateCaller(boost::asio::io_context& context) : context_(&context), rest_(context) {}

  void call(std::shared_ptr<UpdateQueue> queue, bool at_once);  // from any thread

 private:
  enum class State { Idle, Called, Resting };

  void look();

  boost::asio::io_context* context_;
  boost::asio::steady_timer rest_;  // of the context's thread
  std::mutex mutex_;                // of all below
  State state_ = State::Idle;
  std::vector<std::shared_ptr<UpdateQueue>> ready_;
};

// Owned by both ends: the engine may have an update for a client that has left. The caller must
// outlive all that push.
class UpdateQueue : public std::enable_shared_from_this<UpdateQueue> {
 public:
  struct Item {
    std::size_t choice = 0;
    GenerationUpdate update;
  };

  UpdateQueue(const boost::asio::any_io_executor& executor, UpdateCaller& caller)
      : caller_(&caller), wake_(executor) {}

  void push(std::size_t choice, GenerationUpdate update);  // from any thread
  // The rest is for the thread of the connection.
  std::vector<Item> take();
  // Until there may be something to take, wake() or the time is over.
  boost::asio::awaitable<void> wait(std::chrono::milliseconds time);
  void wake() { wake_.cancel(); }

 private:
  UpdateCaller* caller_;
  std::mutex mutex_;
  std::vector<Item> items_;
  bool called_ = false;  // the connection will hear of what is there
  boost::asio::steady_timer wake_;
};

}  // namespace pianola
