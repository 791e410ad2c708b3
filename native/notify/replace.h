// Putting a socket at the descriptor number of another one in the caller's table, epoll sets
// included.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "notify/context.h"
#include "switch/epoll_set.h"

namespace sockswitch {

// The caller's epoll sets that hold a socket, and what they know of it.
struct Registrations {
  std::vector<EpollRegistration> entries;
  // Why there is a registration that was not read; kSwitched: there is none.
  Outcome obstacle = Outcome::kSwitched;
  bool complete() const { return obstacle == Outcome::kSwitched; }
};

// Looks through the epoll sets in the caller's table. `socket` is our duplicate of its `number`;
// `inode` its inode, where it is known. `bounded`: large sets are read only as often as
// notify/epoll_reading.h allows.
Registrations find_registrations(Context& context, Caller& caller, int socket, int number,
                                 std::optional<std::uint64_t> inode, bool bounded = false);

enum class Replaced : std::uint8_t {
  kYes,
  kCallerGone,
  // The caller has its old socket, and `context.detail` says why.
  kNotAdded,     // the caller's table did not take the new one
  kNotComplete,  // what `complete` says
  kNotInEpoll,   // an epoll set did not take it
};

// How a socket takes the place of another.
struct Replacement {
  std::uint64_t id;
  int old;  // both are ours
  int fd;
  int number;
  bool close_on_exec;
  // What is done when `fd` has the number, and before it is in any epoll set: "" or what was wrong.
  std::function<std::string()> complete;
};

Replaced replace_descriptor(Context& context, const Replacement& replacement,
                            const Registrations& registrations);

}  // namespace sockswitch
