// sockswitch-netns: opens sockets in a container's network namespace and passes them back.
//
// A process with several threads cannot enter a user namespace, and the daemon has many; so it
// starts this program, which enters the two namespaces it is given, opens what is asked for and
// ends. Started by kernel/netns.cc only; netns_protocol.h has the arguments and the answer.
#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>
#include <vector>

#include "kernel/errno_error.h"
#include "kernel/netlink.h"
#include "kernel/unix_socket.h"
#include "programs/netns_protocol.h"

namespace sockswitch {
namespace {

UniqueFd open_socket(int domain, int type, int protocol) {
  UniqueFd fd(::socket(domain, type | SOCK_CLOEXEC, protocol));
  if (!fd) throw_errno("socket");
  return fd;
}

int number(const char* text) {
  int value = 0;
  auto [end, error] = std::from_chars(text, text + std::strlen(text), value);
  if (error != std::errc{} || *end != '\0') throw ErrnoError(EINVAL, "arguments", text);
  return value;
}

std::vector<UniqueFd> open_wanted(int count, char** arguments) {
  std::vector<UniqueFd> wanted;
  std::string_view verb = count > 1 ? arguments[1] : "";
  if (verb == "view") {
    wanted.push_back(open_route_socket());
    wanted.push_back(open_route_monitor());
    wanted.push_back(open_socket(AF_INET, SOCK_STREAM, 0));
    UniqueFd v6(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (v6) wanted.push_back(std::move(v6));
  } else if (verb == "socket" && count == 5) {
    wanted.push_back(open_socket(number(arguments[2]), number(arguments[3]), number(arguments[4])));
  } else {
    throw ErrnoError(EINVAL, "arguments");
  }
  return wanted;
}

// EINVAL says that the process is in that user namespace already: a daemon run by root.
void enter(int namespace_fd, int type) {
  if (::setns(namespace_fd, type) != 0 && !(type == CLONE_NEWUSER && errno == EINVAL)) {
    throw_errno("setns");
  }
}

void answer(std::span<const UniqueFd> wanted, int error) {
  std::vector<int> fds;
  for (const UniqueFd& fd : wanted) fds.push_back(fd.get());
  char done = 1;
  struct iovec part{};
  if (error == 0) {
    part = {&done, sizeof done};
  } else {
    part = {&error, sizeof error};
  }
  send_message(kNetnsReplyFd, std::span(&part, 1), fds);
}

}  // namespace
}  // namespace sockswitch

int main(int count, char** arguments) {
  using namespace sockswitch;
  try {
    enter(kNetnsUserFd, CLONE_NEWUSER);
    enter(kNetnsNetFd, CLONE_NEWNET);
    answer(open_wanted(count, arguments), 0);
    return 0;
  } catch (const ErrnoError& error) {
    try {
      answer({}, error.error());
    } catch (const ErrnoError&) {
      return 1;  // nobody is there to be told
    }
    return 1;
  }
}
