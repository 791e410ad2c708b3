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

// Of a socket fresh from the pool, whose flags are O_RDWR and O_NONBLOCK.
void set_blocking(int fd);

// Binds a host socket to a source address, the port being chosen when it connects. False: errno.
bool bind_source(int fd, int domain, const Address& source);

// A fresh socket of the container, or of the caller's pod, with the options of the host socket
// `target`.
MadeSocket make_container_socket(const Context& context, const Target& target);

}  // namespace sockswitch
