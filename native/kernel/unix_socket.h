// Unix-domain sockets as the native programs use them: bounded messages with descriptors.
#pragma once

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace sockswitch {

// Most descriptors that one message may carry here; the kernel drops and closes what is beyond.
inline constexpr std::size_t kMaxDescriptors = 20;

struct Message {
  std::string bytes;
  std::vector<UniqueFd> fds;
  bool truncated = false;  // bytes or descriptors were cut off (MSG_TRUNC, MSG_CTRUNC)
  bool end = false;        // end of stream: nothing was read (an empty packet looks the same)
};

// All throw ErrnoError; EINTR is handled inside. Sockets are close-on-exec. `type` may hold
// SOCK_NONBLOCK (connecting then fails with EAGAIN while the listener's backlog is full).
UniqueFd unix_connect(const std::string& path, int type);
// Binds with mode 0600, replacing a dead socket file at `path`; EADDRINUSE if a live one answers
// there, ENOTSOCK if something else than a socket has that name.
UniqueFd unix_listen(const std::string& path, int type, int backlog);
// Sends one message. MSG_NOSIGNAL always. Returns false on EAGAIN, with nothing sent. What a stream
// socket took only in part is completed before it returns, waiting for room where it must.
bool send_message(int fd, std::span<const struct iovec> parts, std::span<const int> fds = {});
// Receives one message of at most `max_bytes`. EAGAIN throws like any other error. A peer that left
// with some of ours unread is heard to its end like any other.
Message receive_message(int fd, std::size_t max_bytes);
struct ucred peer_credentials(int fd);

}  // namespace sockswitch
