#include "switch/socket_guard.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <vector>

#include "kernel/errno_error.h"
#include "kernel/interfaces.h"
#include "kernel/unix_socket.h"
#include "programs/guard_protocol.h"

namespace sockswitch {
namespace {

// A bound on memory: programs for neighbours' ports, and for addresses that the host had.
constexpr std::size_t kMaxPrograms = 256;

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

UniqueFd duplicate(const UniqueFd& fd) {
  UniqueFd copy(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
  if (!copy) throw_errno("fcntl", "F_DUPFD_CLOEXEC");
  return copy;
}

std::vector<Address> addresses_on(int device) {
  std::vector<Address> found;
  for (const InterfaceAddress& entry : interface_addresses()) {
    if (entry.device == device) found.push_back(entry.address);
  }
  return found;
}

}  // namespace

GuardSource::GuardSource(Paths paths, bool required)
    : paths_(std::move(paths)), required_(required) {
  if (start()) {
    means_ = Means::kLoaded;
  } else if (may_attach_classic()) {
    means_ = Means::kClassic;
  }
}

bool GuardSource::start() { return run_program() || connect(); }

// It can do nothing without its capability, as under a unit's NoNewPrivileges=.
bool GuardSource::run_program() {
  try {
    channel_.reset();
    process_ = std::make_unique<HelperProcess>(paths_.program, std::span<const int>(),
                                               std::vector<std::string>());
    ask({});
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
    ask({});
    return true;
  } catch (const ErrnoError&) {
    channel_.reset();
    return false;
  }
}

UniqueFd GuardSource::ask(const GuardRole& role) const {
  std::string question = encode_question(role);
  struct iovec part{question.data(), question.size()};
  Message answer = ask_helper(process_ ? process_->channel() : channel_.get(), std::span(&part, 1));
  if (answer.fds.size() != 1) {
    int error = helper_error(answer);
    throw ErrnoError(error != 0 ? error : EPROTO, "sockswitch-guard", "bpf");
  }
  return std::move(answer.fds.front());
}

UniqueFd GuardSource::load(const GuardRole& role) {
  auto found = loaded_.find(role);
  if (found != loaded_.end()) return duplicate(found->second);
  UniqueFd program;
  try {
    program = ask(role);
  } catch (const ErrnoError&) {
    if (!start()) throw;  // it has been killed, and cannot come back
    program = ask(role);
  }
  if (loaded_.size() >= kMaxPrograms) loaded_.clear();
  return duplicate(loaded_.emplace(role, std::move(program)).first->second);
}

int attach_guard(int fd, GuardSource::Means means, const GuardRole& role, int program) {
  switch (means) {
    case GuardSource::Means::kNone:
      break;
    case GuardSource::Means::kClassic:
      return attach_classic(fd, role);
    case GuardSource::Means::kLoaded:
      return attach_loaded(fd, program);
  }
  return 0;
}

int SocketGuard::attach(int fd, const Use& use) {
  if (!source_.available()) return source_.missing() ? EPERM : 0;
  // Read before the addresses are: a change meanwhile makes them one generation too old.
  const std::uint64_t generation = network_.generation();
  if (generation != generation_ || ready_.size() >= kMaxPrograms) {
    ready_.clear();
    generation_ = generation;
  }
  auto found = ready_.find(use);
  try {
    if (found == ready_.end()) found = ready_.emplace(use, make_ready(use)).first;
  } catch (const ErrnoError& error) {
    return error.error();
  }
  const Ready& ready = found->second;
  return attach_guard(fd, source_.means(), ready.role, ready.program.get());
}

SocketGuard::Ready SocketGuard::make_ready(const Use& use) {
  Ready ready{{.kind = use.kind, .port = use.port}, {}};
  if (use.kind != GuardRole::Kind::kService) {
    control_.run([&] { ready.role.own = addresses_on(use.device); });
  }
  if (source_.means() == GuardSource::Means::kLoaded) {
    ready.program = control_.fetch([&] { return source_.load(ready.role); });
  }
  return ready;
}

}  // namespace sockswitch
