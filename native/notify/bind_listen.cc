// bind(2) and listen(2) on host sockets.
//
// A host socket is given out for one outbound connection. Bound or listening it would occupy a port
// of the host, which an unaccelerated container cannot do. So one that is not connected becomes a
// container socket first, and the kernel executes the call on that. All other sockets are the
// kernel's.
#include <sys/socket.h>

#include <cerrno>

#include "notify/target.h"

namespace sockswitch {

Outcome handle_bind_or_listen(Context& context, const abi::SeccompNotif& notification,
                              const CallArguments& arguments) {
  auto target = find_target(context, notification, arguments.fd);
  if (!target || !target->of_host(context)) {
    return pass(context, notification.id, Outcome::kHousekeeping);
  }
  if (connectable(target->socket.get(), target->identity.domain) != Connectable::kYes) {
    // Connected or connecting: the kernel would say EINVAL. Saying it here leaves no room for a
    // second thread that disconnects the socket meanwhile.
    context.notify.fail(notification.id, EINVAL);
    return Outcome::kHousekeeping;
  }
  if (!switch_back(context, *target)) {
    context.notify.fail(notification.id, EADDRNOTAVAIL);
    return Outcome::kInternal;
  }
  return pass(context, notification.id, Outcome::kHousekeeping);
}

}  // namespace sockswitch
