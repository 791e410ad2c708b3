// One of the keeper's two listening sockets, with its accepting on or off.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "base/unique_fd.h"
#include "programs/keeper/poller.h"
#include "programs/keeper/refusals.h"

namespace sockswitch::keeper {

class Acceptor {
 public:
  using Clock = std::chrono::steady_clock;

  // `name`: for what is refused. Throws ErrnoError.
  Acceptor(UniqueFd socket, Source source, const char* name, Poller& poller, Refusals& refusals);

  int fd() const { return socket_.get(); }
  bool is_open() const { return open_; }
  // While it is closed: no second attempt before.
  Clock::time_point closed_until() const { return closed_until_; }

  // Accepts one connection of our user, without blocking; nothing where there is none, or none can
  // be taken now. Throws ErrnoError.
  std::optional<UniqueFd> accept();
  // Accepts nothing until it is opened again. A connection that waits in the backlog would wake an
  // epoll that still looks.
  void close(Clock::time_point until);
  void reopen();

 private:
  bool is_ours(int socket);

  UniqueFd socket_;
  Source source_;
  const char* name_;
  Poller& poller_;
  Refusals& refusals_;
  bool open_ = true;
  Clock::time_point closed_until_;
};

}  // namespace sockswitch::keeper
