// Sockets of this network namespace as the kernel lists them (kernel/sock_diag.h).
#include "kernel/sock_diag.h"

#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>

#include "check.h"
#include "loopback.h"

namespace {

using namespace sockswitch;  // NOLINT(google-build-using-namespace): a test of this namespace

std::uint64_t inode(int fd) {
  struct stat status{};
  CHECK_EQ(::fstat(fd, &status), 0);
  return status.st_ino;
}

TEST(who_holds_a_port_is_listed) {
  const Loopback service("127.0.0.1");
  const auto holders = find_port_holders(IPPROTO_TCP, service.port());
  CHECK_EQ(holders.size(), std::size_t{1});
  if (holders.empty()) return;
  CHECK_EQ(holders[0].domain, AF_INET);
  CHECK_EQ(holders[0].address.text(), std::string("127.0.0.1"));
  CHECK_EQ(holders[0].device, 0);
  CHECK(!holders[0].v6_only);
  CHECK_EQ(holders[0].uid, ::geteuid());
}

TEST(who_holds_a_port_of_ipv6_alone_is_listed) {
  UniqueFd socket(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  sockaddr_in6 name{};
  name.sin6_family = AF_INET6;
  socklen_t length = sizeof name;
  auto* raw = reinterpret_cast<sockaddr*>(&name);
  if (!socket || ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0) return;
  if (::bind(socket.get(), raw, length) != 0) return;  // no IPv6 here
  CHECK_EQ(::getsockname(socket.get(), raw, &length), 0);
  const auto holders = find_port_holders(IPPROTO_UDP, ntohs(name.sin6_port));
  const auto own = std::ranges::find(holders, inode(socket.get()), &PortHolder::inode);
  CHECK(own != holders.end() && own->domain == AF_INET6);
}

TEST(what_a_connection_has_carried_is_listed) {
  const Loopback service;
  const UniqueFd client = tcp();
  CHECK_EQ(service.connect(client), 0);
  std::array<char, 1000> payload{};
  CHECK_EQ(::send(client.get(), payload.data(), payload.size(), 0), 1000);
  const auto sockets = list_tcp_sockets();
  const auto own = std::ranges::find(sockets, inode(client.get()), &TcpSocket::inode);
  CHECK(own != sockets.end());
  if (own == sockets.end()) return;
  CHECK_EQ(own->state, std::uint8_t{TCP_ESTABLISHED});
  CHECK_EQ(own->remote.port, service.port());
  // The other end, which nobody has accepted yet.
  const auto other = std::ranges::find_if(sockets, [&](const TcpSocket& one) {
    return one.local.port == service.port() && one.remote.port == own->local.port;
  });
  CHECK(other != sockets.end() && other->bytes_received == payload.size());
  CHECK(other != sockets.end() && other->bytes_sent == 0 && own->bytes_received == 0);
  const auto listening = [&](const TcpSocket& one) {
    return one.state == TCP_LISTEN && one.local.port == service.port();
  };
  CHECK(std::ranges::none_of(sockets, listening));
}

}  // namespace
