// What the command line of a fallback program (pasta, slirp4netns) says about the TCP connections
// that leave by its tap. Pure.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"

namespace sockswitch {

enum class FallbackKind : std::uint8_t { kPasta, kSlirp4netns };

// "pasta", "slirp4netns".
std::string_view fallback_name(FallbackKind kind);

// What a command line means for TCP connections that leave by the program's tap. Default: nothing
// stands against any of them.
struct FallbackOptions {
  struct Family {
    // Why connections of this family are not switched, for people: "pasta's option --no-tcp", "an
    // unknown option of pasta: --frobnicate". Empty: nothing stands against it.
    std::string obstacle;
    // Carried out: the program binds its sockets to this address (pasta --outbound, slirp4netns
    // --outbound-addr), so a host socket must be bound to it, too; where that fails, the connection
    // is left to the program, which then goes on unbound (pasta) or fails (slirp4netns).
    std::optional<Address> source;
    // Carried out: the program binds its sockets to this device (pasta --outbound-if4 and -if6). A
    // connection that the host's routes send out of another device is not switched.
    std::string device;
    // The default gateway's address leads to the host's loopback, and the command line does not say
    // which address that is: it was the host's default gateway when the program started. Left to
    // the program are, then: every address that is a default gateway on the host or in the tap's
    // namespace, and all destinations that are on-link on the host or there. What was the gateway
    // on a network that the host has left since is known to nobody; who wants to be safe from that,
    // too, takes this for an obstacle.
    bool maps_gateway = false;
  };
  Family v4;
  Family v6;
  // Destinations, on any port, that the program translates, answers or refuses by itself: left to
  // it. slirp4netns: its whole network (--cidr) and its IPv6 network, among others.
  std::vector<Prefix> own;
  // The next hops for which the program resolves addresses; empty: all (pasta). A packet to another
  // one never comes to its tap.
  std::vector<Address> next_hops;
  bool answers_for(const Address& next_hop) const {
    return next_hops.empty() || std::ranges::find(next_hops, next_hop) != next_hops.end();
  }
  // pasta with the host's own addresses in the tap's namespace (neither --address nor --netmask
  // given): what is on-link there was on-link on the host when pasta started. slirp4netns never has
  // them.
  bool copies_host_addresses = false;
  // The namespace on the command line is Podman's rootless one, which the containers of all bridge
  // networks share (the path ends in "rootless-netns" or "rootless-netns-HASH").
  bool serves_bridges = false;
  // The namespace's path on the command line; empty if it names none (a process id, a command).
  std::string netns_path;
};

// `arguments` are those of /proc/PID/cmdline, with the program's name first. Whatever is unknown,
// does not parse or contradicts itself is an obstacle of both families that names it; so is an
// empty list (a command line that cannot be read).
FallbackOptions classify(FallbackKind kind, const std::vector<std::string>& arguments);

// Every option that is classified, as it is written: "-4", "--ipv4-only".
std::vector<std::string> known_options(FallbackKind kind);

// The words of a /proc/PID/cmdline, each ended by a zero byte. Empty, as unreadable, if the bytes
// do not end in one (cut off, or overwritten by the process).
std::vector<std::string> split_command_line(std::string_view bytes);

}  // namespace sockswitch
