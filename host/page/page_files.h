// The web page: files of host/page/static, embedded into the binary when it is built.
#pragma once

#include <span>
#include <string_view>

namespace pianola {

struct PageFile {
  std::string_view path;  // "/", "/page/chat.js"
  std::string_view content_type;
  std::string_view content;
};

std::span<const PageFile> page_files();

// nullptr: no such file.
const PageFile* find_page_file(std::string_view path);

// What the page may load and do: nothing from elsewhere.
inline constexpr std::string_view kPageSecurityPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' "
    "data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'";

}  // namespace pianola
