// Which address and port of the container a published service's socket stands for.
#pragma once

#include <cstdint>
#include <deque>
#include <utility>

#include "base/address.h"

namespace sockswitch {

// What a service asked to be bound to, for its sockets of the host that do not listen yet.
class BoundInside {
 public:
  void remember(std::uint64_t socket, const Address& inside);
  // The unspecified address if it is not known.
  Address take(std::uint64_t socket);

 private:
  std::deque<std::pair<std::uint64_t, Address>> sockets_;
};

}  // namespace sockswitch
