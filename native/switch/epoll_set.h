// Keeping a socket's epoll registrations when another socket takes its descriptor number.
//
// An epoll set knows an entry by (file, descriptor number). A program such as nginx adds its socket
// *before* it connects; after the switch its number names a file that is in no set. So the host
// socket is added to the same sets, under the same number, with the same events and data.
// epoll_ctl(2) takes the number from the caller's own descriptor table; a listener thread has one
// of its own, in which it can put any file at any number for a moment.
//
// Finding the entry: /proc/PID/fdinfo/EPFD lists (tfd, events, data, ino). The inode must be that
// of the container socket: a number that was closed and used again is not taken for it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"

namespace sockswitch {

struct EpollEntry {
  std::uint32_t events = 0;
  std::uint64_t data = 0;
};

// The entry of descriptor `number` whose file has inode `inode`, in the text of an epoll
// descriptor's fdinfo (proc(5)); no value if there is none.
std::optional<EpollEntry> find_epoll_entry(std::string_view fdinfo, int number,
                                           std::uint64_t inode);

// What kcmp(2) says of our descriptor `socket` and an epoll set of another thread's table: cheaper
// by far than the set's fdinfo. KCMP_EPOLL_TFD: Linux 4.13.
enum class Membership : std::uint8_t {
  kAbsent,
  kPresent,  // `socket`'s file is in the set as `number`
  kNoEpoll,  // the thread's descriptor `epoll` is no epoll set (any more)
};
// Where kcmp(2) is not permitted, `epoll_membership_by_fdinfo` answers: container engines tie it to
// CAP_SYS_PTRACE, so the daemon in a container may lack it. Throws ErrnoError where neither does.
Membership epoll_membership(pid_t tid, int epoll, int socket, int number);

// The same from /proc/TID/fdinfo. A descriptor of another kind that has no inode of its own, as an
// eventfd, is taken for an epoll set that holds nothing.
Membership epoll_membership_by_fdinfo(pid_t tid, int epoll, int socket, int number);

// The epoll descriptors of a thread's table. Their numbers are read from the directory
// /proc/TID/fdinfo, which the owner of the user namespace may list, other than /proc/TID/fd.
// `socket` is any of ours.
std::vector<int> find_epoll_descriptors(pid_t tid, int fdinfo_directory, int socket);

// An epoll set, as a descriptor of ours, and what it knows of a socket.
struct EpollRegistration {
  UniqueFd set;
  EpollEntry entry;
};

// `to` takes the place of `from` in these sets, where `from` is known as descriptor `number`. For
// threads with a descriptor table of their own only: `number` is borrowed in it. 0, or an errno, in
// which case nothing has changed.
int epoll_move(std::span<const EpollRegistration> registrations, int from, int to, int number);

}  // namespace sockswitch
