#include "formats/mapped_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "formats/quote.h"
#include "tests/support/expect_error.h"

namespace pianola {
namespace {

std::filesystem::path temporary(const std::string& name) {
  return std::filesystem::path(testing::TempDir()) / ("pianola_mapped_" + name);
}

TEST(MappedFile, HoldsTheBytesOfTheFile) {
  const auto path = temporary("bytes");
  std::ofstream(path) << "abc";
  const auto file = MappedFile::open(path);
  ASSERT_TRUE(file.ok());
  ASSERT_EQ((*file)->bytes().size(), 3u);
  EXPECT_EQ((*file)->bytes()[2], std::byte{'c'});
  EXPECT_EQ((*file)->path(), path.string());
}

TEST(MappedFile, IsEmptyForAnEmptyFile) {
  const auto path = temporary("empty");
  std::ofstream(path).flush();
  const auto file = MappedFile::open(path);
  ASSERT_TRUE(file.ok());
  EXPECT_TRUE((*file)->bytes().empty());
}

TEST(MappedFile, RefusesWhatIsNoPlainFile) {
  expect_error(MappedFile::open(temporary("missing")), ErrorCode::NotFound, "cannot open");
  expect_error(MappedFile::open(testing::TempDir()), ErrorCode::InvalidArgument, "a directory");
  const auto pipe = temporary("pipe");
  std::remove(pipe.c_str());
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  expect_error(MappedFile::open(pipe), ErrorCode::InvalidArgument, "device or pipe");
  std::remove(pipe.c_str());
}

TEST(MappedFile, ReportsWhatTheSystemRefuses) {
  expect_error(MappedFile::open(std::string(300, 'x')), ErrorCode::Io, "cannot open");
}

TEST(QuoteName, EscapesAndCuts) {
  EXPECT_EQ(quote_name("blk.0"), "'blk.0'");
  EXPECT_EQ(quote_name("a\x1b[31m'\\"), "'a\\x1b[31m\\x27\\x5c'");
  EXPECT_EQ(quote_name(std::string(1000, 'a')).size(), 1 + 100 + 4u);
  EXPECT_TRUE(quote_name(std::string(1000, 'a')).ends_with("aaa...'"));
}

}  // namespace
}  // namespace pianola
