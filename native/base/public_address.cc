#include "base/public_address.h"

#include <algorithm>
#include <array>
#include <bit>

namespace sockswitch {
namespace {

constexpr unsigned kBits = 32;  // of which something depends, in both families

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

constexpr std::array<Ipv6Head, 7> kClosed6{{
    {0x00000000, mask_of(3)},
    {0x20010000, mask_of(23)},  // Teredo, benchmarking, ORCHID
    {0x20010DB8, mask_of(32)},  // documentation
    {0x20020000, mask_of(16)},  // 6to4
    {0x3FFF0000, mask_of(20)},  // documentation
    {0x40000000, mask_of(2)},
    {0x80000000, mask_of(1)},  // unique local, link-local, multicast
}};

std::uint32_t head_of(const Address& address) {
  std::uint32_t head = 0;
  for (std::size_t i = 0; i < sizeof head; ++i) head = head << 8 | address.bytes.at(i);
  return head;
}

Prefix prefix_of(const Ipv4Block& block) { return block.prefix(); }

Prefix prefix_of(const Ipv6Head& head) {
  Address network;
  for (unsigned i = 0; i < sizeof head.network; ++i) {
    network.bytes.at(i) = static_cast<std::uint8_t>(head.network >> (kBits - 8 - 8 * i));
  }
  return Prefix::of(network, static_cast<unsigned>(std::popcount(head.mask)));
}

template <typename Block>
bool is_closed(std::span<const Block> closed, const Block& part) {
  return std::ranges::any_of(closed, [&](const Block& one) { return one.contains(part); });
}

// Halves what is partly closed until nothing is.
template <typename Block>
void add_public(std::span<const Block> closed, const Block& part, unsigned length,
                std::vector<Prefix>& found) {
  if (is_closed(closed, part)) return;
  const auto is_held = [&](const Block& one) { return part.contains(one); };
  if (std::ranges::none_of(closed, is_held)) {
    found.push_back(prefix_of(part));
    return;
  }
  const std::uint32_t mask = mask_of(length + 1);
  add_public(closed, {part.network, mask}, length + 1, found);
  add_public(closed, {part.network | (mask & ~part.mask), mask}, length + 1, found);
}

template <typename Block>
std::vector<Prefix> rest_of(std::span<const Block> closed) {
  std::vector<Prefix> found;
  add_public(closed, Block{}, 0, found);
  return found;
}

}  // namespace

bool is_public(const Address& address) {
  return holds_public(address, address.is_v4() ? 32 : 128, address.is_v4());
}

std::span<const Ipv4Block> closed_ipv4() { return kClosed; }
std::span<const Ipv6Head> closed_ipv6() { return kClosed6; }

const std::vector<Prefix>& public_blocks(bool v4) {
  static const std::vector<Prefix> kPublic = rest_of(closed_ipv4());
  static const std::vector<Prefix> kPublic6 = rest_of(closed_ipv6());
  return v4 ? kPublic : kPublic6;
}

bool holds_public(const Address& network, unsigned length, bool v4) {
  const std::uint32_t mask = mask_of(std::min(length, kBits));
  if (!v4) return !is_closed(closed_ipv6(), {head_of(network) & mask, mask});
  const std::uint32_t first = network.is_v4() ? network.v4() : 0;
  return !is_closed(closed_ipv4(), {first & mask, mask});
}

}  // namespace sockswitch
