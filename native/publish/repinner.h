// The daemon's end of sockswitch-repin, which pins a listening socket to another device. Moves are
// rare, so the program is started when there is something to move, and ends after it.
#pragma once

#include <memory>
#include <string>

#include "base/unique_fd.h"
#include "kernel/helper.h"

namespace sockswitch {

struct RepinPaths {
  std::string program;  // sockswitch-repin
  std::string socket;   // where a service manager starts it for whoever connects
};

// Used by one thread, which has the process's common descriptor table. A program that ends, or does
// not answer, is started again at the next question.
class Repinner {
 public:
  explicit Repinner(RepinPaths paths) : paths_(std::move(paths)) {}

  // Why no socket can be moved, as an errno: EPERM without the capability, EPROTONOSUPPORT by
  // another version; 0 where it can.
  int obstacle();
  // Pins `socket` to `device`, an interface index. 0 or an errno (programs/repin.cc).
  int pin(int socket, int device);
  // Ends the program.
  void rest();

 private:
  // Both throw ErrnoError.
  void run_program();
  void connect();
  int ask(int device, int socket);

  RepinPaths paths_;
  std::unique_ptr<HelperProcess> process_;
  UniqueFd channel_;  // to one that we have not started
};

}  // namespace sockswitch
