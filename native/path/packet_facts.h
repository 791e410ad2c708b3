// What is known of the packets that are asked about: the first one of a new connection.
#pragma once

#include <algorithm>
#include <array>
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
  // How many bits of the destination's address are known, from the first of the 16 bytes on.
  unsigned known_bits = 8 * sizeof(Address::bytes);
  bool port_known = true;
  int protocol = IPPROTO_TCP;
  PacketDevice in;
  PacketDevice out;
  std::uint32_t mark = 0;                 // SO_MARK, or what rules have made of it
  std::uint32_t known_mark = UINT32_MAX;  // which of its bits are known
  // Of the sending process, in the initial user namespace; no value: not known.
  std::optional<std::uint32_t> uid;

  // It goes to some address of these, at some port.
  void go_anywhere_in(const Prefix& addresses) {
    destination = {addresses.network(), 0, 0};
    known_bits = addresses.bits();
    port_known = false;
  }
  // The bits that are known, in the 16 bytes.
  std::array<std::uint8_t, sizeof(Address::bytes)> known_address() const {
    constexpr unsigned kByte = 8;
    std::array<std::uint8_t, sizeof(Address::bytes)> known{};
    std::fill_n(known.begin(), known_bits / kByte, 0xff);
    const unsigned rest = known_bits % kByte;
    if (rest != 0) known.at(known_bits / kByte) = static_cast<std::uint8_t>(0xff00U >> rest);
    return known;
  }
};

}  // namespace sockswitch
