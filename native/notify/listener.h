// One listener: a thread that receives the trapped calls of one container process tree and answers
// them.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "notify/context.h"
#include "notify/live_record.h"

namespace sockswitch {

struct ListenerEvent {
  enum class Type : std::uint8_t {
    kFirstOutcome,
    kClosed,
    kFailed,
    kUnlabelled,  // sockets do not get the container's SELinux context; `detail` says why
    // Of tunnels (tunnel/tunnels.h); `detail` says which.
    kTunnelFound,
    kTunnelUp,
    kTunnelDown,
    kTunnelFailed,
    // Of no listener: a service's socket should be on another device (Pins::Calls::kept).
    kPinKept,
  };
  Type type;
  std::uint64_t listener;
  Outcome outcome;
  std::string detail;
  std::uint16_t port = 0;  // of kTunnelFound
};

class Listener {
 public:
  using Sink = std::function<void(ListenerEvent)>;

  // Starts the thread; `sink` is called on the control thread. `pid`: a process of the container,
  // or 0 to take the first caller. `netns`: the network namespace that Podman gave the container,
  // where its spec told.
  Listener(std::uint64_t number, UniqueFd fd, UniqueFd record, pid_t pid,
           const std::optional<NetnsIdentity>& netns, std::shared_ptr<ContainerState> container,
           std::shared_ptr<const Policy> policy, NetworkViews& views, const Host& host, Sink sink);
  // Ends the thread without answering what is pending, and waits for that: see stop().
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  int notify_fd() const { return notify_.get(); }
  const LiveRecord& record() const { return *record_; }
  // Which of its processes may be restricted by Landlock.
  Restricted restricted() const { return record_.marks().restriction.who(); }
  int record_fd() const { return record_.fd(); }
  const ContainerState& container() const { return *container_; }
  const std::shared_ptr<ContainerState>& shared_container() const { return container_; }
  void set_policy(std::shared_ptr<const Policy> policy);
  std::shared_ptr<const Policy> policy() const;
  // Asks the thread to end, to be called again until it returns true: it has. That can take for
  // ever: a container's files or memory may be a FUSE server's that does not answer, and the thread
  // waits for it in close(2), where no signal helps.
  bool stop();
  // The kernel reports that no process of the tree is left: ends the thread. To be called again
  // until it returns true, since one signal may come just before the thread enters RECV.
  bool hang_up();

 private:
  // What the thread's own descriptor table holds: made and dropped by the thread.
  struct Session {
    NotifyFd notify;
    CallerCache callers;
    Interrupted interrupted;
    InsideAddresses addresses;
    PortPrivilege ports;
    SocketGuard& guard;
    ThreadNames names;
    SocketPool pool;
    OptionMark options;
    EpollReading epoll_reading;
    InFlight epoll_calls;
    InFlight option_calls;
    UniqueFd reports;  // of changes of the container's network, once it has been asked for them
    std::chrono::steady_clock::time_point next_lookup;
    std::string lookup_problem;  // why the last one failed
    bool relay_knows = false;    // the network of the container, for its published ports
    int busy = 0;                // so many calls are not asked whether others wait
  };
  void remember_netns(const std::optional<NetnsIdentity>& netns);
  void run();
  void serve(Session& session);
  void prepare(Session& session);
  void resume(Session& session);
  void wait_for_restart(Session& session);
  void continue_all();
  void handle(Session& session, const abi::SeccompNotif& notification, bool resumed);
  Outcome dispatch(Session& session, Context& context, const abi::SeccompNotif& notification,
                   const CallArguments& arguments);
  void count(Outcome outcome, const std::string& detail);
  const ContainerNetwork* network(Session& session, pid_t caller, std::string& detail);
  void make_ahead(Session& session);
  void introduce_to_relay(Session& session, const std::shared_ptr<NetworkView>& view);
  void report(ListenerEvent::Type type, Outcome outcome, const std::string& detail);
  bool kick();

  std::uint64_t number_;
  RecordMapping record_;
  NotifyFd
      notify_;  // in the common table: keeps the listener open while the thread is being replaced
  pid_t pid_;
  std::shared_ptr<ContainerState> container_;
  NetworkViews& views_;
  const Host& host_;
  Sink sink_;

  mutable std::mutex policy_mutex_;
  std::shared_ptr<const Policy> policy_;

  std::atomic<bool> stopping_{false};
  std::atomic<bool> hung_up_{false};
  std::atomic<bool> done_{false};
  std::thread thread_;
};

}  // namespace sockswitch
