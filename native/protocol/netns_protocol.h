// What the data plane and the helper program say to each other over one SOCK_SEQPACKET pair.
//
// The helper gets its end of the pair, a user namespace and what its verb needs as descriptors 3, 4
// and so on, and the verb in its arguments. It answers with one message of one byte and the
// descriptors, or with an errno in a four-byte message.
//
// With the network namespace as descriptor 5:
//
//   view                        answered with letters and the descriptors that they
//                               announce: route socket, packet monitor, fresh TCP socket of IPv4,
//                               of IPv6 ('6', or '-' where that is absent), then as many monitors
//                               of packet filters as the digit says, then what they are asked over
//                               (a letter each: path/firewall_sockets.h)
//   socket DOMAIN TYPE PROTOCOL LABEL
//                               one socket, with an SELinux context (kernel/socket_label.h)
//   port-start                  the sysctl ip_unprivileged_port_start, open for reading
//
//   serve                       stays, and answers each SocketRequest with one socket, until the
//                               other end of the pair is closed. kTunDevice in the place of the
//                               domain: /dev/net/tun, open; interfaces made by it are this
//                               namespace's
//
// With a socket as descriptor 5 and a pid namespace as 6:
//
//   listen TID BACKLOG          listen(2) with the user, groups and pid namespace of TID; a
//                               negative errno says that it did not come to that
#pragma once

namespace sockswitch {

struct SocketRequest {
  int domain;
  int type;
  int protocol;
};

inline constexpr std::size_t kViewFixedLetters = 2;  // before the letters of the packet filters
inline constexpr int kTunDevice = -1;

inline constexpr int kNetnsReplyFd = 3;
inline constexpr int kNetnsUserFd = 4;
inline constexpr int kNetnsNetFd = 5;
inline constexpr int kListenSocketFd = 5;
inline constexpr int kListenPidFd = 6;

}  // namespace sockswitch
