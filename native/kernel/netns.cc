#include "kernel/netns.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <cerrno>

#include "base/errno_error.h"
#include "kernel/helper.h"
#include "kernel/linux_abi.h"
#include "protocol/netns_protocol.h"

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

UniqueFd Netns::open_socket(const std::string& helper, int domain, int type, int protocol,
                            const std::string& label) const {
  Message made = run(helper, {"socket", std::to_string(domain), std::to_string(type),
                              std::to_string(protocol), label});
  if (made.fds.size() != 1) throw ErrnoError(EPROTO, "sockswitch-netns");
  return std::move(made.fds.front());
}

std::unique_ptr<SocketSource> Netns::start_source(const std::string& helper) const {
  return std::make_unique<SocketSource>(helper, copied([](int fd) {
                                          UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
                                          if (!copy) throw_errno("fcntl", "F_DUPFD_CLOEXEC");
                                          return copy;
                                        }));
}

UniqueFd SocketSource::open(int domain, int type, int protocol) {
  SocketRequest request{domain, type, protocol};
  struct iovec question{&request, sizeof request};
  Message answer = ask(std::span(&question, 1));
  if (int error = helper_error(answer)) throw ErrnoError(error, "sockswitch-netns", "socket");
  if (answer.fds.size() != 1) throw ErrnoError(EPROTO, "sockswitch-netns", "socket");
  return std::move(answer.fds.front());
}

// Asks once more where the helper turns out to have died.
Message SocketSource::ask(std::span<const struct iovec> question) {
  for (;;) {
    const bool fresh = !process_;
    if (fresh) start();
    try {
      Message answer = process_->ask(question);
      if (!answer.end) return answer;
      process_.reset();
      if (fresh) throw ErrnoError(EPIPE, "sockswitch-netns", "it ended");
    } catch (const ErrnoError& error) {
      process_.reset();
      const bool died = error.error() == EPIPE && !fresh;
      if (!died) {
        next_start_ = Clock::now() + kPause;
        throw;
      }
    }
  }
}

void SocketSource::start() {
  const Clock::time_point now = Clock::now();
  if (now < next_start_) throw ErrnoError(EAGAIN, "sockswitch-netns", "not started again yet");
  next_start_ = now + kPause;
  const int namespaces[] = {netns_.user_.get(), netns_.net_.get()};
  process_ = std::make_unique<HelperProcess>(helper_, namespaces, std::vector<std::string>{"serve"},
                                             patience_);
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
