// One published port: which host port stands for which container port.
#pragma once

#include <netinet/in.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>

#include "base/address.h"

namespace sockswitch {

struct Mapping {
  int protocol = IPPROTO_TCP;  // or IPPROTO_UDP
  // No value: all addresses of the host. The unspecified address of a family: all of that family.
  std::optional<Address> host;
  std::uint16_t host_port = 0;
  std::uint16_t container_port = 0;
};

// Sockets by their inodes; the latest of them. Any thread.
class SocketInodes {
 public:
  void add(std::uint64_t inode) {
    std::lock_guard lock(mutex_);
    if (inodes_.size() >= kMost) inodes_.pop_front();
    inodes_.push_back(inode);
  }
  bool contains(std::uint64_t inode) const {
    std::lock_guard lock(mutex_);
    return std::ranges::find(inodes_, inode) != inodes_.end();
  }

 private:
  static constexpr std::size_t kMost = 256;
  mutable std::mutex mutex_;
  std::deque<std::uint64_t> inodes_;
};

struct Publication {
  std::uint64_t id = 0;
  Mapping mapping;
  // Every socket of the service that is bound now had SO_REUSEPORT, as far as is known.
  std::atomic<bool> shared{true};
  // The container's profile does not report listen(2): a socket that is bound is taken for one that
  // listens, and one that does not for one that will.
  std::atomic<bool> listen_unseen{false};
  // Services see what the kernel calls things (annotation sockswitch/names=host).
  std::atomic<bool> host_names{false};
  // The service's sockets of which this daemon knows that their guard is
  // GuardKind::kServiceAnywhere.
  SocketInodes anywhere;
  // Datagrams of clients and of the service that did not arrive, as far as the relay learns of it.
  std::atomic<std::uint64_t> lost{0};
};

}  // namespace sockswitch
