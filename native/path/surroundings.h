// What lies around containers' namespaces: the fallback programs that run, and the namespaces in
// which one of them serves the bridges of its user.
//
// Programs are looked for when a device is met that no known one holds, and their taps' names are
// read anew when the device's namespace has changed since: a name is no identity (see
// path/fallback_program.h). A look at all processes takes some milliseconds and any container can
// cause it, so the looks that one namespace causes take a tenth of the time at most; a question in
// between is answered "not now", which nobody may remember. Of very many processes a look sees a
// part, and the next one goes on from there. Common descriptor table, control thread.
#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernel/watcher.h"
#include "path/fallback_program.h"
#include "path/namespace.h"

namespace sockswitch {

class Surroundings {
 public:
  Surroundings(std::string helper, Watcher& watcher)
      : helper_(std::move(helper)), watcher_(watcher) {}

  // What is known of the program behind a device.
  struct Found {
    std::shared_ptr<const FallbackProgram> program;  // null: none
    bool settled = true;                             // false: ask again later
  };
  // The program that holds `device` of `inside` open.
  Found holder(const Namespace& inside, const std::string& device);

  // The namespace of this identity, where a program holds a tap.
  std::optional<Netns> held(const NetnsIdentity& identity);

  // A namespace in which a fallback program serves the bridges, with that program.
  struct Bridged {
    std::shared_ptr<Namespace> inside;
    std::shared_ptr<const FallbackProgram> program;
  };
  // As far as they are known; `settled` as above.
  std::vector<Bridged> bridged(const Namespace& asking, bool& settled);
  // Another number after each change in one of these. Any thread.
  std::uint64_t generation() const { return generation_.load(std::memory_order_acquire); }

 private:
  using Clock = std::chrono::steady_clock;
  struct Known {
    std::shared_ptr<FallbackProgram> program;
    std::uint64_t generation = 0;  // of its namespace, when its tap was read
  };
  bool look(const NetnsIdentity& asking);

  std::string helper_;
  Watcher& watcher_;
  std::vector<Known> known_;
  std::vector<Bridged> bridged_;
  std::map<NetnsIdentity, Clock::time_point> next_look_;  // by who causes it
  pid_t look_after_ = 0;                                  // where the last look ended
  std::atomic<std::uint64_t> generation_{1};
};

}  // namespace sockswitch
