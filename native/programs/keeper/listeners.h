// The listeners that are held, each with its record (kernel/listener_record.h), in order of
// arrival.
//
// A listener whose record cannot be made now (no memory, no descriptor) is never given up: the
// calls of its container would fail. It waits without one, and its calls with it, and the record is
// tried again every kRetryTime.
//
// A held listener ends with EPOLLHUP (no process has the filter any more) or with the daemon's word
// (release()). Its notifications do not wake the keeper, because epoll is asked for no event but
// that. Where systemd runs the keeper, all of them are in the unit's descriptor store, too, under
// the listener's number.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "programs/keeper/descriptor_store.h"
#include "programs/keeper/poller.h"
#include "programs/keeper/refusals.h"

namespace sockswitch::keeper {

inline constexpr const char* kListenerSocketName = "listener.sock";

struct Held {
  UniqueFd listener;
  UniqueFd record;
};

bool is_seccomp_listener(int fd);

class Listeners {
 public:
  using Clock = std::chrono::steady_clock;

  Listeners(Poller& poller, const DescriptorStore& store, Refusals& refusals);

  // A new one, under a number of its own, at once or as soon as its record can be made.
  void hold_new(UniqueFd listener, std::string state);
  // One of another keeper; false if it cannot be one. Throws ErrnoError.
  bool hold_old(std::uint64_t id, UniqueFd listener, UniqueFd record);
  // From systemd's store: a listener and a record under each id. What does not go with anything, as
  // the record of a container that has ended meanwhile, is closed and forgotten. Throws ErrnoError.
  void take_back(std::vector<DescriptorStore::Entry> stored);
  void release(std::uint64_t id);
  // Tries again what waits for its record.
  void tick();
  std::optional<Clock::time_point> next_tick() const { return retry_at_; }

  const std::map<std::uint64_t, Held>& held() const { return held_; }
  // How many wait for their record.
  std::size_t waiting() const { return waiting_.size(); }
  // Those that are held, and those that are to be.
  std::size_t descriptors() const { return 2 * (held_.size() + waiting_.size()); }

 private:
  struct Waiting {
    UniqueFd listener;
    std::string state;
  };
  bool hold_waiting(Waiting& waiting);
  void hold(std::uint64_t id, UniqueFd& listener, UniqueFd record);

  Poller& poller_;
  const DescriptorStore& store_;
  Refusals& refusals_;
  std::map<std::uint64_t, Held> held_;
  std::deque<Waiting> waiting_;
  std::optional<Clock::time_point> retry_at_;  // while something waits
  std::uint64_t next_id_;
};

}  // namespace sockswitch::keeper
