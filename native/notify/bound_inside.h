// Which address of the container a published service's socket stands for.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/address.h"

namespace sockswitch {

// What services asked to be bound to, as far as this listener's processes did it. Only the last
// ones: a program may bind and close sockets without end.
//
// It is part of the listener's record (notify/live_record.h), so the next daemon knows it, too. All
// zero is empty. One thread writes it; where that is killed, what it was writing is not there.
class BoundInside {
 public:
  // `socket`: its cookie; `port`: the container's.
  void remember(std::uint64_t socket, std::uint16_t port, int domain, const Address& inside);
  // The unspecified address if it is not known. What is forgotten is taken for what all others on
  // that port are, as the workers of one service.
  Address of(std::uint64_t socket, std::uint16_t port, int domain) const;
  // Of the last socket that was bound to this port, which is the one that accepts. As above.
  Address last(std::uint16_t port, int domain) const;

 private:
  static constexpr std::size_t kMost = 64;
  struct Bound {
    std::atomic<std::uint64_t> socket;  // 0: none
    Address inside;
    std::int32_t domain = 0;
    std::uint16_t port = 0;
  };
  // Null where none fits.
  template <typename Predicate>
  const Bound* latest(const Predicate& fits) const;

  std::atomic<std::uint64_t> count_;  // of all that there ever were; the next one's place
  std::array<Bound, kMost> sockets_;
};

}  // namespace sockswitch
