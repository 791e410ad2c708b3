#include "policy/outcome.h"

namespace sockswitch {

const std::array<OutcomeInfo, kOutcomeCount>& outcome_table() {
  using enum OutcomeKind;
  static constexpr std::array<OutcomeInfo, kOutcomeCount> kTable{{
      {Outcome::kSwitched, kSwitched, "switched", "accelerated: a socket of the host"},
      {Outcome::kPublished, kSwitched, "published", "a published port: a socket of the host"},
      {Outcome::kNeighbour, kSwitched, "neighbour",
       "a neighbour's published port: a socket of the host"},
      {Outcome::kOtherFamily, kPassed, "other-family",
       "not an IPv4 or IPv6 address (AF_UNIX, ...)"},
      {Outcome::kNotASocket, kPassed, "not-a-socket", "not an IPv4 or IPv6 socket"},
      {Outcome::kLoopback, kPassed, "loopback", "loopback belongs to the container"},
      {Outcome::kContainerAddress, kPassed, "container-address",
       "an address of the container itself"},
      {Outcome::kNotFresh, kPassed, "not-fresh", "already connected, connecting or listening"},
      {Outcome::kDisconnect, kPassed, "disconnect", "AF_UNSPEC: the socket is disconnected"},
      {Outcome::kHousekeeping, kPassed, "housekeeping", "a call that is only watched"},
      {Outcome::kSocketType, kFallback, "socket-type", "not a TCP socket"},
      {Outcome::kUnspecified, kPassed, "unspecified", "0.0.0.0 and :: mean the container itself"},
      {Outcome::kLinkLocal, kFallback, "link-local",
       "link-local addresses stay on the fallback network"},
      {Outcome::kMulticast, kFallback, "multicast", "multicast stays on the fallback network"},
      {Outcome::kBroadcast, kFallback, "broadcast", "broadcast stays on the fallback network"},
      {Outcome::kIgnored, kFallback, "ignored", "on the ignore list"},
      {Outcome::kPodmanNetwork, kFallback, "podman-network", "a network of Podman's own"},
      {Outcome::kGateway, kFallback, "gateway",
       "the container's gateway, to which fallback networks give a meaning of their own"},
      {Outcome::kHostAddress, kFallback, "host-address", "an address of the host itself"},
      {Outcome::kNoRoute, kFallback, "no-route", "the container has no route to it"},
      {Outcome::kNotUplink, kFallback, "not-uplink",
       "the container routes it elsewhere than to pasta or slirp4netns"},
      {Outcome::kUnknownWay, kFallback, "unknown-way", "the way of its packets cannot be followed"},
      {Outcome::kRestricted, kFallback, "restricted",
       "the container's network has routes or rules that restrict it, which it may not change"},
      {Outcome::kIsolated, kFallback, "isolated",
       "Podman's own rules keep its packets inside (--internal, isolate)"},
      {Outcome::kFirewall, kFallback, "firewall",
       "packet filters on the way may concern it (sockswitch/firewall)"},
      {Outcome::kTranslated, kFallback, "translated",
       "the container's own rules may translate the destination"},
      {Outcome::kFallbackOption, kFallback, "fallback-option",
       "an option of pasta or slirp4netns stands against it"},
      {Outcome::kFallbackAddress, kFallback, "fallback-address",
       "an address that pasta or slirp4netns answers or maps itself"},
      {Outcome::kOnLink, kFallback, "on-link",
       "on a link of the container that is not a link of the host"},
      {Outcome::kNoHostRoute, kFallback, "no-host-route", "the host has no route to it"},
      {Outcome::kNestedNetns, kFallback, "nested-netns",
       "a socket of a nested network namespace (a pod in a node container)"},
      {Outcome::kBound, kFallback, "bound", "bound to a source address, port or device"},
      {Outcome::kSocketOption, kFallback, "socket-option",
       "has a socket option that cannot be carried over"},
      {Outcome::kEpoll, kFallback, "epoll", "its epoll registration could not be carried over"},
      {Outcome::kUnguarded, kFallback, "unguarded",
       "sockets cannot be guarded here, which require_guard asks for"},
      {Outcome::kLandlock, kFallback, "landlock",
       "the program may be restricted by Landlock, which sees only calls that it makes itself"},
      {Outcome::kHostError, kFallback, "host-error", "the host could not connect"},
      {Outcome::kPublishedRelayed, kFallback, "published-relayed",
       "a published port whose clients are relayed to the container's own socket"},
      {Outcome::kPublishedUnreachable, kFallback, "published-unreachable",
       "a published port that leads nowhere: its clients cannot be relayed"},
      {Outcome::kNeighbourRelayed, kFallback, "neighbour-relayed",
       "a neighbour's published port, over Podman's network"},
      {Outcome::kPublishedOther, kFallback, "published-other-protocol",
       "the port is published with the other protocol only (tcp, udp): nothing leads to this one"},
      {Outcome::kCallerGone, kPassed, "caller-gone", "the caller went away or was interrupted"},
      {Outcome::kInternal, kFallback, "internal", "an error inside sockswitch"},
  }};
  return kTable;
}

const OutcomeInfo& info(Outcome outcome) {
  return outcome_table()[static_cast<std::size_t>(outcome)];
}

}  // namespace sockswitch
