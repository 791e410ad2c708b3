// Which address of the container a published service's socket stands for.
#pragma once

#include <cstdint>
#include <deque>

#include "base/address.h"

namespace sockswitch {

// What services asked to be bound to, as far as this daemon has seen it and this listener's
// processes did it. Only the last ones: a program may bind and close sockets without end.
class BoundInside {
 public:
  // `socket`: its cookie; `publication`: the number of the published port.
  void remember(std::uint64_t socket, std::uint64_t publication, int domain, const Address& inside);
  // The unspecified address if it is not known.
  Address of(std::uint64_t socket) const;
  // Of the last socket that was bound to this port, which is the one that accepts. As above.
  Address last(std::uint64_t publication, int domain) const;

 private:
  struct Bound {
    std::uint64_t socket = 0;
    std::uint64_t publication = 0;
    int domain = 0;
    Address inside;
  };
  std::deque<Bound> sockets_;  // the last one first
};

}  // namespace sockswitch
