#include "publish/peer_names.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/errno_error.h"
#include "kernel/helper.h"
#include "kernel/linux_abi.h"

namespace sockswitch {
namespace {

constexpr int kPatienceMs = 1000;
constexpr int kStrangers = 64;

UniqueFd tcp_socket() {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) throw_errno("socket");
  return fd;
}

bool write(const UniqueFd& map, const void* key, const Endpoint& name) {
  const auto& [address, port] = name;
  // What is on a link means nothing without it.
  if (!map || is_unspecified(address) || is_link_local(address)) {
    errno = EADDRNOTAVAIL;
    return false;
  }
  ShownName value{.address = address.bytes, .port = htons(port)};
  union bpf_attr attributes{};
  attributes.map_fd = static_cast<std::uint32_t>(map.get());
  attributes.key = reinterpret_cast<std::uintptr_t>(key);
  attributes.value = reinterpret_cast<std::uintptr_t>(&value);
  return ::syscall(SYS_bpf, BPF_MAP_UPDATE_ELEM, &attributes, sizeof attributes) == 0;
}

}  // namespace

PeerNames::PeerNames(const Paths& paths) {
  const auto ask_program = [&] { return run_helper(paths.program, {}, {}); };
  const auto ask_socket = [&] {
    const UniqueFd channel = unix_connect(paths.socket, SOCK_SEQPACKET);
    limit_patience(channel.get());
    return ask_helper(channel.get(), {});
  };
  const auto attempt = [&](const auto& ask) {
    Problem found;
    try {
      found = take(ask());
      if (found.stage == NamesStage::kDone) found = try_it();
    } catch (const ErrnoError& error) {
      found = {maps_ ? NamesStage::kTried : NamesStage::kAnswer, error.error()};
    }
    if (found.stage != NamesStage::kDone) drop();
    return found;
  };
  problem_ = attempt(ask_program);
  if (available()) return;
  const Problem second = attempt(ask_socket);
  // What the first one says, except where that was not to be had.
  const bool unsaid = problem_.stage == NamesStage::kAnswer && problem_.error != EPERM;
  if (available() || unsaid) problem_ = second;
}

void PeerNames::drop() {
  maps_ = {};
  links_.clear();
}

PeerNames::Problem PeerNames::take(Message answer) {
  NamesAnswer text;
  if (answer.bytes.size() != sizeof text) return {NamesStage::kAnswer, EPROTO};
  std::memcpy(&text, answer.bytes.data(), sizeof text);
  if (text.magic != kNamesMagic || text.version != kNamesVersion) {
    return {NamesStage::kAnswer, EPROTONOSUPPORT};
  }
  if (text.stage != static_cast<std::int32_t>(NamesStage::kDone)) {
    return {static_cast<NamesStage>(text.stage), text.error};
  }
  if (answer.fds.size() != kNamesDescriptors) return {NamesStage::kAnswer, EPROTO};
  maps_ = NameMaps(std::move(answer.fds[0]), std::move(answer.fds[1]));
  for (std::size_t i = 2; i < answer.fds.size(); ++i) links_.push_back(std::move(answer.fds[i]));
  return {};
}

// A listener that is bound to a device, as a service's is, and a client with a name.
PeerNames::Problem PeerNames::try_it() const {
  const UniqueFd listener = tcp_socket();
  const UniqueFd client = tcp_socket();
  const Address loopback = *Address::parse("127.0.0.1");
  const SocketName any_port = SocketName::of(AF_INET, loopback, 0);
  const int device = abi::kLoopbackDevice;
  if (::setsockopt(listener.get(), SOL_SOCKET, abi::kSoBindToIfindex, &device, sizeof device) != 0)
    throw_errno("setsockopt", "SO_BINDTOIFINDEX");
  if (::bind(listener.get(), any_port.get(), any_port.length) != 0) throw_errno("bind");
  if (::listen(listener.get(), kStrangers) != 0) throw_errno("listen");
  const Endpoint name{*Address::parse("192.0.2.1"), 1};  // one for documentation (RFC 5737)
  if (!maps_.show(client.get(), name)) return {NamesStage::kTried, errno};
  const auto at = own_endpoint(listener.get());
  if (!at) throw_errno("getsockname");
  const int error = start_connect(client.get(), SocketName::of(AF_INET, at->first, at->second));
  if (error != 0 && error != EINPROGRESS) throw ErrnoError(error, "connect");
  const auto own = own_endpoint(client.get());
  // Anybody on this machine may connect to it, too.
  for (int i = 0; i < kStrangers; ++i) {
    struct pollfd wait{.fd = listener.get(), .events = POLLIN, .revents = 0};
    ::poll(&wait, 1, kPatienceMs);
    const UniqueFd accepted(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!accepted) throw_errno("accept4");
    const auto shown = peer_endpoint(accepted.get());
    if (shown == name) return {};
    if (shown == own) break;
  }
  return {NamesStage::kTried, ENODATA};
}

bool NameMaps::show(int fd, const Endpoint& name) const { return write(by_socket_, &fd, name); }

bool NameMaps::keep(std::uint64_t cookie, const Endpoint& name) const {
  return write(by_cookie_, &cookie, name);
}

const NameMaps& ThreadNames::maps() {
  if (maps_ || !names_.available()) return maps_;
  const auto bring = [this](const UniqueFd& fd) {
    return control_.bring([&fd] {
      UniqueFd copy(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
      if (!copy) throw_errno("fcntl", "F_DUPFD_CLOEXEC");
      return copy;
    });
  };
  try {
    maps_ = NameMaps(bring(names_.maps().by_socket()), bring(names_.maps().by_cookie()));
  } catch (const ErrnoError&) {  // NOLINT(bugprone-empty-catch): none this time
  }
  return maps_;
}

}  // namespace sockswitch
