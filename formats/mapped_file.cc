#include "formats/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace pianola {
namespace {

Error system_error(const std::string& path, const char* action) {
  const int number = errno;
  const ErrorCode code =
      number == ENOENT || number == ENOTDIR ? ErrorCode::NotFound : ErrorCode::Io;
  return {code, std::string("cannot ") + action + ": " + std::strerror(number), path};
}

// Closes the descriptor on every way out.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

}  // namespace

Result<std::unique_ptr<MappedFile>> MappedFile::open(const std::filesystem::path& path) {
  const std::string name = path.string();
  // Non-blocking, so that a named pipe in the place of a model cannot hang the program.
  const Descriptor fd(::open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) return system_error(name, "open the file");
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return system_error(name, "read the file's size");
  if (!S_ISREG(status.st_mode)) {
    return Error{ErrorCode::InvalidArgument,
                 S_ISDIR(status.st_mode) ? "expected a file, found a directory"
                                         : "expected a plain file, found a device or pipe",
                 name};
  }
  const std::size_t size = static_cast<std::size_t>(status.st_size);
  std::span<const std::byte> bytes;
  if (size > 0) {
    void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
    if (address == MAP_FAILED) return system_error(name, "map the file into memory");
    bytes = {static_cast<const std::byte*>(address), size};
  }
  return std::unique_ptr<MappedFile>(new MappedFile(name, bytes));
}

MappedFile::MappedFile(std::string path, std::span<const std::byte> bytes)
    : path_(std::move(path)), bytes_(bytes) {}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace pianola
