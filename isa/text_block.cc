#include "isa/text_block.h"

#include <zstd.h>

#include <algorithm>
#include <array>
#include <memory>

namespace pianola {
namespace {

constexpr std::string_view kHexDigits = "0123456789abcdef";
constexpr std::string_view kBase64Digits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr int kZstdLevel = 6;

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string write_base64(std::span<const std::byte> bytes) {
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t count = std::min<size_t>(3, bytes.size() - i);
    uint32_t group = 0;
    for (size_t k = 0; k < 3; ++k) {
      group = group << 8 | (k < count ? std::to_integer<uint32_t>(bytes[i + k]) : 0);
    }
    for (size_t k = 0; k < 4; ++k) {
      out += k <= count ? kBase64Digits[group >> (18 - 6 * k) & 63] : '=';
    }
  }
  return out;
}

Result<std::vector<std::byte>> read_base64(std::string_view text) {
  std::array<int8_t, 256> values;
  values.fill(-1);
  for (size_t i = 0; i < kBase64Digits.size(); ++i) {
    values[static_cast<uint8_t>(kBase64Digits[i])] = static_cast<int8_t>(i);
  }
  if (text.size() % 4 != 0) {
    return Error{ErrorCode::Malformed, "expected groups of four base64 digits", ""};
  }
  std::vector<std::byte> bytes;
  bytes.reserve(text.size() / 4 * 3);
  for (size_t i = 0; i < text.size(); i += 4) {
    const bool last = i + 4 == text.size();
    size_t digits = 4;
    while (last && digits > 2 && text[i + digits - 1] == '=') --digits;
    uint32_t group = 0;
    for (size_t k = 0; k < 4; ++k) {
      const int value = k < digits ? values[static_cast<uint8_t>(text[i + k])] : 0;
      if (value < 0) return Error{ErrorCode::Malformed, "not a base64 digit", ""};
      group = group << 6 | static_cast<uint32_t>(value);
    }
    for (size_t k = 0; k + 1 < digits; ++k) bytes.push_back(std::byte(group >> (16 - 8 * k) & 255));
  }
  return bytes;
}

}  // namespace

std::string write_hex_lines(std::span<const std::byte> bytes) {
  std::string out;
  constexpr size_t kPerLine = 32;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i % kPerLine == 0) out += i == 0 ? "| " : "\n| ";
    out += kHexDigits[std::to_integer<size_t>(bytes[i] >> 4)];
    out += kHexDigits[std::to_integer<size_t>(bytes[i] & std::byte{15})];
  }
  return bytes.empty() ? out : out + '\n';
}

std::string write_zstd_lines(std::span<const std::byte> bytes) {
  std::vector<std::byte> packed(ZSTD_compressBound(bytes.size()));
  const size_t size =
      ZSTD_compress(packed.data(), packed.size(), bytes.data(), bytes.size(), kZstdLevel);
  CHECK(!ZSTD_isError(size));
  const std::string digits = write_base64(std::span(packed).first(size));
  std::string out;
  constexpr size_t kPerLine = 96;
  for (size_t i = 0; i < digits.size(); i += kPerLine) {
    out += "| " + digits.substr(i, kPerLine) + '\n';
  }
  return out;
}

Result<std::vector<std::byte>> read_hex(std::string_view digits) {
  if (digits.size() % 2 != 0) {
    return Error{ErrorCode::Malformed, "expected an even number of hexadecimal digits", ""};
  }
  std::vector<std::byte> bytes(digits.size() / 2);
  for (size_t i = 0; i < bytes.size(); ++i) {
    const int high = hex_value(digits[2 * i]), low = hex_value(digits[2 * i + 1]);
    if (high < 0 || low < 0) return Error{ErrorCode::Malformed, "not a hexadecimal digit", ""};
    bytes[i] = std::byte(high << 4 | low);
  }
  return bytes;
}

Result<std::vector<std::byte>> read_zstd(std::string_view base64, uint64_t bytes) {
  TRY(const std::vector<std::byte> packed, read_base64(base64));
  const std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> context(ZSTD_createDCtx(),
                                                                   ZSTD_freeDCtx);
  CHECK(context != nullptr);
  std::vector<std::byte> out, piece(ZSTD_DStreamOutSize());
  ZSTD_inBuffer input{packed.data(), packed.size(), 0};
  while (true) {
    ZSTD_outBuffer output{piece.data(), piece.size(), 0};
    const size_t left = ZSTD_decompressStream(context.get(), &output, &input);
    if (ZSTD_isError(left)) {
      return Error{ErrorCode::Malformed,
                   std::string("cannot decompress: ") + ZSTD_getErrorName(left), ""};
    }
    if (output.pos > bytes - out.size()) {
      return Error{ErrorCode::Malformed,
                   "decompresses to more than the promised " + std::to_string(bytes) + " bytes",
                   ""};
    }
    out.insert(out.end(), piece.begin(), piece.begin() + static_cast<ptrdiff_t>(output.pos));
    if (left == 0) break;
    if (input.pos == input.size && output.pos < output.size) {
      return Error{ErrorCode::Malformed, "the compressed data is truncated", ""};
    }
  }
  if (input.pos != input.size || out.size() != bytes) {
    return Error{ErrorCode::Malformed,
                 "expected " + std::to_string(bytes) + " bytes from one frame, got " +
                     std::to_string(out.size()),
                 ""};
  }
  return out;
}

}  // namespace pianola
