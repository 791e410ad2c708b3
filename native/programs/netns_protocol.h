// What the data plane and the namespace helper say to each other over one SOCK_SEQPACKET pair.
//
// The helper gets the user and network namespaces as descriptors 3 and 4, the pair's end as 5, and
// the kind of wanted sockets in its arguments. It answers with one message of one byte and the
// descriptors, or with an errno in a four-byte message.
//
//   sockswitch-netns view                        a route socket, a route monitor, a fresh TCP
//   socket of
//                                                IPv4 and one of IPv6 (left out where IPv6 is
//                                                absent)
//   sockswitch-netns socket DOMAIN TYPE PROTOCOL one socket
#pragma once

namespace sockswitch {

inline constexpr int kNetnsUserFd = 3;
inline constexpr int kNetnsNetFd = 4;
inline constexpr int kNetnsReplyFd = 5;

}  // namespace sockswitch
