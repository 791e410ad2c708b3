// Which addresses are public: not private, loopback, link-local, shared (CGNAT), multicast or
// reserved (the IANA special-purpose address registries; RFC 1918, 6598, 6890). Of IPv6 only
// global unicast, 2000::/3. Prefixes for documentation count as public.
#pragma once

#include <span>
#include <vector>

#include "base/address.h"
#include "base/ipv4_block.h"

namespace sockswitch {

bool is_public(const Address& address);

// What is not public of IPv4, and the rest of IPv4 in as few blocks as there can be.
std::span<const Ipv4Block> closed_ipv4();
const std::vector<Ipv4Block>& public_ipv4();

// Whether a prefix of IPv4 holds any public address. `length`: 0 to 32.
bool holds_public_ipv4(const Address& network, unsigned length);

}  // namespace sockswitch
