// The threads that call: how their descriptors are reached, remembered from call to call.
//
// `req.pid` of a notification is a thread id and may be recycled. A pidfd is opened at a thread's
// first call and kept: while its thread lives, the id is its own; when it is dead, every use of the
// pidfd fails with ESRCH and the entry is made anew. Epoll descriptors are looked for once a thread
// and again after any epoll_create(2) in the listener's processes, which is why those calls are
// watched.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "kernel/unique_fd.h"

namespace sockswitch {

struct DescriptorFlags {
  bool non_blocking = false;
  bool close_on_exec = false;
};

// The two flags in the text of /proc/PID/fdinfo/FD (proc(5)); no value if it has no `flags` line.
std::optional<DescriptorFlags> parse_descriptor_flags(const char* fdinfo, std::size_t size);

class Caller {
 public:
  // Throws ErrnoError (ESRCH: the thread is gone).
  explicit Caller(pid_t tid);

  pid_t tid() const { return tid_; }
  // A duplicate of the thread's descriptor `fd`; empty with errno (EBADF: it has none).
  UniqueFd fetch(int fd) const;
  std::optional<DescriptorFlags> flags(int fd) const;
  // The epoll descriptors of its table, as known in `generation`; `refresh` looks again. `socket`
  // is any socket of ours.
  const std::vector<int>& epolls(std::uint64_t generation, int socket, bool refresh);
  // The text of /proc/TID/fdinfo/FD; empty if it cannot be read.
  std::vector<char> fdinfo(int fd) const;

 private:
  pid_t tid_;
  UniqueFd pidfd_;
  UniqueFd fdinfo_;  // the directory /proc/TID/fdinfo
  std::vector<int> epolls_;
  std::uint64_t epoll_generation_ = 0;
};

class CallerCache {
 public:
  // The caller behind a notification; its pidfd is new or known to be of a live thread when its
  // next use succeeds. Throws ErrnoError.
  Caller& find(pid_t tid);
  void forget(pid_t tid) { callers_.erase(tid); }

 private:
  std::unordered_map<pid_t, Caller> callers_;
};

}  // namespace sockswitch
