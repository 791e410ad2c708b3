#include "kernel/netns.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "kernel/errno_error.h"
#include "kernel/linux_abi.h"
#include "kernel/unix_socket.h"
#include "programs/netns_protocol.h"

namespace sockswitch {
namespace {

constexpr int kHelperSeconds = 5;  // it makes four system calls; more means that something is wrong

// Duplicates of the descriptors that the helper gets, out of the way of the numbers 3 to 5.
UniqueFd move_up(int fd) {
  UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 16));
  if (!copy) throw_errno("fcntl", "F_DUPFD_CLOEXEC");
  return copy;
}

class SpawnActions {
 public:
  SpawnActions() { ::posix_spawn_file_actions_init(&actions_); }
  ~SpawnActions() { ::posix_spawn_file_actions_destroy(&actions_); }
  SpawnActions(const SpawnActions&) = delete;
  SpawnActions& operator=(const SpawnActions&) = delete;
  void give(const UniqueFd& fd, int as) {
    ::posix_spawn_file_actions_adddup2(&actions_, fd.get(), as);
  }
  const posix_spawn_file_actions_t* get() const { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_{};
};

}  // namespace

Netns Netns::of_process(pid_t pid) {
  std::string path = "/proc/" + std::to_string(pid) + "/ns/net";
  UniqueFd net(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!net) throw_errno("open", path);
  struct stat status{};
  if (::fstat(net.get(), &status) != 0) throw_errno("fstat", path);
  UniqueFd user(::ioctl(net.get(), abi::kNsGetUserns));
  if (!user) throw_errno("ioctl", "NS_GET_USERNS " + path);
  return Netns(std::move(net), std::move(user), {status.st_dev, status.st_ino});
}

std::vector<UniqueFd> Netns::open_view(const std::string& helper) const {
  auto fds = run(helper, {"view"});
  if (fds.size() < 3) throw ErrnoError(EPROTO, "sockswitch-netns");
  return fds;
}

UniqueFd Netns::open_socket(const std::string& helper, int domain, int type, int protocol) const {
  auto fds = run(
      helper, {"socket", std::to_string(domain), std::to_string(type), std::to_string(protocol)});
  if (fds.size() != 1) throw ErrnoError(EPROTO, "sockswitch-netns");
  return std::move(fds.front());
}

std::vector<UniqueFd> Netns::run(const std::string& helper,
                                 const std::vector<std::string>& arguments) const {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) throw_errno("socketpair");
  UniqueFd ours(pair[0]);
  UniqueFd theirs(pair[1]);
  struct timeval limit{kHelperSeconds, 0};
  ::setsockopt(ours.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);

  UniqueFd user = move_up(user_.get());
  UniqueFd net = move_up(net_.get());
  UniqueFd reply = move_up(theirs.get());
  SpawnActions actions;
  actions.give(user, kNetnsUserFd);
  actions.give(net, kNetnsNetFd);
  actions.give(reply, kNetnsReplyFd);

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
  theirs.reset();
  reply.reset();

  Message message;
  int receive_error = 0;
  try {
    message = receive_message(ours.get(), sizeof(int));
  } catch (const ErrnoError& failure) {
    receive_error = failure.error();
  }
  ours.reset();
  if (receive_error != 0) ::kill(child, SIGKILL);  // not reaped yet, so the id is still its own
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  if (receive_error != 0) throw ErrnoError(receive_error, "recvmsg", helper);
  if (message.bytes.size() == sizeof(int)) {
    std::memcpy(&error, message.bytes.data(), sizeof error);
    throw ErrnoError(error, "sockswitch-netns", arguments.front());
  }
  return std::move(message.fds);
}

}  // namespace sockswitch
