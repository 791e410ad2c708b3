#include "publish/pins.h"

#include <fcntl.h>
#include <net/if.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include "base/errno_error.h"
#include "kernel/endpoint.h"
#include "kernel/process_files.h"
#include "kernel/sock_diag.h"
#include "kernel/syscalls.h"
#include "publish/reservation.h"

namespace sockswitch {
namespace {

// A container has at most a few thousand processes and each some descriptors, of which one takes a
// microsecond.
constexpr int kMostDescriptors = 4096;  // of a process
constexpr int kMostDescriptorsOfContainer = 1 << 16;
constexpr int kAttempts = 5;  // a second apart

std::optional<NetnsIdentity> identity_of(int process) {
  struct stat status{};
  if (::fstatat(process, "ns/net", &status, 0) != 0) return {};
  return NetnsIdentity{status.st_dev, status.st_ino};
}

UniqueFd open_process(pid_t pid) {
  const std::string path = "/proc/" + std::to_string(pid);
  return UniqueFd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
}

using Processes = std::map<NetnsIdentity, std::vector<pid_t>>;

// Those of the wanted namespaces.
Processes find_processes(const std::set<NetnsIdentity>& wanted) {
  Processes found;
  const DirectoryStream proc = open_directory(AT_FDCWD, "/proc");
  if (!proc) return found;
  int left = kMostProcesses;
  while (const dirent* entry = ::readdir(proc.get())) {
    const auto pid = number_of(entry->d_name);
    if (!pid) continue;
    if (--left < 0) break;
    const UniqueFd process = open_process(*pid);
    const auto netns = process ? identity_of(process.get()) : std::nullopt;
    if (netns && wanted.contains(*netns)) found[*netns].push_back(*pid);
  }
  return found;
}

// The socket of that inode at a number of a process; none if something else is there by now. To
// close that can take for ever, like everything about files of a FUSE server, so nobody waits.
UniqueFd fetch_socket(int pidfd, int number, std::uint64_t inode) {
  UniqueFd fetched(pidfd_getfd(pidfd, number));
  if (!fetched) return {};
  const std::string own = "/proc/self/fd/" + std::to_string(fetched.get());
  if (socket_inode(AT_FDCWD, own.c_str()) == inode) return fetched;
  std::thread([other = std::move(fetched)] {}).detach();
  return {};
}

bool is_ours(const Mapping& mapping, const PortHolder& holder) {
  if (holder.device == 0) return false;  // the reservation, or somebody else's
  return mapping.host ? holder.address == *mapping.host : is_unspecified(holder.address);
}

std::string name_of(int device) {
  char name[IF_NAMESIZE] = "";
  if (::if_indextoname(static_cast<unsigned>(device), name)) return name;
  return "interface " + std::to_string(device);
}

}  // namespace

Pins::Pins(ControlThread& control, HostNetwork& network, RepinPaths paths, Calls calls)
    : control_(control), network_(network), calls_(std::move(calls)), repinner_(std::move(paths)) {
  network_.on_change([this] {
    attempts_ = kAttempts;
    check();
  });
}

void Pins::stop() {
  {
    std::lock_guard lock(mutex_);
    if (std::exchange(stopped_, true)) return;
    watched_.clear();
  }
  network_.on_change({});
  control_.run([] {});  // what is posted has been done
}

void Pins::watch(const std::shared_ptr<Publication>& publication, const NetnsIdentity& netns) {
  {
    std::lock_guard lock(mutex_);
    if (stopped_) return;
    watched_.insert_or_assign(publication->id, Watched{publication, netns});
  }
  attempts_ = kAttempts;  // at the next tick: a container may listen as often as it likes
}

void Pins::forget(std::uint64_t publication) {
  std::lock_guard lock(mutex_);
  watched_.erase(publication);
}

void Pins::tick() {
  if (attempts_ > 0) check();
}

void Pins::check() {
  std::lock_guard lock(mutex_);
  if (stopped_ || watched_.empty() || due_.exchange(true)) return;
  control_.post([this] {
    due_ = false;  // before anything is read: a change meanwhile is another one
    adjust();
  });
}

void Pins::adjust() {
  --attempts_;
  try {
    auto misplaced = find_misplaced();
    if (misplaced.empty()) {
      attempts_ = 0;
      return;
    }
    if (const int error = repinner_.obstacle()) {
      if (error == EPERM || error == ENOENT) attempts_ = 0;
      return keep(misplaced.begin()->second.begin()->second, std::strerror(error));
    }
    std::set<NetnsIdentity> namespaces;
    for (const auto& [netns, sockets] : misplaced) namespaces.insert(netns);
    const Processes processes = find_processes(namespaces);
    for (auto& [netns, sockets] : misplaced) {
      const auto found = processes.find(netns);
      if (found != processes.end()) move(sockets, found->second);
      if (sockets.empty()) continue;
      keep(sockets.begin()->second, "no process was found that has its socket");
    }
  } catch (const ErrnoError& error) {
    tell(error.what(), error.what());
  }
  repinner_.rest();
}

std::map<NetnsIdentity, Pins::Sockets> Pins::find_misplaced() const {
  std::map<NetnsIdentity, Sockets> found;
  const auto all = [&] {
    std::lock_guard lock(mutex_);
    return watched_;
  }();
  if (all.empty()) return found;
  const auto defaults = own_default_routes();
  for (const auto& [id, watched] : all) {
    const Mapping& mapping = watched.publication->mapping;
    for (const PortHolder& holder : find_port_holders(IPPROTO_TCP, mapping.host_port)) {
      if (!is_ours(mapping, holder)) continue;
      const bool anywhere = watched.publication->anywhere.contains(holder.inode);
      const auto to =
          better_device(holder.device, mapping, holder.domain, holder.v6_only, anywhere, defaults);
      if (to) found[watched.netns].emplace(holder.inode, Misplaced{id, mapping.host_port, *to});
    }
  }
  return found;
}

// Takes out of `wanted` what it has moved, or could not.
void Pins::move(Sockets& wanted, const std::vector<pid_t>& processes) {
  int left = kMostDescriptorsOfContainer;
  for (const pid_t pid : processes) {
    const UniqueFd pidfd(pidfd_open(pid, 0));
    const UniqueFd process = open_process(pid);
    if (!pidfd || !process) continue;
    const DirectoryStream descriptors = open_directory(process.get(), "fd");
    if (!descriptors) continue;
    int left_of_process = kMostDescriptors;
    while (const dirent* entry = ::readdir(descriptors.get())) {
      const auto number = number_of(entry->d_name);
      if (!number) continue;
      if (--left_of_process < 0) break;
      if (--left < 0) return;
      const auto inode = socket_inode(::dirfd(descriptors.get()), entry->d_name);
      const auto found = wanted.find(inode);
      if (inode == 0 || found == wanted.end()) continue;
      const UniqueFd socket = fetch_socket(pidfd.get(), *number, inode);
      if (!socket) continue;
      if (move_one(socket.get(), found->second)) calls_.moved(found->second.publication);
      wanted.erase(found);
      if (wanted.empty()) return;
    }
  }
}

bool Pins::move_one(int socket, const Misplaced& to) {
  const auto own = own_endpoint(socket);
  if (!own || own->second != to.port) return false;  // it is another one by now
  if (to.to.makeshift && int_option(socket, SOL_SOCKET, SO_LOCK_FILTER) != 1) {
    keep(to, "its socket is not guarded");
    return false;
  }
  if (const int error = repinner_.pin(socket, to.to.device)) {
    keep(to, std::strerror(error));
    return false;
  }
  told_.clear();
  return true;
}

void Pins::keep(const Misplaced& what, const std::string& why) {
  tell(why, "port " + std::to_string(what.port) + " should be on " + name_of(what.to.device) +
                ": " + why);
}

void Pins::tell(const std::string& why, const std::string& detail) {
  if (std::exchange(told_, why) != why) calls_.kept(detail);
}

}  // namespace sockswitch
