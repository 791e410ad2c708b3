// Fallback programs: the processes of pasta and slirp4netns that carry a rootless container's
// packets, the tap that each of them holds, and what its command line says about TCP connections.
//
// A fallback program is believed only for what the kernel says of it: its process lives in this
// process's own network namespace (the host's), where no container without `--network=host` has
// any, and it holds the tap open. A command line is the program's own word; whoever can start
// programs in the host's network namespace needs no container to reach something.
//
// Threads: everything here may run on any thread. Descriptors that are returned belong to the
// calling thread's table (see notify/listener.cc about listener threads).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/netns.h"
#include "kernel/unique_fd.h"
#include "policy/address.h"

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
    // --outbound-addr), so a host socket must be bound to it, too.
    std::optional<Address> source;
    // Carried out: the program binds its sockets to this device (pasta --outbound-if4 and -if6). A
    // connection that the host's routes send out of another device is not switched.
    std::string device;
    // The default gateway's address leads to the host's loopback, and the command line does not say
    // which address that is: it was the host's default gateway when the program started. Left to
    // the program are, then: every address that is a default gateway on the host or in the tap's
    // namespace, and all destinations that are on-link on the host or there.
    bool maps_gateway = false;
  };
  Family v4;
  Family v6;
  // Destinations, in any port, that the program translates, answers or refuses by itself: left to
  // it. slirp4netns: its whole network (--cidr) and its IPv6 network, among others.
  std::vector<Prefix> own;
  // pasta with the host's own addresses in the tap's namespace (no --address given): what is
  // on-link there is on-link on the host. slirp4netns never has them.
  bool copies_host_addresses = false;
  // The namespace on the command line is Podman's rootless one, which the containers of all bridge
  // networks share (path ends in "rootless-netns" or "rootless-netns-HASH").
  bool serves_bridges = false;
};

// Pure. `arguments` are those of /proc/PID/cmdline, with the program's name first. Whatever is
// unknown, does not parse or contradicts itself is an obstacle of both families that names it; so
// is an empty list (a command line that cannot be read).
FallbackOptions classify(FallbackKind kind, const std::vector<std::string>& arguments);

// The words of a /proc/PID/cmdline, each ended by a zero byte. Empty, as unreadable, if the bytes
// do not end in one (cut off, or overwritten by the process).
std::vector<std::string> split_command_line(std::string_view bytes);

struct FallbackProgram {
  FallbackKind kind = FallbackKind::kPasta;
  pid_t pid = 0;
  // Readable (EPOLLIN) when the program has ended. It was alive after all facts had been read.
  UniqueFd pidfd;
  // The namespace that the tap is in, and the tap's present name there. A name is not an identity:
  // root in that namespace may rename the tap and give its name to another device, which
  // RTM_NEWLINK reports. So who matches a device by this name subscribes to link notifications
  // first, then searches, then looks for a notification, and searches again after any.
  NetnsIdentity netns;
  std::string device;
  FallbackOptions options;
};

// All that can be found now, in no order. Bounded: it reads one line for each process of the host
// and more only of those whose name fits, and gives up what is left after kSearchBudget. Never
// throws for a process that cannot be looked into: one sentence each goes to `problems` (programs
// that were seen and cannot be used; not processes that have nothing to do with it).
std::vector<FallbackProgram> find_fallback_programs(std::vector<std::string>* problems = nullptr);

}  // namespace sockswitch
