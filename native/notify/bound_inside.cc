#include "notify/bound_inside.h"

#include <algorithm>

namespace sockswitch {

template <typename Predicate>
const BoundInside::Bound* BoundInside::latest(const Predicate& fits) const {
  const std::uint64_t count = count_.load();
  for (std::uint64_t back = 1; back <= std::min<std::uint64_t>(count, kMost); ++back) {
    const Bound& bound = sockets_.at((count - back) % kMost);
    if (bound.socket.load() != 0 && fits(bound)) return &bound;
  }
  return nullptr;
}

void BoundInside::remember(std::uint64_t socket, std::uint16_t port, int domain,
                           const Address& inside) {
  // What is not known is unspecified all the same. It takes a place only after one that is not.
  if (is_unspecified(inside) && is_unspecified(last(port, domain))) return;
  const std::uint64_t count = count_.load();
  Bound& bound = sockets_.at(count % kMost);
  bound.socket.store(0);
  bound.inside = inside;
  bound.domain = domain;
  bound.port = port;
  bound.socket.store(socket);
  count_.store(count + 1);
}

Address BoundInside::of(std::uint64_t socket, std::uint16_t port, int domain) const {
  const Bound* found = latest([&](const Bound& bound) { return bound.socket.load() == socket; });
  if (found) return found->inside;
  if (count_.load() <= kMost) return {};  // nothing is forgotten
  const Address candidate = last(port, domain);
  const Bound* other = latest([&](const Bound& bound) {
    return bound.port == port && bound.domain == domain && bound.inside != candidate;
  });
  return other ? Address{} : candidate;
}

Address BoundInside::last(std::uint16_t port, int domain) const {
  const Bound* found =
      latest([&](const Bound& bound) { return bound.port == port && bound.domain == domain; });
  return found ? found->inside : Address{};
}

}  // namespace sockswitch
