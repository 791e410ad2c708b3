// What is known of the packets that are asked about: the first one of a new connection.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/address.h"

namespace sockswitch {

// A device of the namespace that is asked about. Number 0: there is none, as a packet that the
// namespace itself sends comes in by none.
struct PacketDevice {
  int index = 0;
  std::string name;
};

struct PacketFacts {
  std::optional<Address> source;  // no value: not known yet
  Destination destination;        // no address of the namespace itself: a unicast route leads there
  // Of an IPv4 destination, host byte order: the bits that are known. Where some are not, the port
  // is not either.
  std::uint32_t known_destination = UINT32_MAX;
  int protocol = IPPROTO_TCP;
  PacketDevice in;
  PacketDevice out;
  std::uint32_t mark = 0;  // SO_MARK
  bool mark_known = true;  // false: rules that are not evaluated may have set another one
  // Of the sending process, in the initial user namespace; no value: not known.
  std::optional<std::uint32_t> uid;

  bool port_known() const { return known_destination == UINT32_MAX; }
};

}  // namespace sockswitch
