#include "notify/bound_inside.h"

#include <cstddef>

namespace sockswitch {
namespace {

// A program may bind sockets and never listen on them.
constexpr std::size_t kMaxBound = 256;

}  // namespace

void BoundInside::remember(std::uint64_t socket, const Address& inside) {
  if (sockets_.size() >= kMaxBound) sockets_.pop_front();
  sockets_.emplace_back(socket, inside);
}

Address BoundInside::take(std::uint64_t socket) {
  for (auto at = sockets_.begin(); at != sockets_.end(); ++at) {
    if (at->first != socket) continue;
    Address inside = at->second;
    sockets_.erase(at);
    return inside;
  }
  return {};
}

}  // namespace sockswitch
