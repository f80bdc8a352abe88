// Lists of millions of steps, on large pages where the system has them: they are made page by page, and walked
// from one end to the other in every launch.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace pianola {

template <typename T>
class PageAllocator {
 public:
  using value_type = T;
  PageAllocator() = default;
  template <typename U>
  PageAllocator(const PageAllocator<U>&) {}  // NOLINT: allocators convert

  T* allocate(size_t count) {
    if (!is_large(count)) return std::allocator<T>().allocate(count);
    if (count > ~size_t{0} / sizeof(T) - kPage) throw std::bad_array_new_length();
    const size_t size = (count * sizeof(T) + kPage - 1) / kPage * kPage;
    void* memory = std::aligned_alloc(kPage, size);
    if (memory == nullptr) throw std::bad_alloc();
#if defined(__linux__)
    (void)madvise(memory, size, MADV_HUGEPAGE);
#endif
    return static_cast<T*>(memory);
  }
  void deallocate(T* memory, size_t count) {
    if (is_large(count)) return std::free(memory);
    std::allocator<T>().deallocate(memory, count);
  }
  friend bool operator==(const PageAllocator&, const PageAllocator&) { return true; }

 private:
  static constexpr size_t kPage = size_t{1} << 21;
  static bool is_large(size_t count) { return count >= 2 * kPage / sizeof(T); }
};

template <typename T>
using PagedVector = std::vector<T, PageAllocator<T>>;

}  // namespace pianola
