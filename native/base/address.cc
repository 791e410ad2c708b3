#include "base/address.h"

#include <arpa/inet.h>

#include <charconv>
#include <cstring>

namespace sockswitch {
namespace {

constexpr std::array<std::uint8_t, 12> kMappedPrefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

}  // namespace

bool Address::is_v4() const {
  return std::memcmp(bytes.data(), kMappedPrefix.data(), kMappedPrefix.size()) == 0;
}

std::uint32_t Address::v4() const {
  std::uint32_t value = 0;
  std::memcpy(&value, bytes.data() + kMappedPrefix.size(), sizeof value);
  return ntohl(value);
}

std::string Address::text() const {
  char buffer[INET6_ADDRSTRLEN] = "";
  if (is_v4()) {
    ::inet_ntop(AF_INET, bytes.data() + kMappedPrefix.size(), buffer, sizeof buffer);
  } else {
    ::inet_ntop(AF_INET6, bytes.data(), buffer, sizeof buffer);
  }
  return buffer;
}

Address Address::from_v4(in_addr address) {
  Address result;
  std::memcpy(result.bytes.data(), kMappedPrefix.data(), kMappedPrefix.size());
  std::memcpy(result.bytes.data() + kMappedPrefix.size(), &address, sizeof address);
  return result;
}

Address Address::from_v6(const in6_addr& address) {
  Address result;
  std::memcpy(result.bytes.data(), &address, sizeof address);
  return result;
}

std::optional<Address> Address::parse(const std::string& text) {
  in_addr v4{};
  if (::inet_pton(AF_INET, text.c_str(), &v4) == 1) return from_v4(v4);
  in6_addr v6{};
  if (::inet_pton(AF_INET6, text.c_str(), &v6) == 1) return from_v6(v6);
  return {};
}

bool is_unspecified(const Address& address) {
  return address == Address{} || address == Address::from_v4(in_addr{INADDR_ANY});
}

bool is_loopback(const Address& address) {
  static const Address kLoopback6 = *Address::parse("::1");
  return address.is_v4() ? address.v4() >> 24 == 127 : address == kLoopback6;
}

bool is_link_local(const Address& address) {
  return !address.is_v4() && address.bytes[0] == 0xfe && (address.bytes[1] & 0xc0U) == 0x80U;
}

std::size_t AddressHash::operator()(const Address& address) const {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  std::memcpy(&high, address.bytes.data(), sizeof high);
  std::memcpy(&low, address.bytes.data() + sizeof high, sizeof low);
  std::uint64_t mixed = (high ^ (low * 0x9E3779B97F4A7C15ULL)) * 0xD6E8FEB86659FD93ULL;
  return static_cast<std::size_t>(mixed ^ (mixed >> 32));
}

std::string Destination::text() const {
  std::string port_text = std::to_string(port);
  if (address.is_v4()) return address.text() + ":" + port_text;
  return "[" + address.text() + "]:" + port_text;
}

std::optional<Destination> destination_of(const sockaddr_storage& raw, std::uint32_t length) {
  // sin6_scope_id was added by RFC 2553; the kernel accepts the 24 bytes of RFC 2133 too.
  constexpr std::uint32_t kShortIn6 = 24;
  if (raw.ss_family == AF_INET && length >= sizeof(sockaddr_in)) {
    sockaddr_in in{};
    std::memcpy(&in, &raw, sizeof in);
    return Destination{Address::from_v4(in.sin_addr), ntohs(in.sin_port), 0};
  }
  if (raw.ss_family == AF_INET6 && length >= kShortIn6) {
    sockaddr_in6 in6{};
    std::memcpy(&in6, &raw, length >= sizeof in6 ? sizeof in6 : kShortIn6);
    return Destination{Address::from_v6(in6.sin6_addr), ntohs(in6.sin6_port), in6.sin6_scope_id};
  }
  return {};
}

std::optional<Prefix> Prefix::parse(const std::string& text) {
  auto slash = text.find('/');
  auto network = Address::parse(text.substr(0, slash));
  if (!network) return {};
  unsigned family_bits = network->is_v4() ? 32 : 128;
  unsigned bits = family_bits;
  if (slash != std::string::npos) {
    const char* end = text.data() + text.size();
    auto [stop, error] = std::from_chars(text.data() + slash + 1, end, bits);
    if (error != std::errc{} || stop != end || bits > family_bits) return {};
  }
  Prefix prefix;
  prefix.network_ = *network;
  prefix.bits_ = 128 - family_bits + bits;
  return prefix;
}

Prefix Prefix::of(const Address& network, unsigned bits) {
  Prefix prefix;
  prefix.network_ = network;
  prefix.bits_ = bits;
  return prefix;
}

Address Prefix::network() const {
  Address first = network_;
  for (unsigned bit = bits_; bit < 8 * first.bytes.size(); ++bit) {
    first.bytes.at(bit / 8) &= static_cast<std::uint8_t>(~(0x80U >> bit % 8));
  }
  return first;
}

bool Prefix::contains(const Address& address) const {
  unsigned whole = bits_ / 8;
  if (std::memcmp(network_.bytes.data(), address.bytes.data(), whole) != 0) return false;
  unsigned rest = bits_ % 8;
  if (rest == 0) return true;
  auto mask = static_cast<std::uint8_t>(0xff << (8 - rest));
  return (network_.bytes[whole] & mask) == (address.bytes[whole] & mask);
}

std::string Prefix::text() const {
  return network_.text() + "/" + std::to_string(network_.is_v4() ? bits_ - 96 : bits_);
}

const Prefix* PrefixSet::find(const Address& address) const {
  for (const Prefix& prefix : prefixes_) {
    if (prefix.contains(address)) return &prefix;
  }
  return nullptr;
}

}  // namespace sockswitch
