// Thin wrappers of system calls that the C library has no function for, or that need a retry.
// Each returns what the kernel returns, -1 with errno on error; EINTR is retried where it says so.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace sockswitch {

int pidfd_open(pid_t pid, unsigned flags);
// A duplicate of descriptor `fd` of the process behind `pidfd` (close-on-exec). Linux 5.6.
int pidfd_getfd(int pidfd, int fd);

// Reads exactly `size` bytes at `address` of process (or thread) `pid`; false on any failure.
bool read_memory(pid_t pid, std::uint64_t address, void* to, std::size_t size);
// Writes exactly `size` bytes there; false on any failure.
bool write_memory(pid_t pid, std::uint64_t address, const void* from, std::size_t size);
// The same for two places, the first one first.
struct MemoryPart {
  std::uint64_t address = 0;
  const void* from = nullptr;
  std::size_t size = 0;
};
bool write_memory(pid_t pid, const std::array<MemoryPart, 2>& parts);

// The network namespace that a socket lives in (SO_NETNS_COOKIE, Linux 5.14); no value on error.
std::optional<std::uint64_t> netns_cookie(int socket_fd);

// One integer socket option; no value on error (errno tells).
std::optional<int> int_option(int fd, int level, int name);
// No value with errno.
std::optional<std::uint64_t> inode_of(int fd);

}  // namespace sockswitch
