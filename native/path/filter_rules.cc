#include "path/filter_rules.h"

#include <linux/netfilter.h>

namespace sockswitch {
namespace {

std::string_view family_name(int family) {
  switch (family) {
    case NFPROTO_INET:
      return "inet";
    case NFPROTO_IPV4:
      return "ip";
    case NFPROTO_IPV6:
      return "ip6";
    case NFPROTO_ARP:
      return "arp";
    case NFPROTO_NETDEV:
      return "netdev";
    case NFPROTO_BRIDGE:
      return "bridge";
    default:
      return "unknown";
  }
}

}  // namespace

std::string FilterChain::words() const {
  switch (origin) {
    case Origin::kIptables:
      return "iptables-legacy: table " + table;
    case Origin::kIp6tables:
      return "ip6tables-legacy: table " + table;
    case Origin::kArptables:
      return "arptables-legacy: table " + table;
    case Origin::kNftables:
      break;
  }
  return "nftables: table " + std::string(family_name(family)) + " " + table + ", chain " + name;
}

}  // namespace sockswitch
