// The pods of one node container: network namespaces that it made beside its own, whose connections
// may be switched (annotation sockswitch/pods=egress).
//
// A pod's view (path/pod_view.h) is made when it is first needed. It holds the pod's namespace
// open, so it is dropped some seconds after its last use: the namespace of a pod that has ended,
// with the devices in it, stays no longer than that. Making one starts a helper, so the views that
// one container causes take a tenth of the time at most; a pod that is not looked at yet keeps its
// own network.
//
// Threads: any may ask. To be made and dropped where the process's common descriptor table is
// (make_pods() sees to it).
#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/unique_fd.h"
#include "kernel/control_thread.h"
#include "kernel/watcher.h"
#include "path/network_view.h"
#include "path/pod_view.h"
#include "switch/socket_options.h"

namespace sockswitch {

struct Pod {
  std::shared_ptr<PodView> view;
  OptionBaselines fresh;
};

class Pods {
 public:
  Pods(std::string helper, Watcher& watcher, ControlThread& control,
       std::shared_ptr<NetworkView> node);
  ~Pods();
  Pods(const Pods&) = delete;
  Pods& operator=(const Pods&) = delete;

  // The pod that thread `tid` is in, if its namespace has this cookie; null, and why, where it
  // cannot be looked at (now).
  std::shared_ptr<const Pod> of(std::uint64_t cookie, pid_t tid, std::string& why);
  // Where a connection from the namespace of process `pid` leads, in words. Throws ErrnoError.
  RouteDecision explain(pid_t pid, const Destination& to, const std::optional<Ipv4Block>& listed,
                        const Permissions& permissions, std::string& detail);

 private:
  using Clock = std::chrono::steady_clock;
  struct Known {
    std::shared_ptr<const Pod> pod;
    Clock::time_point used;
  };
  std::shared_ptr<PodView> make_view(pid_t tid);
  std::shared_ptr<const Pod> look(pid_t tid);
  void tick();
  void drop_unused();

  std::string helper_;
  Watcher& watcher_;
  ControlThread& control_;
  std::shared_ptr<NetworkView> node_;
  UniqueFd timer_;  // runs while there are any
  std::uint64_t watch_ = 0;
  std::mutex mutex_;
  std::map<std::uint64_t, Known> known_;  // by cookie
  Clock::time_point next_look_;
};

// On the control thread. Throws ErrnoError.
std::shared_ptr<Pods> make_pods(const std::string& helper, Watcher& watcher, ControlThread& control,
                                std::shared_ptr<NetworkView> node);

}  // namespace sockswitch
