#include "base/ipv4_block.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>

namespace sockswitch {
namespace {

constexpr unsigned kBits = 32;

// 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16, 224.0.0.0/3.
constexpr std::array<Ipv4Block, 4> kNever{{{0x00000000, 0xFF000000},
                                           {0x7F000000, 0xFF000000},
                                           {0xA9FE0000, 0xFFFF0000},
                                           {0xE0000000, 0xE0000000}}};

}  // namespace

std::string Ipv4Block::text() const {
  return Address::from_v4(in_addr{htonl(network)}).text() + "/" +
         std::to_string(std::popcount(mask));
}

Prefix Ipv4Block::prefix() const {
  constexpr unsigned kMapped = 96;
  return Prefix::of(Address::from_v4(in_addr{htonl(network)}),
                    kMapped + static_cast<unsigned>(std::popcount(mask)));
}

Ipv4Block ipv4_block(std::uint32_t network, unsigned length) {
  const std::uint32_t mask = length == 0 ? 0 : UINT32_MAX << (kBits - std::min(length, kBits));
  return {network & mask, mask};
}

std::optional<Ipv4Block> parse_ipv4_block(const std::string& text) {
  const std::size_t slash = text.find('/');
  const auto address = Address::parse(text.substr(0, slash));
  if (!address || !address->is_v4()) return {};
  unsigned length = kBits;
  if (slash != std::string::npos) {
    const char* end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data() + slash + 1, end, length);
    if (parsed.ec != std::errc{} || parsed.ptr != end || length > kBits) return {};
  }
  return ipv4_block(address->v4(), length);
}

bool may_be_listed(const Ipv4Block& block) {
  const auto length = static_cast<unsigned>(std::popcount(block.mask));
  if (length == 0 || block != ipv4_block(block.network, length)) return false;
  return std::ranges::none_of(kNever,
                              [&](const Ipv4Block& never) { return overlap(never, block); });
}

}  // namespace sockswitch
