#include "switch/socket_guard.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <vector>

#include "base/errno_error.h"
#include "kernel/device_addresses.h"
#include "kernel/netlink_message.h"
#include "kernel/unix_socket.h"
#include "protocol/guard_protocol.h"

namespace sockswitch {
namespace {

// A bound on memory: programs for neighbours' ports.
constexpr std::size_t kMaxPrograms = 256;
// Between an attempt to have a guard that failed and the next one.
constexpr std::chrono::seconds kPause{1};

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

}  // namespace

GuardSource::GuardSource(Paths paths, bool required)
    : paths_(std::move(paths)), required_(required) {
  if (start()) {
    means_ = Means::kLoaded;
  } else if (may_attach_classic()) {
    means_ = Means::kClassic;
  }
}

// The program can do nothing without its capability, as under a unit's NoNewPrivileges=.
bool GuardSource::start() {
  if (Clock::now() < next_start_) return false;
  problem_ = 0;
  for (const auto way : {&GuardSource::run_program, &GuardSource::connect}) {
    try {
      (this->*way)();
      loaded_.emplace(GuardUse{}, ask({}));
      return true;
    } catch (const ErrnoError& error) {
      process_.reset();
      channel_.reset();
      // What the first one says, except that another version explains more than no socket.
      if (problem_ == 0 || error.error() == EPROTONOSUPPORT) problem_ = error.error();
    }
  }
  next_start_ = Clock::now() + kPause;
  return false;
}

void GuardSource::run_program() {
  process_ = std::make_unique<HelperProcess>(paths_.program, std::span<const int>(),
                                             std::vector<std::string>());
}

void GuardSource::connect() {
  channel_ = unix_connect(paths_.socket, SOCK_SEQPACKET);
  limit_patience(channel_.get());
}

// Where it throws because the guard does not answer, there is none any more.
UniqueFd GuardSource::ask(const GuardUse& use) {
  std::string question = encode_question(use);
  struct iovec part{question.data(), question.size()};
  Message answer;
  try {
    answer = ask_helper(process_ ? process_->channel() : channel_.get(), std::span(&part, 1));
    if (answer.end) throw ErrnoError(EPIPE, "sockswitch-guard", "it ended");
  } catch (const ErrnoError&) {
    process_.reset();
    channel_.reset();
    throw;
  }
  if (const int error = decode_answer(answer.bytes, guard_version(use))) {
    throw ErrnoError(error, "sockswitch-guard",
                     error == EPROTONOSUPPORT ? "of another version than the daemon" : "bpf");
  }
  if (answer.fds.size() != 1) throw ErrnoError(EPROTO, "sockswitch-guard", "bpf");
  return std::move(answer.fds.front());
}

UniqueFd GuardSource::load(const GuardUse& use, std::uint64_t generation) {
  if (generation > generation_) {
    std::erase_if(loaded_, [](const auto& entry) { return entry.first.device != 0; });
    generation_ = generation;
  }
  auto found = loaded_.find(use);
  if (found != loaded_.end()) return duplicate(found->second);
  UniqueFd program;
  const bool running = process_ || channel_;
  try {
    if (!running && !start()) throw ErrnoError(EPIPE, "sockswitch-guard", "not started again");
    program = ask(use);
  } catch (const ErrnoError&) {
    // It has been killed, or has loaded its fill.
    const bool ended = running && !process_ && !channel_;
    if (!ended || !start()) throw;
    program = ask(use);
  }
  if (loaded_.size() >= kMaxPrograms) loaded_.clear();
  return duplicate(loaded_.emplace(use, std::move(program)).first->second);
}

GuardRole role_of(const GuardUse& use) {
  GuardRole role{
      .kind = use.kind, .port = use.port, .own = {}, .family = use.family, .network = use.network};
  if (!is_service(use.kind))
    role.own = DeviceAddresses(open_netlink(NETLINK_ROUTE)).of(use.device, kMaxOwnAddresses + 1);
  return role;
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

int SocketGuard::attach(int fd, const GuardUse& use) {
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

SocketGuard::Ready SocketGuard::make_ready(const GuardUse& use) {
  Ready ready;
  if (source_.means() == GuardSource::Means::kLoaded) {
    ready.program = control_.bring([&] { return source_.load(use, generation_); });
  } else {
    ready.role = role_of(use);
  }
  return ready;
}

}  // namespace sockswitch
