// Work in the background (kernel/background.h): waiting for it has an end.
#include "kernel/background.h"

#include <chrono>
#include <future>

#include "check.h"

namespace {

using namespace sockswitch;  // NOLINT(google-build-using-namespace): a test of this namespace

TEST(background_work_that_hangs_is_left_behind) {
  const auto soon = [] { return std::chrono::steady_clock::now() + std::chrono::milliseconds(10); };
  const auto late = [] { return std::chrono::steady_clock::now() + std::chrono::minutes(1); };
  std::promise<void> release;
  Background background;
  CHECK(background.finish(soon()));
  background.run([] {});
  CHECK(background.finish(late()));
  background.run([held = release.get_future().share()] { held.wait(); });
  background.run([] {});
  CHECK(!background.finish(soon()));
  release.set_value();
  CHECK(background.finish(late()));
}

}  // namespace
