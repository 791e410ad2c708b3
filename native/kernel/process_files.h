// What searches through /proc have in common.
#pragma once

#include <dirent.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

namespace sockswitch {

// How many processes a search looks at. A time would find less on a machine that is busy.
inline constexpr int kMostProcesses = 1 << 15;

struct DirectoryCloser {
  void operator()(DIR* stream) const { ::closedir(stream); }
};
using DirectoryStream = std::unique_ptr<DIR, DirectoryCloser>;

// Null with errno.
DirectoryStream open_directory(int at, const char* path);

// No value for names that are no number.
std::optional<int> number_of(std::string_view name);

// The inode of the socket behind the magic link `path` (proc(5), /proc/PID/fd); 0 where that is no
// socket. Looks at the link alone: a file that it leads to may be a FUSE server's that does not
// answer.
std::uint64_t socket_inode(int at, const char* path);

}  // namespace sockswitch
