// Keeping a socket's epoll registrations when another socket takes its descriptor number.
//
// An epoll set knows an entry by (file, descriptor number). A program such as nginx adds its socket
// *before* it connects; after the switch its number names a file that is in no set. So the host socket
// is added to the same sets, under the same number, with the same events and data. epoll_ctl(2) takes
// the number from the caller's own descriptor table, so a thread with a table of its own does it.
//
// Finding the entry: /proc/PID/fdinfo/EPFD lists (tfd, events, data, ino). The inode must be that of the
// container socket: a number that was closed and used again is not taken for it.
#pragma once

#include <sys/types.h>

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string_view>
#include <thread>
#include <vector>

#include "kernel/unique_fd.h"

namespace sockswitch {

struct EpollEntry {
  std::uint32_t events = 0;
  std::uint64_t data = 0;
};

// The entry of descriptor `number` whose file has inode `inode`, in the text of an epoll descriptor's
// fdinfo (proc(5)); no value if there is none.
std::optional<EpollEntry> find_epoll_entry(std::string_view fdinfo, int number, std::uint64_t inode);

// The epoll descriptors of a thread's descriptor table, found in /proc/TID/fd.
std::vector<int> find_epoll_descriptors(pid_t tid);

// Adds to epoll sets under chosen numbers; one for the whole process.
class EpollTransfer {
 public:
  EpollTransfer();
  ~EpollTransfer();
  EpollTransfer(const EpollTransfer&) = delete;
  EpollTransfer& operator=(const EpollTransfer&) = delete;

  // Adds `socket` to `epoll` (both in this process's table) as descriptor `number`. 0 or an errno.
  int add(int epoll, int socket, int number, const EpollEntry& entry);
  // Removes `socket` from `epoll`, where it is known as descriptor `number`. 0 or an errno.
  int remove(int epoll, int socket, int number);

 private:
  struct Request {
    int operation;  // EPOLL_CTL_ADD or EPOLL_CTL_DEL
    int epoll;
    int socket;
    int number;
    EpollEntry entry;
    int result = 0;
    bool done = false;
  };
  int submit(Request request);
  void run();
  int perform(const Request& request);

  std::mutex callers_;  // one request at a time
  std::mutex mutex_;
  std::condition_variable changed_;
  Request* request_ = nullptr;
  bool stopping_ = false;
  UniqueFd self_;  // in the thread's own table only
  std::thread thread_;
};

}  // namespace sockswitch
