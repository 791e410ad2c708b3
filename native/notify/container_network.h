// A container's network as its listeners see it, and how it is found.
#pragma once

#include <sys/types.h>

#include <initializer_list>
#include <memory>
#include <mutex>
#include <optional>

#include "kernel/netns.h"
#include "notify/nested_networks.h"
#include "notify/option_mark.h"
#include "path/network_view.h"
#include "switch/socket_options.h"

namespace sockswitch {

class Pods;

// A container's first network namespace, shared by its listeners.
struct ContainerNetwork {
  std::shared_ptr<NetworkView> view;
  OptionBaselines fresh;
  SharedMark mark;
  std::shared_ptr<Pods> pods;
};

// What the listeners of one container share; made by the first of them that needs it.
class ContainerState {
 public:
  // The container's network, looked up at the first call, on the control thread. It stays as long
  // as this object does. `wanted`: its identity, where that is known; then one of `pids` has to be
  // in it, or a fallback program has to have its tap there. Otherwise it is the first one's of
  // `pids` (0: nobody). Throws ErrnoError.
  const ContainerNetwork& network(NetworkViews& views, OptionMarks& marks,
                                  const std::optional<NetnsIdentity>& wanted,
                                  std::initializer_list<pid_t> pids);
  // What the first call found; null before.
  const ContainerNetwork* network() const;

  NestedNetworks& nested() { return nested_; }
  const NestedNetworks& nested() const { return nested_; }

 private:
  NestedNetworks nested_;
  mutable std::mutex mutex_;
  std::optional<ContainerNetwork> network_;
};

OptionBaselines read_baselines(int fresh_v4, int fresh_v6);

}  // namespace sockswitch
