// What packet filters could do to a packet (path/firewall.h and what it is made of).
#include "path/firewall.h"

#include "check.h"

namespace {

using namespace sockswitch;  // NOLINT(google-build-using-namespace): a test of this namespace

TEST(a_firewall_of_nothing_is_no_obstacle) {
  PacketFacts packet;
  packet.destination = {*Address::parse("192.0.2.1"), 80, 0};
  const Firewall firewall;
  CHECK(!firewall.obstacle(packet));
  CHECK(!firewall.may_translate(packet));
}

}  // namespace
