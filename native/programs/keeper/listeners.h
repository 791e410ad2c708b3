// The listeners that are held, each with its record (kernel/listener_record.h), in order of
// arrival.
//
// A held listener ends with EPOLLHUP (no process has the filter any more) or with the daemon's word
// (release()). Its notifications do not wake the keeper, because epoll is asked for no event but
// that. Where systemd runs the keeper, all of them are in the unit's descriptor store, too, under
// the listener's number.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "kernel/unique_fd.h"
#include "programs/keeper/descriptor_store.h"
#include "programs/keeper/poller.h"

namespace sockswitch::keeper {

inline constexpr const char* kListenerSocketName = "listener.sock";

struct Held {
  UniqueFd listener;
  UniqueFd record;
};

bool is_seccomp_listener(int fd);

class Listeners {
 public:
  Listeners(Poller& poller, const DescriptorStore& store);

  // A new one, under a number of its own. Throws ErrnoError.
  void hold_new(UniqueFd listener, const std::string& state);
  // One of another keeper; false if it cannot be one. Throws ErrnoError.
  bool hold_old(std::uint64_t id, UniqueFd listener, UniqueFd record);
  // From systemd's store: a listener and a record under each id. What does not go with anything, as
  // the record of a container that has ended meanwhile, is closed and forgotten.
  void take_back(std::vector<DescriptorStore::Entry> stored);
  void release(std::uint64_t id);

  const std::map<std::uint64_t, Held>& held() const { return held_; }

 private:
  void hold(std::uint64_t id, UniqueFd listener, UniqueFd record);

  Poller& poller_;
  const DescriptorStore& store_;
  std::map<std::uint64_t, Held> held_;
  std::uint64_t next_id_;
};

}  // namespace sockswitch::keeper
