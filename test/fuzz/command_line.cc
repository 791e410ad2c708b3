// Command lines of fallback programs, as /proc/PID/cmdline has them (path/fallback_options.h).
#include "path/command_line.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "path/fallback_options.h"

using namespace sockswitch;  // NOLINT(google-build-using-namespace): a target for this namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto words = split_command_line({reinterpret_cast<const char*>(data), size});
  for (const FallbackKind kind : {FallbackKind::kPasta, FallbackKind::kSlirp4netns}) {
    const FallbackOptions options = classify(kind, words);
    const FallbackOptions::Family* families[] = {&options.v4, &options.v6};
    if (words.empty() && (options.v4.obstacle.empty() || options.v6.obstacle.empty())) std::abort();
    for (const auto* family : families) {
      if (family->source && family->source->is_v4() != (family == &options.v4)) std::abort();
      if (family->device.size() > 15) std::abort();
    }
    // One more word that is an option nobody knows stops everything, unless it is an operand.
    auto more = words;
    if (more.empty() || std::ranges::find(more, "--") != more.end()) continue;
    more.emplace_back("--no-such-option");
    const FallbackOptions stopped = classify(kind, more);
    if (stopped.v4.obstacle.empty() || stopped.v6.obstacle.empty()) std::abort();
  }
  return 0;
}
