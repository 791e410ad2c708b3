// Sockets in another network namespace, by way of the helper program sockswitch-netns.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "kernel/helper.h"

namespace sockswitch {

struct NetnsIdentity {
  dev_t device = 0;
  ino_t inode = 0;
  auto operator<=>(const NetnsIdentity&) const = default;
};

class SocketSource;

// A network namespace that is held open.
class Netns {
 public:
  // The network namespace of a process or thread. Throws ErrnoError.
  static Netns of_process(pid_t pid);

  // The one that `net` is open on, which becomes this object's. Throws ErrnoError.
  static Netns of_descriptor(UniqueFd net);

  NetnsIdentity identity() const { return identity_; }
  int fd() const { return net_.get(); }
  // The same, held by descriptors that `duplicate` makes of ours, perhaps in another thread's
  // table.
  Netns copied(const std::function<UniqueFd(int)>& duplicate) const {
    return {duplicate(net_.get()), duplicate(user_.get()), identity_};
  }
  // Runs the helper in this namespace for its verb "view" (protocol/netns_protocol.h). Throws
  // ErrnoError.
  Message open_view(const std::string& helper) const;
  // `label`: the SELinux context it gets where that is possible (kernel/socket_label.h). Throws
  // ErrnoError.
  UniqueFd open_socket(const std::string& helper, int domain, int type, int protocol,
                       const std::string& label = {}) const;
  // A maker of sockets that stays there. Throws ErrnoError.
  std::unique_ptr<SocketSource> start_source(const std::string& helper) const;

 private:
  Netns(UniqueFd net, UniqueFd user, NetnsIdentity identity)
      : net_(std::move(net)), user_(std::move(user)), identity_(identity) {}
  Message run(const std::string& helper, const std::vector<std::string>& arguments) const;
  friend class SocketSource;

  UniqueFd net_;
  UniqueFd user_;
  NetnsIdentity identity_;
};

// Makes one socket after the other in a network namespace, in some 50 us each, by a helper that is
// started with the first one.
//
// A helper that has died is started again at once, but no two starts are less than kPause apart.
// One that does not answer in time is ended, since its answer might be taken for a later one's.
class SocketSource {
 public:
  SocketSource(std::string helper, Netns netns,
               std::chrono::milliseconds patience = kHelperPatience)
      : helper_(std::move(helper)), netns_(std::move(netns)), patience_(patience) {}
  // Throws ErrnoError; EAGAIN where the helper does not answer, or is not started again yet.
  UniqueFd open(int domain, int type, int protocol);

  static constexpr std::chrono::milliseconds kPause{1000};

 private:
  using Clock = std::chrono::steady_clock;
  Message ask(std::span<const struct iovec> question);
  void start();

  std::string helper_;
  Netns netns_;
  std::chrono::milliseconds patience_;
  std::unique_ptr<HelperProcess> process_;
  Clock::time_point next_start_;  // no start before
};

}  // namespace sockswitch
