// What the tests that run on hosts ask of the native code about fallback programs (main.cc).
#pragma once

#include <string_view>

namespace sockswitch {

// "options": every option that is classified, one a line. "find": one JSON object a line for each
// fallback program on this host, and one a line on standard error for each problem; program
// "without-getfd": with pidfd_getfd(2) refused, as a security module may. Returns the exit status.
int report_fallback(std::string_view what, std::string_view program);

}  // namespace sockswitch
