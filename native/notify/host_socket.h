// Making the host socket that takes a container socket's place, and the way back.
#pragma once

#include <cstdint>

#include "base/unique_fd.h"
#include "notify/context.h"
#include "notify/target.h"
#include "switch/socket_options.h"
#include "switch/socket_pool.h"
#include "switch/tcp_socket.h"

namespace sockswitch {

// A non-blocking, unconnected TCP socket of the host that has of `options` what a connect depends
// on, pinned to the device of `use`: from then on loopback is out of its reach (not the host's
// address on that device), which a holder without CAP_NET_RAW in the host's namespace cannot undo
// (socket(7), SO_BINDTODEVICE; Linux 5.7). Where there are the means, a guard keeps it to its job
// (switch/socket_guard.h): to connect elsewhere, or to a neighbour's published port.
// `rare`: with the rarely set options, too. `fresh`: the defaults of the container's namespace, or
// of a pod's.
MadeSocket make_host_socket(const Context& context, OptionCopy& options, bool rare,
                            const ClientUse& use, const OptionBaselines& fresh);

// Binds a host socket to a source address, the port being chosen when it connects. False: errno.
bool bind_source(int fd, int domain, const Address& source);

// A fresh socket of the container, or of the caller's pod, with the options of the host socket
// `target`.
MadeSocket make_container_socket(const Context& context, const Target& target);

}  // namespace sockswitch
