#include "switch/socket_options.h"

#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>

#include "kernel/linux_abi.h"
#include "kernel/syscalls.h"

namespace sockswitch {
namespace {

// How an option that differs from the baseline is dealt with.
enum class Carry : std::uint8_t {
  kSet,     // what was read can be set as it is
  kRefuse,  // it cannot be carried over: the socket is not switched
  kPinned,  // a bound device: refused, unless the device is our own pin
};

// When it is read; see the header.
enum class When : std::uint8_t { kFirst, kLate, kRare };

struct Option {
  int level = 0;
  int name = 0;
  Carry carry = Carry::kRefuse;
  std::uint8_t size = 0;
  const char* text = "";
  When when = When::kRare;
  // A fresh socket's value is a sysctl of its namespace.
  bool by_namespace = false;
};

constexpr std::uint8_t kInt = sizeof(int);

// Numbers that glibc's headers may lack, with the kernel that brought them.
constexpr int kIpMinTtl = 21;
constexpr int kIpUnicastIf = 50;      // 3.4
constexpr int kIpv6MinHopCount = 73;  // 4.? RFC 5082
constexpr int kIpv6AddrPreferences = 72;
constexpr int kIpv6Transparent = 75;
constexpr int kIpv6UnicastIf = 76;
constexpr int kIpv6Freebind = 78;
constexpr int kIpv6AutoFlowLabel = 70;
constexpr int kTcpNotsentLowat = 25;
constexpr int kTcpFastopenConnect = 30;
constexpr int kTcpFastopenNoCookie = 34;
constexpr int kTcpInq = 36;
constexpr int kTcpTxDelay = 37;
constexpr int kSoTxrehash = 74;  // 5.18
constexpr int kSndbufLock = 1;   // SOCK_SNDBUF_LOCK, in SO_BUF_LOCK
constexpr int kRcvbufLock = 2;   // SOCK_RCVBUF_LOCK

constexpr Option kCommon[] = {
    {SOL_SOCKET, SO_REUSEADDR, Carry::kSet, kInt, "SO_REUSEADDR", When::kLate},
    {SOL_SOCKET, SO_KEEPALIVE, Carry::kSet, kInt, "SO_KEEPALIVE", When::kLate},
    {SOL_SOCKET, SO_LINGER, Carry::kSet, sizeof(linger), "SO_LINGER", When::kLate},
    {SOL_SOCKET, SO_SNDTIMEO, Carry::kSet, sizeof(timeval), "SO_SNDTIMEO", When::kLate},
    {SOL_SOCKET, SO_RCVTIMEO, Carry::kSet, sizeof(timeval), "SO_RCVTIMEO", When::kLate},
    {SOL_SOCKET, SO_REUSEPORT, Carry::kSet, kInt, "SO_REUSEPORT", When::kLate},
    {SOL_SOCKET, SO_PRIORITY, Carry::kSet, kInt, "SO_PRIORITY"},
    {SOL_SOCKET, SO_OOBINLINE, Carry::kSet, kInt, "SO_OOBINLINE"},
    // On-link means something else in the container.
    {SOL_SOCKET, SO_DONTROUTE, Carry::kRefuse, kInt, "SO_DONTROUTE"},
    {SOL_SOCKET, SO_BROADCAST, Carry::kSet, kInt, "SO_BROADCAST"},
    {SOL_SOCKET, SO_RCVLOWAT, Carry::kSet, kInt, "SO_RCVLOWAT"},
    {SOL_SOCKET, SO_TIMESTAMP, Carry::kSet, kInt, "SO_TIMESTAMP"},
    {SOL_SOCKET, SO_TIMESTAMPING, Carry::kSet, kInt, "SO_TIMESTAMPING"},
    {SOL_SOCKET, SO_MAX_PACING_RATE, Carry::kSet, sizeof(std::uint64_t), "SO_MAX_PACING_RATE"},
    {SOL_SOCKET, SO_ZEROCOPY, Carry::kSet, kInt, "SO_ZEROCOPY"},
    {SOL_SOCKET, SO_BUSY_POLL, Carry::kSet, kInt, "SO_BUSY_POLL"},
    {SOL_SOCKET, kSoTxrehash, Carry::kSet, kInt, "SO_TXREHASH"},
    {SOL_SOCKET, SO_SELECT_ERR_QUEUE, Carry::kSet, kInt, "SO_SELECT_ERR_QUEUE"},
    {SOL_SOCKET, SO_MARK, Carry::kRefuse, kInt, "SO_MARK"},
    {SOL_SOCKET, abi::kSoBindToIfindex, Carry::kPinned, kInt, "SO_BINDTODEVICE"},
    {IPPROTO_TCP, TCP_NODELAY, Carry::kSet, kInt, "TCP_NODELAY", When::kLate},
    {IPPROTO_TCP, TCP_KEEPIDLE, Carry::kSet, kInt, "TCP_KEEPIDLE", When::kLate, true},
    {IPPROTO_TCP, TCP_KEEPINTVL, Carry::kSet, kInt, "TCP_KEEPINTVL", When::kLate, true},
    {IPPROTO_TCP, TCP_KEEPCNT, Carry::kSet, kInt, "TCP_KEEPCNT", When::kLate, true},
    {IPPROTO_TCP, TCP_USER_TIMEOUT, Carry::kSet, kInt, "TCP_USER_TIMEOUT", When::kLate},
    {IPPROTO_TCP, TCP_CONGESTION, Carry::kSet, 16, "TCP_CONGESTION", When::kRare, true},
    {IPPROTO_TCP, TCP_MAXSEG, Carry::kSet, kInt, "TCP_MAXSEG"},
    {IPPROTO_TCP, TCP_CORK, Carry::kSet, kInt, "TCP_CORK", When::kLate},
    {IPPROTO_TCP, TCP_SYNCNT, Carry::kSet, kInt, "TCP_SYNCNT", When::kRare, true},
    {IPPROTO_TCP, TCP_LINGER2, Carry::kSet, kInt, "TCP_LINGER2", When::kRare, true},
    {IPPROTO_TCP, TCP_DEFER_ACCEPT, Carry::kSet, kInt, "TCP_DEFER_ACCEPT"},
    {IPPROTO_TCP, TCP_WINDOW_CLAMP, Carry::kSet, kInt, "TCP_WINDOW_CLAMP"},
    {IPPROTO_TCP, TCP_QUICKACK, Carry::kSet, kInt, "TCP_QUICKACK", When::kFirst},
    {IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, Carry::kSet, kInt, "TCP_THIN_LINEAR_TIMEOUTS"},
    {IPPROTO_TCP, kTcpNotsentLowat, Carry::kSet, kInt, "TCP_NOTSENT_LOWAT", When::kRare, true},
    {IPPROTO_TCP, kTcpFastopenNoCookie, Carry::kSet, kInt, "TCP_FASTOPEN_NO_COOKIE"},
    {IPPROTO_TCP, kTcpInq, Carry::kSet, kInt, "TCP_INQ"},
    {IPPROTO_TCP, kTcpTxDelay, Carry::kSet, kInt, "TCP_TX_DELAY"},
    {IPPROTO_TCP, kTcpFastopenConnect, Carry::kRefuse, kInt, "TCP_FASTOPEN_CONNECT"},
    {IPPROTO_IP, IP_TOS, Carry::kSet, kInt, "IP_TOS", When::kFirst},
    {IPPROTO_IP, IP_TTL, Carry::kSet, kInt, "IP_TTL", When::kRare, true},
    {IPPROTO_IP, IP_MTU_DISCOVER, Carry::kSet, kInt, "IP_MTU_DISCOVER"},
    {IPPROTO_IP, IP_RECVERR, Carry::kSet, kInt, "IP_RECVERR"},
    {IPPROTO_IP, kIpMinTtl, Carry::kSet, kInt, "IP_MINTTL"},
    {IPPROTO_IP, IP_FREEBIND, Carry::kSet, kInt, "IP_FREEBIND"},
    {IPPROTO_IP, abi::kIpBindAddressNoPort, Carry::kSet, kInt, "IP_BIND_ADDRESS_NO_PORT"},
    {IPPROTO_IP, abi::kIpLocalPortRange, Carry::kSet, kInt, "IP_LOCAL_PORT_RANGE", When::kRare,
     true},
    {IPPROTO_IP, IP_TRANSPARENT, Carry::kRefuse, kInt, "IP_TRANSPARENT"},
    {IPPROTO_IP, kIpUnicastIf, Carry::kRefuse, kInt, "IP_UNICAST_IF"},
};

constexpr Option kV6[] = {
    {IPPROTO_IPV6, IPV6_V6ONLY, Carry::kSet, kInt, "IPV6_V6ONLY", When::kFirst, true},
    {IPPROTO_IPV6, IPV6_TCLASS, Carry::kSet, kInt, "IPV6_TCLASS", When::kFirst},
    {IPPROTO_IPV6, IPV6_UNICAST_HOPS, Carry::kSet, kInt, "IPV6_UNICAST_HOPS", When::kRare, true},
    {IPPROTO_IPV6, IPV6_MTU_DISCOVER, Carry::kSet, kInt, "IPV6_MTU_DISCOVER"},
    {IPPROTO_IPV6, IPV6_RECVERR, Carry::kSet, kInt, "IPV6_RECVERR"},
    {IPPROTO_IPV6, kIpv6AutoFlowLabel, Carry::kSet, kInt, "IPV6_AUTOFLOWLABEL"},
    {IPPROTO_IPV6, kIpv6MinHopCount, Carry::kSet, kInt, "IPV6_MINHOPCOUNT"},
    {IPPROTO_IPV6, kIpv6AddrPreferences, Carry::kSet, kInt, "IPV6_ADDR_PREFERENCES"},
    {IPPROTO_IPV6, kIpv6Freebind, Carry::kSet, kInt, "IPV6_FREEBIND"},
    {IPPROTO_IPV6, kIpv6Transparent, Carry::kRefuse, kInt, "IPV6_TRANSPARENT"},
    {IPPROTO_IPV6, kIpv6UnicastIf, Carry::kRefuse, kInt, "IPV6_UNICAST_IF"},
};

constexpr auto kFits = [](const Option& option) { return option.size <= kMaxOptionSize; };
static_assert(std::ranges::all_of(kCommon, kFits) && std::ranges::all_of(kV6, kFits));

std::size_t option_count(int domain) {
  return std::size(kCommon) + (domain == AF_INET6 ? std::size(kV6) : 0);
}

const Option& option_at(std::size_t index) {
  return index < std::size(kCommon) ? kCommon[index] : kV6[index - std::size(kCommon)];
}

// The options of one kind, by index. In the table's order.
std::span<const std::size_t> options_of(When when, int domain) {
  static const auto kLists = [] {
    std::array<std::array<std::vector<std::size_t>, 3>, 2> lists;
    for (int six : {0, 1}) {
      for (std::size_t i = 0; i < option_count(six == 1 ? AF_INET6 : AF_INET); ++i) {
        lists.at(static_cast<std::size_t>(six))
            .at(static_cast<std::size_t>(option_at(i).when))
            .push_back(i);
      }
    }
    return lists;
  }();
  return kLists.at(domain == AF_INET6 ? 1 : 0).at(static_cast<std::size_t>(when));
}

OptionValue read_option(int fd, const Option& option) {
  OptionValue value;
  socklen_t length = option.size;
  if (::getsockopt(fd, option.level, option.name, value.bytes.data(), &length) == 0) {
    value.length = static_cast<std::uint8_t>(length);
  }
  return value;
}

bool set_option(int fd, const Option& option, const OptionValue& value) {
  return ::setsockopt(fd, option.level, option.name, value.bytes.data(), value.length) == 0;
}

// A socket without a range of its own takes ports from its namespace's, which a host socket has as
// an option then (apply_namespace_defaults()).
bool means_default(const Option& option, const OptionValue& value) {
  return option.level == IPPROTO_IP && option.name == abi::kIpLocalPortRange &&
         std::ranges::all_of(value.bytes, [](std::uint8_t byte) { return byte == 0; });
}

// Not to be set on a socket that has a port; and nobody sets it twice.
bool is_fixed_by_port(const Option& option) {
  return option.level == IPPROTO_IPV6 && option.name == IPV6_V6ONLY;
}

// SO_SNDBUF and SO_RCVBUF: carried over only where the program set them (SO_BUF_LOCK, Linux 5.14),
// not where the kernel has tuned them. The kernel doubles what is set (socket(7)).
bool copy_buffer_size(int from, int to, int option, int lock_bit, std::uint32_t size) {
  int locks = int_option(from, SOL_SOCKET, abi::kSoBufLock).value_or(0);
  if ((locks & lock_bit) == 0) return true;
  int half = static_cast<int>(size / 2);
  return ::setsockopt(to, SOL_SOCKET, option, &half, sizeof half) == 0;
}

// What SO_MEMINFO tells in one call (Linux 4.12): buffer sizes, and whether anything is attached (a
// filter, a TCP-MD5 key, sticky IPv6 options), which cannot be read back without privilege.
struct Memory {
  std::array<std::uint32_t, SK_MEMINFO_VARS> values{};
  explicit Memory(int fd) {
    socklen_t length = sizeof values;
    ::getsockopt(fd, SOL_SOCKET, SO_MEMINFO, values.data(), &length);
  }
  std::uint32_t receive_buffer() const { return values[SK_MEMINFO_RCVBUF]; }
  std::uint32_t send_buffer() const { return values[SK_MEMINFO_SNDBUF]; }
  bool has_attachments() const { return values[SK_MEMINFO_OPTMEM] != 0; }
};

}  // namespace

OptionBaseline::OptionBaseline(int fresh_fd, int domain) : domain_(domain) {
  for (std::size_t i = 0; i < option_count(domain); ++i) {
    values_.push_back(read_option(fresh_fd, option_at(i)));
  }
  Memory memory(fresh_fd);
  receive_buffer_ = memory.receive_buffer();
  send_buffer_ = memory.send_buffer();
}

bool is_rare_option(int level, int name) {
  if (level == SOL_SOCKET && (name == SO_SNDBUF || name == SO_RCVBUF)) return false;
  // The same as SO_RCVTIMEO and SO_SNDTIMEO with 64-bit time, for 32-bit programs (Linux 5.1).
  constexpr int kSoRcvtimeoNew = 66;
  constexpr int kSoSndtimeoNew = 67;
  if (level == SOL_SOCKET && (name == kSoRcvtimeoNew || name == kSoSndtimeoNew)) return false;
  for (std::size_t i = 0; i < option_count(AF_INET6); ++i) {
    const Option& option = option_at(i);
    if (option.level == level && option.name == name) return option.when == When::kRare;
  }
  return true;
}

const OptionValue& OptionCopy::carried(std::size_t index) const {
  auto found = std::ranges::find(carried_, index, &std::pair<std::size_t, OptionValue>::first);
  return found == carried_.end() ? baseline_.value(index) : found->second;
}

std::string OptionCopy::copy(int to, std::size_t index) {
  if (baseline_.value(index).length == 0) return {};
  const Option& option = option_at(index);
  OptionValue value = read_option(from_, option);
  if (value.length == 0) return {};  // MPTCP knows fewer of them
  if (means_default(option, value)) return {};
  if (value == carried(index)) return {};
  if (option.carry == Carry::kPinned && pinned_) return {};
  if (option.carry == Carry::kRefuse || option.carry == Carry::kPinned) return option.text;
  if (!set_option(to, option, value)) return option.text;
  std::erase_if(carried_, [&](const auto& known) { return known.first == index; });
  carried_.emplace_back(index, value);
  return {};
}

std::string OptionCopy::copy_buffers(int to) {
  Memory memory(from_);
  if (memory.has_attachments() && !pinned_)
    return "SO_ATTACH_FILTER, TCP_MD5SIG or IPv6 header options";
  if (memory.receive_buffer() != receive_buffer_ &&
      !copy_buffer_size(from_, to, SO_RCVBUF, kRcvbufLock, memory.receive_buffer())) {
    return "SO_RCVBUF";
  }
  if (memory.send_buffer() != send_buffer_ &&
      !copy_buffer_size(from_, to, SO_SNDBUF, kSndbufLock, memory.send_buffer())) {
    return "SO_SNDBUF";
  }
  receive_buffer_ = memory.receive_buffer();
  send_buffer_ = memory.send_buffer();
  return {};
}

std::string OptionCopy::first(int to) {
  for (std::size_t index : options_of(When::kFirst, baseline_.domain())) {
    if (std::string name = copy(to, index); !name.empty()) return name;
  }
  return copy_buffers(to);
}

std::string OptionCopy::rare(int to) {
  for (std::size_t index : options_of(When::kRare, baseline_.domain())) {
    if (std::string name = copy(to, index); !name.empty()) return name;
  }
  return {};
}

std::string OptionCopy::late(int to) {
  for (std::size_t index : options_of(When::kLate, baseline_.domain())) {
    if (std::string name = copy(to, index); !name.empty()) return name;
  }
  return {};
}

std::string OptionCopy::again(int to) {
  for (std::size_t index : options_of(When::kFirst, baseline_.domain())) {
    if (is_fixed_by_port(option_at(index))) continue;
    if (std::string name = copy(to, index); !name.empty()) return name;
  }
  return copy_buffers(to);
}

std::string OptionCopy::all(int to) {
  std::string name = first(to);
  if (name.empty()) name = rare(to);
  if (name.empty()) name = late(to);
  return name;
}

void apply_namespace_defaults(int to, const OptionBaseline& container, const OptionBaseline& host) {
  for (std::size_t index = 0; index < option_count(host.domain()); ++index) {
    const Option& option = option_at(index);
    const OptionValue& value = container.value(index);
    if (!option.by_namespace || value.length == 0 || value == host.value(index)) continue;
    set_option(to, option, value);
  }
}

}  // namespace sockswitch
