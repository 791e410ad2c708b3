#include "kernel/task.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/errno_error.h"
#include "kernel/linux_abi.h"

namespace sockswitch {
namespace {

ino_t inode(int fd) {
  struct stat status{};
  if (::fstat(fd, &status) != 0) throw_errno("fstat");
  return status.st_ino;
}

// The user namespace around `user`; empty if it is not ours to see.
UniqueFd parent_of(int user) { return UniqueFd(::ioctl(user, abi::kNsGetParent)); }

std::uint64_t field(std::string_view status, std::string_view key, int base, int skip) {
  auto at = status.find(key);
  std::uint64_t value = 0;
  if (at == std::string_view::npos) throw ErrnoError(EPROTO, "read", std::string(key));
  const char* from = status.data() + at + key.size();
  const char* end = status.data() + status.size();
  for (;; --skip) {
    while (from < end && (*from == '\t' || *from == ' ')) ++from;
    auto [next, error] = std::from_chars(from, end, value, base);
    if (error != std::errc{}) throw ErrnoError(EPROTO, "read", std::string(key));
    if (skip == 0) return value;
    from = next;
  }
}

}  // namespace

Privileges read_privileges(pid_t tid) {
  std::string path = "/proc/" + std::to_string(tid) + "/status";
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) throw ErrnoError(ESRCH, "open", path);
  std::string text;
  std::array<char, 4096> part{};
  ssize_t size = 0;
  while ((size = ::read(fd.get(), part.data(), part.size())) > 0) {
    text.append(part.data(), static_cast<std::size_t>(size));
  }
  return {.effective_uid = static_cast<unsigned>(field(text, "\nUid:", 10, 1)),
          .effective_capabilities = field(text, "\nCapEff:", 16, 0),
          .no_new_privs = field(text, "\nNoNewPrivs:", 10, 0) != 0};
}

UniqueFd open_namespace(pid_t tid, const char* kind) {
  std::string path = "/proc/" + std::to_string(tid) + "/ns/" + kind;
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) throw_errno("open", path);
  return fd;
}

UniqueFd outermost_user_namespace(pid_t tid) {
  UniqueFd own(::open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC));
  if (!own) throw_errno("open", "/proc/self/ns/user");
  ino_t ours = inode(own.get());
  UniqueFd user = open_namespace(tid, "user");
  for (;;) {
    if (inode(user.get()) == ours) return user;
    UniqueFd parent = parent_of(user.get());
    if (!parent || inode(parent.get()) == ours) return user;
    user = std::move(parent);
  }
}

bool has_capability(pid_t tid, int target, unsigned capability) {
  Privileges credentials = read_privileges(tid);
  ino_t home = inode(open_namespace(tid, "user").get());
  UniqueFd at(::fcntl(target, F_DUPFD_CLOEXEC, 0));
  if (!at) throw_errno("fcntl", "F_DUPFD_CLOEXEC");
  for (;;) {
    if (inode(at.get()) == home) {
      return (credentials.effective_capabilities >> capability & 1) != 0;
    }
    UniqueFd parent = parent_of(at.get());
    if (!parent) return false;
    unsigned owner = 0;
    if (inode(parent.get()) == home && ::ioctl(at.get(), abi::kNsGetOwnerUid, &owner) == 0 &&
        owner == credentials.effective_uid) {
      return true;
    }
    at = std::move(parent);
  }
}

}  // namespace sockswitch
