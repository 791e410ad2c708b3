// A thread with an epoll set: the relay's sockets, and work that others hand to it.
//
// What is watched is reached by a number that is never used again, so an event that was fetched
// before its object went away is dropped. Objects are destroyed after the round of events in which
// they were buried.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/unique_fd.h"

namespace sockswitch {

class Reactor {
 public:
  class Watched {
   public:
    Watched() = default;
    virtual ~Watched() = default;
    Watched(const Watched&) = delete;
    Watched& operator=(const Watched&) = delete;
    // Something has happened, or it was asked to be called again. May throw ErrnoError, which
    // counts as nothing having happened.
    virtual void ready() = 0;
  };

  // `every_second` is called about once a second while there is anything to do. Throws ErrnoError.
  Reactor(const char* thread_name, std::function<void()> every_second);
  // Ends the thread; what it watches must go before.
  ~Reactor();
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;

  // Runs `work` on the thread and waits; what it throws is thrown here. `poke` is to call poke() in
  // a thread that has the process's common descriptor table, before it returns.
  void run(const std::function<void()>& work, const std::function<void()>& poke);
  void poke() const;
  // Runs `work` on the thread, soon; returns at once. Nothing happens once the thread is to end.
  // For threads that have the common descriptor table.
  void post(std::function<void()> work);
  // Ends the thread: what is destroyed afterwards is destroyed by the caller.
  void stop();

  // On the thread only. Throws ErrnoError.
  std::uint64_t watch(Watched& watched, std::initializer_list<int> fds, std::uint32_t events);
  void set_events(std::uint64_t key, int fd, std::uint32_t events);
  void unwatch(std::uint64_t key, std::initializer_list<int> fds);
  // Calls ready() once more, after the others have had their turn.
  void again(std::uint64_t key) { again_.insert(key); }
  void bury(std::unique_ptr<Watched> watched) { buried_.push_back(std::move(watched)); }

 private:
  void loop();
  void dispatch(std::uint64_t key);
  void take_work();

  std::function<void()> every_second_;
  UniqueFd epoll_;
  UniqueFd wake_;
  std::mutex mutex_;
  std::vector<std::function<void()>> work_;
  bool stopping_ = false;

  std::unordered_map<std::uint64_t, Watched*> watched_;
  std::uint64_t next_key_ = 1;
  std::set<std::uint64_t> again_;
  std::vector<std::unique_ptr<Watched>> buried_;
  std::thread thread_;
};

}  // namespace sockswitch
