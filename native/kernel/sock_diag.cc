#include "kernel/sock_diag.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <cstring>

#include "kernel/errno_error.h"
#include "kernel/unique_fd.h"

namespace sockswitch {
namespace {

constexpr std::size_t kAnswerBytes = 32768;

struct Question {
  nlmsghdr header;
  inet_diag_req_v2 request;
};

// IPV6_V6ONLY of the socket that `header`'s message is about (INET_DIAG_SKV6ONLY).
bool is_v6_only(const nlmsghdr* header) {
  constexpr std::size_t kMessage = NLMSG_ALIGN(sizeof(inet_diag_msg));
  const auto* bytes = static_cast<const char*>(NLMSG_DATA(header)) + kMessage;
  auto left = static_cast<int>(header->nlmsg_len - NLMSG_LENGTH(kMessage));
  const auto* item = reinterpret_cast<const rtattr*>(bytes);
  for (; RTA_OK(item, left); item = RTA_NEXT(item, left)) {
    if (item->rta_type == INET_DIAG_SKV6ONLY) {
      return *static_cast<const std::uint8_t*>(RTA_DATA(item)) != 0;
    }
  }
  return false;
}

PortHolder holder_of(const inet_diag_msg& message) {
  PortHolder holder;
  holder.domain = message.idiag_family;
  if (message.idiag_family == AF_INET) {
    in_addr address{};
    std::memcpy(&address, message.id.idiag_src, sizeof address);
    holder.address = Address::from_v4(address);
  } else {
    in6_addr address{};
    std::memcpy(&address, message.id.idiag_src, sizeof address);
    holder.address = Address::from_v6(address);
  }
  holder.device = static_cast<int>(message.id.idiag_if);
  holder.inode = message.idiag_inode;
  holder.uid = message.idiag_uid;
  return holder;
}

// Adds what one datagram holds; false at the end of the answer.
bool take(const char* bytes, std::size_t size, std::uint16_t port,
          std::vector<PortHolder>& holders) {
  auto left = static_cast<int>(size);
  const auto* header = reinterpret_cast<const nlmsghdr*>(bytes);
  for (; NLMSG_OK(header, left); header = NLMSG_NEXT(header, left)) {
    if (header->nlmsg_type == NLMSG_DONE || header->nlmsg_type == NLMSG_ERROR) return false;
    if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
        header->nlmsg_len < NLMSG_LENGTH(sizeof(inet_diag_msg))) {
      continue;
    }
    inet_diag_msg message{};
    std::memcpy(&message, NLMSG_DATA(header), sizeof message);
    if (ntohs(message.id.idiag_sport) != port) continue;
    holders.push_back(holder_of(message));
    holders.back().v6_only = is_v6_only(header);
  }
  return true;
}

void ask(int fd, int domain, int protocol, std::uint16_t port, std::vector<PortHolder>& holders) {
  Question question{};
  question.header.nlmsg_len = sizeof question;
  question.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  question.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  question.request.sdiag_family = static_cast<std::uint8_t>(domain);
  question.request.sdiag_protocol = static_cast<std::uint8_t>(protocol);
  question.request.idiag_states = protocol == IPPROTO_TCP ? 1U << TCP_LISTEN : ~0U;
  if (::send(fd, &question, sizeof question, 0) < 0) throw_errno("send", "NETLINK_SOCK_DIAG");
  std::vector<char> answer(kAnswerBytes);
  for (;;) {
    ssize_t size = ::recv(fd, answer.data(), answer.size(), 0);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) throw_errno("recv", "NETLINK_SOCK_DIAG");
    if (size == 0 || !take(answer.data(), static_cast<std::size_t>(size), port, holders)) return;
  }
}

}  // namespace

std::vector<PortHolder> find_port_holders(int protocol, std::uint16_t port) {
  UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!fd) throw_errno("socket", "NETLINK_SOCK_DIAG");
  std::vector<PortHolder> holders;
  ask(fd.get(), AF_INET, protocol, port, holders);
  ask(fd.get(), AF_INET6, protocol, port, holders);
  return holders;
}

}  // namespace sockswitch
