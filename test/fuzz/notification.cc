// Notifications of the kernel, with a container's arguments in them (notify/notification.h). What
// `socketcall` points to is read from this very process.
#include "notify/notification.h"

#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstring>

using namespace sockswitch;  // NOLINT(google-build-using-namespace): a target for this namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::array kArchitectures = {abi::kArchX86_64, abi::kArchI386, abi::kArchAarch64,
                                         abi::kArchArm};
  abi::SeccompNotif notification{};
  if (size < sizeof notification.data) return 0;
  std::memcpy(&notification.data, data, sizeof notification.data);
  notification.pid = static_cast<std::uint32_t>(::getpid());
  // Left to chance, few would be of an architecture that exists, and fewer a known call.
  notification.data.arch = kArchitectures[data[0] % kArchitectures.size()];
  notification.data.nr &= 0x400003FF;
  decode(notification);
  return 0;
}
