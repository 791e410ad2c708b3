#include "base/public_address.h"

#include <algorithm>
#include <array>

namespace sockswitch {
namespace {

constexpr unsigned kBits = 32;

constexpr std::uint32_t mask_of(unsigned length) {
  return length == 0 ? 0 : UINT32_MAX << (kBits - length);
}

constexpr Ipv4Block block(unsigned first, unsigned second, unsigned third, unsigned length) {
  return {first << 24 | second << 16 | third << 8, mask_of(length)};
}

constexpr std::array<Ipv4Block, 10> kClosed{{
    block(0, 0, 0, 8), block(10, 0, 0, 8), block(100, 64, 0, 10), block(127, 0, 0, 8),
    block(169, 254, 0, 16), block(172, 16, 0, 12), block(192, 0, 0, 24), block(192, 168, 0, 16),
    block(198, 18, 0, 15), block(224, 0, 0, 3),  // multicast, reserved, broadcast
}};

// Halves what is partly closed until nothing is.
void add_public(const Ipv4Block& part, unsigned length, std::vector<Ipv4Block>& found) {
  const auto inside = [&](const Ipv4Block& closed) { return closed.contains(part); };
  if (std::ranges::any_of(kClosed, inside)) return;
  const auto holds = [&](const Ipv4Block& closed) { return part.contains(closed); };
  if (std::ranges::none_of(kClosed, holds)) {
    found.push_back(part);
    return;
  }
  const std::uint32_t mask = mask_of(length + 1);
  add_public({part.network, mask}, length + 1, found);
  add_public({part.network | (mask & ~part.mask), mask}, length + 1, found);
}

}  // namespace

bool is_public(const Address& address) {
  if (!address.is_v4()) return (address.bytes[0] & 0xe0) == 0x20;
  const std::uint32_t v4 = address.v4();
  return std::ranges::none_of(
      kClosed, [&](const Ipv4Block& closed) { return (v4 & closed.mask) == closed.network; });
}

std::span<const Ipv4Block> closed_ipv4() { return kClosed; }

const std::vector<Ipv4Block>& public_ipv4() {
  static const std::vector<Ipv4Block> kPublic = [] {
    std::vector<Ipv4Block> found;
    add_public({}, 0, found);
    return found;
  }();
  return kPublic;
}

bool holds_public_ipv4(const Address& network, unsigned length) {
  const Ipv4Block part{network.is_v4() ? network.v4() : 0, mask_of(std::min(length, kBits))};
  return std::ranges::none_of(kClosed,
                              [&](const Ipv4Block& closed) { return closed.contains(part); });
}

}  // namespace sockswitch
