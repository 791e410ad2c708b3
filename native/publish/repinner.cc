#include "publish/repinner.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <span>
#include <vector>

#include "base/errno_error.h"
#include "kernel/unix_socket.h"
#include "protocol/repin_protocol.h"

namespace sockswitch {

// The program can do nothing without its capability, as under a unit's NoNewPrivileges=.
int Repinner::obstacle() {
  if (process_ || channel_) return 0;
  int problem = 0;
  for (const auto way : {&Repinner::run_program, &Repinner::connect}) {
    int error = 0;
    try {
      (this->*way)();
      error = ask(0, -1);
    } catch (const ErrnoError& failure) {
      error = failure.error();
    }
    if (error == 0) return 0;
    rest();
    // What the first one says, except that another version explains more than no socket.
    if (problem == 0 || error == EPROTONOSUPPORT) problem = error;
  }
  return problem;
}

int Repinner::pin(int socket, int device) {
  if (const int error = obstacle()) return error;
  try {
    return ask(device, socket);
  } catch (const ErrnoError& error) {
    rest();
    return error.error();
  }
}

void Repinner::rest() {
  process_.reset();
  channel_.reset();
}

void Repinner::run_program() {
  process_ = std::make_unique<HelperProcess>(paths_.program, std::span<const int>(),
                                             std::vector<std::string>());
}

void Repinner::connect() {
  channel_ = unix_connect(paths_.socket, SOCK_SEQPACKET);
  limit_patience(channel_.get());
}

int Repinner::ask(int device, int socket) {
  const int channel = process_ ? process_->channel() : channel_.get();
  RepinQuestion question{.device = device};
  struct iovec part{&question, sizeof question};
  const std::span<const int> fds(&socket, socket < 0 ? 0 : 1);
  send_message(channel, std::span(&part, 1), fds);
  const Message message = ask_helper(channel, {});
  if (message.end) throw ErrnoError(EPIPE, "sockswitch-repin", "it ended");
  RepinAnswer answer;
  const int error = decode_repin(message.bytes, answer);
  return error != 0 ? error : answer.error;
}

}  // namespace sockswitch
