#include "kernel/sock_diag.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <functional>

#include "base/errno_error.h"
#include "kernel/netlink_message.h"

namespace sockswitch {
namespace {

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
using Visit = std::function<void(const inet_diag_msg& message, NetlinkBytes attributes)>;

// A busy host has a hundred thousand sockets of some 400 bytes each.
constexpr NetlinkLimits kLimits{.bytes = std::size_t{256} * 1024 * 1024,
                                .time = std::chrono::seconds(10)};

NetlinkAnswer ask(NetlinkSocket& socket, std::uint8_t family, const Question& question) {
  NetlinkRequest request(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP);
  request.header(inet_diag_req_v2{.sdiag_family = family,
                                  .sdiag_protocol = static_cast<std::uint8_t>(question.protocol),
                                  .idiag_ext = question.extensions,
                                  .idiag_states = question.states});
  return socket.ask(request, kLimits);
}

// Of both families.
void for_each_socket(const Question& question, const Visit& visit) {
  NetlinkSocket socket(open_netlink(NETLINK_SOCK_DIAG));
  for (const std::uint8_t family : {AF_INET, AF_INET6}) {
    const NetlinkAnswer answer = ask(socket, family, question);
    if (!answer.complete()) {
      const bool no_module = answer.error() == ENOENT;
      const bool refused = answer.status() == NetlinkStatus::kRefused;
      if (refused && (question.optional || no_module)) continue;
      throw ErrnoError(answer.error(), "recv", "sock_diag");
    }
    NetlinkMessages walk = answer.messages();
    for (NetlinkMessage message; walk.next(message);) {
      const auto found = message.header<inet_diag_msg>();
      if (found) visit(*found, message.attributes(sizeof(inet_diag_msg)));
    }
  }
}

// The payload of the attribute `type`; empty if there is none.
NetlinkBytes find_attribute(NetlinkBytes attributes, std::uint16_t type) {
  NetlinkAttributes walk(attributes);
  for (NetlinkAttribute attribute; walk.next(attribute);) {
    if (attribute.type == type) return attribute.data;
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

TcpSocket socket_of(const inet_diag_msg& message, NetlinkBytes attributes) {
  TcpSocket socket{.inode = message.idiag_inode, .state = message.idiag_state};
  socket.local = local_end(message);
  socket.remote = endpoint(message.idiag_family, message.id.idiag_dst, message.id.idiag_dport);
  if (const auto info = read_structure<TcpInfo>(find_attribute(attributes, INET_DIAG_INFO))) {
    socket.round_trip_us = info->rtt;
    // The SYN counts as one.
    socket.bytes_sent = info->bytes_acked - std::min<std::uint64_t>(info->bytes_acked, 1);
    socket.bytes_received = info->bytes_received;
  }
  return socket;
}

PortHolder holder_of(const inet_diag_msg& message, NetlinkBytes attributes) {
  const NetlinkBytes v6_only = find_attribute(attributes, INET_DIAG_SKV6ONLY);
  return {.domain = message.idiag_family,
          .address = local_end(message).address,
          .device = static_cast<int>(message.id.idiag_if),
          .v6_only = !v6_only.empty() && v6_only.front() != 0,
          .inode = message.idiag_inode,
          .uid = message.idiag_uid};
}

}  // namespace

std::vector<TcpSocket> list_tcp_sockets() {
  std::vector<TcpSocket> found;
  for_each_socket({.states = kAllStates & ~kUnconnected, .extensions = 1U << (INET_DIAG_INFO - 1)},
                  [&](const inet_diag_msg& message, NetlinkBytes attributes) {
                    found.push_back(socket_of(message, attributes));
                  });
  return found;
}

std::optional<std::uint64_t> find_connection(const Destination& local, const Destination& remote,
                                             int device) {
  const bool v4 = local.address.is_v4();
  struct inet_diag_req_v2 question{};
  question.sdiag_family = v4 ? AF_INET : AF_INET6;
  question.sdiag_protocol = IPPROTO_TCP;
  question.id.idiag_sport = htons(local.port);
  question.id.idiag_dport = htons(remote.port);
  question.id.idiag_if = static_cast<std::uint32_t>(device);
  question.id.idiag_cookie[0] = question.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
  const auto fill = [&](__be32* to, const Address& from) {
    const std::size_t before = v4 ? 12 : 0;
    std::memcpy(to, from.bytes.data() + before, from.bytes.size() - before);
  };
  fill(question.id.idiag_src, local.address);
  fill(question.id.idiag_dst, remote.address);
  NetlinkSocket socket(open_netlink(NETLINK_SOCK_DIAG));
  NetlinkRequest request(SOCK_DIAG_BY_FAMILY, 0);
  request.header(question);
  const NetlinkAnswer answer = socket.ask(request);
  const auto first = answer.first();
  const auto found = first ? first->header<inet_diag_msg>() : std::nullopt;
  // Where there is no connection, the kernel tells of what listens.
  if (!found || found->idiag_state == TCP_LISTEN) return {};
  return found->id.idiag_cookie[0] | std::uint64_t{found->id.idiag_cookie[1]} << 32;
}

std::vector<PortHolder> find_port_holders(int protocol, std::uint16_t port) {
  std::vector<PortHolder> holders;
  for_each_socket({.protocol = protocol,
                   .states = protocol == IPPROTO_TCP ? 1U << TCP_LISTEN : ~0U,
                   .optional = true},
                  [&](const inet_diag_msg& message, NetlinkBytes attributes) {
                    if (ntohs(message.id.idiag_sport) == port) {
                      holders.push_back(holder_of(message, attributes));
                    }
                  });
  return holders;
}

}  // namespace sockswitch
