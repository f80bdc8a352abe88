#include "host/server/update_queue.h"

#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace pianola {

namespace asio = boost::asio;

void UpdateQueue::push(std::size_t choice, GenerationUpdate update) {
  {
    const std::lock_guard lock(mutex_);
    items_.push_back({choice, std::move(update)});
    if (posted_) return;
    posted_ = true;
  }
  asio::post(wake_.get_executor(), [self = shared_from_this()] { self->wake(); });
}

std::vector<UpdateQueue::Item> UpdateQueue::take() {
  const std::lock_guard lock(mutex_);
  posted_ = false;
  return std::exchange(items_, {});
}

asio::awaitable<void> UpdateQueue::wait(std::chrono::milliseconds time) {
  boost::system::error_code ignored;
  wake_.expires_after(time);
  co_await wake_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

}  // namespace pianola
