// Running a helper program, for one question or for many: sockswitch-netns
// (protocol/netns_protocol.h), sockswitch-guard.
#pragma once

#include <chrono>
#include <span>
#include <string>
#include <vector>

#include "kernel/unix_socket.h"

namespace sockswitch {

// A helper makes a few system calls for an answer; one that takes longer has something wrong.
inline constexpr std::chrono::milliseconds kHelperPatience{5000};

// Starts `helper`, gives it `fds` under the numbers from kNetnsUserFd on, and returns its answer,
// which is empty (`end`) if it ended without one. Uses the calling thread's descriptor table. Waits
// for at most a few seconds. Throws ErrnoError.
Message run_helper(const std::string& helper, std::span<const int> fds,
                   const std::vector<std::string>& arguments);

// Sends `question`, unless it is empty, and waits for the answer as long as the socket says. Throws
// ErrnoError; EAGAIN where that was too long. The answer may come later, and would be taken for the
// next one's: the channel is to be dropped then.
Message ask_helper(int channel, std::span<const struct iovec> question);
// Sets how long that is.
void limit_patience(int channel, std::chrono::milliseconds patience = kHelperPatience);

// A helper that stays and answers one message after the other, until it is dropped.
class HelperProcess {
 public:
  // As run_helper(). Throws ErrnoError.
  HelperProcess(const std::string& helper, std::span<const int> fds,
                const std::vector<std::string>& arguments,
                std::chrono::milliseconds patience = kHelperPatience);
  ~HelperProcess();
  HelperProcess(const HelperProcess&) = delete;
  HelperProcess& operator=(const HelperProcess&) = delete;

  // As ask_helper(): after an error this object is of no use.
  Message ask(std::span<const struct iovec> question) const {
    return ask_helper(channel_.get(), question);
  }
  int channel() const { return channel_.get(); }

 private:
  UniqueFd channel_;
  pid_t child_ = 0;
};

// More than any answer has.
inline constexpr std::size_t kMaxAnswerBytes = 64;

// The errno that an answer says; 0 if it says success.
int helper_error(const Message& answer);

}  // namespace sockswitch
