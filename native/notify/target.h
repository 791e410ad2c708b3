// The socket that a trapped call is about: fetched from the caller and identified.
#pragma once

#include <cstdint>
#include <optional>

#include "base/unique_fd.h"
#include "notify/context.h"
#include "switch/tcp_socket.h"

namespace sockswitch {

struct Target {
  std::uint64_t id;  // of the notification
  Caller& caller;
  int number;       // the descriptor in the caller's table
  UniqueFd socket;  // our duplicate of it
  SocketIdentity identity;

  bool of_host(const Context& context) const {
    return identity.netns == context.host.network.cookie();
  }
};

// Our duplicate of what the caller has at a descriptor number; no `socket` if it has nothing there.
struct Fetched {
  Caller& caller;
  UniqueFd socket;
};
// What is fetched is this caller's only if the notification is valid afterwards: see `still_waits`.
// Throws ErrnoError where it cannot be told (no descriptor left, the caller is gone).
Fetched fetch(Context& context, const abi::SeccompNotif& notification, int number);

// Whether the caller has been waiting all the time: only then was its memory read, and its
// descriptor fetched. To be asked after that, and before anything is done with them. The thread is
// known then (Caller::is_known()).
bool still_waits(Context& context, const abi::SeccompNotif& notification);

// No value if it is not an IPv4 or IPv6 socket.
std::optional<Target> as_target(const abi::SeccompNotif& notification, int number, Fetched fetched,
                                std::optional<std::uint64_t> netns = {});

// The namespace of a pod, where the caller is in one and pods' connections are switched: a socket
// that takes the place of one of the host's is of this namespace then, and not of the container's,
// wherever the socket of the host came from. No value: of the container's. It is this caller's only
// if the notification is valid afterwards. Throws ErrnoError.
std::optional<Netns> pod_of_caller(const Context& context, pid_t tid);

// Whether an IPv4 or IPv6 socket of the host did not come from us: a service manager, or whoever
// started the container, handed it in (sd_listen_fds(3), `podman run --preserve-fds`). It is the
// container's as without us, so calls on it are left to the kernel. Ours are pinned to a device
// before a container gets them, what they accept inherits that, and a holder cannot undo it. So who
// wins a race against a call that is left to the kernel for such a socket has gained nothing: all
// that can be done so can be done with the socket itself.
bool is_handed_in(int host_socket);

// Both together.
std::optional<Target> find_target(Context& context, const abi::SeccompNotif& notification,
                                  int number);

// Answers with a result (0 or an errno), which is kept for the restarted call if this one is gone.
// `host_socket`: the cookie of what the caller has.
Outcome answer_or_keep(Context& context, const Target& target, std::uint64_t host_socket,
                       int result);

// Puts a fresh container socket, with the same options, in the place of a host socket, which
// thereby leaves the container: `target` is the new socket then. False, with the reason in
// `context.detail`, if that was not possible.
bool switch_back(Context& context, Target& target);

}  // namespace sockswitch
