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
  return of_descriptor(std::move(net));
}

Netns Netns::of_descriptor(UniqueFd net) {
  struct stat status{};
  if (::fstat(net.get(), &status) != 0) throw_errno("fstat", "a network namespace");
  UniqueFd user(::ioctl(net.get(), abi::kNsGetUserns));
  if (!user) throw_errno("ioctl", "NS_GET_USERNS");
  return Netns(std::move(net), std::move(user), {status.st_dev, status.st_ino});
}

Message Netns::open_view(const std::string& helper) const {
  Message view = run(helper, {"view"});
  if (view.fds.size() < 3) throw ErrnoError(EPROTO, "sockswitch-netns", "view");
  return view;
}

UniqueFd Netns::open_socket(const std::string& helper, int domain, int type, int protocol) const {
  Message made = run(
      helper, {"socket", std::to_string(domain), std::to_string(type), std::to_string(protocol)});
  if (made.fds.size() != 1) throw ErrnoError(EPROTO, "sockswitch-netns");
  return std::move(made.fds.front());
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

Message Netns::run(const std::string& helper, const std::vector<std::string>& arguments) const {
  const int namespaces[] = {user_.get(), net_.get()};
  Message answer = run_helper(helper, namespaces, arguments);
  if (int error = helper_error(answer)) {
    throw ErrnoError(error, "sockswitch-netns", arguments.front());
  }
  return answer;
}

}  // namespace sockswitch
