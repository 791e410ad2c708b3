// Putting a socket at the descriptor number of another one in the caller's table, epoll sets
// included.
#pragma once

#include <vector>

#include "notify/context.h"

namespace sockswitch {

// The caller's epoll sets that hold a socket, and what they know of it.
struct Registrations {
  struct Entry {
    UniqueFd epoll;
    EpollEntry entry;
  };
  std::vector<Entry> entries;
  bool complete = true;  // false: there is a registration that could not be read
};

// Looks through the epoll sets in the caller's table. `socket` is our duplicate of its `number`.
Registrations find_registrations(Context& context, Caller& caller, int socket, int number);

enum class Replaced : std::uint8_t { kYes, kCallerGone, kFailed };

// `fd` takes the place of `old` (both ours) at `number`, and of its registrations. With kFailed the
// caller has its old socket again and `context.detail` says why.
Replaced replace_descriptor(Context& context, std::uint64_t id, int old, int fd, int number,
                            bool close_on_exec, const Registrations& registrations);

}  // namespace sockswitch
