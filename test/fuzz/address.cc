// Socket addresses as containers pass them, and addresses and prefixes as text (base/address.h).
#include "base/address.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

using namespace sockswitch;  // NOLINT(google-build-using-namespace): a target for this namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // The length that the container claims need not be what there is to read.
  std::uint32_t claimed = 0;
  if (size >= sizeof claimed) {
    std::memcpy(&claimed, data, sizeof claimed);
    sockaddr_storage raw{};
    std::memcpy(&raw, data + sizeof claimed, std::min(size - sizeof claimed, sizeof raw));
    if (auto to = destination_of(raw, claimed)) {
      if (claimed < sizeof(sockaddr_in)) std::abort();
      if (Address::parse(to->address.text()) != to->address) std::abort();
      if (!to->text().ends_with(":" + std::to_string(to->port))) std::abort();
    }
  }
  const std::string text(reinterpret_cast<const char*>(data), size);
  if (auto address = Address::parse(text)) {
    if (Address::parse(address->text()) != address) std::abort();
  }
  if (auto prefix = Prefix::parse(text)) {
    auto again = Prefix::parse(prefix->text());
    if (!again || again->text() != prefix->text()) std::abort();
  }
  return 0;
}
