#include "kernel/descriptor_table.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <stdexcept>

#include "base/errno_error.h"

namespace sockswitch {
namespace {

constexpr unsigned kCloseRangeUnshare = 1U << 1;  // CLOSE_RANGE_UNSHARE, Linux 5.9

// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): the thread's own
thread_local bool own_table = false;

UniqueFd copy_here(int fd) {
  UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!copy) throw_errno("fcntl", "F_DUPFD_CLOEXEC");
  return copy;
}

}  // namespace

bool has_common_table() { return !own_table; }

bool leave_common_table(int kept) {
  auto number = static_cast<unsigned>(kept);
  if (::syscall(SYS_close_range, number + 1, ~0U, kCloseRangeUnshare) != 0) return false;
  own_table = true;
  return number == 0 || ::syscall(SYS_close_range, 0, number - 1, 0) == 0;
}

void require_common_table() {
  if (own_table) {
    throw std::logic_error(
        "a descriptor of the common table was used in a thread that has a table of its own");
  }
}

UniqueFd duplicate(const InCommonTable<UniqueFd>& fd) {
  if (has_common_table()) return copy_here(fd->get());
  return fd.control().bring([&] { return copy_here(fd->get()); });
}

}  // namespace sockswitch
