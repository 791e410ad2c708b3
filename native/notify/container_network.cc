#include "notify/container_network.h"

#include <netinet/in.h>

#include <cerrno>
#include <utility>

#include "base/errno_error.h"
#include "notify/pods.h"

namespace sockswitch {
namespace {

// A process may have moved since its container was made, so where the identity is known only a
// namespace that has it will do.
Netns find_netns(NetworkViews& views, const std::optional<NetnsIdentity>& wanted,
                 std::initializer_list<pid_t> pids) {
  for (pid_t pid : pids) {
    if (pid == 0) continue;
    try {
      Netns found = Netns::of_process(pid);
      if (!wanted || found.identity() == *wanted) return found;
    } catch (const ErrnoError&) {
      continue;  // it has ended: there may be another one
    }
  }
  if (wanted) {
    if (auto found = views.held(*wanted)) return std::move(*found);
  }
  throw ErrnoError(ESRCH, "open", "the container's network namespace");
}

}  // namespace

OptionBaselines read_baselines(int fresh_v4, int fresh_v6) {
  OptionBaselines baselines;
  if (fresh_v4 >= 0) baselines.v4.emplace(fresh_v4, AF_INET);
  if (fresh_v6 >= 0) baselines.v6.emplace(fresh_v6, AF_INET6);
  return baselines;
}

const ContainerNetwork& ContainerState::network(NetworkViews& views, OptionMarks& marks,
                                                const std::optional<NetnsIdentity>& wanted,
                                                std::initializer_list<pid_t> pids) {
  std::lock_guard lock(mutex_);
  if (!network_) {
    auto view = views.of(find_netns(views, wanted, pids));
    auto fresh = read_baselines(view->fresh_socket(AF_INET), view->fresh_socket(AF_INET6));
    auto pods = make_pods(views.helper(), views.watcher(), views.control(), view);
    network_.emplace(
        ContainerNetwork{view, std::move(fresh), marks.of(view->cookie()), std::move(pods)});
  }
  return *network_;
}

const ContainerNetwork* ContainerState::network() const {
  std::lock_guard lock(mutex_);
  return network_ ? &*network_ : nullptr;
}

}  // namespace sockswitch
