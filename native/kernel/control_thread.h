// The thread that does what listener threads cannot do themselves.
//
// A listener thread has a descriptor table of its own (see notify/listener.cc): descriptors that
// several parts share, the namespace helper, and reports to JavaScript are out of its reach. It
// hands such work to this thread, which lives in the process's common table. All of it is rare.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "base/unique_fd.h"

namespace sockswitch {

class ControlThread {
 public:
  using Work = std::function<void()>;

  ControlThread();
  // Does what has been posted, then ends.
  ~ControlThread();
  ControlThread(const ControlThread&) = delete;
  ControlThread& operator=(const ControlThread&) = delete;

  // Returns at once.
  void post(Work work);
  // Waits until the work is done; what it throws is thrown here.
  void run(const Work& work);
  // Runs `make` there and moves the descriptor it returns into the calling thread's table.
  UniqueFd bring(const std::function<UniqueFd()>& make);

 private:
  void loop();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Work> queue_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace sockswitch
