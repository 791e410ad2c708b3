// Addresses of devices as rtnetlink lists them (kernel/device_addresses.h).
#include "kernel/device_addresses.h"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <string>

#include "check.h"

namespace {

using namespace sockswitch;  // NOLINT(google-build-using-namespace): a test of this namespace

constexpr int kLoopbackDevice = 1;  // LOOPBACK_IFINDEX, in every network namespace

ifaddrmsg header(int family, std::uint8_t flags = 0) {
  return {.ifa_family = static_cast<std::uint8_t>(family), .ifa_flags = flags, .ifa_index = 7};
}

std::optional<DeviceAddress> parsed(NetlinkRequest& request) {
  NetlinkMessages walk(request.bytes(1));
  NetlinkMessage message;
  CHECK(walk.next(message));
  return parse_device_address(message);
}

TEST(an_address_is_the_devices_own) {
  NetlinkRequest ethernet(RTM_NEWADDR);
  ethernet.header(header(AF_INET6, IFA_F_TENTATIVE))
      .address(IFA_ADDRESS, *Address::parse("fd00::7"));
  const auto one = parsed(ethernet);
  CHECK(one && one->device == 7 && one->domain == AF_INET6 && one->flags == IFA_F_TENTATIVE);
  CHECK_EQ(one->own->text(), std::string("fd00::7"));

  NetlinkRequest point_to_point(RTM_NEWADDR);
  point_to_point.header(header(AF_INET))
      .address(IFA_LOCAL, *Address::parse("10.0.0.1"))
      .address(IFA_ADDRESS, *Address::parse("10.0.0.2"));
  CHECK_EQ(parsed(point_to_point)->own->text(), std::string("10.0.0.1"));
}

TEST(an_address_that_is_none_is_seen) {
  NetlinkRequest without(RTM_NEWADDR);
  without.header(header(AF_INET));
  CHECK(parsed(without) && !parsed(without)->own);

  const std::uint8_t odd[5] = {1, 2, 3, 4, 5};
  NetlinkRequest long_one(RTM_NEWADDR);
  long_one.header(header(AF_INET)).attribute(IFA_ADDRESS, odd);
  CHECK(parsed(long_one) && !parsed(long_one)->own);

  // An attribute that says that it is longer than the message.
  NetlinkRequest malformed(RTM_NEWADDR);
  malformed.header(header(AF_INET))
      .address(IFA_LOCAL, *Address::parse("10.0.0.1"))
      .header(nlattr{.nla_len = 64, .nla_type = IFA_ADDRESS});
  CHECK(parsed(malformed) && !parsed(malformed)->own);

  NetlinkRequest gone(RTM_DELADDR);
  gone.header(header(AF_INET)).address(IFA_LOCAL, *Address::parse("10.0.0.1"));
  CHECK(!parsed(gone));
  NetlinkRequest cut(RTM_NEWADDR);
  cut.header(std::uint32_t{0});
  CHECK(!parsed(cut));
}

TEST(the_kernel_lists_the_addresses_of_loopback) {
  const Address loopback = *Address::parse("127.0.0.1");
  NetlinkSocket socket(open_netlink(NETLINK_ROUTE));
  CHECK(owns_address(socket, kLoopbackDevice, loopback) == true);
  CHECK(owns_address(socket, kLoopbackDevice, *Address::parse("192.0.2.1")) == false);
  CHECK(owns_address(socket, kLoopbackDevice + 12345, loopback) == false);
  NetlinkSocket none{UniqueFd()};
  CHECK(!owns_address(none, kLoopbackDevice, loopback));

  DeviceAddresses addresses(open_netlink(NETLINK_ROUTE));
  const auto all = addresses.of(kLoopbackDevice, 64);
  CHECK(!all.empty() && all.front() == loopback);
  CHECK_EQ(addresses.of(kLoopbackDevice, 1).size(), std::size_t{1});
  CHECK(addresses.of(kLoopbackDevice + 12345, 64).empty());
}

}  // namespace
