#include "base/address.h"

#include <cstring>

#include "check.h"
#include "policy/destination.h"

namespace {

using namespace sockswitch;  // NOLINT(google-build-using-namespace): a test of this namespace

std::string destination(int family, const std::string& address, std::uint32_t length) {
  sockaddr_storage raw{};
  auto parsed = Address::parse(address);
  if (family == AF_INET) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(80);
    std::memcpy(&in.sin_addr, parsed->bytes.data() + 12, sizeof in.sin_addr);
    std::memcpy(&raw, &in, sizeof in);
  } else {
    sockaddr_in6 in6{};
    in6.sin6_family = AF_INET6;
    in6.sin6_port = htons(80);
    std::memcpy(&in6.sin6_addr, parsed->bytes.data(), sizeof in6.sin6_addr);
    std::memcpy(&raw, &in6, sizeof in6);
  }
  auto found = destination_of(raw, length);
  return found ? found->text() : "(none)";
}

bool contains(const std::string& prefix, const std::string& address) {
  return Prefix::parse(prefix)->contains(*Address::parse(address));
}

std::string rule(const std::string& address, std::uint32_t scope = 0) {
  auto outcome = fixed_rule({*Address::parse(address), 80, scope});
  return outcome ? info(*outcome).name : "(none)";
}

TEST(an_address_reads_as_it_was_written) {
  for (const char* text : {"0.0.0.0", "10.0.0.1", "255.255.255.255", "::", "::1", "fd00::1:2"}) {
    CHECK_EQ(Address::parse(text)->text(), std::string(text));
  }
  CHECK_EQ(Address::parse("::ffff:10.0.0.1")->text(), std::string("10.0.0.1"));
  for (const char* text : {"", "10.0.0", "10.0.0.256", "01.2.3.4", "fd00::1::2", "fe80::1%eth0"}) {
    CHECK(!Address::parse(text));
  }
}

TEST(a_socket_address_must_be_complete) {
  CHECK_EQ(destination(AF_INET, "10.0.0.1", 16), std::string("10.0.0.1:80"));
  CHECK_EQ(destination(AF_INET, "10.0.0.1", 28), std::string("10.0.0.1:80"));
  CHECK_EQ(destination(AF_INET, "10.0.0.1", 15), std::string("(none)"));
  CHECK_EQ(destination(AF_INET6, "fd00::1", 28), std::string("[fd00::1]:80"));
  CHECK_EQ(destination(AF_INET6, "fd00::1", 24), std::string("[fd00::1]:80"));
  CHECK_EQ(destination(AF_INET6, "fd00::1", 23), std::string("(none)"));
  CHECK_EQ(destination(AF_INET6, "::ffff:10.0.0.1", 28), std::string("10.0.0.1:80"));
  sockaddr_storage unspec{};
  CHECK(!destination_of(unspec, sizeof unspec));
}

TEST(a_prefix_holds_what_its_bits_say) {
  CHECK(contains("10.0.0.0/8", "10.255.0.1"));
  CHECK(!contains("10.0.0.0/8", "11.0.0.0"));
  CHECK(contains("10.0.0.0/9", "10.127.255.255"));
  CHECK(!contains("10.0.0.0/9", "10.128.0.0"));
  CHECK(contains("0.0.0.0/0", "1.2.3.4"));
  CHECK(!contains("0.0.0.0/0", "fd00::1"));
  CHECK(contains("::/0", "fd00::1"));
  CHECK(contains("fd00::/8", "fdff::1"));
  CHECK(contains("192.0.2.1", "192.0.2.1"));
  CHECK(!contains("192.0.2.1", "192.0.2.2"));
  CHECK_EQ(Prefix::parse("::ffff:10.0.0.0/8")->text(), std::string("10.0.0.0/8"));
  for (const char* text :
       {"10.0.0.0/33", "10.0.0.0/", "10.0.0.0/x", "/8", "fd00::/129", "10.0.0.0/8 "}) {
    CHECK(!Prefix::parse(text));
  }
}

TEST(fixed_rules_cover_every_spelling) {
  CHECK_EQ(rule("0.0.0.0"), std::string("unspecified"));
  CHECK_EQ(rule("::"), std::string("unspecified"));
  CHECK_EQ(rule("::ffff:0.0.0.0"), std::string("unspecified"));
  CHECK_EQ(rule("127.255.0.1"), std::string("loopback"));
  CHECK_EQ(rule("::1"), std::string("loopback"));
  CHECK_EQ(rule("::ffff:127.0.0.1"), std::string("loopback"));
  CHECK_EQ(rule("0.1.2.3"), std::string("no-route"));
  CHECK_EQ(rule("169.254.169.254"), std::string("link-local"));
  CHECK_EQ(rule("fe80::1"), std::string("link-local"));
  CHECK_EQ(rule("febf::1"), std::string("link-local"));
  CHECK_EQ(rule("fec0::1"), std::string("(none)"));
  CHECK_EQ(rule("fd00::1", 2), std::string("link-local"));
  CHECK_EQ(rule("224.0.0.1"), std::string("multicast"));
  CHECK_EQ(rule("ff02::1"), std::string("multicast"));
  CHECK_EQ(rule("255.255.255.255"), std::string("broadcast"));
  CHECK_EQ(rule("192.0.2.1"), std::string("(none)"));
  CHECK_EQ(rule("2001:db8::1"), std::string("(none)"));
}

TEST(an_outcome_stands_at_its_own_place_in_the_table) {
  for (std::size_t i = 0; i < kOutcomeCount; ++i) {
    CHECK_EQ(static_cast<std::size_t>(outcome_table()[i].outcome), i);
  }
}

TEST(a_prefix_has_a_first_address) {
  const auto first = [](const char* text) { return Prefix::parse(text)->network().text(); };
  CHECK_EQ(first("192.168.7.9/16"), "192.168.0.0");
  CHECK_EQ(first("192.168.7.9/29"), "192.168.7.8");
  CHECK_EQ(first("192.168.7.9"), "192.168.7.9");
  CHECK_EQ(first("0.0.0.0/0"), "0.0.0.0");
  CHECK_EQ(first("fd00::1:9/125"), "fd00::1:8");
}

}  // namespace
