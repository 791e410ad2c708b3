// The seccomp notification descriptor: receiving calls and answering them (seccomp_unotify(2)).
//
// Every answer can come too late: the caller was killed or interrupted meanwhile. The kernel then
// says ENOENT, which is a normal event, reported as `false`.
#pragma once

#include <cstdint>
#include <optional>

#include "kernel/linux_abi.h"
#include "kernel/unique_fd.h"

namespace sockswitch {

enum class Receive : std::uint8_t { kNotification, kRetry, kEnd };

class NotifyFd {
 public:
  explicit NotifyFd(UniqueFd fd) : fd_(std::move(fd)) {}
  int get() const { return fd_.get(); }

  // Waits for the next call. kRetry: a signal, or a caller that went away; kEnd: no process is left
  // that could call (Linux 6.11; before, the descriptor only reports POLLHUP) or the descriptor is
  // unusable.
  Receive receive(abi::SeccompNotif& notification) const;
  bool valid(std::uint64_t id) const;
  // The kernel executes the call as if there were no filter.
  bool let_continue(std::uint64_t id) const;
  // The call returns `value`, or fails with `error` (a positive errno).
  bool answer(std::uint64_t id, std::int64_t value) const;
  bool fail(std::uint64_t id, int error) const;
  // Puts `fd` at the caller's descriptor `number`, closing what is there. 0 or an errno.
  int replace(std::uint64_t id, int fd, int number, bool close_on_exec) const;
  // The answered caller runs on the answering CPU at once (Linux 6.6); false where not available.
  bool enable_sync_wake_up() const;

 private:
  bool send(const abi::SeccompNotifResp& response) const;
  UniqueFd fd_;
};

// The calls that are trapped, over all architectures.
enum class Call : std::uint8_t { kConnect, kBind, kListen, kIoctl, kEpollCreate, kOther };

struct CallArguments {
  Call call = Call::kOther;
  int fd = -1;
  std::uint64_t address = 0;  // connect, bind: where the socket address is; listen: the backlog
  std::uint32_t length = 0;   // connect, bind: its length as given, unchecked
  std::uint32_t request = 0;  // ioctl, whose argument is in `address`
  bool small = false;         // by the 32-bit rules: pointers in structures have four bytes
  bool unreadable = false;    // `socketcall`: there is no reading the arguments (EFAULT)
};

// Decodes a notification; reads the arguments of a 32-bit x86 `socketcall` from the caller's
// memory.
CallArguments decode(const abi::SeccompNotif& notification);

}  // namespace sockswitch
