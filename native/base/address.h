// Internet addresses as policy sees them, and sets of prefixes.
//
// An Address is always 16 bytes: IPv4 is held in its v4-mapped form (::ffff:a.b.c.d), so that a
// v4-mapped destination of an IPv6 socket and the plain IPv4 one are the same thing to every rule.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace sockswitch {

struct Address {
  std::array<std::uint8_t, 16> bytes{};

  bool is_v4() const;
  // The last four bytes in host byte order; meaningful for IPv4 only.
  std::uint32_t v4() const;
  std::string text() const;
  auto operator<=>(const Address&) const = default;

  static Address from_v4(in_addr address);
  static Address from_v6(const in6_addr& address);
  // Numeric text of either family; no value if it is not one.
  static std::optional<Address> parse(const std::string& text);
};

// 127.0.0.0/8, ::1.
// 0.0.0.0 and ::.
bool is_unspecified(const Address& address);
bool is_loopback(const Address& address);
// fe80::/10.
bool is_link_local(const Address& address);

struct AddressHash {
  std::size_t operator()(const Address& address) const;
};

struct Destination {
  Address address;
  std::uint16_t port = 0;
  std::uint32_t scope = 0;  // sin6_scope_id

  std::string text() const;  // "10.0.0.1:80", "[fd00::1]:80"
};

// A socket address as it came out of another process's memory: raw bytes that may be anything.
// No value unless it is a complete AF_INET or AF_INET6 address.
std::optional<Destination> destination_of(const sockaddr_storage& raw, std::uint32_t length);

class Prefix {
 public:
  // "10.0.0.0/8", "fd00::/8" or a plain address; no value on anything else.
  static std::optional<Prefix> parse(const std::string& text);
  // `bits`: counted on the 16 bytes, at most 128.
  static Prefix of(const Address& network, unsigned bits);
  unsigned bits() const { return bits_; }
  bool contains(const Address& address) const;
  std::string text() const;
  // Its first address.
  Address network() const;

 private:
  Address network_;
  unsigned bits_ = 128;  // counted on the 16 bytes: IPv4's /8 is 104
};

// Few entries, looked at once a destination (the verdict is cached): a plain list is the fastest.
class PrefixSet {
 public:
  void add(const Prefix& prefix) { prefixes_.push_back(prefix); }
  const Prefix* find(const Address& address) const;

 private:
  std::vector<Prefix> prefixes_;
};

}  // namespace sockswitch
