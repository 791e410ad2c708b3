// Which addresses are public: not private, loopback, link-local, shared (CGNAT), multicast or
// reserved (the IANA special-purpose address registries; RFC 1918, 6598, 6890). Of IPv6 global
// unicast, 2000::/3, without protocol assignments (2001::/23), 6to4 (2002::/16, which holds
// IPv4's private addresses) and the prefixes for documentation, with which clusters are numbered.
// Those of IPv4 count as public.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/address.h"
#include "base/ipv4_block.h"

namespace sockswitch {

bool is_public(const Address& address);

// IPv6 addresses by their first 32 bits, in host byte order; more of them decide nothing here.
struct Ipv6Head {
  std::uint32_t network = 0;
  std::uint32_t mask = 0;

  bool contains(const Ipv6Head& other) const {
    return (other.mask & mask) == mask && (other.network & mask) == network;
  }
};

// What is not public, and the rest of a family in as few blocks as there can be.
std::span<const Ipv4Block> closed_ipv4();
std::span<const Ipv6Head> closed_ipv6();
const std::vector<Prefix>& public_blocks(bool v4);

// Whether a prefix of a family holds any public address. `length`: counted in the family.
bool holds_public(const Address& network, unsigned length, bool v4);

}  // namespace sockswitch
