// Blocks of IPv4 addresses, in host byte order.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>

#include "base/address.h"

namespace sockswitch {

// Addresses that are equal to `network` in the bits of `mask`. No mask: all of IPv4.
struct Ipv4Block {
  std::uint32_t network = 0;
  std::uint32_t mask = 0;

  auto operator<=>(const Ipv4Block&) const = default;
  bool contains(const Address& address) const {
    return address.is_v4() && (address.v4() & mask) == network;
  }
  bool contains(const Ipv4Block& other) const {
    return (other.mask & mask) == mask && (other.network & mask) == network;
  }
  std::string text() const;  // "10.0.0.0/8"
  Prefix prefix() const;
};

// Of two prefixes one holds the other, or they have nothing in common.
inline bool overlap(const Ipv4Block& one, const Ipv4Block& other) {
  return one.contains(other) || other.contains(one);
}

// `length`: 0 to 32; longer ones count as 32. Bits behind it are dropped.
Ipv4Block ipv4_block(std::uint32_t network, unsigned length);
// "10.0.0.0/8", or an address; no value on anything else.
std::optional<Ipv4Block> parse_ipv4_block(const std::string& text);

// Whether pods may be let out to a prefix: a canonical one, of one bit at least, that holds no
// address with a meaning of its own on each machine ("this network", loopback, link-local,
// multicast, reserved, broadcast).
bool may_be_listed(const Ipv4Block& block);

}  // namespace sockswitch
