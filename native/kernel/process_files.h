// What searches through /proc have in common: directories, and how long it may take.
#pragma once

#include <dirent.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

namespace sockswitch {

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

// Of the thread's processor time, so that a busy machine finds what an idle one does.
class SearchBudget {
 public:
  explicit SearchBudget(long milliseconds) : milliseconds_(milliseconds), start_(now_ms()) {}
  // To be called for each thing that is looked at. It looks at the clock now and then.
  bool is_spent();

 private:
  static long now_ms();

  long milliseconds_;
  long start_;
  int count_ = 0;
};

}  // namespace sockswitch
