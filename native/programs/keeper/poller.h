// The keeper's epoll set, and what an event in it is about.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "base/unique_fd.h"

namespace sockswitch::keeper {

// epoll reports what an event is about by these 64 bits: a source, and a peer's or listener's
// number.
enum class Source : std::uint64_t {
  kSignals = 1,
  kListenerSocket,
  kDaemonSocket,
  kDaemon,
  kPeer,
  kHeld
};

// When the kernel is short of something that no event announces, it is asked again after this time.
inline constexpr std::chrono::milliseconds kRetryTime{100};

inline constexpr unsigned kSourceShift = 56;

inline std::uint64_t tag(Source source, std::uint64_t id = 0) {
  return (static_cast<std::uint64_t>(source) << kSourceShift) | id;
}
inline Source source_of(std::uint64_t tag) { return static_cast<Source>(tag >> kSourceShift); }
inline std::uint64_t id_of(std::uint64_t tag) {
  return tag & ((std::uint64_t{1} << kSourceShift) - 1);
}

// All throw ErrnoError.
class Poller {
 public:
  Poller();

  void add(int fd, std::uint32_t events, std::uint64_t data) const;
  void modify(int fd, std::uint32_t events, std::uint64_t data) const;
  // Needed before a descriptor is closed whose file lives on in another process.
  void remove(int fd) const;
  // How many events came; 0 also after a signal.
  std::size_t wait(std::array<struct epoll_event, 64>& events, int timeout_ms) const;

 private:
  void control(int operation, int fd, std::uint32_t events, std::uint64_t data) const;

  UniqueFd fd_;
};

}  // namespace sockswitch::keeper
