#include "tunnel/proof.h"

#include <linux/filter.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/errno_error.h"
#include "base/socket_name.h"
#include "kernel/linux_abi.h"
#include "path/routing.h"

namespace sockswitch::tunnel {
namespace {

constexpr int kDatagramsAtOnce = 64;
constexpr std::chrono::seconds kPortLife{10};  // at least
constexpr std::size_t kUdp = 8;
constexpr std::size_t kIpv4 = 20;
constexpr std::size_t kMaxPacket = 256;  // a proof is far smaller

std::uint16_t get16(const std::uint8_t* from) {
  return static_cast<std::uint16_t>(from[0] << 8 | from[1]);
}

// Keeps what begins as a proof does and came by another interface than `tap`. X has where UDP is.
void attach_filter(int fd, int tap, bool v6) {
  constexpr std::uint32_t kDrop = 0;
  constexpr std::uint32_t kKeep = kMaxPacket;
  constexpr std::uint32_t kWord1 = 0x736f636b;  // "sock"
  constexpr std::uint32_t kWord2 = 0x73776974;  // "swit"
  struct sock_filter v4_start = BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0);
  struct sock_filter v6_start = BPF_STMT(BPF_LDX | BPF_W | BPF_IMM, 0);
  struct sock_filter code[] = {
      v6 ? v6_start : v4_start,
      BPF_STMT(BPF_LD | BPF_W | BPF_IND, 8),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 7),
      BPF_STMT(BPF_LD | BPF_W | BPF_IND, 16),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kWord1, 0, 5),
      BPF_STMT(BPF_LD | BPF_W | BPF_IND, 20),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kWord2, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(SKF_AD_OFF + SKF_AD_IFINDEX)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(tap), 1, 0),
      BPF_STMT(BPF_RET | BPF_K, kKeep),
      BPF_STMT(BPF_RET | BPF_K, kDrop),
  };
  struct sock_fprog program{sizeof code / sizeof code[0], code};
  if (::setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0) {
    throw_errno("setsockopt", "SO_ATTACH_FILTER");
  }
}

// IPv6 may be missing; then there are no IPv6 peers either.
UniqueFd open_if_possible(SocketSource& source, int domain, int type, int protocol) {
  try {
    return source.open(domain, type | SOCK_NONBLOCK, protocol);
  } catch (const ErrnoError& error) {
    if (domain == AF_INET6 && error.error() == EAFNOSUPPORT) return {};
    throw;
  }
}

}  // namespace

Nonce fresh_nonce() {
  Nonce nonce;
  if (::getrandom(nonce.data(), nonce.size(), 0) != static_cast<ssize_t>(nonce.size())) {
    throw_errno("getrandom");
  }
  return nonce;
}

ProbeSender::ProbeSender(SocketSource& source)
    : routes_(source.open(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)),
      v4_(open_if_possible(source, AF_INET, SOCK_DGRAM, IPPROTO_UDP)),
      v6_(open_if_possible(source, AF_INET6, SOCK_DGRAM, IPPROTO_UDP)) {}

// A port that the kernel has chosen is given up by disconnecting (__udp_disconnect(), Linux 6.18).
void ProbeSender::change_ports() {
  const auto now = std::chrono::steady_clock::now();
  if (now - changed_ < kPortLife) return;
  changed_ = now;
  const sockaddr none{.sa_family = AF_UNSPEC, .sa_data = {}};
  for (const UniqueFd* fd : {&v4_, &v6_}) {
    if (!*fd) continue;
    // On an error the port stays as it was.
    [[maybe_unused]] const int done = ::connect(fd->get(), &none, sizeof none);
  }
}

std::string ProbeSender::send(const Remote& to, const Nonce& nonce, bool first) {
  if (first) change_ports();
  const auto route = route_of(routes_, {.destination = to.address});
  if (!route || route->type != RTN_UNICAST || route->device == 0) {
    return "the container has no route to " + to.address.text();
  }
  const int domain = to.address.is_v4() ? AF_INET : AF_INET6;
  const int fd = domain == AF_INET ? v4_.get() : v6_.get();
  if (::setsockopt(fd, SOL_SOCKET, sockswitch::abi::kSoBindToIfindex, &route->device,
                   sizeof route->device) != 0) {
    return std::string("SO_BINDTOIFINDEX: ") + ::strerror(errno);
  }
  const auto datagram = probe_datagram(nonce);
  const SocketName name = SocketName::of(domain, to.address, to.port);
  // An error that an earlier datagram met (ICMP) is reported once.
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (::sendto(fd, datagram.data(), datagram.size(), MSG_DONTWAIT, name.get(), name.length) >= 0)
      return {};
  }
  return std::string("sendto: ") + ::strerror(errno);
}

std::optional<SeenProbe> parse_probe_v6(Bytes packet) {
  if (packet.size() < kUdp) return {};
  const auto nonce = read_probe_datagram(packet.subspan(kUdp));
  if (!nonce) return {};
  SeenProbe seen;
  seen.nonce = *nonce;
  seen.destination_port = get16(&packet[2]);
  return seen;
}

std::optional<SeenProbe> parse_probe_v4(Bytes packet) {
  if (packet.size() < kIpv4) return {};
  constexpr std::size_t kWord = 4;
  const std::size_t header = (packet[0] & 0x0fU) * kWord;
  if (header < kIpv4 || header > packet.size()) return {};
  auto seen = parse_probe_v6(packet.subspan(header));
  if (!seen) return {};
  in_addr address{};
  std::memcpy(&address, &packet[12], sizeof address);
  seen->source = Address::from_v4(address);
  std::memcpy(&address, &packet[16], sizeof address);
  seen->destination = Address::from_v4(address);
  return seen;
}

class ProbeReceiver::Socket : public Reactor::Watched {
 public:
  Socket(Reactor& reactor, UniqueFd fd, int tap, bool v6, Seen seen)
      : reactor_(reactor), fd_(std::move(fd)), v6_(v6), seen_(std::move(seen)) {
    attach_filter(fd_.get(), tap, v6);
    int on = 1;
    if (v6 && ::setsockopt(fd_.get(), IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on) != 0) {
      throw_errno("setsockopt", "IPV6_RECVPKTINFO");
    }
    key_ = reactor_.watch(*this, {fd_.get()}, EPOLLIN);
  }
  ~Socket() override { reactor_.unwatch(key_, {fd_.get()}); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  void ready() override {
    for (int i = 0; i < kDatagramsAtOnce; ++i) {
      std::array<std::uint8_t, kMaxPacket> packet{};
      alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(in6_pktinfo))> control{};
      sockaddr_storage from{};
      iovec part{packet.data(), packet.size()};
      msghdr header{};
      header.msg_name = &from;
      header.msg_namelen = sizeof from;
      header.msg_iov = &part;
      header.msg_iovlen = 1;
      header.msg_control = control.data();
      header.msg_controllen = control.size();
      const ssize_t got = ::recvmsg(fd_.get(), &header, MSG_DONTWAIT);
      if (got < 0) return;
      const Bytes bytes(packet.data(), static_cast<std::size_t>(got));
      auto probe = v6_ ? parse_probe_v6(bytes) : parse_probe_v4(bytes);
      if (!probe) continue;
      if (v6_ && !read_addresses(header, from, *probe)) continue;
      seen_(*probe);
    }
  }

 private:
  static bool read_addresses(msghdr& header, const sockaddr_storage& from, SeenProbe& probe) {
    const auto source = destination_of(from, header.msg_namelen);
    const cmsghdr* item = CMSG_FIRSTHDR(&header);
    if (!source || !item || item->cmsg_level != IPPROTO_IPV6 || item->cmsg_type != IPV6_PKTINFO) {
      return false;
    }
    in6_pktinfo local{};
    std::memcpy(&local, CMSG_DATA(item), sizeof local);
    probe.source = source->address;
    probe.destination = Address::from_v6(local.ipi6_addr);
    return true;
  }

  Reactor& reactor_;
  UniqueFd fd_;
  bool v6_;
  Seen seen_;
  std::uint64_t key_ = 0;
};

ProbeReceiver::ProbeReceiver(Reactor& reactor, SocketSource& source, int tap, Seen seen) {
  v4_ = std::make_unique<Socket>(reactor, open_if_possible(source, AF_INET, SOCK_RAW, IPPROTO_UDP),
                                 tap, false, seen);
  if (UniqueFd v6 = open_if_possible(source, AF_INET6, SOCK_RAW, IPPROTO_UDP)) {
    v6_ = std::make_unique<Socket>(reactor, std::move(v6), tap, true, std::move(seen));
  }
}

ProbeReceiver::~ProbeReceiver() = default;

}  // namespace sockswitch::tunnel
