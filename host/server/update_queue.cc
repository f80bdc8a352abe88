#include "host/server/update_queue.h"

#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace pianola {

namespace asio = boost::asio;

void UpdateCaller::call(std::shared_ptr<UpdateQueue> queue, bool at_once) {
  {
    const std::lock_guard lock(mutex_);
    ready_.push_back(std::move(queue));
    if (state_ == State::Called || (state_ == State::Resting && !at_once)) return;
    state_ = State::Called;
  }
  asio::post(*context_, [this] { look(); });
}

void UpdateCaller::look() {
  std::vector<std::shared_ptr<UpdateQueue>> ready;
  {
    const std::lock_guard lock(mutex_);
    ready.swap(ready_);
    state_ = ready.empty() ? State::Idle : State::Resting;
  }
  if (ready.empty()) return;
  for (const auto& queue : ready) queue->wake();
  rest_.expires_after(kGatherTime);  // ends the rest before
  rest_.async_wait([this](const boost::system::error_code& error) {
    if (!error) look();
  });
}

void UpdateQueue::push(std::size_t choice, GenerationUpdate update) {
  const bool at_once = update.finish.has_value();
  {
    const std::lock_guard lock(mutex_);
    items_.push_back({choice, std::move(update)});
    if (called_ && !at_once) return;
    called_ = true;
  }
  caller_->call(shared_from_this(), at_once);
}

std::vector<UpdateQueue::Item> UpdateQueue::take() {
  const std::lock_guard lock(mutex_);
  called_ = false;
  return std::exchange(items_, {});
}

asio::awaitable<void> UpdateQueue::wait(std::chrono::milliseconds time) {
  boost::system::error_code ignored;
  wake_.expires_after(time);
  co_await wake_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

}  // namespace pianola
