// What packet filters could do to a packet (path/firewall.h and what it is made of), on recorded
// and on made messages. What real programs put into the kernel: test/kernel/firewall.test.ts.
#include "path/firewall.h"

#include <linux/genetlink.h>
#include <linux/ip_vs.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <linux/rtnetlink.h>
#include <linux/xfrm.h>
#include <netinet/ip6.h>

#include "check.h"
#include "firewall_recorded.h"
#include "kernel/generic_netlink.h"
#include "path/filter_evaluation.h"
#include "path/ipvs.h"
#include "path/known_bits.h"
#include "path/nftables.h"
#include "path/service_addresses.h"
#include "path/traffic_control.h"
#include "path/xfrm.h"
#include "path/xtables.h"

namespace {

using namespace sockswitch;  // NOLINT(google-build-using-namespace): a test of this namespace

PacketFacts packet_to(const std::string& address, std::uint16_t port) {
  PacketFacts packet;
  packet.destination = {*Address::parse(address), port, 0};
  packet.out = {.index = 2, .name = "eth0"};
  return packet;
}

bool translates(const FilterRules& rules, const std::string& address, std::uint16_t port) {
  return evaluate_hook(rules, FilterHook::kOutput, packet_to(address, port)).may_translate;
}

// False where a message is malformed.
bool take_all(NftablesDump& dump, NetlinkBytes datagram) {
  NetlinkMessages walk(datagram);
  for (NetlinkMessage message; walk.next(message);) {
    if (!dump.take(message)) return false;
  }
  return walk.ok();
}

NetlinkMessage first(NetlinkBytes bytes) {
  NetlinkMessage message;
  CHECK(NetlinkMessages(bytes).next(message));
  return message;
}

TEST(a_firewall_of_nothing_is_no_obstacle) {
  const Firewall firewall;
  CHECK(!firewall.obstacle(packet_to("192.0.2.1", 80)));
  CHECK(!firewall.may_translate(packet_to("192.0.2.1", 80)));
  CHECK(firewall.forwarded(packet_to("192.0.2.1", 80)).verdict == Forwarded::Verdict::kBlocked);
}

TEST(a_firewall_that_cannot_be_asked_is_an_obstacle) {
  FirewallSockets none;
  const Firewall firewall = Firewall::read(none);
  CHECK_EQ(firewall.obstacle(packet_to("192.0.2.1", 80)).value_or(""),
           std::string("nftables cannot be read: no socket"));
  CHECK(firewall.may_translate(packet_to("192.0.2.1", 80)));
  CHECK(firewall.forwarded(packet_to("192.0.2.1", 80)).verdict == Forwarded::Verdict::kUnknown);
}

TEST(what_the_kernel_lacks_is_no_obstacle) {
  FirewallSockets none = FirewallSockets::take("---------", {});
  CHECK_EQ(none.states(), std::string("---------"));
  CHECK(!Firewall::read(none).obstacle(packet_to("192.0.2.1", 80)));
  // An open source without its descriptor, and what nobody spoke of, are unknown.
  CHECK_EQ(FirewallSockets::take("-o", {}).states(), std::string("-????????"));
  CHECK_EQ(FirewallSockets::take("", {}).states(), std::string("?????????"));
}

TEST(recorded_nftables_rules_are_read) {
  NftablesDump dump;
  for (std::string_view text : recorded::kNftables) {
    CHECK(take_all(dump, recorded::bytes(text)));
  }
  FilterRules& rules = dump.rules();
  CHECK_EQ(rules.chains.size(), std::size_t{2});
  CHECK_EQ(rules.sets.size(), std::size_t{1});
  // Until all elements are known anything may be in it.
  CHECK(translates(rules, "192.0.2.1", 80));
  dump.complete_set(0);
  CHECK(translates(rules, "10.96.0.1", 443));
  CHECK(!translates(rules, "10.96.0.1", 80));
  CHECK(!translates(rules, "192.0.2.1", 443));
  CHECK(!translates(rules, "2001:db8::1", 443));
  CHECK_EQ(rules.chains[1].words(), std::string("nftables: table ip t, chain o"));
  CHECK_EQ(rules.chains[1].rules[0].comment, std::string("services"));
}

TEST(recorded_nftables_rules_cut_anywhere_are_malformed_or_nothing) {
  for (std::string_view text : recorded::kNftables) {
    const auto whole = recorded::bytes(text);
    for (std::size_t size = 0; size < whole.size(); ++size) {
      NftablesDump dump;
      take_all(dump, NetlinkBytes(whole).first(size));
      CHECK(dump.rules().chains.size() <= 2);
    }
  }
}

XtTableInfo nat_info() {
  return {.name = "nat",
          .valid_hooks = 27,
          .hook_entry = {0, 152, 0, 304, 944},
          .underflow = {0, 152, 0, 792, 944}};
}

TEST(a_recorded_legacy_table_is_read) {
  const auto block = recorded::bytes(recorded::kIptablesNat);
  FilterRules rules;
  CHECK(parse_xtables(FilterChain::Origin::kIptables, nat_info(), block, rules));
  CHECK_EQ(rules.chains.size(), std::size_t{5});
  CHECK(translates(rules, "10.96.0.1", 443));
  CHECK(!translates(rules, "10.96.0.1", 80));
  CHECK(!translates(rules, "10.96.0.2", 443));
  for (const FilterChain& chain : rules.chains) {
    CHECK_EQ(chain.words(), std::string("iptables-legacy: table nat"));
  }
}

TEST(a_legacy_table_cut_anywhere_is_no_crash) {
  const auto block = recorded::bytes(recorded::kIptablesNat);
  for (std::size_t size = 0; size < block.size(); ++size) {
    FilterRules rules;
    const bool fine = parse_xtables(FilterChain::Origin::kIptables, nat_info(),
                                    NetlinkBytes(block).first(size), rules);
    if (fine) translates(rules, "10.96.0.1", 443);
  }
}

TEST(values_are_known_bit_by_bit) {
  const std::uint8_t data[] = {0x40, 0};
  const std::uint8_t known[] = {0xf0, 0};
  const std::uint8_t same[] = {0x45, 7};
  const std::uint8_t other[] = {0x60, 0};
  CHECK(equals(data, known, same) == Tristate::kPerhaps);
  CHECK(equals(data, known, other) == Tristate::kNo);
  CHECK(equals(std::span(data).first(0), std::span(known).first(0), {}) == Tristate::kYes);
  CHECK((Tristate::kYes & Tristate::kPerhaps) == Tristate::kPerhaps);
  CHECK((Tristate::kNo | Tristate::kPerhaps) == Tristate::kPerhaps);
  CHECK((!Tristate::kPerhaps) == Tristate::kPerhaps);
}

TEST(xfrm_policies_are_counted) {
  auto answer = [](xfrmu_spdinfo info) {
    NetlinkRequest made(XFRM_MSG_NEWSPDINFO);
    const auto* from = reinterpret_cast<const std::uint8_t*>(&info);
    made.header(std::uint32_t{0}).attribute(XFRMA_SPD_INFO, {from, sizeof info});
    return has_xfrm_policies(first(made.bytes(1)));
  };
  CHECK(answer({}) == false);
  CHECK(answer({.outcnt = 1}) == true);
  CHECK(answer({.incnt = 1}) == true);
  CHECK(answer({.outscnt = 1}) == false);  // a socket's own
  NetlinkRequest empty(XFRM_MSG_NEWSPDINFO);
  CHECK(!has_xfrm_policies(first(empty.bytes(1))));
}

TEST(a_qdisc_is_read) {
  NetlinkRequest made(RTM_NEWQDISC);
  tcmsg message{};
  message.tcm_ifindex = 7;
  message.tcm_parent = 0xffffffff;
  made.header(message).text(TCA_KIND, "htb");
  const auto qdisc = parse_qdisc(first(made.bytes(1)));
  CHECK(qdisc && qdisc->device == 7 && qdisc->kind == "htb");
  NetlinkRequest nameless(RTM_NEWQDISC);
  nameless.header(message);
  CHECK(!parse_qdisc(first(nameless.bytes(1))));
}

// As linux/ip_vs.h has it: the kernel that these tests were written on has no IPVS.
NetlinkRequest ipvs_service(int family, const std::string& address, std::uint16_t port) {
  NetlinkRequest made(0x20);
  made.header(genlmsghdr{.cmd = IPVS_CMD_NEW_SERVICE, .version = IPVS_GENL_VERSION});
  const auto nest = made.begin_nest(IPVS_CMD_ATTR_SERVICE);
  made.number<std::uint16_t>(IPVS_SVC_ATTR_AF, static_cast<std::uint16_t>(family));
  std::array<std::uint8_t, 16> raw{};
  const Address parsed = *Address::parse(address);
  const std::size_t size = family == AF_INET ? 4 : 16;
  std::copy(parsed.bytes.end() - static_cast<std::ptrdiff_t>(size), parsed.bytes.end(),
            raw.begin());
  made.number<std::uint16_t>(IPVS_SVC_ATTR_PROTOCOL, IPPROTO_TCP)
      .attribute(IPVS_SVC_ATTR_ADDR, raw)
      .big_endian16(IPVS_SVC_ATTR_PORT, port);
  made.end_nest(nest);
  return made;
}

TEST(ipvs_services_translate_their_address) {
  Ipvs ipvs;
  auto v4 = ipvs_service(AF_INET, "10.96.0.1", 443);
  auto v6 = ipvs_service(AF_INET6, "fd00::1", 0);
  ipvs.services.push_back(*parse_ipvs_service(first(v4.bytes(1))));
  ipvs.services.push_back(*parse_ipvs_service(first(v6.bytes(1))));
  CHECK(ipvs.may_translate(packet_to("10.96.0.1", 443)));
  CHECK(!ipvs.may_translate(packet_to("10.96.0.1", 80)));
  CHECK(!ipvs.may_translate(packet_to("192.0.2.1", 443)));
  CHECK(ipvs.may_translate(packet_to("fd00::1", 80)));
  CHECK(!ipvs.may_translate(packet_to("fd00::2", 80)));
}

TEST(an_ipvs_service_by_mark_translates_all_of_its_family) {
  NetlinkRequest made(0x20);
  made.header(genlmsghdr{.cmd = IPVS_CMD_NEW_SERVICE, .version = IPVS_GENL_VERSION});
  const auto nest = made.begin_nest(IPVS_CMD_ATTR_SERVICE);
  made.number<std::uint16_t>(IPVS_SVC_ATTR_AF, AF_INET)
      .number<std::uint32_t>(IPVS_SVC_ATTR_FWMARK, 7);
  made.end_nest(nest);
  Ipvs ipvs;
  ipvs.services.push_back(*parse_ipvs_service(first(made.bytes(1))));
  CHECK(ipvs.may_translate(packet_to("192.0.2.1", 80)));
  CHECK(!ipvs.may_translate(packet_to("2001:db8::1", 80)));
  NetlinkRequest nothing(0x20);
  nothing.header(genlmsghdr{.cmd = IPVS_CMD_NEW_SERVICE});
  CHECK(!parse_ipvs_service(first(nothing.bytes(1))));
}

TEST(ipvs_is_found_among_the_families) {
  auto family = [](const char* name, std::uint16_t id) {
    NetlinkRequest made(GENL_ID_CTRL);
    made.header(genlmsghdr{.cmd = CTRL_CMD_NEWFAMILY});
    made.number(CTRL_ATTR_FAMILY_ID, id).text(CTRL_ATTR_FAMILY_NAME, name);
    const NetlinkBytes bytes = made.bytes(1);
    return std::vector<std::uint8_t>(bytes.begin(), bytes.end());
  };
  auto all = family("nlctrl", 16);
  const auto ipvs_in = [](const NetlinkAnswer& families) {
    return read_generic_family(families, IPVS_GENL_NAME);
  };
  const GenericFamily none = ipvs_in(NetlinkAnswer::complete(all));
  CHECK(!none.number && none.trouble.empty());
  const auto ipvs = family(IPVS_GENL_NAME, 37);
  all.insert(all.end(), ipvs.begin(), ipvs.end());
  const GenericFamily found = ipvs_in(NetlinkAnswer::complete(all));
  CHECK(found.number == 37 && found.trouble.empty());
  CHECK_EQ(ipvs_in(NetlinkAnswer::unknown(ETIMEDOUT, "late")).trouble, std::string("late"));
}

FilterChain base_chain(int family, FilterHook hook, std::vector<FilterRule> rules) {
  FilterChain chain;
  chain.family = family;
  chain.is_base = true;
  chain.hook = hook;
  chain.rules = std::move(rules);
  return chain;
}

// One chain of address translation.
FilterRules translating(int family, FilterHook hook, std::vector<FilterRule> rules) {
  FilterRules made;
  made.chains = {base_chain(family, hook, std::move(rules))};
  made.chains[0].is_nat = true;
  return made;
}

// "ip daddr NETWORK/MASK VERDICT" in a base chain.
FilterRules rule_on(const char* network, std::uint32_t mask, FilterOperation::Kind verdict) {
  using Kind = FilterOperation::Kind;
  const auto bytes = [](std::uint32_t number) {
    FilterBytes text;
    for (unsigned shift : {24U, 16U, 8U, 0U}) {
      text.push_back(static_cast<std::uint8_t>(number >> shift));
    }
    return text;
  };
  FilterOperation load{.kind = Kind::kLoadPayload, .target = 16, .length = 4};
  load.key = NFT_PAYLOAD_NETWORK_HEADER;
  load.offset = 16;
  FilterOperation keep{.kind = Kind::kBitwise, .source = 16, .target = 16, .length = 4};
  keep.value = bytes(mask);
  keep.second = bytes(0);
  FilterOperation compare{.kind = Kind::kCompare, .source = 16, .key = NFT_CMP_EQ};
  compare.value = bytes(Address::parse(network)->v4());
  FilterRule rule;
  rule.operations = {load, keep, compare, {.kind = verdict}};
  return translating(NFPROTO_IPV4, FilterHook::kPrerouting, {std::move(rule)});
}

TEST(a_destination_that_is_known_in_part) {
  constexpr std::uint32_t kLength8 = 0xff000000;
  constexpr std::uint32_t kLength24 = 0xffffff00;
  const auto sent = [](const FilterRules& rules) {
    PacketFacts packet;
    packet.go_anywhere_in(*Prefix::parse("203.0.0.0/8"));
    return evaluate_hook(rules, FilterHook::kPrerouting, packet);
  };
  using Kind = FilterOperation::Kind;
  // Within what is known, beside it, around it.
  const HookResult within = sent(rule_on("203.0.113.0", kLength24, Kind::kTranslate));
  CHECK(within.may_translate && within.may_stay);
  const HookResult beside = sent(rule_on("10.96.0.0", kLength24, Kind::kTranslate));
  CHECK(!beside.may_translate && beside.may_stay);
  const HookResult around = sent(rule_on("203.0.0.0", kLength8, Kind::kTranslate));
  CHECK(around.may_translate && !around.may_stay);
}

// "meta mark and 0x4000 == 0x4000 VERDICT".
FilterRule marked_rule(FilterOperation::Kind verdict) {
  using Kind = FilterOperation::Kind;
  FilterRule rule;
  rule.operations = {{.kind = Kind::kLoadMeta, .target = 16, .length = 4},
                     {.kind = Kind::kBitwise, .source = 16, .target = 16, .length = 4},
                     {.kind = Kind::kCompare, .source = 16, .key = NFT_CMP_EQ},
                     {.kind = verdict}};
  rule.operations[0].key = NFT_META_MARK;
  rule.operations[1].value = {0, 0x40, 0, 0};
  rule.operations[1].second = {0, 0, 0, 0};
  rule.operations[2].value = {0, 0x40, 0, 0};
  if (verdict == Kind::kVerdict) {
    rule.operations[3].verdict = {.kind = FilterVerdict::Kind::kReturn};
  }
  return rule;
}

TEST(a_mark_goes_from_chain_to_chain_and_from_hook_to_hook) {
  using Kind = FilterOperation::Kind;
  PacketFacts packet;
  packet.destination.address = *Address::parse("203.0.113.1");
  // As flannel has it: what kube-proxy has marked stays, the rest is masqueraded.
  const FilterRules flannel =
      translating(NFPROTO_IPV4, FilterHook::kPostrouting,
                  {marked_rule(Kind::kVerdict), {.operations = {{.kind = Kind::kMasquerade}}}});
  const auto out = [&](const PacketFacts& facts) {
    return evaluate_hook(flannel, FilterHook::kPostrouting, facts);
  };
  CHECK(out(packet).may_masquerade && !out(packet).may_stay);

  FilterOperation mark{.kind = Kind::kMaskMark};
  mark.value = {0, 0x40, 0, 0};
  mark.second = {0, 0x40, 0, 0};
  const FilterOperation accept{.kind = Kind::kVerdict,
                               .verdict = {.kind = FilterVerdict::Kind::kAccept}};
  const auto marked = [&](std::vector<FilterOperation> operations) {
    FilterRules before;
    before.chains = {
        base_chain(NFPROTO_IPV4, FilterHook::kPrerouting, {{.operations = std::move(operations)}}),
        base_chain(NFPROTO_IPV4, FilterHook::kPrerouting, {})};
    PacketFacts later = packet;
    evaluate_hook(before, FilterHook::kPrerouting, packet).hand_mark_to(later);
    return out(later);
  };
  for (const HookResult& surely : {marked({mark}), marked({mark, accept})}) {
    CHECK(!surely.may_masquerade && surely.may_stay);
  }
  const FilterOperation perhaps{.kind = Kind::kPerhaps};
  for (const HookResult& maybe : {marked({perhaps, mark}), marked({perhaps, mark, accept}),
                                  marked({{.kind = Kind::kUnknown}})}) {
    CHECK(maybe.may_masquerade && maybe.may_stay);
  }
}

// "ip6 daddr PREFIX VERDICT", as nft writes it, or ip6tables (`xtables`).
FilterRules rule_on6(const char* prefix, FilterOperation::Kind verdict, bool xtables) {
  using Kind = FilterOperation::Kind;
  const Prefix to = *Prefix::parse(prefix);
  PacketFacts mask;
  mask.known_bits = to.bits();
  const auto bits = mask.known_address();
  const auto network = to.network().bytes;
  FilterRule rule;
  if (xtables) {
    ip6t_ip6 header{};
    std::ranges::copy(network, header.dst.s6_addr);
    std::ranges::copy(bits, header.dmsk.s6_addr);
    const auto* raw = reinterpret_cast<const std::uint8_t*>(&header);
    rule.operations = {
        {.kind = Kind::kXtPacket, .key = AF_INET6, .value = {raw, raw + sizeof header}}};
  } else {
    rule.operations = {{.kind = Kind::kLoadPayload, .target = 16, .length = 16},
                       {.kind = Kind::kBitwise, .source = 16, .target = 16, .length = 16},
                       {.kind = Kind::kCompare, .source = 16, .key = NFT_CMP_EQ}};
    rule.operations[0].key = NFT_PAYLOAD_NETWORK_HEADER;
    rule.operations[0].offset = offsetof(ip6_hdr, ip6_dst);
    rule.operations[1].value.assign(bits.begin(), bits.end());
    rule.operations[1].second.assign(16, 0);
    rule.operations[2].value.assign(network.begin(), network.end());
  }
  rule.operations.push_back({.kind = verdict});
  return translating(NFPROTO_IPV6, FilterHook::kPostrouting, {std::move(rule)});
}

TEST(a_destination_of_ipv6_that_is_known_in_part) {
  using Kind = FilterOperation::Kind;
  for (const bool xtables : {false, true}) {
    const auto sent = [&](const char* to, Kind verdict) {
      PacketFacts packet;
      packet.go_anywhere_in(*Prefix::parse("2400::/8"));
      return evaluate_hook(rule_on6(to, verdict, xtables), FilterHook::kPostrouting, packet);
    };
    // One address, a network, half of it, beside it, all of it and more.
    for (const char* part : {"2400::1/128", "2400:1::/32", "2480::/9"}) {
      const HookResult within = sent(part, Kind::kMasquerade);
      CHECK(within.may_masquerade && within.may_stay);
    }
    for (const char* other : {"2500::/8", "fd00::/8", "fd00::1/128"}) {
      const HookResult beside = sent(other, Kind::kMasquerade);
      CHECK(!beside.may_masquerade && beside.may_stay);
    }
    for (const char* whole : {"2400::/8", "2000::/3", "::/0"}) {
      const HookResult around = sent(whole, Kind::kMasquerade);
      CHECK(around.may_masquerade && !around.may_stay);
    }
  }
}

TEST(ip6tables_looks_at_no_bits_beside_the_mask) {
  FilterRules rules = rule_on6("2400::/8", FilterOperation::Kind::kMasquerade, true);
  rules.chains[0].rules[0].operations[0].value[offsetof(ip6t_ip6, dst) + 15] = 1;
  PacketFacts packet;
  packet.go_anywhere_in(*Prefix::parse("2400::/8"));
  const HookResult result = evaluate_hook(rules, FilterHook::kPostrouting, packet);
  CHECK(result.may_masquerade && !result.may_stay);
}

TEST(a_destination_of_one_address_leaves_the_port_open) {
  Ipvs ipvs;
  auto v4 = ipvs_service(AF_INET, "10.96.0.1", 443);
  auto v6 = ipvs_service(AF_INET6, "2400::1", 443);
  ipvs.services.push_back(*parse_ipvs_service(first(v4.bytes(1))));
  ipvs.services.push_back(*parse_ipvs_service(first(v6.bytes(1))));
  const auto anywhere = [&](const char* prefix) {
    PacketFacts packet;
    packet.go_anywhere_in(*Prefix::parse(prefix));
    return ipvs.may_translate(packet);
  };
  for (const char* prefix : {"10.96.0.1", "10.96.0.0/16", "2400::1", "2400::/8", "2000::/3"})
    CHECK(anywhere(prefix));
  for (const char* prefix : {"10.96.0.2", "10.97.0.0/16", "2400::2", "2500::/8"})
    CHECK(!anywhere(prefix));
}

// A rule of KUBE-SERVICES on one destination.
FilterRule service_rule(const char* address, std::size_t chain) {
  FilterRule rule =
      rule_on(address, UINT32_MAX, FilterOperation::Kind::kVerdict).chains[0].rules[0];
  rule.operations.erase(rule.operations.begin() + 1);  // the mask
  rule.operations.back().verdict = {FilterVerdict::Kind::kJump, chain};
  return rule;
}

TEST(service_addresses_are_those_that_lead_to_a_service) {
  FilterRules rules;
  rules.chains.resize(4);
  rules.chains[0].name = "KUBE-SERVICES";
  rules.chains[1].name = "KUBE-SVC-A";
  rules.chains[2].name = "KUBE-EXT-A";
  rules.chains[3].name = "OTHER";
  FilterRule masked =
      rule_on("10.96.9.0", 0xffffff00, FilterOperation::Kind::kVerdict).chains[0].rules[0];
  masked.operations.back().verdict = {FilterVerdict::Kind::kJump, 1};
  FilterRule inverted = service_rule("10.96.0.4", 1);
  inverted.operations[1].key = NFT_CMP_NEQ;
  rules.chains[0].rules = {service_rule("10.96.0.2", 1),
                           service_rule("10.96.0.1", 1),
                           service_rule("10.96.0.2", 1),
                           service_rule("192.168.0.9", 2),
                           service_rule("10.96.0.3", 99),
                           masked,
                           inverted};
  rules.chains[3].rules = {service_rule("10.96.0.5", 1)};
  CHECK(service_addresses(rules) ==
        (std::vector<Address>{*Address::parse("10.96.0.1"), *Address::parse("10.96.0.2")}));
  FilterSet set;
  set.table = "kube-proxy";
  set.name = "cluster-ips";
  set.elements = {{.key = {10, 96, 0, 7}}, {.key = {1, 2}}, {.key = {}, .catch_all = true}};
  rules.sets = {set, set};
  rules.sets[1].table = "other";
  rules.sets[1].elements[0].key = {10, 96, 0, 8};
  CHECK_EQ(service_addresses(rules).size(), std::size_t{3});
  CHECK_EQ(service_addresses(rules).back().text(), std::string("10.96.0.7"));
}

}  // namespace
