#include "base/public_address.h"

#include <cstdint>
#include <utility>

#include "check.h"

namespace {

using namespace sockswitch;  // NOLINT(google-build-using-namespace): a test of this namespace

bool is_public_text(const std::string& text) { return is_public(*Address::parse(text)); }

TEST(public_addresses) {
  for (const char* text :
       {"1.0.0.0",       "8.8.8.8",     "9.255.255.255",   "11.0.0.0",    "100.63.255.255",
        "100.128.0.0",   "126.1.1.1",   "128.0.0.1",       "169.253.0.1", "172.15.0.1",
        "172.32.0.1",    "192.0.1.0",   "192.167.0.1",     "192.169.0.1", "198.17.0.1",
        "198.20.0.1",    "203.0.113.1", "223.255.255.255", "2001:200::1", "2001:db7::1",
        "2001:db9::1",   "2003::1",     "2606:4700::1111", "3ffe::1",     "3fff:1000::1",
        "::ffff:8.8.8.8"}) {
    CHECK(is_public_text(text));
  }
  for (const char* text : {"0.0.0.0",     "10.0.0.1",        "100.64.0.1",      "100.127.255.255",
                           "127.0.0.1",   "169.254.169.254", "172.16.0.1",      "172.31.255.255",
                           "192.0.0.1",   "192.168.0.1",     "198.18.0.1",      "198.19.255.255",
                           "224.0.0.1",   "240.0.0.1",       "255.255.255.255", "::1",
                           "::",          "fc00::1",         "fd00::1",         "fe80::1",
                           "ff02::1",     "64:ff9b::a00:1",  "::ffff:10.0.0.1", "2001::1",
                           "2001:1ff::1", "2001:db8::1",     "2002:a00:1::1",   "3fff::1",
                           "3fff:fff::1", "4000::1",         "1fff::1"}) {
    CHECK(!is_public_text(text));
  }
}

std::uint32_t head_of(const Address& address) {
  std::uint32_t head = 0;
  for (std::size_t i = 0; i < sizeof head; ++i) head = head << 8 | address.bytes.at(i);
  return head;
}

// The first address and the last one.
bool is_public_throughout(Address first, std::size_t at, std::uint32_t mask) {
  Address last = first;
  for (std::size_t i = 0; i < sizeof mask; ++i) {
    last.bytes.at(at + i) |= static_cast<std::uint8_t>(~mask >> (24 - 8 * i));
  }
  return is_public(first) && is_public(last);
}

// Each address is in one block, or closed, whatever stands at the blocks' borders.
TEST(blocks_of_public_addresses_are_all_there_is) {
  std::uint64_t count = 0;
  for (const Prefix& block : public_blocks(true)) {
    const std::uint32_t network = block.network().v4();
    const std::uint32_t mask = ~0U << (128 - block.bits());
    count += std::uint64_t{~mask} + 1;
    CHECK_EQ(network & ~mask, 0U);
    CHECK(is_public_throughout(block.network(), 12, mask));
  }
  for (const Ipv4Block& block : closed_ipv4()) {
    count += std::uint64_t{~block.mask} + 1;
    CHECK(!is_public(Address::from_v4({htonl(block.network)})));
    CHECK(!is_public(Address::from_v4({htonl(block.network | ~block.mask)})));
  }
  CHECK_EQ(count, std::uint64_t{1} << 32U);
}

TEST(blocks_of_public_addresses_are_all_there_is_of_ipv6) {
  std::uint64_t count = 0;  // of first 32 bits
  for (const Prefix& block : public_blocks(false)) {
    const std::uint32_t mask = ~0U << (32 - block.bits());
    count += std::uint64_t{~mask} + 1;
    CHECK_EQ(head_of(block.network()) & ~mask, 0U);
    CHECK(is_public_throughout(block.network(), 0, mask));
  }
  for (const Ipv6Head& head : closed_ipv6()) {
    count += std::uint64_t{~head.mask} + 1;
    CHECK_EQ(head.network & ~head.mask, 0U);
    for (const std::uint32_t word : {head.network, head.network | ~head.mask}) {
      in6_addr raw{};
      raw.s6_addr32[0] = htonl(word);
      CHECK(!is_public(Address::from_v6(raw)));
    }
  }
  CHECK_EQ(count, std::uint64_t{1} << 32U);
}

TEST(prefixes_that_hold_public_addresses) {
  const auto holds = [](const char* network, unsigned length) {
    return holds_public(*Address::parse(network), length, true);
  };
  CHECK(holds("0.0.0.0", 0));
  CHECK(holds_public({}, 0, true));
  CHECK(holds("10.0.0.0", 7));
  CHECK(holds("203.0.113.1", 32));
  CHECK(holds("192.0.0.0", 23));
  CHECK(!holds("10.0.0.0", 8));
  CHECK(!holds("10.244.0.0", 16));
  CHECK(!holds("192.168.1.1", 32));
  CHECK(!holds("255.255.255.255", 32));
  const auto holds6 = [](const char* network, unsigned length) {
    return holds_public(*Address::parse(network), length, false);
  };
  CHECK(holds_public({}, 0, false));
  for (const auto& [network, length] : {std::pair{"2000::", 3U},
                                        {"2001::", 22U},
                                        {"2400::1", 128U},
                                        {"2001:db8::", 31U},
                                        {"2001:200::", 23U},
                                        {"::", 2U}}) {
    CHECK(holds6(network, length));
  }
  for (const auto& [network, length] : {std::pair{"::", 3U},
                                        {"fd00::", 8U},
                                        {"fe80::", 64U},
                                        {"ff00::", 8U},
                                        {"2001::", 23U},
                                        {"2002:808:808::", 48U},
                                        {"2001:db8:42::", 48U},
                                        {"4000::", 2U}}) {
    CHECK(!holds6(network, length));
  }
}

}  // namespace
