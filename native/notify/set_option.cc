// setsockopt(2) with an option that is rarely set: noticed, and left to the kernel.
//
// Among them is the one by which legacy packet filters are changed (iptables-legacy). The kernel
// reports no change of them, so connects look at them anew from then on, for a while.
//
// What counts is a TCP socket that may connect yet. One of another protocol, one that is connected,
// connecting or listening, and one of the host (whose options are all read when it connects again)
// are let through without a mark. What cannot be told is taken for one that counts.
#include <netinet/in.h>

#include "base/errno_error.h"
#include "kernel/syscalls.h"
#include "notify/handlers.h"
#include "notify/target.h"

namespace sockswitch {
namespace {

bool matters(Context& context, const abi::SeccompNotif& notification,
             const CallArguments& arguments) {
  if (!arguments.unreadable && !is_rare_option(arguments.level, arguments.name)) return false;
  try {
    Fetched fetched = fetch(context, notification, arguments.fd);
    if (!fetched.socket) return true;
    const int fd = fetched.socket.get();
    if (netns_cookie(fd) == context.host.network.cookie()) return false;
    if (int_option(fd, SOL_SOCKET, SO_PROTOCOL).value_or(0) != IPPROTO_TCP) return false;
    return is_closed(fd);
  } catch (const ErrnoError&) {
    return true;
  }
}

// IPT_SO_SET_REPLACE, IP6T_SO_SET_REPLACE and ARPT_SO_SET_REPLACE
// (linux/netfilter_ipv4/ip_tables.h, linux/netfilter_ipv6/ip6_tables.h,
// linux/netfilter_arp/arp_tables.h).
bool replaces_packet_filters(const CallArguments& arguments) {
  constexpr int kReplace = 64;
  constexpr int kReplaceArp = 96;
  const bool internet = arguments.level == IPPROTO_IP || arguments.level == IPPROTO_IPV6;
  return arguments.unreadable ||
         (internet && (arguments.name == kReplace || arguments.name == kReplaceArp));
}

}  // namespace

Outcome handle_set_option(Context& context, const abi::SeccompNotif& notification,
                          const CallArguments& arguments) {
  if (context.policy.permissions.network_admin && context.container.view &&
      replaces_packet_filters(arguments)) {
    context.container.view->expect_silent_change();
  }
  if (matters(context, notification, arguments)) {
    context.options.set();
    context.option_calls.begin(static_cast<pid_t>(notification.pid));
  }
  return continue_call(context, notification.id, Outcome::kHousekeeping);
}

}  // namespace sockswitch
