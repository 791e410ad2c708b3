#include "programs/keeper/acceptor.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/errno_error.h"
#include "kernel/unix_socket.h"

namespace sockswitch::keeper {

Acceptor::Acceptor(UniqueFd socket, Source source, const char* name, Poller& poller,
                   Refusals& refusals)
    : socket_(std::move(socket)),
      source_(source),
      name_(name),
      poller_(poller),
      refusals_(refusals) {
  poller_.add(socket_.get(), EPOLLIN, tag(source_));
}

std::optional<UniqueFd> Acceptor::accept() {
  while (true) {
    UniqueFd fd(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (fd) {
      if (is_ours(fd.get())) return fd;
      continue;
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (errno == EAGAIN) return std::nullopt;
    if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM)
      throw_errno("accept4");
    close(Clock::now() + kRetryTime);
    return std::nullopt;
  }
}

void Acceptor::close(Clock::time_point until) {
  poller_.modify(socket_.get(), 0, tag(source_));
  open_ = false;
  closed_until_ = until;
}

void Acceptor::reopen() {
  if (open_ || Clock::now() < closed_until_) return;
  poller_.modify(socket_.get(), EPOLLIN, tag(source_));
  open_ = true;
}

bool Acceptor::is_ours(int socket) {
  const uid_t uid = peer_credentials(socket).uid;
  if (uid == ::geteuid()) return true;
  refusals_.add("a process of user " + std::to_string(uid) + " connected to " + name_);
  return false;
}

}  // namespace sockswitch::keeper
