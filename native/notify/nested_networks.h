// The nested network namespaces of a container (a Kubernetes node's pods) whose connects were seen.
//
// They are counted by the cookie that handle_connect() asks for anyway, so a connect that is left
// alone costs no system call more. Namespaces that are gone stay counted: nobody reports their end.
// A container can make namespaces without end, hence the limit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <unordered_set>

namespace sockswitch {

// Shared by the listeners of a container, and read by others at any time.
class NestedNetworks {
 public:
  static constexpr std::size_t kMost = 1'000;

  // `cookie`: SO_NETNS_COOKIE of a socket, neither the container's nor the host's.
  void saw(std::uint64_t cookie) {
    std::lock_guard lock(mutex_);
    if (seen_.size() < kMost) seen_.insert(cookie);
  }
  // kMost: so many or more.
  std::size_t count() const {
    std::lock_guard lock(mutex_);
    return seen_.size();
  }

 private:
  mutable std::mutex mutex_;
  std::unordered_set<std::uint64_t> seen_;
};

}  // namespace sockswitch
