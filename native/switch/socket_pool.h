// Host sockets that are made ahead: pinned, guarded, with the defaults of the container's
// namespace, so that a connect finds one ready.
//
// One for each listener, used by its thread. There are a few for each use that sockets have been
// asked for (none for pods and for neighbours' published ports); they are made when nobody waits
// for an answer. All are dropped when the host's network changes, as their guards name its
// addresses, and a device number may have come to mean another device. A socket whose device has
// just disappeared fails to connect, as one that is made at that moment.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/outcome.h"
#include "base/unique_fd.h"
#include "path/network_view.h"
#include "switch/socket_guard.h"
#include "switch/socket_options.h"

namespace sockswitch {

// What a host socket is for.
struct ClientUse {
  int domain = 0;
  int device = 0;  // that it is, or will be, pinned to
  // The one that the container's network carries, of an IPv6 socket.
  GuardFamily family = GuardFamily::kBoth;
  std::uint16_t neighbours_port = 0;  // the published one that it connects to; 0: none
  // Of a nested namespace: it reaches public addresses only, of IPv6 where that is the `family`, or
  // those of `pods_network`.
  bool of_pod = false;
  // NOLINTNEXTLINE(readability-redundant-member-init): -Wmissing-field-initializers wants it
  std::optional<Ipv4Block> pods_network = std::nullopt;

  bool operator==(const ClientUse&) const = default;
};

struct MadeSocket {
  UniqueFd fd;
  std::uint64_t cookie = 0;              // SO_COOKIE of what comes from the pool
  Outcome outcome = Outcome::kSwitched;  // why there is no socket, if `fd` is empty
  std::string detail;
};

class SocketPool {
 public:
  SocketPool(SocketGuard& guard, const HostNetwork& network, const OptionBaselines& host)
      : guard_(guard), network_(network), host_(host) {}

  // A non-blocking, unconnected TCP socket of the host, pinned to the device of `use`: from then on
  // loopback is out of its reach (not the host's address on that device), which a holder without
  // CAP_NET_RAW in the host's namespace cannot undo (socket(7), SO_BINDTODEVICE; Linux 5.7). Where
  // there are the means, a guard keeps it to its job (socket_guard.h): to connect elsewhere, or to
  // a neighbour's published port. One for such a port is not pinned yet: Shortcut::connect does it
  // (publish/neighbours.h). `container`: the defaults of the container's namespace, or of a
  // pod's, which it has.
  MadeSocket take(const ClientUse& use, const OptionBaselines& container);
  // Whether some should be made when there is time.
  bool wants_more() const { return wants_more_; }
  // Makes them.
  void refill(const OptionBaselines& container);

 private:
  struct Shelf {
    ClientUse use;
    std::vector<MadeSocket> ready;
  };
  Shelf& shelf(const ClientUse& use);
  MadeSocket make(const ClientUse& use, const OptionBaselines& container);

  SocketGuard& guard_;
  const HostNetwork& network_;
  const OptionBaselines& host_;
  std::uint64_t generation_ = 0;  // of the host's network, when the sockets were made
  std::vector<Shelf> shelves_;
  bool wants_more_ = false;
};

}  // namespace sockswitch
