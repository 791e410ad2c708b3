// Fallback programs: the processes of pasta and slirp4netns that carry a rootless container's
// packets, and the tap that each of them holds.
//
// A fallback program is believed only for what the kernel says of it: its process lives in this
// process's own network namespace (the host's), where no container without `--network=host` has
// any, and it holds the tap open. A command line is the program's own word; whoever can start
// programs in the host's network namespace needs no container to reach something.
//
// Threads: everything here may run on any thread. Descriptors that are returned belong to the
// calling thread's table (see notify/listener.cc about listener threads).
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "kernel/netns.h"
#include "kernel/process_files.h"
#include "path/fallback_options.h"

namespace sockswitch {

struct FallbackProgram {
  FallbackKind kind = FallbackKind::kPasta;
  pid_t pid = 0;
  // Readable (EPOLLIN) when the program has ended. It was alive after all facts had been read.
  UniqueFd pidfd;
  // The namespace that the tap is in, and the tap's present name there. A name is not an identity:
  // root in that namespace may rename the tap and give its name to another device, which
  // RTM_NEWLINK reports. So who matches a device by this name subscribes to link notifications
  // first, then searches, then looks for a notification, and searches again after any.
  NetnsIdentity netns;
  UniqueFd namespace_fd;  // open on it
  std::string device;
  FallbackOptions options;
};

// Whether the program runs still.
bool is_alive(const FallbackProgram& program);

// Reads `netns` and `device` anew; false if the program or its tap has gone, or the tap is in
// another namespace now.
bool read_again(FallbackProgram& program);

// Programs that were found among the processes above `after`.
struct FallbackSearch {
  pid_t after = 0;
  std::vector<FallbackProgram> programs;
  std::optional<pid_t> left_at;  // those above were not looked at any more
  bool is_whole() const { return after == 0 && !left_at; }
  // Whether the process, if it ran, was looked at.
  bool covers(pid_t pid) const { return pid > after && (!left_at || pid <= *left_at); }
};

// Looks at `most` processes, in the order of their numbers as procfs lists them. Costs about one
// stat(2) for each process of the host and one readlink(2) for each of this user: 6 ms for two
// thousand, 13 ms where they are this user's (at 1 us a system call). Never throws for a process
// that cannot be looked into: one sentence each goes to `problems` (of programs that were seen and
// cannot be used, not of processes that have nothing to do with it).
FallbackSearch find_fallback_programs(std::vector<std::string>* problems = nullptr, pid_t after = 0,
                                      int most = kMostProcesses);

}  // namespace sockswitch
