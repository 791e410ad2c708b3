#include "tunnel/tun_probe.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/errno_error.h"
#include "base/unique_fd.h"
#include "tunnel/tap.h"
#include "tunnel/tun_abi.h"

namespace sockswitch::tunnel {
namespace {

enum class Step : int { kNone, kUnshare, kOpen, kInterface };
constexpr std::array<const char*, 4> kCalls{"", "unshare", "open", "TUNSETIFF"};

struct Report {
  Step failed = Step::kNone;
  int error = 0;
  bool segments = false;
};

Report failed(Step step) { return {step, errno, false}; }

// In the child of a process with threads: system calls and nothing else.
Report try_tun() {
  if (::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) return failed(Step::kUnshare);
  const UniqueFd device(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  if (!device) return failed(Step::kOpen);
  struct ifreq request{};
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (::ioctl(device.get(), TUNSETIFF, &request) != 0) return failed(Step::kInterface);
  return {Step::kNone, 0, enable_segments(device.get())};
}

std::string call_problem(const char* call, int error) { return ErrnoError(error, call).what(); }

}  // namespace

TunSupport probe_tun() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return {false, call_problem("pipe2", errno)};
  const UniqueFd reading(ends[0]);
  UniqueFd writing(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) return {false, call_problem("fork", errno)};
  if (child == 0) {
    const Report report = try_tun();
    [[maybe_unused]] const ssize_t written = ::write(writing.get(), &report, sizeof report);
    ::_exit(0);
  }
  writing.reset();
  Report report;
  ssize_t got = 0;
  do got = ::read(reading.get(), &report, sizeof report);
  while (got < 0 && errno == EINTR);
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  if (got != sizeof report) return {false, "the child that tries it has ended"};
  if (report.failed == Step::kNone) return {report.segments, ""};
  return {false, call_problem(kCalls.at(static_cast<std::size_t>(report.failed)), report.error)};
}

}  // namespace sockswitch::tunnel
