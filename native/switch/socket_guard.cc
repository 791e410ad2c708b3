#include "switch/socket_guard.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>

#include "kernel/errno_error.h"
#include "kernel/unix_socket.h"

namespace sockswitch {
namespace {

// A bound on memory: ports of neighbours that one container's process tree uses.
constexpr std::size_t kMaxLoaded = 64;

int lock_filter(int fd) {
  int on = 1;
  return ::setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof on) == 0 ? 0 : errno;
}

int attach_classic(int fd, const GuardRole& role) {
  std::vector<struct sock_filter> program = classic_guard(role);
  struct sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  if (::setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) != 0) return errno;
  return lock_filter(fd);
}

int attach_loaded(int fd, int program) {
  if (::setsockopt(fd, SOL_SOCKET, SO_ATTACH_BPF, &program, sizeof program) != 0) return errno;
  return lock_filter(fd);
}

bool may_attach_classic() {
  UniqueFd probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return probe && attach_classic(probe.get(), {}) == 0;
}

UniqueFd load_with(int channel, GuardRole role) {
  struct iovec question{&role, sizeof role};
  Message answer = ask_helper(channel, std::span(&question, 1));
  if (answer.fds.size() != 1) {
    int error = helper_error(answer);
    throw ErrnoError(error != 0 ? error : EPROTO, "sockswitch-guard", "bpf");
  }
  return std::move(answer.fds.front());
}

}  // namespace

GuardSource::GuardSource(Paths paths) : paths_(std::move(paths)) {
  if (start()) {
    means_ = Means::kLoaded;
  } else if (may_attach_classic()) {
    means_ = Means::kClassic;
  }
}

bool GuardSource::start() { return run_program() || connect(); }

// Does not do without its capability, as under a unit's NoNewPrivileges=.
bool GuardSource::run_program() {
  try {
    process_ = std::make_unique<HelperProcess>(paths_.program, std::span<const int>(),
                                               std::vector<std::string>());
    client_ = load_with(process_->channel(), {});
    return true;
  } catch (const ErrnoError&) {
    process_.reset();
    return false;
  }
}

bool GuardSource::connect() {
  try {
    channel_ = unix_connect(paths_.socket, SOCK_SEQPACKET);
    limit_patience(channel_.get());
    client_ = load_with(channel_.get(), {});
    return true;
  } catch (const ErrnoError&) {
    channel_.reset();
    return false;
  }
}

UniqueFd GuardSource::load(const GuardRole& role) {
  if (role == GuardRole{}) {
    UniqueFd copy(::fcntl(client_.get(), F_DUPFD_CLOEXEC, 0));
    if (!copy) throw_errno("fcntl", "F_DUPFD_CLOEXEC");
    return copy;
  }
  const auto ask = [&] { return load_with(process_ ? process_->channel() : channel_.get(), role); };
  try {
    return ask();
  } catch (const ErrnoError&) {
    if (!start()) throw;  // it has been killed, and cannot come back
    return ask();
  }
}

int SocketGuard::attach(int fd, const GuardRole& role) {
  switch (source_.means()) {
    case GuardSource::Means::kNone:
      return 0;
    case GuardSource::Means::kClassic:
      return attach_classic(fd, role);
    case GuardSource::Means::kLoaded:
      break;
  }
  auto found = loaded_.find(role);
  if (found == loaded_.end()) {
    if (loaded_.size() >= kMaxLoaded) loaded_.clear();
    UniqueFd program = control_.fetch([&] { return source_.load(role); });
    found = loaded_.emplace(role, std::move(program)).first;
  }
  return attach_loaded(fd, found->second.get());
}

}  // namespace sockswitch
