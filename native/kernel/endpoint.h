// The two ends of a connected socket, and connecting one.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "base/address.h"
#include "base/socket_name.h"

namespace sockswitch {

using Endpoint = std::pair<Address, std::uint16_t>;

// No value where the socket has none (any more).
std::optional<Endpoint> own_endpoint(int fd);
std::optional<Endpoint> peer_endpoint(int fd);

// 0, EINPROGRESS or an errno.
int start_connect(int fd, const SocketName& to);

}  // namespace sockswitch
