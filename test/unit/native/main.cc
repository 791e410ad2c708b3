// Runs the native unit tests; prints one line a test and exits with 1 when a check failed.
// With --fallback it reports instead, for tests on hosts (fallback_report.h).
#include <exception>
#include <iostream>
#include <string_view>

#include "check.h"
#include "fallback_report.h"

int main(int argc, char** argv) {
  using sockswitch::check::failures;
  const std::string_view filter = argc > 1 ? argv[1] : "";
  if (filter == "--fallback") {
    return sockswitch::report_fallback(argc > 2 ? argv[2] : "", argc > 3 ? argv[3] : "");
  }
  int run = 0;
  for (const auto& test : sockswitch::check::tests()) {
    if (test.name.find(filter) == std::string::npos) continue;
    const int before = failures();
    try {
      test.body();
    } catch (const std::exception& error) {
      sockswitch::check::fail(test.name.c_str(), 0, error.what());
    }
    std::cout << (failures() == before ? "ok   " : "FAIL ") << test.name << '\n';
    ++run;
  }
  std::cout << run << " tests, " << failures() << " failures" << '\n';
  return failures() == 0 && run > 0 ? 0 : 1;
}
