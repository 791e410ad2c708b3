// Carrying a socket's options over to the socket that takes its place.
//
// The container socket is compared, option by option, with a fresh socket of its own namespace:
// what differs was set by the program and is set on the host socket too. docs/socket-options.md
// lists all.
//
// There are three kinds of options:
//
//   first  what the SYN depends on: carried over before the connect.
//   late   usual ones that every socket takes at any time: carried over in the time until the peer
//          answers.
//   rare   some forty, which few programs set: the filter reports where one is set
//          (src/oci/seccomp-setsockopt.ts), and only then are they read, before the connect
//          (notify/set_option.cc).
//
// The first two are read when the host socket has the descriptor's number already. So what another
// thread sets at that time is either seen here, or set on the host socket itself.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace sockswitch {

inline constexpr std::size_t kMaxOptionSize = 24;

struct OptionValue {
  std::array<std::uint8_t, kMaxOptionSize> bytes{};
  std::uint8_t length = 0;  // 0: the kernel does not have this option for this socket
  bool operator==(const OptionValue&) const = default;
};

// What a fresh TCP socket of one domain and namespace reads as, in the order of the option table.
class OptionBaseline {
 public:
  // Reads the options of `fresh_fd`; AF_INET or AF_INET6 by its own domain.
  OptionBaseline(int fresh_fd, int domain);
  int domain() const { return domain_; }
  const OptionValue& value(std::size_t index) const { return values_[index]; }
  std::uint32_t receive_buffer() const { return receive_buffer_; }
  std::uint32_t send_buffer() const { return send_buffer_; }

 private:
  int domain_;
  std::vector<OptionValue> values_;
  std::uint32_t receive_buffer_ = 0;  // bytes, as the kernel accounts them
  std::uint32_t send_buffer_ = 0;
};

// The options of fresh TCP sockets of one namespace, IPv4 and IPv6.
struct OptionBaselines {
  std::optional<OptionBaseline> v4;
  std::optional<OptionBaseline> v6;
  const OptionBaseline* of(int domain) const {
    const auto& baseline = domain == AF_INET ? v4 : v6;
    return baseline ? &*baseline : nullptr;
  }
};

// Whether an option is one of the rare ones, or unknown: which does matter for a TCP socket that is
// to be switched, and is not read unless it has been reported.
bool is_rare_option(int level, int name);

// Carries options over from one socket to another. Each step returns "" or the name of the option
// that cannot be carried over, in which case the new socket is not to be used.
class OptionCopy {
 public:
  // `pinned` says that `from` is one of our own host sockets, whose bound device and filter are our
  // doing.
  OptionCopy(int from, const OptionBaseline& baseline, bool pinned = false)
      : from_(from),
        baseline_(baseline),
        pinned_(pinned),
        receive_buffer_(baseline.receive_buffer()),
        send_buffer_(baseline.send_buffer()) {}

  // Before the connect.
  std::string first(int to);
  std::string rare(int to);
  // After it.
  std::string late(int to);
  // The first ones once more, after the connect.
  std::string again(int to);
  // All of it, where there is no connect to wait for.
  std::string all(int to);

 private:
  // What `to` has at the index.
  const OptionValue& carried(std::size_t index) const;
  std::string copy(int to, std::size_t index);
  std::string copy_buffers(int to);

  int from_;
  const OptionBaseline& baseline_;
  bool pinned_;
  // What `to` has, where that is not the baseline's.
  std::vector<std::pair<std::size_t, OptionValue>> carried_;
  std::uint32_t receive_buffer_;
  std::uint32_t send_buffer_;
};

// Sets on `to`, a fresh socket of the host, what a fresh socket of the container shows otherwise
// because of a sysctl of its namespace (net.ipv4.tcp_syn_retries, tcp_keepalive_*, ip_default_ttl,
// net.ipv6.bindv6only, ...). What the host refuses stays as it is there.
void apply_namespace_defaults(int to, const OptionBaseline& container, const OptionBaseline& host);

}  // namespace sockswitch
