// What the handlers of one listener work with. Used by the listener's thread alone, except where
// the parts say otherwise.
#pragma once

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "kernel/control_thread.h"
#include "notify/caller.h"
#include "notify/in_flight.h"
#include "notify/landlock.h"
#include "notify/notification.h"
#include "notify/option_mark.h"
#include "notify/port_privilege.h"
#include "path/network_view.h"
#include "policy/destination.h"
#include "policy/outcome.h"
#include "switch/epoll_set.h"
#include "switch/socket_guard.h"
#include "switch/socket_options.h"
#include "switch/socket_pool.h"

namespace sockswitch {

// A container's first network namespace, shared by its listeners.
struct ContainerNetwork {
  std::shared_ptr<NetworkView> view;
  OptionBaselines fresh;
  SharedMark mark;
};

// A call that was interrupted by a signal is often restarted by the kernel, as a new notification.
// What the first one had done is remembered here for a moment, so that the second returns the same.
class Interrupted {
 public:
  // A connecting host socket that could not be put into the caller's table: it waits for the
  // restart.
  struct Kept {
    UniqueFd fd;
    int state = EINPROGRESS;  // of its connect: 0 or EINPROGRESS
  };
  void keep_socket(std::uint64_t container_socket, const Destination& to, Kept host_socket);
  // Gives it back if this container socket connects to the same destination again.
  Kept take_socket(std::uint64_t container_socket, const Destination& to);
  // A switched call whose result could not be delivered. `result`: 0 or a positive errno.
  void keep_result(std::uint64_t host_socket, int result);
  std::optional<int> take_result(std::uint64_t host_socket);
  // Drops what no restarted call has asked for within a second.
  void expire();
  // Whether there is anything left to expire.
  bool is_empty() const { return sockets_.empty() && results_.empty(); }
  bool has_sockets() const { return !sockets_.empty(); }
  bool has_results() const { return !results_.empty(); }

 private:
  using Clock = std::chrono::steady_clock;
  struct Socket {
    std::uint64_t container_socket;
    Destination to;
    Kept host_socket;
    Clock::time_point since;
  };
  struct Result {
    std::uint64_t host_socket = 0;
    int result = 0;
    Clock::time_point since;
  };
  std::deque<Socket> sockets_;
  std::deque<Result> results_;
};

// What a service asked to be bound to, for its sockets of the host that do not listen yet.
class BoundInside {
 public:
  void remember(std::uint64_t socket, const Address& inside);
  // The unspecified address if it is not known.
  Address take(std::uint64_t socket);

 private:
  std::deque<std::pair<std::uint64_t, Address>> sockets_;
};

class Relay;

// One for the whole process.
struct Host {
  const std::string& helper;  // the path of sockswitch-netns
  HostNetwork& network;
  ControlThread& control;
  const OptionBaselines& fresh;
  Relay& relay;
  GuardSource& guard;
  OptionMarks& marks;
};

struct Context {
  const NotifyFd& notify;
  const Host& host;
  CallerCache& callers;
  Interrupted& interrupted;
  BoundInside& bound;
  PortPrivilege& ports;
  SocketGuard& guard;
  SocketPool& pool;
  InFlight& epoll_calls;
  InFlight& option_calls;
  OptionMark& options;
  // Without a view where it could not be looked up: only bind and listen are handled then.
  const ContainerNetwork& container;
  const Policy& policy;
  const RestrictionMark& restriction;
  std::string& detail;  // for the event of a first outcome: what it was about
};

// One file a trapped call. Each answers the notification and says what the outcome was.
Outcome handle_connect(Context& context, const abi::SeccompNotif& notification,
                       const CallArguments& arguments);
// The end of a connect whose descriptor a daemon had replaced, or was about to, when it was killed.
// No value if it had not come to that, or the connection has failed: it is to be handled anew.
std::optional<Outcome> finish_connect(Context& context, const abi::SeccompNotif& notification,
                                      const CallArguments& arguments);
Outcome handle_bind(Context& context, const abi::SeccompNotif& notification,
                    const CallArguments& arguments);
Outcome handle_listen(Context& context, const abi::SeccompNotif& notification,
                      const CallArguments& arguments);
Outcome handle_ioctl(Context& context, const abi::SeccompNotif& notification,
                     const CallArguments& arguments);
Outcome handle_set_option(Context& context, const abi::SeccompNotif& notification,
                          const CallArguments& arguments);

// Lets the kernel execute the call as it stands and passes the outcome on.
inline Outcome pass(Context& context, std::uint64_t id, Outcome outcome) {
  return context.notify.let_continue(id) ? outcome : Outcome::kCallerGone;
}

}  // namespace sockswitch
