#include "switch/socket_pool.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "kernel/linux_abi.h"
#include "switch/tcp_socket.h"

namespace sockswitch {
namespace {

// Filled up when so many are left, or less.
constexpr std::size_t kFew = 4;
constexpr std::size_t kFull = 8;
// A host has one or two ways out, and two domains.
constexpr std::size_t kMaxShelves = 4;

MadeSocket failed(Outcome outcome, std::string detail) {
  return {.outcome = outcome, .detail = std::move(detail)};
}

MadeSocket failed(const char* syscall) {
  return failed(Outcome::kHostError, std::string(syscall) + ": " + ::strerror(errno));
}

}  // namespace

MadeSocket SocketPool::make(const ClientUse& use, const OptionBaselines& container) {
  const auto [domain, device, family, port, of_pod, network] = use;
  if (device <= 0) return failed(Outcome::kInternal, "no device to pin a socket to");
  UniqueFd fd(::socket(domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
  if (!fd) return failed("socket");
  // A neighbour's is pinned when it is connected (Shortcut::connect).
  if (port == 0 &&
      ::setsockopt(fd.get(), SOL_SOCKET, abi::kSoBindToIfindex, &device, sizeof device) != 0) {
    return failed("setsockopt SO_BINDTOIFINDEX");
  }
  int error = network     ? guard_.guard_pods_client(fd.get(), device, *network)
              : of_pod    ? guard_.guard_pods_client(fd.get(), device, family != GuardFamily::kV6)
              : port == 0 ? guard_.guard_client(fd.get(), device, family)
                          : guard_.guard_neighbours_client(fd.get(), device, family, port);
  if (error == EPROTONOSUPPORT || (of_pod && family == GuardFamily::kV6 && error == EINVAL)) {
    return failed(
        Outcome::kUnguarded,
        "sockswitch-guard is of an older version, which knows no networks and no IPv6 of pods: "
        "put this version's in its place, with its capability (setcap cap_bpf=ep), and "
        "restart the daemon");
  }
  if (error != 0) {
    return failed(guard_.missing() ? Outcome::kUnguarded : Outcome::kHostError,
                  std::string("the guard of a socket: ") + ::strerror(error));
  }
  const OptionBaseline* inside = container.of(domain);
  const OptionBaseline* outside = host_.of(domain);
  if (inside && outside) apply_namespace_defaults(fd.get(), *inside, *outside);
  const std::uint64_t cookie = socket_cookie(fd.get());
  return {.fd = std::move(fd), .cookie = cookie, .detail = {}};
}

SocketPool::Shelf& SocketPool::shelf(const ClientUse& use) {
  // Read before sockets are made: a change meanwhile makes them one generation too old.
  const std::uint64_t generation = network_.generation();
  if (generation != generation_) {
    shelves_.clear();
    generation_ = generation;
  }
  auto found = std::ranges::find(shelves_, use, &Shelf::use);
  if (found != shelves_.end()) return *found;
  if (shelves_.size() >= kMaxShelves) shelves_.erase(shelves_.begin());
  shelves_.push_back({use, {}});
  return shelves_.back();
}

MadeSocket SocketPool::take(const ClientUse& use, const OptionBaselines& container) {
  if (use.neighbours_port != 0 || use.of_pod) return make(use, container);
  Shelf& from = shelf(use);
  if (from.ready.size() <= kFew) wants_more_ = true;
  if (from.ready.empty()) return make(use, container);
  MadeSocket made = std::move(from.ready.back());
  from.ready.pop_back();
  return made;
}

void SocketPool::refill(const OptionBaselines& container) {
  wants_more_ = false;
  if (network_.generation() != generation_) return;
  for (Shelf& one : shelves_) {
    while (one.ready.size() < kFull) {
      MadeSocket made = make(one.use, container);
      if (!made.fd) break;  // whoever needs one is told why
      one.ready.push_back(std::move(made));
    }
  }
}

}  // namespace sockswitch
