// The tunnels of all containers: who has some, and their underlays.
//
// Each accelerated container's network namespace is watched for tunnel devices, which costs one
// socket. The control plane hears of the first one (`found`), decides, and opens an underlay or
// does not. Containers that share a namespace share its underlay: the first owner's policy counts
// until it has gone.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "base/unique_fd.h"
#include "kernel/background.h"
#include "kernel/watcher.h"
#include "tunnel/underlay.h"

namespace sockswitch::tunnel {

struct Event {
  enum class Type : std::uint8_t { kFound, kUp, kDown, kFailed } type;
  std::uint64_t owner;
  std::string detail;      // a device and its port; a peer, and why it is down
  std::uint16_t port = 0;  // of kFound
};

class Tunnels {
 public:
  using Sink = std::function<void(Event)>;

  Tunnels(Watcher& watcher, Sink sink) : watcher_(watcher), sink_(std::move(sink)) {}
  // As stop(), however long it takes.
  ~Tunnels();
  Tunnels(const Tunnels&) = delete;
  Tunnels& operator=(const Tunnels&) = delete;

  // Ends all underlays: packets take the fallback networks. Waits until then at most; returns
  // whether all have ended. If not, their threads need this object still. Nothing may be called
  // meanwhile.
  bool stop(std::chrono::steady_clock::time_point until);

  // Begins to look for tunnel devices in a namespace, known by its cookie. `owner`: a number of the
  // caller's. Throws ErrnoError.
  void watch(std::uint64_t owner, std::uint64_t netns, Surroundings surroundings);
  // Carries its tunnels from now on, or as `options` say from now on. Returns at once; what cannot
  // be done is an event. Nothing happens for an owner that is not watched.
  void open(std::uint64_t owner, Options options);
  // Carries them no more.
  void close(std::uint64_t owner);
  // No value where none are carried.
  std::optional<Status> status(std::uint64_t owner) const;
  // The owner has gone.
  void forget(std::uint64_t owner);

 private:
  struct Space;
  std::shared_ptr<Space> of(std::uint64_t owner) const;
  void make(std::uint64_t owner, Space& space);
  void close(Space& space);
  static void sweep(Space& space);
  bool hear(const std::shared_ptr<Space>& space);
  void found(Space& space, const TunnelDevice& device);

  Watcher& watcher_;
  Sink sink_;
  mutable std::mutex mutex_;
  std::map<std::uint64_t, std::shared_ptr<Space>> spaces_;  // by cookie
  std::map<std::uint64_t, std::shared_ptr<Space>> owners_;
  Background work_;  // underlays that open, or end
};

// Removes the rules that a daemon which was killed has left in the network namespace of a process:
// for when no daemon comes any more. `helper`: the program sockswitch-netns. Throws ErrnoError.
void remove_leftovers(pid_t pid, const std::string& helper);

}  // namespace sockswitch::tunnel
