// Which descriptor table: the process's common one, or a listener thread's own.
//
// Threads share the common table until they leave it. A listener thread leaves it at its start
// (notify/listener.cc), and every descriptor number means another file there from then on. An
// object that listener threads hold, too, may be dropped by any of them, and its descriptors would
// then be closed by number in the wrong table. So what lives in the common table and is shared with
// listener threads is an InCommonTable: it can be reached in that table only, and is destroyed
// there, whichever thread drops it.
//
//   class View {
//     InCommonTable<UniqueFd> monitor_;                 // closed in the common table
//     InCommonTable<NetlinkSocket> routes_;
//     ...
//     routes_.run([&](NetlinkSocket& routes) { ... });    // from any thread: waits
//     UniqueFd mine = duplicate(monitor_);              // in the calling thread's table
//   };
//
// A plain UniqueFd belongs to the table of the thread that made it, and must not leave that thread
// for one with another table.
#pragma once

#include <memory>
#include <type_traits>
#include <utility>

#include "base/unique_fd.h"
#include "kernel/control_thread.h"

namespace sockswitch {

// Whether the calling thread has the process's common table.
bool has_common_table();

// Gives the calling thread a table of its own, with nothing but descriptor `kept` in it, for good.
// False, with errno, where that is not possible (close_range(2) with CLOSE_RANGE_UNSHARE, Linux
// 5.9): the thread then still has the common table, or is not to touch any descriptor but `kept`.
bool leave_common_table(int kept);

// Throws std::logic_error in a thread that has a table of its own.
void require_common_table();

struct Adopt {};

// The owner of one object of type T whose descriptors are the common table's. Movable, like T.
template <typename T>
class InCommonTable {
 public:
  InCommonTable() = default;
  // To be made by a thread that has the common table (else std::logic_error). `control` lives
  // longer than this object.
  InCommonTable(ControlThread& control, T object)
      : InCommonTable(control, std::make_unique<T>(std::move(object))) {}
  InCommonTable(ControlThread& control, std::unique_ptr<T> object)
      : control_(&control), object_(std::move(object)) {
    require_common_table();
  }
  // The same from any thread, for an object that is to be destroyed at once.
  InCommonTable(ControlThread& control, std::unique_ptr<T> object, Adopt)
      : control_(&control), object_(std::move(object)) {}
  InCommonTable(InCommonTable&& other) noexcept = default;
  InCommonTable& operator=(InCommonTable&& other) noexcept {
    if (this != &other) {
      reset();
      control_ = other.control_;
      object_ = std::move(other.object_);
    }
    return *this;
  }
  InCommonTable(const InCommonTable&) = delete;
  InCommonTable& operator=(const InCommonTable&) = delete;
  ~InCommonTable() { reset(); }

  explicit operator bool() const { return object_ != nullptr; }

  // Destroys the object: at once in a thread that has the common table, else soon, on the control
  // thread.
  void reset() {
    if (!object_) return;
    if (has_common_table()) {
      object_.reset();
    } else {
      control_->post(
          [object = std::shared_ptr<T>(std::move(object_))]() mutable { object.reset(); });
    }
  }

  // For threads that have the common table; std::logic_error in any other.
  T& get() const {
    require_common_table();
    return *object_;
  }
  T& operator*() const { return get(); }
  T* operator->() const { return &get(); }

  // `work(T&)` where the object's descriptors are, and what it returns: here if the calling thread
  // has the common table, else on the control thread while this one waits. What it throws is thrown
  // here.
  template <typename Work>
  auto run(Work&& work) const {
    using Result = std::invoke_result_t<Work, T&>;
    if (has_common_table()) return std::forward<Work>(work)(*object_);
    if constexpr (std::is_void_v<Result>) {
      control_->run([&] { work(*object_); });
    } else {
      std::unique_ptr<Result> result;
      control_->run([&] { result = std::make_unique<Result>(work(*object_)); });
      return std::move(*result);
    }
  }

  ControlThread& control() const { return *control_; }

 private:
  ControlThread* control_ = nullptr;
  std::unique_ptr<T> object_;
};

// A pointer for objects that do more at their end than to close descriptors: `object` is destroyed
// in the common table, whichever thread drops the last reference. `control` lives longer.
template <typename T>
std::shared_ptr<T> dropped_in_common_table(ControlThread& control, std::unique_ptr<T> object) {
  require_common_table();
  return std::shared_ptr<T>(object.release(), [&control](T* last) {
    InCommonTable<T> owner(control, std::unique_ptr<T>(last), Adopt{});
  });
}

// A duplicate (close-on-exec) in the calling thread's own table, whichever that is. Throws
// ErrnoError.
UniqueFd duplicate(const InCommonTable<UniqueFd>& fd);

}  // namespace sockswitch
