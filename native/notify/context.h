// What the handlers of one listener work with. Used by the listener's thread alone, except where
// the parts say otherwise.
#pragma once

#include <cstdint>
#include <string>

#include "base/outcome.h"
#include "kernel/control_thread.h"
#include "notify/bound_inside.h"
#include "notify/caller.h"
#include "notify/container_network.h"
#include "notify/epoll_reading.h"
#include "notify/in_flight.h"
#include "notify/interrupted.h"
#include "notify/landlock.h"
#include "notify/notification.h"
#include "notify/option_mark.h"
#include "notify/port_privilege.h"
#include "policy/destination.h"
#include "publish/inside.h"
#include "publish/relay.h"
#include "switch/socket_guard.h"
#include "switch/socket_options.h"
#include "switch/socket_pool.h"

namespace sockswitch {

// One for the whole process.
struct Host {
  const std::string& helper;  // the path of sockswitch-netns
  HostNetwork& network;
  ControlThread& control;
  const OptionBaselines& fresh;
  Relay& relay;
  GuardSource& guard;
  const PeerNames& names;
  OptionMarks& marks;
};

struct Context {
  const NotifyFd& notify;
  const Host& host;
  CallerCache& callers;
  Interrupted& interrupted;
  BoundInside& bound;
  InsideAddresses& addresses;
  PortPrivilege& ports;
  SocketGuard& guard;
  SocketPool& pool;
  ThreadNames& names;
  EpollReading& epoll_reading;
  InFlight& epoll_calls;
  InFlight& option_calls;
  OptionMark& options;
  UniqueFd& reports;  // of changes of the container's network; see take_own_changes()
  // Without a view where it could not be looked up: only bind and listen are handled then.
  const ContainerNetwork& container;
  NestedNetworks& nested;
  const Policy& policy;
  const RestrictionMark& restriction;
  std::string& detail;  // for the event of a first outcome: what it was about
};

// A call ends in one of two ways. Either is kCallerGone where nobody waits for it any more.
//
// The kernel executes the call as it stands.
inline Outcome continue_call(Context& context, std::uint64_t id, Outcome outcome) {
  return context.notify.let_continue(id) ? outcome : Outcome::kCallerGone;
}
// The call returns 0, or fails with `error`, a positive errno.
inline Outcome answer(Context& context, std::uint64_t id, int error,
                      Outcome outcome = Outcome::kHousekeeping) {
  const bool answered = error == 0 ? context.notify.answer(id, 0) : context.notify.fail(id, error);
  return answered ? outcome : Outcome::kCallerGone;
}

}  // namespace sockswitch
