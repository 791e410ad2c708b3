// One relayed TCP connection: two sockets, and splice(2) between them.
#pragma once

#include <cstddef>
#include <vector>

#include "base/unique_fd.h"

namespace sockswitch {

struct Pipe {
  UniqueFd read;
  UniqueFd write;
  std::size_t room = 0;  // bytes
};

// Empty pipes that wait for the next connection: making one costs more than a small exchange.
class PipePool {
 public:
  // Throws ErrnoError.
  Pipe take();
  // More room, for bulk transfers; leaves the pipe as it is where too many have that.
  void widen(Pipe& pipe);
  void give_back(Pipe pipe, bool empty);

 private:
  std::vector<Pipe> idle_;
  std::size_t wide_ = 0;
};

class Stream {
 public:
  enum class State { kWaiting, kBusy, kDone, kBroken };

  // Both sockets non-blocking; `pool` must outlive the stream.
  Stream(UniqueFd client, UniqueFd service, PipePool& pool);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  int client() const { return client_.get(); }
  int service() const { return service_.get(); }
  // Moves what can be moved now, in both directions. kBusy: there is more, after the others' turn;
  // kDone: both directions have ended; kBroken: a side has reset the connection.
  State pump();
  // Tells both sides that the connection was broken, other than by an orderly end.
  void reset();

 private:
  struct Flow {
    int from = -1;
    int to = -1;
    Pipe pipe;
    std::size_t filled = 0;
    bool ended = false;     // the source has
    bool finished = false;  // and the destination knows
  };
  State pump(Flow& flow);

  PipePool& pool_;
  UniqueFd client_;
  UniqueFd service_;
  Flow up_;
  Flow down_;
};

// Closing sends a reset instead of an orderly end.
void reset_on_close(int fd);

}  // namespace sockswitch
