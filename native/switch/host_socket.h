// Making the host socket that takes a container socket's place, and the way back.
#pragma once

#include <string>

#include "kernel/unique_fd.h"
#include "notify/context.h"
#include "switch/tcp_socket.h"

namespace sockswitch {

struct MadeSocket {
  UniqueFd fd;
  Outcome outcome = Outcome::kSwitched;  // why there is no socket, if `fd` is empty
  std::string detail;
};

// A non-blocking, unconnected TCP socket of the host with the options of `model`, pinned to
// `device`: from then on loopback is out of its reach (not the host's address on that device),
// which a holder without CAP_NET_RAW in the host's namespace cannot undo (socket(7),
// SO_BINDTODEVICE; Linux 5.7). Where there are the means, a guard keeps it to its job
// (switch/socket_guard.h): to connect elsewhere, or to a neighbour's published port. `model` is a
// container socket, or (`model_is_host`) a host socket whose connect failed.
MadeSocket make_host_socket(const Context& context, int model, const SocketIdentity& identity,
                            bool model_is_host, int device, std::uint16_t neighbours_port = 0);

// Binds a host socket to a source address, the port being chosen when it connects. False: errno.
bool bind_source(int fd, int domain, const Address& source);

// A fresh socket of the container with the options of the host socket `model`.
MadeSocket make_container_socket(const Context& context, int model, const SocketIdentity& identity);

}  // namespace sockswitch
