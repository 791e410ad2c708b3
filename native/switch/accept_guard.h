// A host socket that can never accept a connection, enforced by the kernel.
//
// A host socket is given out for one outbound connection. Whoever holds it can disconnect it
// (connect(2) with AF_UNSPEC), bind it to a port of the host and listen: in a race with our checks,
// or in another container that is not accelerated and got it over a Unix socket. So each carries a
// filter that drops every SYN without ACK, and the filter is locked: nobody can detach or replace
// it (socket(7), SO_LOCK_FILTER, Linux 3.9). tcp_v4_rcv and tcp_v6_rcv run the listener's filter
// before they look at the SYN. A client's own connection never receives one (simultaneous open
// aside, which is between two clients). What remains is that a port of the host can be occupied.
//
// Newer kernels let only CAP_NET_ADMIN attach a filter (seen with 6.18): there an unprivileged
// daemon has no guard to give, and what is left are our checks of listen(2) (docs/threat-model.md).
#pragma once

namespace sockswitch {

// Attaches and locks the filter on an unconnected TCP socket. 0 or an errno (EPERM: see above).
int attach_accept_guard(int fd);

// Does this kernel let us? Tried once.
bool accept_guard_available();

}  // namespace sockswitch
