// Whether sockets of a container may have options that are rarely set (switch/socket_options.h).
//
// The first time that a program sets one, its container is marked, for good: from then on all
// options of a socket are read before it is switched. Containers that share a network namespace
// share the mark, as one can pass a socket to another. It is in the records of their listeners, too
// (notify/live_record.h), so that it outlives the daemon.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

namespace sockswitch {

using SharedMark = std::shared_ptr<std::atomic<bool>>;

// The marks of the network namespaces in use, by their cookies.
class OptionMarks {
 public:
  SharedMark of(std::uint64_t netns) {
    std::lock_guard lock(mutex_);
    std::erase_if(marks_, [](const auto& entry) { return entry.second.expired(); });
    auto& known = marks_[netns];
    if (auto mark = known.lock()) return mark;
    auto mark = std::make_shared<std::atomic<bool>>(false);
    known = mark;
    return mark;
  }

 private:
  std::mutex mutex_;
  std::map<std::uint64_t, std::weak_ptr<std::atomic<bool>>> marks_;
};

// What one listener knows of it. Used by its thread.
class OptionMark {
 public:
  // `recorded`: in its record.
  explicit OptionMark(std::atomic<std::uint8_t>& recorded) : recorded_(recorded) {}

  // The mark of the namespace, once it is known.
  void join(const SharedMark& shared) {
    shared_ = shared.get();
    is_set();
  }
  bool is_set() {
    if (recorded_.load(std::memory_order_relaxed) != 0) {
      if (shared_) shared_->store(true, std::memory_order_release);
      return true;
    }
    if (!shared_ || !shared_->load(std::memory_order_acquire)) return false;
    recorded_.store(1, std::memory_order_relaxed);
    return true;
  }
  void set() {
    recorded_.store(1, std::memory_order_relaxed);
    if (shared_) shared_->store(true, std::memory_order_release);
  }
  bool joined() const { return shared_ != nullptr; }

 private:
  std::atomic<std::uint8_t>& recorded_;
  std::atomic<bool>* shared_ = nullptr;  // ContainerNetwork keeps it
};

}  // namespace sockswitch
