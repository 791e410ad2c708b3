#include "notify/bound_inside.h"

#include <algorithm>
#include <cstddef>

namespace sockswitch {
namespace {

constexpr std::size_t kMaxBound = 256;

}  // namespace

void BoundInside::remember(std::uint64_t socket, std::uint64_t publication, int domain,
                           const Address& inside) {
  if (sockets_.size() >= kMaxBound) sockets_.pop_back();
  sockets_.push_front({socket, publication, domain, inside});
}

Address BoundInside::of(std::uint64_t socket) const {
  auto found = std::ranges::find(sockets_, socket, &Bound::socket);
  return found == sockets_.end() ? Address{} : found->inside;
}

Address BoundInside::last(std::uint64_t publication, int domain) const {
  auto found = std::ranges::find_if(sockets_, [&](const Bound& bound) {
    return bound.publication == publication && bound.domain == domain;
  });
  return found == sockets_.end() ? Address{} : found->inside;
}

}  // namespace sockswitch
