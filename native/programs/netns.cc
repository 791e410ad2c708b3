// sockswitch-netns: does in a container's namespaces what the daemon cannot do from outside.
//
// A process with several threads cannot enter a user namespace, and the daemon has many; so it
// starts this program, which enters the namespaces it is given, does what is asked for and ends.
// Started by kernel/helper.cc only; netns_protocol.h has the arguments and the answer.
//
// `listen` is for AF_UNIX sockets: whoever connects sees the credentials of the process that called
// listen(2) (SO_PEERCRED). So this program takes those of the caller; its child, born in the
// caller's pid namespace so that its pid means something there, makes the call. The container may
// see that child for a moment and may stop or kill it, but not look into it.
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/errno_error.h"
#include "kernel/linux_abi.h"
#include "kernel/netlink.h"
#include "kernel/socket_label.h"
#include "kernel/unix_socket.h"
#include "path/firewall_sockets.h"
#include "protocol/netns_protocol.h"

namespace sockswitch {
namespace {

UniqueFd open_socket(int domain, int type, int protocol) {
  UniqueFd fd(::socket(domain, type | SOCK_CLOEXEC, protocol));
  if (!fd) throw_errno("socket");
  return fd;
}

UniqueFd open_tun_device() {
  UniqueFd fd(::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!fd) throw_errno("open", "/dev/net/tun");
  return fd;
}

int number(const char* text) {
  int value = 0;
  auto [end, error] = std::from_chars(text, text + std::strlen(text), value);
  if (error != std::errc{} || *end != '\0') throw ErrnoError(EINVAL, "arguments", text);
  return value;
}

std::vector<UniqueFd> open_wanted(std::string_view verb, int count, char** arguments) {
  std::vector<UniqueFd> wanted;
  if (verb == "socket" && count == 6) {
    const SocketLabel label(arguments[5]);
    wanted.push_back(open_socket(number(arguments[2]), number(arguments[3]), number(arguments[4])));
  } else if (verb == "port-start") {
    // What is looked up under /proc/sys/net belongs to the namespace of whoever looks it up, for
    // good.
    wanted.emplace_back(
        ::open("/proc/sys/net/ipv4/ip_unprivileged_port_start", O_RDONLY | O_CLOEXEC));
    if (!wanted.back()) throw_errno("open");
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

std::string read_file(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) throw_errno("open", path);
  std::string text;
  char part[4096];
  ssize_t size = 0;
  while ((size = ::read(fd.get(), part, sizeof part)) > 0) {
    text.append(part, static_cast<std::size_t>(size));
  }
  return text;
}

// The numbers of one line of /proc/TID/status, as this process's user namespace shows them.
std::vector<unsigned> status_numbers(std::string_view status, std::string_view key) {
  std::vector<unsigned> numbers;
  auto at = status.find(key);
  if (at == std::string_view::npos) throw ErrnoError(EPROTO, "read", std::string(key));
  const char* from = status.data() + at + key.size();
  const char* end = status.data() + std::min(status.find('\n', at + 1), status.size());
  while (from < end) {
    unsigned value = 0;
    auto [next, error] = std::from_chars(from, end, value);
    if (error == std::errc{}) numbers.push_back(value);
    from = error == std::errc{} ? next : from + 1;
  }
  return numbers;
}

void take_credentials(int tid) {
  std::string status = read_file("/proc/" + std::to_string(tid) + "/status");
  auto uids = status_numbers(status, "\nUid:");
  auto gids = status_numbers(status, "\nGid:");
  auto groups = status_numbers(status, "\nGroups:");
  if (uids.size() < 2 || gids.size() < 2) throw ErrnoError(EPROTO, "read", "status");
  if (::setgroups(groups.size(), groups.data()) != 0) {
    // Groups of the host that the container was let keep read as the overflow group, which nobody
    // can take; readers in the container would see that number, too.
    constexpr unsigned kOverflowGroup = 65534;
    std::erase(groups, kOverflowGroup);
    if (::setgroups(groups.size(), groups.data()) != 0) throw_errno("setgroups");
  }
  unsigned gid = gids[1];
  unsigned uid = uids[1];
  if (::setresgid(gid, gid, gid) != 0) throw_errno("setresgid");
  if (::setresuid(uid, uid, uid) != 0) throw_errno("setresuid");
}

// 0 or the errno of listen(2).
int listen_as(int tid, int backlog) {
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  take_credentials(tid);
  pid_t child = ::fork();
  if (child < 0) throw_errno("fork");
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    ::_exit(::listen(kListenSocketFd, backlog) == 0 ? 0 : errno);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status)) throw ErrnoError(EINTR, "waitpid");
  return WEXITSTATUS(status);
}

// Containers with the host's pid namespace have nothing to enter, and nobody may.
void enter_pid_namespace() {
  struct stat wanted{};
  struct stat own{};
  if (::fstat(kListenPidFd, &wanted) != 0 || ::stat("/proc/self/ns/pid", &own) != 0) {
    throw_errno("stat");
  }
  if (wanted.st_ino != own.st_ino) enter(kListenPidFd, CLONE_NEWPID);
}

// "LOW<tab>HIGH\n" of the sysctl ip_local_port_range as the value of IP_LOCAL_PORT_RANGE (ip(7));
// no value for text of another form.
std::optional<std::uint32_t> port_range(std::string_view text) {
  std::array<std::uint16_t, 2> ends{};
  const char* at = text.data();
  for (std::uint16_t& end : ends) {
    while (at < text.end() && (*at == ' ' || *at == '\t')) ++at;
    const auto [next, error] = std::from_chars(at, text.end(), end);
    if (error != std::errc{}) return {};
    at = next;
  }
  return std::uint32_t{ends[1]} << 16 | ends[0];
}

// A fresh socket shows what sysctls of its namespace are the defaults of options
// (switch/socket_options.h). Of the port range it shows nothing, so it is set here, where the
// kernel has that option (Linux 6.3) and the namespace does not have the kernel's own range.
void show_port_range(std::span<const UniqueFd> fresh) {
  constexpr std::uint32_t kKernelsOwn = 60999U << 16 | 32768;
  const auto range = port_range(read_file("/proc/sys/net/ipv4/ip_local_port_range"));
  if (!range || range == kKernelsOwn) return;
  for (const UniqueFd& fd : fresh) {
    ::setsockopt(fd.get(), IPPROTO_IP, abi::kIpLocalPortRange, &*range, sizeof *range);
  }
}

// All that is needed to follow packets in the namespace; see netns_protocol.h.
void answer_view() {
  std::vector<UniqueFd> own;
  own.push_back(open_route_socket());
  own.push_back(open_packet_monitor());
  own.push_back(open_socket(AF_INET, SOCK_STREAM, 0));
  UniqueFd v6(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  std::string letters = v6 ? "6" : "-";
  if (v6) own.push_back(std::move(v6));
  show_port_range(std::span(own).subspan(2));
  auto monitors = open_firewall_monitors();
  letters += std::to_string(monitors.size());
  FirewallSockets filters = open_firewall_sockets();
  letters += filters.states();
  std::vector<int> fds = filters.fds();
  const auto number = [](const UniqueFd& fd) { return fd.get(); };
  std::ranges::transform(monitors, std::inserter(fds, fds.begin()), number);
  std::ranges::transform(own, std::inserter(fds, fds.begin()), number);
  struct iovec part{letters.data(), letters.size()};
  send_message(kNetnsReplyFd, std::span(&part, 1), fds);
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

void answer_request(const Message& message) {
  SocketRequest request{};
  if (message.bytes.size() != sizeof request) return answer({}, EINVAL);
  std::memcpy(&request, message.bytes.data(), sizeof request);
  try {
    UniqueFd made = request.domain == kTunDevice
                        ? open_tun_device()
                        : open_socket(request.domain, request.type, request.protocol);
    answer(std::span(&made, 1), 0);
  } catch (const ErrnoError& error) {
    answer({}, error.error());
  }
}

// Ends when the other end is closed, also by an error of sending to it.
void serve() {
  for (;;) {
    Message message = receive_message(kNetnsReplyFd, sizeof(SocketRequest));
    if (message.end) return;
    answer_request(message);
  }
}

}  // namespace
}  // namespace sockswitch

int main(int count, char** arguments) {
  using namespace sockswitch;
  std::string_view verb = count > 1 ? arguments[1] : "";
  try {
    enter(kNetnsUserFd, CLONE_NEWUSER);
    if (verb == "listen" && count == 4) {
      enter_pid_namespace();
      answer({}, listen_as(number(arguments[2]), number(arguments[3])));
      return 0;
    }
    enter(kNetnsNetFd, CLONE_NEWNET);
    if (verb == "serve") {
      serve();
      return 0;
    }
    if (verb == "view") {
      answer_view();
      return 0;
    }
    answer(open_wanted(verb, count, arguments), 0);
    return 0;
  } catch (const ErrnoError& error) {
    try {
      answer({}, verb == "listen" ? -error.error() : error.error());
    } catch (const ErrnoError&) {
      return 1;  // nobody is there to be told
    }
    return 1;
  }
}
