// Running sockswitch-netns, the helper program, for one question (programs/netns_protocol.h).
#pragma once

#include <span>
#include <string>
#include <vector>

#include "kernel/unix_socket.h"

namespace sockswitch {

// Starts `helper`, gives it `fds` under the numbers from kNetnsUserFd on, and returns its answer,
// which is empty (`end`) if it ended without one. Uses the calling thread's descriptor table. Waits
// for at most a few seconds. Throws ErrnoError.
Message run_helper(const std::string& helper, std::span<const int> fds,
                   const std::vector<std::string>& arguments);

// The errno that an answer says; 0 if it says success.
int helper_error(const Message& answer);

}  // namespace sockswitch
