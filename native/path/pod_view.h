// Where a destination leads from a pod: a network namespace that a node container made, beside its
// own one.
//
//   pod's namespace --- veth --- [bridge] --- node's namespace --- the node's own way (way.h)
//
// A pod has no say over the node's network, so it is given host sockets only where that network
// keeps it from no public address at all: a socket that a race has led elsewhere reaches nothing
// new then. (From all other addresses the kernel keeps it, by the socket's guard:
// switch/guard_program.h, base/public_address.h.) All of these have to hold, of the family of the
// connection, by itself:
//
//   pod    no routing rules; one route to public addresses, the default one, over an address of the
//          node on the other end of the veth, or of the bridge that this end is a port of, or one
//          for which the node answers there although it has it not (proxy_arp: Calico's
//          169.254.1.1; IPv4 only); no packet filter
//   node   no routing rules; no route to public addresses but those by its own uplink; it
//          forwards by the same route as it sends, and answers to the pod by the device that they
//          came by; no packet filter could see the packet, its
//          frames or its replies, except for rules of address translation; these masquerade it,
//          and send it nowhere else, wherever it goes. In IPv6 what filters packets that the node
//          gets or sends itself counts, too: they find neighbours
//   then   the node's own packet to that destination would be switched
//
// A prefix of IPv4 that is listed (sockswitch/pods) is private, so its addresses mean other
// machines in other networks. All of it has to go that way, too, or none of it is switched; then
// the kernel keeps the socket to this prefix instead of to public addresses:
//
//   pod    no other route to a part of it, and no address of the pod in it; its own rules surely
//          send packets to it nowhere else
//   node   the same of routes and addresses; address translation surely masquerades packets to all
//   of it, and sends them
//          nowhere else
//   then   follow_block() of the node: Podman's networks, the fallback program's own addresses, the
//          host's routes and addresses
//
// What is waived with the node's firewall (sockswitch/firewall=ignore): packet filters of both
// namespaces, except where they surely drop the packet in question, and address translation for
// other destinations than that one, unless they are listed.
//
// What is remembered is dropped with each change that the kernel reports in one of the two
// namespaces, and these reports are looked for with each question: who has shut a pod in knows that
// the next connect obeys. Made, used and dropped as a NetworkView.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "base/address.h"
#include "kernel/control_thread.h"
#include "kernel/watcher.h"
#include "path/namespace.h"
#include "path/network_view.h"
#include "path/way.h"

namespace sockswitch {

class PodView {
 public:
  // Throws ErrnoError.
  PodView(Netns netns, const std::string& helper, Watcher& watcher, ControlThread& control,
          std::shared_ptr<NetworkView> node);
  PodView(const PodView&) = delete;
  PodView& operator=(const PodView&) = delete;

  std::uint64_t cookie() const { return pod_.cookie(); }
  int fresh_socket(int domain) const { return pod_.fresh_socket(domain); }
  // `listed`: the prefix that `to` is switched for, if not as a public address. `permissions`: the
  // node's. `detail`, where given, gets the way in words, and nothing is taken from memory.
  RouteDecision decide(const Destination& to, const std::optional<Ipv4Block>& listed,
                       const Permissions& permissions, std::string* detail = nullptr);
  // Why no connection of the pod is switched for `listed`, in words; empty: for no such reason.
  std::string obstacle(const Ipv4Block& listed);

 private:
  using Clock = std::chrono::steady_clock;
  // Where the way of one packet ends, or of all.
  struct End {
    Outcome outcome = Outcome::kUnknownWay;
    std::string words;
  };
  // What holds for all destinations of a family, in one state of both namespaces.
  struct Standing {
    bool v4 = true;
    std::uint64_t pod = 0;  // generations
    std::uint64_t node = 0;
    bool valid = false;
    End end;             // kSwitched: it leads to the node's uplink
    std::string filter;  // what could see packets, except address translation; empty: nothing
    // What address translation may do but masquerade; empty: nothing, or `filter` is not.
    std::string elsewhere;
    FoundRoute out;       // of the pod
    PacketDevice device;  // the pod's
    PacketDevice in;      // the node's
    PacketDevice uplink;
    // Of prefixes that were asked about, what leads a part of them elsewhere; empty: nothing.
    std::map<Ipv4Block, std::string> listed;
    // Of single destinations.
    std::map<std::pair<Address, std::uint16_t>, End> found;

    End leads_on() const;
    PacketFacts sent(const Destination& to) const;
    PacketFacts forwarded(const Destination& to) const;
  };

  Standing& stand(bool v4);
  End leave_pod(Standing& standing);
  End enter_node(Standing& standing, const Link& link);
  bool is_met_by(const Standing& standing, const Link& entry);
  End cross_node(Standing& standing);
  End follow(const Standing& standing, const Destination& to);
  std::string part_elsewhere(const Standing& standing, const Ipv4Block& listed);
  std::string obstacle_of(Standing& standing, const Ipv4Block& listed, const BlockWay& onward,
                          int device);

  ControlThread& control_;
  std::shared_ptr<NetworkView> node_;
  Namespace pod_;

  std::mutex mutex_;
  Clock::time_point looked_;  // for silent changes
  Standing v4_;
  Standing v6_;
};

}  // namespace sockswitch
