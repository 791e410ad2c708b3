// SELinux: the security context of the sockets that a thread makes.
//
// A socket has its maker's context, and a container that is given one needs permissions on it: its
// rules allow its own context, and perhaps not the daemon's. So sockets that containers get are
// made with the container's context ("sockcreate", proc_pid_attr(5), Linux 2.6.18).
//
// The file descriptor's context stays the daemon's: that is the context of the process that opened
// it, whatever the socket's is.
#pragma once

#include <string>

namespace sockswitch {

// While it lives, the calling thread's sockets of all kinds are made with a context. Where that
// cannot be, they are made as ever.
class SocketLabel {
 public:
  // `label`: as in the `process.selinuxLabel` of an OCI spec; empty: nothing is done.
  explicit SocketLabel(const std::string& label);
  ~SocketLabel();
  SocketLabel(const SocketLabel&) = delete;
  SocketLabel& operator=(const SocketLabel&) = delete;

  // Why sockets do not get the context: the system call, its object and errno in words. Empty where
  // they do, and where none is wanted.
  const std::string& obstacle() const { return obstacle_; }

 private:
  void take_off() noexcept;

  std::string obstacle_;
  bool worn_ = false;
};

}  // namespace sockswitch
