// How a program that every user of the host may run, with capabilities of its file, confines
// itself: to those that it is for, in effect while they are needed only, and to a list of system
// calls.
#pragma once

#include <sys/resource.h>

#include <array>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>

#include "base/errno_error.h"

namespace sockswitch {

inline constexpr unsigned kCapBpf = 39;  // CAP_BPF, Linux 5.8

// The process's capabilities: those given, as far as it has them, and no other.
class Capabilities {
 public:
  // `kept`: CAP_*. Drops all others, of every set. Throws ErrnoError.
  explicit Capabilities(std::initializer_list<unsigned> kept);
  // Whether the process has all of them.
  bool held() const;

  // In effect as long as this lives.
  class Raised {
   public:
    explicit Raised(const Capabilities& capabilities) : capabilities_(capabilities) {
      capabilities_.set(true);
    }
    ~Raised() { capabilities_.set(false); }
    Raised(const Raised&) = delete;
    Raised& operator=(const Raised&) = delete;

   private:
    const Capabilities& capabilities_;
  };

 private:
  void set(bool effective) const;

  std::array<std::uint32_t, 2> kept_{};  // the bits of capabilities 0 to 63
};

// A call, and where only some of its uses are allowed: what must be in the low half of which
// argument. A call may be listed several times.
struct AllowedCall {
  long number = 0;
  int argument = -1;
  std::uint32_t forbidden_bits = 0;
  std::uint32_t value = 0;  // of the whole, where no bits are forbidden
};

// Any other call ends the process from now on. What C++ and libc's memory take is allowed besides.
// Throws ErrnoError.
void confine(std::span<const AllowedCall> calls);

// The end of a pair of sockets that such a program answers on: descriptor 3 (kernel/helper.h), or 0
// with the argument "--stdin", where a service manager starts it. No value, and a message, for any
// other argument. Descriptors above are closed, and nobody can trace the process any more.
std::optional<int> begin_confined(int count, char** arguments);

// Its resources (setrlimit(2)): so many descriptors, no files, no core.
void limit_resources(rlim_t descriptors);

// What is left of its main(): `Server(channel)` opens what it needs, and its run() answers until
// the other end is closed.
template <typename Server>
int serve_confined(int count, char** arguments, std::span<const AllowedCall> calls,
                   rlim_t descriptors) {
  const auto channel = begin_confined(count, arguments);
  if (!channel) return 2;
  try {
    Server server(*channel);
    limit_resources(descriptors);
    confine(calls);
    server.run();
    return 0;
  } catch (const ErrnoError&) {
    return 1;  // nobody is there to be told
  }
}

}  // namespace sockswitch
