// systemd's descriptor store (FileDescriptorStoreMax=, sd_pid_notify_with_fds(3)), by its protocol:
// descriptors that a service hands over come back to it, by name, when it is started again.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace sockswitch {

class DescriptorStore {
 public:
  struct Entry {
    std::string name;
    UniqueFd fd;
  };

  // Reads NOTIFY_SOCKET; without one all of this does nothing.
  DescriptorStore();

  // What was stored before this start (LISTEN_FDS, LISTEN_FDNAMES, if LISTEN_PID is this process).
  static std::vector<Entry> inherited();
  // Names may repeat. Like systemd itself, none of these fails: what cannot be stored is not.
  void add(const std::string& name, std::span<const int> fds) const;
  // All descriptors of that name.
  void remove(const std::string& name) const;
  void ready() const;

 private:
  void tell(const std::string& text, std::span<const int> fds) const;
  std::string path_;
};

}  // namespace sockswitch
