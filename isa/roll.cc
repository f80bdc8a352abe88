// The container of a roll.
//
//   header, 64 bytes:   magic "PIANOLA\n", u32 version, u32 sections, u64 file bytes, u64 offset of
//                       the table, u64 xxh3 of the table, 16 zero bytes, u64 xxh3 of bytes 0..55
//   table, 32 bytes a section:  u32 kind, u32 zero, u64 offset, u64 size, u64 xxh3
//   sections, in the order of their kinds, each at the next multiple of 4096, zeros between
//
// All numbers are little-endian. Layout is a function of the section sizes, so that a roll has only
// one encoding: a reader recomputes it and refuses anything else.
#include "isa/roll.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <string>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "isa/roll_metadata.h"

namespace pianola {
namespace {

static_assert(std::endian::native == std::endian::little);
static_assert(sizeof(Word) == 32);

constexpr char kMagic[8] = {'P', 'I', 'A', 'N', 'O', 'L', 'A', '\n'};
constexpr uint64_t kAlignment = 4096;
constexpr uint64_t kMetadataBytesMax = uint64_t{256} << 20;
constexpr uint64_t kSectionBytesMax = uint64_t{1} << 46;  // keeps every sum of sizes within 64 bits

constexpr uint32_t kMetadata = 0, kWords = 1, kData = 2, kTokenizer = 3, kSectionCount = 4;
constexpr const char* kSectionNames[kSectionCount] = {"metadata", "words", "data", "tokenizer"};

struct FileHeader {
  char magic[8];
  uint32_t version, section_count;
  uint64_t file_bytes, table_offset, table_hash;
  uint64_t reserved[2];
  uint64_t header_hash;
};
static_assert(sizeof(FileHeader) == 64);

struct SectionRow {
  uint32_t kind, reserved;
  uint64_t offset, size, hash;
};
static_assert(sizeof(SectionRow) == 32);

struct Preamble {
  FileHeader header;
  SectionRow rows[kSectionCount];
};
constexpr size_t kHashedHeaderBytes = offsetof(FileHeader, header_hash);

using Bytes = std::span<const std::byte>;
using Sections = std::array<Bytes, kSectionCount>;

uint64_t align_up(uint64_t value) { return (value + kAlignment - 1) / kAlignment * kAlignment; }

// The offsets for given sizes; returns the size of the file.
uint64_t lay_out(const std::array<uint64_t, kSectionCount>& sizes,
                 std::array<uint64_t, kSectionCount>& offsets) {
  uint64_t end = sizeof(Preamble);
  for (uint32_t i = 0; i < kSectionCount; ++i) {
    offsets[i] = align_up(end);
    end = offsets[i] + sizes[i];
  }
  return end;
}

Preamble make_preamble(const Sections& sections) {
  std::array<uint64_t, kSectionCount> sizes, offsets;
  for (uint32_t i = 0; i < kSectionCount; ++i) sizes[i] = sections[i].size();
  Preamble preamble{};
  FileHeader& header = preamble.header;
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.version = kRollVersion;
  header.section_count = kSectionCount;
  header.file_bytes = lay_out(sizes, offsets);
  header.table_offset = sizeof(FileHeader);
  for (uint32_t i = 0; i < kSectionCount; ++i) {
    preamble.rows[i] = {i, 0, offsets[i], sizes[i],
                        XXH3_64bits(sections[i].data(), sections[i].size())};
  }
  header.table_hash = XXH3_64bits(preamble.rows, sizeof preamble.rows);
  header.header_hash = XXH3_64bits(&header, kHashedHeaderBytes);
  return preamble;
}

Sections sections_of(const Roll& roll, Bytes metadata) {
  return {metadata, std::as_bytes(roll.words), roll.data, roll.tokenizer};
}

// Gives the pieces of the file in order to put(bytes), which returns false to stop.
template <typename Put>
bool for_each_piece(const Roll& roll, Put put) {
  const std::vector<std::byte> metadata = pack_metadata(roll.metadata);
  const Sections sections = sections_of(roll, metadata);
  const Preamble preamble = make_preamble(sections);
  const std::vector<std::byte> zeros(kAlignment);
  uint64_t at = sizeof preamble;
  if (!put(std::as_bytes(std::span(&preamble, 1)))) return false;
  for (uint32_t i = 0; i < kSectionCount; ++i) {
    if (!put(Bytes(zeros).first(preamble.rows[i].offset - at))) return false;
    if (!put(sections[i])) return false;
    at = preamble.rows[i].offset + preamble.rows[i].size;
  }
  return true;
}

Error malformed(std::string_view where, const std::string& message) {
  return Error{ErrorCode::Malformed, message, std::string(where)};
}

Error in_file(Error error, std::string_view where) {
  error.where = error.where.empty() ? std::string(where) : std::string(where) + ", " + error.where;
  return error;
}

Status check_header(const FileHeader& header, uint64_t bytes, std::string_view where) {
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0) {
    return malformed(where, "not a roll: the file does not begin with PIANOLA");
  }
  if (header.version != kRollVersion) {
    return Error{ErrorCode::Mismatch,
                 "the roll has version " + std::to_string(header.version) +
                     ", this build plays version " + std::to_string(kRollVersion) +
                     "; compile the model again",
                 std::string(where)};
  }
  if (header.header_hash != XXH3_64bits(&header, kHashedHeaderBytes)) {
    return malformed(where, "the checksum of the header is wrong; the file is damaged");
  }
  if (header.file_bytes != bytes) {
    return malformed(where, "expected " + std::to_string(header.file_bytes) + " bytes, got " +
                                std::to_string(bytes) +
                                "; the file is truncated or has been appended to");
  }
  if (header.section_count != kSectionCount || header.table_offset != sizeof(FileHeader) ||
      header.reserved[0] != 0 || header.reserved[1] != 0) {
    return malformed(where, "the header has a section table that this version does not write");
  }
  return Ok{};
}

Result<Sections> split_sections(Bytes bytes, std::string_view where) {
  if (bytes.size() < sizeof(Preamble)) {
    return malformed(
        where, "not a roll: " + std::to_string(bytes.size()) + " bytes are less than its header");
  }
  Preamble preamble;
  std::memcpy(&preamble, bytes.data(), sizeof preamble);
  TRY_STATUS(check_header(preamble.header, bytes.size(), where));
  if (preamble.header.table_hash != XXH3_64bits(preamble.rows, sizeof preamble.rows)) {
    return malformed(where, "the checksum of the section table is wrong; the file is damaged");
  }
  std::array<uint64_t, kSectionCount> sizes, offsets;
  for (uint32_t i = 0; i < kSectionCount; ++i) {
    sizes[i] = preamble.rows[i].size;
    if (sizes[i] > kSectionBytesMax) return malformed(where, "a section is larger than the file");
  }
  if (lay_out(sizes, offsets) != bytes.size()) {
    return malformed(where, "the sizes of the sections do not add up to the file");
  }
  Sections sections;
  uint64_t end = sizeof preamble;
  for (uint32_t i = 0; i < kSectionCount; ++i) {
    const SectionRow& row = preamble.rows[i];
    const std::string place = std::string(where) + ", section " + kSectionNames[i];
    if (row.kind != i || row.reserved != 0 || row.offset != offsets[i]) {
      return malformed(place, "the section is not where this version writes it");
    }
    const Bytes gap = bytes.subspan(end, row.offset - end);
    if (std::any_of(gap.begin(), gap.end(), [](std::byte b) { return b != std::byte{0}; })) {
      return malformed(place, "the space before the section is not zero");
    }
    sections[i] = bytes.subspan(row.offset, row.size);
    if (row.hash != XXH3_64bits(sections[i].data(), sections[i].size())) {
      return malformed(place, "the checksum is wrong; the file is damaged");
    }
    end = row.offset + row.size;
  }
  if (sections[kMetadata].size() > kMetadataBytesMax) {
    return malformed(where, "the metadata is larger than 256 MiB");
  }
  if (sections[kWords].size() % sizeof(Word) != 0) {
    return malformed(where, "expected whole words of 32 bytes, got " +
                                std::to_string(sections[kWords].size()) + " bytes");
  }
  return sections;
}

// Reads the metadata and checks it against the spans, which the caller has set.
Status read_metadata(Roll& roll, Bytes metadata, std::string_view where) {
  auto unpacked = unpack_metadata(metadata);
  if (!unpacked.ok()) return in_file(unpacked.error(), where);
  roll.metadata = std::move(*unpacked);
  auto target = parse_target(roll.metadata.target_text, "target");
  if (!target.ok()) return in_file(target.error(), where);
  roll.target = std::move(*target);
  const Status status = check_roll(roll);
  if (!status.ok()) return in_file(status.error(), where);
  return Ok{};
}

struct MappedFile final : Roll::Mapping {
  MappedFile(void* address_in, size_t size_in) : address(address_in), size(size_in) {}
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile() override { ::munmap(address, size); }
  void* address;
  size_t size;
};

Error io_error(const std::string& what, const std::filesystem::path& path) {
  const int code = errno;
  return Error{code == ENOENT ? ErrorCode::NotFound : ErrorCode::Io,
               what + ": " + std::strerror(code), path.string()};
}

bool write_all(int file, Bytes bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file, bytes.data(), std::min<size_t>(bytes.size(), 1 << 30));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return true;
}

}  // namespace

std::vector<std::byte> serialize_roll(const Roll& roll) {
  std::vector<std::byte> bytes;
  for_each_piece(roll, [&](Bytes piece) {
    bytes.insert(bytes.end(), piece.begin(), piece.end());
    return true;
  });
  return bytes;
}

Status write_roll(const Roll& roll, const std::filesystem::path& path) {
  const Status status = check_roll(roll);
  if (!status.ok()) return in_file(status.error(), path.string());
  std::string temporary = path.string() + ".XXXXXX";
  const int file = ::mkstemp(temporary.data());
  if (file < 0) return io_error("cannot create the roll", path);
  const bool written = for_each_piece(roll, [&](Bytes piece) { return write_all(file, piece); });
  // mkstemp makes a file that only its owner may read; a roll is as public as any file.
  const mode_t mask = ::umask(0);
  ::umask(mask);
  const bool kept = written && ::fchmod(file, 0666 & ~mask) == 0 && ::fsync(file) == 0;
  const Error failure = io_error("cannot write the roll", path);
  if (::close(file) != 0 || !kept) {
    ::unlink(temporary.c_str());
    return failure;
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    const Error error = io_error("cannot rename the roll into place", path);
    ::unlink(temporary.c_str());
    return error;
  }
  return Ok{};
}

Result<Roll> read_roll(const std::filesystem::path& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return io_error("cannot open the roll", path);
  struct stat facts {};
  if (::fstat(file, &facts) != 0 || !S_ISREG(facts.st_mode)) {
    ::close(file);
    return Error{ErrorCode::Io, "cannot read the roll: not a regular file", path.string()};
  }
  const auto size = static_cast<size_t>(facts.st_size);
  if (size < sizeof(Preamble)) {
    ::close(file);
    return malformed(path.string(),
                     "not a roll: " + std::to_string(size) + " bytes are less than its header");
  }
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0);
  const Error failure = io_error("cannot map the roll", path);
  ::close(file);
  if (address == MAP_FAILED) return failure;
  Roll roll;
  roll.owner = std::make_unique<MappedFile>(address, size);
  TRY(const Sections sections,
      split_sections(Bytes(static_cast<const std::byte*>(address), size), path.string()));
  // The section begins on a page, so that the words are aligned.
  roll.words = {reinterpret_cast<const Word*>(sections[kWords].data()),
                sections[kWords].size() / sizeof(Word)};
  roll.data = sections[kData];
  roll.tokenizer = sections[kTokenizer];
  TRY_STATUS(read_metadata(roll, sections[kMetadata], path.string()));
  return roll;
}

Result<Roll> parse_roll(std::span<const std::byte> bytes, std::string_view where) {
  TRY(const Sections sections, split_sections(bytes, where));
  const auto copy = [](Bytes from) { return std::vector<std::byte>(from.begin(), from.end()); };
  Roll roll;
  roll.owned_words.resize(sections[kWords].size() / sizeof(Word));
  if (!roll.owned_words.empty()) {
    std::memcpy(roll.owned_words.data(), sections[kWords].data(), sections[kWords].size());
  }
  roll.owned_data = copy(sections[kData]);
  roll.owned_tokenizer = copy(sections[kTokenizer]);
  roll.words = roll.owned_words;
  roll.data = roll.owned_data;
  roll.tokenizer = roll.owned_tokenizer;
  const std::vector<std::byte> metadata =
      copy(sections[kMetadata]);  // aligned, as the span may not be
  TRY_STATUS(read_metadata(roll, metadata, where));
  return roll;
}

uint64_t output_vectors(EntryOutput output, int vocabulary, int lanes, int tokens) {
  const auto width = static_cast<uint64_t>(lanes), count = static_cast<uint64_t>(vocabulary);
  uint64_t groups = 0;
  if (output == EntryOutput::Logits) groups = (count + width - 1) / width;
  if (output == EntryOutput::Tokens) groups = 2;
  return 4 * groups * static_cast<uint64_t>(tokens);
}

}  // namespace pianola
