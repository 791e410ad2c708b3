// The kernel's text about descriptors and epoll sets (notify/caller.h, switch/epoll_set.h).
#include <cstdint>
#include <cstring>
#include <string_view>

#include "notify/caller.h"
#include "switch/epoll_set.h"

using namespace sockswitch;  // NOLINT(google-build-using-namespace): a target for this namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto* text = reinterpret_cast<const char*>(data);
  parse_descriptor_flags(text, size);
  find_epoll_entry({text, size}, size > 0 ? data[0] % 16 : 0, size > 1 ? data[1] : 0);
  return 0;
}
