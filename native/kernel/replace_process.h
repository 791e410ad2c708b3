// Becoming another program, so that its exit status, signals and terminal need nobody between.
#pragma once

#include <string>
#include <vector>

namespace sockswitch {

// execvp(3) of `argv` with this process's environment, after taking back what Node.js does at its
// start and what would be inherited: standard streams stay open and block again, and SIGPIPE has
// its default action. (Other descriptors close: Node.js has marked all of them so.) Does not
// return; throws ErrnoError, after which these changes stay.
[[noreturn]] void replace_process(const std::vector<std::string>& argv);

}  // namespace sockswitch
