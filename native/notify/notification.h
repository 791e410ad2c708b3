// The seccomp notification descriptor: receiving calls and answering them (seccomp_unotify(2)).
//
// Every answer can come too late: the caller was killed or interrupted meanwhile. The kernel then
// says ENOENT, which is a normal event, reported as `false`.
#pragma once

#include <cstdint>
#include <optional>

#include "base/unique_fd.h"
#include "kernel/linux_abi.h"

namespace sockswitch {

enum class Receive : std::uint8_t { kNotification, kRetry, kEnd };

// The call that is being handled, in memory that outlives the process (notify/live_record.h).
struct CallInHand {
  abi::SeccompNotif call{};        // as the kernel wrote it; id 0: none
  abi::SeccompNotifResp answer{};  // decided, if it has the call's id
  // The call's id, once what cannot be done twice may have been done: its descriptor replaced, the
  // length that it gave overwritten.
  std::uint64_t begun = 0;
  // Of a connect that has begun: whether its caller waits for the connection. The host socket at
  // its number may not be blocking yet.
  bool blocking = false;
};

class NotifyFd {
 public:
  NotifyFd(UniqueFd fd, CallInHand& in_hand) : fd_(std::move(fd)), in_hand_(in_hand) {}
  int get() const { return fd_.get(); }

  // Waits for the next call, which is in `in_hand` then. kRetry: a signal, or a caller that went
  // away; kEnd: no process is left that could call (Linux 6.11; before, the descriptor only reports
  // POLLHUP) or the descriptor is unusable.
  Receive receive() const;
  const CallInHand& in_hand() const { return in_hand_; }
  bool valid(std::uint64_t id) const;
  // The kernel executes the call as if there were no filter.
  bool let_continue(std::uint64_t id) const;
  // The call returns `value`, or fails with `error` (a positive errno).
  bool answer(std::uint64_t id, std::int64_t value) const;
  bool fail(std::uint64_t id, int error) const;
  // Writes the answer down, then gives it: should this process end in between, the next daemon
  // gives the same.
  bool send(const abi::SeccompNotifResp& response) const;
  // Writes down that it begins with what cannot be done twice.
  void begin(std::uint64_t id) const { in_hand_.begun = id; }
  // For whoever has to bring a connect to its end that has begun; and what was written down of the
  // one in hand.
  void note_blocking(bool blocking) const { in_hand_.blocking = blocking; }
  bool began_blocking(std::uint64_t id) const { return in_hand_.begun == id && in_hand_.blocking; }
  // Puts `fd` at the caller's descriptor `number`, closing what is there. 0 or an errno.
  int replace(std::uint64_t id, int fd, int number, bool close_on_exec) const;
  // The answered caller runs on the answering CPU at once (Linux 6.6); false where not available.
  bool enable_sync_wake_up() const;

 private:
  UniqueFd fd_;
  CallInHand& in_hand_;
};

// The calls that are trapped, over all architectures.
enum class Call : std::uint8_t {
  kConnect,
  kBind,
  kListen,
  kIoctl,
  kEpollCreate,
  kRestrictSelf,
  kSetOption,
  kGetName,
  kGetOption,
  kOther
};

struct CallArguments {
  Call call = Call::kOther;
  int fd = -1;
  std::uint64_t address = 0;    // connect, bind: where the socket address is; getsockname: where it
                                // is to be written; listen: the backlog
  std::uint32_t length = 0;     // connect, bind: its length as given, unchecked
  std::uint64_t length_at = 0;  // getsockname, getsockopt: where the length is
  std::uint32_t request = 0;    // ioctl, whose argument is in `address`
  int level = 0;                // setsockopt, getsockopt: which option
  int name = 0;
  bool small = false;       // by the 32-bit rules: pointers in structures have four bytes
  bool unreadable = false;  // `socketcall`: there is no reading the arguments (EFAULT)
};

// Decodes a notification; reads the arguments of a 32-bit x86 `socketcall` from the caller's
// memory.
CallArguments decode(const abi::SeccompNotif& notification);

}  // namespace sockswitch
