#include "notify/notification.h"

#include <sys/ioctl.h>

#include <array>
#include <atomic>
#include <cerrno>

#include "kernel/syscalls.h"

namespace sockswitch {
namespace {

struct CallNumber {
  std::uint32_t arch;
  std::int32_t number;
  Call call;
};

// x32 has the numbers of x86_64 with abi::kX32Bit set (connect, bind, listen, getsockname,
// epoll_create*), and an ioctl, a setsockopt and a getsockopt of its own.
constexpr CallNumber kCalls[] = {
    // landlock_restrict_self(2) has one number everywhere.
    {abi::kArchX86_64, 446, Call::kRestrictSelf},
    {abi::kArchI386, 446, Call::kRestrictSelf},
    {abi::kArchAarch64, 446, Call::kRestrictSelf},
    {abi::kArchArm, 446, Call::kRestrictSelf},
    {abi::kArchX86_64, 16, Call::kIoctl},
    {abi::kArchX86_64, 514, Call::kIoctl},
    {abi::kArchI386, 54, Call::kIoctl},
    {abi::kArchAarch64, 29, Call::kIoctl},
    {abi::kArchArm, 54, Call::kIoctl},
    {abi::kArchX86_64, 42, Call::kConnect},
    {abi::kArchX86_64, 49, Call::kBind},
    {abi::kArchX86_64, 50, Call::kListen},
    {abi::kArchX86_64, 213, Call::kEpollCreate},
    {abi::kArchX86_64, 291, Call::kEpollCreate},
    {abi::kArchI386, 362, Call::kConnect},
    {abi::kArchI386, 361, Call::kBind},
    {abi::kArchI386, 363, Call::kListen},
    {abi::kArchI386, 254, Call::kEpollCreate},
    {abi::kArchI386, 329, Call::kEpollCreate},
    {abi::kArchAarch64, 203, Call::kConnect},
    {abi::kArchAarch64, 200, Call::kBind},
    {abi::kArchAarch64, 201, Call::kListen},
    {abi::kArchAarch64, 20, Call::kEpollCreate},
    {abi::kArchArm, 283, Call::kConnect},
    {abi::kArchArm, 282, Call::kBind},
    {abi::kArchArm, 284, Call::kListen},
    {abi::kArchArm, 250, Call::kEpollCreate},
    {abi::kArchArm, 357, Call::kEpollCreate},
    {abi::kArchX86_64, 54, Call::kSetOption},
    {abi::kArchX86_64, 541, Call::kSetOption},
    {abi::kArchI386, 366, Call::kSetOption},
    {abi::kArchAarch64, 208, Call::kSetOption},
    {abi::kArchArm, 294, Call::kSetOption},
    {abi::kArchX86_64, 51, Call::kGetName},
    {abi::kArchI386, 367, Call::kGetName},
    {abi::kArchAarch64, 204, Call::kGetName},
    {abi::kArchArm, 286, Call::kGetName},
    {abi::kArchX86_64, 55, Call::kGetOption},
    {abi::kArchX86_64, 542, Call::kGetOption},
    {abi::kArchI386, 365, Call::kGetOption},
    {abi::kArchAarch64, 209, Call::kGetOption},
    {abi::kArchArm, 295, Call::kGetOption},
};

constexpr std::int32_t kI386Socketcall = 102;

bool is_small(const abi::SeccompData& data) {
  return data.arch == abi::kArchI386 || data.arch == abi::kArchArm ||
         (data.arch == abi::kArchX86_64 && (data.nr & abi::kX32Bit) != 0);
}

// `fifth`: getsockopt's.
CallArguments with_arguments(Call call, std::uint64_t first, std::uint64_t second,
                             std::uint64_t third, std::uint64_t fifth) {
  if (call == Call::kSetOption || call == Call::kGetOption) {
    return {.call = call,
            .fd = static_cast<int>(first),
            .length_at = fifth,
            .level = static_cast<int>(second),
            .name = static_cast<int>(third)};
  }
  if (call == Call::kGetName) {
    return {.call = call, .fd = static_cast<int>(first), .address = second, .length_at = third};
  }
  return {call, static_cast<int>(first), second, static_cast<std::uint32_t>(third)};
}

// How many arguments of a sub-call matter here.
std::size_t words_read(Call call) {
  if (call == Call::kListen) return 2;
  return call == Call::kGetOption ? 5 : 3;
}

// socketcall(2): the call's number is the first argument, its arguments are 32-bit words in memory.
CallArguments decode_socketcall(const abi::SeccompNotif& notification) {
  Call call = Call::kOther;
  switch (notification.data.args[0]) {
    case 2:
      call = Call::kBind;
      break;
    case 3:
      call = Call::kConnect;
      break;
    case 4:
      call = Call::kListen;
      break;
    case 6:
      call = Call::kGetName;
      break;
    case 14:
      call = Call::kSetOption;
      break;
    case 15:
      call = Call::kGetOption;
      break;
    default:
      return {};
  }
  std::array<std::uint32_t, 5> words{};
  std::size_t size = words_read(call) * sizeof(std::uint32_t);
  auto pid = static_cast<pid_t>(notification.pid);
  if (!read_memory(pid, notification.data.args[1] & 0xFFFFFFFF, words.data(), size)) {
    return {.call = call, .unreadable = true};
  }
  return with_arguments(call, words[0], words[1], words[2], words[4]);
}

}  // namespace

Receive NotifyFd::receive() const {
  in_hand_.blocking = false;
  in_hand_.call = {};  // the kernel refuses anything but zeroes
  if (::ioctl(fd_.get(), abi::kNotifRecv, &in_hand_.call) == 0) return Receive::kNotification;
  return errno == EINTR || errno == ENOENT ? Receive::kRetry : Receive::kEnd;
}

bool NotifyFd::valid(std::uint64_t id) const {
  return ::ioctl(fd_.get(), abi::kNotifIdValid, &id) == 0;
}

bool NotifyFd::send(const abi::SeccompNotifResp& response) const {
  // The id comes last: it says that the rest is there.
  in_hand_.answer = {
      .id = 0, .val = response.val, .error = response.error, .flags = response.flags};
  std::atomic_signal_fence(std::memory_order_seq_cst);
  in_hand_.answer.id = response.id;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  return ::ioctl(fd_.get(), abi::kNotifSend, &response) == 0;
}

bool NotifyFd::let_continue(std::uint64_t id) const {
  return send({.id = id, .val = 0, .error = 0, .flags = abi::kRespContinue});
}

bool NotifyFd::answer(std::uint64_t id, std::int64_t value) const {
  return send({.id = id, .val = value, .error = 0, .flags = 0});
}

bool NotifyFd::fail(std::uint64_t id, int error) const {
  return send({.id = id, .val = 0, .error = -error, .flags = 0});
}

int NotifyFd::replace(std::uint64_t id, int fd, int number, bool close_on_exec) const {
  abi::SeccompNotifAddfd add{.id = id,
                             .flags = abi::kAddfdSetfd,
                             .srcfd = static_cast<std::uint32_t>(fd),
                             .newfd = static_cast<std::uint32_t>(number),
                             .newfd_flags = close_on_exec ? 02000000U /* O_CLOEXEC */ : 0U};
  begin(id);
  return ::ioctl(fd_.get(), abi::kNotifAddfd, &add) >= 0 ? 0 : errno;
}

bool NotifyFd::enable_sync_wake_up() const {
  return ::ioctl(fd_.get(), abi::kNotifSetFlags, abi::kNotifSyncWakeUp) == 0;
}

CallArguments decode(const abi::SeccompNotif& notification) {
  const abi::SeccompData& data = notification.data;
  if (data.arch == abi::kArchI386 && data.nr == kI386Socketcall) {
    return decode_socketcall(notification);
  }
  std::int32_t number = data.arch == abi::kArchX86_64 ? data.nr & ~abi::kX32Bit : data.nr;
  for (const CallNumber& known : kCalls) {
    if (known.arch == data.arch && known.number == number) {
      if (known.call != Call::kIoctl) {
        return with_arguments(known.call, data.args[0], data.args[1], data.args[2], data.args[4]);
      }
      return {.call = known.call,
              .fd = static_cast<int>(data.args[0]),
              .address = data.args[2],
              .request = static_cast<std::uint32_t>(data.args[1]),
              .small = is_small(data)};
    }
  }
  return {};
}

}  // namespace sockswitch
