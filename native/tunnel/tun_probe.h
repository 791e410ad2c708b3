// What tun devices of this kernel can do for tunnels, found out by trying: for `sockswitch doctor`.
#pragma once

#include <string>

namespace sockswitch::tunnel {

struct TunSupport {
  bool segments = false;  // one packet in the place of many, in a UDP tunnel. Linux 6.17.
  // Why it could not be tried: the failed call and its errno; empty otherwise.
  std::string problem;
};

// Makes a tap in a network namespace of its own, in a child process, since a process with several
// threads can make no user namespace for itself. Needs no privilege where users may make user
// namespaces. Blocks for some milliseconds. Never throws.
TunSupport probe_tun();

}  // namespace sockswitch::tunnel
