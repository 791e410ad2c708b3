#include "publish/stream.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/errno_error.h"

namespace sockswitch {
namespace {

constexpr std::size_t kIdlePipes = 64;
constexpr std::size_t kRoom = std::size_t{64} * 1024;       // a new pipe's
constexpr std::size_t kWideRoom = std::size_t{256} * 1024;  // a third more Gbit/s on loopback
// All pipes of a user share a limit, fs.pipe-user-pages-soft; beyond it they get two pages.
constexpr std::size_t kWidePipes = 32;
// Of one direction in one turn.
constexpr std::size_t kTurn = std::size_t{2} * 1024 * 1024;
constexpr unsigned kSplice = SPLICE_F_MOVE | SPLICE_F_NONBLOCK;

}  // namespace

Pipe PipePool::take() {
  if (!idle_.empty()) {
    Pipe pipe = std::move(idle_.back());
    idle_.pop_back();
    return pipe;
  }
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) throw_errno("pipe2");
  return {UniqueFd(ends[0]), UniqueFd(ends[1]), kRoom};
}

void PipePool::widen(Pipe& pipe) {
  if (pipe.room == kWideRoom || wide_ == kWidePipes) return;
  if (::fcntl(pipe.write.get(), F_SETPIPE_SZ, static_cast<int>(kWideRoom)) < 0) return;
  pipe.room = kWideRoom;
  ++wide_;
}

void PipePool::give_back(Pipe pipe, bool empty) {
  if (pipe.room == kWideRoom) {
    --wide_;
  } else if (empty && idle_.size() < kIdlePipes) {
    idle_.push_back(std::move(pipe));
  }
}

Stream::Stream(UniqueFd client, UniqueFd service, PipePool& pool)
    : pool_(pool), client_(std::move(client)), service_(std::move(service)) {
  up_.pipe = pool_.take();
  down_.pipe = pool_.take();
  up_.from = down_.to = client_.get();
  up_.to = down_.from = service_.get();
}

Stream::~Stream() {
  for (Flow* flow : {&up_, &down_}) pool_.give_back(std::move(flow->pipe), flow->filled == 0);
}

Stream::State Stream::pump() {
  State up = pump(up_);
  State down = pump(down_);
  if (up == State::kBroken || down == State::kBroken) return State::kBroken;
  if (up == State::kBusy || down == State::kBusy) return State::kBusy;
  return up == State::kDone && down == State::kDone ? State::kDone : State::kWaiting;
}

Stream::State Stream::pump(Flow& flow) {
  if (flow.finished) return State::kDone;
  std::size_t moved = 0;
  while (moved < kTurn) {
    bool drained = flow.ended;
    if (!flow.ended) {
      ssize_t got =
          ::splice(flow.from, nullptr, flow.pipe.write.get(), nullptr, flow.pipe.room, kSplice);
      if (got > 0) flow.filled += static_cast<std::size_t>(got);
      if (got == 0) flow.ended = true;
      // EAGAIN: nothing there, or no room in the pipe, which is what `filled` tells.
      if (got < 0 && errno != EAGAIN) return State::kBroken;
      drained = got <= 0;
    }
    if (flow.filled > 0) {
      ssize_t put = ::splice(flow.pipe.read.get(), nullptr, flow.to, nullptr, flow.filled, kSplice);
      if (put < 0) return errno == EAGAIN ? State::kWaiting : State::kBroken;
      flow.filled -= static_cast<std::size_t>(put);
      moved += static_cast<std::size_t>(put);
      if (moved >= kWideRoom) pool_.widen(flow.pipe);
      continue;
    }
    if (flow.ended) {
      ::shutdown(flow.to, SHUT_WR);
      flow.finished = true;
      return State::kDone;
    }
    if (drained) return State::kWaiting;
  }
  return State::kBusy;
}

void Stream::reset() {
  reset_on_close(client_.get());
  reset_on_close(service_.get());
}

void reset_on_close(int fd) {
  struct linger at_once{1, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

}  // namespace sockswitch
