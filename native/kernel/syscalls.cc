#include "kernel/syscalls.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "kernel/linux_abi.h"

namespace sockswitch {
namespace {

// An address in another process: iovec wants a pointer, which is never followed here.
void* in_other_process(std::uint64_t address) {
  return reinterpret_cast<void*>(address);  // NOLINT(performance-no-int-to-ptr)
}

}  // namespace

int pidfd_open(pid_t pid, unsigned flags) {
  return static_cast<int>(::syscall(SYS_pidfd_open, pid, flags));
}

int pidfd_getfd(int pidfd, int fd) {
  return static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd, fd, 0));
}

bool read_memory(pid_t pid, std::uint64_t address, void* to, std::size_t size) {
  struct iovec local{to, size};
  struct iovec remote{in_other_process(address), size};
  return ::process_vm_readv(pid, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(size);
}

bool write_memory(pid_t pid, std::uint64_t address, const void* from, std::size_t size) {
  return write_memory(pid, {{{.address = address, .from = from, .size = size}, {}}});
}

bool write_memory(pid_t pid, const std::array<MemoryPart, 2>& parts) {
  std::array<struct iovec, 2> local{};
  std::array<struct iovec, 2> remote{};
  std::size_t size = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    local[i] = {const_cast<void*>(parts[i].from), parts[i].size};  // the type is that of reading
    remote[i] = {in_other_process(parts[i].address), parts[i].size};
    size += parts[i].size;
  }
  return ::process_vm_writev(pid, local.data(), local.size(), remote.data(), remote.size(), 0) ==
         static_cast<ssize_t>(size);
}

std::optional<std::uint64_t> netns_cookie(int socket_fd) {
  std::uint64_t cookie = 0;
  socklen_t length = sizeof cookie;
  if (::getsockopt(socket_fd, SOL_SOCKET, abi::kSoNetnsCookie, &cookie, &length) != 0) return {};
  return cookie;
}

std::optional<std::uint64_t> inode_of(int fd) {
  struct stat status{};
  if (::fstat(fd, &status) != 0) return {};
  return status.st_ino;
}

std::optional<int> int_option(int fd, int level, int name) {
  int value = 0;
  socklen_t length = sizeof value;
  if (::getsockopt(fd, level, name, &value, &length) != 0) return {};
  return value;
}

}  // namespace sockswitch
