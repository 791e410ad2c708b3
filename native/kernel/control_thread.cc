#include "kernel/control_thread.h"

#include <pthread.h>
#include <unistd.h>

#include <future>

#include "base/errno_error.h"
#include "kernel/syscalls.h"

namespace sockswitch {

ControlThread::ControlThread() : thread_([this] { loop(); }) {
  ::pthread_setname_np(thread_.native_handle(), "ssw-control");
}

ControlThread::~ControlThread() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void ControlThread::post(Work work) {
  {
    std::lock_guard lock(mutex_);
    queue_.push_back(std::move(work));
  }
  changed_.notify_one();
}

void ControlThread::run(const Work& work) {
  std::packaged_task<void()> task(work);
  auto done = task.get_future();
  post([&task] { task(); });
  done.get();
}

UniqueFd ControlThread::bring(const std::function<UniqueFd()>& make) {
  UniqueFd there;
  run([&] { there = make(); });
  // The number is the common table's: the thread group's leader has that table.
  UniqueFd leader(pidfd_open(::getpid(), 0));
  UniqueFd here(leader ? pidfd_getfd(leader.get(), there.get()) : -1);
  int error = errno;
  run([number = there.release()] { UniqueFd closed(number); });
  if (!here) throw ErrnoError(error, "pidfd_getfd");
  return here;
}

void ControlThread::loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return;
    Work work = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    work();
    lock.lock();
  }
}

}  // namespace sockswitch
