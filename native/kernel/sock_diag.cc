#include "kernel/sock_diag.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <functional>
#include <span>

#include "kernel/errno_error.h"
#include "kernel/unique_fd.h"

namespace sockswitch {
namespace {

using Bytes = std::span<const std::byte>;

constexpr std::size_t kBufferSize = std::size_t{32} * 1024;
constexpr std::uint32_t kUnconnected = 1U << TCP_LISTEN | 1U << TCP_CLOSE | 1U << TCP_TIME_WAIT;
constexpr std::uint32_t kAllStates = (1U << (TCP_CLOSING + 1)) - 1;

// The beginning of the kernel's tcp_info up to what is read here, which no C library's header has
// whole (linux/tcp.h; the byte counts came with Linux 4.1).
struct TcpInfo {
  std::array<std::uint8_t, 68> before_rtt;
  std::uint32_t rtt;
  std::array<std::uint8_t, 48> before_bytes;
  std::uint64_t bytes_acked;
  std::uint64_t bytes_received;
};
static_assert(offsetof(TcpInfo, rtt) == offsetof(struct tcp_info, tcpi_rtt));
static_assert(offsetof(TcpInfo, bytes_acked) == 120);

struct Question {
  int protocol = IPPROTO_TCP;
  std::uint32_t states = 0;     // a bit for each
  std::uint8_t extensions = 0;  // of the attributes wanted, INET_DIAG_* less one
  bool optional = false;        // a kernel that cannot tell (no module for it) counts as no socket
};

// A socket of the answer, and its attributes.
using Visit = std::function<void(const inet_diag_msg& message, Bytes attributes)>;

struct Request {
  nlmsghdr header;
  inet_diag_req_v2 body;
};

void ask(int fd, std::uint8_t family, const Question& question) {
  Request request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.body.sdiag_family = family;
  request.body.sdiag_protocol = static_cast<std::uint8_t>(question.protocol);
  request.body.idiag_ext = question.extensions;
  request.body.idiag_states = question.states;
  if (::send(fd, &request, sizeof request, 0) < 0) throw_errno("send", "sock_diag");
}

// Reads one datagram of the answer; false after the last.
bool receive(int fd, std::span<std::byte> buffer, const Question& question, const Visit& visit) {
  ssize_t size = 0;
  do {
    size = ::recv(fd, buffer.data(), buffer.size(), 0);
  } while (size < 0 && errno == EINTR);
  if (size < 0) throw_errno("recv", "sock_diag");
  Bytes rest = buffer.first(static_cast<std::size_t>(size));
  while (rest.size() >= sizeof(nlmsghdr)) {
    nlmsghdr header{};
    std::memcpy(&header, rest.data(), sizeof header);
    if (header.nlmsg_len < sizeof header || header.nlmsg_len > rest.size()) return false;
    const auto payload = rest.subspan(NLMSG_HDRLEN, header.nlmsg_len - NLMSG_HDRLEN);
    if (header.nlmsg_type == NLMSG_DONE) return false;
    if (header.nlmsg_type == NLMSG_ERROR) {
      if (question.optional) return false;
      nlmsgerr error{};
      if (payload.size() >= sizeof error) std::memcpy(&error, payload.data(), sizeof error);
      throw ErrnoError(error.error == 0 ? EPROTO : -error.error, "recv", "sock_diag");
    }
    if (payload.size() >= NLMSG_ALIGN(sizeof(inet_diag_msg))) {
      inet_diag_msg message{};
      std::memcpy(&message, payload.data(), sizeof message);
      visit(message, payload.subspan(NLMSG_ALIGN(sizeof message)));
    }
    rest = rest.subspan(std::min<std::size_t>(NLMSG_ALIGN(header.nlmsg_len), rest.size()));
  }
  return size > 0;
}

// Of both families.
void for_each_socket(const Question& question, const Visit& visit) {
  UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!fd) throw_errno("socket", "NETLINK_SOCK_DIAG");
  std::vector<std::byte> buffer(kBufferSize);
  for (const std::uint8_t family : {AF_INET, AF_INET6}) {
    ask(fd.get(), family, question);
    while (receive(fd.get(), buffer, question, visit)) {
    }
  }
}

// The payload of the attribute `type`; empty if there is none.
Bytes find_attribute(Bytes attributes, std::uint16_t type) {
  while (attributes.size() >= sizeof(rtattr)) {
    rtattr header{};
    std::memcpy(&header, attributes.data(), sizeof header);
    if (header.rta_len < sizeof header || header.rta_len > attributes.size()) return {};
    if (header.rta_type == type) {
      return attributes.subspan(sizeof header, header.rta_len - sizeof header);
    }
    attributes =
        attributes.subspan(std::min<std::size_t>(RTA_ALIGN(header.rta_len), attributes.size()));
  }
  return {};
}

Destination endpoint(std::uint8_t family, const __be32* address, __be16 port) {
  Destination result;
  if (family == AF_INET) {
    in_addr v4{};
    std::memcpy(&v4, address, sizeof v4);
    result.address = Address::from_v4(v4);
  } else {
    in6_addr v6{};
    std::memcpy(&v6, address, sizeof v6);
    result.address = Address::from_v6(v6);
  }
  result.port = ntohs(port);
  return result;
}

Destination local_end(const inet_diag_msg& message) {
  return endpoint(message.idiag_family, message.id.idiag_src, message.id.idiag_sport);
}

TcpSocket socket_of(const inet_diag_msg& message, Bytes attributes) {
  TcpSocket socket{.inode = message.idiag_inode, .state = message.idiag_state};
  socket.local = local_end(message);
  socket.remote = endpoint(message.idiag_family, message.id.idiag_dst, message.id.idiag_dport);
  const Bytes found = find_attribute(attributes, INET_DIAG_INFO);
  if (found.size() >= sizeof(TcpInfo)) {
    TcpInfo info{};
    std::memcpy(&info, found.data(), sizeof info);
    socket.round_trip_us = info.rtt;
    // The SYN counts as one.
    socket.bytes_sent = info.bytes_acked - std::min<std::uint64_t>(info.bytes_acked, 1);
    socket.bytes_received = info.bytes_received;
  }
  return socket;
}

PortHolder holder_of(const inet_diag_msg& message, Bytes attributes) {
  const Bytes v6_only = find_attribute(attributes, INET_DIAG_SKV6ONLY);
  return {.domain = message.idiag_family,
          .address = local_end(message).address,
          .device = static_cast<int>(message.id.idiag_if),
          .v6_only = !v6_only.empty() && v6_only.front() != std::byte{0},
          .inode = message.idiag_inode,
          .uid = message.idiag_uid};
}

}  // namespace

std::vector<TcpSocket> list_tcp_sockets() {
  std::vector<TcpSocket> found;
  for_each_socket({.states = kAllStates & ~kUnconnected, .extensions = 1U << (INET_DIAG_INFO - 1)},
                  [&](const inet_diag_msg& message, Bytes attributes) {
                    found.push_back(socket_of(message, attributes));
                  });
  return found;
}

std::vector<PortHolder> find_port_holders(int protocol, std::uint16_t port) {
  std::vector<PortHolder> holders;
  for_each_socket({.protocol = protocol,
                   .states = protocol == IPPROTO_TCP ? 1U << TCP_LISTEN : ~0U,
                   .optional = true},
                  [&](const inet_diag_msg& message, Bytes attributes) {
                    if (ntohs(message.id.idiag_sport) == port) {
                      holders.push_back(holder_of(message, attributes));
                    }
                  });
  return holders;
}

}  // namespace sockswitch
