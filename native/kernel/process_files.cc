#include "kernel/process_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <system_error>

#include "base/unique_fd.h"

namespace sockswitch {
DirectoryStream open_directory(int at, const char* path) {
  UniqueFd fd(::openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return {};
  DirectoryStream stream(::fdopendir(fd.get()));
  if (stream) fd.release();
  return stream;
}

std::optional<int> number_of(std::string_view name) {
  int value = 0;
  auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), value);
  if (error != std::errc{} || end != name.data() + name.size()) return {};
  return value;
}

std::uint64_t socket_inode(int at, const char* path) {
  std::array<char, 64> text{};
  const ssize_t size = ::readlinkat(at, path, text.data(), text.size());
  std::string_view link(text.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
  constexpr std::string_view kSocket = "socket:[";
  if (!link.starts_with(kSocket)) return 0;
  link.remove_prefix(kSocket.size());
  std::uint64_t inode = 0;
  const auto [end, error] = std::from_chars(link.data(), link.data() + link.size(), inode);
  return error == std::errc{} && *end == ']' ? inode : 0;
}

}  // namespace sockswitch
