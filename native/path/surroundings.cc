#include "path/surroundings.h"

#include <fcntl.h>

#include <algorithm>

#include "base/errno_error.h"

namespace sockswitch {
namespace {

// The share of the time that one namespace's looks for programs may take: one part in this many.
constexpr int kLookShare = 10;

// Throws ErrnoError.
Netns netns_of(const FallbackProgram& program) {
  UniqueFd copy(::fcntl(program.namespace_fd.get(), F_DUPFD_CLOEXEC, 0));
  if (!copy) throw_errno("fcntl", "F_DUPFD_CLOEXEC");
  return Netns::of_descriptor(std::move(copy));
}

}  // namespace

Surroundings::Found Surroundings::holder(const Namespace& inside, const std::string& device) {
  std::uint64_t generation = inside.generation();
  for (Known& known : known_) {
    if (known.program->netns != inside.identity()) continue;
    if (known.generation != generation) {
      if (!read_again(*known.program)) continue;
      known.generation = generation;
    }
    if (known.program->device == device) return {known.program, true};
  }
  if (!look(inside.identity())) return {nullptr, false};
  for (Known& known : known_) {
    if (known.program->netns != inside.identity()) continue;
    known.generation = generation;  // read before the look: a change since then is seen as one
    if (known.program->device == device) return {known.program, true};
  }
  return {nullptr, true};
}

std::optional<Netns> Surroundings::held(const NetnsIdentity& identity) {
  auto find = [&]() -> std::optional<Netns> {
    for (const Known& known : known_) {
      if (known.program->netns == identity) return netns_of(*known.program);
    }
    return {};
  };
  auto found = find();
  if (!found && look(identity)) found = find();
  return found;
}

std::vector<Surroundings::Bridged> Surroundings::bridged(const Namespace& asking, bool& settled) {
  auto serves = [](const Known& known) {
    return known.program->options.serves_bridges && is_alive(*known.program);
  };
  settled = true;
  if (std::ranges::none_of(known_, serves)) settled = look(asking.identity());
  std::vector<Bridged> found;
  for (const Known& known : known_) {
    if (!serves(known)) continue;
    auto before = std::ranges::find(bridged_, known.program, &Bridged::program);
    if (before != bridged_.end()) {
      found.push_back(*before);
      continue;
    }
    try {
      found.push_back(
          {std::make_shared<Namespace>(netns_of(*known.program), helper_, watcher_, &generation_),
           known.program});
    } catch (const ErrnoError&) {
      settled = false;  // it may just have ended
    }
  }
  if (found.size() != bridged_.size()) generation_.fetch_add(1, std::memory_order_release);
  bridged_ = found;
  return found;
}

// Looks at processes, unless that was done too short a time ago for the same namespace; false where
// these are not all. The programs that are known already stay the objects that they are.
bool Surroundings::look(const NetnsIdentity& asking) {
  auto start = Clock::now();
  std::erase_if(next_look_, [&](const auto& entry) { return entry.second <= start; });
  if (next_look_.contains(asking)) return false;
  FallbackSearch search = find_fallback_programs(nullptr, look_after_);
  std::vector<Known> known;
  for (FallbackProgram& program : search.programs) {
    auto same = [&](const Known& other) {
      return other.program->pid == program.pid && is_alive(*other.program) &&
             other.program->netns == program.netns;
    };
    auto before = std::ranges::find_if(known_, same);
    if (before == known_.end()) {
      known.push_back({std::make_shared<FallbackProgram>(std::move(program)), 0});
      continue;
    }
    before->program->device = program.device;
    known.push_back(*before);
  }
  for (Known& other : known_) {
    if (!search.covers(other.program->pid) && is_alive(*other.program)) known.push_back(other);
  }
  known_ = std::move(known);
  look_after_ = search.left_at.value_or(0);
  next_look_[asking] = start + kLookShare * (Clock::now() - start);
  return search.is_whole();
}

}  // namespace sockswitch
