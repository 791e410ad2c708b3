// Tests in a network namespace of their own.
#pragma once

#include <net/if.h>
#include <sched.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <future>

#include "check.h"

namespace sockswitch {

inline int device(const char* name) { return static_cast<int>(::if_nametoindex(name)); }

// In a CI, where it is root's, nothing is missing.
inline void skip(const char* reason) {
  CHECK(::geteuid() != 0 || std::getenv("CI") == nullptr);
  std::printf("skipped: %s\n", reason);
}

// Of a thread that ends with it, and of what that starts. `network`: a shell command that makes it.
template <typename Test>
void in_own_network(const char* network, Test test) {
  std::async(std::launch::async, [&] {
    if (::unshare(CLONE_NEWNET) != 0) return skip("this user may not make a network namespace");
    CHECK_EQ(std::system(network), 0);
    test();
  }).get();
}

}  // namespace sockswitch
