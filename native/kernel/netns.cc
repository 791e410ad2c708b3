#include "kernel/netns.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <cerrno>

#include "kernel/errno_error.h"
#include "kernel/helper.h"
#include "kernel/linux_abi.h"
#include "programs/netns_protocol.h"

namespace sockswitch {

Netns Netns::of_process(pid_t pid) {
  std::string path = "/proc/" + std::to_string(pid) + "/ns/net";
  UniqueFd net(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!net) throw_errno("open", path);
  struct stat status{};
  if (::fstat(net.get(), &status) != 0) throw_errno("fstat", path);
  UniqueFd user(::ioctl(net.get(), abi::kNsGetUserns));
  if (!user) throw_errno("ioctl", "NS_GET_USERNS " + path);
  return Netns(std::move(net), std::move(user), {status.st_dev, status.st_ino});
}

std::vector<UniqueFd> Netns::open_view(const std::string& helper) const {
  auto fds = run(helper, {"view"});
  if (fds.size() < 3) throw ErrnoError(EPROTO, "sockswitch-netns");
  return fds;
}

UniqueFd Netns::open_socket(const std::string& helper, int domain, int type, int protocol) const {
  auto fds = run(
      helper, {"socket", std::to_string(domain), std::to_string(type), std::to_string(protocol)});
  if (fds.size() != 1) throw ErrnoError(EPROTO, "sockswitch-netns");
  return std::move(fds.front());
}

std::unique_ptr<SocketSource> Netns::start_source(const std::string& helper) const {
  const int namespaces[] = {user_.get(), net_.get()};
  return std::make_unique<SocketSource>(helper, namespaces);
}

UniqueFd SocketSource::open(int domain, int type, int protocol) const {
  SocketRequest request{domain, type, protocol};
  struct iovec question{&request, sizeof request};
  Message answer = process_.ask(std::span(&question, 1));
  if (int error = helper_error(answer)) throw ErrnoError(error, "sockswitch-netns", "socket");
  if (answer.fds.size() != 1) throw ErrnoError(EPROTO, "sockswitch-netns", "socket");
  return std::move(answer.fds.front());
}

std::vector<UniqueFd> Netns::run(const std::string& helper,
                                 const std::vector<std::string>& arguments) const {
  const int namespaces[] = {user_.get(), net_.get()};
  Message answer = run_helper(helper, namespaces, arguments);
  if (int error = helper_error(answer)) {
    throw ErrnoError(error, "sockswitch-netns", arguments.front());
  }
  return std::move(answer.fds);
}

}  // namespace sockswitch
