// What bind(2) and listen(2) do with the ports that a container publishes (publish/reservation.h).
#pragma once

#include <memory>
#include <optional>

#include "kernel/endpoint.h"
#include "notify/target.h"
#include "policy/publication.h"

namespace sockswitch {

// How a bind(2) of a container socket to `to` relates to the container's published ports.
struct PublishedBind {
  std::shared_ptr<Publication> port;
  // kPublished: a socket of the host can take its place; another outcome: the container's own
  // socket is bound, and this is why.
  Outcome outcome = Outcome::kPublished;
};
// No value if it has nothing to do with them.
std::optional<PublishedBind> published_bind(Context& context, const Target& target,
                                            const Destination& to);

// Binds a socket of the host to the published port and puts it in the container socket's place, and
// answers the call. No value if nothing was done, so that the container's own socket is to be
// bound; `context.detail` says why.
std::optional<Outcome> bind_published(Context& context, Target& target, const Destination& to,
                                      Publication& port);

// The published port that a socket of the host is bound to; null if it is none.
std::shared_ptr<Publication> published_port(const Context& context, const Target& target);

// The published port for which a socket that is called `local` in the kernel is a service's socket
// of the host, or was accepted by one. Null for all other sockets: these keep their names.
const Publication* served_port(const Context& context, int socket, const Endpoint& local);

// listen(2) on a published port's socket of the host. 0 or its errno.
int listen_published(const Context& context, int socket, int backlog, const Publication& port);

// `socket` listens by now: opens the relay's doors. `port` is null for a container socket, whose
// published port is then looked for. kHousekeeping, or kPublishedUnreachable with the reason in
// `context.detail`: the service itself listens all the same.
Outcome published_listen(Context& context, int socket, const SocketIdentity& identity,
                         const std::shared_ptr<Publication>& port);

}  // namespace sockswitch
