// Updates on their way from the engine's thread to the connection that waits for them.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "host/generation.h"

namespace pianola {

// Owned by both ends: the engine may have an update for a client that has left.
class UpdateQueue : public std::enable_shared_from_this<UpdateQueue> {
 public:
  struct Item {
    std::size_t choice = 0;
    GenerationUpdate update;
  };

  explicit UpdateQueue(const boost::asio::any_io_executor& executor) : wake_(executor) {}

  void push(std::size_t choice, GenerationUpdate update);  // from any thread
  // The rest is for the thread of the connection.
  std::vector<Item> take();
  // Until there may be something to take, wake() or the time is over.
  boost::asio::awaitable<void> wait(std::chrono::milliseconds time);
  void wake() { wake_.cancel(); }

 private:
  std::mutex mutex_;
  std::vector<Item> items_;
  bool posted_ = false;  // somebody is on the way to wake the connection
  boost::asio::steady_timer wake_;
};

}  // namespace pianola
