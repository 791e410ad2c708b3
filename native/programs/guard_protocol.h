// What the daemon asks sockswitch-guard: a header and `addresses` Addresses, which are a GuardRole.
// The answer is one byte and the loaded program, or an errno (four bytes).
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "switch/guard_program.h"

namespace sockswitch {

struct GuardQuestion {
  std::uint16_t kind;
  std::uint16_t port;
  std::uint32_t addresses;
};

// One more than are told apart.
inline constexpr std::size_t kMaxGuardQuestion =
    sizeof(GuardQuestion) + (kMaxOwnAddresses + 1) * sizeof(Address);

inline std::string encode_question(const GuardRole& role) {
  const std::size_t count = std::min(role.own.size(), kMaxOwnAddresses + 1);
  const GuardQuestion header{static_cast<std::uint16_t>(role.kind), role.port,
                             static_cast<std::uint32_t>(count)};
  std::string text(reinterpret_cast<const char*>(&header), sizeof header);
  text.append(reinterpret_cast<const char*>(role.own.data()), count * sizeof(Address));
  return text;
}

// No value if it is none.
inline std::optional<GuardRole> decode_question(std::string_view text) {
  GuardQuestion header{};
  if (text.size() < sizeof header) return {};
  std::memcpy(&header, text.data(), sizeof header);
  if (header.kind > static_cast<std::uint16_t>(GuardRole::Kind::kService) ||
      header.addresses > kMaxOwnAddresses + 1 ||
      text.size() != sizeof header + header.addresses * sizeof(Address)) {
    return {};
  }
  GuardRole role{.kind = static_cast<GuardRole::Kind>(header.kind), .port = header.port};
  role.own.resize(header.addresses);
  std::memcpy(role.own.data(), text.data() + sizeof header, text.size() - sizeof header);
  return role;
}

}  // namespace sockswitch
