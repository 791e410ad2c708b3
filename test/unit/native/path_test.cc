// What routes, rules and links say about the way of a packet (path/routing.h, path/link.h).
#include <linux/fib_rules.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <future>
#include <string>
#include <vector>

#include "base/public_address.h"
#include "check.h"
#include "kernel/netlink.h"
#include "own_network.h"
#include "path/block_routes.h"
#include "path/link.h"
#include "path/routing.h"

namespace {

using namespace sockswitch;  // NOLINT(google-build-using-namespace): a test of this namespace

// The request builder makes what the kernel would send, too: only the direction differs.
class Recorded {
 public:
  template <typename Header>
  Recorded(std::uint16_t type, const Header& header) : request_(type) {
    request_.header(header);
  }
  NetlinkRequest* operator->() { return &request_; }
  NetlinkMessage message() {
    auto whole = request_.bytes(1);
    bytes_.assign(whole.begin(), whole.end());
    NetlinkMessages walk(bytes_);
    NetlinkMessage message;
    CHECK(walk.next(message));
    return message;
  }

 private:
  NetlinkRequest request_;
  std::vector<std::uint8_t> bytes_;
};

Recorded rule(std::uint32_t priority, std::uint8_t table = RT_TABLE_MAIN) {
  Recorded recorded(RTM_NEWRULE,
                    fib_rule_hdr{.family = AF_INET, .table = table, .action = FR_ACT_TO_TBL});
  recorded->number<std::uint32_t>(FRA_PRIORITY, priority);
  recorded->number<std::uint32_t>(FRA_TABLE, table);
  return recorded;
}

RuleSelectors selectors_of(Recorded recorded) {
  RuleSelectors selectors;
  CHECK(add_rule(recorded.message(), selectors));
  return selectors;
}

TEST(the_rules_of_a_fresh_namespace_select_nothing) {
  RuleSelectors selectors;
  for (auto [priority, table] : {std::pair{0U, RT_TABLE_LOCAL}, std::pair{32766U, RT_TABLE_MAIN},
                                 std::pair{32767U, RT_TABLE_DEFAULT}}) {
    Recorded recorded = rule(priority, static_cast<std::uint8_t>(table));
    recorded->number<std::uint32_t>(FRA_SUPPRESS_PREFIXLEN, ~0U);
    recorded->number<std::uint8_t>(FRA_PROTOCOL, 2);
    CHECK(add_rule(recorded.message(), selectors));
  }
  CHECK(selectors.plain && selectors.unknown.empty());
  CHECK(!selectors.uid && !selectors.port && !selectors.source);
}

TEST(rules_by_user_and_port_are_told_to_the_kernel) {
  Recorded by_user = rule(100);
  by_user->number<std::uint64_t>(FRA_UID_RANGE, 0);
  RuleSelectors selectors = selectors_of(by_user);
  CHECK(selectors.uid && !selectors.port && !selectors.plain && selectors.unknown.empty());

  Recorded by_port = rule(100);
  by_port->number<std::uint32_t>(FRA_DPORT_RANGE, 0);
  by_port->number<std::uint8_t>(FRA_IP_PROTO, 6);
  selectors = selectors_of(by_port);
  CHECK(selectors.port && !selectors.uid && selectors.unknown.empty());
}

TEST(rules_that_cannot_be_followed_are_named) {
  Recorded by_source_port = rule(101);
  by_source_port->number<std::uint32_t>(FRA_SPORT_RANGE, 0);
  CHECK_EQ(selectors_of(by_source_port).unknown, std::string("rule 101: source port"));

  Recorded by_tos(RTM_NEWRULE, fib_rule_hdr{.family = AF_INET, .tos = 0x10});
  CHECK_EQ(selectors_of(by_tos).unknown, std::string("rule 0: type of service"));

  constexpr std::uint16_t kOfTheFuture = 200;
  Recorded unknown = rule(102);
  unknown->number<std::uint32_t>(kOfTheFuture, 1);
  CHECK_EQ(selectors_of(unknown).unknown, std::string("rule 102: attribute 200"));
}

TEST(a_rule_for_another_table_is_not_plain) {
  CHECK(!selectors_of(rule(100)).plain);
  CHECK(!selectors_of(rule(32766, 100)).plain);
}

TEST(a_rule_that_suppresses_routes_is_not_plain) {
  for (const std::uint16_t suppressed : {FRA_SUPPRESS_PREFIXLEN, FRA_SUPPRESS_IFGROUP}) {
    Recorded recorded = rule(32766, RT_TABLE_MAIN);
    recorded->number<std::uint32_t>(suppressed, 0);
    CHECK(!selectors_of(recorded).plain);
  }
}

TEST(rules_that_tcp_does_not_meet_are_left_out) {
  auto other = [](std::uint32_t flags) {
    Recorded recorded(
        RTM_NEWRULE,
        fib_rule_hdr{.family = AF_INET, .table = 100, .action = FR_ACT_TO_TBL, .flags = flags});
    recorded->number<std::uint32_t>(FRA_PRIORITY, 100);
    recorded->number<std::uint8_t>(FRA_IP_PROTO, IPPROTO_UDP);
    recorded->number<std::uint32_t>(FRA_SPORT_RANGE, 0);
    return recorded;
  };
  RuleSelectors selectors = selectors_of(other(0));
  CHECK(selectors.plain && selectors.unknown.empty());
  // ip rule add not ipproto udp ...
  selectors = selectors_of(other(FIB_RULE_INVERT));
  CHECK(!selectors.plain && !selectors.unknown.empty());

  Recorded of_the_future = other(0);
  of_the_future->number<std::uint32_t>(200, 1);
  CHECK(!selectors_of(of_the_future).plain);
}

TEST(routes_that_cannot_be_followed_are_named) {
  auto route = [](std::uint16_t type) {
    Recorded recorded(RTM_NEWROUTE, rtmsg{.rtm_family = AF_INET, .rtm_type = RTN_UNICAST});
    recorded->number<std::int32_t>(RTA_OIF, 2);
    recorded->number<std::uint32_t>(type, 1);
    return parse_route(recorded.message())->strange;
  };
  CHECK_EQ(route(RTA_PRIORITY), std::string());
  CHECK_EQ(route(RTA_ENCAP_TYPE), std::string("an encapsulation"));
  CHECK_EQ(route(RTA_VIA), std::string("a next hop of another family"));
  CHECK_EQ(route(30), std::string("a next-hop object"));
  CHECK_EQ(route(200), std::string("attribute 200"));
}

TEST(a_veth_names_its_other_end) {
  Recorded recorded(RTM_NEWLINK, ifinfomsg{.ifi_family = AF_UNSPEC, .ifi_index = 2});
  recorded->text(IFLA_IFNAME, "eth0");
  recorded->number<std::int32_t>(IFLA_LINK, 7);
  recorded->number<std::int32_t>(IFLA_LINK_NETNSID, 0);
  auto nest = recorded->begin_nest(IFLA_LINKINFO);
  recorded->text(IFLA_INFO_KIND, "veth");
  recorded->end_nest(nest);
  auto link = parse_link(recorded.message());
  CHECK(link && link->kind == "veth" && link->name == "eth0");
  CHECK(link && link->peer == 7 && link->peer_netns == 0 && link->master == 0);
}

// In a network of a thread that ends with it.
void in_a_network_of_its_own(const char* made_by, const std::function<void()>& test) {
  std::async(std::launch::async, [&] {
    if (::unshare(CLONE_NEWNET) != 0) {
      CHECK(::geteuid() != 0 || std::getenv("CI") == nullptr);
      std::puts("skipped: this user may not make a network namespace");
      return;
    }
    CHECK_EQ(std::system(made_by), 0);
    test();
  }).get();
}

TEST(a_neighbour_entry_that_was_set_is_known_and_reported) {
  in_a_network_of_its_own(
      "ip link add v0 type veth peer name v1 && ip link set v1 up && ip link set v0 up && "
      "ip address add 192.0.2.1/24 dev v0 && ip address add fd00::1/64 dev v0 nodad",
      [] {
        NetlinkSocket routes(open_route_socket());
        const int device = static_cast<int>(::if_nametoindex("v0"));
        for (const char* next_hop : {"192.0.2.9", "fd00::9"}) {
          const Address address = *Address::parse(next_hop);
          const UniqueFd monitor = open_packet_monitor();
          const auto changed_by = [&](const std::string& state) {
            std::string command = "ip neigh replace ";
            command.append(next_hop).append(" lladdr 02:00:00:00:00:09 dev v0").append(state);
            CHECK_EQ(std::system(command.c_str()), 0);
            return drain_packet_monitor(monitor.get());
          };
          CHECK(has_fixed_neighbour(routes, device, address) == false);
          CHECK_EQ(changed_by(" nud reachable"), false);
          CHECK(has_fixed_neighbour(routes, device, address) == false);
          CHECK_EQ(changed_by(" nud permanent"), true);
          CHECK(has_fixed_neighbour(routes, device, address) == true);
          CHECK_EQ(changed_by(" nud noarp"), true);
          CHECK(has_fixed_neighbour(routes, device, address) == true);
          CHECK_EQ(drain_packet_monitor(monitor.get()), false);
        }
        const UniqueFd monitor = open_packet_monitor();
        CHECK_EQ(std::system("ip neigh del 192.0.2.9 dev v0"), 0);
        CHECK_EQ(drain_packet_monitor(monitor.get()), true);
        CHECK_EQ(std::system("ip link set v0 arp off"), 0);
        CHECK_EQ(drain_packet_monitor(monitor.get()), true);
        CHECK_EQ(link_of(routes, device)->resolves, false);
      });
}

TEST(a_link_without_a_name_is_none) {
  Recorded recorded(RTM_NEWLINK, ifinfomsg{.ifi_family = AF_UNSPEC, .ifi_index = 2});
  CHECK(!parse_link(recorded.message()));
}

// A route of the main table, IPv4.
FoundRoute route(const char* prefix, int device, const char* gateway = nullptr,
                 std::uint8_t type = RTN_UNICAST) {
  const Ipv4Block block = *parse_ipv4_block(prefix);
  FoundRoute made;
  made.type = type;
  made.device = device;
  made.table = RT_TABLE_MAIN;
  if (gateway) made.gateway = Address::parse(gateway);
  made.network = Address::from_v4({htonl(block.network)});
  made.prefix_length = static_cast<unsigned>(std::popcount(block.mask));
  made.v4 = true;
  return made;
}

RoutingTables tables(std::vector<FoundRoute> routes, std::vector<FoundRoute> own = {}) {
  RoutingTables made;
  made.routes = std::move(routes);
  made.own = std::move(own);
  return made;
}

TEST(blocks_are_parsed_and_compared) {
  CHECK_EQ(parse_ipv4_block("10.20.3.4/16")->text(), "10.20.0.0/16");
  CHECK_EQ(parse_ipv4_block("192.0.2.7")->text(), "192.0.2.7/32");
  for (const char* text :
       {"10.0.0.0/33", "10.0.0.0/", "10.0.0.0/8x", "10.0.0.0/-1", "fd00::/8", ""})
    CHECK(!parse_ipv4_block(text));
  const auto listed = [](const char* text) { return may_be_listed(*parse_ipv4_block(text)); };
  for (const char* text : {"10.0.0.0/8", "172.16.0.0/12", "100.64.0.0/10", "8.8.8.8", "1.0.0.0/8"})
    CHECK(listed(text));
  for (const char* text : {"0.0.0.0/0", "0.1.2.3", "127.0.0.0/8", "126.0.0.0/7", "169.254.1.1",
                           "128.0.0.0/1", "224.0.0.0/4", "240.0.0.1", "255.255.255.255"}) {
    CHECK(!listed(text));
  }
  CHECK(!may_be_listed({0x0A000001, 0xFF000000}));
  CHECK(!may_be_listed({0x0A000000, 0xFF00FF00}));
  CHECK(overlap(*parse_ipv4_block("10.0.0.0/8"), *parse_ipv4_block("10.1.0.0/16")));
  CHECK(!overlap(*parse_ipv4_block("10.0.0.0/9"), *parse_ipv4_block("10.128.0.0/16")));
}

TEST(a_block_goes_the_default_way_where_nothing_of_it_goes_another) {
  const Ipv4Block block = *parse_ipv4_block("10.20.0.0/16");
  const FoundRoute out = route("0.0.0.0/0", 2, "192.0.2.1");
  const auto words = [&](const FoundRoute& other) {
    return led_elsewhere(tables({out, other}), block);
  };
  CHECK_EQ(led_elsewhere(tables({out}), block), "");
  CHECK_EQ(words(route("10.21.0.0/16", 3)), "");
  CHECK_EQ(words(route("10.20.5.0/24", 2)), "a route to 10.20.5.0/24");
  CHECK_EQ(words(route("10.20.5.0/24", 2, "192.0.2.1")), "a route to 10.20.5.0/24");
  CHECK_EQ(words(route("10.0.0.0/8", 2, "192.0.2.1")), "a route to 10.0.0.0/8");
  CHECK_EQ(words(route("10.20.5.0/24", 0, nullptr, RTN_BLACKHOLE)),
           "a route that refuses 10.20.5.0/24");
  const RoutingTables own = tables({out}, {route("10.20.9.9/32", 1, nullptr, RTN_LOCAL)});
  CHECK_EQ(led_elsewhere(own, block), "the own address 10.20.9.9/32");
  RoutingTables ruled = tables({out});
  ruled.v4.plain = false;
  CHECK_EQ(led_elsewhere(ruled, block), "routing rules");
}

// Of the main table, IPv6.
FoundRoute route6(const char* prefix, int device, const char* gateway = nullptr,
                  std::uint8_t type = RTN_UNICAST) {
  const Prefix network = *Prefix::parse(prefix);
  FoundRoute made;
  made.type = type;
  made.device = device;
  made.table = RT_TABLE_MAIN;
  if (gateway) made.gateway = Address::parse(gateway);
  made.network = network.network();
  made.prefix_length = network.bits();
  return made;
}

TEST(public_addresses_of_ipv6_go_the_default_way_where_none_goes_another) {
  const auto words_of = [](const RoutingTables& routes, int on_link) {
    return led_elsewhere(
        routes, false,
        [](const Address& network, unsigned length) {
          return holds_public(network, length, false);
        },
        on_link);
  };
  const FoundRoute out = route6("::/0", 2, "fe80::1");
  const auto words = [&](const FoundRoute& other) { return words_of(tables({out, other}), 0); };
  CHECK_EQ(words_of(tables({out}), 0), "");
  for (const char* prefix : {"fe80::/64", "fd00::/64", "2001:db8::/32", "2002::/16", "fc00::/7"})
    CHECK_EQ(words(route6(prefix, 3)), "");
  CHECK_EQ(words(route("8.8.8.0/24", 3)), "");
  CHECK_EQ(words(route6("2400::/64", 3)), "a route to 2400::/64");
  CHECK_EQ(words(route6("2400::1/128", 2, "fe80::1")), "a route to 2400::1/128");
  CHECK_EQ(words(route6("2000::/3", 2, "fe80::2")), "a route to 2000::/3");
  CHECK_EQ(words(route6("2400::/64", 0, nullptr, RTN_BLACKHOLE)), "a route that refuses 2400::/64");
  CHECK_EQ(words_of(tables({out, route6("2400::/64", 3)}), 3), "");
  FoundRoute worse = route6("::/0", 3, "fe80::2");
  worse.priority = 2048;
  CHECK_EQ(words(worse), "several default routes");
  FoundRoute by_source = out;
  by_source.source_length = 64;
  CHECK_EQ(words_of(tables({by_source}), 0), "a route by source address to ::/0");
  RoutingTables ruled = tables({out});
  ruled.v4.plain = false;
  CHECK_EQ(words_of(ruled, 0), "");
  ruled.v6.plain = false;
  CHECK_EQ(words_of(ruled, 0), "routing rules");
}

TEST(routes_by_source_address_are_known) {
  Recorded recorded(RTM_NEWROUTE,
                    rtmsg{.rtm_family = AF_INET6, .rtm_src_len = 64, .rtm_type = RTN_UNICAST});
  CHECK_EQ(parse_route(recorded.message())->source_length, 64U);
}

// The kernel answers a question for a forwarded packet also where it would not forward it.
TEST(whether_ipv6_is_forwarded_is_known_and_reported) {
  in_a_network_of_its_own("true", [] {
    NetlinkSocket routes(open_route_socket());
    const UniqueFd monitor = open_packet_monitor();
    const auto set = [&](const char* value) {
      const std::string command =
          std::string("echo ") + value + " >/proc/sys/net/ipv6/conf/all/forwarding";
      CHECK_EQ(std::system(command.c_str()), 0);
      return drain_packet_monitor(monitor.get());
    };
    CHECK(forwards_ipv6(routes) == false);
    CHECK_EQ(set("1"), true);
    CHECK(forwards_ipv6(routes) == true);
    CHECK_EQ(set("0"), true);
    CHECK(forwards_ipv6(routes) == false);
  });
}

TEST(a_host_sends_a_block_by_one_device_or_it_is_not_known_where) {
  const Ipv4Block block = *parse_ipv4_block("10.20.0.0/16");
  const FoundRoute out = route("0.0.0.0/0", 2, "192.0.2.1");
  const auto by = [&](std::vector<FoundRoute> routes) {
    return route_of_block(tables(std::move(routes)), block);
  };
  CHECK_EQ(by({out}).device, 2);
  CHECK_EQ(by({out, route("10.0.0.0/8", 3, "192.0.2.9")}).device, 3);
  CHECK_EQ(by({out, route("10.20.5.0/24", 2)}).device, 2);
  FoundRoute worse = route("0.0.0.0/0", 4, "192.0.2.2");
  worse.priority = 100;
  CHECK_EQ(by({worse, out}).device, 2);
  CHECK_EQ(by({out, route("10.20.5.0/24", 3)}).obstacle,
           "a route to 10.20.5.0/24 by another device");
  CHECK_EQ(by({out, route("10.20.5.0/24", 0, nullptr, RTN_UNREACHABLE)}).obstacle,
           "a route that refuses 10.20.5.0/24");
  CHECK_EQ(by({out, route("10.0.0.0/8", 0, nullptr, RTN_BLACKHOLE)}).obstacle,
           "a route that refuses 10.0.0.0/8");
  CHECK_EQ(by({route("10.20.5.0/24", 2)}).obstacle, "no route to all of it");
  const RoutingTables own = tables({out}, {route("10.20.9.9/32", 1, nullptr, RTN_LOCAL)});
  CHECK_EQ(route_of_block(own, block).obstacle, "the own address 10.20.9.9/32");
}

TEST(what_is_near_in_a_block_is_found) {
  const Ipv4Block block = *parse_ipv4_block("10.20.0.0/16");
  CHECK_EQ(near_part(tables({route("0.0.0.0/0", 2, "192.0.2.1")}), block), "");
  CHECK_EQ(near_part(tables({route("0.0.0.0/0", 2, "10.20.0.1")}), block), "the gateway 10.20.0.1");
  CHECK_EQ(near_part(tables({route("10.20.5.0/24", 2)}), block), "the network 10.20.5.0/24");
}

TEST(a_refusal_of_ipv6_is_seen_whatever_its_metric) {
  const char* refused = "ip -6 route add unreachable 2600::/16 metric 4294967295 2>/dev/null";
  in_own_network(refused, [] {
    NetlinkSocket socket(open_route_socket());
    const RoutingTables tables = read_tables(socket);
    const auto refuses = [](const FoundRoute& route) { return route.type == RTN_UNREACHABLE; };
    CHECK_EQ(std::ranges::count_if(tables.routes, refuses), 1);
  });
}

}  // namespace
