#include "kernel/replace_process.h"

#include <fcntl.h>
#include <unistd.h>

#include <csignal>

#include "base/errno_error.h"

namespace sockswitch {

void replace_process(const std::vector<std::string>& argv) {
  std::vector<char*> words;
  words.reserve(argv.size() + 1);
  for (const auto& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  for (int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    int flags = ::fcntl(fd, F_GETFL);
    if (flags < 0) continue;
    if ((flags & O_NONBLOCK) != 0) ::fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
    ::fcntl(fd, F_SETFD, 0);
  }
  ::signal(SIGPIPE, SIG_DFL);
  ::execvp(words.front(), words.data());
  throw_errno("execvp", argv.front());
}

}  // namespace sockswitch
