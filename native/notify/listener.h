// One listener: a thread that receives the trapped calls of one container process tree and answers them.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "notify/context.h"

namespace sockswitch {

struct ListenerEvent {
  enum class Type : std::uint8_t { kFirstOutcome, kClosed, kFailed };
  Type type;
  std::uint64_t listener;
  Outcome outcome;
  std::string detail;
};

// What the listeners of one container share; made by the first of them that needs it.
class ContainerState {
 public:
  // The container's network, looked up by a process in it at the first call. Throws ErrnoError.
  std::shared_ptr<const ContainerNetwork> network(NetworkViews& views, pid_t pid);
  // What the first call found; empty before.
  std::shared_ptr<const ContainerNetwork> network() const;

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const ContainerNetwork> network_;
};

OptionBaselines read_baselines(int fresh_v4, int fresh_v6);

class Listener {
 public:
  using Sink = std::function<void(ListenerEvent)>;

  // Starts the thread. `pid`: a process of the container, or 0 to take the first caller.
  Listener(std::uint64_t number, UniqueFd fd, pid_t pid, std::shared_ptr<ContainerState> container,
           std::shared_ptr<const Policy> policy, NetworkViews& views, const Host& host, Sink sink);
  // Ends the thread without answering what is pending.
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  int notify_fd() const { return notify_.get(); }
  const OutcomeCounters& counters() const { return counters_; }
  const ContainerState& container() const { return *container_; }
  void set_policy(std::shared_ptr<const Policy> policy);
  std::shared_ptr<const Policy> policy() const;
  // The kernel reports that no process of the tree is left: ends the thread. To be called again until it
  // returns true, since one signal may come just before the thread enters RECV.
  bool hang_up();

 private:
  void run();
  void handle(const abi::SeccompNotif& notification);
  Outcome dispatch(Context& context, const abi::SeccompNotif& notification);
  std::shared_ptr<const ContainerNetwork> network(pid_t caller);
  bool interrupted();

  std::uint64_t number_;
  NotifyFd notify_;
  pid_t pid_;
  std::shared_ptr<ContainerState> container_;
  NetworkViews& views_;
  const Host& host_;
  Sink sink_;
  OutcomeCounters counters_;

  mutable std::mutex policy_mutex_;
  std::shared_ptr<const Policy> policy_;

  CallerCache callers_;
  Interrupted interrupted_;
  std::uint64_t epoll_generation_ = 1;
  int failed_lookups_ = 0;

  std::atomic<bool> stopping_{false};
  std::atomic<bool> hung_up_{false};
  std::atomic<bool> done_{false};
  std::thread thread_;
};

}  // namespace sockswitch
