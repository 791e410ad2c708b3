// The threads that call: how their descriptors are reached, remembered from call to call.
//
// `req.pid` of a notification is a thread id and may be recycled. A pidfd is opened at a thread's
// first call and kept: while its thread lives, the id is its own; when it is dead, every use of the
// pidfd fails with ESRCH and the entry is made anew. Before Linux 6.9 a pidfd is for a thread group
// only, which can outlive the thread: there a file of the thread in /proc is kept as well, whose
// reading fails with ESRCH once that very thread is gone.
//
// Files of /proc/TID/fdinfo stay open: read at 0 they show what is at their number by then. Epoll
// descriptors are looked for once a thread and again after any epoll_create(2) in the listener's
// processes, which is why those calls are watched.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/unique_fd.h"

namespace sockswitch {

struct DescriptorFlags {
  bool non_blocking = false;
  bool close_on_exec = false;
  std::optional<std::uint64_t> inode;  // the kernel tells it here since Linux 5.14
};

// The flags, and the inode, in the text of /proc/PID/fdinfo/FD (proc(5)); no value if it has no
// `flags` line.
std::optional<DescriptorFlags> parse_descriptor_flags(const char* fdinfo, std::size_t size);

// Whether pidfds for threads are used where the kernel has them (PIDFD_THREAD, Linux 6.9). Tests
// take the other way.
enum class PidfdUse : std::uint8_t { kThread, kGroup };

class Caller {
 public:
  // Throws ErrnoError (ESRCH: the thread is gone).
  explicit Caller(pid_t tid, PidfdUse use = PidfdUse::kThread);

  pid_t tid() const { return tid_; }
  // Whether a notification of this thread was valid after the thread was looked at, so that what is
  // open here is its own, and not of one that had the same id before. What succeeds here succeeds
  // while that thread lives.
  bool is_known() const { return known_; }
  void set_known() { known_ = true; }
  // A duplicate of the thread's descriptor `fd`; empty with errno (EBADF: it has none; ESRCH: the
  // thread is gone).
  UniqueFd fetch(int fd) const;
  std::optional<DescriptorFlags> flags(int fd);

  // /proc/TID/fdinfo/NUMBER.
  struct Info {
    int number = -1;
    UniqueFd file;
    std::size_t size = 0;  // of an epoll set's text, when it was last read
  };
  // The epoll descriptors of its table, as known in `generation`; `refresh` looks again. `socket`
  // is any socket of ours.
  std::vector<Info>& epolls(std::uint64_t generation, int socket, bool refresh);
  // The text of one, in `buffer`, which grows; empty if it cannot be read.
  std::string_view text_of(Info& epoll, std::vector<char>& buffer);

 private:
  friend class CallerCache;
  UniqueFd open_info(int fd) const;

  // An open file holds a page of the kernel's memory, an epoll set's as much as its text. A program
  // that connects in turn uses one number, one with some connections at a time as many; opening a
  // file for each call anew costs more than all the rest of finding out a descriptor's flags.
  static constexpr std::size_t kInfos = 16;
  static constexpr std::size_t kOpenEpolls = 2;

  pid_t tid_;
  UniqueFd pidfd_;
  UniqueFd alive_;   // /proc/TID/comm, where `pidfd_` is the group's
  UniqueFd fdinfo_;  // the directory /proc/TID/fdinfo
  std::array<Info, kInfos> infos_;
  std::size_t next_info_ = 0;
  std::vector<Info> epolls_;
  std::uint64_t epoll_generation_ = 0;
  bool known_ = false;
  std::uint64_t last_use_ = 0;
};

class CallerCache {
 public:
  CallerCache() = default;
  explicit CallerCache(PidfdUse use) : use_(use) {}
  // The caller behind a notification; its pidfd is new or known to be of a live thread when its
  // next use succeeds. Throws ErrnoError.
  Caller& find(pid_t tid);
  void forget(pid_t tid) { callers_.erase(tid); }
  // For the text of long files; of one caller at a time.
  std::vector<char>& buffer() { return buffer_; }

 private:
  void drop_oldest();

  PidfdUse use_ = PidfdUse::kThread;
  std::unordered_map<pid_t, Caller> callers_;
  std::uint64_t uses_ = 0;
  std::vector<char> buffer_;
};

}  // namespace sockswitch
