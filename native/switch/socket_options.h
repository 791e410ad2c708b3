// Carrying a socket's options over to the socket that takes its place.
//
// The container socket is compared, option by option, with a fresh socket of its own namespace:
// what differs was set by the program and is set on the host socket too. docs/socket-options.md
// lists all.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace sockswitch {

struct OptionValue {
  std::array<std::uint8_t, 24> bytes{};
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

// Sets on `to` whatever `from` has other than the baseline. Returns "" or the name of the option
// that cannot be carried over, in which case `to` is not to be used. `pinned` says that `from` is
// one of our own host sockets, whose bound device and filter are our doing.
std::string copy_socket_options(int from, int to, const OptionBaseline& baseline, bool pinned);

}  // namespace sockswitch
