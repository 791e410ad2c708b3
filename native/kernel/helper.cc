#include "kernel/helper.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "base/errno_error.h"
#include "protocol/netns_protocol.h"

namespace sockswitch {
namespace {

constexpr int kOutOfTheWay = 16;  // above every number that the helper is given

UniqueFd move_up(int fd) {
  UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, kOutOfTheWay));
  if (!copy) throw_errno("fcntl", "F_DUPFD_CLOEXEC");
  return copy;
}

class SpawnActions {
 public:
  SpawnActions() { ::posix_spawn_file_actions_init(&actions_); }
  ~SpawnActions() { ::posix_spawn_file_actions_destroy(&actions_); }
  SpawnActions(const SpawnActions&) = delete;
  SpawnActions& operator=(const SpawnActions&) = delete;
  void give(int fd, int as) {
    copies_.push_back(move_up(fd));
    ::posix_spawn_file_actions_adddup2(&actions_, copies_.back().get(), as);
  }
  const posix_spawn_file_actions_t* get() const { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_{};
  std::vector<UniqueFd> copies_;
};

pid_t start(const std::string& helper, int reply, std::span<const int> fds,
            const std::vector<std::string>& arguments) {
  SpawnActions actions;
  actions.give(reply, kNetnsReplyFd);
  int number = kNetnsUserFd;
  for (int fd : fds) actions.give(fd, number++);
  std::vector<std::string> words{helper};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  char* environment[] = {nullptr};
  pid_t child = 0;
  int error =
      ::posix_spawn(&child, helper.c_str(), actions.get(), nullptr, argv.data(), environment);
  if (error != 0) throw ErrnoError(error, "posix_spawn", helper);
  return child;
}

}  // namespace

HelperProcess::HelperProcess(const std::string& helper, std::span<const int> fds,
                             const std::vector<std::string>& arguments,
                             std::chrono::milliseconds patience) {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) throw_errno("socketpair");
  channel_ = UniqueFd(pair[0]);
  UniqueFd theirs(pair[1]);
  limit_patience(channel_.get(), patience);
  child_ = start(helper, theirs.get(), fds, arguments);
}

HelperProcess::~HelperProcess() {
  channel_.reset();
  ::kill(child_, SIGKILL);  // not reaped yet, so the id is still its own
  while (::waitpid(child_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

Message ask_helper(int channel, std::span<const struct iovec> question) {
  if (!question.empty()) send_message(channel, question);
  return receive_message(channel, kMaxAnswerBytes);
}

void limit_patience(int channel, std::chrono::milliseconds patience) {
  const auto microseconds = std::chrono::microseconds(patience).count();
  struct timeval limit{microseconds / 1'000'000, microseconds % 1'000'000};
  ::setsockopt(channel, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
}

Message run_helper(const std::string& helper, std::span<const int> fds,
                   const std::vector<std::string>& arguments) {
  return HelperProcess(helper, fds, arguments).ask({});
}

int helper_error(const Message& answer) {
  int error = 0;
  if (answer.bytes.size() == sizeof error) std::memcpy(&error, answer.bytes.data(), sizeof error);
  return error;
}

}  // namespace sockswitch
