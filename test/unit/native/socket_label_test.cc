// The SELinux context of sockets (kernel/socket_label.h): where the kernel refuses it, sockets are
// made all the same. No context with this name is there on any machine.
#include "kernel/socket_label.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <string>

#include "base/unique_fd.h"
#include "check.h"

namespace {

using namespace sockswitch;  // NOLINT(google-build-using-namespace): a test of this namespace

UniqueFd tcp_socket() { return UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)); }

TEST(no_socket_label_asks_nothing) {
  const SocketLabel label("");
  CHECK(label.obstacle().empty());
}

TEST(a_socket_label_that_cannot_be_had_is_reported_and_changes_nothing) {
  {
    const SocketLabel label("no:such:context:here");
    CHECK(label.obstacle().find("/proc/thread-self/attr/sockcreate") != std::string::npos);
    CHECK(tcp_socket());
  }
  CHECK(tcp_socket());
}

}  // namespace
