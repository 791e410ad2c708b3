#include "base/public_address.h"

#include <cstdint>

#include "check.h"

namespace {

using namespace sockswitch;  // NOLINT(google-build-using-namespace): a test of this namespace

bool is_public_text(const std::string& text) { return is_public(*Address::parse(text)); }

TEST(public_addresses) {
  for (const char* text :
       {"1.0.0.0",       "8.8.8.8",     "9.255.255.255",   "11.0.0.0",    "100.63.255.255",
        "100.128.0.0",   "126.1.1.1",   "128.0.0.1",       "169.253.0.1", "172.15.0.1",
        "172.32.0.1",    "192.0.1.0",   "192.167.0.1",     "192.169.0.1", "198.17.0.1",
        "198.20.0.1",    "203.0.113.1", "223.255.255.255", "2001:db8::1", "3fff::1",
        "::ffff:8.8.8.8"}) {
    CHECK(is_public_text(text));
  }
  for (const char* text : {"0.0.0.0",   "10.0.0.1",        "100.64.0.1",      "100.127.255.255",
                           "127.0.0.1", "169.254.169.254", "172.16.0.1",      "172.31.255.255",
                           "192.0.0.1", "192.168.0.1",     "198.18.0.1",      "198.19.255.255",
                           "224.0.0.1", "240.0.0.1",       "255.255.255.255", "::1",
                           "::",        "fc00::1",         "fd00::1",         "fe80::1",
                           "ff02::1",   "64:ff9b::a00:1",  "::ffff:10.0.0.1"}) {
    CHECK(!is_public_text(text));
  }
}

// Each address is in one block, or closed, whatever stands at the blocks' borders.
TEST(blocks_of_public_addresses_are_all_there_is) {
  std::uint64_t count = 0;
  for (const Ipv4Block& block : public_ipv4()) {
    count += std::uint64_t{~block.mask} + 1;
    CHECK_EQ(block.network & ~block.mask, 0U);
    CHECK(is_public(Address::from_v4({htonl(block.network)})));
    CHECK(is_public(Address::from_v4({htonl(block.network | ~block.mask)})));
  }
  for (const Ipv4Block& block : closed_ipv4()) {
    count += std::uint64_t{~block.mask} + 1;
    CHECK(!is_public(Address::from_v4({htonl(block.network)})));
    CHECK(!is_public(Address::from_v4({htonl(block.network | ~block.mask)})));
  }
  CHECK_EQ(count, std::uint64_t{1} << 32U);
}

TEST(prefixes_that_hold_public_addresses) {
  const auto holds = [](const char* network, unsigned length) {
    return holds_public_ipv4(*Address::parse(network), length);
  };
  CHECK(holds("0.0.0.0", 0));
  CHECK(holds_public_ipv4({}, 0));
  CHECK(holds("10.0.0.0", 7));
  CHECK(holds("203.0.113.1", 32));
  CHECK(holds("192.0.0.0", 23));
  CHECK(!holds("10.0.0.0", 8));
  CHECK(!holds("10.244.0.0", 16));
  CHECK(!holds("192.168.1.1", 32));
  CHECK(!holds("255.255.255.255", 32));
}

}  // namespace
